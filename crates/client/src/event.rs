//! What an application gives and is told: memberships, events, states, and why a request has no
//! answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ringway_protocol::frame::{Gap, Hello, JoinResult, Msg, Position, Presence, Refusal};
use ringway_protocol::{Code, ConnId, Payload, RoomName};

use crate::connection::Closed;

/// What a membership begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinOptions {
    /// Where `since` isn't given, or fails: the newest so many, at most 1,000.
    pub last: Option<u32>,
    /// A position that was kept from before.
    pub since: Option<Position>,
    /// What presence shows of this member: a value of at most 1 KiB.
    pub state: Option<Payload>,
}

/// What the application is told, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What became of the connection.
    State(State),
    /// A new connection's first frame.
    Hello(Box<Hello>),
    /// A publication: of a room, or (without one) to this user or the whole tenant.
    Msg(Box<Msg>),
    /// Something won't come.
    Gap(Gap),
    /// A membership began, or goes on after a cut (`result.resumed` says whether without a loss).
    Joined {
        /// The room.
        room: RoomName,
        /// The server's answer.
        result: Box<JoinResult>,
    },
    /// A membership ended, or was refused.
    Left {
        /// The room.
        room: RoomName,
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        message: Option<Cow<'static, str>>,
    },
    /// Who came, changed and went.
    Presence(Box<Presence>),
    /// A frame that was sent without an id was refused.
    Refused(Refusal),
}

/// What a client's connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// For the first time.
    Connecting,
    /// There is one.
    Open {
        /// The connection, as others see it.
        conn: ConnId,
        /// The node that holds it.
        node: Option<Arc<str>>,
    },
    /// It was lost, and will be tried again.
    Reconnecting {
        /// In how long.
        after: Duration,
        /// How it was lost.
        closed: Closed,
    },
    /// For good.
    Closed(Closed),
}

/// Why a request has no answer that helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server refused it.
    #[error("{code}{}", message.as_deref().map(|message| format!(": {message}")).unwrap_or_default())]
    Refused {
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        message: Option<Cow<'static, str>>,
    },
    /// There was no answer in time: the outcome is unknown.
    #[error("no answer in time: the outcome is unknown")]
    Timeout,
    /// The frame is bigger than the server's limit.
    #[error("the frame has {size} bytes, the limit is {limit}")]
    TooBig {
        /// The frame's size, in bytes.
        size: u64,
        /// The server's limit, in bytes.
        limit: u64,
    },
    /// Too many requests wait for an answer.
    #[error("too many requests wait for an answer")]
    Busy,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}
