//! Delivering: the next number goes to the members, each from its own position; what comes early waits for what is
//! before it, and what won't come is told as a gap.

use std::sync::Arc;

use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::ConnId;

use super::Room;
use super::limits::{AHEAD, AHEAD_BYTES};
use super::log::{Entry, weight};
use super::members::At;
use super::surroundings::{Gap, GapReason, Handles, Place, Surroundings};

impl<H: Handles> Room<H> {
    /// The next number: into the log, and to the members.
    pub(super) fn deliver(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        publication: Arc<Publication>,
    ) {
        let entry = self.log.push(publication, s.wall_ms());
        self.passed = self.passed.wrapping_add(1);
        if self.members.is_empty() {
            return;
        }
        if self.members.any_nowhere() {
            let before = entry.offset - 1;
            self.members.replace(false, |conn, odd| {
                if odd.at == At::Nowhere {
                    let offset = before.max(odd.has(epoch));
                    odd.at = if offset > before { At::Beyond(offset) } else { At::Level };
                    let reason = why_placed(odd.came_of_another(epoch));
                    odd.forget_since(epoch);
                    let place = Place { epoch, offset, ts: None };
                    s.gap(conn, Gap { reason, place, lost: None });
                }
            });
        }
        s.deliver(&entry, Some(epoch), self.members.due(entry.offset, not_to(&entry.publication)));
        self.members.caught_up(entry.offset);
    }

    /// Tells everyone here that nothing up to `number` (of the followed epoch) will come, and places them there; who
    /// has more already stays ahead. `over`: the room jumps there from that number, and whoever is there needn't hear.
    pub(super) fn tell_gap(
        &mut self,
        s: &mut impl Surroundings<H>,
        reason: GapReason,
        number: u64,
        over: Option<u64>,
    ) {
        let Some(epoch) = self.epoch else { return };
        let (ts, by_key) = (self.log.ts(number), self.log.is_by_key());
        self.members.replace(true, |conn, odd| {
            let was = match odd.at {
                At::Level => over.unwrap_or(number),
                At::Beyond(has) => has,
                At::Nowhere | At::Waiting => 0,
            };
            let nowhere = odd.at == At::Nowhere;
            // Where the epoch is new, a position in the former says nothing.
            let has = if reason == GapReason::Epoch { odd.has(epoch) } else { odd.has(epoch).max(was) };
            let offset = number.max(has);
            odd.at = if offset > number { At::Beyond(offset) } else { At::Level };
            if over.is_some() && !nowhere && was >= number {
                return;
            }
            let reason = if nowhere { why_placed(odd.came_of_another(epoch)) } else { reason };
            odd.forget_since(epoch);
            // Where a newer of its key took a value's place, it isn't lost; which these are isn't known.
            let lost = over.filter(|_| !nowhere && !by_key).map(|_| offset - was);
            let place = Place { epoch, offset, ts: ts.filter(|_| offset == number) };
            s.gap(conn, Gap { reason, place, lost });
        });
    }

    /// What lies between is lost to this node.
    pub(super) fn skip(&mut self, s: &mut impl Surroundings<H>, number: u64) {
        let from = self.log.number();
        self.log.restart(number);
        self.tell_gap(s, GapReason::Backplane, number, Some(from));
    }

    /// Takes what a state has more than we: what comes next, and what a joining member may want of the past.
    pub(super) fn fill(&mut self, s: &mut impl Surroundings<H>, number: u64, base: u64, entries: Vec<Entry>) {
        let Some(epoch) = self.epoch else { return };
        if !self.log.is_state(number, base, &entries) {
            // Not what a state is: believe its number, and nothing else.
            if number > self.log.number() {
                self.skip(s, number);
            }
            return self.drain(s);
        }
        if number > self.log.number() && base > self.log.number() {
            self.skip(s, base);
        }
        self.log.extend_back(base, &entries, s.wall_ms());
        for entry in entries {
            if entry.offset > self.log.number() {
                self.log.pass_over(entry.offset - 1);
                self.deliver(s, epoch, entry.publication);
            }
        }
        if self.log.base() <= number {
            self.log.now_whole();
        }
        self.settle_lesser();
        self.drain(s);
    }

