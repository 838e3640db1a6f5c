//! Pages of a room's history, and its newest so many.
//!
//! A stream is read forwards only. What comes before a number is found by reading from so far before it as should be enough,
//! by how close the room's publications stand, and from further back where it wasn't.

use std::collections::VecDeque;

use ringway_backplane::message::{Epoch, HistoryPage, PageOf};
use ringway_backplane::store::{Kept, Newest, ReadError, RoomAt};

use super::ReadResult;
use super::asking::{Asking, PAGE_BYTES, PAGE_ENTRIES};
use super::library::{Library, weight};
use super::verify::{nothing_missed, page_of};

/// A page of history has at most so many entries, whatever was asked for.
const MOST: u32 = 1_000;

/// And so many bytes, or one entry: what a message between nodes may weigh, with room to spare.
const HISTORY_BYTES: usize = 512 * 1024;

/// What a stretch may hold beyond what is wanted of it before it is cut shorter.
const TOO_MANY: usize = 1_024;

/// One of those that are looked for from the end, without what it weighs in memory where that is too much.
#[derive(Debug)]
struct Seen {
    offset: u64,
    weight: usize,
    kept: Option<Kept>,
}

/// The newest of a room before a number.
#[derive(Debug)]
struct Tail {
    /// At most so many.
    want: usize,
    /// What the publications in memory may weigh, bytes.
    limit: usize,
    /// Rising.
    seen: VecDeque<Seen>,
    /// What the publications in memory weigh.
    bytes: usize,
    /// So many of `seen`, from the first on, were let go of.
    bare: usize,
}

impl<L: Library> Asking<L> {
    pub(super) async fn history(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        page: PageOf,
    ) -> Result<HistoryPage, ReadError> {
        let limit = page.limit.clamp(1, MOST);
        let nothing = HistoryPage { epoch, entries: Vec::new(), more: false, oldest: None, newest: None };
        let Some((oldest, newest)) = self.ends(at).await? else { return Ok(nothing) };
        let nothing = HistoryPage { oldest: Some(oldest), newest: Some(newest.offset), ..nothing };
        if page.epoch.is_some_and(|asked| asked != epoch) {
            return Ok(nothing);
        }
        let before = page.before.unwrap_or(u64::MAX);
        let (entries, more) = match page.after {
            Some(after) => {
                let from = after.saturating_add(1);
                if from > newest.offset || from >= before {
                    return Ok(nothing);
                }
                let read = self.room_upto(at, from, newest.offset, limit, HISTORY_BYTES).await?;
                let (kept, cut) = bounded(read.kept, before);
                (kept, (read.more || cut == Cut::Bytes) && cut != Cut::Before)
            }
            None => {
                let kept = self.before(at, oldest, newest, before, limit).await?;
                let more = kept.first().is_some_and(|first| first.offset > oldest);
                (kept.into_iter().rev().collect(), more)
            }
        };
        let entries = entries.into_iter().map(|kept| (kept.offset, kept.ts, kept.publication)).collect();
        Ok(HistoryPage { entries, more, ..nothing })
    }

    /// The newest `count`: a page of them from the oldest of them on.
    pub(super) async fn last(&self, at: &RoomAt, epoch: Epoch, count: u32) -> ReadResult {
        let Some((oldest, newest)) = self.ends(at).await? else {
            return Ok(nothing_missed(epoch, self.end_of_stream(at).await?));
        };
        let count = count.min(MOST);
        if count == 0 {
            return Ok(nothing_missed(epoch, newest));
        }
        if at.latest_per_key {
            // The newest of every key is all that is kept.
            let page = self.room_upto(at, oldest, newest.offset, PAGE_ENTRIES, PAGE_BYTES).await?;
            return Ok(page_of(epoch, (newest, newest), page.kept, page.more));
        }
        let mut tail = self.tail(at, (oldest, newest.offset), u64::MAX, count, PAGE_BYTES).await?;
        let whole = tail.seen.iter().all(|seen| seen.kept.is_some());
        let (kept, more) = if whole && tail.seen.len() <= PAGE_ENTRIES as usize {
            (tail.seen.drain(..).filter_map(|seen| seen.kept).collect(), false)
        } else {
            let from = tail.seen.front().map_or(newest.offset, |first| first.offset);
            let page = self.room_upto(at, from, newest.offset, PAGE_ENTRIES, PAGE_BYTES).await?;
            (page.kept, page.more)
        };
        Ok(page_of(epoch, (newest, newest), kept, more))
    }

    /// The oldest and the newest that are kept of a room; none: nothing is.
    async fn ends(&self, at: &RoomAt) -> Result<Option<(u64, Newest)>, ReadError> {
        let Some(newest) = self.newest_by_leader(at).await? else { return Ok(None) };
        let first = self.room_upto(at, 1, newest.offset, 1, 1).await?;
        Ok(first.kept.first().map(|oldest| (oldest.offset, newest)))
    }

