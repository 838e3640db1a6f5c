//! What servers send.

use std::borrow::Cow;
use std::sync::Arc;

use super::result::{JoinResult, OkResult};
use crate::code::Code;
use crate::name::{ConnId, EpochName, Key, RoomName, UserId};
use crate::payload::Payload;

/// A frame from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// First, always.
    Hello(Hello),
    /// An answer.
    Ok(Answer),
    /// A refusal; the connection goes on.
    Err(Refusal),
    /// A publication.
    Msg(Msg),
    /// The server joined the client to a room.
    Joined(Joined),
    /// The server ended or refused a membership.
    Left(Left),
    /// Who came, changed and went.
    Presence(Presence),
    /// Something won't come.
    Gap(Gap),
    /// Move to a new connection.
    Goaway(Goaway),
    /// The server lives.
    Ping,
}

impl ServerFrame {
    /// The frame's type as JSON names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ok(_) => "ok",
            Self::Err(_) => "err",
            Self::Msg(_) => "msg",
            Self::Joined(_) => "joined",
            Self::Left(_) => "left",
            Self::Presence(_) => "presence",
            Self::Gap(_) => "gap",
            Self::Goaway(_) => "goaway",
            Self::Ping => "ping",
        }
    }
}

/// First, always: who the client is and what holds here.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The home room.
    pub room: Option<RoomName>,
    /// This connection, as others see it.
    pub conn: ConnId,
    /// What to give back at a reconnect: an opaque signed string.
    pub session: Arc<str>,
    /// Seconds between two pings of the server.
    pub ping: u64,
    /// Seconds from now until the token expires; none: never.
    pub expires: Option<u64>,
    /// What holds for this connection.
    pub limits: Limits,
    /// Who the client is; none: nobody in particular.
    pub user: Option<UserId>,
    /// Name and version of the server.
    pub server: Option<Cow<'static, str>>,
    /// The node that holds the connection.
    pub node: Option<Arc<str>>,
    /// W3C `traceparent` of the upgrade.
    pub trace: Option<Arc<str>>,
}

/// Sessions don't belong into logs.
impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("room", &self.room)
            .field("conn", &self.conn)
            .field("ping", &self.ping)
            .field("expires", &self.expires)
            .field("limits", &self.limits)
            .field("user", &self.user)
            .field("server", &self.server)
            .field("node", &self.node)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

/// What holds for a connection. Absent: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of a frame as received.
    pub frame: Option<u64>,
    /// Rooms that may be joined at a time.
    pub rooms: Option<u64>,
    /// Publications a second.
    pub publish_per_second: Option<u64>,
}

/// `ok`: the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's.
    pub id: Option<u64>,
    /// The room that the request was about.
    pub room: Option<RoomName>,
    /// What the application answered to a call. Null is the same as none.
    pub data: Option<Payload>,
    /// What Ringway answered.
    pub result: Option<OkResult>,
}

/// `err`: a request was refused; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The request's.
    pub id: Option<u64>,
    /// The room that the request was about.
    pub room: Option<RoomName>,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub message: Option<Cow<'static, str>>,
    /// Milliseconds until asking again may help; none: it won't.
    pub retry: Option<u64>,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msg {
    /// The history request that this is a line for.
    pub id: Option<u64>,
    /// The room; none: to this user, or the whole tenant.
    pub room: Option<RoomName>,
    /// What was published.
    pub data: Payload,
    /// Its place in the room; none: not part of a history.
    pub offset: Option<u64>,
    /// When, in milliseconds since 1970.
    pub ts: Option<u64>,
    /// Who published.
    pub user: Option<UserId>,
    /// The publisher's name for its kind.
    pub event: Option<Arc<str>>,
    /// What it is the newest of.
    pub key: Option<Key>,
    /// The publisher's own id.
    pub mid: Option<Arc<str>>,
    /// The offset before it, in a durable room.
    pub prev: Option<u64>,
    /// The publisher's W3C `traceparent`.
    pub trace: Option<Arc<str>>,
}

/// The server joined the client to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The room.
    pub room: RoomName,
    /// As a join's.
    pub result: JoinResult,
}

/// The server ended or refused a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The room.
    pub room: RoomName,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub message: Option<Cow<'static, str>>,
    /// Milliseconds until joining again may help; none: it won't.
    pub retry: Option<u64>,
}

/// Who came, changed and went since the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The room.
    pub room: RoomName,
    /// Who came.
    pub joined: Option<Vec<Member>>,
    /// Whose state changed.
    pub updated: Option<Vec<Updated>>,
    /// Who went.
    pub left: Option<Vec<ConnId>>,
    /// How many connections are members now.
    pub count: Option<u64>,
    /// How many users that is.
    pub users: Option<u64>,
}

/// One member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub conn: ConnId,
    /// Who it is.
    pub user: Option<UserId>,
    /// The token's `info`, a value.
    pub info: Option<Payload>,
    /// What the member said of itself, a value.
    pub state: Option<Payload>,
}

/// A member's new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The connection.
    pub conn: ConnId,
    /// The new state, a value; none: cleared.
    pub state: Option<Payload>,
}

/// Something up to `offset` won't come; the room's position is now this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The room.
    pub room: RoomName,
    /// Why.
    pub reason: GapReason,
    /// The epoch that goes on from here.
    pub epoch: EpochName,
    /// The offset that is to be counted as had.
    pub offset: u64,
    /// That offset's time, milliseconds since 1970.
    pub ts: Option<u64>,
    /// How many publications are missing, where that is known.
    pub lost: Option<u64>,
}

/// Why something won't come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The member was too slow.
    Slow,
    /// It was lost between nodes.
    Backplane,
    /// It is no longer kept.
    Truncated,
    /// The room's numbering began anew.
    Epoch,
    /// A reason of another release, only ever read.
    Other(Arc<str>),
}

impl GapReason {
    /// The reason as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Slow => "slow",
            Self::Backplane => "backplane",
            Self::Truncated => "truncated",
            Self::Epoch => "epoch",
            Self::Other(text) => text,
        }
    }

    /// Reads a reason; one that isn't known is kept as it came.
    pub fn lenient(text: &str) -> Self {
        match text {
            "slow" => Self::Slow,
            "backplane" => Self::Backplane,
            "truncated" => Self::Truncated,
            "epoch" => Self::Epoch,
            _ => Self::Other(text.into()),
        }
    }
}

/// Move to a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goaway {
    /// Milliseconds to wait before the new connection is opened.
    pub after: u64,
    /// Why, for people.
    pub reason: Option<Cow<'static, str>>,
}
