//! A shard's rooms: the pure machine of each, what it weighs, and whether its live subject is listened to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ringway_config::Class;
use ringway_edge::Policy;
use ringway_protocol::frame::Position;
use ringway_ring::{KeyHash, Slot};

use super::around::Around;
use super::command::RoomKey;
use super::core::Core;
use super::feed::{self, RoomFeed};
use super::machine::{KeptIn, Machine};
use super::quotas::Quotas;
use super::relayed::Relayed;
use super::signals::Lately;
use super::survey::Pace;
use crate::conn::ConnRef;
use crate::memory::Kept;
use crate::placement::AtHome;
use crate::room::Replay;
use crate::tenant::TenantHere;

/// What a room weighs beside what it keeps, in bytes: itself, its names, its places in the tables and in what is listened
/// to, rounded up. What a client of NATS has for a subscription comes on top, and isn't counted.
pub(crate) const ROOM_WEIGHT: usize = 1_300;

/// Rooms of a node that are remembered though they have no members and keep no publications: of each their number is all
/// there is, and whoever joins and leaves makes more of them. Beyond, the longest empty ones are forgotten early.
/// Where each has a subscription of its own, in slots of other nodes, it takes some 5 KB more over NATS.
pub(crate) const EMPTY_ROOMS: usize = 32_768;

/// So many places in an order of rooms may always be out of date.
const OUT_OF_DATE: usize = 64;

/// A room on this node.
pub(crate) struct Hosted {
    pub(crate) slot: Slot,
    /// What it is placed by.
    pub(crate) home: KeyHash,
    at_home: AtHome,
    /// How busy it is.
    pub(super) pace: Pace,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) class: Arc<Class>,
    /// What may become of its publications where a member is behind.
    policy: Option<Policy>,
    /// Whose publications those of the present epoch are; made when one may have to be left out.
    feed: Option<Arc<RoomFeed>>,
    /// How many members have sockets here, those among them whose join isn't answered.
    pub(super) sockets: u32,
    /// Those behind links, where there are any.
    pub(super) relayed: Option<Box<Relayed>>,
    pub(crate) machine: Machine,
    /// Where its publications are kept, if it is durable.
    pub(super) kept_in: Option<KeptIn>,
    /// The signals that came lately, where any did.
    pub(super) signals: Option<Box<Lately>>,
    pub(crate) listening: Listening,
    /// What waits until the room's live subject is listened to: a join that were answered before could miss what is
    /// published in between.
    pub(crate) waiting: Vec<Waiting>,
    /// Where its class limits it.
    pub(crate) quotas: Option<Box<Quotas>>,
    /// It is among those to be looked at.
    watched: bool,
    /// Bytes that it was found to keep.
    kept: usize,
    /// It is empty, and became so as the room of this number in the shard's life.
    emptied: Option<u64>,
}

/// A join that waits.
pub(crate) struct Waiting {
    pub(crate) conn: ConnRef,
    pub(crate) since: Option<Position>,
    pub(crate) last: Option<u32>,
}

/// Whether a room's live subject is listened to: [`Interests`](crate::interest::Interests) sees to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Listening {
    No,
    /// Asked for, not there yet.
    Soon,
    Yes,
}

impl Listening {
    pub(crate) fn is_yes(self) -> bool {
        matches!(self, Listening::Yes)
    }
}

/// What has changed of a room, for [`Rooms::note`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Change {
    was: usize,
    is: usize,
    /// It became empty, or is so no more.
    emptied: Option<bool>,
}

impl Hosted {
    pub(crate) fn new(
        home: KeyHash,
        tenant: Arc<TenantHere>,
        class: Arc<Class>,
        kept_in: Option<KeptIn>,
    ) -> Self {
        Hosted {
            slot: home.slot(),
            home,
            at_home: AtHome::default(),
            pace: Pace::default(),
            tenant,
            policy: feed::policy(class.slow_consumer),
            quotas: Quotas::of(&class),
            machine: Machine::new(&class, kept_in.as_ref()),
            kept_in,
            class,
            feed: None,
            sockets: 0,
            relayed: None,
            signals: None,
            listening: Listening::No,
            waiting: Vec::new(),
            watched: false,
            kept: 0,
            emptied: None,
        }
    }

