//! The store as it is in truth: one stream, which keeps our room's publications among others', and may lose its history.
//! Readers see it as its leader does, or as a follower that is some time behind; what the node's reader makes of that is
//! here too, by the same rules.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_backplane::message::{Epoch, Publication};
use ringway_backplane::store::{Kept, Newest};
use ringway_protocol::name::Key;

use super::super::Entry;
use super::world::{Time, WALL};
use crate::reader::{Found, Read};

/// One number of the stream.
#[derive(Clone)]
pub(super) struct Rec {
    pub(super) ts: u64,
    stored: Time,
    deleted: Option<Time>,
    /// It was deleted because somebody asked for that.
    pub(super) forgotten: bool,
    /// None: another room's.
    pub(super) publication: Option<Arc<Publication>>,
}

impl Rec {
    fn is_seen(&self, at: Time) -> bool {
        self.stored <= at && self.deleted.is_none_or(|deleted| deleted > at)
    }

    pub(super) fn id(&self) -> Option<usize> {
        self.publication.as_ref().map(|publication| publication.ts as usize)
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.publication.as_ref().and_then(|publication| publication.key.clone())
    }
}

/// How much is kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Keeps {
    pub(super) of_room: Option<usize>,
    pub(super) of_all: Option<usize>,
    pub(super) age: Option<Time>,
    pub(super) by_key: bool,
}

impl Keeps {
    /// Whether it drops anything but older values of a key.
    pub(super) fn drops(&self) -> bool {
        self.of_room.is_some() || self.of_all.is_some() || self.age.is_some()
    }
}

pub(super) struct Store {
    /// Number `n` is at `n - 1`.
    pub(super) recs: Vec<Rec>,
    /// The indices of ours.
    ours: Vec<usize>,
    /// How often the history became another.
    pub(super) life: u32,
    /// The last number that it shares with the one before.
    pub(super) shared: u64,
    /// What was lost with former histories: number and publication, and which history it was.
    pub(super) lost: HashMap<(u64, usize), u32>,
    pub(super) epoch: Epoch,
    pub(super) exists: bool,
    pub(super) up: bool,
    /// What the leader's clock is off by, in milliseconds.
    pub(super) skew: i64,
    pub(super) keeps: Keeps,
    /// When this history began.
    turned: Time,
    mids: HashMap<usize, u64>,
}

