//! Labels whose values come from outside, with a bound on their number.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// What values beyond the bound are called.
const OTHER: &str = "other";

/// Values of a label, such as tenants: the first `limit` that are seen have their own, all others are `other`, so that
/// a caller that invents names can't fill the memory of whoever keeps the metrics.
#[derive(Debug)]
pub struct BoundedLabels {
    limit: usize,
    seen: Mutex<HashSet<Arc<str>>>,
    other: Arc<str>,
}

impl BoundedLabels {
    /// At most `limit` values beside `other`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        BoundedLabels { limit, seen: Mutex::default(), other: OTHER.into() }
    }

    /// The label's value for `name`. Takes a lock: once for a connection or a room, not for each message.
    #[must_use]
    pub fn get(&self, name: &str) -> Arc<str> {
        let mut seen = self.seen.lock();
        if let Some(known) = seen.get(name) {
            return known.clone();
        }
        if seen.len() >= self.limit {
            return self.other.clone();
        }
        let value: Arc<str> = name.into();
        seen.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_bound_are_one() {
        let labels = BoundedLabels::new(2);
        assert_eq!(
            ["a", "b", "c", "a", "d"].map(|name| labels.get(name).to_string()),
            ["a", "b", "other", "a", "other"]
        );
    }
}
