//! What is subscribed to of one domain, so that each wanted room is heard: room by room, by whole slots, or everything.
//!
//! A domain is a group, or a tenant of a group that isn't the pool's own. The machine has no clock and does nothing
//! itself: rooms come and go by [`want`](Grain::want) and [`unwant`](Grain::unwant), [`next`](Grain::next) tells what is
//! to be done, and who does it says so by [`opened`](Grain::opened) and [`done`](Grain::done).
//!
//! | a room in a slot | is heard by |
//! |---|---|
//! | that this node owns | the slot |
//! | of others, where it is one of few here | itself |
//! | of others, with [`MANY`](judging::MANY) or more here | the slot, until they are fewer than [`FEW`](judging::FEW), or most of what came was unwanted |
//! | any, once more than half of all slots are wanted, or all are owned | everything, until a third is, or most of what came was unwanted |
//!
//! A change of grain is one *piece of work*: what is new is opened, and heard by no room yet; then what was there is
//! retired; then the new begins. So a room that is heard has at every moment something that covers it, and what overlaps
//! does so no longer than that. What is about to be retired counts for nothing where another room comes: that has what is
//! new, or a part of its own.
//!
//! `judging` says what is worth which grain, `switching` makes the pieces of work, `ending` drops what nobody needs.

mod ending;
mod judging;
mod switching;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringway_ring::SLOTS;

use self::judging::Evidence;
#[cfg(test)]
pub(super) use self::judging::{EVIDENCE, EVIDENCE_OF_ALL, FEW, MANY, NOT_AGAIN};
use super::owned::Owned;

/// When everything is cheaper than slots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// It is where more slots than this are wanted.
    pub(super) most_slots: usize,
    /// It is no more where fewer are.
    pub(super) few_slots: usize,
}

pub(super) const BOUNDS: Bounds = Bounds { most_slots: SLOTS as usize / 2, few_slots: SLOTS as usize / 3 };

/// Something that can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<R> {
    /// Everything of the domain.
    Whole,
    /// What is in a slot.
    Slot(u16),
    /// A room.
    Room(u16, R),
}

/// A piece of work: to open all of it, then to say [`opened`](Grain::opened).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Work<R> {
    pub(super) id: u64,
    pub(super) open: Vec<Part<R>>,
    /// It takes the place of others: what comes by it is held back until those are retired.
    pub(super) in_place: bool,
}

/// What follows when a piece of work was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened<R, S> {
    /// To be retired. None: the work is done, otherwise it is when they are and [`done`](Grain::done) is called.
    pub(super) retire: Option<Vec<S>>,
    /// Rooms that are heard from now on.
    pub(super) heard: Vec<(u16, R)>,
}

/// A slot's place in a table is `(slot, None)`, before all its rooms'.
type Key<R> = (u16, Option<R>);

#[derive(Debug)]
enum State<S> {
    Opening,
    Open(S),
    /// Retired, or about to be: it still delivers, and covers no room that comes.
    Leaving(Option<S>),
}

#[derive(Debug, Default)]
struct SlotState {
    rooms: usize,
    /// It is to be heard as a slot.
    wants: bool,
    /// And another node owns it.
    other: bool,
    /// It is, or will be when what is under way is done.
    as_slot: bool,
    /// Its grain is being changed.
    changing: bool,
    /// Parts of it that are being opened.
    opening: usize,
    /// It stands in the queue.
    queued: bool,
    /// It was mostly unwanted, not long ago.
    banned: bool,
    evidence: Evidence,
}

/// What becomes of everything in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Slots and rooms.
    Fine,
    /// Everything is to be opened once nothing else is under way.
    Waiting,
    /// Everything is being opened, or is open.
    Whole,
}

#[derive(Debug)]
struct UnderWay<R> {
    open: Vec<Part<R>>,
    close: Vec<Part<R>>,
    /// The slots whose grain changes.
    slots: Vec<u16>,
}

