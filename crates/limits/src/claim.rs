//! Something that uses several rates at once: all of them, or none.

use std::time::{Duration, Instant};

use ringway_config::Quota;

use crate::bucket::Bucket;

/// So much of a bucket, and what is said where it isn't in it.
#[derive(Debug)]
pub struct Claim<'a> {
    bucket: &'a Bucket,
    count: u32,
    whose: &'static str,
}

/// Why claims aren't granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// For people.
    pub whose: &'static str,
    /// After which they would be, in whole milliseconds, if nobody comes between. None: never.
    pub retry: Option<Duration>,
}

impl<'a> Claim<'a> {
    /// None where there is no limit.
    #[must_use]
    pub fn new(bucket: &'a Bucket, quota: Option<Quota>, count: u32, whose: &'static str) -> Option<Self> {
        let quota = quota?;
        // The limit may have changed; what was used stays used.
        if bucket.quota() != quota {
            bucket.renew(quota);
        }
        Some(Self { bucket, count, whose })
    }

    /// Takes all of them.
    ///
    /// # Errors
    /// [`Exceeded`], by the first that isn't in its bucket: none was taken.
    pub fn take_all<const N: usize>(claims: &[Option<Self>; N], now: Instant) -> Result<(), Exceeded> {
        for (taken, claim) in claims.iter().flatten().enumerate() {
            if let Err(over) = claim.bucket.take_at(claim.count, now) {
                for claim in claims.iter().flatten().take(taken) {
                    claim.bucket.give_back(claim.count);
                }
                let retry = over.retry_ms().map(|ms| Duration::from_millis(u64::from(ms)));
                return Err(Exceeded { whose: claim.whose, retry });
            }
        }
        Ok(())
    }
}
