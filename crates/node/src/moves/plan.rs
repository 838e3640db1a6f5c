//! When connections are told to move, and how many at a time: without clock or sockets.
//!
//! A pool has one rate. Each node takes the part of it that its share of the pool's misplaced connections is, by what all
//! of them announce, so nobody has to be asked. Announcements are late, so a node counts of its own only what the
//! others must have heard of by now: all parts together are then never more than the rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::credit::Credit;
use super::told::AGAIN_AFTER;

/// After a change of who lives where, nothing moves until it has stood for so long: who comes and goes within it moves
/// nobody, gateways see the same by then, and each node knows what the others have to move.
pub(super) const STILL: Duration = Duration::from_secs(3);

/// Where it never stands still, things move all the same after this.
pub(super) const RESTLESS: Duration = Duration::from_secs(30);

/// What a node has to move, the others know within this: twice an announcement's time, and what it travels.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// What is known when it is asked how many move now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Connections of this node that are to be told.
    pub(super) waiting: u64,
    /// And of the pool's other nodes, as they announced.
    pub(super) elsewhere: u64,
    /// How many may be told a second, in the whole pool.
    pub(super) rate: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan {
    /// The last change of who lives where.
    changed: Instant,
    /// The first of those that followed each other without a stand.
    restless: Instant,
    /// What was waiting here within [`HEARD_WITHIN`], and the last before.
    waited: VecDeque<(Instant, u64)>,
    credit: Credit,
}

impl Plan {
    /// `phase`: a random number, 0 to 1.
    pub(super) fn new(now: Instant, phase: f64) -> Plan {
        Plan {
            changed: now,
            restless: now,
            waited: VecDeque::from([(now, 0)]),
            credit: Credit::new(now, phase),
        }
    }

    /// Who lives where has changed, or isn't known for sure.
    pub(super) fn changed(&mut self, now: Instant) {
        if now.saturating_duration_since(self.changed) >= STILL {
            self.restless = now;
        }
        self.changed = now;
    }

    /// Since when connections may be told to move; `None`: not yet.
    pub(super) fn settled(&self, now: Instant) -> Option<Instant> {
        let still = self.changed + STILL;
        let restless = self.restless + RESTLESS;
        [still, restless].into_iter().find(|since| *since <= now)
    }

    /// Whether a connection that was opened then has been here for long enough. Who came when things had settled was sent
    /// by who knew otherwise, or who couldn't reach its home: that is as good as having been told, and it stays for a
    /// minute.
    pub(super) fn is_ripe(&self, opened: Instant, now: Instant) -> bool {
        self.settled(now).is_none_or(|since| opened <= since)
            || now.saturating_duration_since(opened) >= AGAIN_AFTER
    }

    /// How many are told now. To be asked every 100 ms or so.
    pub(super) fn now(&mut self, now: Instant, known: Known) -> u64 {
        self.waited.push_back((now, known.waiting));
        while let Some(&(next, _)) = self.waited.get(1)
            && now.saturating_duration_since(next) >= HEARD_WITHIN
        {
            self.waited.pop_front();
        }
        let mine = self.waited.iter().map(|(_, waiting)| *waiting).min().unwrap_or(0);
        let part = mine as f64 / (mine + known.elsewhere).max(1) as f64;
        let rate = if self.settled(now).is_some() { f64::from(known.rate) * part } else { 0.0 };
        self.credit.take(rate, now, known.waiting)
    }
}

#[cfg(test)]
mod tests;
