//! The full tables: every phase of every script, what it cost and how long it took.

use super::book::{Book, FLOOR, Way, phase};
use super::figure::{Figure, Place, Trouble, merged, to_many};
use super::spread::Spread;
use super::table::{Cell, Row, Table, Tone};
use super::unit::{Unit, with_range};
use crate::control::Histogram;
use crate::histogram;
use crate::result::Phase;

/// Busier than this share of its cores a generator may be what was measured.
const GENERATOR_BUSY: f64 = 0.9;

/// What only leads up to a phase: nothing to say of it, unless something went wrong.
pub(super) const PRELUDES: [&str; 2] = ["warm", "settle"];

/// A phase's tables.
pub(super) fn of_phase(book: &Book, script: &str, name: &str) -> Vec<Table> {
    let phases = book.all().iter().filter(|run| run.script == script).filter_map(|run| phase(run, name));
    if PRELUDES.contains(&name) && Trouble::of(phases).words().is_empty() {
        return Vec::new();
    }
    [cost(book, script, name), latency(book, script, name)].into_iter().flatten().collect()
}

/// What ran, with versions.
pub(super) fn versions(book: &Book) -> Table {
    let rows = book.everyone().into_iter().filter_map(|target| {
        let run = book.all().iter().rfind(|run| run.target == target && run.absent.is_none())?;
        Some(Row {
            cells: vec![
                Cell::text(target),
                Cell::text(book.path(target)),
                Cell::text(book.roles(&run.script, target).join(", ")),
                Cell::text(run.versions.clone()),
            ],
            ours: Way::of(target).is_some(),
        })
    });
    Table {
        title: "What ran".into(),
        heads: heads(&[("target", true), ("path", true), ("server processes", true), ("versions", true)]),
        rows: rows.collect(),
    }
    .without_empty_columns()
}

/// What didn't, and why.
pub(super) fn absent(book: &Book) -> Option<Table> {
    let mut rows: Vec<(String, Vec<String>, String)> = Vec::new();
    for target in book.everyone() {
        for run in book.all().iter().filter(|run| run.target == target) {
            let Some(why) = &run.absent else { continue };
            match rows.iter_mut().find(|row| row.0 == target && row.2 == *why) {
                Some(row) if row.1.contains(&run.script) => {}
                Some(row) => row.1.push(run.script.clone()),
                None => rows.push((target.to_owned(), vec![run.script.clone()], why.clone())),
            }
        }
    }
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|(target, scripts, why)| Row {
            ours: Way::of(&target).is_some(),
            cells: vec![Cell::text(target), Cell::text(scripts.join(", ")), Cell::text(why)],
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: "Not measured".into(),
        heads: heads(&[("target", true), ("script", true), ("why", true)]),
        rows,
    })
}

