//! Whether a slot is worth a subscription of its own, and everything one: by how many want it, and by what came of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Grain, Mode};
use crate::interest::owned::Owned;

/// So many rooms in a slot of another node's, and the slot is cheaper than they are one by one.
pub(in crate::interest) const MANY: usize = 8;

/// Fewer than so many, and they are cheaper again.
pub(in crate::interest) const FEW: usize = 4;

/// Of a slot of another node's so much must have come before it is judged whether it was wanted.
pub(in crate::interest) const EVIDENCE: u32 = 64;

/// And so much where everything is heard: that costs more to change.
pub(in crate::interest) const EVIDENCE_OF_ALL: u32 = 1_024;

/// How long what turned out unwanted isn't tried again.
pub(in crate::interest) const NOT_AGAIN: Duration = Duration::from_secs(600);

/// What judges what came by subscriptions that take more than was asked for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Evidence {
    received: u32,
    unwanted: u32,
}

impl Evidence {
    /// Adds to it. Once there is enough, it says whether most was unwanted, and begins anew.
    fn add(&mut self, received: u32, unwanted: u32, enough: u32) -> bool {
        self.received = self.received.saturating_add(received);
        self.unwanted = self.unwanted.saturating_add(unwanted);
        if self.received <= enough {
            return false;
        }
        let Evidence { received, unwanted } = std::mem::take(self);
        u64::from(unwanted) * 2 > u64::from(received)
    }
}

impl<R: Ord + Clone, S> Grain<R, S> {
    /// Other slots are owned here.
    pub(in crate::interest) fn placed(&mut self, owned: &Arc<Owned>) {
        self.owned = Arc::clone(owned);
        let slots: Vec<u16> = self.slots.keys().copied().collect();
        for slot in slots {
            self.judge(slot);
        }
    }

    /// So many publications came of a slot, so many of them for no member here.
    pub(in crate::interest) fn came(&mut self, slot: u16, received: u32, unwanted: u32, now: Duration) {
        if self.owned.has(slot) {
            return;
        }
        if self.mode == Mode::Whole {
            if !self.owned.all() && self.evidence.add(received, unwanted, EVIDENCE_OF_ALL) {
                self.banned = Some(now + NOT_AGAIN);
            }
            return;
        }
        let Some(state) = self.slots.get_mut(&slot).filter(|state| state.as_slot && !state.changing) else {
            return;
        };
        if state.evidence.add(received, unwanted, EVIDENCE) && !state.banned {
            state.banned = true;
            self.bans.push_back((now + NOT_AGAIN, slot));
            self.judge(slot);
        }
    }

    pub(super) fn should_be_whole(&self) -> bool {
        !self.rooms.is_empty()
            && (self.owned.all() || (self.wanted_slots > self.bounds.most_slots && self.banned.is_none()))
    }

    pub(super) fn should_be_fine(&self) -> bool {
        !self.rooms.is_empty()
            && !self.owned.all()
            && (self.wanted_slots < self.bounds.few_slots || self.banned.is_some())
    }

    /// Bans that are over.
    pub(super) fn forgive(&mut self, now: Duration) {
        if self.banned.is_some_and(|until| until <= now) {
            self.banned = None;
        }
        while let Some((until, slot)) = self.bans.front().copied()
            && until <= now
        {
            self.bans.pop_front();
            if let Some(state) = self.slots.get_mut(&slot) {
                state.banned = false;
            }
            self.judge(slot);
            self.end_what_is_needless(slot);
        }
    }

    /// Looks whether a slot should be heard as such.
    pub(super) fn judge(&mut self, slot: u16) {
        let owned = self.owned.has(slot);
        let Some(state) = self.slots.get_mut(&slot) else { return };
        let many = if state.wants { FEW } else { MANY };
        let wants = if owned { state.rooms > 0 } else { !state.banned && state.rooms >= many };
        if wants != state.wants {
            state.wants = wants;
            self.wanted_slots = if wants { self.wanted_slots + 1 } else { self.wanted_slots - 1 };
        }
        let other = wants && !owned;
        if other != std::mem::replace(&mut state.other, other) {
            self.others = if other { self.others + 1 } else { self.others - 1 };
        }
        if wants != state.as_slot {
            self.enqueue(slot);
        }
    }
}
