//! The bars that are set, and how Ringway stands beside them.

use super::book::{Book, Way, is_floor, phase};
use super::figure::{Figure, Place, Trouble, quantile};
use super::placed;
use super::slow;
use super::spread::Spread;
use super::table::{Cell, Row, Table, Tone};
use super::unit::Unit;
use crate::result::Run;

/// Who else could be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rivals {
    /// Whatever is no proxy: its whole server.
    Servers,
    /// What stands behind a proxy: all of it.
    Proxied,
    /// The proxy alone.
    Proxies,
}

/// A bar.
struct Goal {
    /// `{}` is the number of connections.
    what: &'static str,
    way: Way,
    /// The first of these that is there.
    scripts: &'static [&'static str],
    phase: &'static str,
    figure: Figure,
    /// None: the whole server.
    role: Option<&'static str>,
    unit: Unit,
    /// Not above it.
    bar: f64,
    rivals: Rivals,
    /// With fewer connections the bar says nothing.
    connections: usize,
}

impl Goal {
    fn script(&self, book: &Book) -> &'static str {
        let has = |script: &&&'static str| book.phases(script).contains(&self.phase);
        self.scripts.iter().find(has).or(self.scripts.first()).copied().unwrap_or_default()
    }
}

/// Every bar, in the order of the table.
fn goals() -> Vec<Goal> {
    use Figure::{Busy, CpuPerDelivery, CpuPerOpening, Last, Memory};
    use Rivals::{Proxied, Proxies, Servers};
    use Unit::{Bytes, Micros, Ratio, Share};
    use Way::{Direct, Gateway, OneProcess};
    let goal = |what, way, (scripts, phase), figure, (unit, bar), rivals| Goal {
        what,
        way,
        scripts,
        phase,
        figure,
        role: None,
        unit,
        bar,
        rivals,
        connections: 0,
    };
    let of = |role, goal| Goal { role: Some(role), ..goal };
    let at_least = |connections, goal| Goal { connections, ..goal };
    let single = "CPU per delivery, one message at a time to {}";
    let eight = "CPU per delivery, eight messages together to {}";
    let window = "CPU per delivery, {} members at 1,000/s with a flush window";
    let held = "memory per idle connection, the node alone";
    let opened = "CPU per connection opened";
    let last = "last of {} members reached, at the median";
    let beats = "heartbeats of {} idle connections, of a core";
    let core = |phase| (&["core"][..], phase);
    let memory = |phase| (&["memory", "core"][..], phase);
    let (one, many, connect) = (core("single"), core("eight"), core("connect"));
    let (idle, big) = (memory("idle"), memory("big"));
    let flushed = (&["window", "core"][..], "window");
    let (crowd, waiting) = ((&["core-10k"][..], "single"), (&["idle"][..], "idle"));
    vec![
        goal(single, Direct, one, CpuPerDelivery, (Ratio, 1.10), Servers),
        goal(single, OneProcess, one, CpuPerDelivery, (Ratio, 1.10), Servers),
        goal("the same, gateway and node", Gateway, one, CpuPerDelivery, (Ratio, 2.9), Proxied),
        of("gateway", goal("the gateway's part of it", Gateway, one, CpuPerDelivery, (Ratio, 1.75), Proxies)),
        goal(eight, Direct, many, CpuPerDelivery, (Ratio, 0.2), Servers),
        goal(eight, OneProcess, many, CpuPerDelivery, (Ratio, 0.2), Servers),
        goal(window, Direct, flushed, CpuPerDelivery, (Ratio, 0.2), Servers),
        goal(window, OneProcess, flushed, CpuPerDelivery, (Ratio, 0.2), Servers),
        of("node", goal(held, Direct, idle, Memory, (Bytes, 1_500.0), Servers)),
        of(
            "node",
            goal("the same after a burst of large messages", Direct, big, Memory, (Bytes, 1_500.0), Servers),
        ),
        of(
            "gateway",
            goal(
                "memory per idle connection, the gateway alone",
                Gateway,
                idle,
                Memory,
                (Bytes, 1_800.0),
                Proxies,
            ),
        ),
        goal(opened, Direct, connect, CpuPerOpening, (Micros, 60.0), Servers),
        goal("the same, gateway and node", Gateway, connect, CpuPerOpening, (Micros, 110.0), Proxied),
        at_least(15_000, goal(beats, Direct, waiting, Busy, (Share, 0.02), Servers)),
        at_least(10_000, goal(last, Direct, crowd, Last, (Ratio, 1.3), Servers)),
        at_least(10_000, goal(last, OneProcess, crowd, Last, (Ratio, 1.3), Servers)),
    ]
}

/// `what · path · bar · Ringway · best alternative`, of the scripts that ran. None of them: no rows.
pub(super) fn table(book: &Book) -> Table {
    let ran = |script: &str| !book.targets(script).is_empty();
    let goals = goals().into_iter().filter(|goal| goal.scripts.iter().any(|script| ran(script)));
    let words = |head: &str| (head.to_owned(), true);
    let number = |head: &str| (head.to_owned(), false);
    Table {
        title: "Where Ringway stands".into(),
        heads: vec![
            words("what"),
            words("path"),
            number("bar"),
            number("Ringway"),
            words(""),
            words("best alternative"),
        ],
        rows: goals
            .map(|goal| row(book, &goal))
            .chain(ran("hop").then(|| hop(book)))
            .chain(slow::bars(book))
            .chain(placed::bars(book))
            .collect(),
    }
}