    /// It is of this class from now on. [`Rooms::note`] is to hear what [`change`](Self::change) says after it.
    pub(crate) fn set_class(&mut self, class: Arc<Class>) {
        let policy = feed::policy(class.slow_consumer);
        if policy != self.policy {
            // What was sent may be left out, or not, as it was when it was sent.
            self.feed = None;
        }
        if policy == Some(Policy::Conflate) && self.policy != policy {
            self.machine.connections().for_each(|conn| conn.way.keep_fresh());
        }
        self.policy = policy;
        // Over how many nodes it is spread, its class says.
        self.at_home = AtHome::default();
        self.quotas = Quotas::change(self.quotas.take(), &class);
        if let Machine::Ephemeral(room) = &mut self.machine {
            room.set_replay(replay(&class), crate::clock::wall_ms());
        }
        self.class = class;
    }

    /// Its publications are kept elsewhere from now on, or not any more: another room takes its place, and what was there
    /// comes back.
    pub(super) fn begin_anew(&mut self, kept_in: Option<KeptIn>) -> Machine {
        self.kept_in = kept_in;
        self.feed = None;
        std::mem::replace(&mut self.machine, Machine::new(&self.class, self.kept_in.as_ref()))
    }

    /// The room, and what is around it for the length of a call. [`Rooms::note`] is to hear what
    /// [`change`](Self::change) says after it.
    pub(crate) fn with<'a>(
        &'a mut self,
        core: &'a mut Core,
        key: &'a RoomKey,
    ) -> (&'a mut Machine, Around<'a>) {
        let Hosted {
            slot,
            home,
            at_home,
            tenant,
            class,
            kept_in,
            policy,
            feed,
            sockets,
            relayed,
            machine,
            ..
        } = self;
        let (slot, home, policy) = (*slot, *home, *policy);
        let kept_in = kept_in.as_ref();
        let around =
            Around { core, key, slot, home, at_home, tenant, class, kept_in, policy, feed, sockets, relayed };
        (machine, around)
    }

    /// What the last call has changed.
    pub(crate) fn change(&mut self) -> Change {
        let is = self.machine.kept_bytes();
        let was = std::mem::replace(&mut self.kept, is);
        let empty = self.machine.is_empty();
        Change { was, is, emptied: (empty != self.emptied.is_some()).then_some(empty) }
    }

    /// Bytes of publications that it was last found to keep.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether what it sends may be left out for a member that is behind.
    pub(crate) fn leaves_out(&self) -> bool {
        self.policy.is_some()
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// It is listened to, though it has had no members for a while: others may still publish to it here.
    pub(super) fn is_needlessly_heard(&self) -> bool {
        let needless = matches!(&self.machine, Machine::Durable(room) if room.is_apart());
        needless && self.waiting.is_empty() && self.listening.is_yes()
    }

    /// Nobody waits for anything of it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_awaited_by_nobody() && self.machine.is_at_rest()
    }

    /// Whether no join waits for it. Who is behind waits beside it, and is counted already.
    pub(super) fn is_awaited_by_nobody(&self) -> bool {
        self.waiting.is_empty() && self.sockets == 0 && !matches!(self.listening, Listening::Soon)
    }
}

/// What a room of this class remembers.
pub(crate) fn replay(class: &Class) -> Replay {
    let ringway_config::Replay { messages, age, by_key } = class.replay();
    Replay { messages: messages as usize, age, by_key }
}