    /// From here on the room is where the others are: who comes with less may have missed what this node numbered in a
    /// lesser epoch.
    pub(super) fn settle_lesser(&mut self) {
        if std::mem::take(&mut self.numbered_lesser) {
            self.resumes_from = self.log.number() + 1;
        }
    }

    pub(super) fn put_ahead(&mut self, offset: u64, publication: Arc<Publication>) {
        let weight = weight(&publication);
        let next = offset == self.log.number() + 1;
        let fits = self.ahead.len() < AHEAD && self.ahead_bytes + weight <= AHEAD_BYTES;
        // What doesn't fit is asked for: `wanted` remembers it.
        if (next || fits) && self.ahead.insert(offset, publication).is_none() {
            self.ahead_bytes += weight;
        }
    }

    pub(super) fn drop_ahead(&mut self) {
        self.ahead.clear();
        self.ahead_bytes = 0;
    }

    /// Delivers what came early, as far as it goes on from where the room is.
    pub(super) fn drain(&mut self, s: &mut impl Surroundings<H>) {
        let Some(epoch) = self.epoch else { return };
        while let Some(first) = self.ahead.first_entry() {
            let offset = *first.key();
            if offset > self.log.number() + 1 {
                break;
            }
            let publication = first.remove();
            self.ahead_bytes -= weight(&publication);
            if offset == self.log.number() + 1 {
                self.deliver(s, epoch, publication);
            }
        }
    }
}

/// What the first position is to a member that was told none at its join.
fn why_placed(came_of_another: bool) -> GapReason {
    if came_of_another { GapReason::Epoch } else { GapReason::Backplane }
}

/// Who doesn't want this publication back.
pub(super) fn not_to(publication: &Publication) -> Option<&ConnId> {
    publication.conn.as_ref().filter(|_| !publication.echo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{Hand, Stage, epoch, following, live, node, publication, state};
    use ringway_backplane::message::{Answer, LiveBody};

    fn hear(room: &mut Room<Hand>, stage: &mut Stage, from: &str, body: LiveBody) -> Vec<String> {
        room.live(stage, &node(from), body);
        stage.done()
    }

    #[test]
    fn what_the_owner_hasnt_is_a_gap() {
        let (mut room, mut stage) = following(3);
        hear(&mut room, &mut stage, "n2", live(epoch(1), 9));
        stage.reply(&mut room, Ok(state(epoch(1), 6, 9)));
        assert_eq!(stage.done(), ["a: gap backplane 6", "a: msg 7 p7", "a: msg 8 p8", "a: msg 9 p9"]);
        assert_eq!(stage.gaps[0].lost, Some(3));
    }

    #[test]
    fn what_came_early_is_bounded_and_the_rest_asked_for() {
        let (mut room, mut stage) = following(3);
        for offset in 5..5_000 {
            room.live(&mut stage, &node("n2"), live(epoch(1), offset));
        }
        assert_eq!(room.ahead.len(), AHEAD);
        stage.reply(&mut room, Ok(state(epoch(1), 3, 4)));
        let done = stage.done();
        assert_eq!(done.iter().filter(|line| line.starts_with("a: msg")).count(), AHEAD + 1);
        assert_eq!(done.last().map(String::as_str), Some("ask n2: sync"));
    }

    #[test]
    fn a_state_with_a_hole_is_believed_in_its_number_only() {
        let (mut room, mut stage) = following(3);
        hear(&mut room, &mut stage, "n2", live(epoch(1), 9));
        let entries = vec![(4, publication("x").into()), (6, publication("y").into())];
        stage.reply(&mut room, Ok(Answer::State { epoch: epoch(1), offset: 8, base: 3, entries }));
        assert_eq!(stage.done(), ["a: gap backplane 8", "a: msg 9 p9"]);
    }
}
