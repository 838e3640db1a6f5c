//! The replay buffer: the newest publications of the followed epoch, and the room's number. An ordinary room keeps them
//! without a hole, one that conflates only the newest of each key (`newest`). `mids` tells repeats.

mod mids;
mod newest;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::mids::Repeats;
use self::newest::Newest;
use super::limits::{REPLAY_BYTES, STATE_BYTES};
use ringway_backplane::message::Publication;

/// A publication and its place in the room's epoch.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) publication: Arc<Publication>,
}

/// How much a room keeps, from its class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replay {
    /// At most so many publications; where it is `by_key` so many keys.
    pub(crate) messages: usize,
    pub(crate) age: Duration,
    /// Of each key only the newest; those without a key are one key.
    pub(crate) by_key: bool,
}

#[derive(Debug)]
enum Kept {
    /// Entries `base + 1 ..= number`, contiguous.
    Run(VecDeque<Entry>),
    /// The newest of each key, if its offset is after the base; the newest of all is `number`.
    Newest(Box<Newest>),
}

#[derive(Debug)]
pub(crate) struct Log {
    messages: usize,
    age_ms: u64,
    number: u64,
    /// Time of the publication `number`, where known.
    ts: Option<u64>,
    kept: Kept,
    bytes: usize,
    /// It began anew without the word of the owner, who may have what this node hasn't.
    short: bool,
    /// Of each `mid` that is remembered; only where this node numbers, and somebody gave a `mid`.
    repeats: Option<Box<Repeats>>,
}

impl Log {
    pub(crate) fn new(keep: Replay) -> Log {
        let kept =
            if keep.by_key { Kept::Newest(Box::new(Newest::new())) } else { Kept::Run(VecDeque::new()) };
        let age_ms = u64::try_from(keep.age.as_millis()).unwrap_or(u64::MAX);
        Log {
            messages: keep.messages,
            age_ms,
            number: 0,
            ts: None,
            kept,
            bytes: 0,
            short: false,
            repeats: None,
        }
    }

    /// Other bounds hold from now on. Where only the newest of each key were kept and now all are, or the other way round,
    /// it begins anew where it is.
    pub(crate) fn set_bounds(&mut self, keep: Replay, wall_ms: u64) {
        if keep.by_key != self.is_by_key() {
            let (number, ts) = (self.number, self.ts);
            *self = Log::new(keep);
            self.restart(number);
            self.ts = ts;
        }
        let Log { messages, age_ms, .. } = Log::new(keep);
        (self.messages, self.age_ms) = (messages, age_ms);
        self.trim(wall_ms);
    }

    /// The offset of the newest publication, kept or not.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Everything after this offset is in the buffer, or its key's newer is.
    pub(crate) fn base(&self) -> u64 {
        match &self.kept {
            Kept::Run(entries) => self.number - entries.len() as u64,
            Kept::Newest(newest) => newest.base(),
        }
    }

    /// Whether only the newest of each key is kept.
    pub(crate) fn is_by_key(&self) -> bool {
        matches!(self.kept, Kept::Newest(_))
    }

    /// What the kept publications weigh.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The time of the publication at `offset`, where known.
    pub(crate) fn ts(&self, offset: u64) -> Option<u64> {
        if offset == self.number {
            return self.ts;
        }
        let entry = match &self.kept {
            Kept::Run(entries) => {
                let index = offset.checked_sub(self.base() + 1)?;
                entries.get(usize::try_from(index).ok()?)
            }
            Kept::Newest(newest) => newest.get(offset),
        };
        entry.map(|entry| entry.publication.ts)
    }

    /// Forgets all, and goes on at `number`.
    pub(crate) fn restart(&mut self, number: u64) {
        self.number = number;
        self.ts = None;
        match &mut self.kept {
            Kept::Run(entries) => *entries = VecDeque::new(),
            Kept::Newest(newest) => newest.restart(number),
        }
        self.bytes = 0;
        self.short = true;
        self.repeats = None;
    }