/// A shard's rooms, which of them are to be looked at, and what they weigh together.
#[derive(Default)]
pub(crate) struct Rooms {
    // Boxed: a table has up to twice as many places as rooms.
    by_key: HashMap<RoomKey, Box<Hosted>>,
    /// Rooms that may have become needless, or keep publications that grow too old; each once, longest not looked at
    /// first. All others have members, and nothing that a look would change.
    watched: VecDeque<RoomKey>,
    /// Rooms by when they became empty; with an older number than the room's own, it isn't so any more.
    emptied: VecDeque<(RoomKey, u64)>,
    /// How many are empty: without members, and without publications that they keep, or that are on their way to a store.
    empty: usize,
    /// And how many may be.
    most_empty: usize,
    /// How often a room has become empty.
    turns: u64,
    kept: Arc<Kept>,
}

impl Rooms {
    /// `kept` is told what they weigh; `most_empty`: how many empty ones are remembered.
    pub(crate) fn new(kept: Arc<Kept>, most_empty: usize) -> Self {
        Self { kept, most_empty, ..Self::default() }
    }

    pub(crate) fn get_mut(&mut self, key: &RoomKey) -> Option<&mut Hosted> {
        self.by_key.get_mut(key).map(|hosted| &mut **hosted)
    }

    pub(crate) fn get(&self, key: &RoomKey) -> Option<&Hosted> {
        self.by_key.get(key).map(|hosted| &**hosted)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&RoomKey, &mut Hosted)> {
        self.by_key.iter_mut().map(|(key, hosted)| (key, &mut **hosted))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RoomKey, &Hosted)> {
        self.by_key.iter().map(|(key, hosted)| (key, &**hosted))
    }

    /// A room that wasn't here. It is looked at, since nobody may come into it.
    pub(crate) fn insert(&mut self, key: RoomKey, hosted: Hosted) {
        let mut hosted = Box::new(Hosted { watched: true, ..hosted });
        let change = hosted.change();
        self.kept.grow(ROOM_WEIGHT);
        self.by_key.insert(key.clone(), hosted);
        self.note(&key, change);
        self.watched.push_back(key);
    }

    /// To be called with what has changed of a room, after each call of it.
    pub(crate) fn note(&mut self, key: &RoomKey, change: Change) {
        let Change { was, is, emptied } = change;
        if is >= was {
            self.kept.grow(is - was);
        } else {
            self.kept.shrink(was - is);
        }
        let Some(emptied) = emptied else { return };
        let Some(hosted) = self.by_key.get_mut(key) else { return };
        if emptied {
            self.turns += 1;
            self.empty += 1;
            hosted.emptied = Some(self.turns);
            self.emptied.push_back((key.clone(), self.turns));
        } else {
            self.empty -= 1;
            hosted.emptied = None;
        }
        self.tidy();
    }

    /// Rooms that are empty beyond those that are remembered.
    pub(crate) fn too_many_empty(&self) -> usize {
        self.empty.saturating_sub(self.most_empty)
    }

    pub(crate) fn empty(&self) -> usize {
        self.empty
    }

    /// The room that has been empty for longest. Whoever doesn't remove it says so by
    /// [`still_empty`](Self::still_empty).
    pub(crate) fn take_longest_empty(&mut self) -> Option<RoomKey> {
        while let Some((key, turn)) = self.emptied.pop_front() {
            if self.by_key.get(&key).is_some_and(|hosted| hosted.emptied == Some(turn)) {
                return Some(key);
            }
        }
        None
    }

    /// An empty room stays, as if it had just become so.
    pub(crate) fn still_empty(&mut self, key: RoomKey) {
        if let Some(hosted) = self.by_key.get_mut(&key) {
            self.turns += 1;
            hosted.emptied = Some(self.turns);
            self.emptied.push_back((key, self.turns));
        }
    }

