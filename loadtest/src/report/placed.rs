//! A room over several nodes, what crosses nodes, and what the way through a gateway adds: the bars, and a table of nodes.

use super::book::{Book, phase};
use super::figure::{Trouble, quantile};
use super::spread::Spread;
use super::table::{Cell, Row, Table, Tone};
use super::unit::{Unit, with_range};
use crate::result::{Phase, Run};

const ONE: &str = "ringway spread 1";
const THREE: &str = "ringway spread 3";
const SEVERAL: &str = "ringway three nodes";
const DIRECT: &str = "ringway direct";
const GATEWAY: &str = "ringway gateway";

/// The table of a script; none: it isn't one of these.
pub(super) fn of_script(book: &Book, script: &str) -> Option<Table> {
    let rows: Vec<Row> = book
        .targets(script)
        .into_iter()
        .filter(|_| script == "hot")
        .map(|target| {
            let runs = || book.of("hot", target).filter_map(|run| Some((run, phase(run, "hot")?)));
            let of = |unit, figure: &dyn Fn(&Run, &Phase) -> Option<f64>| {
                let spread = Spread::of(runs().filter_map(|(run, at)| figure(run, at)));
                spread.map_or_else(Cell::default, |spread| Cell::spread(unit, &spread))
            };
            let members: Vec<String> = runs()
                .map(|(_, at)| {
                    at.members
                        .iter()
                        .map(|count| Unit::Count.show(*count as f64))
                        .collect::<Vec<_>>()
                        .join(" + ")
                })
                .collect();
            let orders = runs().map(|(_, at)| at.orders.len()).max().unwrap_or(0);
            let one_order = orders == 1;
            Row {
                cells: vec![
                    Cell::text(target),
                    Cell::text(members.join("; ")),
                    of(Unit::Share, &|_, at| unfair(at)),
                    of(Unit::Micros, &|_, at| per_delivery(at, &["node"])),
                    of(Unit::Micros, &|_, at| per_delivery(at, &["node", "nats"])),
                    of(Unit::Share, &|run, _| idle(run)),
                    of(Unit::Micros, &|_, at| quantile(&at.last, 0.5)),
                    Cell::toned(
                        if one_order { "one".to_owned() } else { format!("{orders} at least") },
                        if one_order { Tone::Good } else { Tone::Bad },
                    ),
                ],
                ours: true,
            }
        })
        .collect();
    let heads = [
        ("target", true),
        ("members by node", true),
        ("off a fair share at most", false),
        ("CPU per delivery, nodes", false),
        ("with NATS", false),
        ("nodes before, of a core", false),
        ("last member p50", false),
        ("orders", true),
    ];
    (!rows.is_empty()).then(|| Table {
        title: "One room over several nodes".into(),
        heads: heads.map(|(head, words)| (head.to_owned(), words)).to_vec(),
        rows,
    })
}

