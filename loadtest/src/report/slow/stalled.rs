//! A tenth doesn't read.

use std::collections::BTreeMap;

use super::super::book::{Book, Way, phase};
use super::super::figure::merged;
use super::super::spread::Spread;
use super::super::table::{Cell, Row, Table, Tone};
use super::super::unit::Unit;
use super::{kernel_growth, p99, p99_ratio, server_growth, words};
use crate::result::{Phase, Run};

pub(super) fn table(book: &Book) -> Table {
    const SCRIPT: &str = "slow";
    let heads = [
        ("target", true),
        ("p99 of the others, before", false),
        ("while a tenth doesn't read", false),
        ("ratio", false),
        ("server's memory, for each that doesn't read", false),
        ("kernel's", false),
        ("closed", true),
        ("what they find when they read on", true),
    ];
    let rows = book.targets(SCRIPT).into_iter().filter_map(|target| {
        let spread = |figure: &dyn Fn(&Run) -> Option<f64>| book.figure(SCRIPT, target, figure);
        let p99_of = |name: &str| spread(&|run: &Run| p99(phase(run, name)?));
        let of = |name: &'static str| book.of(SCRIPT, target).filter_map(move |run| phase(run, name));
        of("stalled").next()?;
        let stuck = of("stalled").filter(|at| p99(at).is_none()).count();
        let lost: u64 = of("stalled").map(|at| at.lost).sum();
        let due: u64 = of("stalled").map(|at| at.due).sum();
        let missing = format!("{} never came", Unit::Share.show(lost as f64 / due.max(1) as f64));
        let while_stalled = match p99_of("stalled") {
            _ if stuck > 0 => Cell::toned(missing, Tone::Bad),
            Some(spread) => Cell::spread(Unit::Micros, &spread),
            None => Cell::default(),
        };
        let ratio = spread(&|run: &Run| p99_ratio(run, "before", "stalled")).filter(|_| stuck == 0);
        let figure = |unit: Unit, spread: Option<Spread>| {
            spread.map_or_else(Cell::default, |spread| Cell::spread(unit, &spread))
        };
        Some(Row {
            cells: vec![
                Cell::text(target),
                figure(Unit::Micros, p99_of("before")),
                while_stalled,
                figure(Unit::Ratio, ratio),
                figure(Unit::Bytes, spread(&server_growth)),
                figure(Unit::Bytes, spread(&kernel_growth)),
                Cell::text(closed(of("read on"))),
                Cell::text(found(&of("read on").collect::<Vec<_>>())),
            ],
            ours: Way::of(target).is_some(),
        })
    });
    Table { title: "A tenth of the clients doesn't read".into(), heads: words(&heads), rows: rows.collect() }
}

/// `150 of 150: 1008 Slow consumer`, over all repetitions.
fn closed<'a>(phases: impl Iterator<Item = &'a Phase>) -> String {
    let (mut all, mut how) = (0, BTreeMap::<&str, u64>::new());
    for phase in phases {
        all += phase.slow;
        for (close, count) in &phase.closes {
            *how.entry(close).or_default() += count;
        }
    }
    let words: Vec<String> = match how.len() {
        0 => return "none".to_owned(),
        1 => how.keys().map(ToString::to_string).collect(),
        _ => how.iter().map(|(how, count)| format!("{count} {how}")).collect(),
    };
    format!("{} of {all}: {}", how.values().sum::<u64>(), words.join(", "))
}

/// `3.21 MB of old messages, up to 5.1 s old; told of 140 lost`: for each client, on average.
fn found(phases: &[&Phase]) -> String {
    let clients = phases.iter().map(|phase| phase.slow as f64).sum::<f64>().max(1.0);
    let bytes: f64 = phases.iter().map(|phase| phase.delivery_bytes * phase.deliveries as f64).sum();
    let age = merged(phases.iter().map(|phase| &phase.latency)).max();
    let mut said = match bytes > 0.0 {
        true => format!("{}, up to {} old", Unit::Bytes.show(bytes / clients), Unit::Micros.show(age as f64)),
        false => "nothing".to_owned(),
    };
    let missed: u64 = phases.iter().map(|phase| phase.missed).sum();
    let gaps: u64 = phases.iter().map(|phase| phase.gaps).sum();
    if gaps > 0 {
        said += &format!(
            "; told that {} are missing, in {} gaps",
            Unit::Number.show(missed as f64 / clients),
            Unit::Number.show(gaps as f64 / clients)
        );
    }
    said
}
