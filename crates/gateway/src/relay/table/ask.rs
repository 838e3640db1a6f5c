//! What a client's message asks for, as far as its way depends on it.

use ringway_protocol::DecodeError;
use ringway_protocol::frame::{ClientFrame, Position};
use ringway_protocol::name::RoomName;

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(super) kind: Kind,
    /// What its answer repeats.
    pub(super) id: Option<u64>,
    /// Which room; none: the home room, or none at all, as the kind says.
    pub(super) room: Option<RoomName>,
    /// Where a join resumes.
    pub(super) since: Option<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Join,
    Leave,
    Publish,
    /// Something else about a room, which may be asked again.
    AboutRoom,
    Auth,
    /// What is the home's to answer, bad frames among it.
    Other,
}

impl Kind {
    /// Whether there is a room that it is about.
    pub(super) fn is_about_room(self) -> bool {
        !matches!(self, Self::Auth | Self::Other)
    }
}

impl Ask {
    /// Of a message as it was read: what can't be read is the home's to answer, too.
    pub(crate) fn of(message: Result<ClientFrame, DecodeError>) -> Self {
        let frame = match message {
            Ok(frame) => frame,
            Err(error) => {
                let id = if let DecodeError::Frame { id, .. } = error { id } else { None };
                return Self { kind: Kind::Other, id, room: None, since: None };
            }
        };
        let id = frame.id();
        let (kind, room, since) = match frame {
            ClientFrame::Join(join) => (Kind::Join, Some(join.room), join.since),
            ClientFrame::Leave(leave) => (Kind::Leave, Some(leave.room), None),
            ClientFrame::Pub(publish) => (Kind::Publish, publish.room, None),
            ClientFrame::State(state) => (Kind::AboutRoom, state.room, None),
            ClientFrame::Members(members) => (Kind::AboutRoom, members.room, None),
            ClientFrame::History(history) => (Kind::AboutRoom, history.room, None),
            ClientFrame::Call(call) => (Kind::AboutRoom, call.room, None),
            ClientFrame::Auth(_) => (Kind::Auth, None, None),
            ClientFrame::Ping { .. } => (Kind::Other, None, None),
        };
        Self { kind, id, room, since }
    }
}
