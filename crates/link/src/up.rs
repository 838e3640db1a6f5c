//! What a gateway says to a node.

use ringway_protocol::frame::Position;
use ringway_protocol::name::RoomName;

use crate::ConnNo;

/// One record towards the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up<'a> {
    /// A connection is to be held here, too. Answered by `Opened` or `Refused`. Of one that is open here already it changes what
    /// the node is to it (further to home again, home to further) and nothing else, and is answered alike; a second one doesn't
    /// come before the first is answered.
    Open(Open<'a>),
    /// The client of a connection that was opened as [`OpenAs::Home`] is there: it gets its `hello`, and the server's joins.
    Begin {
        /// Which one.
        conn: ConnNo,
    },
    /// One message of the client, as it came. The node answers with `Credit` once it is done with it.
    Frame {
        /// Whose.
        conn: ConnNo,
        /// Whether it was a text message.
        text: bool,
        /// Its payload.
        message: &'a [u8],
    },
    /// The client is a member of a room, by the word of another node or of an earlier link: it is made one here, from where it is.
    Rejoin(Rejoin),
    /// The room's home is elsewhere by now: what the client asked about it before is answered, then the membership ends without a word
    /// to the client, and `Exit` with `Exit::Moved` follows: exactly one for each `Move`, though there be no membership (any more).
    Move {
        /// Whose membership.
        conn: ConnNo,
        /// In which room.
        room: RoomName,
    },
    /// The client has other rights, or another end: as a ticket, like `Open`'s.
    Renew {
        /// Whose.
        conn: ConnNo,
        /// The sealed ticket.
        ticket: &'a str,
    },
    /// The client has gone, or has nothing here any more. Answered by `Ended`.
    Closed {
        /// Which one.
        conn: ConnNo,
    },
    /// So many bytes of what was sent to this connection alone have left the gateway.
    Credit {
        /// Whose.
        conn: ConnNo,
        /// Bytes of frames, from `Send` records.
        bytes: u32,
    },
    /// Is the node there? Answered by `Pong` with the same number.
    Ping {
        /// Any.
        number: u64,
    },
}

/// What [`Up::Open`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// The connection's number from now on.
    pub conn: ConnNo,
    /// What the node is to it.
    pub role: OpenAs,
    /// The sealed ticket: who it is.
    pub ticket: &'a str,
    /// Where its trace goes on.
    pub traceparent: Option<&'a str>,
    /// How long the client's connection to the gateway has stood, milliseconds: it is as old at each of its nodes.
    pub age: u64,
    /// Its client was told to go, and when its socket is closed is settled: the gateway has had [`Down::CloseLater`](crate::Down::CloseLater).
    pub told_to_go: bool,
}

/// What a node is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// Its home: says `hello`, joins what the server joins, delivers messages to the user, ends it with its token; it
    /// counts as a connection of its tenant and user. Nothing of it happens before `Begin`.
    Home,
    /// Its home from now on, another node's before: as [`Home`](Self::Home), but without `hello` and server's joins, and at once.
    HomeAgain,
    /// The owner of some of its rooms, and no more.
    Further,
}

/// What [`Up::Rejoin`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// Who.
    pub conn: ConnNo,
    /// Which room.
    pub room: RoomName,
    /// The server joined it, and the client hasn't yet.
    pub by_server: bool,
    /// What the client has of the room. None: it was never told where it is, and a `gap` gives it a position.
    pub since: Option<Position>,
}
