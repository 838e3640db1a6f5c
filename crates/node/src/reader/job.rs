//! A room's question while it waits.

use std::sync::Arc;

use ringway_backplane::message::Epoch;
use ringway_backplane::store::{Newest, ReadError, RoomAt};
use tokio::time::Instant;

use super::verify::Claim;
use super::{Read, ReadResult};

type Callback = Box<dyn FnOnce(ReadResult) + Send>;

/// Whom to tell. It is told once, whatever happens: one that is dropped says that no answer came.
pub(super) struct Done(Option<Callback>);

impl Done {
    pub(super) fn new(done: impl FnOnce(ReadResult) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    pub(super) fn tell(mut self, result: ReadResult) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(ReadError::Timeout));
        }
    }
}

/// A room's question.
pub(super) struct Job {
    pub(super) at: RoomAt,
    pub(super) read: Read,
    pub(super) done: Done,
    /// The stream that has the room, and its epoch, when the question was put: it is put anew where they have changed since.
    pub(super) stream: Arc<str>,
    pub(super) epoch: Epoch,
    /// When nobody waits any more.
    pub(super) until: Instant,
    /// What is newest of the room, once that was asked.
    pub(super) newest: Option<Newest>,
    /// How often it was put anew.
    pub(super) again: u8,
}

impl Job {
    /// The position that it wants to go on from.
    pub(super) fn claim(&self) -> Option<Claim> {
        match self.read {
            Read::Since { offset, ts, .. } => Some(Claim { offset, ts }),
            Read::After { offset, .. } => Some(Claim { offset, ts: None }),
            Read::Newest | Read::Last { .. } | Read::Check { .. } => None,
        }
    }

    /// A client came back with an epoch that isn't the room's.
    pub(super) fn is_of_another_epoch(&self) -> bool {
        matches!(self.read, Read::Since { epoch, .. } if epoch != self.epoch)
    }
}
