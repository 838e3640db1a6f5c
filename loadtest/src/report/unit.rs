//! Numbers as a reader wants them.

use super::spread::Spread;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Times the floor.
    Ratio,
    Micros,
    /// Bytes; a KB is 1,000 of them.
    Bytes,
    /// 1 is the whole.
    Share,
    Count,
    Number,
    PerSecond,
    BytesPerMinute,
}

impl Unit {
    /// `1.05 ×`, `6.95 µs`, `12,345`.
    pub(crate) fn show(self, value: f64) -> String {
        let (divisor, suffix) = self.scale(value);
        format!("{}{suffix}", self.digits(value / divisor, divisor))
    }

    /// The range in the median's own scale, without the unit: `1.02–1.09`. Nothing where there is none to be seen.
    pub(super) fn range(self, spread: &Spread) -> Option<String> {
        if spread.of < 2 {
            return None;
        }
        let (divisor, _) = self.scale(spread.median);
        let least = self.digits(spread.least / divisor, divisor);
        let greatest = self.digits(spread.greatest / divisor, divisor);
        (least != greatest).then(|| format!("{least}–{greatest}"))
    }

    fn scale(self, value: f64) -> (f64, &'static str) {
        let size = value.abs();
        match self {
            Self::Ratio => (1.0, " ×"),
            Self::Share => (0.01, " %"),
            Self::Count | Self::Number => (1.0, ""),
            Self::Micros => match size {
                ..999.5 => (1.0, " µs"),
                ..999_500.0 => (1e3, " ms"),
                _ => (1e6, " s"),
            },
            Self::PerSecond => match size {
                ..99_950.0 => (1.0, "/s"),
                ..999_500.0 => (1e3, " k/s"),
                _ => (1e6, " M/s"),
            },
            Self::Bytes => match size {
                ..999.5 => (1.0, " B"),
                ..999_500.0 => (1e3, " KB"),
                ..999.5e6 => (1e6, " MB"),
                _ => (1e9, " GB"),
            },
            Self::BytesPerMinute => match size {
                ..999.5 => (1.0, " B/min"),
                ..999_500.0 => (1e3, " KB/min"),
                _ => (1e6, " MB/min"),
            },
        }
    }

    /// Three digits that count, and no more than the figure has.
    fn digits(self, value: f64, divisor: f64) -> String {
        let whole = matches!(self, Self::Count)
            || (matches!(self, Self::Bytes | Self::BytesPerMinute) && divisor <= 1.0);
        let decimals = match value.abs() {
            size if whole || size == 0.0 => 0,
            ..0.0995 if self == Self::Ratio => 3,
            ..9.995 => 2,
            ..99.95 => 1,
            _ => 0,
        };
        grouped(&format!("{value:.decimals$}"))
    }
}

/// `1.05 × [1.02–1.09]`.
pub(super) fn with_range(unit: Unit, spread: &Spread) -> String {
    match unit.range(spread) {
        Some(range) => format!("{} [{range}]", unit.show(spread.median)),
        None => unit.show(spread.median),
    }
}

/// A minus that is one, and commas between thousands.
fn grouped(number: &str) -> String {
    let (minus, number) = match number.strip_prefix('-') {
        Some(rest) if rest.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => ("−", rest),
        Some(rest) => ("", rest),
        None => ("", number),
    };
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut grouped = String::from(minus);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_a_table() {
        let cases = [
            (Unit::Ratio, 1.052, "1.05 ×"),
            (Unit::Ratio, 0.0841, "0.084 ×"),
            (Unit::Ratio, 19.23, "19.2 ×"),
            (Unit::Micros, 6.954, "6.95 µs"),
            (Unit::Micros, 999.7, "1.00 ms"),
            (Unit::Micros, 12_340.0, "12.3 ms"),
            (Unit::Micros, 2_500_000.0, "2.50 s"),
            (Unit::Bytes, 929.4, "929 B"),
            (Unit::Bytes, 1_500.0, "1.50 KB"),
            (Unit::Bytes, 137_000.0, "137 KB"),
            (Unit::Bytes, -412.0, "−412 B"),
            (Unit::Bytes, 23.4e6, "23.4 MB"),
            (Unit::Share, 0.0042, "0.42 %"),
            (Unit::Share, 1.0, "100 %"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, 0.0, "0"),
            (Unit::PerSecond, 12_345.0, "12,345/s"),
            (Unit::PerSecond, 123_456.0, "123 k/s"),
            (Unit::BytesPerMinute, -0.2, "0 B/min"),
            (Unit::Number, 7.96, "7.96"),
        ];
        for (unit, value, wanted) in cases {
            assert_eq!(unit.show(value), wanted);
        }
    }

    #[test]
    fn a_range_is_in_the_medians_scale() {
        let spread = Spread { median: 1_200.0, least: 900.0, greatest: 13_000.0, of: 3 };
        assert_eq!(with_range(Unit::Micros, &spread), "1.20 ms [0.90–13.0]");
        let steady = Spread { median: 20.0, least: 20.0, greatest: 20.0, of: 3 };
        assert_eq!(with_range(Unit::Count, &steady), "20");
        let alone = Spread { of: 1, ..spread };
        assert_eq!(with_range(Unit::Micros, &alone), "1.20 ms");
    }
}
