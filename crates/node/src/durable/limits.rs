//! The times and bounds of a durable room, each with its reason.

use std::time::Duration;

/// How long what is acknowledged, or marked, may still be in the queue of live messages before it is read back. The
/// acknowledgement follows the live message on the same connection, so on a node that keeps up this is never reached.
pub(super) const REPAIR_AFTER: Duration = Duration::from_millis(100);
/// The first mark: soon enough that a lost last publication is a blip, late enough that a busy room sends none.
pub(super) const MARK_SOON: Duration = Duration::from_millis(500);
/// The second mark: whoever lost the first to the same fault has mostly recovered by then.
pub(super) const MARK_LATE: Duration = Duration::from_secs(4);
/// The first wait before what couldn't be read is read again; doubles to [`READ_AGAIN_MOST`].
pub(super) const READ_AGAIN: Duration = Duration::from_millis(250);
/// See [`READ_AGAIN`]: thousands of rooms may be waiting for one store.
pub(super) const READ_AGAIN_MOST: Duration = Duration::from_secs(2);
/// How long a join waits for a store that can't be read.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_secs(4);
/// The hint of a join that failed.
pub(super) const JOIN_RETRY: Duration = Duration::from_secs(1);
/// How long a member that is behind is left to take what it was sent before its replay is looked at again.
pub(super) const REPLAY_AGAIN: Duration = Duration::from_millis(20);
/// How long the room's owner is given to have a publication stored: longer than it tries itself.
pub(super) const PUBLISH_WAIT: Duration = Duration::from_secs(5);
/// After so long without members the room begins anew: soon after, its subject may not be listened to any more. Within it, who
/// was cut off comes back to its window.
pub(super) const UNATTENDED: Duration = Duration::from_secs(10);
/// How long a room may be unused before it is forgotten: long enough for both marks.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(30);
/// A room that was heard within that time may have lost its newest with a node that died.
pub(super) const LATELY: Duration = Duration::from_secs(10);
/// A suspicion that was found to be wrong isn't followed up again for so long: a repeat may come a thousand times.
pub(super) const CHECKED: Duration = Duration::from_secs(1);
/// How often another epoch is waited for where a number can't be gone on from, before that is taken for a loss. With
/// [`READ_AGAIN`] some seconds, in which the store is looked at anew.
pub(super) const PATIENT: u32 = 6;
/// In a store that keeps the newest of each key: what was delivered longer ago than this, and less than twice as long, is
/// taken for settled. Both marks have come by then.
pub(super) const SETTLED: Duration = Duration::from_secs(6);

/// The window: how long, how many, how many bytes. Enough for a blip of the network; longer ones the store answers.
pub(super) const WINDOW_AGE: Duration = Duration::from_secs(10);
/// See [`WINDOW_AGE`].
pub(super) const WINDOW: usize = 256;
/// See [`WINDOW_AGE`].
pub(super) const WINDOW_BYTES: usize = 64 << 10;
/// What is sent to a member in one go before it is asked whether it keeps up: count and bytes. Also what a hole may have to
/// be filled for all members at once; more each gets at its own pace.
pub(super) const SLICE: usize = 256;
/// See [`SLICE`].
pub(super) const SLICE_BYTES: usize = 128 << 10;
/// Live publications that wait while something before them is being read: count and bytes. What is over is read too.
pub(super) const AHEAD: usize = 256;
/// See [`AHEAD`].
pub(super) const AHEAD_BYTES: usize = 256 << 10;
/// Keys whose newest offset is remembered, of those that aren't settled.
pub(super) const KEYS: usize = 4_096;
/// Joins that wait for the store; over it: `unavailable`.
pub(super) const WAITING: usize = 4_096;
/// Questions to publish that are being stored for other nodes and gateways; over it: `unavailable`.
pub(super) const ASKED: usize = 1_024;