/// The bars, as rows of the headline table: of what ran.
pub(super) fn bars(book: &Book) -> Vec<Row> {
    let members = book.of("hot", THREE).filter_map(|run| Some(phase(run, "hot")?.connections)).max();
    let members = Unit::Count.show(members.unwrap_or(0) as f64);
    let times = |roles: &'static [&'static str]| {
        let of = |run: &Run| per_delivery(phase(run, "hot")?, roles);
        beside(book, "hot", (THREE, &of), (ONE, &of), |three, one| three / one)
    };
    let with_nats = also(Unit::Ratio, "with NATS", times(&["node", "nats"]));
    let unfairness = book.figure("hot", THREE, |run| unfair(phase(run, "hot")?));
    let placed = |script, figure: fn(&Phase) -> Option<f64>| {
        book.figure(script, SEVERAL, move |run| figure(phase(run, "rooms")?))
    };
    let lambda: fn(&Phase) -> Option<f64> = |at| at.placed.lambda();
    // Where nothing came from other nodes, nothing of it was unwanted.
    let unwanted: fn(&Phase) -> Option<f64> = |at| at.placed.unwanted().or(at.placed.lambda().map(|_| 0.0));
    let median = |run: &Run| quantile(&phase(run, "upgrade")?.latency, 0.5);
    let added =
        beside(book, "upgrade", (GATEWAY, &median), (DIRECT, &median), |gateway, direct| gateway - direct);
    let rows = [
        bar(
            &format!("CPU per delivery to {members} members of a room on three nodes, to one"),
            "direct",
            (Unit::Ratio, 1.1),
            times(&["node"]),
            with_nats,
        )
        .map(|row| but(row, &hot_troubles(book))),
        bar(
            "its nodes, off a fair share of members at most",
            "direct",
            (Unit::Share, 0.1),
            unfairness,
            Cell::default(),
        ),
        bar(
            "received for rooms without members there, of all received: five rooms each",
            "gateway",
            (Unit::Share, 0.5),
            placed("rooms-5", unwanted),
            also(Unit::Share, "of deliveries on another node than the room's", placed("rooms-5", lambda)),
        ),
        bar(
            "the same, five rooms of one tag",
            "gateway",
            (Unit::Share, 0.0),
            placed("rooms-5-tagged", unwanted),
            Cell::default(),
        ),
        bar(
            "deliveries on another node than the room's, five rooms of one tag",
            "gateway",
            (Unit::Share, 0.0),
            placed("rooms-5-tagged", lambda),
            Cell::default(),
        ),
        bar("added to an upgrade, at the median", "gateway", (Unit::Micros, 1_000.0), added, Cell::default()),
    ];
    rows.into_iter().flatten().collect()
}

/// A row; none: it wasn't measured.
fn bar(what: &str, way: &str, (unit, most): (Unit, f64), spread: Option<Spread>, also: Cell) -> Option<Row> {
    let spread = spread?;
    let (word, tone) = if spread.median <= most { ("met", Tone::Good) } else { ("missed", Tone::Bad) };
    Some(Row {
        cells: vec![
            Cell::text(what),
            Cell::toned(way, Tone::Soft),
            Cell::text(format!("≤ {}", unit.show(most))),
            Cell { tone, ..Cell::spread(unit, &spread) },
            Cell::toned(word, tone),
            also,
        ],
        ours: false,
    })
}

/// What else is to be known of a bar.
fn also(unit: Unit, what: &str, spread: Option<Spread>) -> Cell {
    spread.map_or_else(Cell::default, |spread| Cell::text(format!("{} {what}", with_range(unit, &spread))))
}

/// A row with what speaks against its verdict.
fn but(mut row: Row, troubles: &[String]) -> Row {
    if !troubles.is_empty() {
        row.cells[4] = Cell::toned(format!("{}, but {}", row.cells[4].text, troubles.join(", ")), Tone::Bad);
    }
    row
}

/// What went wrong with either target.
fn hot_troubles(book: &Book) -> Vec<String> {
    let phases =
        || [ONE, THREE].into_iter().flat_map(|target| book.of("hot", target)).flat_map(|run| &run.phases);
    let mut words = Trouble::of(phases()).words();
    let hot = |at: &&Phase| at.name == "hot";
    if phases().filter(hot).any(|at| at.orders.len() > 1) {
        words.push("not in one order".to_owned());
    }
    words
}

/// A figure of a run.
type OfRun<'a> = &'a dyn Fn(&Run) -> Option<f64>;

