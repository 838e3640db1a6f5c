//! The room's times and bounds, each with its reason.

use std::time::Duration;

/// How long one node is given to hand the room over: four of them in a row must fit into what a publisher waits
/// twice over, and a healthy node answers in a millisecond.
pub(crate) const TAKE_WAIT: Duration = Duration::from_secs(1);
/// How long a room that may be on its way between two nodes is waited for before it is asked for again: some round
/// trips.
pub(crate) const TAKE_PAUSE: Duration = Duration::from_millis(100);
/// How many nodes are asked for the room before a new epoch begins: last known holder, next owner, and whom these name.
pub(crate) const TAKE_ASKS: usize = 4;
/// How long the owner is given to number a publication. A time-out is `outcome_unknown`.
pub(crate) const PUBLISH_WAIT: Duration = Duration::from_secs(2);
/// How long the owner is given to say where the room is: it may have to take it first.
pub(crate) const SYNC_WAIT: Duration = Duration::from_secs(2);
/// How long the note about a greater epoch is waited for; nothing rests on its answer.
pub(crate) const NOTE_WAIT: Duration = Duration::from_secs(1);
/// The first mark: soon enough that a lost last publication is a blip, late enough that a busy room sends none.
pub(crate) const MARK_SOON: Duration = Duration::from_millis(500);
/// The second mark: whoever lost the first to the same fault has mostly recovered by then.
pub(crate) const MARK_LATE: Duration = Duration::from_secs(4);
/// The first wait before an owner that couldn't be asked is asked again; doubles to [`ASK_AGAIN_MOST`].
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Between two questions while whoever is asked sends elsewhere, and from there back: nodes read a configuration, or see one come, a
/// moment apart.
pub(crate) const VIEWS_PAUSE: Duration = Duration::from_millis(100);
/// So many questions may be sent round before the owner is taken for not to be had: for about [`SYNC_WAIT`].
pub(crate) const VIEWS_DIFFER: u8 = 20;
/// Members without a position wait for this at most once the owner is back; many rooms may be asking it.
pub(crate) const ASK_AGAIN_MOST: Duration = Duration::from_secs(4);
/// The hint in `unavailable`: a dead owner leaves the view in about 2.5 s, so a second try finds its successor.
pub(crate) const RETRY: Duration = Duration::from_millis(1_500);
/// A room that nobody used for that long is forgotten: its replay buffer has long expired, and the clocks of two
/// nodes differ by less, so a later epoch is greater than the forgotten one.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(300);

/// A room's replay buffer in bytes, whatever its class says in messages: the buffers of a node's busy rooms must fit
/// into its memory, and all of one into the queue of a member that asks for it.
pub(crate) const REPLAY_BYTES: usize = 512 << 10;
/// Where a newer publication of its key took its place, a publication's `mid` is remembered for so many further ones: as
/// long as an ordinary room would keep it by default.
pub(crate) const MIDS: u64 = 100;
/// See [`MIDS`]; and no longer than this, ms.
pub(crate) const MIDS_AGE: u64 = 30_000;
/// What a handed-over or asked-for buffer may weigh: half of what NATS carries in one message.
pub(crate) const STATE_BYTES: usize = 512 << 10;
/// Publications that came before their predecessors, kept until the owner was asked: count and bytes. What is over
/// is asked for again.
pub(crate) const AHEAD: usize = 1_024;
/// See [`AHEAD`].
pub(crate) const AHEAD_BYTES: usize = 1 << 20;
/// Questions that wait while the room is being taken, and the publications among them in bytes; over it:
/// `unavailable`.
pub(crate) const QUEUED: usize = 1_024;
/// See [`QUEUED`].
pub(crate) const QUEUED_BYTES: usize = 4 << 20;
/// Joins that wait for the owner's answer; over it: answered at once, without a position.
pub(crate) const WAITING: usize = 4_096;
/// Lesser epochs whose delivered offsets are remembered, so that each loss in them is told once.
pub(crate) const FORMER_EPOCHS: usize = 8;
/// Hand-overs that may still come late.
pub(crate) const LATE_TAKES: usize = 16;
