//! What the table knows of one client.

use std::collections::VecDeque;

use ringway_link::hello::CLIENT_WINDOW;
use ringway_names::NameNo;
use ringway_protocol::frame::Position;
use ringway_protocol::name::RoomName;

use super::Flow;
use super::around::NodeNo;
use super::ask::{Ask, Kind};
use super::own::Own;
use super::seat::{Mark, Seat};

/// No node.
pub(super) const NOWHERE: NodeNo = NodeNo(u16::MAX);

/// So many requests of one client may be without an answer; then it isn't read for a while.
const ASKED: usize = 1_024;

/// And so many joins, each with what it takes to ask again.
const JOINS: usize = 256;

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It has a number, and perhaps a node that was asked to take it.
    Opening,
    /// A node has taken it.
    Opened,
    /// Its socket is there; the first frame, `hello`, hasn't come yet.
    Begun,
    /// It has had its `hello`.
    Live,
    /// It has gone; some nodes haven't forgotten it yet.
    Gone,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) tenant: NameNo,
    /// The room that is meant where a frame names none.
    pub(super) home_room: NameNo,
    /// The node that is, or is to be, its home.
    pub(super) home: NodeNo,
    pub(super) phase: Phase,
    /// Its reader was told to stop.
    pub(super) stopped: bool,
    /// It is in the table's list of those that are to be placed.
    pub(super) queued: bool,
    /// It is in the table's list of those that couldn't be placed.
    pub(super) waiting: bool,
    /// It is in the table's list of those that are looked at each second.
    pub(super) watched: bool,
    /// By rising room.
    pub(super) seats: Vec<Seat>,
    /// Of rooms that it has seats for.
    pub(super) own: Own,
    pub(super) places: Vec<Place>,
    /// There while there is any of it.
    more: Option<Box<More>>,
}

/// What only some clients have, and those not for long.
#[derive(Debug, Default)]
pub(super) struct More {
    /// What is to be answered, in the order in which it was asked.
    pub(super) asked: VecDeque<Asked>,
    /// Messages that can't go on yet, in the order in which they came.
    pub(super) held: VecDeque<Held>,
    /// An `auth` is under way: what comes after it waits.
    pub(super) auth: Option<Auth>,
    /// Rooms that it is no member of any more by the word of these nodes, whose `left` hasn't come yet.
    pub(super) untold: Vec<Untold>,
    /// Nodes that refused it lately.
    pub(super) not: Vec<NodeNo>,
    /// How many seconds ago the last of them did.
    pub(super) refused: u8,
    /// How many seconds something of it has been without a node.
    pub(super) tries: u8,
}

impl More {
    fn is_empty(&self) -> bool {
        self.asked.is_empty()
            && self.held.is_empty()
            && self.auth.is_none()
            && self.untold.is_empty()
            && self.not.is_empty()
            && self.tries == 0
    }
}

#[derive(Debug)]
pub(super) struct Untold {
    pub(super) room: RoomName,
    pub(super) node: NodeNo,
    /// For how many seconds.
    pub(super) age: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Auth {
    /// What its answer repeats.
    pub(super) id: Option<u64>,
    /// Where it was asked.
    pub(super) node: NodeNo,
}

/// A request that is to be answered, or told of by `Enter` or `Exit`.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: Option<u64>,
    pub(super) kind: Kind,
    /// There is a seat for it.
    pub(super) room: NameNo,
    /// Where it was asked; nowhere: it is to be asked again.
    pub(super) node: NodeNo,
    /// For how many seconds, where it was asked without an id.
    pub(super) age: u8,
    /// Of a join: what it takes to ask again.
    pub(super) join: Option<Box<Again>>,
}

#[derive(Debug)]
pub(super) struct Again {
    pub(super) text: bool,
    pub(super) message: Box<[u8]>,
    /// The position that the client came with, and keeps where the answer has none.
    pub(super) since: Option<Position>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) text: bool,
    pub(super) message: Box<[u8]>,
    pub(super) ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What was said last about what the node is to the client isn't answered yet.
    Opening,
    Open,
    /// It was closed; what still comes of it means nothing.
    Closing,
}

/// A node that a client is open at.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: NodeNo,
    pub(super) standing: Standing,
    /// It was last opened as the client's home.
    pub(super) as_home: bool,
    /// It was its home: closed as soon as nothing of it is there.
    pub(super) former: bool,
    /// It has closed the client, which is in no room there any more, though the node may not know yet.
    pub(super) closed: bool,
    /// For how many seconds the client has had nothing to do with it.
    pub(super) idle: u8,
    /// Bytes of the client's messages that the node isn't done with.
    pub(super) in_flight: u32,
    /// Bytes of frames to the client that the node has had no credit for.
    pub(super) owed: u32,
}

impl Client {
    pub(super) fn new(tenant: NameNo, home_room: NameNo) -> Self {
        Self {
            tenant,
            home_room,
            home: NOWHERE,
            phase: Phase::Opening,
            stopped: false,
            queued: false,
            waiting: false,
            watched: false,
            seats: Vec::new(),
            own: Own::default(),
            places: Vec::new(),
            more: None,
        }
    }

    pub(super) fn seat(&self, room: NameNo) -> Option<usize> {
        self.seats.binary_search_by_key(&room, |seat| seat.room).ok()
    }

