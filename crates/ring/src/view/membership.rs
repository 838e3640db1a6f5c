//! Who is in the cluster, as a state machine without clock or network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::flaps::Flaps;
use super::{Announcement, View};
use crate::NodeId;

/// How long a node may say nothing before it leaves the view, in milliseconds: five announcements, so that three lost
/// ones and a pause are forgiven, and a dead node is gone within 3 s.
pub const SILENCE: u64 = 2_500;

/// How long the end of a run is remembered, in milliseconds: far longer than any announcement of it could be under way.
/// Without an end the names of nodes that never return would pile up.
const MEMORY_OF_DEPARTURES: u64 = 60_000;

/// Takes in announcements, departures and time, and says whether the view changed.
///
/// Times are milliseconds on any clock that never goes back. Don't call [`expire`](Self::expire) while the backplane is
/// known to be away (nobody can be heard then: serve by the last view), and call [`excuse`](Self::excuse) when it is
/// back, or after a pause of this process.
#[derive(Debug, Default)]
pub struct Membership {
    present: BTreeMap<NodeId, Present>,
    /// Ended runs: of each node the greatest incarnation known to have departed.
    ended: BTreeMap<NodeId, Ended>,
    /// Who left the view by saying nothing, and since when. Remembered as long as departures are.
    silent: BTreeMap<NodeId, u64>,
    flaps: Flaps,
    /// Who is given no slots for coming and going too often.
    held: BTreeSet<NodeId>,
    /// The latest time seen: departures come without one.
    now_ms: u64,
    view: Arc<View>,
    /// Something is newer than `view`, be it a load only.
    stale: bool,
}

#[derive(Debug)]
struct Present {
    announcement: Arc<Announcement>,
    heard_ms: u64,
}

#[derive(Debug)]
struct Ended {
    incarnation: u64,
    since_ms: u64,
}

impl Membership {
    /// Nobody there.
    pub fn new() -> Self {
        Self::default()
    }

    /// An announcement came. True where the view changed in more than loads (connections, rooms, tenants' use).
    ///
    /// Words of a run that has departed, or that is older than the one present, are ignored: announcements and
    /// departures may come in any order. Of two nodes with one name the younger run counts while it speaks.
    pub fn heard(&mut self, announcement: Announcement, now_ms: u64) -> bool {
        self.now_ms = self.now_ms.max(now_ms);
        let ended = self.ended.get(&announcement.id);
        if ended.is_some_and(|ended| announcement.incarnation <= ended.incarnation) {
            return false;
        }
        let before = self.present.get(&announcement.id);
        if before.is_some_and(|before| announcement.incarnation < before.announcement.incarnation) {
            return false;
        }
        let same = before.is_some_and(|before| before.announcement.same_but_load(&announcement));
        self.stale |= before.is_none_or(|before| *before.announcement != announcement);
        let was_placed = before.is_some_and(|before| before.announcement.is_placed());
        let anew = before.is_some_and(|before| before.announcement.incarnation < announcement.incarnation);
        let changes = match (was_placed, announcement.is_placed()) {
            // It went and came between two words of it.
            (true, true) if anew => 2,
            (before, now) => usize::from(before != now),
        };
        let id = announcement.id.clone();
        for _ in 0..changes {
            self.flaps.changed(&id, self.now_ms);
        }
        self.silent.remove(&id);
        let present = Present { announcement: Arc::new(announcement), heard_ms: self.now_ms };
        self.present.insert(id, present);
        let held = self.hold();
        !same || held
    }

    /// What was said of this run, should it not be listened to since a run as young or younger has departed: that one's
    /// incarnation. A node whose clock went back between two runs is told so, and takes a greater one.
    pub fn outlived(&self, announcement: &Announcement) -> Option<u64> {
        let ended = self.ended.get(&announcement.id)?;
        (announcement.incarnation <= ended.incarnation).then_some(ended.incarnation)
    }

    /// A node said that this run of it ends. True where it was in the view, and now isn't.
    ///
    /// The departure of an older run than the one present changes nothing.
    pub fn departed(&mut self, node: &NodeId, incarnation: u64) -> bool {
        let ended = self.ended.entry(node.clone()).or_insert(Ended { incarnation, since_ms: 0 });
        ended.incarnation = ended.incarnation.max(incarnation);
        ended.since_ms = self.now_ms;
        self.stale |= self.silent.remove(node).is_some();
        if self.present.get(node).is_none_or(|present| present.announcement.incarnation > incarnation) {
            return false;
        }
        self.leave(|id, _| id == node)
    }

