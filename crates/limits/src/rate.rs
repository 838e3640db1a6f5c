//! The rule itself, on plain numbers.

use std::time::Duration;

use ringway_config::Quota;

const SECOND: u64 = 1_000_000_000;

/// Why something isn't let through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// After which it would be, if nothing else is in between. None: never.
    pub retry: Option<Duration>,
}

impl Over {
    /// [`retry`](Self::retry) as clients are told: in milliseconds, rounded up, so that it holds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u32> {
        self.retry.map(|retry| u32::try_from(retry.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }
}

/// The moment until which a rate is used up, after `count` more at `now`. Both are nanoseconds from the same beginning.
///
/// A count is never longer than it should be by a nanosecond, so a rate is never exceeded in the long run; a burst may be
/// taken one by one or at once. No quota overflows: the longest is 2³² at one a second, 2⁶² ns.
pub(crate) fn after(quota: Quota, used_until: u64, count: u32, now: u64) -> Result<u64, Over> {
    if quota.per_second == 0 {
        return Err(Over { retry: None });
    }
    let burst = quota.burst.max(1);
    // What could never be let through at once is let through as what can: it is one piece, and has to go some time.
    let until = used_until.max(now) + length(quota, count.min(burst));
    let latest = now + length(quota, 1) * u64::from(burst);
    if until <= latest { Ok(until) } else { Err(Over { retry: Some(Duration::from_nanos(until - latest)) }) }
}

/// The moment until which a rate is used up without `count` of what was taken.
pub(crate) fn without(quota: Quota, used_until: u64, count: u32) -> u64 {
    match quota.per_second {
        0 => used_until,
        _ => used_until.saturating_sub(length(quota, count.min(quota.burst.max(1)))),
    }
}

/// Nanoseconds that `count` last at the rate, rounded up.
fn length(quota: Quota, count: u32) -> u64 {
    (u64::from(count) * SECOND).div_ceil(u64::from(quota.per_second))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_is_told_rounded_up() {
        let told = |nanoseconds| Over { retry: Some(Duration::from_nanos(nanoseconds)) }.retry_ms();
        assert_eq!((told(1), told(1_000_000), told(1_000_001)), (Some(1), Some(1), Some(2)));
        assert_eq!(told(u64::MAX), Some(u32::MAX));
        assert_eq!(Over { retry: None }.retry_ms(), None);
    }

    fn quota() -> impl Strategy<Value = Quota> {
        let any =
            || prop_oneof![1..=5u32, 1..=10_000u32, Just(u32::MAX), any::<u32>().prop_map(|n| n.max(1))];
        (any(), any()).prop_map(|(per_second, burst)| Quota { per_second, burst })
    }

    proptest! {
        /// In any time no more than the burst and what the rate gives in it; and what is refused is let through after
        /// `retry`, and not before.
        #[test]
        fn the_rate_holds_and_retry_is_true(
            quota in quota(),
            asks in proptest::collection::vec((0..2_000_000_000u64, 1..=100_000u32), 1..100),
        ) {
            let (mut until, mut now, mut taken) = (0, 1u64 << 60, 0u128);
            let start = now;
            for (wait, count) in asks {
                now += wait;
                match after(quota, until, count, now) {
                    Ok(later) => {
                        until = later;
                        taken += u128::from(count.min(quota.burst));
                    }
                    Err(over) => {
                        let retry = u64::try_from(over.retry.unwrap().as_nanos()).unwrap();
                        prop_assert!(after(quota, until, count, now + retry).is_ok());
                        prop_assert!(after(quota, until, count, now + retry - 1).is_err());
                    }
                }
                // A burst may be longer by a nanosecond for each of it (see `length`).
                let rounding = u128::from(quota.burst) * u128::from(quota.per_second) / 1_000_000_000;
                let most = u128::from(quota.burst) + rounding
                    + u128::from(now - start) * u128::from(quota.per_second) / 1_000_000_000;
                prop_assert!(taken <= most, "{taken} of {most}");
            }
        }

        #[test]
        fn a_full_burst_goes_at_once_or_one_by_one(per_second in 1..=10_000u32, burst in 1..=200u32) {
            let quota = Quota { per_second, burst };
            let mut until = 0;
            for _ in 0..burst {
                until = after(quota, until, 1, 5).unwrap();
            }
            prop_assert!(after(quota, until, 1, 5).is_err());
            prop_assert!(after(quota, 0, burst, 5).is_ok());
        }
    }
}
