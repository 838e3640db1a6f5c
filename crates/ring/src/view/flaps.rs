//! Which nodes come and go too often to be given slots.

use std::collections::{BTreeMap, VecDeque};

use crate::NodeId;

/// So many changes of a node's place within [`WINDOW`], and it is held back: the slots of one that is started anew every few
/// seconds would move each time, with everybody who is in them. Its first start, and one that goes wrong, are three.
pub const FLAPS: usize = 4;

/// Within how many milliseconds they count.
pub(super) const WINDOW: u64 = 30_000;

/// How long a node that is held back has to stand, without coming or going, before it is given slots again, in
/// milliseconds.
pub const STEADY: u64 = 10_000;

/// When places changed, of the nodes whose place did lately.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    of: BTreeMap<NodeId, Flap>,
}

#[derive(Debug, Default)]
struct Flap {
    /// The latest [`FLAPS`] changes at most, the oldest first.
    changes: VecDeque<u64>,
    held: bool,
}

impl Flaps {
    /// The node's place came or went.
    pub(super) fn changed(&mut self, node: &NodeId, now_ms: u64) {
        let flap = self.of.entry(node.clone()).or_default();
        if flap.changes.len() == FLAPS {
            flap.changes.pop_front();
        }
        flap.changes.push_back(now_ms);
        let often =
            flap.changes.len() == FLAPS && flap.changes.front().is_some_and(|first| now_ms - first < WINDOW);
        flap.held |= often;
    }

    /// Time passed: who has stood long enough is free again, and what is long ago is forgotten.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.of.retain(|_, flap| {
            let stood = flap.changes.back().map_or(u64::MAX, |last| now_ms - last);
            flap.held &= stood < STEADY;
            flap.held || stood < WINDOW
        });
    }

    pub(super) fn holds(&self, node: &NodeId) -> bool {
        self.of.get(node).is_some_and(|flap| flap.held)
    }

    /// Whether anybody is held back.
    pub(super) fn any(&self) -> bool {
        self.of.values().any(|flap| flap.held)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_often_is_held_until_it_has_stood() {
        let (mut flaps, node) = (Flaps::default(), "a".parse().unwrap());
        for (at, held) in [(0, false), (15_000, false), (20_000, false), (29_999, true)] {
            flaps.changed(&node, at);
            assert_eq!(flaps.holds(&node), held, "{at}");
        }
        flaps.expire(29_999 + STEADY - 1);
        assert!(flaps.holds(&node) && flaps.any());
        flaps.expire(29_999 + STEADY);
        assert!(!flaps.holds(&node) && !flaps.any());
        // It isn't believed as fast the next time, while the last times aren't long ago.
        flaps.changed(&node, 43_000);
        assert!(flaps.holds(&node));
        flaps.expire(43_000 + WINDOW);
        assert!(flaps.is_empty());
    }

    #[test]
    fn who_changes_seldom_is_never_held() {
        let (mut flaps, node) = (Flaps::default(), "a".parse().unwrap());
        for round in 0..100 {
            flaps.changed(&node, round * WINDOW / 3);
            flaps.expire(round * WINDOW / 3);
            assert!(!flaps.holds(&node));
        }
    }
}
