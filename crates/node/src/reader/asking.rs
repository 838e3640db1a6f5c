//! Questions to a store: counted, and asked again where the server has too much to do.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::store::{Extent, Holding, Kept, Newest, Pass, ReadError, RoomAt, RoomPage};

use super::counts::{Kind, ReadCounts};
use super::library::{AtNumber, Library, NewestOf};

/// How long to wait before a server that is busy, or a follower that is behind, is asked again: each time double, so
/// that the last is asked 0.6 s after the first.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// How often it is asked.
const TIMES: u32 = 7;

/// What is read of one room at a time: as much as a replay sends before it looks whether its member keeps up.
pub(super) const PAGE_ENTRIES: u32 = 256;

/// See [`PAGE_ENTRIES`]; bytes.
pub(super) const PAGE_BYTES: usize = 128 * 1024;

/// What was kept of a room at one time.
#[derive(Debug)]
pub(super) struct Upto {
    /// Rising.
    pub(super) kept: Vec<Kept>,
    /// There was more behind the last of them.
    pub(super) more: bool,
    /// What was known to be there at last isn't kept any more.
    pub(super) short: bool,
}

/// Asks a store.
#[derive(Debug)]
pub(super) struct Asking<L> {
    pub(super) library: Arc<L>,
    pub(super) counts: ReadCounts,
}

impl<L: Library> Asking<L> {
    pub(super) async fn newest(&self, rooms: &[RoomAt]) -> Result<NewestOf, ReadError> {
        self.patiently(Kind::newest, || self.library.newest(rooms)).await
    }

    pub(super) async fn room(
        &self,
        at: &RoomAt,
        from: u64,
        count: u32,
        bytes: usize,
    ) -> Result<RoomPage, ReadError> {
        // The server counts from 1, and takes 0 for "not given".
        let from = from.max(1);
        let page = self.patiently(Kind::room, || self.library.room(at, from, count, bytes)).await?;
        self.counts.read(page.kept.len());
        Ok(page)
    }

    pub(super) async fn pass(&self, at: &RoomAt, from: u64, count: u32) -> Result<Pass, ReadError> {
        let from = from.max(1);
        let pass = self.patiently(Kind::pass, || self.library.pass(at, from, count)).await?;
        self.counts.read(pass.kept.len());
        Ok(pass)
    }

    pub(super) async fn at(&self, at: &RoomAt, offset: u64) -> Result<AtNumber, ReadError> {
        if offset == 0 {
            return Ok(AtNumber::Nothing);
        }
        self.patiently(Kind::leader, || self.library.at(at, offset)).await
    }

    pub(super) async fn newest_by_leader(&self, at: &RoomAt) -> Result<Option<Newest>, ReadError> {
        self.patiently(Kind::leader, || self.library.newest_by_leader(at)).await
    }

    pub(super) async fn extent(&self, at: &RoomAt) -> Result<Extent, ReadError> {
        self.patiently(Kind::leader, || self.library.extent(at)).await
    }

    pub(super) async fn holding(&self, at: &RoomAt) -> Result<Holding, ReadError> {
        self.patiently(Kind::leader, || self.library.holding(at)).await
    }

    pub(super) async fn forget(&self, at: &RoomAt, upto: u64) -> Result<(), ReadError> {
        self.patiently(Kind::leader, || self.library.forget(at, upto)).await
    }

    /// What is kept of a room from this number on, with everything up to `upto` that is kept of it, or as much as was
    /// asked for, but at least one: a follower that is behind is asked again, until the leader says that there is nothing
    /// more. As one server had it at one time, but for what is no publication.
    pub(super) async fn room_upto(
        &self,
        at: &RoomAt,
        from: u64,
        upto: u64,
        count: u32,
        bytes: usize,
    ) -> Result<Upto, ReadError> {
        let known = upto;
        let (mut from, mut upto, mut is_led) = (from, upto, false);
        let mut waits = waits();
        loop {
            let page = self.room(at, from, count, bytes).await?;
            // Something may be kept there that nobody published, or that this release can't read.
            let last = page.kept.last().map_or(0, |kept| kept.offset).max(page.upto);
            if page.kept.is_empty() && page.more && last >= from {
                from = last + 1;
                continue;
            }
            if page.more || last >= upto {
                return Ok(Upto { kept: page.kept, more: page.more, short: false });
            }
            match self.newest_by_leader(at).await? {
                Some(newest) if newest.offset > last && newest.offset >= from => upto = newest.offset,
                _ if last >= known || is_led => {
                    return Ok(Upto { kept: page.kept, more: false, short: last < known });
                }
                // Less than is known to be stored. Who leads is asked again once he has shown that he still does.
                _ => is_led = self.extent(at).await.map(|_| true)?,
            }
            tokio::time::sleep(waits.next().ok_or(ReadError::Busy)?).await;
        }
    }

    /// The oldest that is kept of a room.
    pub(super) async fn oldest(&self, at: &RoomAt) -> Result<Option<u64>, ReadError> {
        let page = self.room(at, 1, 1, 1).await?;
        // What is no publication has a number too.
        Ok(page.kept.first().map(|kept| kept.offset).or(Some(page.upto).filter(|upto| *upto > 0)))
    }

    async fn patiently<T, F>(&self, kind: Kind, mut ask: impl FnMut() -> F) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        for wait in waits() {
            self.counts.asked(kind);
            match ask().await {
                Err(ReadError::Busy) => tokio::time::sleep(wait).await,
                result => return result,
            }
        }
        Err(ReadError::Busy)
    }
}

/// How long to wait after each time.
pub(super) fn waits() -> impl Iterator<Item = Duration> {
    (0..TIMES).map(|time| FIRST_WAIT * 2_u32.pow(time))
}
