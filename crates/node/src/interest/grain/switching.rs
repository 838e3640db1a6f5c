//! Pieces of work: from what is subscribed to, to what is to be.

use std::time::Duration;

use super::judging::Evidence;
use super::{Grain, Key, Mode, Opened, Part, State, UnderWay, Work};

impl<R: Ord + Clone, S> Grain<R, S> {
    /// The next piece of work, if there is something to do. More may be to do when one is done.
    pub(in crate::interest) fn next(&mut self, now: Duration) -> Option<Work<R>> {
        self.forgive(now);
        match self.mode {
            Mode::Fine if self.should_be_whole() => self.mode = Mode::Waiting,
            Mode::Waiting if !self.should_be_whole() => self.mode = Mode::Fine,
            _ => {}
        }
        match self.mode {
            Mode::Waiting if self.under_way.is_empty() => return Some(self.become_whole()),
            Mode::Waiting => return None,
            Mode::Whole if self.under_way.is_empty() && self.should_be_fine() => {
                return Some(self.become_fine());
            }
            Mode::Whole => {
                // What is queued has nothing to do as long as this lasts, and is looked at again then.
                while let Some(slot) = self.queue.pop_front() {
                    self.slots.get_mut(&slot).into_iter().for_each(|state| state.queued = false);
                }
                return None;
            }
            Mode::Fine => {}
        }
        while let Some(slot) = self.queue.pop_front() {
            let Some(state) = self.slots.get_mut(&slot) else { continue };
            state.queued = false;
            if let Some(work) = self.of_slot(slot) {
                return Some(work);
            }
        }
        None
    }

    /// All of a piece of work is open: its subscriptions, in order; without one, nothing will ever be heard by it.
    pub(in crate::interest) fn opened(&mut self, id: u64, subscriptions: Vec<Option<S>>) -> Opened<R, S> {
        let mut opened = Opened { retire: None, heard: Vec::new() };
        let Some(work) = self.under_way.get(&id) else { return opened };
        let (open, close) = (work.open.clone(), work.close.clone());
        for (part, subscription) in open.into_iter().zip(subscriptions) {
            self.is_open(&part, subscription, &mut opened.heard);
        }
        if close.is_empty() {
            self.done(id);
            return opened;
        }
        let leave = |part: &Part<R>| {
            let state = match part {
                Part::Whole => self.whole.as_mut(),
                Part::Slot(slot) => self.parts.get_mut(&(*slot, None)),
                Part::Room(slot, room) => self.parts.get_mut(&(*slot, Some(room.clone()))),
            };
            match state {
                Some(State::Leaving(subscription)) => subscription.take(),
                _ => None,
            }
        };
        opened.retire = Some(close.iter().filter_map(leave).collect());
        opened
    }

    /// What a piece of work was in the place of is retired.
    pub(in crate::interest) fn done(&mut self, id: u64) {
        let Some(work) = self.under_way.remove(&id) else { return };
        for part in work.close {
            match part {
                Part::Whole => self.whole = None,
                Part::Slot(slot) => drop(self.take_part(&(slot, None))),
                Part::Room(slot, room) => drop(self.take_part(&(slot, Some(room)))),
            }
        }
        for slot in work.slots {
            if let Some(state) = self.slots.get_mut(&slot) {
                state.changing = false;
                self.enqueue(slot);
            }
            self.end_what_is_needless(slot);
        }
        self.end_whole_if_needless();
    }

    /// What is to be done in a slot.
    fn of_slot(&mut self, slot: u16) -> Option<Work<R>> {
        let state = self.slots.get_mut(&slot)?;
        if state.rooms == 0 {
            self.end_what_is_needless(slot);
            return None;
        }
        if state.changing || state.wants == state.as_slot {
            let as_slot = state.as_slot;
            let open = self.missing(slot, as_slot);
            return (!open.is_empty()).then(|| self.start(open, Vec::new(), Vec::new()));
        }
        if state.opening > 0 {
            // It is looked at again when those are open.
            return None;
        }
        state.as_slot = state.wants;
        state.evidence = Evidence::default();
        let as_slot = state.as_slot;
        let open = self.missing(slot, as_slot);
        let close: Vec<Part<R>> = self
            .of(slot)
            .filter(|(_, state)| matches!(state, State::Open(_)))
            .map(|((slot, room), _)| room.clone().map_or(Part::Slot(*slot), |room| Part::Room(*slot, room)))
            .filter(|part| !open.contains(part))
            .collect();
        if close.is_empty() {
            return (!open.is_empty()).then(|| self.start(open, Vec::new(), Vec::new()));
        }
        Some(self.start(open, close, vec![slot]))
    }

