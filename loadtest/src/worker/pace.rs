//! Moments that are fixed beforehand: the schedule of an open loop.

use super::clock;

/// So many moments at a steady rate. What is late doesn't move what follows.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    start: u64,
    per_second: f64,
    next: u64,
    count: u64,
}

impl Pace {
    /// `count` moments from `start` (nanoseconds), so many a second.
    pub(crate) fn new(start: u64, per_second: f64, count: u64) -> Pace {
        Pace { start, per_second, next: 0, count }
    }

    /// As many moments as fit into so many seconds, one at least.
    pub(crate) fn lasting(start: u64, per_second: f64, seconds: f64) -> Pace {
        // Rounded: 0.1 s at 30 a second is three, whatever floating point makes of it.
        let count = (per_second * seconds + 1e-6).floor().max(1.0) as u64;
        Pace::new(start, per_second, count)
    }

    /// When the next is; none: there are no more.
    pub(crate) fn due(&self) -> Option<u64> {
        let after = self.next as f64 * clock::SECOND as f64 / self.per_second;
        (self.next < self.count).then(|| self.start + after as u64)
    }

    /// Takes the next, if it has come: which it is, and when it was to be.
    pub(crate) fn take(&mut self, now: u64) -> Option<(u64, u64)> {
        let due = self.due().filter(|due| *due <= now)?;
        let which = self.next;
        self.next += 1;
        Some((which, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_fixed_whatever_is_late() {
        let mut pace = Pace::lasting(1_000, 4.0, 1.0);
        assert_eq!(pace.take(999), None);
        assert_eq!(pace.take(1_000), Some((0, 1_000)));
        assert_eq!(pace.due(), Some(250_001_000));
        // Late for two: both keep their own moment.
        assert_eq!(pace.take(600_000_000), Some((1, 250_001_000)));
        assert_eq!(pace.take(600_000_000), Some((2, 500_001_000)));
        assert_eq!(pace.take(600_000_000), None);
        assert_eq!(pace.take(u64::MAX), Some((3, 750_001_000)));
        assert_eq!((pace.take(u64::MAX), pace.due()), (None, None));
    }

    #[test]
    fn a_rate_and_a_time_make_a_number() {
        for (per_second, seconds, expected) in
            [(30.0, 0.1, 3), (0.5, 10.0, 5), (0.1, 1.0, 1), (12_345.0, 2.0, 24_690)]
        {
            let mut pace = Pace::lasting(0, per_second, seconds);
            let taken = std::iter::from_fn(|| pace.take(u64::MAX)).count();
            assert_eq!(taken, expected, "{per_second} a second for {seconds} s");
        }
    }

    #[test]
    fn long_schedules_dont_drift() {
        let mut pace = Pace::new(0, 300.0, 3_000_001);
        let last = std::iter::from_fn(|| pace.take(u64::MAX)).last();
        assert_eq!(last, Some((3_000_000, 10_000 * clock::SECOND)));
    }
}
