//! Whether what a room asks for after a position is all that there was: nothing may have been dropped between.
//!
//! What a stream drops by itself goes oldest first, in the room or in the whole stream. So who finds the publication at
//! the position still there, with the time that it had, misses nothing behind it. Where it isn't there (or the position was
//! an empty room's), the leader's counts must show that nothing of the room can have been dropped since.

use ringway_backplane::message::Epoch;
use ringway_backplane::store::{Kept, Newest, ReadError, RoomAt};

use super::asking::{Asking, PAGE_BYTES, PAGE_ENTRIES};
use super::library::{AtNumber, Library};
use super::{Found, ReadResult};

/// A position from which somebody wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) offset: u64,
    /// When that was stored, where the claim says so; milliseconds since 1970.
    pub(super) ts: Option<u64>,
}

impl Claim {
    /// A time of 0 is an empty stream's: no claim.
    pub(super) fn agrees(self, ts: u64) -> bool {
        self.ts.is_none_or(|claimed| claimed == 0 || claimed == ts)
    }

    /// Where somebody is who missed nothing since.
    pub(super) fn place(self) -> Newest {
        Newest { offset: self.offset, ts: self.ts.unwrap_or(0) }
    }
}

/// What is to be said of what came after a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing was dropped.
    Whole,
    /// Something may have been.
    Dropped,
    /// The position isn't one of this history.
    Foreign,
}

impl<L: Library> Asking<L> {
    /// What came after `claim`; or that it isn't all there, or that the claim is none of this history. `newest`: the room's,
    /// as far as is known.
    pub(super) async fn since(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        claim: Claim,
        newest: Option<Newest>,
    ) -> ReadResult {
        let newest = self.not_before(at, claim.offset, newest).await?;
        let Some(behind) = newest.filter(|newest| newest.offset >= claim.offset) else {
            // Nothing of the room is at the position or behind it.
            return match self.proof(at, claim).await? {
                Proof::Whole => Ok(nothing_missed(epoch, claim.place())),
                proof => self.refused(at, epoch, newest, proof).await,
            };
        };
        if behind.offset == claim.offset {
            return if claim.agrees(behind.ts) {
                Ok(nothing_missed(epoch, behind))
            } else {
                self.refused(at, epoch, newest, Proof::Foreign).await
            };
        }
        // One more than a page: the first is the position itself.
        let page = self.room_upto(at, claim.offset, behind.offset, PAGE_ENTRIES + 1, PAGE_BYTES).await?;
        if page.short && !at.latest_per_key {
            return self.refused(at, epoch, None, Proof::Dropped).await;
        }
        self.judged(at, epoch, claim, behind, (page.kept, page.more)).await
    }

    /// What is kept behind `offset`, whatever was dropped. `upto`: so much is surely stored; 0: it isn't known.
    pub(super) async fn after(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        (offset, upto): (u64, u64),
        newest: Option<Newest>,
    ) -> ReadResult {
        let here = Claim { offset, ts: None }.place();
        let newest = match upto {
            0 => self.not_before(at, offset + 1, newest).await?,
            _ => newest,
        };
        let upto = newest.map_or(upto, |newest| newest.offset.max(upto));
        if upto <= offset {
            return Ok(nothing_missed(epoch, newest.map_or(here, |newest| later(newest, here))));
        }
        let page = self.room_upto(at, offset + 1, upto, PAGE_ENTRIES, PAGE_BYTES).await?;
        let newest = newest.map_or(here, |newest| later(newest, here));
        Ok(page_of(epoch, (here, newest), page.kept, page.more))
    }

    /// The newest of a room, where somebody knew of one from this number on; else what the leader knows.
    async fn not_before(
        &self,
        at: &RoomAt,
        offset: u64,
        newest: Option<Newest>,
    ) -> Result<Option<Newest>, ReadError> {
        match newest {
            Some(newest) if newest.offset >= offset => Ok(Some(newest)),
            _ => self.newest_by_leader(at).await,
        }
    }

    /// As [`since`](Self::since), from what was read from the position on.
    pub(super) async fn judged(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        claim: Claim,
        newest: Newest,
        (mut kept, more): (Vec<Kept>, bool),
    ) -> ReadResult {
        let proof = match kept.first() {
            Some(first) if first.offset == claim.offset => {
                let agrees = claim.agrees(first.ts);
                kept.remove(0);
                if agrees { Proof::Whole } else { Proof::Foreign }
            }
            // Stored later, and before it.
            Some(first) if claim.ts.is_some_and(|claimed| first.ts < claimed) => Proof::Foreign,
            _ => self.proof(at, claim).await?,
        };
        if proof != Proof::Whole {
            return self.refused(at, epoch, Some(newest), proof).await;
        }
        Ok(page_of(epoch, (claim.place(), newest), kept, more))
    }

