//! Pools of nodes with late words of each other, under seeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::moves::told::{AGAIN_AFTER, Told};

const TICK: Duration = Duration::from_millis(100);

/// A client that should be elsewhere.
struct Client {
    told: Vec<Instant>,
    /// It goes at this many words.
    obeys: usize,
    /// When it has gone, after the word that it obeys.
    goes: Option<Instant>,
}

struct Node {
    plan: Plan,
    told: Told,
    clients: BTreeMap<u64, Client>,
    /// Those of them that are to be told.
    waiting: BTreeSet<u64>,
    /// Those that were, in that order.
    later: VecDeque<u64>,
    /// When its tick is, after the others'.
    offset: Duration,
    /// What it announced last, and since when the others know.
    announced: Vec<(Instant, u64)>,
    /// What the announcer has, as of its last renewal.
    renewed: u64,
    phase: u64,
    delay: Duration,
}

impl Node {
    fn comes(&mut self, who: u64, obeys: usize) {
        self.clients.insert(who, Client { told: Vec::new(), obeys, goes: None });
        self.waiting.insert(who);
    }

    /// Time has come to `now`: some go, and who didn't is to be told again after its minute.
    fn pass(&mut self, now: Instant, gone: &mut Vec<Client>) {
        self.told.tidy(now);
        let goes = |client: &mut Client| client.goes.is_some_and(|goes| goes <= now);
        gone.extend(self.clients.extract_if(.., |_, client| goes(client)).map(|(_, client)| client));
        while let Some(who) = self.later.pop_front_if(|who| self.told.lately(*who, now).is_none()) {
            if self.clients.contains_key(&who) {
                self.waiting.insert(who);
            }
        }
    }

    /// What the others have heard by now.
    fn heard(&self, now: Instant) -> u64 {
        self.announced.iter().rev().find(|(since, _)| *since <= now).map_or(0, |(_, waiting)| *waiting)
    }
}

struct Pool {
    random: SmallRng,
    nodes: Vec<Node>,
    rate: u32,
    now: Instant,
    last_id: u64,
    /// When somebody was told.
    words: Vec<Instant>,
    gone: Vec<Client>,
}

impl Pool {
    fn new(seed: u64, nodes: usize, rate: u32) -> Pool {
        let mut random = SmallRng::seed_from_u64(seed);
        let now = Instant::now();
        let nodes = (0..nodes)
            .map(|_| Node {
                plan: Plan::new(now, random.random()),
                told: Told::default(),
                clients: BTreeMap::new(),
                waiting: BTreeSet::new(),
                later: VecDeque::new(),
                offset: Duration::from_millis(random.random_range(0..100)),
                announced: Vec::new(),
                renewed: 0,
                phase: random.random_range(0..5),
                delay: Duration::from_millis(random.random_range(0..400)),
            })
            .collect();
        Pool { random, nodes, rate, now, last_id: 0, words: Vec::new(), gone: Vec::new() }
    }

    /// Homes change: some of every node's connections belong elsewhere, which the node notices at its own time.
    fn change(&mut self, most: u64) {
        for node in &mut self.nodes {
            node.plan.changed(self.now + Duration::from_millis(self.random.random_range(0..500)));
        }
        self.herd(most);
    }

    /// Connections that belong elsewhere are due on all nodes at once: they came by a gateway that saw another cluster.
    fn herd(&mut self, most: u64) {
        for node in &mut self.nodes {
            for _ in 0..self.random.random_range(0..=most) {
                self.last_id += 1;
                let obeys = if self.random.random_bool(0.95) { 1 } else { 2 };
                node.comes(self.last_id, obeys);
            }
        }
    }

    fn tick(&mut self, tick: u64) {
        let heard: Vec<u64> = self.nodes.iter().map(|node| node.heard(self.now)).collect();
        let all: u64 = heard.iter().sum();
        for (index, heard) in heard.into_iter().enumerate() {
            let now = self.now + self.nodes[index].offset;
            let node = &mut self.nodes[index];
            node.pass(now, &mut self.gone);
            let known = Known { waiting: node.waiting.len() as u64, elsewhere: all - heard, rate: self.rate };
            for _ in 0..node.plan.now(now, known) {
                let who = node.waiting.pop_first().unwrap();
                node.told.note(who, now);
                node.later.push_back(who);
                let client = node.clients.get_mut(&who).unwrap();
                client.told.push(now);
                if client.told.len() >= client.obeys {
                    client.goes = Some(now + Duration::from_millis(self.random.random_range(0..3_000)));
                }
                self.words.push(now);
            }
            // Renewed twice a second, announced twice a second, in whatever order, and on its way for a while.
            if tick % 5 == node.phase {
                node.announced.push((now + node.delay, node.renewed));
            }
            if tick % 5 == 3 {
                node.renewed = node.waiting.len() as u64;
            }
        }
        self.now += TICK;
    }

    fn is_done(&self) -> bool {
        self.nodes.iter().all(|node| node.clients.is_empty())
    }

