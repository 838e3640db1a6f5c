//! Spans of time: how long nothing happened in one, and how it is shown.

use std::time::{Duration, Instant};

/// The longest time within a span without any of these.
pub(crate) fn longest_without(
    times: impl IntoIterator<Item = Instant>,
    (from, to): (Instant, Instant),
) -> Duration {
    let mut times: Vec<Instant> = times.into_iter().filter(|at| *at >= from && *at < to).collect();
    times.sort_unstable();
    times.push(to);
    let (mut last, mut longest) = (from, Duration::ZERO);
    for at in times {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
