//! Link, table and nodes, run through seeded schedules of faults: three nodes, four rooms, up to six clients.
//!
//! `world` is what is around the table, `node` what a node does with records, `rooms` what becomes of its rooms' members, `client`
//! what a client may get, `schedule` what happens when, and `rest` what holds in the end. Nodes number rooms, replay from logs, take over with what was there or begin anew; links are cut, stand
//! still, and lose publications where that is allowed; views change, nodes die, leave and refuse. When faults have stopped all
//! must come to rest, served where it should be. To see one schedule: `RINGWAY_SEED=77 cargo test -p ringway-gateway
//! one_schedule -- --nocapture` (`RINGWAY_VARIANT=Exit` leaves that rule out); to run others: `RINGWAY_SEEDS=30000..40000
//! cargo test -p ringway-gateway many_schedules -- --nocapture`.

mod client;
pub(super) mod dice;
mod node;
mod rest;
mod rooms;
mod schedule;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Rule;

/// What came of many schedules.
#[derive(Default)]
struct Summary {
    schedules: u64,
    counts: schedule::Counts,
    failures: Vec<(u64, String)>,
}

impl Summary {
    fn show(&self) -> String {
        let mut kinds: BTreeMap<&str, (usize, Vec<u64>)> = BTreeMap::new();
        for (seed, broken) in &self.failures {
            let (count, first) = kinds.entry(broken).or_default();
            *count += 1;
            if first.len() < 12 {
                first.push(*seed);
            }
        }
        let Self { schedules, counts, failures } = self;
        format!("{schedules} schedules, {counts:?}; {} failed {kinds:?}", failures.len())
    }
}

/// Runs these seeds on two threads; ends early after `enough` failures.
fn run(seeds: Range<u64>, without: Option<Rule>, enough: usize) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut summary = Summary::default();
        while summary.failures.len() < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let (counts, broken) = schedule::run(seed, without, false);
            summary.schedules += 1;
            summary.counts.add(&counts);
            summary.failures.extend(broken.map(|broken| (seed, broken)));
        }
        summary
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut summary = work();
        let other = other.join().expect("a schedule doesn't panic");
        summary.schedules += other.schedules;
        summary.counts.add(&other.counts);
        summary.failures.extend(other.failures);
        summary.failures.sort();
        summary
    })
}

#[test]
fn ten_thousand_schedules_hold() {
    let summary = run(0..10_000, None, usize::MAX);
    println!("{}", summary.show());
    assert!(summary.failures.is_empty(), "{}", summary.show());
}

/// Each rule, and what is seen where it is left out.
const PLANTED: &[(Rule, &str)] = &[
    (Rule::Exit, "C17 rejoined beyond what it has"),
    (Rule::Apart, "C17 rejoined beyond what it has"),
    (Rule::Own, "C16 rejoined without its position"),
    (Rule::Hold, "C2 after the leave's answer"),
    (Rule::Auth, "C15 a frame before the rights that came before it"),
    (Rule::Renew, "C15 a frame before the rights that came before it"),
    (Rule::Again, "C8 unanswered"),
    (Rule::Answers, "C8 unanswered"),
    (Rule::Since, "C16 rejoined without its position"),
    (Rule::Number, "C12 a record that breaks the rules"),
    (Rule::Hello, "O1 a second hello"),
    (Rule::Leaves, "C13 in more rooms than it may be"),
    (Rule::Former, "C10 a home too many"),
    (Rule::Barrier, "O5 published twice, or not in the order sent"),
    (Rule::Strays, "C10 a member where it shouldn't be one"),
    (Rule::Closing, "C12 a record that breaks the rules"),
    (Rule::Limit, "C13 in more rooms than it may be"),
    (Rule::Window, "C14 more on its way than the window"),
    (Rule::Untold, "C10 not served at its home"),
];

#[test]
fn a_rule_left_out_is_seen() {
    for (rule, check) in PLANTED {
        let seen = (0..10_000).step_by(200).any(|from| {
            let summary = run(from..from + 200, Some(*rule), usize::MAX);
            summary.failures.iter().any(|(_, broken)| broken.contains(check))
        });
        assert!(seen, "without {rule:?} nothing said {check:?}");
    }
}

#[test]
fn one_schedule() {
    let Some(seed) = std::env::var("RINGWAY_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let name = std::env::var("RINGWAY_VARIANT").unwrap_or_default();
    let without = PLANTED.iter().map(|(rule, _)| *rule).find(|rule| format!("{rule:?}") == name);
    println!("{:?}", schedule::run(seed, without, true));
}

#[test]
fn many_schedules() {
    let Ok(seeds) = std::env::var("RINGWAY_SEEDS") else { return };
    let name = std::env::var("RINGWAY_VARIANT").unwrap_or_default();
    let without = PLANTED.iter().map(|(rule, _)| *rule).find(|rule| format!("{rule:?}") == name);
    let (from, to) = seeds.split_once("..").expect("FROM..TO");
    let seeds = from.parse().expect("a number")..to.parse().expect("a number");
    println!("{}", run(seeds, without, usize::MAX).show());
}
