//! Every value of a configuration beside its key, to be compared with another's and to be summed up.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes of the sum that are shown: enough that two configurations never have the same by chance.
const SHOWN: usize = 8;

/// Values by their keys' paths, defaults filled in. A secret stands here as its digest.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Exact(BTreeMap<String, String>);

impl Exact {
    pub(crate) fn put(&mut self, path: &str, value: String) {
        self.0.insert(path.to_owned(), value);
    }

    /// The keys whose values aren't the same in both, those that only one has among them; sorted.
    pub(crate) fn differing(&self, other: &Exact) -> Vec<String> {
        let mut keys: Vec<String> = self
            .0
            .iter()
            .filter(|(key, value)| other.0.get(*key) != Some(value))
            .map(|(key, _)| key)
            .chain(other.0.keys().filter(|key| !self.0.contains_key(*key)))
            .cloned()
            .collect();
        keys.sort();
        keys
    }

    /// A sum over all of it and `salt`, in hexadecimal digits.
    pub(crate) fn sum(&self, salt: &[u8]) -> String {
        let mut sum = Sha256::new();
        let mut add = |part: &[u8]| {
            // With its length, so that no two lists of parts read alike.
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part);
        };
        add(salt);
        for (key, value) in &self.0 {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        hex(&sum.finalize()[..SHOWN])
    }
}

/// What stands for a secret where values are compared.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(values: &[(&str, &str)]) -> Exact {
        let mut exact = Exact::default();
        values.iter().for_each(|(key, value)| exact.put(key, (*value).to_owned()));
        exact
    }

    #[test]
    fn keys_differ_by_value_and_by_being_there() {
        let (one, other) =
            (exact(&[("a", "1"), ("b", "1"), ("c", "1")]), exact(&[("a", "1"), ("b", "2"), ("d", "1")]));
        assert_eq!(one.differing(&other), ["b", "c", "d"]);
        assert_eq!(other.differing(&one), ["b", "c", "d"]);
        assert!(one.differing(&one).is_empty());
    }

    #[test]
    fn the_sum_is_of_keys_values_and_salt() {
        let sum = |values: &[(&str, &str)], salt: &[u8]| exact(values).sum(salt);
        let one = sum(&[("a", "1"), ("b", "2")], b"salt");
        assert_eq!(one.len(), 2 * SHOWN);
        assert_eq!(one, sum(&[("b", "2"), ("a", "1")], b"salt"));
        for other in [
            sum(&[("a", "1"), ("b", "2")], b""),
            sum(&[("a", "1b"), ("", "2")], b"salt"),
            sum(&[("a", "1")], b"salt"),
        ] {
            assert_ne!(one, other);
        }
    }
}
