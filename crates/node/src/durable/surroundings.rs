//! What a durable room needs of the world around it, and what it hands back. As with an ephemeral room: no method may
//! call back into the room; what comes back comes later, through the room's own methods.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, LiveBody, Publication};
use ringway_ring::NodeId;

use crate::reader::{Read, ReadId};
use crate::room::{AskId, Handles};
use crate::storing::StoreId;

/// A stored publication, and its place in its room.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    /// The one before it in its room (in a store that keeps the newest of each key: of its key). 0: there was none any
    /// more. None: not known, since it was read and not heard.
    pub(crate) prev: Option<u64>,
    /// When it was stored, milliseconds since 1970.
    pub(crate) ts: u64,
    pub(crate) publication: Arc<Publication>,
}

/// What comes back by `Durable::timer`. A timer can't be cancelled: the room ignores one that it has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The first mark after the last publication that was stored from here.
    MarkSoon,
    /// The second.
    MarkLate,
    /// What was acknowledged, or marked, should have come by live now.
    Repair,
    /// The store couldn't be read: again.
    ReadAgain,
    /// Members whose replay waits for them to take what they were sent: look again.
    Replay,
}

/// The answer to a join. What was missed or asked for follows by [`Surroundings::replay`], then live publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) epoch: Epoch,
    /// Where what follows begins.
    pub(crate) offset: u64,
    /// When that was stored, milliseconds since 1970, where it is known.
    pub(crate) ts: Option<u64>,
    /// The newest of the room.
    pub(crate) newest: u64,
    /// Given exactly if the join had a `since`: all since then follows.
    pub(crate) resumed: Option<bool>,
    /// The oldest that could still be had, where `resumed` is `Some(false)` and there is one.
    pub(crate) oldest: Option<u64>,
}

/// A join that can't be answered: the store can't be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJoined {
    /// When to try again.
    pub(crate) retry: Duration,
}

/// Why something won't come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapReason {
    /// It was deleted, or fell out of the history, before it could be delivered.
    Truncated,
    /// The store has another epoch.
    Epoch,
}

/// Word to a member that nothing up to there will come any more (but what it has).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    pub(crate) ts: Option<u64>,
}

/// All that a durable room may ask of, or do to, what is around it.
pub(crate) trait Surroundings<H: Handles> {
    /// This node.
    fn me(&self) -> &NodeId;
    /// Monotonic, since the process began.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> u64;
    /// The owner of the room's slot, in this node's view.
    fn owner(&self) -> Option<NodeId>;
    /// The backplane is known to be away.
    fn away(&self) -> bool;
    /// The epoch of the room's store, where it is known.
    fn epoch(&self) -> Option<Epoch>;

    /// Publishes to the room's live subject: marks, signals, what was forgotten. Never waits; what can't be sent is lost.
    fn live(&mut self, body: LiveBody);
    /// Asks another node (never this one); the answer comes by `Durable::answered`.
    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId;
    /// Answers a question that came by `Durable::asked`.
    fn answer(&mut self, to: H::Asker, answer: Answer);
    /// Tells what became of a `Durable::enter`: one for each publication, in order.
    fn outcome(&mut self, to: H::Publisher, fates: Vec<Fate>);
    /// Calls `Durable::timer` after that long.
    fn wake(&mut self, after: Duration, timer: Timer);

    /// Has these stored, in this order; what became of each comes by `Durable::stored`, within some seconds. None of them is
    /// a signal.
    fn store(&mut self, publications: Vec<Publication>) -> StoreId;
    /// Reads from the store; the result comes by `Durable::read`, within some seconds.
    fn read(&mut self, read: Read) -> ReadId;
    /// The numbers of this epoch can't be believed any more: see `Stores::disbelieve`. A new one comes by
    /// `Durable::epoch_is`.
    fn disbelieve(&mut self, epoch: Epoch);
    /// A stream sends that isn't known, or none answers: what is known of the store should be looked at again.
    fn look_again(&mut self);

    /// A live publication to these members. `late`: it comes after greater ones, of other keys.
    fn deliver<'a>(
        &mut self,
        entry: &Entry,
        epoch: Epoch,
        late: bool,
        to: impl Iterator<Item = &'a H::Conn> + Clone,
    ) where
        H::Conn: 'a;
    /// A signal, which has no number, to these members.
    fn pass<'a>(&mut self, publication: &Publication, to: impl Iterator<Item = &'a H::Conn> + Clone)
    where
        H::Conn: 'a;
    /// One publication of what a member missed or asked for, after its [`Surroundings::joined`].
    fn replay(&mut self, to: &H::Conn, entry: &Entry, epoch: Epoch);
    /// Whether so much waits for this member already that a replay has to wait.
    fn is_behind(&self, to: &H::Conn) -> bool;
    fn gap(&mut self, to: &H::Conn, gap: Gap);
    /// The answer to a join: the first that a member hears of the room.
    fn joined(&mut self, to: &H::Conn, answer: Joined);
    /// The answer to a join that failed: the connection is no member any more, and the room has forgotten it.
    fn not_joined(&mut self, to: &H::Conn, answer: NotJoined);
}
