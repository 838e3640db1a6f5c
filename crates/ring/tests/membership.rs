//! Views agree with the truth once words have arrived, whatever order they took: seeded schedules of nodes that start,
//! fall silent, come back, depart and start anew while announcements and departures overtake each other.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_ring::{Announcement, Membership, NodeId, NodeState, SILENCE, SlotTable};

const HEARTBEAT: u64 = 500;
/// The longest that a word is under way here; below the silence, so that a node that speaks is never missed.
const DELAY: u64 = 1_200;
const STEPS: u64 = 400;
const STEP: u64 = 50;

#[derive(Clone)]
enum Word {
    Here(Announcement),
    Gone(NodeId, u64),
}

/// One node as it really is.
struct Node {
    announcement: Announcement,
    run: Run,
}

#[derive(Clone, Copy, PartialEq)]
enum Run {
    Speaking,
    /// Alive, but not to be heard (paused, cut off).
    Silent,
    Ended,
}

struct World {
    random: StdRng,
    nodes: Vec<Node>,
    /// When it arrives, and what.
    under_way: Vec<(u64, Word)>,
    membership: Membership,
    now: u64,
    /// Greatest run of each node whose departure has arrived.
    departed: BTreeMap<NodeId, u64>,
    /// When a node that speaks was last anything else.
    unsteady: BTreeMap<NodeId, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let nodes = (0..random.random_range(2..6))
            .map(|n| Node {
                announcement: Announcement {
                    id: format!("n{n}").parse().unwrap(),
                    incarnation: 1,
                    pool: if n % 3 == 2 { "acme" } else { "shared" }.parse().unwrap(),
                    advertise: format!("10.0.0.{n}:7001"),
                    public_url: None,
                    weight: random.random_range(0..3),
                    state: NodeState::Serving,
                    connections: 0,
                    rooms: 0,
                    tenants: Vec::new(),
                    version: String::new(),
                },
                run: Run::Ended,
            })
            .collect();
        Self {
            random,
            nodes,
            under_way: Vec::new(),
            membership: Membership::new(),
            now: 0,
            departed: BTreeMap::new(),
            unsteady: BTreeMap::new(),
        }
    }

    fn send(&mut self, word: Word) {
        let arrives = self.now + self.random.random_range(0..DELAY);
        self.under_way.push((arrives, word));
    }

    fn something_happens(&mut self) {
        let index = self.random.random_range(0..self.nodes.len());
        let choice = self.random.random_range(0..6);
        let node = &mut self.nodes[index];
        let id = node.announcement.id.clone();
        match (node.run, choice) {
            (Run::Ended, _) => {
                node.announcement.incarnation += 1;
                node.announcement.state = NodeState::Serving;
                node.run = Run::Speaking;
            }
            (Run::Speaking, 0) => node.run = Run::Silent,
            (Run::Silent, 0..3) => node.run = Run::Speaking,
            (_, 1) => node.run = Run::Ended, // killed: says nothing
            (Run::Speaking, 2) => {
                node.run = Run::Ended;
                let gone = Word::Gone(id.clone(), node.announcement.incarnation);
                self.send(gone);
            }
            (Run::Speaking, 3) => node.announcement.weight = (node.announcement.weight + 1) % 3,
            (Run::Speaking, 4) => node.announcement.state = NodeState::Draining,
            _ => {}
        }
        self.unsteady.insert(id, self.now);
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.now.is_multiple_of(HEARTBEAT) {
            for index in 0..self.nodes.len() {
                let node = &mut self.nodes[index];
                if node.run == Run::Speaking {
                    node.announcement.connections += 1;
                    let here = Word::Here(node.announcement.clone());
                    self.send(here);
                }
            }
        }
        let now = self.now;
        let (arrived, later) = self.under_way.drain(..).partition(|(at, _)| *at <= now);
        self.under_way = later;
        let arrived: Vec<(u64, Word)> = arrived;
        for (_, word) in arrived {
            let before = self.placement();
            let changed = match word {
                Word::Here(announcement) => self.membership.heard(announcement, now),
                Word::Gone(id, incarnation) => {
                    let known = self.departed.entry(id.clone()).or_default();
                    *known = incarnation.max(*known);
                    self.membership.departed(&id, incarnation)
                }
            };
            assert_eq!(changed, before != self.placement(), "says what it does");
        }
        let before = self.placement();
        let changed = self.membership.expire(now);
        assert_eq!(changed, before != self.placement(), "says what it does");
        self.check();
    }

    /// Everything in the view but loads.
    fn placement(&mut self) -> Vec<Announcement> {
        let view = self.membership.view();
        view.nodes()
            .map(|node| Announcement { connections: 0, rooms: 0, tenants: Vec::new(), ..node.clone() })
            .collect()
    }

    fn check(&mut self) {
        let view = self.membership.view();
        for shown in view.nodes() {
            let departed = self.departed.get(&shown.id).copied().unwrap_or(0);
            assert!(shown.incarnation > departed, "{} of run {departed} was revived", shown.id);
        }
        for node in &self.nodes {
            let id = &node.announcement.id;
            let steady = self.now - self.unsteady.get(id).copied().unwrap_or(0);
            let shown = view.node(id);
            match node.run {
                // An older word of the run may come last; the next one mends it.
                Run::Speaking if steady > DELAY + HEARTBEAT + DELAY => {
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

    /// The tables in the view are those that anyone would build from its nodes.
    fn check_tables(&mut self) {
        let view = self.membership.view();
        let pools: BTreeSet<_> = view.nodes().map(|node| node.pool.clone()).collect();
        for pool in pools {
            let placed: Vec<_> = view
                .nodes()
                .filter(|node| node.pool == pool && node.state == NodeState::Serving)
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
        world.check_tables();
        // Quiet: whoever lives is shown, nobody else is.
        for _ in 0..(SILENCE + DELAY + HEARTBEAT) / STEP + 1 {
            world.step();
        }
        let shown: Vec<_> = world.membership.view().nodes().map(|node| node.id.clone()).collect();
        let alive = world.nodes.iter().filter(|node| node.run == Run::Speaking);
        assert_eq!(shown, alive.map(|node| node.announcement.id.clone()).collect::<Vec<_>>());
        world.check_tables();
    }
}
