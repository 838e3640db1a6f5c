//! Values with units: durations and sizes.

use std::fmt;
use std::time::Duration;

use crate::leaf::scalar;
use crate::read::{Leaf, Reader, Refusal};
use crate::value::{Kind, Node};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Leaf for Duration {
    fn wants() -> String {
        "a duration such as \"10ms\", \"30s\", \"1m30s\" or \"24h\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        match scalar(node) {
            Kind::Integer(0) => Ok(Duration::ZERO),
            Kind::Integer(number) => Err(Refusal::Value(format!("{number} has no unit (ms, s, m, h, d)"))),
            Kind::String(text) => parse_duration(&text).map_err(Refusal::Value),
            _ => Err(Refusal::Kind),
        }
    }

    fn show(&self) -> String {
        if self.is_zero() {
            return "\"0s\"".into();
        }
        let milliseconds = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        // The largest unit that says it whole, but seconds up to two minutes and hours up to three days, as people do.
        let customary = |size: u64| match size {
            86_400_000 => milliseconds > 3 * 86_400_000,
            60_000.. => milliseconds > 120_000,
            _ => true,
        };
        let unit =
            UNITS.iter().rev().find(|(_, size)| milliseconds.is_multiple_of(*size) && customary(*size));
        let (unit, size) = unit.copied().unwrap_or(UNITS[0]);
        format!("\"{}{unit}\"", milliseconds / size)
    }
}

/// Numbers with their units, largest first or not, without spaces between: `1m30s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    let mut milliseconds = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let unit_end = rest[digits..]
            .find(|character: char| character.is_ascii_digit())
            .map_or(rest.len(), |length| digits + length);
        let (number, unit) = (&rest[..digits], &rest[digits..unit_end]);
        let number: u64 = number.parse().map_err(|_| format!("{text:?} isn't a number with a unit"))?;
        let size =
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size).ok_or_else(
                || match unit {
                    "" => format!("{text:?} has no unit (ms, s, m, h, d)"),
                    unit => format!("{unit:?} isn't a unit (ms, s, m, h, d)"),
                },
            )?;
        milliseconds = number
            .checked_mul(size)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or_else(|| format!("{text:?} is too long"))?;
        rest = &rest[unit_end..];
    }
    Ok(Duration::from_millis(milliseconds))
}

/// A number of bytes; written with a unit of 1,024s (`20GiB`) or 1,000s (`20GB`), or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        let (unit, size) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl Leaf for ByteSize {
    fn wants() -> String {
        "a size such as \"64KiB\", \"512MiB\" or \"20GiB\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        match scalar(node) {
            Kind::Integer(number) => u64::try_from(number).map(ByteSize).map_err(|_| Refusal::Kind),
            Kind::String(text) => parse_size(&text).map(ByteSize).map_err(Refusal::Value),
            _ => Err(Refusal::Kind),
        }
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("{text:?} isn't a whole number with a unit"))?;
    let unit = text[digits..].trim();
    let size = match unit {
        "" => 1,
        _ => match SIZES.iter().find(|(name, _)| *name == unit) {
            Some((_, size)) => *size,
            None => return Err(format!("{unit:?} isn't a unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)")),
        },
    };
    number.checked_mul(size).ok_or_else(|| format!("{text:?} is too much"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("10ms", 10),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "10 s",
            "1.5s",
            "-1s",
            "10sec",
            "99999999999999999999s",
            "9999999999999999d",
            "1s5",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_people_write_them() {
        for (milliseconds, shown) in [
            (0, "0s"),
            (10, "10ms"),
            (1_500, "1500ms"),
            (5_000, "5s"),
            (60_000, "60s"),
            (300_000, "5m"),
            (86_400_000, "24h"),
            (604_800_000, "7d"),
        ] {
            assert_eq!(Duration::from_millis(milliseconds).show(), format!("\"{shown}\""));
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("20GiB", 20 << 30), ("64KiB", 65_536), ("1kB", 1_000), ("7", 7), ("7 B", 7)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "20gib", "-1B", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(ByteSize(20 << 30).to_string(), "20GiB");
        assert_eq!(ByteSize(1_500).to_string(), "1500B");
    }
}
