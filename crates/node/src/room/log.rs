//! The replay buffer: the newest publications of the followed epoch, without a hole, and the room's number.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::limits::{REPLAY_BYTES, STATE_BYTES};
use ringway_backplane::message::Publication;
use ringway_protocol::name::{SessionId, UserId};

/// A publication and its place in the room's epoch.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) publication: Arc<Publication>,
}

/// How much a room keeps, from its class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replay {
    pub(crate) messages: usize,
    pub(crate) age: Duration,
}

/// Who may repeat a `mid`: a user, or where there is none a session, or where there is none whoever has neither.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Author {
    User(UserId),
    Session(SessionId),
    Nobody,
}

type Repeats = HashMap<(Author, Arc<str>), u64>;

/// Entries `base + 1 ..= number`, contiguous.
#[derive(Debug)]
pub(crate) struct Log {
    keep: Replay,
    number: u64,
    /// Time of the publication `number`, where known.
    ts: Option<u64>,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The first of each `mid` in `entries`; only where this node numbers, and somebody gave a `mid`.
    repeats: Option<Box<Repeats>>,
}

impl Log {
    pub(crate) fn new(keep: Replay) -> Log {
        Log { keep, number: 0, ts: None, entries: VecDeque::new(), bytes: 0, repeats: None }
    }

    /// The offset of the newest publication, kept or not.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Everything after this offset is in the buffer.
    pub(crate) fn base(&self) -> u64 {
        self.number - self.entries.len() as u64
    }

    /// The time of the publication at `offset`, where known.
    pub(crate) fn ts(&self, offset: u64) -> Option<u64> {
        if offset == self.number {
            return self.ts;
        }
        let first = self.base() + 1;
        let index = usize::try_from(offset.checked_sub(first)?).ok()?;
        self.entries.get(index).map(|entry| entry.publication.ts)
    }

    /// Forgets all, and goes on at `number`.
    pub(crate) fn restart(&mut self, number: u64) {
        self.number = number;
        self.ts = None;
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.repeats = None;
    }

    /// The next publication.
    pub(crate) fn push(&mut self, publication: Arc<Publication>, wall_ms: u64) -> Entry {
        self.number += 1;
        self.ts = Some(publication.ts);
        self.bytes += weight(&publication);
        let entry = Entry { offset: self.number, publication };
        if let Some(repeats) = &mut self.repeats {
            note(repeats, &entry);
        }
        self.entries.push_back(entry.clone());
        self.trim(wall_ms);
        entry
    }

    /// Older entries in front of ours, from a state that reaches further back: `entries` contiguous, of which only
    /// those up to our base are wanted.
    pub(crate) fn extend_back(&mut self, entries: &[Entry], wall_ms: u64) {
        for entry in entries.iter().rev() {
            if entry.offset == self.base() && entry.offset > 0 {
                if entry.offset == self.number && self.ts.is_none() {
                    self.ts = Some(entry.publication.ts);
                }
                self.bytes += weight(&entry.publication);
                self.entries.push_front(entry.clone());
            }
        }
        self.repeats = None;
        self.trim(wall_ms);
    }

    /// Drops what is over the bounds or too old.
    pub(crate) fn trim(&mut self, wall_ms: u64) {
        let age = u64::try_from(self.keep.age.as_millis()).unwrap_or(u64::MAX);
        let too_old = wall_ms.saturating_sub(age);
        while let Some(oldest) = self.entries.front() {
            let fits = self.entries.len() <= self.keep.messages && self.bytes <= REPLAY_BYTES;
            if fits && oldest.publication.ts >= too_old {
                break;
            }
            self.bytes -= weight(&oldest.publication);
            if let Some(repeats) = &mut self.repeats {
                forget(repeats, oldest);
            }
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            self.entries = VecDeque::new();
            self.repeats = None;
        }
    }

