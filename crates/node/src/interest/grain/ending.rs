//! What nobody needs any more ends.

use super::{Grain, Key, Mode, State};

impl<R: Ord + Clone, S> Grain<R, S> {
    /// Subscriptions that nobody needs any more, to be dropped.
    pub(in crate::interest) fn take_ended(&mut self) -> Vec<S> {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn end_if_open(&mut self, key: &Key<R>) {
        if matches!(self.parts.get(key), Some(State::Open(_)))
            && let Some(State::Open(subscription)) = self.take_part(key)
        {
            self.ended.push(subscription);
        }
    }

    /// Ends what no room of a slot needs, and forgets the slot where nothing is left of it.
    pub(super) fn end_what_is_needless(&mut self, slot: u16) {
        let Some(state) = self.slots.get(&slot) else { return };
        if state.rooms == 0 && !state.changing {
            let (opening, banned) = (state.opening > 0, state.banned);
            self.end_if_open(&(slot, None));
            if !opening && !banned {
                self.slots.remove(&slot);
            } else if let Some(state) = self.slots.get_mut(&slot)
                && !opening
            {
                state.as_slot = false;
            }
        }
        self.end_whole_if_needless();
    }

    pub(super) fn end_whole_if_needless(&mut self) {
        if self.rooms.is_empty() && self.mode != Mode::Fine && self.under_way.is_empty() {
            self.mode = Mode::Fine;
            if let Some(State::Open(subscription)) = self.whole.take() {
                self.ended.push(subscription);
            }
        }
    }
}
