//! Views agree with the truth once words have arrived, whatever order they took, at every observer: seeded schedules of
//! nodes that start, fall silent, come back, depart and start anew under their name, with clocks that jump, while
//! announcements and departures overtake each other and get lost, differently for each observer.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_ring::{Announcement, FLAPS, Membership, NodeId, NodeState, SILENCE, STEADY, SlotTable, View};

const HEARTBEAT: u64 = 500;
/// The longest that a word is under way here; below the silence, so that a node that speaks is never missed.
const DELAY: u64 = 1_200;
const STEPS: u64 = 400;
const STEP: u64 = 50;
/// Within how long changes count towards holding a node back.
const WINDOW: u64 = 30_000;
/// Until a node that restarted with a clock that went back is told so: by an observer, which waits a little.
const TOLD: u64 = 1_000;

#[derive(Clone)]
enum Word {
    Here(Box<Announcement>),
    Gone(NodeId, u64),
}

/// One node as it really is.
struct Node {
    announcement: Announcement,
    run: Run,
    /// When it last wasn't as it is now.
    unsteady: u64,
    /// Its run's incarnation is below one that was heard of before.
    behind: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Run {
    Speaking,
    /// Alive, but not to be heard (paused, cut off).
    Silent,
    Ended,
}

/// Somebody who watches.
struct Observer {
    membership: Membership,
    /// When it arrives here, and what.
    under_way: Vec<(u64, Word)>,
    /// Greatest run of each node whose departure has arrived.
    departed: BTreeMap<NodeId, u64>,
    /// When places changed in its view, by its own account.
    changes: BTreeMap<NodeId, Vec<u64>>,
    /// Whom it will tell that their run is over.
    to_tell: BTreeMap<NodeId, (u64, u64)>,
}

struct World {
    random: StdRng,
    nodes: Vec<Node>,
    observers: Vec<Observer>,
    now: u64,
    /// Of a hundred words so many get lost on their way to an observer.
    lost: u32,
    calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let nodes = (0..random.random_range(2..6))
            .map(|n| Node {
                announcement: Announcement {
                    weight: random.random_range(0..3),
                    ..Announcement::new(
                        format!("n{n}").parse().unwrap(),
                        1_000,
                        if n % 3 == 2 { "acme" } else { "shared" }.parse().unwrap(),
                        format!("10.0.0.{n}:7001"),
                    )
                },
                run: Run::Ended,
                unsteady: 0,
                behind: false,
            })
            .collect();
        let lost = if random.random_bool(0.5) { 0 } else { random.random_range(1..30) };
        let observers = (0..random.random_range(1..4)).map(|_| Observer::new()).collect();
        Self { random, nodes, observers, now: 0, lost, calm: false }
    }

    fn send(&mut self, word: &Word) {
        for observer in &mut self.observers {
            if self.calm || self.random.random_range(0..100) >= self.lost {
                let arrives = self.now + self.random.random_range(0..DELAY);
                observer.under_way.push((arrives, word.clone()));
            }
        }
    }

    fn something_happens(&mut self) {
        let index = self.random.random_range(0..self.nodes.len());
        let choice = self.random.random_range(0..6);
        // The wall clock that names a run mostly goes on, and is set back at times.
        let step: i64 = if self.random.random_bool(0.8) {
            self.random.random_range(1..10)
        } else {
            self.random.random_range(-20..1)
        };
        let node = &mut self.nodes[index];
        let id = node.announcement.id.clone();
        match (node.run, choice) {
            (Run::Ended, _) => {
                node.announcement.incarnation = node.announcement.incarnation.saturating_add_signed(step);
                node.announcement.state = NodeState::Serving;
                node.run = Run::Speaking;
                node.behind |= step <= 0;
            }
            (Run::Speaking, 0) => node.run = Run::Silent,
            (Run::Silent, 0..3) => node.run = Run::Speaking,
            (_, 1) => node.run = Run::Ended, // killed: says nothing
            (Run::Speaking, 2) => {
                node.run = Run::Ended;
                let gone = Word::Gone(id, node.announcement.incarnation);
                self.send(&gone);
            }
            (Run::Speaking, 3) => node.announcement.weight = (node.announcement.weight + 1) % 3,
            (Run::Speaking, 4) => node.announcement.state = NodeState::Draining,
            _ => {}
        }
        self.nodes[index].unsteady = self.now;
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.now.is_multiple_of(HEARTBEAT) {
            for index in 0..self.nodes.len() {
                let node = &mut self.nodes[index];
                if node.run == Run::Speaking {
                    node.announcement.connections += 1;
                    let here = Word::Here(Box::new(node.announcement.clone()));
                    self.send(&here);
                }
            }
        }
        let mut told = Vec::new();
        for observer in &mut self.observers {
            observer.step(self.now, &mut self.random, &mut told);
        }
        for (id, incarnation) in told {
            // The node hears it too, and takes a greater one.
            let node = self.nodes.iter_mut().find(|node| node.announcement.id == id).unwrap();
            if node.run == Run::Speaking && node.announcement.incarnation <= incarnation {
                node.announcement.incarnation = incarnation + 1;
            }
            self.send(&Word::Gone(id, incarnation));
        }
        self.check();
    }

