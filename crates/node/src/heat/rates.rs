//! From counters to rates.

use std::collections::VecDeque;
use std::time::Duration;

/// Over how long a rate is taken.
const OVER: Duration = Duration::from_secs(5);

/// Looks that are remembered at most: the looks of [`OVER`] at two a second, and some that came early.
const LOOKS: usize = 16;

/// What a node has counted since its start; or, of [`Rates::look`], how much that was a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) publications: u64,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_elsewhere: u64,
    pub(crate) received: u64,
    pub(crate) unwanted: u64,
}

/// The counters of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    looks: VecDeque<(Duration, Counted)>,
}

impl Rates {
    /// How much it was a second since the first look of the last five seconds; nothing at the first look. `now` is on any
    /// clock that never goes back.
    pub(crate) fn look(&mut self, now: Duration, counted: Counted) -> Counted {
        // The youngest that is old enough stays.
        while self.looks.len() > LOOKS || self.looks.get(1).is_some_and(|(at, _)| *at + OVER <= now) {
            self.looks.pop_front();
        }
        self.looks.push_back((now, counted));
        let Some((then, before)) = self.looks.front() else { return Counted::default() };
        let seconds = now.saturating_sub(*then).as_secs_f64();
        if seconds == 0.0 {
            return Counted::default();
        }
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
        Counted {
            publications: rate(counted.publications, before.publications),
            deliveries: rate(counted.deliveries, before.deliveries),
            deliveries_elsewhere: rate(counted.deliveries_elsewhere, before.deliveries_elsewhere),
            received: rate(counted.received, before.received),
            unwanted: rate(counted.unwanted, before.unwanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(publications: u64) -> Counted {
        Counted { publications, ..Counted::default() }
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut rates = Rates::default();
        let at = |look: u64| Duration::from_millis(500 * look);
        assert_eq!(rates.look(at(0), counted(1_000)), counted(0));
        for look in 1..=20 {
            let rate = rates.look(at(look), counted(1_000 + 50 * look)).publications;
            assert_eq!(rate, 100, "look {look}");
        }
        let after: Vec<u64> =
            (21..=31).map(|look| rates.look(at(look), counted(2_000)).publications).collect();
        assert!(after.is_sorted_by(|a, b| a > b || (*a == 0 && *b == 0)), "{after:?}");
        assert_eq!(after.last(), Some(&0), "{after:?}");
    }

    #[test]
    fn looks_that_come_late_or_early_make_no_false_rates() {
        let mut rates = Rates::default();
        let mut now = Duration::ZERO;
        for (look, ms) in
            [1, 60_000, 1, 1, 7_000, 500, 3, 90_000, 0, 2_000].into_iter().cycle().take(500).enumerate()
        {
            now += Duration::from_millis(ms);
            // A thousand a second.
            let rate = rates.look(now, counted(now.as_millis() as u64)).publications;
            assert!(look == 0 || rate == 1_000, "{rate} at look {look}");
            assert!(rates.looks.len() <= LOOKS + 1);
        }
    }
}
