//! Over made-up runs.

use std::collections::BTreeMap;

use super::super::book::Book;
use super::bars::best_rival;
use super::*;
use crate::control::{Histogram, Lag};
use crate::result::Beside;

fn latencies(micros: impl IntoIterator<Item = u64>) -> Histogram {
    let mut all = histogram::empty();
    micros.into_iter().for_each(|micros| all.saturating_record(micros));
    histogram::pack(&all)
}

fn at(name: &str, micros: impl IntoIterator<Item = u64>) -> Phase {
    Phase { name: name.into(), latency: latencies(micros), ..Phase::default() }
}

fn run(target: &str, script: &str, phases: Vec<Phase>) -> Run {
    Run { target: target.into(), script: script.into(), phases, ..Run::default() }
}

fn stalling(target: &str, grown: u64, lost: u64) -> Run {
    let sample = |rss: u64, kernel| Sample {
        rss: BTreeMap::from([("server".to_owned(), rss)]),
        kernel,
        ..Sample::default()
    };
    let stalled = Phase {
        slow: 10,
        lost,
        due: 1_000,
        samples: vec![sample(1_000, 0), sample(1_000 + grown, 40_000_000), sample(900, 10)],
        ..at("stalled", 1..=1_000)
    };
    let closes = BTreeMap::from([("1008 Slow consumer".to_owned(), 10)]);
    let read_on = Phase { slow: 10, closes, gaps: 20, missed: 70, ..at("read on", [5_000_000]) };
    run(target, "slow", vec![at("before", 1..=1_000), stalled, read_on])
}

#[test]
fn a_delivery_that_never_came_isnt_a_short_one() {
    assert_eq!(p99(&at("x", 1..=1_000)), Some(990.0));
    // Two of a thousand are missing: the 99th percentile of all that were due is later than that of those that came.
    let some = Phase { lost: 2, ..at("x", 1..=998) };
    assert!(p99(&some).unwrap() > 989.0);
    assert_eq!(p99(&Phase { lost: 20, ..at("x", 1..=1_000) }), None);
    assert_eq!(p99(&Phase::default()), None);
}

#[test]
fn memory_is_told_for_each_that_doesnt_read_and_so_is_what_becomes_of_them() {
    let book = Book::new(vec![stalling("ringway serve", 20_000_000, 0), stalling("ws", 80_000_000, 100)]);
    let table = of_script(&book, "slow").unwrap().markdown();
    for said in ["2.00 MB", "8.00 MB", "4.00 MB", "10 of 10: 1008 Slow consumer", "10.0 % never came"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    assert!(table.contains("told that 7.00 are missing, in 2.00 gaps"), "{table}");
    assert_eq!(bars(&book).len(), 1);
    assert!(of_script(&book, "core").is_none());
}

#[test]
fn who_loses_nothing_and_disturbs_least_is_the_best() {
    let runs = [("ringway serve", 0), ("ws", 0), ("websockets", 500), ("floor", 0)];
    let book = Book::new(runs.map(|(target, lost)| stalling(target, 10, lost)).to_vec());
    assert!(best_rival(&book).unwrap().starts_with("1.00 × ws"), "{:?}", best_rival(&book));
}

#[test]
fn slow_readers_and_noise_have_their_tables_and_bars() {
    let lag = Lag {
        messages: 100,
        at_write: latencies([0, 0, 1]),
        at_read: latencies([5, 60]),
        age: latencies([700_000]),
        held: 80_000,
        ..Lag::default()
    };
    let sipping = Phase { lags: vec![lag.clone(), lag], ..at("sipping", [900]) };
    let beside = Some(Beside { sent: 8_000, refused: 7_000, deliveries: 20_000 });
    let noise = Phase { beside, ..at("noisy", [130]) };
    let book = Book::new(vec![
        run("ringway serve conflate", "conflate", vec![at("before", [800]), sipping]),
        run("ringway direct", "noisy", vec![at("alone", [100]), noise]),
    ]);
    let table = of_script(&book, "conflate").unwrap().markdown();
    assert!(table.contains("usual buffer") && table.contains("small buffer"), "{table}");
    let table = of_script(&book, "noisy").unwrap().markdown();
    assert!(table.contains("8,000 published, 7,000 refused, 20,000 delivered"), "{table}");
    let words: Vec<String> = bars(&book).into_iter().map(|row| row.cells[4].text.clone()).collect();
    assert_eq!(words, ["met", "missed"]);
}
