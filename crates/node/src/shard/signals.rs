//! Signals have no number: while a node goes over from one subscription to another they may come by both. Which came lately
//! is known by their sender and its count.

use std::collections::VecDeque;

use ringway_ring::NodeId;

/// How many are remembered, of one room. What comes by two subscriptions comes within a fraction of a second.
const REMEMBERED: usize = 64;

/// The signals that came lately to one room.
#[derive(Debug, Default)]
pub(crate) struct Lately(VecDeque<(NodeId, u64)>);

impl Lately {
    /// Whether it is the first time that this comes. Exactly this: a node that was restarted counts from 1 again.
    pub(super) fn is_new(&mut self, from: &NodeId, count: u64) -> bool {
        if self.0.iter().any(|(sender, of)| *of == count && sender == from) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((from.clone(), count));
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_known_by_sender_and_count_for_a_while() {
        let (one, other): (NodeId, NodeId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut lately = Lately::default();
        assert!(lately.is_new(&one, 7) && lately.is_new(&other, 7) && lately.is_new(&one, 3));
        assert!(!lately.is_new(&one, 7) && !lately.is_new(&other, 7));
        assert!((100..200).all(|count| lately.is_new(&one, count)));
        assert_eq!(lately.0.len(), REMEMBERED);
        assert!(lately.is_new(&one, 7), "as after a restart");
    }
}
