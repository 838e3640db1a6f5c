//! A shard's rooms: the pure machine of each, and whether its live subject is listened to.

use std::collections::{HashMap, VecDeque};

use ringway_backplane::Subscription;
use ringway_protocol::GroupId;
use ringway_protocol::frame::Position;
use ringway_ring::Slot;

use super::around::Real;
use super::command::RoomKey;
use crate::conn::ConnRef;
use crate::room::Room;

/// A room on this node.
pub(crate) struct Hosted {
    pub(crate) slot: Slot,
    /// Where its publications live.
    pub(crate) group: GroupId,
    pub(crate) machine: Room<Real>,
    pub(crate) listening: Listening,
    /// What waits until the room's live subject is listened to: a join that were answered before could miss what is
    /// published in between.
    pub(crate) waiting: Vec<Waiting>,
    /// It is among those to be looked at.
    pub(crate) watched: bool,
}

/// A join that waits.
pub(crate) struct Waiting {
    pub(crate) conn: ConnRef,
    pub(crate) since: Option<Position>,
    pub(crate) last: Option<u32>,
}

/// The subscription to a room's live subject.
#[derive(Debug)]
pub(crate) enum Listening {
    No,
    /// Asked for, not there yet.
    Soon,
    Yes(#[expect(dead_code, reason = "held: dropped, it ends")] Subscription),
}

impl Listening {
    pub(crate) fn is_yes(&self) -> bool {
        matches!(self, Listening::Yes(_))
    }
}

/// A shard's rooms, and which of them are to be looked at.
#[derive(Default)]
pub(crate) struct Rooms {
    // Boxed: a table has up to twice as many places as rooms.
    by_key: HashMap<RoomKey, Box<Hosted>>,
    /// Rooms that may have become needless, or keep publications that grow too old; each once, longest not looked at
    /// first. All others have members, and nothing that a look would change.
    watched: VecDeque<RoomKey>,
}

impl Rooms {
    pub(crate) fn get_mut(&mut self, key: &RoomKey) -> Option<&mut Hosted> {
        self.by_key.get_mut(key).map(|hosted| &mut **hosted)
    }

    pub(crate) fn get(&self, key: &RoomKey) -> Option<&Hosted> {
        self.by_key.get(key).map(|hosted| &**hosted)
    }

    /// A room that wasn't here. It is looked at, since nobody may come into it.
    pub(crate) fn insert(&mut self, key: RoomKey, hosted: Hosted) {
        self.by_key.insert(key.clone(), Box::new(Hosted { watched: true, ..hosted }));
        self.watched.push_back(key);
    }

    pub(crate) fn keys(&self) -> Vec<RoomKey> {
        self.by_key.keys().cloned().collect()
    }

    /// The room may have become needless: it is looked at in one of the next sweeps.
    pub(crate) fn quiet(&mut self, key: &RoomKey) {
        if let Some(hosted) = self.by_key.get_mut(key)
            && !std::mem::replace(&mut hosted.watched, true)
        {
            self.watched.push_back(key.clone());
        }
    }

    pub(crate) fn remove(&mut self, key: &RoomKey) {
        self.by_key.remove(key);
        if self.by_key.is_empty() {
            self.by_key = HashMap::new();
        }
    }

    /// The next rooms to be looked at: one of `parts`, rounded up. Whoever looks says [`quiet`](Self::quiet) again of
    /// those that are to stay among them.
    pub(crate) fn take_watched(&mut self, parts: usize) -> Vec<RoomKey> {
        let part = self.watched.len().div_ceil(parts);
        let keys: Vec<RoomKey> = self.watched.drain(..part).collect();
        for key in &keys {
            if let Some(hosted) = self.by_key.get_mut(key) {
                hosted.watched = false;
            }
        }
        if self.watched.is_empty() {
            self.watched = VecDeque::new();
        }
        keys
    }
}
