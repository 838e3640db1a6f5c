//! What the table knows of one client in one room.

use ringway_names::NameNo;
use ringway_protocol::frame::Position;
use ringway_protocol::name::EpochName;

use super::around::NodeNo;
use super::client::NOWHERE;

/// A room that a client has to do with: it is a member, asked to be one, or asked for something else not long ago.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) room: NameNo,
    /// Where it is among those that have entered the room, while it has.
    pub(super) index: u32,
    /// The node that serves it; nowhere: it is to be placed.
    pub(super) node: NodeNo,
    marks: u8,
    /// For how many seconds nothing was asked.
    pub(super) age: u8,
}

/// Something that is so or not so of a seat.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Mark {
    /// It is a member, for all that was heard.
    Member = 1,
    /// It gets the room's casts.
    Entered = 2,
    /// The server joined it, and the client hasn't yet.
    ByServer = 4,
    /// The server's join isn't answered yet.
    ServerAsked = 8,
    /// Its node was told `Move`.
    Moving = 16,
    /// The client joined where the server had: it enters once more.
    Again = 32,
    /// Something was asked that isn't answered where it is done.
    Unsure = 64,
}

impl Seat {
    pub(super) fn new(room: NameNo, node: NodeNo) -> Self {
        Self { room, index: 0, node, marks: 0, age: 0 }
    }

    pub(super) fn is(&self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    pub(super) fn set(&mut self, mark: Mark, so: bool) {
        if so {
            self.marks |= mark as u8;
        } else {
            self.marks &= !(mark as u8);
        }
    }

    /// It has no node any more. It must have left the list of those that have entered.
    pub(super) fn uproot(&mut self) {
        for mark in [Mark::Moving, Mark::Again, Mark::Unsure] {
            self.set(mark, false);
        }
        self.node = NOWHERE;
    }

    /// Somebody who could be let go without a word: no member, and nothing under way that it would know of itself.
    pub(super) fn is_visitor(&self) -> bool {
        !self.is(Mark::Member) && !self.is(Mark::ServerAsked) && !self.is(Mark::Moving)
    }
}

/// A place in a room.
pub(super) fn position(epoch: &EpochName, offset: u64, ts: u64) -> Position {
    Position { epoch: epoch.clone(), offset, ts: Some(ts) }
}
