//! How long to stay away after a connection was lost: a value that is told what happened.

use std::time::Duration;

use rand::{Rng, RngExt};
use ringway_protocol::close;

/// The first ceiling of the jitter; each further one is twice the one before.
const FIRST: Duration = Duration::from_millis(500);
/// No ceiling is above this.
const MOST: Duration = Duration::from_secs(20);
/// A connection that stood so long was a good one: the ceilings begin anew.
const STANDING: Duration = Duration::from_secs(30);
/// No hint is followed for longer, whatever the server says.
const MOST_HINT: Duration = Duration::from_secs(3_600);

/// Full jitter from 0.5 s to 20 s, the server's hint first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// A connection ended that had stood for so long since its `hello` (zero: there was none).
    pub fn ended_after(&mut self, stood: Duration) {
        if stood >= STANDING {
            self.attempt = 0;
        }
    }

    /// How long to wait before the next attempt. `reason` is that of the close, or anything else
    /// that may hold a hint, ` retry=MS`.
    pub fn next(&mut self, reason: &str, random: &mut impl Rng) -> Duration {
        let ceiling = MOST.min(FIRST * 2_u32.saturating_pow(self.attempt.min(16)));
        self.attempt = self.attempt.saturating_add(1);
        match close::retry_hint(reason) {
            Some(hint) => MOST_HINT.min(Duration::from_millis(hint)),
            None => ceiling.mul_f64(random.random::<f64>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn the_ceilings_grow_from_half_a_second_to_twenty_and_begin_anew_after_thirty_of_standing() {
        let greatest = |attempt| {
            let mut random = SmallRng::seed_from_u64(1);
            let backoff = Backoff { attempt };
            (0..2_000).map(|_| backoff.clone().next("", &mut random).as_secs_f64()).fold(0.0, f64::max)
        };
        for (attempt, ceiling) in [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 20.0), (u32::MAX, 20.0)] {
            let seen = greatest(attempt);
            assert!(seen <= ceiling && seen > ceiling * 0.99, "attempt {attempt}: {seen}");
        }
        let mut backoff = Backoff { attempt: 6 };
        backoff.ended_after(Duration::from_millis(29_999));
        assert_eq!(backoff.attempt, 6);
        backoff.ended_after(Duration::from_secs(30));
        assert_eq!(backoff.attempt, 0);
    }

    proptest! {
        #[test]
        fn the_servers_hint_goes_first(ms in 0_u64..3_600_000, attempt in 0_u32..50, seed: u64) {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff { attempt };
            let hint = backoff.next(&format!("overloaded retry={ms}"), &mut random);
            prop_assert_eq!(hint, Duration::from_millis(ms));
        }

        #[test]
        fn nothing_a_server_says_keeps_us_away_for_ever(reason in ".*", attempt: u32, seed: u64) {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff { attempt };
            prop_assert!(backoff.next(&reason, &mut random) <= MOST_HINT);
        }
    }
}