    /// The next publication.
    pub(crate) fn push(&mut self, publication: Arc<Publication>, wall_ms: u64) -> Entry {
        self.number += 1;
        self.ts = Some(publication.ts);
        self.bytes += weight(&publication);
        let entry = Entry { offset: self.number, publication };
        if let Some(repeats) = &mut self.repeats {
            repeats.note(&entry);
        }
        match &mut self.kept {
            Kept::Run(entries) => entries.push_back(entry.clone()),
            Kept::Newest(_) => self.put_by_key(entry.clone()),
        }
        self.trim(wall_ms);
        entry
    }

    // Not inlined: the way of an ordinary room's publications stays short.
    #[inline(never)]
    fn put_by_key(&mut self, entry: Entry) {
        if let Kept::Newest(newest) = &mut self.kept
            && let Some(older) = newest.put(entry)
        {
            self.bytes -= weight(&older.publication);
            newest.replaced.remember(&older, self.number);
        }
    }

    /// What is from here up to `number` was replaced by what comes next: only in a log by key.
    pub(crate) fn pass_over(&mut self, number: u64) {
        if number > self.number && self.is_by_key() {
            self.number = number;
            self.ts = None;
        }
    }

    /// Whether these can be what another node keeps of the room: everything after `base` up to `number`, by key or
    /// without a hole.
    pub(crate) fn is_state(&self, number: u64, base: u64, entries: &[Entry]) -> bool {
        let Some(last) = entries.last() else { return base == number };
        let by_key = self.is_by_key();
        let rises = |two: &[Entry]| {
            if by_key { two[0].offset < two[1].offset } else { two[0].offset + 1 == two[1].offset }
        };
        let begins = if by_key { entries[0].offset > base } else { entries[0].offset == base + 1 };
        begins && last.offset == number && entries.windows(2).all(rises)
    }

    /// Older entries in front of ours, from a state (see [`Self::is_state`]) that goes back to `base`. Only those up to our
    /// own base are wanted, and none if the state ends before it: there would be a hole.
    pub(crate) fn extend_back(&mut self, base: u64, entries: &[Entry], wall_ms: u64) {
        let own_base = self.base();
        if entries.last().is_none_or(|last| last.offset < own_base) || base >= own_base {
            return;
        }
        for entry in entries.iter().rev().filter(|entry| entry.offset <= own_base) {
            if entry.offset == self.number && self.ts.is_none() {
                self.ts = Some(entry.publication.ts);
            }
            let wanted = match &mut self.kept {
                Kept::Run(own) => {
                    own.push_front(entry.clone());
                    true
                }
                Kept::Newest(newest) => newest.put_back(entry),
            };
            if wanted {
                self.bytes += weight(&entry.publication);
            }
        }
        if let Kept::Newest(newest) = &mut self.kept {
            newest.reaches_back(base);
        }
        self.repeats = None;
        self.trim(wall_ms);
    }

    /// Drops what is over the bounds or too old.
    // Part of each push; to call it would cost a dozen instructions of two hundred.
    #[inline(always)]
    pub(crate) fn trim(&mut self, wall_ms: u64) {
        let too_old = wall_ms.saturating_sub(self.age_ms);
        let Kept::Run(entries) = &mut self.kept else { return self.trim_by_key(wall_ms, too_old) };
        while let Some(oldest) = entries.front() {
            let fits = entries.len() <= self.messages && self.bytes <= REPLAY_BYTES;
            if fits && oldest.publication.ts >= too_old {
                break;
            }
            self.bytes -= weight(&oldest.publication);
            if let Some(repeats) = &mut self.repeats {
                repeats.forget(oldest);
            }
            entries.pop_front();
        }
        if entries.is_empty() && entries.capacity() > 0 {
            *entries = VecDeque::new();
            self.repeats = None;
        }
    }

    #[inline(never)]
    fn trim_by_key(&mut self, wall_ms: u64, too_old: u64) {
        while let Kept::Newest(newest) = &mut self.kept
            && let Some(oldest) = newest.oldest()
            && (newest.len() > self.messages || self.bytes > REPLAY_BYTES || oldest.publication.ts < too_old)
        {
            self.drop_oldest();
        }
        if let Kept::Newest(newest) = &mut self.kept {
            newest.replaced.trim(self.number, wall_ms, self.repeats.as_deref_mut());
        }
    }

