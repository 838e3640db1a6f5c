//! How long a client waits for its next refusal: the first come at once, those of one that goes on regardless later.
//!
//! Meanwhile nothing more is read of it, so that it is the client's own socket that fills. It decides, and waits for
//! nothing: time comes in.

use std::time::{Duration, Instant};

/// Refusals of whatever kind that are told at once, after a time without any.
const AT_ONCE: u32 = 20;

/// And after which time there is one more.
const ONE_MORE: Duration = Duration::from_millis(100);

/// No refusal waits longer.
const LONGEST: Duration = Duration::from_secs(1);

/// All refusals of what was read at once wait no longer together: among what isn't read meanwhile are the signs of life by
/// which a client is judged, and the word that it leaves.
const TOGETHER: Duration = Duration::from_secs(5);

/// What is remembered of one client's refusals. There once it had any.
#[derive(Debug)]
pub struct Patience {
    /// Whoever was told to come back then, and asks for too much before, goes on regardless.
    told: Instant,
    /// When all refusals are forgotten.
    forgotten: Instant,
    /// How long those of what was read at once have waited.
    waited: Duration,
}

impl Patience {
    /// Of a client that was refused nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { told: now, forgotten: now, waited: Duration::ZERO }
    }

    /// What comes now was read at another time.
    pub fn read(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// One more refusal: how long it waits.
    pub fn refused(&mut self, now: Instant) -> Duration {
        let wait = self.count(now, 1);
        self.within_bounds(wait)
    }

    /// One more, since too much was asked for; `retry` as that is told, from now. How long it waits.
    pub fn too_much(&mut self, now: Instant, retry: Option<Duration>) -> Duration {
        let regardless = self.told.saturating_duration_since(now).min(LONGEST);
        let wait = self.count(now, 1).max(regardless);
        let wait = self.within_bounds(wait);
        // Where no time helps, each waits for the longest after the one before.
        self.told = self.told.max(now + retry.unwrap_or(wait + LONGEST));
        wait
    }

    /// So many were told by others meanwhile: how long the client's next frame waits.
    pub fn were_told(&mut self, now: Instant, count: u32) -> Duration {
        let wait = self.count(now, count);
        self.within_bounds(wait)
    }

    fn count(&mut self, now: Instant, count: u32) -> Duration {
        let most = now + ONE_MORE * AT_ONCE;
        // No more is held against it than it waits for.
        self.forgotten = (self.forgotten.max(now) + ONE_MORE * count.min(1_000)).min(most + LONGEST);
        self.forgotten.saturating_duration_since(most)
    }

    fn within_bounds(&mut self, wait: Duration) -> Duration {
        let wait = wait.min(LONGEST).min(TOGETHER.saturating_sub(self.waited));
        self.waited += wait;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_refusals_come_at_once_and_then_ten_a_second() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        for _ in 0..AT_ONCE {
            assert_eq!(patience.refused(start), ZERO);
        }
        let mut now = start;
        for _ in 0..10 {
            let wait = patience.refused(now);
            assert_eq!(wait, ms(100));
            now += wait;
        }
        let later = now + ONE_MORE * AT_ONCE;
        for _ in 0..AT_ONCE {
            assert_eq!(patience.refused(later), ZERO);
        }
        assert_eq!(patience.refused(later), ms(100));
    }

    #[test]
    fn who_asks_for_too_much_before_it_was_told_to_waits_until_then() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.too_much(start, Some(ms(300))), ZERO);
        assert_eq!(patience.too_much(start + ms(100), Some(ms(200))), ms(200));
        assert_eq!(patience.too_much(start + ms(300), Some(ms(300))), ZERO, "it waited for that one");
        assert_eq!(patience.too_much(start + ms(600), Some(ms(9_000))), ZERO);
        assert_eq!(patience.too_much(start + ms(700), Some(ms(8_900))), LONGEST);
    }

    #[test]
    fn where_no_time_helps_each_but_the_first_waits_the_longest() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        assert_eq!(patience.too_much(now, None), ZERO);
        for _ in 0..3 {
            let wait = patience.too_much(now, None);
            assert_eq!(wait, LONGEST);
            now += wait;
        }
    }

    #[test]
    fn what_was_read_at_once_waits_for_a_bounded_time_together() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        for _ in 0..2 {
            patience.read();
            let waits: Duration = (0..100)
                .map(|_| {
                    let wait = patience.too_much(now, None);
                    now += wait;
                    wait
                })
                .sum();
            assert_eq!(waits, TOGETHER);
        }
    }

    #[test]
    fn what_others_refused_counts_and_is_held_against_it_for_a_moment_only() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.were_told(start, AT_ONCE), ZERO);
        assert_eq!(patience.were_told(start, 3), ms(300));
        assert_eq!(patience.were_told(start, 1_000_000), LONGEST);
        assert_eq!(patience.refused(start + LONGEST), ms(100));
        assert_eq!(patience.refused(start + LONGEST + ONE_MORE * (AT_ONCE + 1)), ZERO);
    }
}