    pub(crate) fn keys(&self) -> Vec<RoomKey> {
        self.by_key.keys().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The room may have become needless: it is looked at in one of the next sweeps.
    pub(crate) fn quiet(&mut self, key: &RoomKey) {
        if let Some(hosted) = self.by_key.get_mut(key)
            && !std::mem::replace(&mut hosted.watched, true)
        {
            self.watched.push_back(key.clone());
        }
    }

    pub(crate) fn remove(&mut self, key: &RoomKey) {
        let Some(hosted) = self.by_key.remove(key) else { return };
        self.kept.shrink(ROOM_WEIGHT + hosted.kept);
        self.empty -= usize::from(hosted.emptied.is_some());
        if self.by_key.is_empty() {
            self.by_key = HashMap::new();
        }
        self.tidy();
    }

    /// The next rooms to be looked at: one of `parts`, rounded up. Whoever looks says [`quiet`](Self::quiet) again of
    /// those that are to stay among them.
    pub(crate) fn take_watched(&mut self, parts: usize) -> Vec<RoomKey> {
        let part = self.watched.len().div_ceil(parts);
        let keys: Vec<RoomKey> = self.watched.drain(..part).collect();
        for key in &keys {
            if let Some(hosted) = self.by_key.get_mut(key) {
                hosted.watched = false;
            }
        }
        if self.watched.is_empty() {
            self.watched = VecDeque::new();
        }
        keys
    }

    /// Keeps what is out of date in the two orders below what isn't.
    fn tidy(&mut self) {
        let by_key = &self.by_key;
        if self.emptied.len() > 2 * self.empty + OUT_OF_DATE {
            self.emptied
                .retain(|(key, turn)| by_key.get(key).is_some_and(|hosted| hosted.emptied == Some(*turn)));
            self.emptied.shrink_to(2 * self.emptied.len());
        }
        if self.watched.len() > 2 * by_key.len() + OUT_OF_DATE {
            let mut seen = HashSet::new();
            let is_due = |key: &RoomKey| by_key.get(key).is_some_and(|hosted| hosted.watched);
            self.watched.retain(|key| is_due(key) && seen.insert(key.clone()));
            self.watched.shrink_to(2 * self.watched.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> RoomKey {
        RoomKey { tenant: "acme".parse().unwrap(), room: format!("r{number}").parse().unwrap() }
    }

    fn hosted() -> Hosted {
        let class = Arc::new(Class::everything());
        let home = KeyHash::of_room(&key(0).tenant, &key(0).room);
        Hosted::new(home, TenantHere::for_test("acme"), class, None)
    }

    #[test]
    fn names_that_come_and_go_leave_nothing_behind() {
        let mut rooms = Rooms::default();
        for number in 0..10_000 {
            rooms.insert(key(number % 500), hosted());
            rooms.remove(&key(number % 500));
            assert!(rooms.emptied.len() <= OUT_OF_DATE + 2 && rooms.watched.len() <= OUT_OF_DATE + 2);
        }
        assert_eq!((rooms.len(), rooms.empty(), rooms.kept.bytes()), (0, 0, 0));
        assert_eq!(rooms.take_longest_empty(), None);
    }

    #[test]
    fn who_stays_empty_goes_to_the_end() {
        let mut rooms = Rooms::default();
        (0..3).for_each(|number| rooms.insert(key(number), hosted()));
        assert_eq!(rooms.take_longest_empty(), Some(key(0)));
        rooms.still_empty(key(0));
        rooms.remove(&key(1));
        assert_eq!(rooms.take_longest_empty(), Some(key(2)));
        rooms.still_empty(key(2));
        assert_eq!(rooms.take_longest_empty(), Some(key(0)));
        assert_eq!(rooms.empty(), 2);
    }

    #[test]
    fn a_room_that_is_watched_again_is_looked_at_once() {
        let mut rooms = Rooms::default();
        for _ in 0..3 {
            rooms.insert(key(1), hosted());
            rooms.quiet(&key(1));
            rooms.remove(&key(1));
        }
        rooms.insert(key(1), hosted());
        rooms.insert(key(2), hosted());
        let mut looked_at = rooms.take_watched(1);
        looked_at.dedup();
        assert_eq!(looked_at, [key(1), key(2)]);
        assert!(rooms.take_watched(1).is_empty());
    }
}
