//! Mending: something odd, or a hole, is looked into at the store; what comes live waits meanwhile. One thing at a time.

use super::Durable;
use super::chain::Spot;
use super::fetch::{Fetch, Fetched, Next};
use super::limits::{PATIENT, READ_AGAIN, SLICE, SLICE_BYTES};
use super::members::At;
use super::surroundings::{Entry, GapReason, Surroundings};
use crate::reader::{Found, Read, ReadId, ReadResult};
use crate::room::{Handles, weight};

/// What is looked into.
#[derive(Debug)]
pub(super) enum What {
    /// What comes after the last that was delivered.
    Fetch(Fetch),
    /// Whether the last that was delivered is still what it was, or, where that is only a number, still a place to go on
    /// from. `unlinked`: something came that doesn't follow it.
    Check { head: Spot, unlinked: bool, tries: u32 },
    /// Where the room is, in an epoch that has just begun.
    Turn,
}

impl What {
    pub(super) fn check(head: Spot, unlinked: bool) -> Self {
        Self::Check { head, unlinked, tries: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Mend {
    pub(super) what: What,
    /// None: it couldn't be read, and will be again.
    pub(super) id: Option<ReadId>,
}

impl<H: Handles> Durable<H> {
    pub(super) fn start(&mut self, s: &mut impl Surroundings<H>, what: What) {
        self.mend = Some(Box::new(Mend { what, id: None }));
        self.ask_mend(s);
    }

    pub(super) fn ask_mend(&mut self, s: &mut impl Surroundings<H>) {
        let Some(mend) = &mut self.mend else { return };
        let read = match (&mend.what, self.epoch) {
            (What::Fetch(fetch), Some(epoch)) => fetch.read(epoch),
            (What::Check { head: Spot { offset, ts, solid: false }, .. }, Some(epoch)) => {
                Read::Since { epoch, offset: *offset, ts: *ts }
            }
            (What::Check { head, .. }, _) => Read::Check { offset: head.offset, ts: head.ts.unwrap_or(0) },
            (What::Turn | What::Fetch(_), _) => Read::Newest,
        };
        mend.id = Some(s.read(read));
    }

    pub(super) fn mend_read(&mut self, s: &mut impl Surroundings<H>, result: ReadResult) {
        let Some(mend) = &mut self.mend else { return };
        mend.id = None;
        let Ok(found) = result else { return self.read_failed(s) };
        if !self.is_of_this_epoch(s, &found) {
            return;
        }
        self.read_went_well();
        let Some(mend) = &mut self.mend else { return };
        match &mut mend.what {
            What::Fetch(fetch) => match fetch.found(found) {
                Next::Ask => self.ask_mend(s),
                Next::Done(fetched) => self.mended(s, fetched),
                Next::Other => self.disbelieve(s),
                Next::Wrong => self.read_failed(s),
            },
            What::Check { unlinked, tries, .. } => {
                let unlinked = *unlinked;
                match found {
                    Found::Same | Found::Gone | Found::Page { .. } => self.checked(s, unlinked),
                    Found::Other => self.disbelieve(s),
                    Found::NotResumed { newest, .. } => {
                        // Nothing that this node saw itself is another: so perhaps the epoch will be, and perhaps it was dropped.
                        *tries += 1;
                        if *tries < PATIENT {
                            s.look_again();
                            self.read_failed(s);
                        } else {
                            self.skip(s, newest.offset);
                            self.checked(s, unlinked);
                        }
                    }
                    Found::Newest { .. } => self.read_failed(s),
                }
            }
            What::Turn => match found {
                Found::Newest { at, has, .. } => {
                    self.follow(s, Spot::newest(at, has));
                    self.go_on(s);
                }
                _ => self.read_failed(s),
            },
        }
    }

    fn checked(&mut self, s: &mut impl Surroundings<H>, unlinked: bool) {
        if let Some(chain) = self.chain.as_mut().filter(|_| unlinked) {
            chain.head.solid = false;
        }
        self.mend = None;
        self.go_on(s);
    }

    /// What this node delivered isn't what the store keeps: another epoch must begin. Until it does, that is looked at again.
    pub(super) fn disbelieve(&mut self, s: &mut impl Surroundings<H>) {
        let Some(epoch) = self.epoch else { return };
        s.disbelieve(epoch);
        if let Some(chain) = &self.chain {
            let what = What::check(chain.head, true);
            self.mend = Some(Box::new(Mend { what, id: None }));
        }
        self.again_after(s, READ_AGAIN);
    }

    /// What was missing is here, or is told as a gap.
    fn mended(&mut self, s: &mut impl Surroundings<H>, fetched: Fetched) {
        let Some(Mend { what: What::Fetch(fetch), .. }) = self.mend.take().map(|mend| *mend) else { return };
        if let Some(gap) = fetched.gap {
            self.skip(s, gap);
        }
        let bytes: usize = fetched.kept.iter().map(|entry| weight(&entry.publication)).sum();
        let much = fetched.more || fetched.kept.len() > SLICE || bytes > SLICE_BYTES;
        if much && !self.by_key && self.members.any_there() {
            return self.each_at_its_own_pace(s, &fetched, &fetch);
        }
        let last = fetched.kept.last().map(|last| Spot::of(last.offset, last.ts));
        for entry in fetched.kept {
            if self.is_missing(&entry) {
                self.deliver(s, entry);
            }
        }
        if fetched.more {
            let from = last.unwrap_or(Spot::bare(fetched.end, None));
            return self.start(s, What::Fetch(fetch.goes_on(from)));
        }
        if let Some(gap) = fetched.tail_gap {
            self.skip(s, gap);
        }
        if fetched.wrong {
            // So is what came live and named it; if not, it is kept.
            self.drop_ahead();
            (self.wanted, self.look) = (0, true);
        }
        self.settle(fetch.begun, fetched.end);
        self.go_on(s);
        self.replays(s);
    }

    pub(super) fn is_missing(&self, entry: &Entry) -> bool {
        self.chain.as_ref().is_some_and(|chain| {
            if self.by_key {
                chain.lacks(&entry.publication.key, entry.offset)
            } else {
                entry.offset > chain.head.offset
            }
        })
    }

    /// What lies between is lost.
    fn skip(&mut self, s: &mut impl Surroundings<H>, to: u64) {
        let Some(chain) = &mut self.chain else { return };
        let to = Spot::bare(to, None);
        if self.by_key || to.offset <= chain.head.offset {
            return;
        }
        chain.jump(to, s.now());
        self.window.restart(to);
        self.tell_gap(s, GapReason::Truncated, to);
        self.members.caught_up(to.offset);
    }

    /// The store was asked for all from here up to there: what isn't here now nobody has.
    fn settle(&mut self, from: u64, end: u64) {
        if self.wanted <= end {
            self.wanted = 0;
        }
        // By key: what isn't there is deleted, or too old. Promised is the newest of each key that is still kept.
        self.lacking.retain(|lacking| !(from < lacking.offset && lacking.offset <= end));
    }

    /// More than fits into one go: the room goes on, and who was level gets what is between at its own pace.
    fn each_at_its_own_pace(&mut self, s: &mut impl Surroundings<H>, fetched: &Fetched, fetch: &Fetch) {
        let Some(chain) = &mut self.chain else { return };
        let (was, now) = (chain.head, s.now());
        let last = fetched.kept.last().map_or(fetched.end, |last| last.offset);
        let head = match fetched.kept.last() {
            Some(last) if last.offset >= fetched.newest.offset => Spot::of(last.offset, last.ts),
            _ => Spot::newest(fetched.newest, true),
        };
        chain.jump(head, now);
        self.window.restart(head);
        self.members.each(|_, at| match at {
            At::Level => At::OnWay(was),
            At::Beyond(has) if has < head.offset => At::OnWay(Spot::bare(has, None)),
            At::Beyond(has) if has == head.offset => At::Level,
            at => at,
        });
        self.replay_page(s, fetched);
        self.replays(s);
        if fetched.more && head.offset == last {
            // How much more isn't known.
            return self.start(s, What::Fetch(fetch.goes_on(head)));
        }
        self.go_on(s);
    }
}
