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

use std::ops::Range;

use ringway_testkit::schedules::{self, Sum};

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
        let kinds = schedules::kinds(&self.failures);
        let Self { schedules, counts, failures } = self;
        format!("{schedules} schedules, {counts:?}; {} failed {kinds:?}", failures.len())
    }
}

impl Sum for Summary {
    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.counts.add(&other.counts);
        self.failures.extend(other.failures);
        self.failures.sort();
    }

    fn failures(&self) -> &[(u64, String)] {
        &self.failures
    }
}

/// Runs these seeds on two threads; ends early after `enough` failures.
fn run(seeds: Range<u64>, without: Option<Rule>, enough: usize) -> Summary {
    schedules::run(seeds, enough, |seed, summary: &mut Summary| {
        let (counts, broken) = schedule::run(seed, without, false);
        summary.schedules += 1;
        summary.counts.add(&counts);
        summary.failures.extend(broken.map(|broken| (seed, broken)));
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

/// The rule in `RINGWAY_VARIANT`, to be left out.
fn asked_rule() -> Option<Rule> {
    let name = schedules::asked_variant();
    PLANTED.iter().map(|(rule, _)| *rule).find(|rule| format!("{rule:?}") == name)
}

#[test]
fn one_schedule() {
    let Some(seed) = schedules::asked_seed() else { return };
    println!("{:?}", schedule::run(seed, asked_rule(), true));
}

#[test]
fn many_schedules() {
    let Some(seeds) = schedules::asked_seeds() else { return };
    println!("{}", run(seeds, asked_rule(), usize::MAX).show());
}