/// CPU, memory, rates and what went wrong.
fn cost(book: &Book, script: &str, name: &str) -> Option<Table> {
    let mut counts: Vec<usize> =
        book.targets(script).iter().filter_map(|target| connections(book, script, target, name)).collect();
    counts.dedup();
    // Said once above the table, where all had as many.
    let alike = counts.len() < 2;
    let rows = phase_rows(book, script, name, |target| {
        let place = Place { script, target, phase: name, role: None };
        let any =
            |what: fn(&Phase) -> bool| book.of(script, target).filter_map(|run| phase(run, name)).any(what);
        // What is held is told where something may stay or nothing else goes on; the share of a core, too: elsewhere it
        // follows from the rate that was chosen.
        let watched = name == "left" || any(|at| !at.samples.is_empty());
        let quiet = !any(|at| at.deliveries > 0 || at.opened > 0);
        let stressed = ["stalled", "read on", "storm"].contains(&name);
        let only = |told: bool, cell: Cell| if told { cell } else { Cell::default() };
        let cell = |unit: Unit, spread: Option<Spread>| {
            spread.map_or_else(Cell::default, |spread| Cell::spread(unit, &spread))
        };
        let of = |unit: Unit, figure: Figure| cell(unit, book.spread(place, figure));
        let to_floor = |figure: Figure| {
            cell(Unit::Ratio, (target != FLOOR).then(|| book.ratio(place, figure)).flatten())
        };
        let connections = connections(book, script, target, name).filter(|_| !alike);
        vec![
            trouble(book, script, target, name),
            connections.map_or_else(Cell::default, |count| Cell::text(Unit::Count.show(count as f64))),
            to_floor(Figure::CpuPerDelivery),
            of(Unit::Micros, Figure::CpuPerDelivery),
            by_role(book, place, Unit::Ratio, Figure::CpuPerDelivery),
            to_floor(Figure::CpuPerOpening),
            of(Unit::Micros, Figure::CpuPerOpening),
            by_role(book, place, Unit::Micros, Figure::CpuPerOpening),
            of(Unit::PerSecond, Figure::OpeningsPerSecond),
            of(Unit::Bytes, Figure::Memory),
            by_role(book, place, Unit::Bytes, Figure::Memory),
            only(watched || quiet || stressed, of(Unit::Bytes, Figure::Resident)),
            of(Unit::BytesPerMinute, Figure::Slope),
            only(watched || quiet, of(Unit::Share, Figure::Busy)),
            only(watched, of(Unit::Count, Figure::Files)),
            of(Unit::PerSecond, Figure::DeliveriesPerSecond),
            of(Unit::Number, Figure::DeliveriesPerRead),
            of(Unit::Share, Figure::Lambda),
            of(Unit::Share, Figure::Unwanted),
            generator(book, place),
        ]
    });
    let heads = heads(&[
        ("target", true),
        ("trouble", true),
        ("connections", false),
        ("CPU per delivery", false),
        ("in time", false),
        ("by role", true),
        ("CPU per connection", false),
        ("in time", false),
        ("by role", true),
        ("opened", false),
        ("memory per connection", false),
        ("by role", true),
        ("resident", false),
        ("memory slope", false),
        ("of a core", false),
        ("descriptors", false),
        ("deliveries", false),
        ("per read", false),
        ("λ", false),
        ("unwanted", false),
        ("generator busy", false),
    ]);
    finish(script, name, "cost", heads, rows)
}

/// Quantiles, over all repetitions together.
fn latency(book: &Book, script: &str, name: &str) -> Option<Table> {
    let rows = phase_rows(book, script, name, |target| {
        let all = |what: fn(&Phase) -> &Histogram| {
            merged(book.of(script, target).filter_map(|run| phase(run, name)).map(what))
        };
        let many = book.of(script, target).filter_map(|run| phase(run, name)).any(to_many);
        let last = if many { all(|phase| &phase.last) } else { histogram::empty() };
        let quantiles = |histogram: &hdrhistogram::Histogram<u64>, at: &[f64]| {
            at.iter()
                .map(|at| match histogram.is_empty() {
                    true => Cell::default(),
                    false => Cell::text(Unit::Micros.show(histogram.value_at_quantile(*at) as f64)),
                })
                .collect::<Vec<_>>()
        };
        let mut cells = quantiles(&all(|phase| &phase.latency), &[0.5, 0.99, 0.999, 1.0]);
        cells.extend(quantiles(&last, &[0.5, 0.99]));
        let ratio = (target != FLOOR)
            .then(|| book.ratio(Place { script, target, phase: name, role: None }, Figure::Last))
            .flatten();
        cells.push(ratio.map_or_else(Cell::default, |spread| Cell::spread(Unit::Ratio, &spread)));
        cells.extend(quantiles(&all(|phase| &phase.lateness), &[0.99]));
        cells
    });
    let rows: Vec<Row> =
        rows.into_iter().filter(|row| row.cells[1..].iter().any(|cell| !cell.text.is_empty())).collect();
    let heads = heads(&[
        ("target", true),
        ("p50", false),
        ("p99", false),
        ("p99.9", false),
        ("max", false),
        ("last member p50", false),
        ("p99", false),
        ("p50 to the floor's", false),
        ("generator late p99", false),
    ]);
    finish(script, name, "latency", heads, rows)
}