    /// What must be opened so that a slot's rooms are heard by the slot, or each by itself.
    fn missing(&self, slot: u16, as_slot: bool) -> Vec<Part<R>> {
        if as_slot {
            let there = self.parts.contains_key(&(slot, None));
            return if there { Vec::new() } else { vec![Part::Slot(slot)] };
        }
        let rooms = self.rooms.range((slot, None)..(slot + 1, None));
        let missing = rooms.filter(|(key, _)| !self.parts.contains_key(*key));
        missing.filter_map(|((slot, room), _)| room.clone().map(|room| Part::Room(*slot, room))).collect()
    }

    fn start(&mut self, open: Vec<Part<R>>, close: Vec<Part<R>>, slots: Vec<u16>) -> Work<R> {
        for part in &open {
            let (slot, key) = match part {
                Part::Whole => {
                    self.whole = Some(State::Opening);
                    continue;
                }
                Part::Slot(slot) => (slot, (*slot, None)),
                Part::Room(slot, room) => (slot, (*slot, Some(room.clone()))),
            };
            let slot = *slot;
            self.put_part(key, State::Opening);
            self.slots.entry(slot).or_default().opening += 1;
        }
        for part in &close {
            let state = match part {
                Part::Whole => self.whole.as_mut(),
                Part::Slot(slot) => self.parts.get_mut(&(*slot, None)),
                Part::Room(slot, room) => self.parts.get_mut(&(*slot, Some(room.clone()))),
            };
            if let Some(state) = state
                && let State::Open(subscription) = std::mem::replace(state, State::Leaving(None))
            {
                *state = State::Leaving(Some(subscription));
            }
        }
        for slot in &slots {
            if let Some(state) = self.slots.get_mut(slot) {
                state.changing = true;
            }
        }
        self.next_id += 1;
        let (id, in_place) = (self.next_id, !close.is_empty());
        self.under_way.insert(id, UnderWay { open: open.clone(), close, slots });
        Work { id, open, in_place }
    }

    fn become_whole(&mut self) -> Work<R> {
        self.mode = Mode::Whole;
        self.evidence = Evidence::default();
        let part = |(slot, room): &Key<R>| match room {
            None => Part::Slot(*slot),
            Some(room) => Part::Room(*slot, room.clone()),
        };
        // Nothing is under way: all that is there is open.
        let close: Vec<Part<R>> = self.parts.keys().map(part).collect();
        let slots = self.slots.keys().copied().collect();
        self.start(vec![Part::Whole], close, slots)
    }

    fn become_fine(&mut self) -> Work<R> {
        self.mode = Mode::Fine;
        let slots: Vec<u16> =
            self.slots.iter().filter(|(_, state)| state.rooms > 0).map(|(slot, _)| *slot).collect();
        let mut open = Vec::new();
        for slot in &slots {
            if let Some(state) = self.slots.get_mut(slot) {
                state.as_slot = state.wants;
                state.evidence = Evidence::default();
                let as_slot = state.as_slot;
                open.append(&mut self.missing(*slot, as_slot));
            }
        }
        self.start(open, vec![Part::Whole], slots)
    }

    /// A part is open, and heard by the rooms that it covers, or nobody needs it any more.
    fn is_open(&mut self, part: &Part<R>, subscription: Option<S>, heard: &mut Vec<(u16, R)>) {
        let key = match part {
            Part::Whole => {
                if self.rooms.is_empty() {
                    self.ended.extend(subscription);
                    self.whole = None;
                } else if let Some(subscription) = subscription {
                    self.whole = Some(State::Open(subscription));
                    all_heard(self.rooms.iter_mut(), heard);
                }
                return;
            }
            Part::Slot(slot) => (*slot, None),
            Part::Room(slot, room) => (*slot, Some(room.clone())),
        };
        let slot = key.0;
        let mut needed = false;
        if let Some(state) = self.slots.get_mut(&slot) {
            state.opening -= 1;
            needed = state.rooms > 0;
            self.enqueue(slot);
        }
        if key.1.is_some() {
            needed = self.rooms.contains_key(&key);
        }
        match subscription {
            Some(subscription) if needed => {
                self.put_part(key.clone(), State::Open(subscription));
                match key.1 {
                    None => all_heard(self.rooms.range_mut((slot, None)..(slot + 1, None)), heard),
                    Some(_) => all_heard(self.rooms.range_mut(key.clone()..=key), heard),
                }
            }
            Some(subscription) => {
                self.ended.push(subscription);
                self.take_part(&key);
            }
            // The backplane was closed. It stays as being opened: nothing will be heard, and nothing tried again.
            None => {}
        }
    }
}

/// These rooms are heard; those that weren't are told.
fn all_heard<'a, R: Clone + 'a>(
    rooms: impl Iterator<Item = (&'a Key<R>, &'a mut bool)>,
    told: &mut Vec<(u16, R)>,
) {
    for ((slot, room), heard) in rooms {
        if !std::mem::replace(heard, true)
            && let Some(room) = room
        {
            told.push((*slot, room.clone()));
        }
    }
}
