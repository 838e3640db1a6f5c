//! Which of the frames that wait for a peer that is behind may be left out, and what it is told of that. There is none
//! of this for a peer that keeps up.
//!
//! It owns the policies. Frames with a label are left out from the oldest on, of whatever feed; so what a feed loses
//! always comes before everything of it that still waits. Such a loss is a *gap*: an empty place in the row, the latest
//! that was emptied, one for each feed. It becomes a frame only when it is about to be written, so that it
//! tells of all that was lost until then. A frame that was begun is no longer among those that may be left out.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::row::Row;
use crate::frame::Frame;
use crate::label::{Feed, Label, Lost, Policy};

/// Keys of one feed whose newest values may wait for one socket. Beyond, the oldest is left out, and its peer told so.
pub const KEYS_LIMIT: usize = 1_000;

/// Empty places that a row may have beside as many as it has frames.
const EMPTY: usize = 64;

/// What may wait for one socket. A single frame may, however big.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: usize,
    pub(super) frames: usize,
    /// Keys of one feed.
    pub(super) keys: usize,
}

impl Room {
    pub(super) fn fits(&self, row: &Row, frame: &Frame) -> bool {
        let frames = row.frames();
        frames == 0 || (row.bytes() + frame.len() <= self.bytes && frames < self.frames)
    }
}

#[derive(Debug, Default)]
pub(super) struct Lossy {
    /// The places of the frames that a newer one of their key replaces: one for each key of a feed. The keys lie in the
    /// frames.
    newest: HashTable<u64>,
    hasher: RandomState,
    /// Those of which something in `newest` waits, or a gap.
    feeds: HashMap<FeedId, Waiting>,
    /// The place of each feed's gap.
    gaps: BTreeMap<u64, FeedId>,
    /// No frame with a label waits before this place.
    oldest: u64,
}

/// What waits of one feed.
#[derive(Debug)]
struct Waiting {
    feed: Arc<dyn Feed>,
    /// How many of its frames are in `newest`.
    keys: usize,
    /// None of its frames waits before this place.
    oldest: u64,
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Gap {
    place: u64,
    lost: Lost,
}

/// Where a feed lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FeedId(usize);

impl FeedId {
    fn of(feed: &Arc<dyn Feed>) -> FeedId {
        FeedId(Arc::as_ptr(feed).cast::<()>().addr())
    }
}

impl Lossy {
    /// For a row that falls behind now: of what waited for a flush, too, only the newest of each key stays.
    pub(super) fn of(row: &mut Row) -> Lossy {
        let mut lossy = Lossy::default();
        for place in row.first_unbegun()..row.end() {
            if let Some(label) = row.at(place).and_then(conflating).cloned() {
                // Fewer wait for one flush than there may be keys.
                lossy.conflate(row, &label, place, usize::MAX);
            }
        }
        lossy.tidy(row);
        lossy
    }

    /// Takes a frame, and leaves out what has to give way; perhaps that is the frame itself. False if it is neither
    /// taken nor may be left out.
    pub(super) fn push(&mut self, row: &mut Row, frame: &Frame, room: Room) -> bool {
        let Some(label) = frame.label() else {
            let fits = self.make_room(row, frame, room);
            if fits {
                row.push(frame.clone());
            }
            self.tidy(row);
            return fits;
        };
        if label.policy == Policy::Conflate {
            self.conflate(row, label, row.end(), room.keys);
        }
        if self.make_room(row, frame, room) {
            row.push(frame.clone());
        } else {
            let place = row.push_empty();
            self.forget(label, place);
            self.lose(frame, label, place);
        }
        self.tidy(row);
        true
    }

    /// Leaves out everything that may be.
    pub(super) fn leave_out_all(&mut self, row: &mut Row) {
        while self.leave_out_oldest(row) {}
        self.tidy(row);
    }

    /// Makes the gap in front, if there is one, a frame.
    pub(super) fn tell_front(&mut self, row: &mut Row) {
        let Some(entry) = self.gaps.first_entry().filter(|entry| *entry.key() == row.first()) else { return };
        let id = entry.remove();
        let waiting = self.feeds.get_mut(&id).expect("a feed stays as long as it has a gap");
        if let Some(gap) = waiting.gap.take() {
            row.fill_front(waiting.feed.gap(gap.lost));
        }
        self.let_go(id);
    }

