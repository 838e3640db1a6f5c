//! How a connection ended.

use ringway_protocol::CloseCode;

/// How a connection ended, and with which close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ended by {by:?}, close code {code:?}")]
pub struct Ended {
    /// Who ended it.
    pub by: By,
    /// The code of the close frame that began the end; none if there was none, or none in it.
    pub code: Option<CloseCode>,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The client sent a close frame.
    Peer,
    /// This side did: on request, or because the client broke the rules.
    Us,
    /// This side did, because the client didn't keep up: what may not be left out found no room in its queue.
    Slow,
    /// This side did, because the client's socket took nothing for [`STALL_LIMIT`](crate::STALL_LIMIT).
    Stalled,
    /// This side did, because memory ran short and what may not be left out waited for the client: see
    /// [`shed`](crate::Outbound::shed).
    Shed,
    /// Nobody said anything: the stream ended, broke or was cut.
    Lost,
}

impl Ended {
    pub(crate) const LOST: Ended = Ended { by: By::Lost, code: None };
}
