//! Reading back what comes after a spot, and making sure that nothing of it is missing.
//!
//! Retention drops the oldest first. So where the publication at the spot itself is still kept after a page was read, the page
//! is whole; where it isn't, the reader may still prove it by count; else something fell out, and that is told. In a store
//! that keeps the newest of each key, what is kept is what is promised: nothing is to be proven.

use ringway_backplane::message::Epoch;
use ringway_backplane::store::{Kept, Newest};

use super::chain::Spot;
use super::surroundings::Entry;
use crate::reader::{Found, Read};

/// A page on its way.
#[derive(Debug)]
pub(super) struct Fetch {
    from: Spot,
    /// Where the first page of these began.
    pub(super) begun: u64,
    upto: u64,
    /// Something was surely kept at `upto`: if it isn't there any more, it is lost.
    real: bool,
    by_key: bool,
    step: Step,
    kept: Vec<Kept>,
    more: bool,
    /// What was at the spot is gone.
    gone: bool,
    /// It can't be proven that nothing after the spot was dropped: the newest and the oldest that there was then.
    refused: Option<(u64, Option<u64>)>,
    gap: Option<u64>,
    tail_gap: Option<u64>,
    newest: Newest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// What comes after the spot?
    Read,
    /// Is the spot still kept?
    Spot,
    /// What comes after it, and can it be proven that nothing was dropped?
    Proof,
    /// Is the first that was found still kept?
    First,
    /// Was anything ever kept at the end?
    End,
}

/// A page, whole from its gap on.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) from: Spot,
    /// Up to there something is lost before the first of `kept`.
    pub(super) gap: Option<u64>,
    pub(super) kept: Vec<Entry>,
    /// What is lost behind the last of them, up to there.
    pub(super) tail_gap: Option<u64>,
    /// There is more behind them.
    pub(super) more: bool,
    /// Something is kept there, by the store's word; offset 0: it gave none.
    pub(super) newest: Newest,
    /// What was looked for was never there.
    pub(super) wrong: bool,
    /// All up to there is settled, unless there is more.
    pub(super) end: u64,
}

/// What follows an answer.
#[derive(Debug)]
pub(super) enum Next {
    Ask,
    Done(Fetched),
    /// It is another history.
    Other,
    /// It can't be gone on from that: the same is to be asked again.
    Wrong,
}

impl Fetch {
    pub(super) fn new(from: Spot, upto: u64, real: bool, by_key: bool) -> Self {
        // Where it isn't known that anything comes after the spot, that nothing does has to be proven too.
        let step = if by_key || upto > from.offset { Step::Read } else { Step::Proof };
        let (kept, more, gone, refused, gap) = (Vec::new(), false, false, None, None);
        Self {
            from,
            begun: from.offset,
            upto,
            real,
            by_key,
            step,
            kept,
            more,
            gone,
            refused,
            gap,
            tail_gap: None,
            newest: Newest { offset: 0, ts: 0 },
        }
    }

    pub(super) fn read(&self, epoch: Epoch) -> Read {
        let Spot { offset, ts, .. } = self.from;
        match self.step {
            Step::Read => Read::After { offset, upto: self.upto },
            Step::Spot => Read::Check { offset, ts: ts.unwrap_or(0) },
            Step::Proof => Read::Since { epoch, offset, ts },
            Step::First => {
                let (offset, ts) = self.kept.first().map_or((0, 0), |first| (first.offset, first.ts));
                Read::Check { offset, ts }
            }
            Step::End => Read::Check { offset: self.upto, ts: 0 },
        }
    }

    /// From where on, to go on with the next page.
    pub(super) fn goes_on(&self, from: Spot) -> Self {
        Self { begun: self.begun, ..Self::new(from, self.upto, self.real, self.by_key) }
    }