    /// What the leader says of a position at which nothing of the room was found.
    pub(super) async fn proof(&self, at: &RoomAt, claim: Claim) -> Result<Proof, ReadError> {
        // First whether who leads still does: one that was cut off answers for a while, and lacks what is stored meanwhile.
        let holding = if at.latest_per_key { None } else { Some(self.holding(at).await?) };
        let last = match &holding {
            Some(holding) => holding.last,
            None => self.extent(at).await?.last,
        };
        let found = self.at(at, claim.offset).await?;
        let found_nothing = matches!(found, AtNumber::Nothing);
        match found {
            AtNumber::Ours(ts) | AtNumber::Others(ts) if !claim.agrees(ts) => return Ok(Proof::Foreign),
            // Only whoever was asked first hasn't got it.
            AtNumber::Ours(_) => return Ok(Proof::Whole),
            AtNumber::Others(_) | AtNumber::Nothing => {}
        }
        // A publication that somebody had, and that is gone: deleted, or dropped, and others behind it as well may be.
        let had_it = claim.ts.is_some_and(|ts| ts > 0) && found_nothing;
        if last < claim.offset {
            return Ok(Proof::Foreign);
        }
        // Where only the newest counts, what was there is overwritten, as it may be; and of every key the newest is what is
        // promised.
        let Some(holding) = holding else { return Ok(Proof::Whole) };
        if had_it {
            return Ok(Proof::Dropped);
        }
        let by_age_or_size = holding.first > claim.offset + 1;
        let by_room = holding.most.is_some_and(|most| holding.count >= most);
        Ok(if by_age_or_size || by_room { Proof::Dropped } else { Proof::Whole })
    }

    /// That a position can't be gone on from. One that isn't of this history is only somebody's word: the watcher of the
    /// streams may look whether its own witness still stands.
    pub(super) async fn refused(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        newest: Option<Newest>,
        proof: Proof,
    ) -> ReadResult {
        if proof == Proof::Foreign {
            self.library.look_again(&at.key());
        }
        let (newest, oldest) = match self.not_before(at, 1, newest).await? {
            Some(newest) => (newest, self.oldest(at).await?),
            None => (self.end_of_stream(at).await?, None),
        };
        Ok(Found::NotResumed { epoch, newest, oldest })
    }

    /// Where a room is of which nothing is kept: where its stream is.
    pub(super) async fn end_of_stream(&self, at: &RoomAt) -> Result<Newest, ReadError> {
        let extent = self.extent(at).await?;
        Ok(Newest { offset: extent.last, ts: extent.last_ts })
    }

    /// Whether what this node delivered is still what is kept.
    pub(super) async fn check(&self, at: &RoomAt, delivered: Claim) -> ReadResult {
        Ok(match self.at(at, delivered.offset).await? {
            AtNumber::Ours(ts) if delivered.agrees(ts) => Found::Same,
            AtNumber::Ours(_) | AtNumber::Others(_) => Found::Other,
            // A number that was given away is never given again, unless the stream was put back to before it.
            AtNumber::Nothing if self.extent(at).await?.last < delivered.offset => Found::Other,
            AtNumber::Nothing => Found::Gone,
        })
    }
}

/// To a claim: it is the newest.
pub(super) fn nothing_missed(epoch: Epoch, newest: Newest) -> Found {
    Found::Page { epoch, kept: Vec::new(), more: false, newest }
}

/// A page of what came after a position; `newest` is the room's, as far as was known. Where there is nothing more, its last is
/// the newest: what is known to be behind it is gone, or was never published.
pub(super) fn page_of(epoch: Epoch, (here, newest): (Newest, Newest), kept: Vec<Kept>, more: bool) -> Found {
    let last = kept.last().map_or(here, place);
    let newest = if more { later(last, newest) } else { last };
    Found::Page { epoch, kept, more, newest }
}

/// Where something kept is.
pub(super) fn place(kept: &Kept) -> Newest {
    Newest { offset: kept.offset, ts: kept.ts }
}

/// The later of two places.
pub(super) fn later(one: Newest, other: Newest) -> Newest {
    if other.offset > one.offset { other } else { one }
}
