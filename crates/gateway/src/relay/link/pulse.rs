//! Whether the node at the other end of a link is there: it is pinged, and any byte of it is a sign of life.

use std::time::{Duration, Instant};

/// How often a node is pinged.
pub(crate) const PING: Duration = Duration::from_millis(500);

/// Pings without a sign of life after which the node counts as gone: two seconds.
const UNANSWERED: u8 = 4;

/// Of one link.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The number of the next ping.
    number: u64,
    /// Pings since the last sign of life. Counted, not timed: a gateway that stood still itself has sent none.
    unanswered: u8,
    /// As of the last look.
    received: Instant,
}

impl Pulse {
    /// `received`: when bytes last came.
    pub(super) fn new(received: Instant) -> Self {
        Self { number: 0, unanswered: 0, received }
    }

    /// It is time for a ping: its number; none: the node is gone.
    pub(super) fn beat(&mut self, received: Instant) -> Option<u64> {
        if received > self.received {
            (self.received, self.unanswered) = (received, 0);
        }
        if self.unanswered >= UNANSWERED {
            return None;
        }
        self.unanswered += 1;
        self.number += 1;
        Some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pings_without_a_byte_are_the_end_and_a_byte_is_a_new_beginning() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(begun);
        for number in 1..=3 {
            assert_eq!(pulse.beat(begun), Some(number));
        }
        let later = begun + PING;
        for number in 4..=7 {
            assert_eq!(pulse.beat(later), Some(number));
        }
        assert_eq!(pulse.beat(later), None);
    }
}