    /// In no time more than the rate: each node may be one ahead.
    fn assert_paced(&mut self, seed: u64) {
        self.words.sort();
        for window in [1, 3, 10].map(Duration::from_secs) {
            let most = f64::from(self.rate) * window.as_secs_f64() * 1.001 + self.nodes.len() as f64;
            let mut first = 0;
            for (last, until) in self.words.iter().enumerate() {
                while *until - self.words[first] >= window {
                    first += 1;
                }
                let some = last - first + 1;
                // What is told in a tick was earned in the tick before.
                let most = most + f64::from(self.rate) * TICK.as_secs_f64();
                assert!(some as f64 <= most, "seed {seed}: {some} words within {window:?}, of {most}");
            }
        }
    }
}

#[test]
fn a_pool_never_exceeds_its_rate_tells_nobody_twice_a_minute_and_all_in_the_end() {
    let first: u64 = rand::random();
    for seed in (0..20).map(|n| first.wrapping_add(n)) {
        let mut random = SmallRng::seed_from_u64(seed);
        let (count, rate) = (random.random_range(1..=40), random.random_range(1..=400));
        println!("seed {seed}: {count} nodes, {rate} a second");
        let mut pool = Pool::new(seed, count, rate);
        // About five seconds' worth each time.
        let most = (u64::from(rate) * 10 / count as u64).max(1);
        let mut some =
            || -> Vec<u64> { (0..random.random_range(1..4)).map(|_| random.random_range(0..400)).collect() };
        let (mut changes, herds) = (some(), some());
        changes.push(0);
        for tick in 0..4_000 {
            if changes.contains(&tick) {
                pool.change(most);
            }
            if herds.contains(&tick) {
                pool.herd(most);
            }
            pool.tick(tick);
            if tick > 400 && pool.is_done() {
                break;
            }
        }
        assert!(pool.is_done(), "seed {seed}: somebody is still to be told");
        pool.assert_paced(seed);
        for client in &pool.gone {
            assert_eq!(client.told.len(), client.obeys, "seed {seed}");
            assert!(client.told.is_sorted_by(|one, other| *other - *one >= AGAIN_AFTER), "seed {seed}");
        }
    }
}

#[test]
fn many_nodes_with_little_each_are_paced_as_well() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut pool = Pool::new(seed, 300, 100);
    pool.change(4);
    for tick in 0..4_000 {
        pool.tick(tick);
        if pool.is_done() {
            break;
        }
    }
    assert!(pool.is_done());
    pool.assert_paced(seed);
}

#[test]
fn alone_it_uses_the_whole_rate() {
    let mut pool = Pool::new(1, 1, 200);
    pool.change(0);
    for _ in 0..2_000 {
        pool.last_id += 1;
        let who = pool.last_id;
        pool.nodes[0].comes(who, 1);
    }
    let start = pool.now;
    for tick in 0..600 {
        pool.tick(tick);
    }
    let (first, last) = (pool.words[0] - start, *pool.words.last().unwrap() - start);
    assert_eq!(pool.words.len(), 2_000);
    assert!((STILL..STILL + Duration::from_secs(1)).contains(&first), "{first:?}");
    assert!((9..=11).contains(&(last - first).as_secs()), "{:?}", last - first);
}

#[test]
fn nothing_moves_before_it_stands_still_nor_waits_for_ever() {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let mut plan = Plan::new(start, 0.0);
    assert_eq!((plan.settled(at(2.9)), plan.settled(at(3.0))), (None, Some(at(3.0))));
    plan.changed(at(100.0));
    assert_eq!((plan.settled(at(102.9)), plan.settled(at(150.0))), (None, Some(at(103.0))));
    // A node that comes and goes every two seconds.
    for second in (200..240).step_by(2) {
        plan.changed(at(f64::from(second)));
        let settled = plan.settled(at(f64::from(second) + 1.9));
        assert_eq!(settled, (second >= 230).then_some(at(230.0)), "at {second} s");
    }
    assert_eq!(plan.settled(at(241.5)), Some(at(241.0)));
}

#[test]
fn who_comes_when_things_have_settled_stays_for_a_minute() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut plan = Plan::new(start, 0.0);
    plan.changed(at(10));
    assert!(plan.is_ripe(at(5), at(11)) && plan.is_ripe(at(11), at(12)), "they count as what is to be moved");
    assert!(plan.is_ripe(at(5), at(20)) && plan.is_ripe(at(13), at(20)));
    assert!(!plan.is_ripe(at(14), at(20)) && !plan.is_ripe(at(14), at(73)));
    assert!(plan.is_ripe(at(14), at(74)));
    plan.changed(at(30));
    assert!(plan.is_ripe(at(14), at(34)), "by what is now it was here before");
}

#[test]
fn at_no_rate_nothing_moves() {
    let start = Instant::now();
    let mut plan = Plan::new(start, 0.0);
    for tick in 1..1_000_u32 {
        assert_eq!(plan.now(start + TICK * tick, Known { waiting: 50, elsewhere: 0, rate: 0 }), 0);
    }
}
