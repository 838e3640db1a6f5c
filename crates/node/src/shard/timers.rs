//! What a shard is to do later: a heap of moments, nothing cancelled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// Space for so many is kept in any case.
const KEPT: usize = 4_096;

/// Things to do at given moments, earliest first; of one moment, in the order they were asked for.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Due>>,
    what: std::collections::HashMap<u64, T>,
    next: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    number: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), what: std::collections::HashMap::new(), next: 0 }
    }

    pub(crate) fn add(&mut self, at: Instant, what: T) {
        let number = self.next;
        self.next += 1;
        self.what.insert(number, what);
        self.heap.push(Reverse(Due { at, number }));
    }

    /// When the earliest is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// The earliest, if it is due by `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let Reverse(due) = self.heap.pop()?;
        let what = self.what.remove(&due.number);
        self.give_back();
        what
    }

    /// A million rooms that were published to within half a minute have a timer or two each: the space of so many isn't kept
    /// once they are over.
    fn give_back(&mut self) {
        let waiting = self.heap.len();
        if self.heap.capacity() > KEPT.max(8 * waiting) {
            self.heap.shrink_to(2 * waiting);
            self.what.shrink_to(2 * waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn due_ones_come_in_order_and_others_wait() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        for (ms, what) in [(30, "c"), (10, "a"), (10, "b"), (50, "d")] {
            timers.add(at(ms), what);
        }
        assert_eq!(timers.next(), Some(at(10)));
        let mut due = Vec::new();
        while let Some(what) = timers.pop(at(30)) {
            due.push(what);
        }
        assert_eq!(due, ["a", "b", "c"]);
        assert_eq!(timers.next(), Some(at(50)));
        assert_eq!(timers.pop(at(49)), None);
    }

    #[test]
    fn the_space_of_very_many_is_given_back() {
        let start = Instant::now();
        let mut timers = Timers::new();
        for number in 0..100_000_u64 {
            timers.add(start, number);
        }
        for number in 0..99_000 {
            assert_eq!(timers.pop(start), Some(number));
        }
        assert!(timers.heap.capacity() < 10_000 && timers.what.capacity() < 20_000);
        assert_eq!(timers.pop(start), Some(99_000));
    }
}
