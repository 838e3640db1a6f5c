//! Schedules drawn from seeds: rooms come and go, slots move, what comes is wanted or not, and work is done late. Nothing
//! that is heard may ever be uncovered, and when all is quiet, what is subscribed to is what the rules say and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::grain::{Bounds, EVIDENCE, EVIDENCE_OF_ALL, FEW, Grain, MANY, NOT_AGAIN, Part, Work};
use super::owned::Owned;

const SCHEDULES: u64 = 400;
const STEPS: usize = 400;
const SLOTS: u16 = 24;
const ROOMS: u16 = 14;
/// Pieces of work under way.
const MOST: usize = 4;
const SMALL: Bounds = Bounds { most_slots: 12, few_slots: 8 };

type Room = u16;

/// What would carry out what the machine says, at its leisure.
struct World {
    grain: Grain<Room, u64>,
    owned: Arc<Owned>,
    now: Duration,
    wanted: BTreeSet<(u16, Room)>,
    heard: BTreeSet<(u16, Room)>,
    /// Subscriptions that the carrier has.
    alive: BTreeMap<u64, Part<Room>>,
    next: u64,
    works: Vec<Doing>,
    /// How often everything took the place of others, others of it, a slot of rooms, and rooms of a slot.
    changes: [usize; 4],
    rng: SmallRng,
}

enum Doing {
    Asked(Work<Room>),
    Made(u64, Vec<u64>),
    Retiring(u64, Vec<u64>),
}

impl World {
    fn new(seed: u64) -> World {
        let owned = Arc::new(Owned::none());
        World {
            grain: Grain::new(SMALL, Arc::clone(&owned)),
            owned,
            now: Duration::ZERO,
            wanted: BTreeSet::new(),
            heard: BTreeSet::new(),
            alive: BTreeMap::new(),
            next: 0,
            works: Vec::new(),
            changes: [0; 4],
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    fn want(&mut self, slot: u16, room: Room) {
        let heard = self.grain.want(slot, room);
        if self.wanted.insert((slot, room)) && heard {
            self.heard.insert((slot, room));
        }
    }

    fn unwant(&mut self, slot: u16, room: Room) {
        self.grain.unwant(slot, room);
        self.wanted.remove(&(slot, room));
        self.heard.remove(&(slot, room));
    }

    fn step(&mut self, crowd: bool) {
        let (slot, room) = (self.rng.random_range(0..SLOTS), self.rng.random_range(0..ROOMS));
        match self.rng.random_range(0..12) {
            0..=2 => self.want(slot, room),
            3 if crowd => self.want(slot, room),
            3..=4 => self.unwant(slot, room),
            5 if self.rng.random_ratio(1, 6) => {
                let share = [0.0, 0.2, 0.6, 1.0][self.rng.random_range(0..4)];
                let rng = &mut self.rng;
                let owned: Vec<bool> = (0..SLOTS).map(|_| rng.random_bool(share)).collect();
                let all = share == 1.0;
                self.owned =
                    Arc::new(Owned::by(|slot| all || owned.get(usize::from(slot.number())) == Some(&true)));
                self.grain.placed(&self.owned);
            }
            6 if self.rng.random_ratio(1, 4) => {
                let unwanted = self.rng.random_bool(0.3);
                let much = if self.rng.random() { EVIDENCE + 1 } else { EVIDENCE_OF_ALL + 1 };
                self.grain.came(slot, much, if unwanted { much } else { 0 }, self.now);
            }
            7 if self.rng.random_ratio(1, 20) => self.now += NOT_AGAIN,
            _ => self.work(),
        }
        self.begin();
        self.check();
    }

    fn begin(&mut self) {
        while self.works.len() < MOST
            && let Some(work) = self.grain.next(self.now)
        {
            assert!(
                work.open.iter().all(|part| self.alive.values().all(|alive| alive != part)),
                "twice {work:?}"
            );
            if work.in_place {
                let change = match &work.open[..] {
                    [Part::Whole] => 0,
                    _ if self.alive.values().any(|part| *part == Part::Whole) => 1,
                    [Part::Slot(_)] => 2,
                    _ => 3,
                };
                self.changes[change] += 1;
            }
            self.works.push(Doing::Asked(work));
        }
    }

    /// Some work goes on by one step.
    fn work(&mut self) {
        if self.works.is_empty() {
            return;
        }
        let which = self.rng.random_range(0..self.works.len());
        match self.works.swap_remove(which) {
            Doing::Asked(Work { id, open, .. }) => {
                let first = self.next;
                for part in open {
                    self.alive.insert(self.next, part);
                    self.next += 1;
                }
                self.works.push(Doing::Made(id, (first..self.next).collect()));
            }
            Doing::Made(id, made) => {
                let opened = self.grain.opened(id, made.into_iter().map(Some).collect());
                self.heard.extend(opened.heard);
                if let Some(former) = opened.retire {
                    self.works.push(Doing::Retiring(id, former));
                }
            }
            Doing::Retiring(id, former) => {
                for id in former {
                    assert!(self.alive.remove(&id).is_some(), "it was there");
                }
                self.grain.done(id);
            }
        }
    }

    fn covers(part: &Part<Room>, slot: u16, room: Room) -> bool {
        match part {
            Part::Whole => true,
            Part::Slot(of) => *of == slot,
            Part::Room(of, that) => (*of, *that) == (slot, room),
        }
    }

    fn check(&mut self) {
        for ended in self.grain.take_ended() {
            self.alive.remove(&ended).expect("ended once");
        }
        let alive: BTreeSet<&Part<Room>> = self.alive.values().collect();
        if alive.contains(&Part::Whole) {
            return;
        }
        for (slot, room) in &self.heard {
            let covered = alive.contains(&Part::Slot(*slot)) || alive.contains(&Part::Room(*slot, *room));
            assert!(covered, "{room} in {slot} is heard by nothing of {alive:?}");
        }
    }

    /// Lets all work end.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.begin();
            self.check();
            if self.works.is_empty() {
                return;
            }
            self.work();
        }
        panic!("it never ends");
    }