    /// What comes after `offset`, oldest first; `offset` is at least the base.
    pub(crate) fn after(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(offset.saturating_sub(self.base())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }

    /// The offset after which the newest `count` of the buffer come.
    pub(crate) fn before_newest(&self, count: u32) -> u64 {
        self.base().max(self.number.saturating_sub(u64::from(count)))
    }

    /// The newest entries that fit into one answer, and the base that this makes.
    pub(crate) fn state(&self) -> (u64, Vec<(u64, Arc<Publication>)>) {
        let mut room = STATE_BYTES;
        let mut entries = Vec::new();
        for entry in self.entries.iter().rev() {
            let Some(rest) = room.checked_sub(weight(&entry.publication)) else { break };
            room = rest;
            entries.push((entry.offset, entry.publication.clone()));
        }
        entries.reverse();
        (self.number - entries.len() as u64, entries)
    }

    /// The offset of the publication that this one repeats.
    pub(crate) fn repeated(&mut self, publication: &Publication) -> Option<u64> {
        let mid = publication.mid.clone()?;
        let entries = &self.entries;
        let repeats = self.repeats.get_or_insert_with(|| {
            let mut repeats = Repeats::new();
            entries.iter().for_each(|entry| note(&mut repeats, entry));
            Box::new(repeats)
        });
        repeats.get(&(author(publication), mid)).copied()
    }
}

fn author(publication: &Publication) -> Author {
    match (&publication.user, &publication.session) {
        (Some(user), _) => Author::User(user.clone()),
        (None, Some(session)) => Author::Session(session.clone()),
        (None, None) => Author::Nobody,
    }
}

fn note(repeats: &mut Repeats, entry: &Entry) {
    if let Some(mid) = &entry.publication.mid {
        repeats.entry((author(&entry.publication), mid.clone())).or_insert(entry.offset);
    }
}

fn forget(repeats: &mut Repeats, entry: &Entry) {
    if let Some(mid) = &entry.publication.mid {
        let key = (author(&entry.publication), mid.clone());
        if repeats.get(&key) == Some(&entry.offset) {
            repeats.remove(&key);
        }
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
mod tests {
    use super::*;
    use crate::room::scene::publication;

    const NOW: u64 = 1_700_000_000_000;

    fn log(messages: usize) -> Log {
        Log::new(Replay { messages, age: Duration::from_secs(30) })
    }

    fn filled(messages: usize, count: u64) -> Log {
        let mut log = log(messages);
        for number in 1..=count {
            log.push(publication(&number.to_string()).into(), NOW);
        }
        log
    }

    fn offsets<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u64> {
        entries.map(|entry| entry.offset).collect()
    }

    #[test]
    fn it_keeps_the_newest_by_count_and_by_age() {
        let mut log = filled(3, 5);
        assert_eq!((log.number(), log.base()), (5, 2));
        assert_eq!(offsets(log.after(2)), [3, 4, 5]);
        assert_eq!(offsets(log.after(4)), [5]);
        assert_eq!(offsets(log.after(9)), [0; 0]);
        log.trim(NOW + 30_000);
        assert_eq!(log.base(), 2);
        log.trim(NOW + 30_001);
        assert_eq!((log.number(), log.base()), (5, 5));
    }

    #[test]
    fn it_keeps_no_more_bytes_than_it_may() {
        let mut log = log(usize::MAX);
        for _ in 0..100 {
            let big = Publication { event: Some("x".repeat(60_000).into()), ..publication("") };
            log.push(big.into(), NOW);
        }
        let kept = log.number() - log.base();
        assert_eq!(kept, 8, "of 60 KB in half a megabyte");
        let (base, entries) = log.state();
        assert_eq!(entries.len(), 8);
        assert_eq!(base, 100 - entries.len() as u64);
        assert_eq!(entries.first().map(|entry| entry.0), Some(base + 1));
    }

    #[test]
    fn it_keeps_none_where_the_class_wants_none() {
        let log = filled(0, 5);
        assert_eq!((log.number(), log.base()), (5, 5));
        assert_eq!(log.state(), (5, Vec::new()));
    }

    #[test]
    fn the_newest_so_many_are_those_that_there_are() {
        let log = filled(3, 5);
        assert_eq!([0, 2, 3, 9].map(|count| log.before_newest(count)), [5, 3, 2, 2]);
        assert_eq!(filled(3, 0).before_newest(9), 0);
    }

    #[test]
    fn times_are_known_as_far_as_the_buffer_reaches() {
        let mut log = filled(3, 5);
        assert_eq!([2, 3, 5, 6].map(|offset| log.ts(offset)), [None, Some(NOW), Some(NOW), None]);
        log.trim(NOW + 60_000);
        assert_eq!(log.ts(5), Some(NOW), "the newest is known by its time even when it is gone");
        log.restart(9);
        assert_eq!(log.ts(9), None);
    }

    #[test]
    fn older_entries_are_put_in_front_where_they_fit() {
        let whole = filled(100, 5);
        let older: Vec<Entry> = whole.after(0).cloned().collect();
        let mut log = log(100);
        log.restart(3);
        log.push(publication("4").into(), NOW);
        log.extend_back(&older, NOW);
        assert_eq!((log.number(), log.base()), (4, 0));
        assert_eq!(offsets(log.after(0)), [1, 2, 3, 4]);
        let mut empty = self::log(2);
        empty.restart(5);
        empty.extend_back(&older, NOW);
        assert_eq!(offsets(empty.after(0)), [4, 5]);
        let mut short = self::log(100);
        short.restart(9);
        short.extend_back(&older, NOW);
        assert_eq!(short.base(), 9, "between 5 and 9 there would be a hole");
    }

    fn with_mid(mid: &str, user: Option<&str>, session: Option<&str>) -> Publication {
        Publication {
            mid: Some(mid.into()),
            user: user.map(|user| user.parse().expect("a user")),
            session: session.map(|session| session.parse().expect("a session")),
            ..publication("")
        }
    }

    #[test]
    fn a_repeat_is_the_same_users_or_without_a_user_the_same_sessions() {
        let mut log = log(3);
        let first = [("u", Some("u"), Some("s1")), ("s", None, Some("s1")), ("n", None, None)];
        for (mid, user, session) in first {
            log.push(with_mid(mid, user, session).into(), NOW);
        }
        let mut repeated = |mid, user, session| log.repeated(&with_mid(mid, user, session));
        assert_eq!(repeated("u", Some("u"), Some("another")), Some(1));
        assert_eq!(repeated("u", Some("v"), Some("s1")), None);
        assert_eq!(repeated("u", None, Some("s1")), None);
        assert_eq!(repeated("s", None, Some("s1")), Some(2));
        assert_eq!(repeated("s", None, Some("s2")), None);
        assert_eq!(repeated("n", None, None), Some(3));
        assert_eq!(repeated("x", None, None), None);
    }

    #[test]
    fn a_repeat_is_seen_as_long_as_the_first_is_kept() {
        let mut log = log(2);
        log.push(with_mid("a", Some("u"), None).into(), NOW);
        assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), Some(1));
        log.push(publication("").into(), NOW);
        assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), Some(1));
        log.push(publication("").into(), NOW);
        assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), None);
    }
}