    pub(super) fn found(&mut self, found: Found) -> Next {
        match (self.step, found) {
            (Step::Read, Found::Page { mut kept, more, newest, .. }) => {
                self.heard_of(newest);
                kept.retain(|kept| kept.offset > self.from.offset);
                self.more = more && !kept.is_empty();
                self.kept = kept;
                self.has_read()
            }
            (Step::Spot, Found::Same) if self.refused.is_none() => self.done(),
            (Step::Spot, Found::Gone) => {
                self.gone = true;
                if self.refused.is_some() { self.is_refused() } else { self.ask(Step::Proof) }
            }
            (Step::Proof, Found::Page { kept, more, newest, .. }) => {
                self.heard_of(newest);
                self.is_proven(kept, more)
            }
            (Step::Proof, Found::NotResumed { newest, oldest, .. }) => {
                self.refused = Some((newest.offset, oldest));
                // If another history is kept, that is to be known.
                if self.can_be_looked_at() { self.ask(Step::Spot) } else { self.is_refused() }
            }
            (Step::First, Found::Same) => {
                self.gap = self.kept.first().map(|first| first.offset - 1);
                self.done()
            }
            (Step::First, Found::Gone) => {
                // It is being dropped as fast as it is read.
                self.gap = self.kept.last().map(|last| last.offset);
                self.kept.clear();
                self.done()
            }
            (Step::Spot | Step::First, Found::Other) => Next::Other,
            (Step::End, Found::Gone) => {
                self.tail_gap = Some(self.upto);
                self.done()
            }
            // That number was never given to this room: who named it is wrong.
            (Step::End, Found::Other) => {
                self.upto = 0;
                self.done()
            }
            _ => Next::Wrong,
        }
    }

    fn heard_of(&mut self, newest: Newest) {
        if newest.offset > self.newest.offset {
            self.newest = newest;
        }
    }

    fn can_be_looked_at(&self) -> bool {
        self.from.solid && self.from.ts.is_some() && !self.gone
    }

    fn has_read(&mut self) -> Next {
        if self.by_key || (self.kept.is_empty() && self.real) {
            self.done()
        } else if self.refused.is_some() {
            self.is_refused()
        } else if !self.kept.is_empty() && self.can_be_looked_at() {
            self.ask(Step::Spot)
        } else {
            self.ask(Step::Proof)
        }
    }

    /// A page that is whole. It may be of somebody who is behind: then it is only the beginning of what was read.
    fn is_proven(&mut self, mut kept: Vec<Kept>, more: bool) -> Next {
        kept.retain(|kept| kept.offset > self.from.offset);
        let known = self.kept.last().map_or(0, |last| last.offset);
        let last = kept.last().map_or(0, |last| last.offset);
        if known > 0 && last == 0 {
            return Next::Wrong;
        }
        self.more = last > 0 && (more || last < known);
        self.kept = kept;
        self.done()
    }

    /// Something is lost. What is left is whole if its first is still there when it was read.
    fn is_refused(&mut self) -> Next {
        let (newest, oldest) = self.refused.unwrap_or((0, None));
        if !self.kept.is_empty() {
            self.ask(Step::First)
        } else if self.step != Step::Read && oldest.is_some_and(|oldest| oldest > self.from.offset) {
            self.ask(Step::Read)
        } else {
            self.gap = Some(newest);
            self.done()
        }
    }

    fn ask(&mut self, step: Step) -> Next {
        self.step = step;
        Next::Ask
    }

    fn done(&mut self) -> Next {
        let last = self.kept.last().map(|last| last.offset).max(self.gap).unwrap_or(self.from.offset);
        let short = self.real && !self.by_key && !self.more && last < self.upto;
        if short && self.tail_gap.is_none() {
            return self.ask(Step::End);
        }
        Next::Done(Fetched {
            from: self.from,
            // Nothing lies between two neighbours.
            gap: self.gap.filter(|gap| *gap > self.from.offset),
            kept: std::mem::take(&mut self.kept).into_iter().map(entry_of).collect(),
            tail_gap: self.tail_gap,
            more: self.more,
            newest: self.newest,
            wrong: self.real && self.upto == 0,
            end: if self.more { last } else { last.max(self.upto) },
        })
    }
}

pub(super) fn entry_of(kept: Kept) -> Entry {
    Entry { offset: kept.offset, prev: None, ts: kept.ts, publication: kept.publication }
}
