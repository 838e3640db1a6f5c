//! What clients send.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::UINT_END;
use crate::name::{EpochName, Key, RoomName};
use crate::payload::Payload;

/// A frame from a client. With an id exactly one `ok` or `err` comes back with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// Join a room.
    Join(Join),
    /// Leave a room.
    Leave(Leave),
    /// Publish.
    Pub(Pub),
    /// Replace one's presence state.
    State(State),
    /// Ask who is in a room.
    Members(Members),
    /// Ask for a page of a room's history.
    History(History),
    /// Hand in a fresh token.
    Auth(Auth),
    /// Ask the application.
    Call(Call),
    /// Ask for an `ok`.
    Ping {
        /// What the answer repeats.
        id: Option<u64>,
    },
}

impl ClientFrame {
    /// What the answer is to repeat; without one only failures are told.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Join(frame) => frame.id,
            Self::Leave(frame) => frame.id,
            Self::Pub(frame) => frame.id,
            Self::State(frame) => frame.id,
            Self::Members(frame) => frame.id,
            Self::History(frame) => frame.id,
            Self::Auth(frame) => frame.id,
            Self::Call(frame) => frame.id,
            Self::Ping { id } => *id,
        }
    }

    /// The room that the frame names; none: the home room, or the frame is about no room.
    pub fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Join(frame) => Some(&frame.room),
            Self::Leave(frame) => Some(&frame.room),
            Self::Pub(frame) => frame.room.as_ref(),
            Self::State(frame) => frame.room.as_ref(),
            Self::Members(frame) => frame.room.as_ref(),
            Self::History(frame) => frame.room.as_ref(),
            Self::Call(frame) => frame.room.as_ref(),
            Self::Auth(_) | Self::Ping { .. } => None,
        }
    }

    /// The frame's type as JSON names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Pub(_) => "pub",
            Self::State(_) => "state",
            Self::Members(_) => "members",
            Self::History(_) => "history",
            Self::Auth(_) => "auth",
            Self::Call(_) => "call",
            Self::Ping { .. } => "ping",
        }
    }
}

/// Where a member stands in a room: what `since` gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The lifetime that the offset belongs to.
    pub epoch: EpochName,
    /// The last publication that the member has.
    pub offset: u64,
    /// That publication's time, milliseconds since 1970.
    pub ts: Option<u64>,
}

/// A text isn't a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is EPOCH:OFFSET or EPOCH:OFFSET:TS")]
pub struct BadPosition;

/// As a URL's `since` has it: `EPOCH:OFFSET[:TS]`. No epoch has a colon.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)?;
        self.ts.map_or(Ok(()), |ts| write!(f, ":{ts}"))
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.split(':');
        let epoch = parts.next().and_then(|epoch| epoch.parse().ok()).ok_or(BadPosition)?;
        let offset = parts.next().and_then(uint).ok_or(BadPosition)?;
        let ts = parts.next().map(|ts| uint(ts).ok_or(BadPosition)).transpose()?;
        if parts.next().is_some() { Err(BadPosition) } else { Ok(Self { epoch, offset, ts }) }
    }
}

/// Digits and nothing else; `parse` would take a plus sign as well.
fn uint(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number < UINT_END)
}

/// Join a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room.
    pub room: RoomName,
    /// Resume from here.
    pub since: Option<Position>,
    /// Where `since` isn't given, or fails: send the newest so many, at most [`super::PAGE_MAX`].
    pub last: Option<u32>,
    /// What presence shows of this member: a value, at most [`super::STATE_MAX`] bytes.
    pub state: Option<Payload>,
}

/// Leave a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room.
    pub room: RoomName,
}

/// Publish to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pub {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room; none: the home room.
    pub room: Option<RoomName>,
    /// What is published.
    pub data: Payload,
    /// A name for the kind of publication, at most [`super::EVENT_MAX`] bytes.
    pub event: Option<Arc<str>>,
    /// What it is the newest of.
    pub key: Option<Key>,
    /// The publisher's own id, at most [`super::MID_MAX`] bytes.
    pub mid: Option<Arc<str>>,
    /// Whether this connection hears it live, too. True where it isn't said.
    pub echo: bool,
    /// False in a durable room: a passing signal. True where it isn't said.
    pub store: bool,
    /// W3C `traceparent`, unchecked.
    pub trace: Option<Arc<str>>,
}

/// Replace one's presence state in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room; none: the home room.
    pub room: Option<RoomName>,
    /// The new state: a value, at most [`super::STATE_MAX`] bytes; null clears it.
    pub state: Payload,
}

/// Ask who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room; none: the home room.
    pub room: Option<RoomName>,
    /// The `next` of the page before.
    pub after: Option<Arc<str>>,
    /// How many at most, up to [`super::PAGE_MAX`].
    pub limit: Option<u32>,
}

/// Ask for a page of a room's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room; none: the home room.
    pub room: Option<RoomName>,
    /// Oldest first, from behind this offset.
    pub after: Option<u64>,
    /// Newest first, from before this offset.
    pub before: Option<u64>,
    /// How many at most, up to [`super::PAGE_MAX`].
    pub limit: Option<u32>,
    /// The epoch that the offsets are of.
    pub epoch: Option<EpochName>,
}

/// Hand in a fresh token of the same tenant and user.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The token.
    pub token: Arc<str>,
}

/// Tokens don't belong into logs.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Ask the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What the answer repeats.
    pub id: Option<u64>,
    /// The room; none: the home room.
    pub room: Option<RoomName>,
    /// The question.
    pub data: Payload,
    /// Which of the application's methods, at most [`super::METHOD_MAX`] bytes.
    pub method: Arc<str>,
    /// W3C `traceparent`, unchecked.
    pub trace: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        for text in ["0195-a:0", "0195-a:17:1795625000123", "e:9007199254740991"] {
            assert_eq!(text.parse::<Position>().map(|position| position.to_string()).as_deref(), Ok(text));
        }
        for bad in [
            "",
            ":",
            "e",
            "e:",
            ":1",
            "e:1:",
            "e:1:2:3",
            "e:-1",
            "e:+1",
            "e: 1",
            "e:x",
            "e_:1",
            "e:9007199254740992",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }
}
