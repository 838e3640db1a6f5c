//! What a room needs of the world around it, and what it hands back.
//!
//! The room decides; who implements [`Surroundings`] carries out: the shard with sockets, the backplane and timers,
//! the simulation with a seeded world. No method may call back into the room: effects that come back (answers, timers)
//! come later, through the room's own methods.

use std::time::Duration;

use super::log::Entry;
use ringway_backplane::message::{Answer, Ask, Epoch, LiveBody, Published};
use ringway_protocol::name::ConnId;
use ringway_ring::NodeId;

/// How long an answer to [`Ask::Take`] still counts after its time was up. The hand-over is the only copy of the
/// room's number, so it is worth waiting for; longer than a stalled node stays in the view, shorter than anyone cares.
pub(crate) const TAKE_COUNTS_LATE: Duration = Duration::from_secs(10);
/// How long a room is looked for at who owned its slot before: a node that leaves hardly answers for longer.
pub(crate) const FORMER_FOR: Duration = Duration::from_secs(5);

/// A member's handle. Cloning is cheap (an `Arc`).
pub(crate) trait Member: Clone {
    /// The connection's id, unique among a room's members on this node.
    fn id(&self) -> &ConnId;
}

/// The types of the handles that a room keeps for who is around it; opaque to the room.
pub(crate) trait Handles {
    /// A member: a connection of this node.
    type Conn: Member;
    /// Who, elsewhere, waits for [`Surroundings::answer`].
    type Asker;
    /// Who, on this node, waits for [`Surroundings::outcome`].
    type Publisher;
}

/// A question on its way, numbered by the surroundings; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AskId(pub(crate) u64);

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskError {
    /// Nobody listens at that node's inbox: surely not done.
    NoResponders,
    /// No answer in time, or an unreadable one, or the link broke after sending: perhaps done.
    Timeout,
    /// The backplane is away and the question never left: surely not done.
    Away,
}

/// What comes back by `Room::timer`. A timer can't be cancelled: the room ignores one that it has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The first mark after the last publication.
    MarkSoon,
    /// The second.
    MarkLate,
    /// The owner couldn't be asked: ask again.
    AskAgain,
    /// The room may have been on its way between two nodes: ask for it again.
    TakeAgain,
}

/// A position in the room, as clients know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    /// The time of the publication at `offset`, milliseconds since 1970, where it is known.
    pub(crate) ts: Option<u64>,
}

/// The answer to a join. What was missed or asked for follows by [`Surroundings::replay`], then live publications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Where what follows begins. `None`: the holder wasn't reached, the client keeps its position and a gap gives a
    /// new one later.
    pub(crate) place: Option<Place>,
    /// The newest offset of the room; `None` where `place` is.
    pub(crate) newest: Option<u64>,
    /// Given exactly if the join had a `since`: all since then follows.
    pub(crate) resumed: Option<bool>,
    /// The oldest offset that could still be had, where `resumed` is `Some(false)` and there is one.
    pub(crate) oldest: Option<u64>,
}

/// Why something won't come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapReason {
    /// Lost between nodes.
    Backplane,
    /// A new epoch began (or was met); its offsets have nothing to do with the former's.
    Epoch,
}

/// Word to a member that nothing up to `place` will come any more (but what it has).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) place: Place,
    /// How many were lost, where that is known.
    pub(crate) lost: Option<u64>,
}

/// What became of publications that entered on this node, all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Numbered by the holder: one for each publication, in their order.
    Published(Vec<Published>),
    /// A limit of the room let only so many through: the first of them, in their order. The others surely weren't
    /// published.
    Limited {
        /// One for each that was numbered; none: not even the first.
        published: Vec<Published>,
        /// When the next would be let through, if nobody comes between. None: never.
        retry: Option<Duration>,
    },
    /// The backplane is away: this node's members have them, unnumbered.
    Local,
    /// Surely not published; ask again after that long.
    Unavailable {
        /// A hint, for `err.retry`.
        retry: Duration,
    },
    /// Perhaps published. Never sent again by Ringway.
    Unknown,
}

/// All that a room may ask of, or do to, what is around it.
pub(crate) trait Surroundings<H: Handles> {
    /// This node.
    fn me(&self) -> &NodeId;
    /// Monotonic, since the process began.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> u64;
    fn random(&mut self) -> u32;
    /// The owner of the room's slot, in this node's view.
    fn owner(&self) -> Option<NodeId>;
    /// Who would own the slot if that node weren't there: exactly for this node, else nearly always.
    fn owner_without(&self, node: &NodeId) -> Option<NodeId>;
    /// Who owned the slot in this node's view within the last [`FORMER_FOR`], and may be on its way out; or in the pool that
    /// served the room's tenant before it moved to this node's, if it has.
    fn former_owner(&self) -> Option<NodeId>;
    /// `None`: not in this node's view.
    fn incarnation(&self, node: &NodeId) -> Option<u64>;
    /// This node has only just begun to take part: not all who are there need be in its view.
    fn is_new(&self) -> bool;
    /// The backplane is known to be away.
    fn away(&self) -> bool;

    /// Publishes to the room's live subject. Never waits; what can't be sent is lost (marks reveal it). The order of
    /// calls is kept.
    fn live(&mut self, body: LiveBody);
    /// Asks another node (never this one); the answer comes by `Room::answered`, after `within` as
    /// [`AskError::Timeout`]. Questions to one node leave in the order of calls. An answer to an [`Ask::Take`] that
    /// comes up to [`TAKE_COUNTS_LATE`] after its time-out is handed in too, under the same id.
    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId;
    /// Answers a question that came by `Room::asked`.
    fn answer(&mut self, to: H::Asker, answer: Answer);
    /// Tells what became of an `Room::enter`.
    fn outcome(&mut self, to: H::Publisher, outcome: Outcome);
    /// Calls `Room::timer` after that long.
    fn wake(&mut self, after: Duration, timer: Timer);

    /// A live publication to these members. `epoch` is `None` where it has no number (the backplane is away): then
    /// the entry's offset means nothing and isn't sent.
    fn deliver<'a>(
        &mut self,
        entry: &Entry,
        epoch: Option<Epoch>,
        to: impl Iterator<Item = &'a H::Conn> + Clone,
    ) where
        H::Conn: 'a;
    /// One publication of what a joining member missed or asked for, after its [`Surroundings::joined`].
    fn replay(&mut self, to: &H::Conn, entry: &Entry, epoch: Epoch);
    fn gap(&mut self, to: &H::Conn, gap: Gap);
    /// The answer to a join: the first that a member hears of the room.
    fn joined(&mut self, to: &H::Conn, answer: Joined);
}