    /// Adds a seat that isn't there; the room's name must be held for it.
    pub(super) fn add_seat(&mut self, seat: Seat) -> usize {
        let index = self.seats.partition_point(|other| other.room < seat.room);
        if self.seats.len() == self.seats.capacity() {
            // Less than twice as many, since there are very many seats in all.
            self.seats.reserve_exact(self.seats.len() / 4 + 1);
        }
        self.seats.insert(index, seat);
        index
    }

    /// Takes a seat away, with the position that it has. It must have left the list of those that have entered.
    pub(super) fn remove_seat(&mut self, seat: usize) -> Seat {
        let seat = self.seats.remove(seat);
        debug_assert!(!seat.is(Mark::Entered), "it has left the list");
        self.own.set(seat.room, None);
        seat
    }

    /// A seat is no member's any more, nor about to be one's by the server's word. It must have left the list of those that
    /// have entered.
    pub(super) fn end_membership(&mut self, seat: usize) {
        let seat = &mut self.seats[seat];
        debug_assert!(!seat.is(Mark::Entered), "it has left the list");
        for mark in [Mark::Member, Mark::ByServer, Mark::ServerAsked, Mark::Again] {
            seat.set(mark, false);
        }
        self.own.set(seat.room, None);
    }

    pub(super) fn place(&mut self, node: NodeNo) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.node == node)
    }

    pub(super) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    pub(super) fn any_more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    pub(super) fn any_more_mut(&mut self) -> Option<&mut More> {
        self.more.as_deref_mut()
    }

    pub(super) fn forget_more(&mut self) {
        self.more = None;
    }

    pub(super) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.more.iter().flat_map(|more| &more.asked)
    }

    /// The rooms that it waits for an answer about, in rising order.
    pub(super) fn asked_rooms(&self) -> Vec<NameNo> {
        let mut rooms: Vec<NameNo> = self.asked().map(|asked| asked.room).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Nodes that refused it lately.
    pub(super) fn not(&self) -> Vec<NodeNo> {
        self.more.as_ref().map_or_else(Vec::new, |more| more.not.clone())
    }

    /// Whether a join of this room is outstanding that no leave follows.
    pub(super) fn is_joining(&self, room: NameNo) -> bool {
        let of_it = self.asked().filter(|asked| asked.room == room);
        let last = of_it.filter(|asked| matches!(asked.kind, Kind::Join | Kind::Leave)).last();
        last.is_some_and(|asked| asked.kind == Kind::Join)
    }

    /// Whether something of the client has no node.
    pub(super) fn is_homeless(&self) -> bool {
        self.home == NOWHERE || self.seats.iter().any(|seat| seat.node == NOWHERE)
    }

    /// Whether this seat counts as a room that the client is in.
    fn counts(&self, seat: &Seat) -> bool {
        let of_it = self.asked().filter(|asked| asked.room == seat.room);
        match of_it.filter(|asked| matches!(asked.kind, Kind::Join | Kind::Leave)).last() {
            Some(asked) => asked.kind == Kind::Join,
            None => seat.is(Mark::Member) || seat.is(Mark::ServerAsked),
        }
    }

    /// Whether a join of this room would be one room too many, where so many are allowed.
    pub(super) fn is_full_for(&self, room: NameNo, limit: u32) -> bool {
        if self.seats.len() < limit as usize {
            return false;
        }
        let already = self.seat(room).is_some_and(|index| self.counts(&self.seats[index]));
        !already && self.seats.iter().filter(|seat| self.counts(seat)).count() >= limit as usize
    }

    pub(super) fn owed(&self) -> u32 {
        self.places.iter().fold(0, |sum, place| sum.saturating_add(place.owed))
    }

    /// Whether messages have to wait whatever they ask for.
    pub(super) fn holds(&self) -> bool {
        self.phase != Phase::Live || self.more.as_ref().is_some_and(|more| more.auth.is_some())
    }

    /// Whether it may be read, below `window` bytes on their way to each node.
    pub(super) fn flow(&self, window: u32) -> Flow {
        let full = self.more.as_ref().is_some_and(|more| {
            let joins = || more.asked.iter().filter(|asked| asked.join.is_some()).count();
            let asked = more.asked.len();
            !more.held.is_empty() || asked >= ASKED || (asked >= JOINS && joins() >= JOINS)
        });
        if full || self.places.iter().any(|place| place.in_flight >= window) { Flow::Stop } else { Flow::Go }
    }

    /// Whether what stopped it is over; not at once at the window's edge, since each stop costs its task a turn.
    pub(super) fn may_resume(&self) -> bool {
        self.flow(CLIENT_WINDOW / 2) == Flow::Go
    }

    /// What it takes of memory, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |_| size_of::<More>());
        let (seats, places) =
            (self.seats.capacity() * size_of::<Seat>(), self.places.capacity() * size_of::<Place>());
        size_of::<Self>() + more + self.own.bytes() + seats + places
    }

    /// Gives back what it doesn't need.
    pub(super) fn tidy(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
        if self.seats.is_empty() && self.seats.capacity() > 0 {
            self.seats = Vec::new();
        }
        if self.places.is_empty() && self.places.capacity() > 0 {
            self.places = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_client_and_room_costs_is_small() {
        assert!(size_of::<Seat>() <= 12, "{}", size_of::<Seat>());
        assert!(size_of::<Place>() <= 16, "{}", size_of::<Place>());
        assert!(size_of::<Client>() <= 96, "{}", size_of::<Client>());
        assert!(size_of::<Asked>() <= 32, "{}", size_of::<Asked>());
    }
}
