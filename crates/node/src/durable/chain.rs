//! How a room's publications follow one another: what comes next, what came already, what is missing.
//!
//! The store's server tells with each live publication the number of the one before it in its room; in a store that keeps
//! the newest of each key, before it in its key, and everything here holds key by key.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ringway_backplane::store::Newest;
use ringway_protocol::name::Key;

use super::limits::{KEYS, SETTLED};
use super::surroundings::Entry;

/// A place among the room's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) offset: u64,
    /// When what is kept there was stored, milliseconds since 1970, where it is known.
    pub(super) ts: Option<u64>,
    /// A publication of this room that this node has seen; else just a number: an empty room's, or the end of a gap.
    pub(super) solid: bool,
}

impl Spot {
    pub(super) fn of(offset: u64, ts: u64) -> Self {
        Self { offset, ts: Some(ts), solid: true }
    }

    /// Where the store says that the room is, or its stream, where `has` is false. Of an empty stream there is no time.
    pub(super) fn newest(at: Newest, has: bool) -> Self {
        Self { offset: at.offset, ts: Some(at.ts).filter(|ts| *ts > 0), solid: has }
    }

    pub(super) fn bare(offset: u64, ts: Option<u64>) -> Self {
        Self { offset, ts, solid: false }
    }
}

/// What is to be done with a publication that came live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Next,
    Repeat,
    /// A repeat that was stored later than what was delivered last: numbers were perhaps given a second time.
    Odd,
    /// What was delivered last wasn't there any more when this was stored.
    Unlinked,
    /// This one came before, and isn't here.
    After(u64),
}

/// What was delivered last.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) head: Spot,
    /// All up to there was deleted on purpose.
    pub(super) forgotten: u64,
    keys: Option<Box<Keys>>,
}

/// The newest of each key that was delivered lately.
#[derive(Debug)]
struct Keys {
    of: HashMap<Option<Key>, u64>,
    by_offset: BTreeMap<u64, Option<Key>>,
    /// All up to there has been delivered, or never will be.
    floor: u64,
    /// Becomes the floor some time later: where the room was then.
    soon: (u64, Duration),
}

impl Chain {
    pub(super) fn new(head: Spot, by_key: bool, now: Duration) -> Self {
        let keys = || {
            let floor = head.offset;
            Box::new(Keys { of: HashMap::new(), by_offset: BTreeMap::new(), floor, soon: (floor, now) })
        };
        Self { head, forgotten: 0, keys: by_key.then(keys) }
    }

    pub(super) fn verdict(&self, entry: &Entry) -> Verdict {
        let late = self.head.ts.is_none_or(|ts| entry.ts > ts);
        let repeat = if late { Verdict::Odd } else { Verdict::Repeat };
        if self.keys.is_some() {
            // A value that was replaced is nothing that anyone could still get, or needs.
            return if self.lacks(&entry.publication.key, entry.offset) { Verdict::Next } else { repeat };
        }
        let last = self.head.offset;
        if entry.offset <= last {
            return if entry.offset == last && self.head.ts == Some(entry.ts) {
                Verdict::Repeat
            } else {
                repeat
            };
        }
        match entry.prev {
            None => Verdict::Next,
            Some(prev) if prev > last => Verdict::After(prev),
            Some(prev) if prev < last && self.head.solid && last > self.forgotten => Verdict::Unlinked,
            Some(_) => Verdict::Next,
        }
    }

    /// Whether a value of a key isn't here, nor a newer one of it. Only where keys are kept.
    pub(super) fn lacks(&self, key: &Option<Key>, offset: u64) -> bool {
        let newest =
            |keys: &Keys| offset > keys.floor && keys.of.get(key).is_none_or(|newest| *newest < offset);
        self.keys.as_ref().is_some_and(|keys| newest(keys))
    }

    /// From where on something may be missing.
    pub(super) fn sure(&self) -> Spot {
        match &self.keys {
            Some(keys) if keys.floor < self.head.offset => Spot::bare(keys.floor, None),
            _ => self.head,
        }
    }

    /// It is delivered. `false`: it comes after greater ones, of other keys.
    pub(super) fn advance(&mut self, entry: &Entry, now: Duration) -> bool {
        if let Some(keys) = &mut self.keys {
            keys.put(entry.publication.key.clone(), entry.offset);
            keys.settle(self.head.offset, now);
        }
        let further = entry.offset > self.head.offset;
        if further {
            self.head = Spot::of(entry.offset, entry.ts);
        }
        further
    }

    /// The room goes on from there; nothing up to it is missed any more.
    pub(super) fn jump(&mut self, head: Spot, now: Duration) {
        self.head = head;
        if let Some(keys) = &mut self.keys {
            keys.raise(head.offset);
            keys.soon = (head.offset, now);
        }
    }
}

impl Keys {
    fn put(&mut self, key: Option<Key>, offset: u64) {
        if let Some(before) = self.of.insert(key.clone(), offset) {
            self.by_offset.remove(&before);
        }
        self.by_offset.insert(offset, key);
        if self.of.len() > KEYS
            && let Some(oldest) = self.by_offset.keys().next().copied()
        {
            self.raise(oldest);
        }
    }

    /// Time goes on only with what comes by: while nothing does, something may be on its way.
    fn settle(&mut self, head: u64, now: Duration) {
        if now >= self.soon.1 + SETTLED {
            self.raise(self.soon.0);
            self.soon = (head, now);
        }
    }

    fn raise(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        while let Some(first) = self.by_offset.first_entry().filter(|first| *first.key() <= self.floor) {
            self.of.remove(&first.remove());
        }
    }
}
