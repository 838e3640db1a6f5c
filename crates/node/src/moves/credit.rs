//! How much may be done by now at a rate that changes.

use std::time::{Duration, Instant};

/// What a stall longer than this would have earned is lost: it isn't made up for by a burst.
const LONGEST: Duration = Duration::from_millis(250);

/// Grows with time at a rate, and is spent in whole numbers. In any time at most rate × time + 1 is spent.
#[derive(Debug)]
pub(super) struct Credit {
    amount: f64,
    at: Instant,
}

impl Credit {
    /// `phase`, 0 to 1: how much less than nothing it begins with. Where many nodes share a rate so that each has a little
    /// of it, their turns come at different times.
    pub(super) fn new(now: Instant, phase: f64) -> Credit {
        Credit { amount: -phase, at: now }
    }

    /// How many of `most` may be done now, at `rate` a second since this was asked last.
    pub(super) fn take(&mut self, rate: f64, now: Instant, most: u64) -> u64 {
        let passed = now.saturating_duration_since(self.at).min(LONGEST);
        self.at = now;
        self.amount += rate * passed.as_secs_f64();
        // Below nothing it is 0.
        let some = (self.amount as u64).min(most);
        // What nobody used isn't saved up.
        self.amount = (self.amount - some as f64).min(1.0);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_any_time_no_more_than_the_rate_and_one() {
        let start = Instant::now();
        for rate in [0.3, 7.0, 200.0, 5_000.0] {
            let mut credit = Credit::new(start, 0.5);
            let (mut now, mut spent) = (start, Vec::new());
            for tick in 0..2_000_u64 {
                // Now and then nothing is due, or the process stands still for a second.
                now += Duration::from_millis(if tick % 97 == 0 { 1_000 } else { 100 });
                let most = if tick % 13 < 3 { 0 } else { u64::MAX };
                spent.push((now, credit.take(rate, now, most)));
            }
            for (first, &(since, some)) in spent.iter().enumerate().step_by(7) {
                let mut sum = some;
                for &(until, some) in &spent[first + 1..] {
                    sum += some;
                    // The time before the first counts, too: that is when it was earned.
                    let time = (until - since + LONGEST).as_secs_f64();
                    assert!(sum as f64 <= rate * time + 1.000_1, "{sum} in {time} s at {rate}");
                }
            }
            let all: u64 = spent.iter().map(|(_, some)| some).sum();
            assert!(all as f64 >= rate * 100.0 * 0.7, "{all} in 200 s at {rate}");
        }
    }
}
