//! One rate.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ringway_config::Quota;

use crate::rate::{Over, after, without};

/// So many a second, and so many at once. May be asked from any thread; never waits.
#[derive(Debug)]
pub struct Bucket {
    /// Packed, so that both are always of one quota: a rate may be renewed while others ask.
    quota: AtomicU64,
    /// Nanoseconds since [`BEGINNING`] until which the rate is used up.
    used_until: AtomicU64,
}

/// What times are counted from. Not before the first is asked for, so that all are after it.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since [`BEGINNING`]; 584 years of them fit.
pub(crate) fn nanoseconds(now: Instant) -> u64 {
    now.saturating_duration_since(*BEGINNING).as_nanos() as u64
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        LazyLock::force(&BEGINNING);
        Bucket { quota: AtomicU64::new(packed(quota)), used_until: AtomicU64::new(0) }
    }

    /// A bucket that isn't held to anything yet.
    #[must_use]
    pub fn unused() -> Self {
        Bucket::new(Quota { per_second: 0, burst: 1 })
    }

    /// What it is held to.
    #[must_use]
    pub fn quota(&self) -> Quota {
        unpacked(self.quota.load(Ordering::Relaxed))
    }

    /// Holds it to another quota from now on. What was used stays used: for as long as it would have been, at most.
    pub fn renew(&self, quota: Quota) {
        self.quota.store(packed(quota), Ordering::Relaxed);
    }

    /// Takes `count` together. More than fit at once are taken as so many as do.
    ///
    /// # Errors
    /// [`Over`]: nothing was taken.
    pub fn take(&self, count: u32) -> Result<(), Over> {
        self.take_at(count, Instant::now())
    }

    /// As [`take`](Self::take), for who knows what time it is.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_at(&self, count: u32, now: Instant) -> Result<(), Over> {
        if count == 0 {
            return Ok(());
        }
        let (quota, now) = (self.quota(), nanoseconds(now));
        let mut used_until = self.used_until.load(Ordering::Relaxed);
        loop {
            let later = after(quota, used_until, count, now)?;
            match self.used_until.compare_exchange_weak(
                used_until,
                later,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(other) => used_until = other,
            }
        }
    }

    /// Gives back what was taken and not used after all: where another limit refused it.
    pub fn give_back(&self, count: u32) {
        let quota = self.quota();
        let less = |used_until| Some(without(quota, used_until, count));
        // The closure never refuses.
        let _ = self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether it is as good as new: forgetting it gives nobody more than was due.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full_at(Instant::now())
    }

    /// As [`is_full`](Self::is_full), for who knows what time it is.
    #[must_use]
    pub fn is_full_at(&self, now: Instant) -> bool {
        self.used_until.load(Ordering::Relaxed) <= nanoseconds(now)
    }
}

fn packed(quota: Quota) -> u64 {
    u64::from(quota.per_second) << 32 | u64::from(quota.burst)
}

fn unpacked(packed: u64) -> Quota {
    Quota { per_second: (packed >> 32) as u32, burst: packed as u32 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn bucket(per_second: u32, burst: u32) -> (Bucket, Instant) {
        (Bucket::new(Quota { per_second, burst }), Instant::now())
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn over(retry: u64) -> Result<(), Over> {
        Err(Over { retry: Some(ms(retry)) })
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (bucket, now) = bucket(10, 3);
        for _ in 0..3 {
            assert_eq!(bucket.take_at(1, now), Ok(()));
        }
        assert_eq!(bucket.take_at(1, now), over(100));
        assert_eq!(bucket.take_at(2, now), over(200));
        assert_eq!(bucket.take_at(1, now + ms(99)), over(1));
        assert_eq!(bucket.take_at(1, now + ms(100)), Ok(()));
        assert_eq!(bucket.take_at(1, now + ms(100)), over(100));
        // Long unused, it is full, and no fuller.
        assert_eq!(bucket.take_at(3, now + ms(100_000)), Ok(()));
        assert_eq!(bucket.take_at(1, now + ms(100_000)), over(100));
    }

    #[test]
    fn zero_lets_nothing_through_ever() {
        let (bucket, now) = bucket(0, 100);
        assert_eq!(bucket.take_at(1, now), Err(Over { retry: None }));
        assert_eq!(bucket.take_at(1, now + ms(10_000_000)), Err(Over { retry: None }));
        // Nothing is always let through.
        assert_eq!(bucket.take_at(0, now), Ok(()));
    }

    #[test]
    fn more_than_a_burst_goes_as_a_burst() {
        let (bucket, now) = bucket(10, 3);
        assert_eq!(bucket.take_at(50, now), Ok(()));
        assert_eq!(bucket.take_at(50, now), over(300));
        assert_eq!(bucket.take_at(50, now + ms(300)), Ok(()));
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let (bucket, now) = bucket(10, 3);
        bucket.take_at(3, now).unwrap();
        bucket.give_back(2);
        assert_eq!(bucket.take_at(2, now), Ok(()));
        assert_eq!(bucket.take_at(1, now), over(100));
        bucket.give_back(50);
        assert_eq!(bucket.take_at(4, now), Ok(()));
        assert_eq!(bucket.take_at(1, now), over(100));
    }

    #[test]
    fn a_renewed_rate_is_no_new_burst() {
        let (bucket, now) = bucket(10, 10);
        bucket.take_at(10, now).unwrap();
        bucket.renew(Quota { per_second: 5, burst: 5 });
        assert_eq!(bucket.quota(), Quota { per_second: 5, burst: 5 });
        assert_eq!(bucket.take_at(1, now), over(200));
        bucket.renew(Quota { per_second: 0, burst: 1 });
        assert_eq!(bucket.take_at(1, now + ms(5_000)), Err(Over { retry: None }));
        bucket.renew(Quota { per_second: 10, burst: 10 });
        assert_eq!(bucket.take_at(10, now + ms(5_000)), Ok(()));
    }

    #[test]
    fn it_is_full_when_nothing_is_owed() {
        let (bucket, now) = bucket(10, 3);
        assert!(bucket.is_full_at(now));
        bucket.take_at(2, now).unwrap();
        assert!(!bucket.is_full_at(now + ms(199)));
        assert!(bucket.is_full_at(now + ms(200)));
    }

    #[test]
    fn many_threads_take_no_more_than_one_would() {
        let (bucket, now) = bucket(1, 10_000);
        let taken = std::thread::scope(|scope| {
            let take = || (0..5_000).filter(|_| bucket.take_at(1, now).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 10_000);
    }
}
