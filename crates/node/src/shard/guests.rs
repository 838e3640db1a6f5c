//! The connections that have something on a shard: the rooms they are in, and what they still want.
//!
//! A **lane** keeps the order of one connection's requests about one room: one is under way, the others wait behind
//! it. It exists only while something is under way.

mod places;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use ringway_names::Names;
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;

use self::places::Places;
use super::command::{Op, RoomKey};
use crate::conn::ConnRef;
use crate::relay::LastWord;
use crate::trace::Kept;

type RoomNames = Names<RoomKey>;

/// More waiting requests than this about one room: refused with `retry`.
const LANE_BOUND: usize = 1_024;

/// What a connection's publications under way and waiting may weigh on one shard, in bytes; beyond it they are refused
/// with `retry`. As much as may wait for it the other way. A single one may, however big.
const LANES_BYTES: usize = 1 << 20;

/// What a waiting publication weighs beside its payload, in bytes.
const BESIDE_PAYLOAD: usize = 256;

/// How many publications of a lane go to a room's owner as one question, and how many bytes of payload.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;

/// A connection's standing in one room.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The server joined it, and the client hasn't yet.
    pub(crate) by_server: bool,
    /// Another room took the place of the one that it joined: it is to be told where it is now.
    pub(crate) moved: bool,
    /// A join that is to be answered.
    pub(crate) answer: Option<JoinAnswer>,
}

#[derive(Debug)]
pub(crate) struct JoinAnswer {
    pub(crate) to: Asked,
    /// Ends when the join is answered.
    pub(crate) _span: Kept,
}

/// Whose join it is, and so how it is answered.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The client's: `ok` under this id.
    ByClient { id: Option<u64> },
    /// The server's: `joined`.
    ByServer,
    /// A gateway's, of a client that was a member elsewhere, and has had so much: nothing is said where it goes on from
    /// there, else `gap`.
    Again { since: Option<Box<Position>> },
}