    /// The first place with a gap.
    pub(super) fn first_gap(&self) -> Option<u64> {
        self.gaps.first_key_value().map(|(place, _)| *place)
    }

    /// The front frame is about to lose its first byte: it can't be left out any more.
    pub(super) fn begins(&mut self, row: &Row) {
        if let Some(label) = row.at(row.first()).and_then(conflating) {
            self.forget(label, row.first());
        }
    }

    /// Empty places in front, and too many of them anywhere, are removed.
    pub(super) fn tidy(&mut self, row: &mut Row) {
        while self.first_gap() != Some(row.first()) && row.drop_empty_front() {}
        if row.empty() - self.gaps.len() > EMPTY + row.frames() {
            self.close_up(row);
        }
    }

    /// Leaves out the oldest frames until this one fits. False if it doesn't even then.
    fn make_room(&mut self, row: &mut Row, frame: &Frame, room: Room) -> bool {
        while !room.fits(row, frame) {
            if !self.leave_out_oldest(row) {
                return false;
            }
        }
        true
    }

    /// False if there is nothing that may be left out.
    fn leave_out_oldest(&mut self, row: &mut Row) -> bool {
        let from = self.oldest.max(row.first_unbegun());
        let found =
            (from..row.end()).find(|&place| row.at(place).is_some_and(|frame| frame.label().is_some()));
        self.oldest = found.map_or(row.end(), |place| place + 1);
        if let Some(place) = found {
            self.leave_out(row, place);
        }
        found.is_some()
    }

    fn leave_out(&mut self, row: &mut Row, place: u64) {
        let frame = row.take(place).expect("only frames that wait are left out");
        let label = frame.label().expect("only frames with a label are left out");
        if label.policy == Policy::Conflate {
            self.forget(label, place);
        }
        self.lose(&frame, label, place);
    }

    /// Counts a frame as lost, and moves its feed's gap to where it was.
    fn lose(&mut self, frame: &Frame, label: &Label, place: u64) {
        label.feed.dropped(1);
        let Some(offset) = label.offset else { return };
        let id = FeedId::of(&label.feed);
        let waiting = self.feeds.entry(id).or_insert_with(|| Waiting::new(&label.feed));
        let before = waiting.gap.take();
        if let Some(gap) = &before {
            self.gaps.remove(&gap.place);
        }
        let frames = before.map_or(0, |gap| gap.lost.frames) + 1;
        waiting.gap = Some(Gap { place, lost: Lost { offset, ts: label.ts, frames, text: frame.is_text() } });
        self.gaps.insert(place, id);
    }

    /// Takes out the older frame of this label's key, or, where that is one key too many, the feed's oldest; then
    /// the frame with this label is the newest, at `place`.
    fn conflate(&mut self, row: &mut Row, label: &Label, place: u64, keys: usize) {
        let hash = self.hash(label);
        let same_key =
            |&other: &u64| row.at(other).and_then(conflating).is_some_and(|l| identity(l) == identity(label));
        if let Some(newest) = self.newest.find_mut(hash, same_key) {
            let older = std::mem::replace(newest, place);
            row.take(older);
            label.feed.conflated(1);
            return;
        }
        let id = FeedId::of(&label.feed);
        // The feed's oldest whatever its policy, so that what is lost comes before what isn't.
        while self.feeds.get(&id).is_some_and(|waiting| waiting.keys >= keys)
            && self.leave_out_oldest_of(row, id)
        {}
        let hasher = &self.hasher;
        let hash_at = |&place: &u64| {
            let label = row.at(place).and_then(conflating).expect("what is to be replaced waits");
            hash_of(hasher, label)
        };
        self.newest.insert_unique(hash, place, hash_at);
        self.feeds.entry(id).or_insert_with(|| Waiting::new(&label.feed)).keys += 1;
    }