    /// Memory runs short: drops the oldest until no more than so many bytes are kept.
    pub(crate) fn shed(&mut self, to: usize) {
        while self.bytes > to && self.drop_oldest() {}
        if let Kept::Run(entries) = &mut self.kept {
            entries.shrink_to_fit();
        }
    }

    /// `false`: there was none.
    fn drop_oldest(&mut self) -> bool {
        let oldest = match &mut self.kept {
            Kept::Run(entries) => entries.pop_front(),
            Kept::Newest(newest) => newest.drop_oldest(),
        };
        let Some(oldest) = oldest else { return false };
        self.bytes -= weight(&oldest.publication);
        if let Some(repeats) = &mut self.repeats {
            repeats.forget(&oldest);
        }
        true
    }

    /// What comes after `offset`, oldest first; `offset` is at least the base.
    pub(crate) fn after(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        let (run, newest) = match &self.kept {
            Kept::Run(entries) => {
                let skip = usize::try_from(offset.saturating_sub(self.base())).unwrap_or(usize::MAX);
                (Some(entries.iter().skip(skip)), None)
            }
            Kept::Newest(newest) => (None, Some(newest.after(offset))),
        };
        run.into_iter().flatten().chain(newest.into_iter().flatten())
    }

    /// The offset after which the newest `count` of the buffer come; where it is by key, all of it: so many of the newest
    /// would be some keys and not others.
    pub(crate) fn before_newest(&self, count: u32) -> u64 {
        match &self.kept {
            Kept::Run(_) => self.base().max(self.number.saturating_sub(u64::from(count))),
            Kept::Newest(_) if count == 0 => self.number,
            Kept::Newest(newest) => newest.oldest().map_or(self.number, |oldest| oldest.offset - 1),
        }
    }

    /// The newest entries that fit into one answer, and the base that this makes.
    pub(crate) fn state(&self) -> (u64, Vec<(u64, Arc<Publication>)>) {
        let newest_first: &mut dyn Iterator<Item = &Entry> = match &self.kept {
            Kept::Run(entries) => &mut entries.iter().rev(),
            Kept::Newest(newest) => &mut newest.after(0).rev(),
        };
        let mut room = STATE_BYTES;
        let mut entries = Vec::new();
        let mut base = self.base();
        for entry in newest_first {
            let Some(rest) = room.checked_sub(weight(&entry.publication)) else {
                base = entry.offset;
                break;
            };
            room = rest;
            entries.push((entry.offset, entry.publication.clone()));
        }
        entries.reverse();
        (base, entries)
    }

    /// The offset of the publication that this one repeats.
    pub(crate) fn repeated(&mut self, publication: &Publication) -> Option<u64> {
        publication.mid.as_ref()?;
        let kept = &self.kept;
        let repeats = self.repeats.get_or_insert_with(|| {
            let mut repeats = Repeats::default();
            match kept {
                Kept::Run(entries) => entries.iter().for_each(|entry| repeats.note(entry)),
                Kept::Newest(newest) => {
                    repeats.note_replaced(&newest.replaced);
                    newest.after(0).for_each(|entry| repeats.note(entry));
                }
            }
            Box::new(repeats)
        });
        repeats.offset_of(publication)
    }

    /// The owner may have publications that this node hasn't: the log began anew without its word.
    pub(crate) fn is_short(&self) -> bool {
        self.short
    }

    /// What there is of the room, is here.
    pub(crate) fn now_whole(&mut self) {
        self.short = false;
    }
}

/// What a publication weighs in the buffer and, nearly, in a message: its payload and texts, and 128 bytes for the rest.
pub(crate) fn weight(publication: &Publication) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    128 + publication.data.msgpack_len()
        + text(&publication.event)
        + text(&publication.mid)
        + text(&publication.trace)
        + publication.key.as_ref().map_or(0, |key| key.as_str().len())
        + publication.user.as_ref().map_or(0, |user| user.as_str().len())
}

#[cfg(test)]
mod tests;