    fn rooms(&self, slot: u16) -> usize {
        self.wanted.iter().filter(|(of, _)| *of == slot).count()
    }

    fn is_as_it_should(&self) {
        assert_eq!(self.wanted, self.heard, "all that is wanted is heard");
        for (slot, room) in &self.wanted {
            let covering = self.alive.values().filter(|part| Self::covers(part, *slot, *room)).count();
            assert_eq!(covering, 1, "{room} in {slot} of {:?}", self.alive);
        }
        for part in self.alive.values() {
            let needed = self.wanted.iter().any(|(slot, room)| Self::covers(part, *slot, *room));
            assert!(needed, "{part:?}");
        }
        let whole = self.alive.values().any(|part| *part == Part::Whole);
        let sizes = [
            self.alive.values().filter(|part| matches!(part, Part::Room(..))).count(),
            self.alive.values().filter(|part| matches!(part, Part::Slot(_))).count(),
            usize::from(whole),
        ];
        assert_eq!(self.grain.sizes(), sizes);
        if self.owned.all() {
            assert_eq!(whole, !self.wanted.is_empty());
            assert!(!self.grain.takes_others());
        }
        for part in self.alive.values() {
            match part {
                Part::Slot(slot) => assert!(self.owned.has(*slot) || self.rooms(*slot) >= FEW),
                Part::Room(slot, _) => assert!(!self.owned.has(*slot)),
                Part::Whole => assert!(!self.wanted.is_empty()),
            }
        }
    }
}