impl JoinAnswer {
    /// The id that its client asked under, if it is the client's.
    pub(crate) fn by_client(&self) -> Option<Option<u64>> {
        match &self.to {
            Asked::ByClient { id } => Some(*id),
            Asked::ByServer | Asked::Again { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Guest {
    conn: ConnRef,
    rooms: Places,
    /// What all its publications here weigh, under way and waiting.
    bytes: u32,
    gone: bool,
    /// Held by who has something of a connection that has gone.
    last_word: Option<Arc<LastWord>>,
}

/// Found by their connection's id, which no entry repeats.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    // Boxed: a table has up to twice as many places as guests.
    by_id: HashTable<Box<Guest>>,
    hasher: RandomState,
    /// Of the rooms that guests have something of.
    names: RoomNames,
}

/// What to do with a request that came in.
pub(crate) enum Entry {
    /// Nothing is under way: do it now.
    Now(Op),
    /// It waits behind others.
    Waits,
    /// Too many wait, or too much.
    Full(Op),
}

/// What a request weighs in its lane: payload, where it has one.
fn weight(op: &Op) -> u32 {
    let Op::Publish { publication, .. } = op else { return 0 };
    u32::try_from(publication.data.msgpack_len() + BESIDE_PAYLOAD).unwrap_or(u32::MAX)
}

impl Guests {
    fn get(&self, id: &ConnId) -> Option<&Guest> {
        self.by_id.find(self.hasher.hash_one(id), |guest| guest.conn.id == *id).map(|guest| &**guest)
    }

    /// A guest, and the names to change its rooms with.
    fn get_mut(&mut self, id: &ConnId) -> Option<(&mut Guest, &mut RoomNames)> {
        let guest = self.by_id.find_mut(self.hasher.hash_one(id), |guest| guest.conn.id == *id)?;
        Some((guest, &mut self.names))
    }

    /// A connection, if it is in that room, or about to be.
    pub(crate) fn member(&self, id: &ConnId, room: &RoomKey) -> Option<&ConnRef> {
        let room = self.names.find(room)?;
        self.get(id).filter(|guest| guest.rooms.contains(room)).map(|guest| &guest.conn)
    }

    /// The rooms that this very connection is in, or about to be.
    pub(crate) fn rooms_of(&self, conn: &ConnRef) -> impl Iterator<Item = &RoomKey> {
        let guest = self.get(&conn.id).filter(|guest| Arc::ptr_eq(&guest.conn, conn));
        guest.into_iter().flat_map(|guest| guest.rooms.rooms()).map(|room| self.names.get(room))
    }

    /// A connection's standing in a room that it is in, or about to be.
    pub(crate) fn standing(&mut self, id: &ConnId, room: &RoomKey) -> Option<&mut Membership> {
        let room = self.names.find(room)?;
        let (guest, names) = self.get_mut(id)?;
        guest.rooms.get_mut(room, names)
    }

    /// Whether a connection is to be told where it is now, since another room took the place of the one that it joined. Then it
    /// isn't any more.
    pub(crate) fn take_moved(&mut self, id: &ConnId, room: &RoomKey) -> bool {
        let Some(room) = self.names.find(room) else { return false };
        self.get_mut(id).is_some_and(|(guest, _)| guest.rooms.take_moved(room))
    }

    /// A connection of which a request is under way is in a room from now on, or about to be.
    pub(crate) fn seat(&mut self, id: &ConnId, room: &RoomKey, membership: Membership) {
        let room = self.names.hold(room);
        if let Some((guest, names)) = self.get_mut(id) {
            guest.rooms.insert(room, membership, names);
        }
        self.names.release(room);
    }

    /// And is so no more. What it was there.
    pub(crate) fn unseat(&mut self, id: &ConnId, room: &RoomKey) -> Option<Membership> {
        let room = self.names.find(room)?;
        let (guest, names) = self.get_mut(id)?;
        guest.rooms.remove(room, names)
    }

    /// A request enters its lane.
    pub(crate) fn enter(&mut self, conn: &ConnRef, room: &RoomKey, op: Op) -> Entry {
        let Self { by_id, hasher, names } = self;
        let hash = hasher.hash_one(&conn.id);
        let found =
            by_id.entry(hash, |guest| guest.conn.id == conn.id, |guest| hasher.hash_one(&guest.conn.id));
        let mut found = found.or_insert_with(|| {
            let rooms = Places::default();
            Box::new(Guest { conn: conn.clone(), rooms, bytes: 0, gone: false, last_word: None })
        });
        let Guest { rooms, bytes, .. } = &mut **found.get_mut();
        let more = weight(&op);
        if more > 0 && *bytes > 0 && *bytes as usize + more as usize > LANES_BYTES {
            return Entry::Full(op);
        }
        let room = names.hold(room);
        let lane = rooms.lane(room, names);
        // The lane has it now.
        names.release(room);
        if !lane.busy {
            lane.busy = true;
            lane.under_way = more;
            *bytes += more;
            return Entry::Now(op);
        }
        let waiting = lane.waiting.get_or_insert_default();
        if waiting.len() >= LANE_BOUND && !op.is_gateways() {
            return Entry::Full(op);
        }
        *bytes += more;
        waiting.push_back(op);
        Entry::Waits
    }

    /// What was under way in this lane is done: what comes next, if anything does. Publications that wait together
    /// come together.
    pub(crate) fn done(&mut self, id: &ConnId, room: &RoomKey) -> Option<(ConnRef, Vec<Op>)> {
        let room = self.names.find(room)?;
        let (guest, names) = self.get_mut(id)?;
        let lane = guest.rooms.lane_if_busy(room)?;
        guest.bytes -= std::mem::take(&mut lane.under_way);
        let Some(first) = lane.waiting.as_mut().and_then(|waiting| waiting.pop_front()) else {
            guest.rooms.end_lane(room, names);
            self.tidy(id);
            return None;
        };
        let mut next = vec![first];
        if let (Op::Publish { publication, .. }, Some(waiting)) = (&next[0], &mut lane.waiting) {
            let mut bytes = publication.data.msgpack_len();
            while next.len() < BATCH && bytes < BATCH_BYTES {
                let Some(Op::Publish { publication, .. }) = waiting.front() else { break };
                bytes += publication.data.msgpack_len();
                next.extend(waiting.pop_front());
            }
        }
        lane.under_way = next.iter().map(weight).sum();
        Some((guest.conn.clone(), next))
    }

    /// The connection has ended. Gives back the rooms that it is in; publications that it has sent still go out.
    /// `last_word` is held until they have.
    pub(crate) fn gone(
        &mut self,
        conn: &ConnRef,
        last_word: Option<Arc<LastWord>>,
    ) -> Vec<(RoomKey, Membership)> {
        let id = &conn.id;
        // Another connection may have its id by now: the same client's, by another link.
        let Some((guest, names)) = self.get_mut(id).filter(|(guest, _)| Arc::ptr_eq(&guest.conn, conn))
        else {
            return Vec::new();
        };
        guest.gone = true;
        guest.last_word = last_word;
        let rooms = guest.rooms.take_memberships(names);
        let publications = |waiting: &mut VecDeque<Op>| waiting.retain(|op| matches!(op, Op::Publish { .. }));
        guest.rooms.lanes_that_wait().for_each(publications);
        self.tidy(id);
        rooms
    }

    pub(crate) fn is_gone(&self, id: &ConnId) -> bool {
        self.get(id).is_none_or(|g| g.gone)
    }

    /// Whether this very connection is in a room, or about to be.
    pub(crate) fn is_in(&self, conn: &ConnRef, room: &RoomKey) -> bool {
        self.member(&conn.id, room).is_some_and(|member| Arc::ptr_eq(member, conn))
    }

    /// Forgets a guest that has nothing here any more.
    pub(crate) fn tidy(&mut self, id: &ConnId) {
        let hash = self.hasher.hash_one(id);
        let found = self.by_id.find_entry(hash, |guest| guest.conn.id == *id && guest.rooms.is_unused());
        if let Ok(found) = found {
            found.remove();
        }
        if self.by_id.is_empty() {
            self.by_id = HashTable::new();
        }
    }

    /// Whether a request of the connection about the room is under way.
    #[cfg(test)]
    pub(crate) fn is_busy(&mut self, id: &ConnId, room: &RoomKey) -> bool {
        let Some(room) = self.names.find(room) else { return false };
        self.get_mut(id).is_some_and(|(guest, _)| guest.rooms.lane_if_busy(room).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::scene::{connection, room};

    fn publication(bytes: usize) -> Op {
        let publication = ringway_backplane::message::Publication::new(
            1,
            ringway_protocol::payload::Payload::from_bytes(vec![0; bytes]),
        );
        Op::Publish { id: None, publication: Box::new(publication), span: tracing::Span::none() }
    }

    /// What becomes of a publication of so many bytes: `now`, `waits` or `full`.
    fn enter(guests: &mut Guests, conn: &ConnRef, name: &str, bytes: usize) -> &'static str {
        match guests.enter(conn, &room(name), publication(bytes)) {
            Entry::Now(_) => "now",
            Entry::Waits => "waits",
            Entry::Full(_) => "full",
        }
    }

    #[tokio::test]
    async fn what_a_connection_may_have_waiting_is_bounded_over_all_rooms() {
        let (conn, _held) = connection().await;
        let mut guests = Guests::default();
        assert_eq!(enter(&mut guests, &conn, "a", 500_000), "now");
        assert_eq!(enter(&mut guests, &conn, "a", 400_000), "waits");
        assert_eq!(enter(&mut guests, &conn, "a", 200_000), "full");
        assert_eq!(enter(&mut guests, &conn, "b", 200_000), "full");
        assert_eq!(enter(&mut guests, &conn, "b", 100_000), "now");
        // Other requests are not turned away for that.
        assert!(matches!(guests.enter(&conn, &room("a"), Op::Leave { id: None }), Entry::Waits));
        // What is done makes room.
        assert_eq!(guests.done(&conn.id, &room("a")).map(|(_, ops)| ops.len()), Some(1));
        assert_eq!(enter(&mut guests, &conn, "a", 500_000), "waits");
        for _ in 0..3 {
            guests.done(&conn.id, &room("a"));
        }
        guests.done(&conn.id, &room("b"));
        assert!(guests.by_id.is_empty() && guests.names.is_empty());
        assert_eq!(enter(&mut guests, &conn, "a", 3_000_000), "now", "one may always");
    }

    #[test]
    fn a_guest_in_one_room_is_small() {
        // A connection, a room's number, and a few words: no table of its own.
        assert!(size_of::<Guest>() <= 96, "{}", size_of::<Guest>());
    }
}
