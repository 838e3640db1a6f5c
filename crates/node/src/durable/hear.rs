//! What comes live: the next goes to the members, what is odd or comes too early waits until the store was asked, and what
//! should have come is asked for a little later.

use std::time::Duration;

use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::{ConnId, Key};

use super::chain::{Spot, Verdict};
use super::fetch::Fetch;
use super::limits::{AHEAD, AHEAD_BYTES, CHECKED, REPAIR_AFTER};
use super::members::At;
use super::mend::What;
use super::surroundings::{Entry, Gap, GapReason, Surroundings, Timer};
use super::{Durable, Live};
use crate::room::{Handles, weight};

/// A value of a key that somebody spoke of and that isn't here.
#[derive(Debug)]
pub(super) struct Lacking {
    key: Option<Key>,
    pub(super) offset: u64,
    since: Duration,
}

impl<H: Handles> Durable<H> {
    pub(super) fn heard(&mut self, s: &mut impl Surroundings<H>, live: Live) {
        self.part_if_unattended(s);
        if self.is_apart() {
            return;
        }
        self.heard = s.now();
        if let Some(epoch) = live.epoch
            && self.is_ours(s, epoch)
        {
            if self.chain.is_none() || self.mend.is_some() {
                self.put_ahead(epoch, live.entry);
            } else {
                self.take(s, live.entry);
            }
        } else {
            if live.epoch.is_none() {
                s.look_again();
            }
            self.look_soon(s);
        }
    }

    /// Whether an epoch is the one that the room is in, or, where it is in none yet, may be.
    fn is_ours(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch) -> bool {
        if self.epoch.is_some_and(|own| own != epoch) {
            self.meet(s);
        }
        self.epoch.is_none_or(|own| own == epoch)
    }

    fn put_ahead(&mut self, epoch: Epoch, entry: Entry) {
        let weight = weight(&entry.publication);
        if self.ahead.len() >= AHEAD || self.ahead_bytes + weight > AHEAD_BYTES {
            self.look = true;
        } else if let Some((_, before)) = self.ahead.insert(entry.offset, (epoch, entry)) {
            self.ahead_bytes = self.ahead_bytes + weight - crate::room::weight(&before.publication);
        } else {
            self.ahead_bytes += weight;
        }
    }

    pub(super) fn drop_ahead(&mut self) {
        self.ahead = std::collections::BTreeMap::new();
        self.ahead_bytes = 0;
    }

    /// Nothing is being mended any more: what came meanwhile is taken, and what should have come is looked for.
    pub(super) fn go_on(&mut self, s: &mut impl Surroundings<H>) {
        while self.mend.is_none()
            && self.chain.is_some()
            && let Some((_, (epoch, entry))) = self.ahead.pop_first()
        {
            self.ahead_bytes -= weight(&entry.publication);
            if self.epoch == Some(epoch) {
                self.take(s, entry);
            }
        }
        if self.mend.is_none() && self.chain.as_ref().is_some_and(|chain| self.wanted > chain.head.offset) {
            self.repair_soon(s);
        }
        if self.look || !self.lacking.is_empty() {
            self.repair_soon(s);
        }
    }

    fn take(&mut self, s: &mut impl Surroundings<H>, entry: Entry) {
        let Some(chain) = &self.chain else { return };
        let (verdict, head) = (chain.verdict(&entry), chain.head);
        if !matches!(verdict, Verdict::Next | Verdict::Repeat) && self.members.is_empty() {
            // Nobody needs to know.
            return self.part();
        }
        match verdict {
            Verdict::Next => self.deliver(s, entry),
            Verdict::Repeat => {}
            Verdict::Odd => {
                if self.is_news(s, head, (entry.offset, entry.ts)) {
                    self.start(s, What::check(head, false));
                }
            }
            Verdict::Unlinked => {
                self.hold(entry);
                self.start(s, What::check(head, true));
            }
            Verdict::After(prev) => {
                self.hold(entry);
                self.start(s, What::Fetch(Fetch::new(head, prev, true, false)));
            }
        }
    }

    /// Whether that wasn't a reason to look at the head already, some moments ago.
    fn is_news(&mut self, s: &impl Surroundings<H>, head: Spot, why: (u64, u64)) -> bool {
        let before = self.checked.replace((head.offset, why, s.now()));
        before.is_none_or(|(of, was, at)| of != head.offset || was != why || s.now() >= at + CHECKED)
    }

    fn hold(&mut self, entry: Entry) {
        if let Some(epoch) = self.epoch {
            self.put_ahead(epoch, entry);
        }
    }

    /// The next: to the members, and into the window.
    pub(super) fn deliver(&mut self, s: &mut impl Surroundings<H>, entry: Entry) {
        let (Some(chain), Some(epoch)) = (&mut self.chain, self.epoch) else { return };
        let further = chain.advance(&entry, s.now());
        self.passed = self.passed.wrapping_add(1);
        if !self.members.is_empty() {
            let due = self.members.due(entry.offset, !further, not_to(&entry.publication));
            s.deliver(&entry, epoch, !further, due);
            self.members.caught_up(chain.head.offset);
        }
        self.window.push(entry, s.wall_ms());
    }

