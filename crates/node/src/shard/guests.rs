//! The connections that have something on a shard: the rooms they are in, and what they still want.
//!
//! A **lane** keeps the order of one connection's requests about one room: one is under way, the others wait behind
//! it. It exists only while something is under way.

use std::collections::{HashMap, VecDeque};

use ringway_protocol::name::ConnId;

use super::command::{Op, RoomKey};
use crate::conn::ConnRef;

/// More waiting requests than this about one room: refused with `retry`.
const LANE_BOUND: usize = 1_024;

/// How many publications of a lane go to a room's owner as one question, and how many bytes of payload.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;

/// A connection's standing in one room.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The server joined it, and the client hasn't yet.
    pub(crate) by_server: bool,
    /// A join that is to be answered: under this id, as `ok`; of the server's, as `joined`.
    pub(crate) answer: Option<JoinAnswer>,
}

#[derive(Debug)]
pub(crate) struct JoinAnswer {
    pub(crate) id: Option<u64>,
    pub(crate) by_server: bool,
    /// Ends when the join is answered.
    pub(crate) _span: tracing::Span,
}

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) conn: ConnRef,
    pub(crate) rooms: HashMap<RoomKey, Membership>,
    lanes: HashMap<RoomKey, VecDeque<Op>>,
    gone: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Guests {
    by_id: HashMap<ConnId, Guest>,
}

/// What to do with a request that came in.
pub(crate) enum Entry {
    /// Nothing is under way: do it now.
    Now(Op),
    /// It waits behind others.
    Waits,
    /// Too many wait.
    Full(Op),
}

impl Guests {
    pub(crate) fn get_mut(&mut self, id: &ConnId) -> Option<&mut Guest> {
        self.by_id.get_mut(id)
    }

    /// A request enters its lane.
    pub(crate) fn enter(&mut self, conn: &ConnRef, room: &RoomKey, op: Op) -> Entry {
        let guest = self.by_id.entry(conn.id.clone()).or_insert_with(|| Guest {
            conn: conn.clone(),
            rooms: HashMap::new(),
            lanes: HashMap::new(),
            gone: false,
        });
        match guest.lanes.get_mut(room) {
            Some(lane) if lane.len() >= LANE_BOUND => Entry::Full(op),
            Some(lane) => {
                lane.push_back(op);
                Entry::Waits
            }
            None => {
                guest.lanes.insert(room.clone(), VecDeque::new());
                Entry::Now(op)
            }
        }
    }

    /// What was under way in this lane is done: what comes next, if anything does. Publications that wait together
    /// come together.
    pub(crate) fn done(&mut self, id: &ConnId, room: &RoomKey) -> Option<(ConnRef, Vec<Op>)> {
        let guest = self.by_id.get_mut(id)?;
        let lane = guest.lanes.get_mut(room)?;
        let Some(first) = lane.pop_front() else {
            guest.lanes.remove(room);
            self.tidy(id);
            return None;
        };
        let mut next = vec![first];
        if let Op::Publish { publication, .. } = &next[0] {
            let mut bytes = publication.data.msgpack_len();
            while next.len() < BATCH && bytes < BATCH_BYTES {
                let Some(Op::Publish { publication, .. }) = lane.front() else { break };
                bytes += publication.data.msgpack_len();
                next.extend(lane.pop_front());
            }
        }
        Some((guest.conn.clone(), next))
    }

    /// The connection has ended. Gives back the rooms that it is in; publications that it has sent still go out.
    pub(crate) fn gone(&mut self, id: &ConnId) -> HashMap<RoomKey, Membership> {
        let Some(guest) = self.by_id.get_mut(id) else { return HashMap::new() };
        guest.gone = true;
        let rooms = std::mem::take(&mut guest.rooms);
        for lane in guest.lanes.values_mut() {
            lane.retain(|op| matches!(op, Op::Publish { .. }));
        }
        self.tidy(id);
        rooms
    }

    pub(crate) fn is_gone(&self, id: &ConnId) -> bool {
        self.by_id.get(id).is_none_or(|g| g.gone)
    }

    /// Forgets a guest that has nothing here any more.
    pub(crate) fn tidy(&mut self, id: &ConnId) {
        if self.by_id.get(id).is_some_and(|g| g.lanes.is_empty() && g.rooms.is_empty()) {
            self.by_id.remove(id);
        }
    }
}
