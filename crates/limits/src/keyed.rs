//! One rate for each of many, such as users.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use parking_lot::Mutex;
use ringway_config::Quota;

use crate::bucket::nanoseconds;
use crate::rate::{Over, after, without};

/// How many keys are remembered. Names may be invented by who is to be limited, so there must be a bound; this one is over
/// what a process can serve at a time.
pub const KEYS_MAX: usize = 100_000;

/// A bucket for each key that is seen; those that are full again are forgotten by [`tidy`](Self::tidy).
///
/// Beyond [`KEYS_MAX`] keys all further ones share one bucket: under a flood of names newcomers have to wait, and
/// whoever is known already is served as before.
#[derive(Debug)]
pub struct Keyed<K> {
    quota: Quota,
    most: usize,
    used: Mutex<Used<K>>,
}

/// Until when each is used up, in nanoseconds.
#[derive(Debug)]
struct Used<K> {
    of: HashMap<K, u64>,
    /// Of all who weren't to be remembered.
    others: u64,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// Full buckets.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::with_most(quota, KEYS_MAX)
    }

    fn with_most(quota: Quota, most: usize) -> Self {
        Keyed { quota, most, used: Mutex::new(Used { of: HashMap::new(), others: 0 }) }
    }

    /// Takes `count` of `key`'s together. More than fit at once are taken as so many as do.
    ///
    /// # Errors
    /// [`Over`]: nothing was taken.
    pub fn take(&self, key: &K, count: u32) -> Result<(), Over> {
        self.take_at(key, count, Instant::now())
    }

    /// As [`take`](Self::take), for who knows what time it is.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_at(&self, key: &K, count: u32, now: Instant) -> Result<(), Over> {
        if count == 0 {
            return Ok(());
        }
        let now = nanoseconds(now);
        let mut used = self.used.lock();
        if let Some(until) = used.of.get_mut(key) {
            *until = after(self.quota, *until, count, now)?;
        } else if used.of.len() < self.most {
            let until = after(self.quota, 0, count, now)?;
            used.of.insert(key.clone(), until);
        } else {
            used.others = after(self.quota, used.others, count, now)?;
        }
        Ok(())
    }

    /// Gives back what `key` took and didn't use after all: where another limit refused it.
    pub fn give_back(&self, key: &K, count: u32) {
        if let Some(until) = self.used.lock().of.get_mut(key) {
            *until = without(self.quota, *until, count);
        }
    }

    /// Forgets those that needn't be remembered. To be called every second or so; with 100,000 it takes some
    /// milliseconds, for which others wait.
    pub fn tidy(&self) {
        self.tidy_at(Instant::now());
    }

    /// As [`tidy`](Self::tidy), for who knows what time it is.
    pub fn tidy_at(&self, now: Instant) {
        let now = nanoseconds(now);
        let mut used = self.used.lock();
        used.of.retain(|_, until| *until > now);
        // Room for as many again, so that it doesn't shrink and grow each second.
        if used.of.capacity() > 4 * used.of.len() {
            let room = 2 * used.of.len();
            used.of.shrink_to(room);
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.lock().of.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    const QUOTA: Quota = Quota { per_second: 10, burst: 2 };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn over(retry: u64) -> Result<(), Over> {
        Err(Over { retry: Some(ms(retry)) })
    }

    #[test]
    fn each_has_a_bucket_of_its_own() {
        let (users, now) = (Keyed::<&str>::new(QUOTA), Instant::now());
        assert!(users.take_at(&"ann", 1, now).is_ok() && users.take_at(&"ann", 1, now).is_ok());
        assert_eq!(users.take_at(&"ann", 1, now), over(100));
        assert_eq!(users.take_at(&"bob", 1, now), Ok(()));
        assert_eq!(users.take_at(&"ann", 1, now + ms(100)), Ok(()));
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let (users, now) = (Keyed::<&str>::new(QUOTA), Instant::now());
        users.take_at(&"ann", 2, now).unwrap();
        users.give_back(&"ann", 1);
        users.give_back(&"bob", 1);
        assert_eq!(users.take_at(&"ann", 1, now), Ok(()));
        assert_eq!(users.take_at(&"ann", 1, now), over(100));
        assert_eq!(users.take_at(&"ann", 0, now), Ok(()));
    }

    #[test]
    fn only_full_ones_are_forgotten() {
        let (users, now) = (Keyed::<&str>::new(QUOTA), Instant::now());
        users.take_at(&"ann", 1, now).unwrap();
        users.take_at(&"bob", 1, now).unwrap();
        users.take_at(&"bob", 1, now).unwrap();
        users.tidy_at(now + ms(99));
        assert_eq!(users.len(), 2);
        users.tidy_at(now + ms(100));
        assert_eq!(users.len(), 1);
        assert_eq!(users.take_at(&"bob", 1, now + ms(99)), over(1));
        users.tidy_at(now + ms(200));
        assert!(users.is_empty());
        assert_eq!(users.used.lock().of.capacity(), 0);
    }

    #[test]
    fn zero_lets_nothing_through_and_remembers_nobody() {
        let users = Keyed::<&str>::new(Quota { per_second: 0, burst: 5 });
        assert_eq!(users.take(&"ann", 1), Err(Over { retry: None }));
        assert!(users.is_empty());
    }

    #[test]
    fn a_flood_of_names_fills_no_memory_and_harms_no_one_who_is_known() {
        let (users, now) = (Keyed::<String>::with_most(QUOTA, 3), Instant::now());
        let (ann, bob) = ("ann".to_owned(), "bob".to_owned());
        users.take_at(&ann, 1, now).unwrap();
        let let_in = (0..1_000).filter(|n| users.take_at(&format!("invented {n}"), 1, now).is_ok());
        // Two that were still remembered, and one bucket for all the others.
        assert_eq!(let_in.count(), 4);
        assert_eq!(users.len(), 3);
        assert_eq!(users.take_at(&ann, 1, now), Ok(()));
        assert_eq!(users.take_at(&bob, 1, now), over(100));
        // When it is over, there is room again.
        users.tidy_at(now + ms(500));
        assert_eq!(users.take_at(&bob, 1, now + ms(500)), Ok(()));
        assert_eq!(users.take_at(&bob, 1, now + ms(500)), Ok(()));
    }
}