fn row(book: &Book, goal: &Goal) -> Row {
    let script = goal.script(book);
    let ours = book.ringway(script, goal.way);
    let connections = ours.and_then(|target| {
        book.of(script, target).filter_map(|run| Some(phase(run, goal.phase)?.connections)).max()
    });
    let what = match connections {
        Some(connections) => goal.what.replace("{}", &Unit::Count.show(connections as f64)),
        None if goal.connections > 0 => goal.what.replace("{}", &Unit::Count.show(goal.connections as f64)),
        None => goal.what.replace("to {}", "to all").replace("{} ", ""),
    };
    let found = ours.and_then(|target| Some((target, measure(book, goal, target, goal.role)?)));
    let (figure, verdict) = match found {
        None => (Cell::toned("not measured", Tone::Soft), Cell::default()),
        Some((target, spread)) => {
            let mut cell = Cell::spread(goal.unit, &spread);
            let enough = connections.is_some_and(|count| count * 20 >= goal.connections * 19);
            let verdict = match (enough, spread.median <= goal.bar) {
                (false, _) => Cell::toned("too few connections to say", Tone::Soft),
                (true, true) => Cell::toned("met", Tone::Good),
                (true, false) => Cell::toned("missed", Tone::Bad),
            };
            cell.tone = verdict.tone;
            (cell, but(verdict, &troubles(book, goal, target)))
        }
    };
    Row {
        cells: vec![
            Cell::text(what),
            Cell::toned(goal.way.name(), Tone::Soft),
            Cell::text(format!("≤ {}", trimmed(&goal.unit.show(goal.bar)))),
            figure,
            verdict,
            best(book, goal),
        ],
        ours: false,
    }
}

/// What two nodes add to the least that two processes need to pass a message on over NATS, at the median of both
/// directions: a difference, where all other bars are ratios or figures of their own.
fn hop(book: &Book) -> Row {
    const BAR: f64 = 300.0;
    let median = |run: &Run| {
        let halves = ["there", "back"].map(|name| quantile(&phase(run, name)?.latency, 0.5));
        halves.into_iter().sum::<Option<f64>>().map(|sum| sum / 2.0)
    };
    let floor = |run: &Run| {
        book.of("hop", "floor over NATS").find(|floor| floor.repetition == run.repetition).and_then(median)
    };
    let added = book.of("hop", "ringway two nodes").filter_map(|run| Some(median(run)? - floor(run)?));
    let (figure, verdict) = match Spread::of(added) {
        None => (Cell::toned("not measured", Tone::Soft), Cell::default()),
        Some(spread) => {
            let mut cell = Cell::spread(Unit::Micros, &spread);
            let (word, tone) = if spread.median <= BAR { ("met", Tone::Good) } else { ("missed", Tone::Bad) };
            cell.tone = tone;
            (cell, Cell::toned(word, tone))
        }
    };
    let alone = Spread::of(book.of("hop", "floor over NATS").filter_map(median));
    let alone = alone.map_or_else(Cell::default, |spread| {
        Cell::text(format!("{} the floor over NATS, all of it", Unit::Micros.show(spread.median)))
    });
    let what = Cell::text("publish to delivery on another node, added to what NATS takes");
    let bar = Cell::text(format!("≤ {}", trimmed(&Unit::Micros.show(BAR))));
    Row { cells: vec![what, Cell::toned("two nodes", Tone::Soft), bar, figure, verdict, alone], ours: false }
}

/// The lowest median of those that could be meant.
fn best(book: &Book, goal: &Goal) -> Cell {
    let script = goal.script(book);
    let candidates = book.targets(script).into_iter().filter(|target| {
        let proxied = book.roles(script, target).iter().any(|role| role == "proxy");
        !is_floor(target) && Way::of(target).is_none() && proxied == (goal.rivals != Rivals::Servers)
    });
    let role = (goal.rivals == Rivals::Proxies).then_some("proxy");
    let best = candidates
        .filter_map(|target| Some((target, measure(book, goal, target, role)?)))
        .min_by(|a, b| a.1.median.total_cmp(&b.1.median));
    match best {
        None => Cell::default(),
        Some((target, spread)) => {
            let name = std::iter::once(target.to_owned()).chain(troubles(book, goal, target));
            let text = format!("{} {}", goal.unit.show(spread.median), name.collect::<Vec<_>>().join(", "));
            Cell { text, aside: goal.unit.range(&spread), tone: Tone::Plain }
        }
    }
}

fn measure(book: &Book, goal: &Goal, target: &str, role: Option<&str>) -> Option<Spread> {
    let place = Place { script: goal.script(book), target, phase: goal.phase, role };
    match goal.unit {
        Unit::Ratio => book.ratio(place, goal.figure),
        _ => book.spread(place, goal.figure),
    }
}

fn troubles(book: &Book, goal: &Goal, target: &str) -> Vec<String> {
    Trouble::of(book.of(goal.script(book), target).filter_map(|run| phase(run, goal.phase))).words()
}

/// A verdict with what speaks against it: a figure of half the deliveries is no figure.
fn but(verdict: Cell, troubles: &[String]) -> Cell {
    if troubles.is_empty() {
        return verdict;
    }
    Cell::toned(format!("{}, but {}", verdict.text, troubles.join(", ")), Tone::Bad)
}

/// `2.90 ×` as `2.9 ×`: a bar is a round number.
fn trimmed(number: &str) -> String {
    match number.split_once(' ') {
        Some((digits, unit)) if digits.contains('.') => {
            format!("{} {unit}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => number.to_owned(),
    }
}
