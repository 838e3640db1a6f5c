//! Looking at all connections in turn: what is found on a spoke, and how many spokes are due.

use std::time::{Duration, Instant};

use super::home::Home;
use super::{Moves, TICK, life};
use crate::conn::ConnRef;
use crate::node::Inner;
use crate::registry::SPOKES;

/// How long it may take until all connections have been looked at: with one spoke a tick. Whose home changes without a
/// change of placement (it came by a gateway that sees another cluster) is found within it.
const TURN: Duration = Duration::from_millis(TICK.as_millis() as u64 * SPOKES as u64);

/// And after a change: well before things may move, so that the others know how much is to be moved here.
const HURRY: Duration = Duration::from_secs(1);

/// Spokes with misplaced connections that are looked at again in each tick: all of them within 6 s.
const AGAIN: usize = 4;

/// What was found on one spoke.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Connections whose home is elsewhere.
    pub(super) misplaced: u64,
    /// Those of them that are to be told so.
    pub(super) waiting: u64,
}

impl Moves {
    /// How many spokes are looked at in this tick.
    pub(super) fn spokes_now(&mut self) -> usize {
        let mut turn = TURN;
        if let Some(lifetime) = self.present.placement.connection_lifetime {
            turn = turn.min(life::look_within(lifetime));
        }
        if self.hurried > 0 {
            turn = turn.min(HURRY);
        }
        let ticks = (turn.as_millis() / TICK.as_millis()).max(1) as usize;
        let spokes = SPOKES.div_ceil(ticks);
        self.hurried = self.hurried.saturating_sub(spokes);
        spokes
    }

    /// How many lives may be ended in this tick.
    pub(super) fn ends_now(&mut self, node: &Inner, now: Instant) -> u64 {
        let lifetime = self.present.placement.connection_lifetime;
        let rate = lifetime.map_or(0.0, |lifetime| life::ends_per_second(node.registry.len(), lifetime));
        self.ends.take(rate, now, u64::MAX)
    }

    pub(super) async fn look(&mut self, node: &Inner, now: Instant, spokes: usize, mut lives: u64) {
        let mut some = Vec::new();
        for looked in 0..spokes {
            self.look_at(node, now, self.next, &mut lives, &mut some);
            self.next = (self.next + 1) % SPOKES;
            if looked % 4 == 3 {
                tokio::task::yield_now().await;
            }
        }
        // Where somebody was misplaced, whether they are still.
        let mut again = 0;
        for _ in 0..SPOKES {
            if self.found[self.again].misplaced > 0 {
                self.look_at(node, now, self.again, &mut lives, &mut some);
                again += 1;
            }
            self.again = (self.again + 1) % SPOKES;
            if again == AGAIN {
                break;
            }
        }
    }

    fn look_at(
        &mut self,
        node: &Inner,
        now: Instant,
        spoke: usize,
        lives: &mut u64,
        some: &mut Vec<ConnRef>,
    ) {
        node.registry.on_spoke(spoke as u64, some);
        let mut found = Found::default();
        for conn in some.drain(..) {
            if conn.way.is_closed() {
                continue;
            }
            if *lives > 0 && self.end_life(node, &conn, now) {
                *lives -= 1;
            }
            if Home::is_elsewhere(&conn, &self.placement) {
                found.misplaced += 1;
                found.waiting += u64::from(self.may_be_told(&conn, now));
            }
        }
        self.found[spoke] = found;
    }
}
