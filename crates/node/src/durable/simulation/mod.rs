//! Durable rooms, run through seeded schedules of faults: 2 to 4 nodes, 2 to 5 sessions, one room in one stream.
//!
//! `store` is the stream in truth and what readers see of it; `world` has time, nodes, the network between them and what
//! nodes know of the store, `around` what each room sees of it; `clients` are sessions, who judge all that they hear;
//! `faults` is what goes wrong, `schedule` what happens when. To see one schedule: `RINGWAY_SEED=77 cargo test -p
//! ringway-node durable::simulation::one_schedule -- --nocapture` (`RINGWAY_VARIANT=drops`); to run others:
//! `RINGWAY_SEEDS=30000..40000 cargo test -p ringway-node durable::simulation::many_schedules -- --nocapture`. With `drops`
//! in the variant the store keeps little, with `turns` it loses its history, with `by_key` it keeps the newest of each key.

mod around;
mod clients;
mod faults;
mod schedule;
mod store;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;

use ringway_testkit::schedules::{self, Sum};

/// A rule left out, to show that the checks can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    /// No marks.
    Mark,
    /// By key: marks name the greatest number only.
    Keys,
    /// What should have come isn't read.
    Repair,
    /// Nothing is done after a cut or lost messages.
    Doubt,
    /// A node gone from the view isn't noticed.
    Death,
    /// What a follower says is believed, however far it is behind.
    Upto,
    /// Whatever is looked at is what it was.
    Check,
    /// Every position can be resumed.
    Resume,
    /// Nobody is told of gaps.
    Gap,
    /// Rooms aren't told that the store has another epoch.
    Epoch,
    /// The room isn't told that a connection left.
    Leave,
    /// Live publications go to connections whose join isn't answered.
    Early,
    /// A connection's publications change places.
    Order,
    /// `echo: false` is lost on the way.
    Echo,
    /// Nobody asks whether a member keeps up.
    Pace,
}

#[derive(Clone, Copy, Default, Debug)]
struct Variant {
    /// More faults.
    harsh: bool,
    /// The store drops what is old.
    drops: bool,
    /// The store loses its history, or another takes its place, and its clock is off.
    turns: bool,
    /// It keeps the newest of each key.
    by_key: bool,
    without: Option<Broken>,
}

const PLAIN: Variant = Variant { harsh: false, drops: false, turns: false, by_key: false, without: None };
const DROPS: Variant = Variant { drops: true, ..PLAIN };
const TURNS: Variant = Variant { turns: true, ..PLAIN };
const BY_KEY: Variant = Variant { by_key: true, ..PLAIN };

/// What came of one schedule.
#[derive(Default, Debug)]
struct Outcome {
    seed: u64,
    broken: Option<String>,
    reads: usize,
    gaps: usize,
    told: BTreeMap<&'static str, usize>,
}

/// What came of many.
#[derive(Default)]
struct Summary {
    schedules: u64,
    reads: usize,
    gaps: usize,
    told: BTreeMap<&'static str, usize>,
    failures: Vec<(u64, String)>,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.schedules += 1;
        self.reads += outcome.reads;
        self.gaps += outcome.gaps;
        for (told, count) in outcome.told {
            *self.told.entry(told).or_insert(0) += count;
        }
        self.failures.extend(outcome.broken.map(|broken| (outcome.seed, broken)));
    }

    fn show(&self) -> String {
        let kinds = schedules::kinds(&self.failures);
        format!(
            "{} schedules, {} failed {kinds:?}; publications {:?}, {:.1} reads and {:.1} gaps a schedule",
            self.schedules,
            self.failures.len(),
            self.told,
            self.reads as f64 / self.schedules as f64,
            self.gaps as f64 / self.schedules as f64,
        )
    }
}

impl Sum for Summary {
    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.reads += other.reads;
        self.gaps += other.gaps;
        for (told, count) in other.told {
            *self.told.entry(told).or_insert(0) += count;
        }
        self.failures.extend(other.failures);
        self.failures.sort();
    }

    fn failures(&self) -> &[(u64, String)] {
        &self.failures
    }
}

/// Runs these seeds on two threads.
fn run(seeds: Range<u64>, variant: Variant) -> Summary {
    let one = |seed, summary: &mut Summary| summary.add(schedule::run(seed, variant, false));
    schedules::run(seeds, usize::MAX, one)
}

fn variant_by_name() -> Variant {
    let name = schedules::asked_variant();
    Variant {
        harsh: name.contains("harsh"),
        drops: name.contains("drops"),
        turns: name.contains("turns"),
        by_key: name.contains("by_key"),
        without: PLANTED.iter().map(|(rule, ..)| *rule).find(|rule| name.contains(&format!("-{rule:?}"))),
    }
}

#[test]
fn schedules_hold() {
    hold(PLAIN);
}

#[test]
fn schedules_with_a_store_that_keeps_little_hold() {
    hold(DROPS);
}

#[test]
fn schedules_with_a_store_that_loses_its_history_hold() {
    hold(TURNS);
}

#[test]
fn schedules_by_key_hold() {
    hold(BY_KEY);
}

fn hold(variant: Variant) {
    let summary = run(0..2_500, variant);
    println!("{}", summary.show());
    assert!(summary.failures.is_empty(), "{}", summary.show());
}

/// Each rule that may be left out, where, by which check that is seen, and from which seed on it is looked for. What [`Broken::Death`] prevents is rare.
const PLANTED: &[(Broken, Variant, &str, u64)] = &[
    (Broken::Mark, PLAIN, "L2 something never came, and nothing was said", 0),
    (Broken::Keys, BY_KEY, "L2 something never came, and nothing was said", 0),
    (Broken::Repair, PLAIN, "L2 something never came, and nothing was said", 0),
    (Broken::Doubt, BY_KEY, "L2 something never came, and nothing was said", 0),
    (Broken::Death, PLAIN, "", 0),
    (Broken::Upto, BY_KEY, "L2 something never came, and nothing was said", 1_100),
    (Broken::Check, DROPS, "D6 a hole", 0),
    (Broken::Resume, DROPS, "D6 a hole", 0),
    (Broken::Gap, DROPS, "D6 a hole", 0),
    (Broken::Epoch, TURNS, "L2 something never came, and nothing was said", 0),
    (Broken::Leave, PLAIN, "J3 after leave", 0),
    (Broken::Early, PLAIN, "J1 before the join was answered", 0),
    (Broken::Order, PLAIN, "P4 not in the order sent", 0),
    (Broken::Echo, PLAIN, "D2 back to who didn't want it", 0),
    (Broken::Pace, PLAIN, "R1 a replay runs ahead of its member", 0),
];

#[test]
fn a_rule_left_out_is_seen() {
    for (rule, variant, check, from) in PLANTED.iter().filter(|(_, _, check, _)| !check.is_empty()) {
        let variant = Variant { without: Some(*rule), ..*variant };
        let mut all = Summary::default();
        let seen = (*from..10_000).step_by(200).any(|from| {
            all.merge(run(from..from + 200, variant));
            all.failures.iter().any(|(_, broken)| broken == check)
        });
        assert!(seen, "without {rule:?} nothing said {check:?}: {}", all.show());
    }
}

#[test]
fn one_schedule() {
    let Some(seed) = schedules::asked_seed() else { return };
    println!("{:?}", schedule::run(seed, variant_by_name(), true));
}

#[test]
fn many_schedules() {
    let Some(seeds) = schedules::asked_seeds() else { return };
    println!("{}", run(seeds, variant_by_name()).show());
}
