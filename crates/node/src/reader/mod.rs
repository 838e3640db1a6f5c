//! What rooms need of their stores is read for many of them together.
//!
//! Rooms ask one by one; after a node's death thousands ask at once. So questions that come within some milliseconds of one
//! another are asked together: what is newest, 1,000 rooms a request; then only rooms that moved are read, some at a time;
//! and where very many moved, the stream is read once, from the lowest number that anyone wants, for all of them.

mod asking;
mod counts;
mod desk;
mod history;
mod job;
mod library;
mod pass;
mod queue;
#[cfg(test)]
mod tests;
mod verify;
mod work;

use std::sync::Arc;

use ringway_backplane::message::{Epoch, HistoryPage, PageOf};
use ringway_backplane::nats::Stores;
use ringway_backplane::store::{Kept, Newest, ReadError, RoomAt};

pub(crate) use counts::ReadCounts;
use desk::Desk;

/// A question on its way; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReadId(pub(crate) u64);

/// What a room wants to know of what is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Where it is: its newest, or, where nothing is kept of it, the newest number of its stream.
    Newest,
    /// What came after a position that a client came back with: that it is what it says is looked at first.
    Since {
        epoch: Epoch,
        offset: u64,
        /// When that was stored, milliseconds since 1970, by the client's word.
        ts: Option<u64>,
    },
    /// What comes after a number that this node delivered, for a member's replay or a hole.
    After {
        offset: u64,
        /// This much is known to be stored: an answer that ends before it is a follower's that is behind, until the leader
        /// says otherwise. 0: nothing is known.
        upto: u64,
    },
    /// The newest so many; where keys are kept, of every key.
    Last { count: u32 },
    /// Whether what is kept at a number is still what this node delivered.
    Check { offset: u64, ts: u64 },
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// To [`Read::Newest`].
    Newest {
        epoch: Epoch,
        /// The room's newest, or its stream's where the room has nothing.
        at: Newest,
        /// The room has something.
        has: bool,
    },
    /// To [`Read::Since`], [`Read::After`] and [`Read::Last`]: a page, rising.
    Page {
        epoch: Epoch,
        kept: Vec<Kept>,
        /// There is more behind the last of them.
        more: bool,
        /// The room's newest, as far as this read knows; at least the last of `kept`.
        newest: Newest,
    },
    /// To [`Read::Since`]: that can't be resumed. Where the room is, and the oldest that it has.
    NotResumed { epoch: Epoch, newest: Newest, oldest: Option<u64> },
    /// To [`Read::Check`]: it is what it was.
    Same,
    /// To [`Read::Check`]: nothing is kept there any more, as it may be (deleted, or too old).
    Gone,
    /// To [`Read::Check`]: another history is kept.
    Other,
}

/// What came of a question.
pub(crate) type ReadResult = Result<Found, ReadError>;

/// Reads for all rooms of a node. Reads that are under way end when the last copy goes.
#[derive(Clone)]
pub(crate) struct Reader {
    desk: Arc<Desk<Stores>>,
}

impl Reader {
    pub(crate) fn counted(stores: Arc<Stores>, counts: ReadCounts) -> Self {
        Self { desk: Arc::new(Desk::new(stores, counts)) }
    }

    /// Reads; `done` is called once, from another task, within some seconds.
    pub(crate) fn read(&self, at: RoomAt, read: Read, done: impl FnOnce(ReadResult) + Send + 'static) {
        self.desk.read(at, read, done);
    }

    /// A page of a room's history. Of an epoch that isn't the store's: an empty one, with the present epoch.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) async fn history(&self, at: &RoomAt, page: PageOf) -> Result<HistoryPage, ReadError> {
        self.desk.history(at, page).await
    }

    /// Deletes all that a room has published so far. What was the last of it; none: it had nothing.
    ///
    /// # Errors
    /// [`ReadError`]; with [`ReadError::Timeout`] it may have been done.
    pub(crate) async fn forget(&self, at: &RoomAt) -> Result<Option<(Epoch, Newest)>, ReadError> {
        self.desk.forget(at).await
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