    fn check(&mut self) {
        for observer in &mut self.observers {
            let view = observer.membership.view();
            observer.check_held(&view, self.now);
            for shown in view.nodes() {
                let departed = observer.departed.get(&shown.id).copied().unwrap_or(0);
                assert!(shown.incarnation > departed, "{} of run {departed} was revived", shown.id);
            }
            for node in &self.nodes {
                let id = &node.announcement.id;
                let steady = self.now - node.unsteady;
                let shown = view.node(id);
                match node.run {
                    // An older word of the run may come last; the next one mends it.
                    Run::Speaking if self.lost == 0 && !node.behind && steady > DELAY + HEARTBEAT + DELAY => {
                        let shown = shown.map(|shown| (shown.incarnation, shown.state));
                        let truth = (node.announcement.incarnation, node.announcement.state);
                        assert_eq!(shown, Some(truth), "{id} speaks and isn't shown");
                    }
                    Run::Silent | Run::Ended if steady > DELAY + SILENCE => {
                        assert_eq!(shown, None, "{id} is gone and shown");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Everybody sees the same, and what is.
    fn check_agreement(&mut self) {
        let alive: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|node| node.run == Run::Speaking)
            .map(|node| node.announcement.id.clone())
            .collect();
        for observer in &mut self.observers {
            let view = observer.membership.view();
            let shown: BTreeSet<_> = view.nodes().map(|node| node.id.clone()).collect();
            assert_eq!(shown, alive);
            assert!(alive.iter().all(|id| !view.is_held(id)), "all have stood for long enough");
            for node in self.nodes.iter().filter(|node| node.run == Run::Speaking) {
                let shown = view.node(&node.announcement.id).unwrap();
                assert_eq!(shown.clone().without_load(), node.announcement.clone().without_load());
            }
            Observer::check_tables(&view);
        }
    }
}

impl Observer {
    fn new() -> Self {
        Self {
            membership: Membership::new(),
            under_way: Vec::new(),
            departed: BTreeMap::new(),
            changes: BTreeMap::new(),
            to_tell: BTreeMap::new(),
        }
    }

    fn step(&mut self, now: u64, random: &mut StdRng, told: &mut Vec<(NodeId, u64)>) {
        let (arrived, later): (Vec<_>, _) = self.under_way.drain(..).partition(|(at, _)| *at <= now);
        self.under_way = later;
        for (_, word) in arrived {
            self.compared(now, |this| match word {
                Word::Here(announcement) => {
                    let id = announcement.id.clone();
                    if let Some(ended) = this.membership.outlived(&announcement) {
                        let at = now + random.random_range(0..TOLD);
                        this.to_tell.entry(id).or_insert((at, ended));
                    }
                    this.membership.heard(*announcement, now)
                }
                Word::Gone(id, incarnation) => {
                    let known = this.departed.entry(id.clone()).or_default();
                    *known = incarnation.max(*known);
                    this.to_tell.remove(&id);
                    this.membership.departed(&id, incarnation)
                }
            });
        }
        self.compared(now, |this| this.membership.expire(now));
        let due: Vec<_> =
            self.to_tell.iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let (_, ended) = self.to_tell.remove(&id).unwrap();
            told.push((id, ended));
        }
    }

    /// What is done says whether it changed anything; what changed is kept account of.
    fn compared(&mut self, now: u64, what: impl FnOnce(&mut Self) -> bool) {
        let (before, known) = (self.seen(), self.membership.view());
        let changed = what(self);
        assert_eq!(changed, before != self.seen(), "says what it does");
        let view = self.membership.view();
        let ids: BTreeSet<_> = known.nodes().chain(view.nodes()).map(|node| node.id.clone()).collect();
        for id in ids {
            let place = |view: &View| view.node(&id).filter(|n| n.is_placed()).map(|n| n.incarnation);
            let times = match (place(&known), place(&view)) {
                (Some(before), Some(now)) if before != now => 2,
                (before, now) => usize::from(before.is_some() != now.is_some()),
            };
            self.changes.entry(id).or_default().extend(vec![now; times]);
        }
    }

    /// Everything in the view but loads.
    fn seen(&mut self) -> Vec<(Announcement, bool)> {
        let view = self.membership.view();
        view.nodes().map(|node| (node.clone().without_load(), view.is_held(&node.id))).collect()
    }

    /// Held back are those whose place changed so often, where they are half of their pool at most.
    fn check_held(&self, view: &View, now: u64) {
        let flaps = |id: &NodeId| {
            let changes = self.changes.get(id).map_or(&[][..], |changes| changes);
            let mut held = false;
            for (n, &change) in changes.iter().enumerate() {
                held &= change - changes[n.saturating_sub(1)] < STEADY;
                held |= n + 1 >= FLAPS && change - changes[n + 1 - FLAPS] < WINDOW;
            }
            held && changes.last().is_some_and(|last| now - last < STEADY)
        };
        let pools: BTreeSet<_> = view.nodes().map(|node| &node.pool).collect();
        for pool in pools {
            let placed = || view.nodes().filter(|node| node.pool == *pool && node.is_placed());
            let (all, often) = (placed().count(), placed().filter(|node| flaps(&node.id)).count());
            for node in placed() {
                let held = flaps(&node.id) && often * 2 <= all;
                assert_eq!(view.is_held(&node.id), held, "{} of {all}, {often} of which flap", node.id);
                assert_eq!(view.pool(pool).slots_of(&node.id).next().is_none(), held);
            }
        }
    }

    /// The tables in the view are those that anyone would build from its nodes.
    fn check_tables(view: &View) {
        let pools: BTreeSet<_> = view.nodes().map(|node| node.pool.clone()).collect();
        for pool in pools {
            let placed: Vec<_> = view
                .nodes()
                .filter(|node| {
                    node.pool == pool && node.state == NodeState::Serving && !view.is_held(&node.id)
                })
                .map(|node| (node.id.clone(), node.weight))
                .collect();
            assert_eq!(view.pool(&pool).fingerprint(), SlotTable::build(&placed).fingerprint());
        }
    }
}

#[test]
fn views_follow_the_truth_whatever_order_words_take() {
    let schedules: Vec<u64> =
        std::env::var("RINGWAY_SEED").map_or((0..300).collect(), |seed| vec![seed.parse().unwrap()]);
    let (mut held, mut lossy) = (0, 0);
    for seed in schedules {
        println!("seed {seed}");
        let mut world = World::new(seed);
        let restless = world.random.random_range(2..40);
        for _ in 0..STEPS {
            if world.random.random_range(0..restless) == 0 {
                world.something_happens();
            }
            world.step();
        }
        for observer in &mut world.observers {
            let view = observer.membership.view();
            Observer::check_tables(&view);
            held += view.nodes().filter(|node| view.is_held(&node.id)).count();
        }
        lossy += usize::from(world.lost > 0);
        // Quiet: whoever lives is shown, nobody else is, and nobody is held back for what was.
        world.calm = true;
        for _ in 0..(SILENCE + STEADY + TOLD + 4 * (DELAY + HEARTBEAT)) / STEP {
            world.step();
        }
        world.check_agreement();
    }
    println!("{held} held back when it became quiet; {lossy} schedules with losses");
}