/// Each role's part, where there are several.
fn by_role(book: &Book, place: Place<'_>, unit: Unit, figure: Figure) -> Cell {
    let roles = book.roles(place.script, place.target);
    if roles.len() < 2 {
        return Cell::default();
    }
    let parts = roles.iter().filter_map(|role| {
        let spread = match unit {
            Unit::Ratio => book.ratio(place.role(role), figure),
            _ => book.spread(place.role(role), figure),
        }?;
        Some(format!("{role} {}", unit.show(spread.median)))
    });
    Cell::toned(parts.collect::<Vec<_>>().join(", "), Tone::Soft)
}

/// One row for each target that has the phase.
fn phase_rows(book: &Book, script: &str, name: &str, cells: impl Fn(&str) -> Vec<Cell>) -> Vec<Row> {
    let targets = book.targets(script).into_iter();
    targets
        .filter(|target| book.of(script, target).any(|run| phase(run, name).is_some()))
        .map(|target| Row {
            cells: std::iter::once(Cell::text(target)).chain(cells(target)).collect(),
            ours: Way::of(target).is_some(),
        })
        .collect()
}

fn finish(
    script: &str,
    phase: &str,
    what: &str,
    heads: Vec<(String, bool)>,
    rows: Vec<Row>,
) -> Option<Table> {
    let table = Table { title: format!("{script} · {phase} · {what}"), heads, rows }.without_empty_columns();
    (!table.rows.is_empty() && table.heads.len() > 1).then_some(table)
}

fn generator(book: &Book, place: Place<'_>) -> Cell {
    let Some(busy) = book.spread(place, Figure::GeneratorBusy) else { return Cell::default() };
    let tone = if busy.median > GENERATOR_BUSY { Tone::Bad } else { Tone::Soft };
    Cell::toned(Unit::Share.show(busy.median), tone)
}

fn connections(book: &Book, script: &str, target: &str, name: &str) -> Option<usize> {
    book.of(script, target).filter_map(|run| phase(run, name)).map(|at| at.connections).max()
}

/// In red, unless it is what the phase is for.
fn trouble(book: &Book, script: &str, target: &str, name: &str) -> Cell {
    let phases = || book.of(script, target).filter_map(|run| phase(run, name));
    let mut words = Trouble::of(phases()).words();
    let (came, wanted) = (phases().count(), book.repetitions(script));
    if came < wanted {
        words.push(format!("{came} of {wanted} repetitions"));
    }
    let notes = phases().map(|phase| phase.notes.len()).sum::<usize>();
    if notes > 0 {
        words.push(format!("{notes} {}", if notes == 1 { "note" } else { "notes" }));
    }
    Cell::toned(words.join(", "), if is_meant(name, &Trouble::of(phases())) { Tone::Soft } else { Tone::Bad })
}

/// Who reads nothing is to be closed, and finds that out when it reads on: that is the point of it.
fn is_meant(phase: &str, trouble: &Trouble) -> bool {
    phase == "read on" && Trouble { closed: 0, ..*trouble } == Trouble::default()
}

fn heads(heads: &[(&str, bool)]) -> Vec<(String, bool)> {
    heads.iter().map(|(head, words)| ((*head).to_owned(), *words)).collect()
}

/// One line that says what was measured in a phase: connections, messages, bytes.
pub(super) fn about(book: &Book, script: &str, name: &str) -> String {
    let most = |what: &dyn Fn(&Phase) -> f64| {
        let phases = book.all().iter().filter(|run| run.script == script).filter_map(|run| phase(run, name));
        phases.map(what).fold(0.0, f64::max)
    };
    let mut said = Vec::new();
    let connections = most(&|phase| phase.connections as f64);
    if connections > 0.0 {
        said.push(format!("{} connections", Unit::Count.show(connections)));
    }
    let sent = most(&|phase| phase.sent as f64);
    let body = most(&|phase| phase.body_bytes as f64);
    if sent > 0.0 {
        let bytes = if body > 0.0 { format!(" of {}", Unit::Bytes.show(body)) } else { String::new() };
        said.push(format!("{} messages{bytes}", Unit::Count.show(sent)));
    }
    let spread = Spread::of(
        book.all()
            .iter()
            .filter(|run| run.script == script)
            .filter_map(|run| phase(run, name))
            .map(|phase| phase.seconds),
    );
    if let Some(spread) = spread {
        said.push(format!("{} s", with_range(Unit::Number, &spread)));
    }
    said.join(", ")
}
