//! The lifetime of a room's numbering, ordered so that of any two the greater wins everywhere.

use std::fmt;
use std::str::FromStr;

/// A room's epoch. Ordered by when it began, then by node, then by chance: the greatest epoch wins.
///
/// Written `{ms:012x}-{node:016x}-{random:08x}`, lower case; that form is what clients see and give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Milliseconds since 1970 at its beginning, or one more than the greatest epoch known then, if that is more.
    pub ms: u64,
    /// A hash of the id of the node that began it.
    pub node: u64,
    /// Tells two epochs apart that one node began in the same millisecond (a restart within it, say).
    pub random: u32,
}

impl Epoch {
    /// The one after it where a stream's numbers can't be believed any more: whoever notices that comes to the same one.
    #[must_use]
    pub fn bumped(self) -> Self {
        Self { ms: self.ms.saturating_add(1), ..self }
    }

    /// Whether one became the other by bumps alone.
    #[must_use]
    pub fn is_kin_of(&self, other: &Self) -> bool {
        (self.node, self.random) == (other.node, other.random)
    }
}

/// A text that is no epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an epoch: three lower-case hexadecimal numbers of 12 (or more), 16 and 8 digits, joined by hyphens"
)]
pub struct EpochError;

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}-{:016x}-{:08x}", self.ms, self.node, self.random)
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    /// Reads exactly what `Display` writes: one epoch has one text.
    fn from_str(text: &str) -> Result<Self, EpochError> {
        let mut parts = text.split('-');
        let mut number = |width| {
            let part = parts.next().ok_or(EpochError)?;
            // `from_str_radix` alone would also take `+1` and capitals.
            let digits = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let whole = part.len() == width || (width == 12 && part.len() > 12 && !part.starts_with('0'));
            if !digits || !whole {
                return Err(EpochError);
            }
            u64::from_str_radix(part, 16).map_err(|_| EpochError)
        };
        let (ms, node, random) = (number(12)?, number(16)?, number(8)?);
        let random = u32::try_from(random).map_err(|_| EpochError)?;
        match parts.next() {
            None => Ok(Self { ms, node, random }),
            Some(_) => Err(EpochError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_value_are_one(ms: u64, node: u64, random: u32) {
            let epoch = Epoch { ms, node, random };
            prop_assert_eq!(epoch.to_string().parse::<Epoch>(), Ok(epoch));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[0-9a-f]{11,17}-[0-9a-f]{15,17}-[0-9a-f]{7,9}") {
            if let Ok(epoch) = text.parse::<Epoch>() {
                prop_assert_eq!(epoch.to_string(), text);
            }
        }
    }

    #[test]
    fn later_wins_then_node_then_chance() {
        let epoch = |ms, node, random| Epoch { ms, node, random };
        assert!(epoch(2, 0, 0) > epoch(1, 9, 9));
        assert!(epoch(1, 2, 0) > epoch(1, 1, 9));
        assert!(epoch(1, 1, 2) > epoch(1, 1, 1));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "-",
            "1-2-3",
            "+0000000000a-0000000000000000-00000000",
            "00000000000A-0000000000000000-00000000",
        ] {
            assert_eq!(text.parse::<Epoch>(), Err(EpochError), "{text}");
        }
        assert!("00000000000a-0000000000000000-00000000".parse::<Epoch>().is_ok());
        assert!("00000000000a-0000000000000000-00000000-".parse::<Epoch>().is_err());
    }
}