    /// The newest `limit` before `before`, or as many of them as a page may weigh. Rising.
    async fn before(
        &self,
        at: &RoomAt,
        oldest: u64,
        newest: Newest,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Kept>, ReadError> {
        if before <= oldest {
            return Ok(Vec::new());
        }
        let mut tail = self.tail(at, (oldest, newest.offset), before, limit, HISTORY_BYTES).await?;
        let mut bytes = 0;
        let fits = tail.seen.iter().rev().take_while(|seen| {
            bytes += seen.weight;
            bytes <= HISTORY_BYTES
        });
        let fits = fits.count().max(1);
        let left_out = tail.seen.len().saturating_sub(fits);
        tail.seen.drain(..left_out);
        if tail.seen.iter().all(|seen| seen.kept.is_some()) {
            return Ok(tail.seen.into_iter().filter_map(|seen| seen.kept).collect());
        }
        let (Some(first), Some(last)) = (tail.seen.front(), tail.seen.back()) else { return Ok(Vec::new()) };
        let count = tail.seen.len() as u32;
        let read = self.room_upto(at, first.offset, last.offset, count, 2 * HISTORY_BYTES).await?;
        Ok(bounded(read.kept, before).0)
    }

    /// Where the newest `want` before `before` are, with themselves as far as the newest of them weigh no more than `bytes`.
    async fn tail(
        &self,
        at: &RoomAt,
        (oldest, newest): (u64, u64),
        before: u64,
        want: u32,
        bytes: usize,
    ) -> Result<Tail, ReadError> {
        let want = want as usize;
        let mut end = before.min(newest.saturating_add(1));
        let count = self.holding(at).await?.count.max(1);
        // As many numbers as that many publications of the room take, if they stand evenly; and a quarter more.
        let close = (newest - oldest.min(newest) + 1).div_ceil(count);
        let mut width = close.saturating_mul(want as u64).saturating_mul(5) / 4;
        if count <= want as u64 {
            width = end;
        }
        let mut tail = Tail::new(want, bytes);
        while tail.seen.len() < want && end > oldest {
            let from = end.saturating_sub(width.max(1)).max(oldest);
            let mut stretch = Tail::new(want - tail.seen.len(), bytes);
            if self.stretch(at, from, end, newest, &mut stretch).await? {
                tail.put_before(stretch);
                end = from;
                width = width.max(1).saturating_mul(4);
            } else {
                // More than enough stands there: a shorter one, near its end.
                width = (end - from) / 8;
            }
        }
        Ok(tail)
    }

    /// Reads what stands in `from .. end`. `false`: that is far more than is wanted.
    async fn stretch(
        &self,
        at: &RoomAt,
        from: u64,
        end: u64,
        newest: u64,
        tail: &mut Tail,
    ) -> Result<bool, ReadError> {
        let (mut from, mut passed) = (from, 0);
        while from < end {
            let upto = newest.min(end - 1);
            let page = self.room_upto(at, from, upto, PAGE_ENTRIES, PAGE_BYTES).await?;
            let Some(last) = page.kept.last().map(|last| last.offset) else { break };
            for kept in page.kept.into_iter().filter(|kept| kept.offset < end) {
                passed += 1;
                tail.push(kept);
            }
            if !page.more {
                break;
            }
            from = last + 1;
            if passed > 2 * tail.want + TOO_MANY && from < end {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Tail {
    fn new(want: usize, limit: usize) -> Self {
        Self { want, limit, seen: VecDeque::new(), bytes: 0, bare: 0 }
    }

    /// One behind all others.
    fn push(&mut self, kept: Kept) {
        let (offset, weight) = (kept.offset, weight(&kept));
        self.seen.push_back(Seen { offset, weight, kept: Some(kept) });
        self.bytes += weight;
        while self.seen.len() > self.want {
            let first = self.seen.pop_front().expect("more than are wanted");
            self.bare = self.bare.saturating_sub(1);
            self.bytes -= first.kept.map_or(0, |_| first.weight);
        }
        self.lighten();
    }

    /// All of `older` before all others.
    fn put_before(&mut self, older: Tail) {
        self.bytes += older.bytes;
        self.bare = older.bare;
        for seen in older.seen.into_iter().rev() {
            self.seen.push_front(seen);
        }
        self.lighten();
    }

    /// Lets go of the oldest publications, until the others weigh no more than they may.
    fn lighten(&mut self) {
        while self.bytes > self.limit
            && let Some(seen) = self.seen.get_mut(self.bare)
        {
            self.bytes -= seen.kept.take().map_or(0, |_| seen.weight);
            self.bare += 1;
        }
    }
}

/// Why a page ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    Before,
    Bytes,
}

/// What of it stands before `before`, as far as a page may weigh.
fn bounded(mut kept: Vec<Kept>, before: u64) -> (Vec<Kept>, Cut) {
    let mut bytes = 0;
    let end = kept.iter().position(|kept| {
        bytes += weight(kept);
        kept.offset >= before || bytes > HISTORY_BYTES
    });
    let Some(end) = end else { return (kept, Cut::No) };
    let cut = if kept[end].offset >= before { Cut::Before } else { Cut::Bytes };
    kept.truncate(end.max(usize::from(cut == Cut::Bytes)));
    (kept, cut)
}