#[test]
fn nothing_that_is_heard_is_ever_uncovered_and_nothing_needless_stays() {
    let mut changes = [0; 4];
    for seed in 0..SCHEDULES {
        let mut world = World::new(seed);
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..STEPS {
                world.step(round % 200 < 120);
                if round % 100 == 99 {
                    world.settle();
                    world.is_as_it_should();
                }
            }
            // What was unwanted once is tried again.
            world.now += NOT_AGAIN;
            world.settle();
            for slot in 0..SLOTS {
                let slots = world.alive.values().any(|part| matches!(part, Part::Slot(_) | Part::Whole));
                assert!(slots || world.rooms(slot) < MANY);
            }
            for (slot, room) in world.wanted.clone() {
                world.unwant(slot, room);
            }
            world.settle();
            assert!(world.alive.is_empty() && world.grain.is_empty());
        }));
        assert!(seen.is_ok(), "seed {seed}");
        changes.iter_mut().zip(world.changes).for_each(|(all, these)| *all += these);
    }
    assert!(changes.iter().all(|count| *count > 100), "each change was seen: {changes:?}");
}

#[test]
fn grains_change_at_their_bounds_and_back_below_them() {
    let mut world = World::new(1);
    let sizes = |world: &mut World| {
        world.settle();
        world.is_as_it_should();
        world.grain.sizes()
    };
    for room in 0..MANY as u16 - 1 {
        world.want(3, room);
    }
    assert_eq!(sizes(&mut world), [MANY - 1, 0, 0]);
    world.want(3, MANY as u16);
    assert_eq!(sizes(&mut world), [0, 1, 0]);
    assert!(world.grain.takes_others());
    for room in 0..(MANY - FEW) as u16 {
        world.unwant(3, room);
    }
    assert_eq!(sizes(&mut world), [0, 1, 0], "as many as are needed to stay");
    world.unwant(3, MANY as u16);
    assert_eq!(sizes(&mut world), [FEW - 1, 0, 0]);
    // Owned, one is enough.
    world.owned = Arc::new(Owned::by(|slot| slot.number() < 13));
    world.grain.placed(&world.owned);
    assert_eq!(sizes(&mut world), [0, 1, 0]);
    (0..13).for_each(|slot| world.want(slot, 9));
    assert_eq!(sizes(&mut world), [0, 0, 1]);
    (8..13).for_each(|slot| world.unwant(slot, 9));
    assert_eq!(sizes(&mut world), [0, 0, 1]);
    world.unwant(7, 9);
    assert_eq!(sizes(&mut world), [0, 7, 0]);
}

#[test]
fn what_is_mostly_unwanted_is_left_for_a_while() {
    let mut world = World::new(1);
    (0..9).for_each(|room| world.want(3, room));
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 1, 0]);
    world.grain.came(3, EVIDENCE, EVIDENCE, world.now);
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 1, 0], "not enough is known");
    world.grain.came(3, EVIDENCE, 0, world.now);
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 1, 0], "half of it was wanted");
    world.grain.came(3, EVIDENCE + 1, EVIDENCE / 2 + 1, world.now);
    world.settle();
    assert_eq!(world.grain.sizes(), [9, 0, 0]);
    world.want(3, 9);
    world.settle();
    assert_eq!(world.grain.sizes(), [10, 0, 0]);
    world.now += NOT_AGAIN;
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 1, 0]);
}

#[test]
fn everything_is_left_too_where_most_is_unwanted() {
    let mut world = World::new(1);
    world.owned = Arc::new(Owned::by(|slot| slot.number() < 13));
    world.grain.placed(&world.owned);
    (0..13).for_each(|slot| world.want(slot, 1));
    world.want(20, 1);
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 0, 1]);
    world.grain.came(5, EVIDENCE_OF_ALL + 1, EVIDENCE_OF_ALL + 1, world.now);
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 0, 1], "of slots that this node owns nothing is unwanted");
    world.grain.came(21, EVIDENCE_OF_ALL + 1, EVIDENCE_OF_ALL + 1, world.now);
    world.settle();
    assert_eq!(world.grain.sizes(), [1, 13, 0]);
    world.now += NOT_AGAIN;
    world.settle();
    assert_eq!(world.grain.sizes(), [0, 0, 1]);
}
