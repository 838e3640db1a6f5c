//! Beginning to follow a room, and another epoch of its store.

use ringway_backplane::message::Epoch;

use super::Durable;
use super::chain::{Chain, Spot};
use super::limits::{READ_AGAIN, READ_AGAIN_MOST, UNATTENDED};
use super::members::At;
use super::mend::What;
use super::surroundings::{Gap, GapReason, Surroundings, Timer};
use super::window::Window;
use crate::reader::Found;
use crate::room::Handles;

impl<H: Handles> Durable<H> {
    /// Nothing is known of the room, and nobody waits for it to be.
    pub(crate) fn is_apart(&self) -> bool {
        self.chain.is_none() && self.members.is_empty()
    }

    /// Nobody needs what is known of it.
    pub(super) fn part(&mut self) {
        self.chain = None;
        self.window = Window::new(Spot::bare(0, None));
        self.drop_ahead();
        (self.mend, self.replay) = (None, None);
        (self.look, self.wanted, self.wanted_real) = (false, 0, false);
        self.lacking = Vec::new();
        self.epoch = None;
        self.unattended = None;
    }

    /// Soon after the last member has gone nobody listens any more.
    pub(super) fn part_if_unattended(&mut self, s: &impl Surroundings<H>) {
        if self.unattended.is_some_and(|since| s.now() >= since + UNATTENDED) {
            self.part();
        }
    }

    /// From here on the room is followed. Those who are here already have come from another epoch.
    pub(super) fn follow(&mut self, s: &mut impl Surroundings<H>, head: Spot) {
        let Some(epoch) = self.epoch else { return };
        self.chain = Some(Chain::new(head, self.by_key, s.now()));
        self.window = Window::new(head);
        self.mend = None;
        let gap = Gap { reason: GapReason::Epoch, epoch, offset: head.offset, ts: head.ts };
        self.members.each(|conn, _| {
            s.gap(conn, gap);
            At::Level
        });
    }

    /// Whether an answer is of the epoch that the room is in; that of a store which was unknown so far it takes.
    pub(super) fn is_of_this_epoch(&mut self, s: &mut impl Surroundings<H>, found: &Found) -> bool {
        let epoch = match found {
            Found::Newest { epoch, .. } | Found::Page { epoch, .. } | Found::NotResumed { epoch, .. } => {
                *epoch
            }
            Found::Same | Found::Gone | Found::Other => return true,
        };
        let before = self.epoch;
        if before.is_none() {
            self.epoch = Some(epoch);
            return true;
        }
        if before == Some(epoch) {
            return true;
        }
        self.meet(s);
        if self.epoch == before {
            // The answer was sooner than the word of it, or is older.
            self.read_failed(s);
        }
        false
    }

    /// Something of another epoch came: is it known by now?
    pub(super) fn meet(&mut self, s: &mut impl Surroundings<H>) {
        if let Some(epoch) = s.epoch() {
            self.turn(s, epoch);
        }
    }

    /// This is the store's epoch now.
    pub(super) fn turn(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch) {
        if self.epoch == Some(epoch) || (self.epoch.is_none() && self.chain.is_none()) {
            return;
        }
        if self.members.is_empty() {
            return self.part();
        }
        self.part();
        self.epoch = Some(epoch);
        // What came meanwhile may have been taken for the former's.
        self.look = true;
        if self.members.here(None).next().is_some() {
            self.start(s, What::Turn);
        }
        self.joins_anew(s);
    }

    pub(super) fn read_failed(&mut self, s: &mut impl Surroundings<H>) {
        let after = self.again_wait;
        self.again_wait = (after * 2).min(READ_AGAIN_MOST);
        self.again_after(s, after);
    }

    pub(super) fn read_went_well(&mut self) {
        self.again_wait = READ_AGAIN;
    }

    /// Has what couldn't be read read again after that long, and looks whether a join has waited too long.
    pub(super) fn again_after(&mut self, s: &mut impl Surroundings<H>, after: std::time::Duration) {
        let due = s.now() + after;
        if self.again.is_none_or(|at| due < at) {
            self.again = Some(due);
            s.wake(after, Timer::ReadAgain);
        }
    }

    pub(super) fn again_due(&mut self, s: &mut impl Surroundings<H>) {
        if self.again.take_if(|at| *at <= s.now()).is_none() {
            return;
        }
        self.give_up_joins(s);
        self.read_again(s);
    }

    /// Asks again for what couldn't be read.
    pub(super) fn read_again(&mut self, s: &mut impl Surroundings<H>) {
        if self.mend.as_ref().is_some_and(|mend| mend.id.is_none()) {
            self.ask_mend(s);
        }
        if self.replay.as_ref().is_some_and(|replay| replay.id.is_none()) {
            self.ask_replay(s);
        }
        self.ask_joins(s);
    }
}
