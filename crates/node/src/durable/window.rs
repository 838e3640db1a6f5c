//! The window: what was delivered within the last seconds, for members that come back from a blip.

use std::collections::VecDeque;

use super::chain::Spot;
use super::limits::{WINDOW, WINDOW_AGE, WINDOW_BYTES};
use super::surroundings::Entry;
use crate::room::weight;

/// All of the room's publications after its base, as far as the room has come; in a store that keeps the newest of each key,
/// what was delivered of them.
#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<(u64, Entry)>,
    base: Spot,
    bytes: usize,
}

impl Window {
    pub(super) fn new(base: Spot) -> Self {
        Self { entries: VecDeque::new(), base, bytes: 0 }
    }

    pub(super) fn base(&self) -> Spot {
        self.base
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Begins anew there.
    pub(super) fn restart(&mut self, base: Spot) {
        *self = Self::new(base);
    }

    /// The room has come to there, and nothing more of it is there.
    pub(super) fn end_at(&mut self, head: Spot) {
        if self.entries.is_empty() {
            self.base = head;
        }
    }

    /// Adds what was delivered. It is the last, but where keys are kept.
    pub(super) fn push(&mut self, entry: Entry, wall_ms: u64) {
        let behind = self.entries.iter().rev().take_while(|(_, kept)| kept.offset > entry.offset).count();
        if behind > 0 && entry.offset <= self.base.offset {
            return;
        }
        self.bytes += weight(&entry.publication);
        self.entries.insert(self.entries.len() - behind, (wall_ms, entry));
        while self.entries.len() > WINDOW || self.bytes > WINDOW_BYTES {
            self.drop_oldest();
        }
    }

    /// Drops what came too long ago.
    pub(super) fn trim(&mut self, wall_ms: u64) {
        let age = u64::try_from(WINDOW_AGE.as_millis()).unwrap_or(u64::MAX);
        // What came in the future came before the clock was set back.
        let old = |at: u64| at + age < wall_ms || at > wall_ms + age;
        while self.entries.front().is_some_and(|(at, _)| old(*at)) {
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    pub(super) fn shed(&mut self, to: usize) {
        while self.bytes > to {
            self.drop_oldest();
        }
    }

    /// Nothing up to there shall be given any more.
    pub(super) fn forget(&mut self, offset: u64) {
        while self.entries.front().is_some_and(|(_, entry)| entry.offset <= offset) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_front() {
            self.bytes -= weight(&entry.publication);
            self.base = Spot::of(entry.offset, entry.ts);
        }
    }

    /// Whether it has all that comes after a spot.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        offset >= self.base.offset
    }

    /// Whether something at that place was stored at another time than `ts`, or nothing can have been stored there then.
    pub(super) fn contradicts(&self, offset: u64, ts: Option<u64>) -> bool {
        let Some(ts) = ts else { return false };
        let base = self.base.ts.map(|at| (self.base.offset, at));
        let known = base.into_iter().chain(self.entries.iter().map(|(_, entry)| (entry.offset, entry.ts)));
        known.into_iter().any(|(at, stored)| match at.cmp(&offset) {
            std::cmp::Ordering::Equal => stored != ts,
            std::cmp::Ordering::Less => stored > ts,
            std::cmp::Ordering::Greater => stored < ts,
        })
    }

    /// The spot of what is kept at that offset.
    pub(super) fn spot(&self, offset: u64) -> Option<Spot> {
        let at = self.entries.partition_point(|(_, entry)| entry.offset < offset);
        let found = self.entries.get(at).filter(|(_, entry)| entry.offset == offset);
        found
            .map(|(_, entry)| Spot::of(entry.offset, entry.ts))
            .or_else(|| (self.base.offset == offset).then_some(self.base))
    }

    /// What comes after an offset.
    pub(super) fn after(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|(_, entry)| entry.offset <= offset);
        self.entries.range(from..).map(|(_, entry)| entry)
    }

    /// Where the newest so many begin; none: it hasn't that many.
    pub(super) fn before_newest(&self, count: usize) -> Option<Spot> {
        let before = self.entries.len().checked_sub(count)?;
        match before.checked_sub(1) {
            Some(at) => self.entries.get(at).map(|(_, entry)| Spot::of(entry.offset, entry.ts)),
            None => Some(self.base),
        }
    }
}
