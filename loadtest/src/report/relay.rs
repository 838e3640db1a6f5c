//! A gateway that holds the sockets, beside the tunnel, nodes alone and others: one table, its bars in it.

use super::book::{Book, phase};
use super::figure::{Figure, Place, Trouble, quantile};
use super::spread::Spread;
use super::table::{Cell, Row, Table, Tone};
use super::unit::Unit;
use crate::conductor::FURTHER;
use crate::result::{Fault, Phase, Run};

/// Who is in a row: the relay, the tunnel, nodes alone, and others.
type Targets = [&'static str; 5];

/// One node.
const ONE: Targets = ["ringway relay", "ringway gateway", "ringway direct", "nginx + serve", "centrifugo"];

/// Three nodes; others have none.
const THREE: Targets =
    ["ringway relay three nodes", "ringway three nodes", "ringway direct three nodes", "", ""];

/// A row's figure of a target.
type Of<'a> = &'a dyn Fn(&str) -> Option<Spread>;

/// The table; without rows where nothing of it ran.
pub(super) fn table(book: &Book) -> Table {
    let heads = [
        ("what", true),
        ("bar", false),
        ("relay", false),
        ("", true),
        ("tunnel", false),
        ("direct", false),
        ("nginx + serve", false),
        ("Centrifugo", false),
    ];
    let ran = book.scripts().into_iter().any(|script| {
        let targets = book.targets(script);
        targets.contains(&ONE[0]) || targets.contains(&THREE[0])
    });
    Table {
        title: "Relay".into(),
        heads: heads.map(|(head, words)| (head.to_owned(), words)).to_vec(),
        rows: if ran { rows(book) } else { Vec::new() },
    }
}

fn rows(book: &Book) -> Vec<Row> {
    let core = |phase, role| {
        move |target: &str| book.ratio(Place { script: "core", target, phase, role }, Figure::CpuPerDelivery)
    };
    let opening = |target: &str| {
        let place = Place { script: "core", target, phase: "connect", role: None };
        book.spread(place, Figure::CpuPerOpening)
    };
    let held = |target: &str| {
        book.spread(Place { script: "memory", target, phase: "idle", role: None }, Figure::Memory)
    };
    let further = |target: &str| book.figure("further", target, further);
    let cost = |run: &Run| many(run).and_then(|at| per_delivery(run, at));
    let median = |run: &Run| many(run).and_then(|at| quantile(&at.latency, 0.5));
    let many = |script: &'static str| move |target: &str| book.figure(script, target, cost);
    let times = |script: &'static str, base: &'static str| {
        move |target: &str| beside(book, script, target, base, cost, |own, base| own / base)
    };
    let added = |target: &str| beside(book, "many-2000", target, THREE[2], median, |own, base| own - base);
    let placed = |figure: fn(&Phase) -> Option<f64>| {
        move |target: &str| book.figure("rooms-5", target, |run| figure(phase(run, "rooms")?))
    };
    let lambda = placed(|at| at.placed.lambda());
    // Where nothing came from other nodes, nothing of it was unwanted.
    let unwanted = placed(|at| at.placed.unwanted().or(at.placed.lambda().map(|_| 0.0)));
    let row = line;
    let mut rows = vec![
        row(
            "CPU per delivery, one message at a time to 2,000",
            &ONE,
            Some((Unit::Ratio, 1.15)),
            &core("single", None),
        ),
        row("the gateway's part of it", &ONE, None, &core("single", Some("gateway"))),
        row("eight messages together", &ONE, Some((Unit::Ratio, 0.2)), &core("eight", None)),
        row("500 rooms of 4 over three nodes, 10,000/s: CPU per delivery", &THREE, None, &many("many-10000")),
        row("the same, times direct", &THREE, Some((Unit::Ratio, 1.4)), &times("many-10000", THREE[2])),
        row("at 2,000/s: CPU per delivery", &THREE, None, &many("many-2000")),
        row("the same, times the tunnel", &THREE, Some((Unit::Ratio, 0.75)), &times("many-2000", THREE[1])),
        row("added to a delivery at the median, 2,000/s", &THREE, Some((Unit::Micros, 200.0)), &added),
        row("memory per idle connection in one room", &ONE, Some((Unit::Bytes, 2_200.0)), &held),
        row("each further room", &ONE, Some((Unit::Bytes, 64.0)), &further),
        row("CPU per connection opened", &ONE, Some((Unit::Micros, 100.0)), &opening),
        row("five rooms a connection: delivered elsewhere (λ)", &THREE, Some((Unit::Share, 0.0)), &lambda),
        row("received and unwanted", &THREE, Some((Unit::Share, 0.0)), &unwanted),
    ];
    for (script, what, longest, flowing) in [
        ("drained", "node drained", 300_000.0, None),
        ("killed", "node killed", 1_000_000.0, Some(200_000.0)),
        ("stopped", "node stopped", 4_000_000.0, Some(200_000.0)),
    ] {
        let fault = |figure: &dyn Fn(&Phase, &Fault) -> Option<f64>, target: &str| {
            book.figure(script, target, |run| {
                let at = phase(run, "fault")?;
                figure(at, at.fault.as_ref()?)
            })
        };
        let closed = |target: &str| fault(&|at, _| Some(at.closed as f64), target);
        let silent = |share| move |target: &str| fault(&|_, fault| quantile(&fault.silences, share), target);
        let known = |target: &str| fault(&|_, fault| Some(fault.known? * 1e6), target);
        let flows = |target: &str| fault(&|_, fault| quantile(&fault.flowing, 1.0), target);
        rows.extend([
            row(&format!("{what} under 3,000: sockets closed"), &THREE, Some((Unit::Count, 0.0)), &closed),
            row("longest silence of a connection, median", &THREE, None, &silent(0.5)),
            row("p99", &THREE, Some((Unit::Micros, longest)), &silent(0.99)),
            row("at most", &THREE, None, &silent(1.0)),
            row("until the ring says who follows", &THREE, None, &known),
            row("from then to the last that hears", &THREE, flowing.map(|most| (Unit::Micros, most)), &flows),
        ]);
    }
    rows.into_iter().filter(|row| !row.cells[2].text.is_empty()).collect()
}

/// A row. `bar`: the relay's, not above it.
fn line(what: &str, targets: &Targets, bar: Option<(Unit, f64)>, of: Of<'_>) -> Row {
    let unit = bar.map_or_else(|| unit_of(what), |(unit, _)| unit);
    let spreads = targets.map(|target| of(target).filter(|_| !target.is_empty()));
    let cell = |spread: &Option<Spread>| {
        spread.as_ref().map_or_else(Cell::default, |spread| Cell::spread(unit, spread))
    };
    let verdict = match (&spreads[0], bar) {
        (Some(spread), Some((_, most))) if spread.median <= most => Cell::toned("met", Tone::Good),
        (Some(_), Some(_)) => Cell::toned("missed", Tone::Bad),
        _ => Cell::default(),
    };
    let bar = bar.map_or_else(String::new, |(unit, most)| match most {
        0.0 => "0".to_owned(),
        most => format!("≤ {}", unit.show(most)),
    });
    let [relay, tunnel, direct, proxy, other] = spreads.each_ref().map(cell);
    let relay = Cell { tone: verdict.tone, ..relay };
    Row {
        cells: vec![Cell::text(what), Cell::text(bar), relay, verdict, tunnel, direct, proxy, other],
        ours: false,
    }
}

/// What figures without a bar count.
fn unit_of(what: &str) -> Unit {
    if what.contains("part") { Unit::Ratio } else { Unit::Micros }
}

/// What went wrong in all that isn't meant to go wrong, by target.
pub(super) fn troubles(book: &Book) -> Vec<String> {
    let all = ONE.iter().chain(THREE.iter().filter(|target| !target.is_empty()));
    all.filter_map(|target| {
        let runs = book.all().iter().filter(|run| run.target == *target);
        let phases = runs.flat_map(|run| &run.phases).filter(|at| at.fault.is_none());
        let words = Trouble::of(phases).words();
        (!words.is_empty()).then(|| format!("{target}: {}", words.join(", ")))
    })
    .collect()
}

fn many(run: &Run) -> Option<&Phase> {
    phase(run, "many")
}

/// Microseconds of CPU of the whole server for each delivery.
fn per_delivery(run: &Run, at: &Phase) -> Option<f64> {
    let used: f64 = run.server(at).map(|(_, used)| used.cpu).sum();
    (at.deliveries > 0).then(|| used * 1e6 / at.deliveries as f64)
}

/// What a room more of a connection holds.
fn further(run: &Run) -> Option<f64> {
    let held = |name: &str| {
        let at = phase(run, name)?;
        let grown: f64 = run.server(at).map(|(_, used)| used.rss_after as f64 - used.rss_before as f64).sum();
        (at.opened > 0).then(|| grown / at.opened as f64)
    };
    Some((held("more")? - held("one")?) / FURTHER as f64)
}

/// A figure of one target with that of another in the same repetition.
fn beside(
    book: &Book,
    script: &str,
    target: &str,
    base: &str,
    of: impl Fn(&Run) -> Option<f64>,
    with: impl Fn(f64, f64) -> f64,
) -> Option<Spread> {
    Spread::of(book.of(script, target).filter_map(|run| {
        let base = book.of(script, base).find(|base| base.repetition == run.repetition)?;
        Some(with(of(run)?, of(base)?))
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::histogram;
    use crate::result::Use;

    fn run(script: &str, target: &str, phases: Vec<Phase>) -> Run {
        Run { script: script.into(), target: target.into(), phases, ..Run::default() }
    }

    fn used(cpu: f64, before: u64, after: u64) -> BTreeMap<String, Use> {
        BTreeMap::from([("node".into(), Use { cpu, rss_before: before, rss_after: after, ..Use::default() })])
    }

    fn broadcast(cpu: f64) -> Vec<Phase> {
        let phase = Phase {
            name: "single".into(),
            deliveries: 1_000_000,
            roles: used(cpu, 0, 0),
            ..Phase::default()
        };
        vec![phase]
    }

    fn opened(name: &str, before: u64, after: u64) -> Phase {
        Phase { name: name.into(), opened: 100, roles: used(0.0, before, after), ..Phase::default() }
    }

    fn fault(closed: u64, silence: u64, flowing: u64) -> Vec<Phase> {
        let of = |micros| {
            let mut one = histogram::empty();
            one.saturating_record(micros);
            histogram::pack(&one)
        };
        let fault = Fault { known: Some(0.01), open: 1, silences: of(silence), flowing: of(flowing) };
        vec![Phase { name: "fault".into(), closed, fault: Some(fault), ..Phase::default() }]
    }

    #[test]
    fn every_bar_has_its_verdict() {
        let book = Book::new(vec![
            run("core", "floor", broadcast(6.0)),
            run("core", ONE[0], broadcast(6.6)),
            run("core", ONE[1], broadcast(18.0)),
            run("further", ONE[0], vec![opened("one", 0, 200_000), opened("more", 200_000, 800_000)]),
            run("killed", THREE[0], fault(0, 400_000, 250_000)),
        ]);
        let rows = table(&book).rows;
        let told: Vec<_> =
            rows.iter().map(|row| [2, 3, 4].map(|cell| row.cells[cell].text.as_str())).collect();
        assert_eq!(told[0], ["1.10 ×", "met", "3.00 ×"]);
        assert_eq!(told[1], ["100 B", "missed", ""]);
        assert_eq!(told[2], ["0", "met", ""]);
        assert_eq!(told[4], ["400 ms", "met", ""]);
        assert_eq!(told[7], ["250 ms", "missed", ""]);
        assert_eq!(told.len(), 8);
    }

    #[test]
    fn where_it_did_not_run_there_is_no_table() {
        assert!(table(&Book::new(vec![run("core", "floor", broadcast(6.0))])).rows.is_empty());
    }
}
