//! What is asked of a store, as few questions: the backplane answers them, and in tests a store that lags and fails.

use std::sync::Arc;

use ringway_backplane::nats::Stores;
use ringway_backplane::store::{
    Extent, Found, Holding, Kept, Known, Newest, Pass, ReadError, RoomAt, RoomPage, StoreKey,
};

/// What a leader has at a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtNumber {
    /// A publication of the room that was asked for, stored then (milliseconds since 1970).
    Ours(u64),
    /// Another room's.
    Others(u64),
    Nothing,
}

/// The newest of some rooms.
#[derive(Debug, Clone, Default)]
pub(super) struct NewestOf {
    /// In the order in which they were asked for; none: whoever answered has nothing of that room.
    pub(super) rooms: Vec<Option<Newest>>,
    /// Whoever answered had everything up to this number. None: it doesn't say.
    pub(super) upto: Option<u64>,
}

/// The questions. Direct ones (`newest`, `room`, `pass`) may be answered by a follower that is behind: a beginning of the
/// truth; the others are the leader's.
pub(super) trait Library: Send + Sync + 'static {
    fn known(&self) -> Arc<Known>;
    fn look_again(&self, key: &StoreKey);
    fn newest(&self, rooms: &[RoomAt]) -> impl Future<Output = Result<NewestOf, ReadError>> + Send;
    fn room(
        &self,
        at: &RoomAt,
        from: u64,
        count: u32,
        bytes: usize,
    ) -> impl Future<Output = Result<RoomPage, ReadError>> + Send;
    fn pass(
        &self,
        at: &RoomAt,
        from: u64,
        count: u32,
    ) -> impl Future<Output = Result<Pass, ReadError>> + Send;
    fn at(&self, at: &RoomAt, offset: u64) -> impl Future<Output = Result<AtNumber, ReadError>> + Send;
    fn newest_by_leader(&self, at: &RoomAt)
    -> impl Future<Output = Result<Option<Newest>, ReadError>> + Send;
    fn extent(&self, at: &RoomAt) -> impl Future<Output = Result<Extent, ReadError>> + Send;
    fn holding(&self, at: &RoomAt) -> impl Future<Output = Result<Holding, ReadError>> + Send;
    fn forget(&self, at: &RoomAt, upto: u64) -> impl Future<Output = Result<(), ReadError>> + Send;
}

impl Library for Stores {
    fn known(&self) -> Arc<Known> {
        self.now()
    }

    fn look_again(&self, key: &StoreKey) {
        self.look_again(key);
    }

    async fn newest(&self, rooms: &[RoomAt]) -> Result<NewestOf, ReadError> {
        let (rooms, upto) = self.newest_upto(rooms).await?;
        Ok(NewestOf { rooms, upto })
    }

    async fn room(&self, at: &RoomAt, from: u64, count: u32, bytes: usize) -> Result<RoomPage, ReadError> {
        self.room(at, from, count, bytes).await
    }

    async fn pass(&self, at: &RoomAt, from: u64, count: u32) -> Result<Pass, ReadError> {
        self.pass(at, from, count).await
    }

    async fn at(&self, at: &RoomAt, offset: u64) -> Result<AtNumber, ReadError> {
        Ok(match self.at(at, offset).await? {
            Found::Nothing => AtNumber::Nothing,
            Found::Here { subject, ts } if ringway_backplane::subject::is_of_room(&subject, at) => {
                AtNumber::Ours(ts)
            }
            Found::Here { ts, .. } => AtNumber::Others(ts),
        })
    }

    async fn newest_by_leader(&self, at: &RoomAt) -> Result<Option<Newest>, ReadError> {
        self.newest_by_leader(at).await
    }

    async fn extent(&self, at: &RoomAt) -> Result<Extent, ReadError> {
        self.extent(at).await
    }

    async fn holding(&self, at: &RoomAt) -> Result<Holding, ReadError> {
        self.holding(at).await
    }

    async fn forget(&self, at: &RoomAt, upto: u64) -> Result<(), ReadError> {
        self.forget(at, upto).await
    }
}

/// What a publication counts for in bounds on bytes.
pub(super) fn weight(kept: &Kept) -> usize {
    kept.publication.wire_bound()
}
