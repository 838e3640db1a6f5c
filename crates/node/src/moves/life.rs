//! How long a connection may stand, where that has an end: `placement.connection_lifetime`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringway_protocol::name::ConnId;
use xxhash_rust::xxh3::xxh3_64;

/// Who was told that its connection's time is over, and still stands after this, is closed.
const GRACE: Duration = Duration::from_secs(30);

/// How much shorter than the longest a life may be: a herd that came at once doesn't go at once.
const SPREAD: f64 = 0.1;

/// Lives that are over all together (the lifetime was set just now) are ended over this part of it.
const CATCH_UP: f64 = 0.05;

/// Ends are found within this part of the lifetime.
const SLACK: u32 = 50;

/// A connection's own, the same at every node.
pub(super) fn chance(id: &ConnId) -> u64 {
    xxh3_64(id.as_str().as_bytes())
}

/// The end of one connection's life. `chance`: its own, and always the same.
pub(super) fn end(opened: Instant, lifetime: Duration, chance: u64) -> Instant {
    let part = chance as f64 / u64::MAX as f64;
    opened + lifetime.mul_f64(1.0 - SPREAD * part)
}

/// How many lives may be ended a second, of so many: twice what a herd's would be.
pub(super) fn ends_per_second(connections: usize, lifetime: Duration) -> f64 {
    // A few are ended whenever they are due.
    connections as f64 / (lifetime.as_secs_f64() * CATCH_UP) + 10.0
}

/// How long it may take at most until all connections have been looked at.
pub(super) fn look_within(lifetime: Duration) -> Duration {
    lifetime / SLACK
}

/// How long one may stand after it was told: nobody's move takes longer, and it is no second life.
pub(super) fn grace(lifetime: Duration) -> Duration {
    GRACE.min(lifetime / 2)
}

/// Those who were told that their time is over, in that order, and until when they may stand.
#[derive(Debug)]
pub(super) struct LastWords<T>(VecDeque<(Instant, T)>);

impl<T> Default for LastWords<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> LastWords<T> {
    pub(super) fn told(&mut self, who: T, until: Instant) {
        self.0.push_back((until, who));
    }

    /// The next whose grace is over, each once.
    pub(super) fn next_over(&mut self, now: Instant) -> Option<T> {
        let &(until, _) = self.0.front()?;
        if now < until {
            return None;
        }
        let over = self.0.pop_front().map(|(_, who)| who);
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

    #[test]
    fn lives_end_between_nine_tenths_of_the_lifetime_and_all_of_it() {
        let (opened, lifetime) = (Instant::now(), Duration::from_secs(1_000));
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let life = end(opened, lifetime, random.random()) - opened;
            assert!((900..=1_000).contains(&life.as_secs()), "{life:?}");
            tenths[((life.as_secs() - 900) / 10).min(9) as usize] += 1;
        }
        assert!(tenths.iter().all(|some| (800..1_200).contains(some)), "{tenths:?}");
        let chance = random.random();
        assert_eq!(end(opened, lifetime, chance), end(opened, lifetime, chance));
    }

    #[test]
    fn a_herd_s_lives_end_as_they_are_due_and_a_backlog_over_a_twentieth() {
        let hour = Duration::from_secs(3_600);
        let due_at_most = 100_000.0 / (hour.as_secs_f64() * SPREAD);
        assert!(ends_per_second(100_000, hour) > 1.9 * due_at_most);
        assert!(100_000.0 / ends_per_second(100_000, hour) > 170.0);
        assert!(ends_per_second(1, Duration::from_secs(60)) > 10.0);
        assert!(look_within(Duration::from_secs(60)) < Duration::from_secs(2));
    }

    #[test]
    fn who_still_stands_after_its_grace_is_due_once() {
        let (mut words, start) = (LastWords::default(), Instant::now());
        assert_eq!(grace(Duration::from_secs(60)), GRACE);
        words.told("a", start + GRACE);
        words.told("b", start + GRACE + Duration::from_secs(1));
        assert_eq!(words.next_over(start + GRACE - Duration::from_millis(1)), None);
        assert_eq!(words.next_over(start + GRACE), Some("a"));
        assert_eq!(words.next_over(start + GRACE), None);
        assert_eq!(words.next_over(start + GRACE * 2), Some("b"));
        assert_eq!(words.next_over(start + GRACE * 2), None);
    }
}