    /// Tells those who are level that nothing up to there will come any more.
    pub(super) fn tell_gap(&mut self, s: &mut impl Surroundings<H>, reason: GapReason, to: Spot) {
        let Some(epoch) = self.epoch else { return };
        let gap = Gap { reason, epoch, offset: to.offset, ts: to.ts };
        self.members.each(|conn, at| match at {
            At::Level => {
                s.gap(conn, gap);
                at
            }
            At::Beyond(has) if has < to.offset => {
                s.gap(conn, gap);
                At::Level
            }
            _ => at,
        });
    }

    /// A signal: to those who are here.
    pub(super) fn pass(&self, s: &mut impl Surroundings<H>, publication: &Publication) {
        if !self.members.is_empty() {
            s.pass(publication, self.members.here(not_to(publication)));
        }
    }

    pub(super) fn heard_mark(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        self.part_if_unattended(s);
        if self.is_apart() {
        } else if self.is_ours(s, epoch) {
            self.beyond(s, None, offset, false);
        } else {
            self.look_soon(s);
        }
    }

    pub(super) fn heard_keys(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        keys: Vec<(Option<Key>, u64)>,
    ) {
        self.part_if_unattended(s);
        if self.is_apart() {
        } else if self.is_ours(s, epoch) {
            for (key, offset) in keys {
                self.beyond(s, Some(&key), offset, false);
            }
        } else {
            self.look_soon(s);
        }
    }

    /// All up to there was deleted on purpose: it isn't given any more, and that it is missing says nothing. Members are told,
    /// though they had it: whoever shows a history shows one that isn't there any more.
    pub(super) fn heard_forgotten(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        if self.is_apart() || !self.is_ours(s, epoch) {
            return;
        }
        self.window.forget(offset);
        let Some(chain) = &mut self.chain else { return };
        chain.forgotten = chain.forgotten.max(offset);
        let head = chain.head;
        if head.offset >= offset {
            self.tell_gap(s, GapReason::Truncated, head);
        } else if !self.by_key {
            self.beyond(s, None, offset, true);
        }
    }

    /// So far the room has come, by somebody's word: what isn't here by then is read soon. `real`: it is surely stored, or was.
    pub(super) fn beyond(
        &mut self,
        s: &mut impl Surroundings<H>,
        key: Option<&Option<Key>>,
        offset: u64,
        real: bool,
    ) {
        if self.by_key
            && let Some(key) = key
            && let Some(chain) = &self.chain
        {
            if chain.lacks(key, offset) {
                if self.lacking.len() < AHEAD {
                    self.lacking.push(Lacking { key: key.clone(), offset, since: s.now() });
                } else {
                    self.look = true;
                }
                self.repair_soon(s);
            }
            return;
        }
        let head = self.chain.as_ref().map_or(0, |chain| chain.head.offset);
        if offset > head.max(self.wanted) {
            (self.wanted, self.wanted_real) = (offset, real);
        }
        if offset > head {
            self.repair_soon(s);
        }
    }

    /// Something was given that number just now. If the room is beyond it, that must have come by lately, or the number was
    /// given a second time.
    pub(super) fn suspect(&mut self, s: &mut impl Surroundings<H>, offset: u64) {
        let Some(chain) = self.chain.as_ref().filter(|_| !self.by_key && self.mend.is_none()) else { return };
        let head = chain.head;
        let beyond = offset <= head.offset && !self.window.is_empty();
        let known = !self.window.reaches(offset) || self.window.spot(offset).is_some();
        if beyond && !known && self.is_news(s, head, (offset, 0)) {
            self.start(s, What::check(head, false));
        }
    }

    /// Something may be missing: the store is asked soon.
    pub(super) fn look_soon(&mut self, s: &mut impl Surroundings<H>) {
        self.look = true;
        self.repair_soon(s);
    }

    fn repair_soon(&mut self, s: &mut impl Surroundings<H>) {
        if self.repair.is_none() {
            self.repair = Some(self.wanted);
            s.wake(REPAIR_AFTER, Timer::Repair);
        }
    }

    pub(super) fn repair_due(&mut self, s: &mut impl Surroundings<H>) {
        let Some(upto) = self.repair.take() else { return };
        // What is being mended is looked at again afterwards.
        let (None, Some(chain)) = (&self.mend, &self.chain) else { return };
        let (head, sure) = (chain.head, chain.sure());
        self.lacking.retain(|lacking| chain.lacks(&lacking.key, lacking.offset));
        let long_ago = s.now().saturating_sub(REPAIR_AFTER);
        let overdue = self.lacking.iter().any(|lacking| lacking.since <= long_ago);
        if !self.look && upto <= head.offset && !overdue {
            // What is newer than the question may still be on its way.
            if self.wanted > head.offset || !self.lacking.is_empty() {
                self.repair_soon(s);
            }
            return;
        }
        if self.members.is_empty() {
            return self.part();
        }
        let by_key = self.by_key;
        let least = self.lacking.iter().map(|lacking| lacking.offset).min();
        let from = match least {
            Some(least) if !self.look => Spot::bare(least - 1, None),
            _ => sure,
        };
        let most = self.lacking.iter().map(|lacking| lacking.offset).max().unwrap_or(0);
        let wanted = if self.wanted > head.offset { self.wanted } else { 0 };
        let real = wanted > 0 && self.wanted_real;
        self.look = false;
        self.start(s, What::Fetch(Fetch::new(from, wanted.max(most), real, by_key)));
    }
}

/// Who doesn't want this publication back.
pub(super) fn not_to(publication: &Publication) -> Option<&ConnId> {
    publication.conn.as_ref().filter(|_| !publication.echo)
}

#[cfg(test)]
mod tests;
