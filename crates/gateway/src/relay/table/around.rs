//! What the table needs of what is around it, and what it hands back.
//!
//! The table decides; who implements [`Around`] carries out: the worker with links and sockets, the simulation with a
//! seeded world. No method may call back into the table: what comes of it (a link that is lost, a socket that has ended)
//! comes later, by the table's own methods.

use std::fmt;

use ringway_link::{Cast, ConnNo, OpenAs, RoomDeclared, Up};
use ringway_protocol::Code;
use ringway_protocol::frame::ServerFrame;
use ringway_protocol::name::RoomName;

/// A node, as one worker numbers those that it has, or had, to do with; found again by [`Around::node_for`]. Small
/// numbers: the table has a row for each. A number stays its node's while the table has anything there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeNo(pub(crate) u16);

/// What a node is looked for for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For<'a> {
    /// To be the connection's home: that of its home room, or of its user.
    Home,
    /// To serve it this room.
    Room(&'a RoomName),
}

/// Why a connection that was being opened has no node now. It keeps its number: open it at another, or say that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// The link was lost.
    Lost,
    /// The node doesn't take it.
    Refused {
        /// Why.
        code: Code,
        /// For people.
        detail: String,
        /// Milliseconds after which asking again may help.
        retry: Option<u64>,
    },
}

/// An `ok` or `err` that a finished frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// What it answers; none: what was asked without one and failed.
    pub(crate) id: Option<u64>,
    /// It is an `ok`.
    pub(crate) ok: bool,
}

/// Members of a room that are told something: those of a list, less a few.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To<'a> {
    pub(super) entered: &'a [ConnNo],
    /// In rising order.
    pub(super) but: &'a [ConnNo],
}

impl<'a> To<'a> {
    /// One after the other, each once, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ConnNo> + use<'a> {
        let but = self.but;
        let left_out = move |conn: &ConnNo| !but.is_empty() && but.binary_search(conn).is_ok();
        self.entered.iter().copied().filter(move |conn| !left_out(conn))
    }
}

/// All that the table may ask of, or do to, what is around it.
///
/// Towards nodes: what is said to a node in the order of calls reaches it in that order, over a link that is made if there
/// is none. Nothing of it fails here: where the link can't be made, or is lost, all that was said to it is lost, and
/// `Table::link_lost` is called. Towards clients: what goes to one client in the order of calls reaches it in that order.
pub(crate) trait Around {
    /// What casts to one room over one link need beside their bytes: the feeds of their labels, say. Kept by the table
    /// while the room is declared.
    type Room: fmt::Debug;

    /// Says something to a node; never `Up::Open`.
    fn up(&mut self, node: NodeNo, record: &Up<'_>);
    /// Says `Up::Open`, with a ticket of who the connection is by now.
    fn open(&mut self, node: NodeNo, conn: ConnNo, role: OpenAs);
    /// The node that should serve this now: the first in the router's order that is in the view, isn't leaving, can be
    /// reached for all that is known, and isn't one of `not`. The same, while nothing changes, for the same question.
    fn node_for(&mut self, conn: ConnNo, what: For<'_>, not: &[NodeNo]) -> Option<NodeNo>;
    /// A node said that it leaves: `node_for` names it no more, and `Table::look_again` follows.
    fn leaving(&mut self, node: NodeNo);
    /// A node answered a ping.
    fn pong(&mut self, node: NodeNo, number: u64);

    /// The room's number was declared, for the first time or anew; `before`: what the same room, by the same number, had.
    fn declared(&mut self, node: NodeNo, room: &RoomDeclared, before: Option<Self::Room>) -> Self::Room;
    /// A publication for these; `Cast::but` is done with already.
    fn cast(&mut self, room: &RoomDeclared, kept: &mut Self::Room, cast: &Cast<'_>, to: To<'_>);
    /// These are told a `gap`, `slow`, up to this offset: so many publications gave way on the link.
    fn lost(&mut self, room: &RoomDeclared, kept: &mut Self::Room, lost: Lost, to: To<'_>);
    /// A finished frame for one client. Its bytes are owed to the node until `Table::credit`; so many are by now, this
    /// frame's among them, to all nodes of the client.
    fn send(&mut self, conn: ConnNo, frame: &[u8], owed: u32);
    /// A frame of the gateway's own for one client: an answer to what was asked of a node that is lost, say. Owed to
    /// nobody.
    fn say(&mut self, conn: ConnNo, frame: ServerFrame);
    /// The socket is to be closed, after what was sent before. Its end is told by `Table::gone`, as ever.
    fn close(&mut self, conn: ConnNo, code: u16, reason: &str);
    /// It is to be closed so many milliseconds from now, if it stands then; the first such word counts, and later openings say that it
    /// was there.
    fn close_later(&mut self, conn: ConnNo, after: u32, code: u16, reason: &str);
    /// How many rooms it may be in, over all nodes, as of now.
    fn rooms(&self, conn: ConnNo) -> u32;
    /// What came of opening a connection that hasn't begun.
    fn opened(&mut self, conn: ConnNo, opened: Result<(), NotOpened>);
    /// The client has other rights from now on: what its tickets are made from is to change.
    /// False: the ticket can't be read, or isn't the client's.
    fn renewed(&mut self, conn: ConnNo, ticket: &str) -> bool;
    /// `Flow::Stop` is over: the client is read again.
    fn resume(&mut self, conn: ConnNo);
    /// Which request a finished frame answers; none: it is no answer.
    fn answered(&self, frame: &[u8]) -> Option<Answered>;
}

/// What [`Around::lost`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Up to which offset nothing more comes.
    pub(crate) offset: u64,
    /// That publication's time, milliseconds since 1970.
    pub(crate) ts: u64,
    /// How many.
    pub(crate) frames: u64,
}