impl Store {
    pub(super) fn new(epoch: Epoch, keeps: Keeps) -> Self {
        Self {
            recs: Vec::new(),
            ours: Vec::new(),
            life: 0,
            shared: 0,
            lost: HashMap::new(),
            epoch,
            exists: true,
            up: true,
            skew: 0,
            keeps,
            turned: 0,
            mids: HashMap::new(),
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.recs.len() as u64
    }

    pub(super) fn rec(&self, offset: u64) -> Option<&Rec> {
        self.recs.get(offset.checked_sub(1)? as usize)
    }

    /// Ours, with their numbers, from the one after `offset` on.
    pub(super) fn ours_after(&self, offset: u64) -> impl Iterator<Item = (u64, &Rec)> {
        let from = self.ours.partition_point(|at| (*at as u64) < offset);
        self.ours[from..].iter().map(|at| (*at as u64 + 1, &self.recs[*at]))
    }

    /// Whether something is kept now.
    pub(super) fn keeps(&self, rec: &Rec, now: Time) -> bool {
        rec.is_seen(now)
    }

    /// Keeps a publication, ours or another room's. `Err`: it is a repeat of that number.
    pub(super) fn keep(
        &mut self,
        publication: Option<Arc<Publication>>,
        mid: Option<usize>,
        now: Time,
    ) -> Result<Entry, u64> {
        if let Some(before) = mid.and_then(|mid| self.mids.get(&mid)) {
            return Err(*before);
        }
        let offset = self.last() + 1;
        let ts = (WALL + now / 1000).saturating_add_signed(self.skew);
        let prev = match &publication {
            Some(new) => {
                let same = |rec: &&Rec| !self.keeps.by_key || rec.key() == new.key;
                let mut before = self.ours.iter().rev().map(|at| (*at, &self.recs[*at]));
                let found = before.find(|(_, rec)| rec.is_seen(now) && same(rec));
                found.map_or(0, |(at, _)| at as u64 + 1)
            }
            None => 0,
        };
        let deleted = self.keeps.age.map(|age| now + age);
        self.recs.push(Rec { ts, stored: now, deleted, forgotten: false, publication: publication.clone() });
        if let Some(mid) = mid {
            self.mids.insert(mid, offset);
        }
        let is_ours = publication.is_some();
        if is_ours {
            self.ours.push(self.recs.len() - 1);
        }
        if self.keeps.by_key && is_ours && prev > 0 {
            self.delete(prev as usize - 1, now);
        }
        if let Some(most) = self.keeps.of_room {
            let seen: Vec<usize> =
                self.ours.iter().rev().copied().filter(|at| self.recs[*at].is_seen(now)).collect();
            seen.iter().skip(most + 1).for_each(|at| self.delete(*at, now));
        }
        if let Some(most) = self.keeps.of_all
            && let Some(at) = self.recs.len().checked_sub(most + 1)
        {
            self.delete(at, now);
        }
        let publication = publication.unwrap_or_else(|| Arc::new(super::world::publication(0)));
        Ok(Entry { offset, prev: Some(prev), ts, publication })
    }

    fn delete(&mut self, at: usize, now: Time) {
        let deleted = &mut self.recs[at].deleted;
        *deleted = Some(deleted.map_or(now, |before| before.min(now)));
    }

    /// All of ours so far is deleted on purpose. The last of it.
    pub(super) fn forget(&mut self, now: Time) -> Option<(u64, u64)> {
        let last = self.ours.iter().rev().copied().find(|at| self.recs[*at].is_seen(now))?;
        for at in self.ours.clone() {
            self.recs[at].forgotten = true;
            self.delete(at, now);
        }
        Some((last as u64 + 1, self.recs[last].ts))
    }

    /// Its volume is put back to where it had given that number; 0: it is another stream.
    pub(super) fn put_back(&mut self, to: u64, now: Time) {
        for at in self.ours.iter().copied().filter(|at| *at as u64 >= to) {
            if let Some(id) = self.recs[at].id() {
                self.lost.insert((at as u64 + 1, id), self.life);
            }
        }
        self.recs.truncate(to as usize);
        self.ours.retain(|at| (*at as u64) < to);
        self.mids.retain(|_, offset| *offset <= to);
        (self.life, self.shared, self.turned) = (self.life + 1, to, now);
    }

    // -- what the reader makes of it

    /// What a read finds at a follower which is as of `at`; where that can't be relied on, at the leader, now.
    pub(super) fn read(&self, read: Read, epoch: Epoch, at: Time, now: Time, page: usize) -> Found {
        let at = at.max(self.turned).min(now);
        match read {
            Read::Newest => match self.newest(at, 0).or_else(|| self.newest(now, 0)) {
                Some(newest) => Found::Newest { epoch, at: newest, has: true },
                None => Found::Newest { epoch, at: self.end(), has: false },
            },
            Read::Since { epoch: of, .. } if of != epoch => self.refused(epoch, now),
            Read::Since { offset, ts, .. } => self.since(epoch, (offset, ts), at, now, page),
            Read::After { offset, upto } => {
                let newest = self.newest(at, offset + 1);
                let leads = newest.is_none() || newest.is_some_and(|newest| newest.offset < upto);
                let at = if leads { now } else { at };
                let (kept, more) = self.page(at, offset + 1, page);
                let newest = self.newest(at, 0).unwrap_or(Newest { offset, ts: 0 });
                Found::Page { epoch, kept, more, newest }
            }
            Read::Last { count } => {
                let mut kept = self.page(at, 0, usize::MAX).0;
                if !self.keeps.by_key {
                    kept.drain(..kept.len().saturating_sub(count as usize));
                }
                let newest =
                    kept.last().map_or(self.end(), |last| Newest { offset: last.offset, ts: last.ts });
                Found::Page { epoch, kept, more: false, newest }
            }
            Read::Check { offset, ts } => match self.rec(offset) {
                None => Found::Other,
                Some(rec) if !rec.is_seen(now) => Found::Gone,
                Some(rec) if rec.ts == ts && rec.publication.is_some() => Found::Same,
                Some(_) => Found::Other,
            },
        }
    }

    fn newest(&self, at: Time, from: u64) -> Option<Newest> {
        let index = self.ours.iter().rev().find(|index| self.recs[**index].is_seen(at))?;
        let newest = Newest { offset: *index as u64 + 1, ts: self.recs[*index].ts };
        (newest.offset >= from).then_some(newest)
    }

    fn end(&self) -> Newest {
        Newest { offset: self.last(), ts: self.recs.last().map_or(0, |rec| rec.ts) }
    }

    fn page(&self, at: Time, from: u64, most: usize) -> (Vec<Kept>, bool) {
        let mut found = self.ours_after(from.saturating_sub(1)).filter(|(_, rec)| rec.is_seen(at));
        let kept = |(offset, rec): (u64, &Rec)| {
            let publication = rec.publication.clone().expect("ours");
            Kept { offset, ts: rec.ts, publication }
        };
        let kept: Vec<_> = found.by_ref().take(most).map(kept).collect();
        (kept, found.next().is_some())
    }

    fn refused(&self, epoch: Epoch, now: Time) -> Found {
        let oldest = self.ours_after(0).find(|(_, rec)| rec.is_seen(now)).map(|(offset, _)| offset);
        Found::NotResumed { epoch, newest: self.newest(now, 0).unwrap_or(self.end()), oldest }
    }

    fn since(&self, epoch: Epoch, claim: (u64, Option<u64>), at: Time, now: Time, page: usize) -> Found {
        let (offset, ts) = claim;
        let agrees = |stored: u64| ts.is_none_or(|ts| ts == 0 || ts == stored);
        let (at, newest) = match self.newest(at, offset) {
            Some(newest) => (at, Some(newest)),
            None => (now, self.newest(now, offset)),
        };
        let Some(newest) = newest else {
            let newest = Newest { offset, ts: ts.unwrap_or(0) };
            return match self.is_whole(claim, now) {
                true => Found::Page { epoch, kept: Vec::new(), more: false, newest },
                false => self.refused(epoch, now),
            };
        };
        if newest.offset == offset {
            return match agrees(newest.ts) {
                true => Found::Page { epoch, kept: Vec::new(), more: false, newest },
                false => self.refused(epoch, now),
            };
        }
        let (mut kept, more) = self.page(at, offset, page + 1);
        let whole = match kept.first() {
            Some(first) if first.offset == offset => {
                let agrees = agrees(first.ts);
                kept.remove(0);
                agrees
            }
            Some(first) if ts.is_some_and(|ts| first.ts < ts) => false,
            _ => self.is_whole(claim, now),
        };
        if !whole {
            return self.refused(epoch, now);
        }
        Found::Page { epoch, kept, more, newest }
    }

    /// What the leader's counts say of a position at which nothing of ours was found.
    fn is_whole(&self, (offset, ts): (u64, Option<u64>), now: Time) -> bool {
        if offset > self.last() {
            return false;
        }
        if let Some(rec) = self.rec(offset).filter(|rec| rec.is_seen(now)) {
            if ts.is_some_and(|ts| ts > 0 && ts != rec.ts) {
                return false;
            }
            if rec.publication.is_some() {
                return true;
            }
        }
        if self.keeps.by_key {
            return true;
        }
        let first = self.recs.iter().position(|rec| rec.is_seen(now)).unwrap_or(self.recs.len()) as u64 + 1;
        let count = self.ours.iter().filter(|at| self.recs[**at].is_seen(now)).count();
        first <= offset + 1 && self.keeps.of_room.is_none_or(|most| count <= most)
    }
}