    /// Time passed. True where somebody left the view by being silent for [`SILENCE`].
    ///
    /// A node that was only slow is back with its next announcement, of the same run too.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        self.now_ms = self.now_ms.max(now_ms);
        let now_ms = self.now_ms;
        self.ended.retain(|_, ended| now_ms - ended.since_ms < MEMORY_OF_DEPARTURES);
        self.silent.retain(|_, since_ms| now_ms - *since_ms < MEMORY_OF_DEPARTURES);
        self.flaps.expire(now_ms);
        let is_silent = |present: &Present| now_ms - present.heard_ms >= SILENCE;
        let silent = self.present.iter().filter(|(_, present)| is_silent(present));
        self.silent.extend(silent.map(|(id, _)| (id.clone(), now_ms)));
        self.leave(|_, present| is_silent(present))
    }

    /// Takes out who has gone. True where that, or time, changed who is there or placed.
    fn leave(&mut self, gone: impl Fn(&NodeId, &Present) -> bool) -> bool {
        let Self { present, flaps, now_ms, .. } = self;
        let before = present.len();
        present.retain(|id, present| {
            let gone = gone(id, present);
            if gone && present.announcement.is_placed() {
                flaps.changed(id, *now_ms);
            }
            !gone
        });
        let changed = present.len() != before;
        self.stale |= changed;
        self.hold() || changed
    }

    /// Settles anew who is held back. True where that changed.
    ///
    /// Of a pool's nodes half at most: where more of them seem to come and go, it is rather what carries their words that
    /// does, and the few others would get everybody.
    fn hold(&mut self) -> bool {
        if !self.flaps.any() && self.held.is_empty() {
            return false;
        }
        let mut pools: BTreeMap<_, (usize, Vec<&NodeId>)> = BTreeMap::new();
        for (id, present) in self.present.iter().filter(|(_, present)| present.announcement.is_placed()) {
            let (nodes, held) = pools.entry(&present.announcement.pool).or_default();
            *nodes += 1;
            if self.flaps.holds(id) {
                held.push(id);
            }
        }
        let few = pools.into_values().filter(|(nodes, held)| held.len() * 2 <= *nodes);
        let held: BTreeSet<NodeId> = few.flat_map(|(_, held)| held).cloned().collect();
        let changed = held != self.held;
        self.held = held;
        self.stale |= changed;
        changed
    }

    /// Nobody could be heard until now (the backplane was away, the process stood still): everyone's silence begins anew.
    pub fn excuse(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        for present in self.present.values_mut() {
            present.heard_ms = self.now_ms;
        }
    }

    /// The view as of now. Cheap where nothing changed; where only loads did the tables are kept; else the tables of
    /// the pools that changed are made, here: see [`draft`](Self::draft).
    pub fn view(&mut self) -> Arc<View> {
        if let Some(draft) = self.draft() {
            self.made(draft.make());
        }
        Arc::clone(&self.view)
    }

    /// What the next view is made from, should anything be newer than the last: it can be made elsewhere while further
    /// words come in. Give it back by [`made`](Self::made), before another draft is taken.
    pub fn draft(&mut self) -> Option<Draft> {
        if !std::mem::take(&mut self.stale) {
            return None;
        }
        let nodes = self.present.iter().map(|(id, present)| (id.clone(), Arc::clone(&present.announcement)));
        Some(Draft {
            before: Arc::clone(&self.view),
            nodes: nodes.collect(),
            held: self.held.clone(),
            silent: self.silent.keys().cloned().collect(),
        })
    }

    /// A draft's view is there.
    pub fn made(&mut self, view: Arc<View>) {
        self.view = view;
    }
}

/// All that a view is made from.
#[derive(Debug)]
pub struct Draft {
    before: Arc<View>,
    nodes: BTreeMap<NodeId, Arc<Announcement>>,
    held: BTreeSet<NodeId>,
    silent: BTreeSet<NodeId>,
}

impl Draft {
    /// Makes the view. Takes tens of milliseconds where the table of a pool of 1,000 nodes changes.
    #[must_use]
    pub fn make(self) -> Arc<View> {
        Arc::new(View::next(&self.before, self.nodes, self.held, self.silent))
    }
}

#[cfg(test)]
mod tests;
