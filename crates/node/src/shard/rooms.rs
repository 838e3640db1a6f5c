//! A shard's rooms: the pure machine of each, and whether its live subject is listened to.

use std::collections::{HashMap, HashSet};

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

#[derive(Default)]
pub(crate) struct Rooms {
    by_key: HashMap<RoomKey, Hosted>,
    /// Rooms that may have become needless since they were last looked at.
    quiet: HashSet<RoomKey>,
}

impl Rooms {
    pub(crate) fn get_mut(&mut self, key: &RoomKey) -> Option<&mut Hosted> {
        self.by_key.get_mut(key)
    }

    pub(crate) fn get(&self, key: &RoomKey) -> Option<&Hosted> {
        self.by_key.get(key)
    }

    pub(crate) fn insert(&mut self, key: RoomKey, hosted: Hosted) {
        self.quiet.insert(key.clone());
        self.by_key.insert(key, hosted);
    }

    pub(crate) fn keys(&self) -> Vec<RoomKey> {
        self.by_key.keys().cloned().collect()
    }

    /// The room may have become needless: it is looked at in the next sweep.
    pub(crate) fn quiet(&mut self, key: &RoomKey) {
        if !self.quiet.contains(key) {
            self.quiet.insert(key.clone());
        }
    }

    pub(crate) fn remove(&mut self, key: &RoomKey) {
        self.by_key.remove(key);
    }

    /// The rooms that may have become needless, to be looked at now.
    pub(crate) fn take_quiet(&mut self) -> Vec<RoomKey> {
        self.quiet.drain().collect()
    }
}
