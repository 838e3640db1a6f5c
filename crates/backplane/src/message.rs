//! What nodes and gateways say to each other, as values. How they look on the wire is `codec`'s business.

mod epoch;
mod request;
mod unread;

use std::sync::Arc;

use ringway_protocol::name::{ConnId, Key, RoomName, SessionId, TenantId, UserId};
use ringway_protocol::payload::Payload;
use ringway_ring::{Announcement, NodeId};

pub use epoch::{Epoch, EpochError};
pub use request::{
    Answer, Ask, BadPage, Fate, HistoryPage, Known, PageOf, Published, Question, Request, RoomTally,
    STATE_LIMIT,
};
pub use unread::Unread;

/// One message published to a room, a user or a tenant, as it travels and as rooms keep it.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// When it was accepted, milliseconds since 1970.
    pub ts: u64,
    /// Who published, where the publisher has a user.
    pub user: Option<UserId>,
    /// The application's name for its kind.
    pub event: Option<Arc<str>>,
    /// The key it is the newest value of, in rooms that keep keys.
    pub key: Option<Key>,
    /// The publisher's own id: a repeat of it is published once.
    pub mid: Option<Arc<str>>,
    /// The trace context that the publisher gave for its receivers.
    pub trace: Option<Arc<str>>,
    /// What was published.
    pub data: Payload,
    /// The publisher's connection; none for a publication by HTTP.
    pub conn: Option<ConnId>,
    /// The publisher's session: with `mid` it recognises a repeat where there is no user.
    pub session: Option<SessionId>,
    /// Whether the publisher's own connection gets it live too.
    pub echo: bool,
    /// The span that it is in the hands of, for traces (W3C `traceparent`): what is done with it next is a child of
    /// that. Travels with a question to publish; a live message has its sender's in the headers.
    pub span: Option<Arc<str>>,
    /// Not to be stored, where its room's publications are: at most once, and without a number.
    pub signal: bool,
}

impl Publication {
    /// Nothing but data, accepted at `ts`: nobody's, heard by everybody, to be stored where its room's are.
    #[must_use]
    pub fn new(ts: u64, data: Payload) -> Self {
        Self {
            ts,
            user: None,
            event: None,
            key: None,
            mid: None,
            trace: None,
            data,
            conn: None,
            session: None,
            echo: true,
            span: None,
            signal: false,
        }
    }

    /// At most this many bytes on the wire, give or take nothing: what bounds on bytes count by.
    #[must_use]
    pub fn wire_bound(&self) -> usize {
        /// The numbers, and the longest header of each of the ten texts and bytes.
        const FIXED: usize = 64;
        let text = |text: Option<&str>| text.map_or(0, str::len);
        let data = self.data.bytes().or(self.data.value_msgpack()).map_or(0, bytes::Bytes::len);
        FIXED
            + data
            + text(self.user.as_ref().map(UserId::as_str))
            + text(self.event.as_deref())
            + text(self.key.as_ref().map(Key::as_str))
            + text(self.mid.as_deref())
            + text(self.trace.as_deref())
            + text(self.conn.as_ref().map(ConnId::as_str))
            + text(self.session.as_ref().map(SessionId::as_str))
            + text(self.span.as_deref())
    }
}

/// What travels on a room's live subject.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveMessage {
    /// The node that sent it.
    pub from: NodeId,
    /// The sender's count over all its live messages, from 1: with `from` it tells a repeat (two overlapping
    /// subscriptions) where there is no offset.
    pub count: u64,
    /// The room's tenant.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomName,
    /// What is said.
    pub body: LiveBody,
    /// The sender's span, for traces (W3C `traceparent`).
    pub traceparent: Option<Arc<str>>,
}

/// What a live message says.
#[derive(Clone, Debug)]
pub enum LiveBody {
    /// A numbered publication.
    Publication {
        /// The lifetime its number belongs to.
        epoch: Epoch,
        /// Its number, from 1.
        offset: u64,
        /// What was published; shared with the room's own buffer.
        publication: Arc<Publication>,
    },
    /// A numbered publication, as it comes over a network: see [`LiveBody::read`].
    Unread {
        /// The lifetime its number belongs to.
        epoch: Epoch,
        /// Its number, from 1.
        offset: u64,
        /// What was published, as it came.
        publication: Unread,
    },
    /// So far the room has come: who has less, lost something.
    Mark {
        /// The epoch that the sender numbers in, or follows.
        epoch: Epoch,
        /// The last number given.
        offset: u64,
    },
    /// A publication that a store keeps, as the store's server sends it on.
    Stored(Stored),
    /// A publication to a durable room that isn't stored: at most once, without a number.
    Signal(Arc<Publication>),
    /// The same of a durable room whose store keeps the newest of each key: of these keys so far. The greatest of them alone
    /// would hide that another is missing.
    MarkKeys {
        /// The store's epoch.
        epoch: Epoch,
        /// What the sender had stored of each lately; none: of those without a key. At most
        /// [`MARK_KEYS`](crate::message::MARK_KEYS).
        keys: Vec<(Option<Key>, u64)>,
    },
    /// All of a durable room's publications up to this one were deleted.
    Forgotten {
        /// The store's epoch.
        epoch: Epoch,
        /// The last that was deleted.
        offset: u64,
        /// When that was stored, milliseconds since 1970.
        ts: u64,
    },
}

impl LiveBody {
    /// Whether something was published, not only said about what was.
    #[must_use]
    pub fn is_publication(&self) -> bool {
        match self {
            Self::Publication { .. } | Self::Unread { .. } | Self::Stored(_) | Self::Signal(_) => true,
            Self::Mark { .. } | Self::MarkKeys { .. } | Self::Forgotten { .. } => false,
        }
    }
}

/// How many keys one [`LiveBody::MarkKeys`] names at most: at their longest they fill a tenth of a message.
pub const MARK_KEYS: usize = 256;

/// A publication that a store keeps, and its place there.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The stream that keeps it.
    pub stream: Arc<str>,
    /// Its number in the stream: rises, with holes, over all rooms of it.
    pub offset: u64,
    /// The number of the one before it in its room; in a store that keeps the newest of each key, of its key. 0: there is
    /// none any more.
    pub prev: u64,
    /// When it was stored, milliseconds since 1970.
    pub ts: u64,
    /// What was published, as it came. Its own `ts` is when it was accepted, which members of a durable room don't see.
    pub publication: Unread,
}

/// A publication for connections wherever they are, of no room: delivered by every node of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct Direct {
    /// The tenant whose connections are meant.
    pub tenant: TenantId,
    /// The user whose connections are meant; none: all of the tenant's.
    pub user: Option<UserId>,
    /// What was published.
    pub publication: Arc<Publication>,
    /// The sender's span, for traces (W3C `traceparent`).
    pub traceparent: Option<Arc<str>>,
}

/// What is said about the cluster itself.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterEvent {
    /// A node lives, and this is how it is reached and loaded.
    Announced(Box<Announcement>),
    /// A node leaves for good, and isn't to be waited for.
    Departed {
        /// Which node.
        id: NodeId,
        /// Which of its lives: a later one is not meant.
        incarnation: u64,
    },
    /// Someone new watches: every node announces itself without waiting for its time.
    Hello,
}