/// A figure of one target with that of another in the same repetition.
fn beside(
    book: &Book,
    script: &str,
    (target, of): (&str, OfRun<'_>),
    (base, of_base): (&str, OfRun<'_>),
    with: impl Fn(f64, f64) -> f64,
) -> Option<Spread> {
    Spread::of(book.of(script, target).filter_map(|run| {
        let base = book.of(script, base).find(|base| base.repetition == run.repetition)?;
        Some(with(of(run)?, of_base(base)?))
    }))
}

/// Microseconds of CPU that these roles took for each delivery.
fn per_delivery(at: &Phase, roles: &[&str]) -> Option<f64> {
    let used = roles.iter().map(|role| at.roles.get(*role).map(|used| used.cpu)).sum::<Option<f64>>()?;
    (at.deliveries > 0).then(|| used * 1e6 / at.deliveries as f64)
}

/// How far from a fair share of members the node is that is farthest, as a share of it.
fn unfair(at: &Phase) -> Option<f64> {
    let fair = at.members.iter().sum::<u64>() as f64 / at.members.len() as f64;
    let off = at.members.iter().map(|members| (*members as f64 / fair - 1.0).abs());
    off.reduce(f64::max).filter(|off| off.is_finite())
}

/// Cores that nodes kept busy before anything was published.
fn idle(run: &Run) -> Option<f64> {
    let at = phase(run, "idle")?;
    Some(at.roles.get("node")?.cpu / at.seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::control::Histogram;
    use crate::histogram;
    use crate::result::{Placed, Use};

    fn run(script: &str, target: &str, phase: Phase) -> Run {
        Run { script: script.into(), target: target.into(), phases: vec![phase], ..Run::default() }
    }

    fn hot(node: f64, members: &[u64], orders: &[u32]) -> Phase {
        let used = |cpu| Use { cpu, ..Use::default() };
        Phase {
            name: "hot".into(),
            connections: members.iter().sum::<u64>() as usize,
            deliveries: 1_000_000,
            roles: BTreeMap::from([("node".into(), used(node)), ("nats".into(), used(0.5))]),
            members: members.to_vec(),
            orders: orders.iter().copied().collect::<BTreeSet<_>>(),
            ..Phase::default()
        }
    }

    fn rooms(elsewhere: u64, unwanted: u64) -> Phase {
        let placed = Placed { owner: 100, elsewhere, wanted: 0, unwanted };
        Phase { name: "rooms".into(), placed, ..Phase::default() }
    }

    fn upgrade(micros: u64) -> Phase {
        let mut latency = histogram::empty();
        latency.saturating_record(micros);
        let latency: Histogram = histogram::pack(&latency);
        Phase { name: "upgrade".into(), latency, ..Phase::default() }
    }

    #[test]
    fn every_bar_has_its_row_and_verdict() {
        let book = Book::new(vec![
            run("hot", ONE, hot(5.0, &[15_000], &[7])),
            run("hot", THREE, hot(6.0, &[5_000, 5_100, 4_900], &[7])),
            run("rooms-5", SEVERAL, rooms(50, 10)),
            run("rooms-5-tagged", SEVERAL, rooms(0, 0)),
            run("upgrade", DIRECT, upgrade(200)),
            run("upgrade", GATEWAY, upgrade(500)),
        ]);
        let bars = bars(&book);
        let words: Vec<_> = bars.iter().map(|row| row.cells[4].text.as_str()).collect();
        assert_eq!(words, ["missed", "met", "missed", "met", "met", "met"]);
        let figures: Vec<_> = bars.iter().map(|row| row.cells[3].text.as_str()).collect();
        assert_eq!(figures[..2], ["1.20 ×", "2.00 %"]);
        assert_eq!(figures[5], "300 µs");
        let table = of_script(&book, "hot").unwrap().markdown();
        assert!(table.contains("5,000 + 5,100 + 4,900"), "{table}");
        assert!(of_script(&book, "rooms-5").is_none());
    }

    #[test]
    fn two_orders_or_a_loss_are_told() {
        let lossy = Phase { lost: 3, ..hot(5.0, &[5, 5, 5], &[7, 8]) };
        let book = Book::new(vec![run("hot", ONE, hot(5.0, &[15], &[7])), run("hot", THREE, lossy)]);
        assert_eq!(bars(&book)[0].cells[4].text, "met, but 3 lost, not in one order");
    }
}
