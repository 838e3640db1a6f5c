//! What a shard is told.

use std::sync::Arc;

use ringway_auth::Grants;
use ringway_backplane::IncomingRequest;
use ringway_backplane::message::{Answer, Fate, PageOf, Publication};
use ringway_backplane::store::Known;
use ringway_config::Tenants;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{RoomName, TenantId};
use tokio::sync::oneshot;

use super::history::{Forgot, Paged};
use super::tally::RoomTally;
use crate::conn::ConnRef;
use crate::heat::{Bars, Surveyed};
use crate::placement::Placement;
use crate::reader::{ReadId, ReadResult};
use crate::relay::LastWord;
use crate::room::{AskError, AskId};
use crate::storing::StoreId;
use crate::trace::Kept;

/// A room's full name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RoomKey {
    pub(crate) tenant: TenantId,
    pub(crate) room: RoomName,
}

/// Sent to the shard that the room's slot belongs to. Handled in the order of arrival.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client's frame, or a join on its behalf.
    Client { conn: ConnRef, room: RoomKey, op: Op },
    /// The connection has ended: it is in no room any more. The word is held until nothing of it is under way.
    Gone(ConnRef, Option<Arc<LastWord>>),
    /// Its rights changed: it stays only where it may be.
    Regranted(ConnRef, Grants),
    /// Another node's, or a gateway's, question about a room.
    Asked(RoomKey, IncomingRequest),
    /// What came back to a room's own question.
    Answered { room: RoomKey, ask: AskId, result: Result<Answer, AskError> },
    /// What became of what a durable room had stored.
    Stored { room: RoomKey, store: StoreId, fates: Vec<Fate> },
    /// What came of a durable room's reading.
    Read { room: RoomKey, read: ReadId, result: ReadResult },
    /// A page of history was read for a client.
    Paged(Box<Paged>),
    /// A durable room was made to forget what it kept.
    Forgot(Box<Forgot>),
    /// The room's live subject is being listened to.
    Listening { room: RoomKey },
    /// The room's owner was asked how many are there.
    Counted { room: RoomKey, conn: ConnRef, id: Option<u64>, result: Result<Answer, AskError> },
    /// Another node says how many of its connections are in rooms that this node owns.
    Tallied { from: ringway_ring::NodeId, tallies: Vec<RoomTally> },
    /// A report of ours didn't arrive.
    TallyLost(Vec<RoomKey>),
    /// The cluster has changed.
    Placed(Arc<Placement>),
    /// The node has taken part for long enough to have heard of all who are there.
    Settled,
    /// The configuration has, and perhaps the cluster too.
    Configured { tenants: Tenants, placement: Arc<Placement> },
    /// Other things are known of the stores.
    Stores(Arc<Known>),
    /// The backplane is known to be away, or is back.
    Link { up: bool },
    /// Something may have been missed: messages were dropped on their way here, or the process stood still.
    Doubt,
    /// What the rooms weigh is to be told, to decide which of them are made lighter.
    Weigh { told: oneshot::Sender<Weighed> },
    /// How busy the rooms are is to be told: as far as one look goes.
    Survey { bars: Bars, told: oneshot::Sender<Surveyed> },
    /// Memory runs short. What was done is told.
    Lighten { order: Lighten, told: oneshot::Sender<Shed> },
}

/// What the rooms of one shard weigh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighed {
    /// How many they are.
    pub(crate) rooms: u64,
    /// Those of them that are empty.
    pub(crate) empty: u64,
    /// Bytes of every replay buffer in which something is.
    pub(crate) kept: Vec<u32>,
}

/// How rooms are to be made lighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lighten {
    /// No replay buffer may weigh more.
    pub(crate) level: usize,
    /// So many empty rooms are to be forgotten.
    pub(crate) forget: usize,
}

/// What went to make rooms lighter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shed {
    /// Rooms whose replay buffer was cut.
    pub(crate) cut: u64,
    /// Empty rooms that were forgotten.
    pub(crate) forgotten: u64,
}

impl Shed {
    pub(crate) fn add(&mut self, other: Shed) {
        self.cut += other.cut;
        self.forgotten += other.forgotten;
    }
}

/// What a client wants of a room. `id`: asked to be answered under it.
#[derive(Debug)]
pub(crate) enum Op {
    Join(Join),
    Leave {
        id: Option<u64>,
    },
    Publish {
        id: Option<u64>,
        publication: Box<Publication>,
        span: tracing::Span,
    },
    Members {
        id: Option<u64>,
    },
    History {
        id: u64,
        page: PageOf,
    },
    /// A gateway makes it a member, as it was elsewhere.
    Rejoin(Rejoin),
    /// A gateway takes it away, to be a member elsewhere.
    Move,
}

/// A join, a client's or the server's on its behalf.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) id: Option<u64>,
    pub(crate) since: Option<Position>,
    pub(crate) last: Option<u32>,
    pub(crate) by_server: bool,
    /// Ends when the join is answered.
    pub(crate) span: Kept,
}

/// A membership that goes on here.
#[derive(Debug)]
pub(crate) struct Rejoin {
    pub(crate) by_server: bool,
    /// What the client has of the room. None: it was never told where it is.
    pub(crate) since: Option<Position>,
}

impl Op {
    /// Whether it is what a gateway wants, not its client.
    pub(crate) fn is_gateways(&self) -> bool {
        matches!(self, Op::Rejoin(_) | Op::Move)
    }

    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Op::Rejoin(_) | Op::Move => None,
            Op::Join(Join { id, .. }) | Op::Leave { id } | Op::Publish { id, .. } | Op::Members { id } => *id,
            Op::History { id, .. } => Some(*id),
        }
    }
}