/// See the module. `R` names a room, `S` is a subscription.
#[derive(Debug)]
pub(super) struct Grain<R, S> {
    bounds: Bounds,
    owned: Arc<Owned>,
    /// Wanted rooms, and whether each is heard.
    rooms: BTreeMap<Key<R>, bool>,
    slots: HashMap<u16, SlotState>,
    /// What is subscribed to, but for everything.
    parts: BTreeMap<Key<R>, State<S>>,
    whole: Option<State<S>>,
    mode: Mode,
    /// How many slots are to be heard as such.
    wanted_slots: usize,
    /// How many of them others own.
    others: usize,
    /// How many parts are slots.
    slot_parts: usize,
    under_way: HashMap<u64, UnderWay<R>>,
    next_id: u64,
    /// Slots where something may be to do.
    queue: VecDeque<u16>,
    /// Slots that aren't tried as such, and until when.
    bans: VecDeque<(Duration, u16)>,
    banned: Option<Duration>,
    evidence: Evidence,
    /// Subscriptions that nobody needs.
    ended: Vec<S>,
}

impl<R: Ord + Clone, S> Grain<R, S> {
    pub(super) fn new(bounds: Bounds, owned: Arc<Owned>) -> Self {
        Self {
            bounds,
            owned,
            rooms: BTreeMap::new(),
            slots: HashMap::new(),
            parts: BTreeMap::new(),
            whole: None,
            mode: Mode::Fine,
            wanted_slots: 0,
            others: 0,
            slot_parts: 0,
            under_way: HashMap::new(),
            next_id: 0,
            queue: VecDeque::new(),
            bans: VecDeque::new(),
            banned: None,
            evidence: Evidence::default(),
            ended: Vec::new(),
        }
    }

    /// A room is to be heard. Whether it is already; else [`opened`](Self::opened) will tell.
    pub(super) fn want(&mut self, slot: u16, room: R) -> bool {
        let key = (slot, Some(room));
        if let Some(heard) = self.rooms.get(&key) {
            return *heard;
        }
        let open = |state: Option<&State<S>>| matches!(state, Some(State::Open(_)));
        let heard =
            open(self.whole.as_ref()) || open(self.parts.get(&(slot, None))) || open(self.parts.get(&key));
        self.rooms.insert(key, heard);
        self.slots.entry(slot).or_default().rooms += 1;
        self.judge(slot);
        if !heard {
            self.enqueue(slot);
        }
        heard
    }

    /// A room needn't be heard any more.
    pub(super) fn unwant(&mut self, slot: u16, room: R) {
        let key = (slot, Some(room));
        if self.rooms.remove(&key).is_none() {
            return;
        }
        if let Some(state) = self.slots.get_mut(&slot) {
            state.rooms -= 1;
        }
        self.end_if_open(&key);
        self.judge(slot);
        self.end_what_is_needless(slot);
    }

    /// Whether a room is wanted, and heard.
    pub(super) fn is_heard(&self, slot: u16, room: R) -> bool {
        self.rooms.get(&(slot, Some(room))).copied().unwrap_or(false)
    }

    /// Nothing is wanted, subscribed to or under way.
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.parts.is_empty() && self.whole.is_none() && self.under_way.is_empty()
    }

    /// Whether more may come than was asked for, of slots that others own.
    pub(super) fn takes_others(&self) -> bool {
        !self.owned.all() && (self.whole.is_some() || self.others > 0)
    }

    /// How many subscriptions there are: to rooms, to slots, to everything.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.parts.len() - self.slot_parts, self.slot_parts, usize::from(self.whole.is_some())]
    }

    fn of(&self, slot: u16) -> impl Iterator<Item = (&Key<R>, &State<S>)> {
        self.parts.range((slot, None)..(slot + 1, None))
    }

    fn put_part(&mut self, key: Key<R>, state: State<S>) {
        let is_slot = key.1.is_none();
        if self.parts.insert(key, state).is_none() {
            self.slot_parts += usize::from(is_slot);
        }
    }

    fn take_part(&mut self, key: &Key<R>) -> Option<State<S>> {
        let taken = self.parts.remove(key)?;
        self.slot_parts -= usize::from(key.1.is_none());
        Some(taken)
    }

    fn enqueue(&mut self, slot: u16) {
        if let Some(state) = self.slots.get_mut(&slot)
            && !std::mem::replace(&mut state.queued, true)
        {
            self.queue.push_back(slot);
        }
    }
}