    /// False if nothing of that feed may be left out.
    fn leave_out_oldest_of(&mut self, row: &mut Row, id: FeedId) -> bool {
        let Some(waiting) = self.feeds.get_mut(&id) else { return false };
        let is_of_feed = |frame: &Frame| frame.label().is_some_and(|label| FeedId::of(&label.feed) == id);
        let from = waiting.oldest.max(row.first_unbegun());
        let found = (from..row.end()).find(|&place| row.at(place).is_some_and(is_of_feed));
        waiting.oldest = found.map_or(row.end(), |place| place + 1);
        if let Some(place) = found {
            self.leave_out(row, place);
        }
        found.is_some()
    }

    /// The frame with this label no longer waits at `place` to be replaced.
    fn forget(&mut self, label: &Label, place: u64) {
        let id = FeedId::of(&label.feed);
        if let Ok(entry) = self.newest.find_entry(self.hash(label), |&other| other == place) {
            entry.remove();
            if let Some(waiting) = self.feeds.get_mut(&id) {
                waiting.keys -= 1;
            }
            self.let_go(id);
        }
    }

    fn hash(&self, label: &Label) -> u64 {
        hash_of(&self.hasher, label)
    }

    /// Drops a feed of which nothing waits any more.
    fn let_go(&mut self, id: FeedId) {
        if self.feeds.get(&id).is_some_and(|waiting| waiting.keys == 0 && waiting.gap.is_none()) {
            self.feeds.remove(&id);
        }
    }

    fn close_up(&mut self, row: &mut Row) {
        let moved = row.close_up(|place| self.gaps.contains_key(&place));
        self.newest.iter_mut().for_each(|place| *place = moved.to(*place));
        self.gaps =
            std::mem::take(&mut self.gaps).into_iter().map(|(place, id)| (moved.to(place), id)).collect();
        self.oldest = moved.to(self.oldest);
        for waiting in self.feeds.values_mut() {
            waiting.oldest = moved.to(waiting.oldest);
            if let Some(gap) = &mut waiting.gap {
                gap.place = moved.to(gap.place);
            }
        }
    }

    /// Panics if what is noted doesn't fit the row.
    #[cfg(test)]
    pub(super) fn check(&self, row: &Row) {
        for &place in &self.newest {
            assert!(place >= row.first_unbegun() && row.at(place).and_then(conflating).is_some(), "{place}");
        }
        let unbegun = || (row.first_unbegun()..row.end()).filter_map(|place| Some((place, row.at(place)?)));
        let newest = unbegun().filter(|(_, frame)| conflating(frame).is_some());
        assert_eq!(newest.count(), self.newest.len());
        assert_eq!(self.feeds.values().map(|waiting| waiting.keys).sum::<usize>(), self.newest.len());
        assert!(self.feeds.values().all(|waiting| waiting.keys > 0 || waiting.gap.is_some()));
        let gaps = self.feeds.iter().filter_map(|(id, waiting)| Some((waiting.gap.as_ref()?.place, *id)));
        assert_eq!(gaps.collect::<BTreeMap<_, _>>(), self.gaps);
        assert!(self.gaps.keys().all(|&place| place < row.end() && row.at(place).is_none()));
        assert!(unbegun().all(|(place, frame)| frame.label().is_none() || place >= self.oldest));
        let front_is_empty = !row.is_empty() && row.at(row.first()).is_none();
        assert!(!front_is_empty || self.first_gap() == Some(row.first()));
        assert!(row.empty() <= EMPTY + row.frames() + self.gaps.len());
    }
}

impl Waiting {
    fn new(feed: &Arc<dyn Feed>) -> Waiting {
        Waiting { feed: Arc::clone(feed), keys: 0, oldest: 0, gap: None }
    }
}

/// The label of a frame that a newer one of its key replaces.
fn conflating(frame: &Frame) -> Option<&Arc<Label>> {
    frame.label().filter(|label| label.policy == Policy::Conflate)
}

/// What two labels have in common of which the newer one's frame replaces the other's. One without a number doesn't
/// replace one with: if it were left out then, nobody would be told that both are missing.
fn identity(label: &Label) -> (FeedId, Option<&str>, bool) {
    (FeedId::of(&label.feed), label.key.as_ref().map(|key| key.as_str()), label.offset.is_some())
}

fn hash_of(hasher: &RandomState, label: &Label) -> u64 {
    hasher.hash_one(identity(label))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod tests;
