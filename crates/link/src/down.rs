//! What a node says to a gateway.

use std::borrow::Cow;

use ringway_protocol::Code;
use ringway_protocol::name::{EpochName, Key, RoomName, TenantId};

use crate::{ConnNo, RoomNo};

/// One record towards the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down<'a> {
    /// The node takes the connection.
    Opened {
        /// Which one.
        conn: ConnNo,
    },
    /// It doesn't, and has forgotten its number: no `Ended` follows.
    Refused {
        /// Which one.
        conn: ConnNo,
        /// Why.
        code: Code,
        /// For people.
        detail: Cow<'a, str>,
        /// Milliseconds after which asking again may help; none: it won't.
        retry: Option<u64>,
    },
    /// What a room's number means from now on, and how its publications are treated; again whenever any of it changes.
    Room(RoomDeclared),
    /// A finished WebSocket frame for one connection.
    Send {
        /// Whose.
        conn: ConnNo,
        /// Where the client is in a room once it has it.
        at: Option<At>,
        /// The frame, header and payload.
        frame: &'a [u8],
    },
    /// From here on the connection gets the room's casts.
    Enter {
        /// Who.
        conn: ConnNo,
        /// Which room, declared before.
        room: RoomNo,
        /// Where it is; none: nobody could say yet.
        at: Option<At>,
        /// The server joined it, and the client hasn't yet.
        by_server: bool,
    },
    /// From here on it doesn't, or never did: its join was refused, the client's or the server's, for whatever reason, while it is
    /// no member. Comes right before the frame that tells the client: where the link is lost between the two, the gateway tells it.
    Exit {
        /// Who.
        conn: ConnNo,
        /// Which room.
        room: RoomName,
        /// Why.
        why: Exit,
    },
    /// One publication for the connections that have entered its room.
    Cast(Cast<'a>),
    /// Between `offset` and what was cast before it to this room, publications gave way on the link: members are told a `gap` (`slow`).
    Lost {
        /// Where.
        room: RoomNo,
        /// Up to which offset nothing more comes.
        offset: u64,
        /// That publication's time, milliseconds since 1970.
        ts: u64,
        /// How many.
        frames: u64,
    },
    /// The node is done with so many bytes of the client's frames.
    Credit {
        /// Whose.
        conn: ConnNo,
        /// Bytes of messages.
        bytes: u32,
    },
    /// The client has other rights, which the gateway passes on to the further nodes: a sealed ticket. Comes before the answer to its `auth`.
    Renewed {
        /// Whose.
        conn: ConnNo,
        /// The sealed ticket.
        ticket: &'a str,
    },
    /// The client's socket is to be closed, after what was sent before.
    Close {
        /// Whose.
        conn: ConnNo,
        /// With this code.
        code: u16,
        /// And this reason.
        reason: Cow<'a, str>,
    },
    /// The client was told to go, and is closed if it is still there after so long, whichever nodes it has by then. The first such
    /// word counts.
    CloseLater {
        /// Whose.
        conn: ConnNo,
        /// After so many milliseconds.
        after: u32,
        /// With this code.
        code: u16,
        /// And this reason.
        reason: Cow<'a, str>,
    },
    /// The node has nothing of the connection any more: its number is free here.
    Ended {
        /// Which one.
        conn: ConnNo,
    },
    /// The node leaves service: all that is here should move, now.
    Leaving,
    /// Answers `Ping`.
    Pong {
        /// Its number.
        number: u64,
    },
}

/// What [`Down::Room`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDeclared {
    /// Its number on this link.
    pub number: RoomNo,
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub room: RoomName,
    /// The lifetime that offsets of `At`, `Cast` and `Lost` belong to from now on.
    pub epoch: Option<EpochName>,
    /// What may become of casts where a member is behind.
    pub policy: Policy,
    /// How long casts wait for others to leave with, milliseconds.
    pub flush_window: u32,
}

/// What may become of a publication where a member is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The member is closed if there is no room.
    Disconnect,
    /// The oldest are left out.
    DropOldest,
    /// The newest of each key stays.
    Conflate,
}

/// A place in a room, in the epoch that the room was last declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Which room.
    pub room: RoomNo,
    /// The last publication that the client has.
    pub offset: u64,
    /// That publication's time, milliseconds since 1970.
    pub ts: u64,
}

/// What [`Down::Cast`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast<'a> {
    /// Which room.
    pub room: RoomNo,
    /// Its offset, if it is part of a history; then members are there.
    pub offset: Option<u64>,
    /// When it was published, milliseconds since 1970.
    pub ts: u64,
    /// What it is a value of.
    pub key: Option<Key>,
    /// Who doesn't get it.
    pub but: Exclude,
    /// The finished WebSocket frame for who speaks JSON; empty: nobody here does.
    pub json: &'a [u8],
    /// The finished WebSocket frame for who speaks MessagePack; empty: nobody here does.
    pub msgpack: &'a [u8],
}

/// Who of those that have entered doesn't get a cast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// Everybody gets it.
    Nobody,
    /// These don't, and stay in the room where they are.
    These(Vec<ConnNo>),
    /// Only these do. The others stay where they are.
    AllBut(Vec<ConnNo>),
}

/// Why a connection gets nothing more of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It left, was made to leave, or was never let in; the client is told.
    Left,
    /// The gateway asked for it by `Move`.
    Moved,
}
