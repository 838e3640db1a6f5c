//! Slow readers of values.

use super::super::book::{Book, Way, phase};
use super::super::figure::{merged, quantile};
use super::super::spread::Spread;
use super::super::table::{Cell, Row, Table};
use super::super::unit::Unit;
use super::{p99, words};
use crate::control::{Histogram, Lag};
use crate::result::Run;

/// How far behind the newest of its key a value is at most, when it is written to a slow reader.
pub(super) fn behind_at_write(run: &Run) -> Option<f64> {
    let lags = &phase(run, "sipping")?.lags;
    lags.iter().filter_map(|lag| quantile(&lag.at_write, 1.0)).reduce(f64::max)
}

pub(super) fn table(book: &Book) -> Table {
    const SCRIPT: &str = "conflate";
    let heads = [
        ("target", true),
        ("slow reader", true),
        ("values of the key behind, as the server writes: median", false),
        ("at most", false),
        ("by the look after", false),
        ("as it is read: median", false),
        ("at most", false),
        ("age: median", false),
        ("at most", false),
        ("bytes that kernels hold", false),
        ("read", true),
        ("p99 of the others", false),
        ("before", false),
    ];
    let mut rows = Vec::new();
    for target in book.targets(SCRIPT) {
        let lags = |half: usize| -> Vec<&Lag> {
            let phases = book.of(SCRIPT, target).filter_map(|run| phase(run, "sipping"));
            let lags = phases.flat_map(move |at| at.lags.chunks(at.lags.len().div_ceil(2).max(1)).nth(half));
            lags.flatten().collect()
        };
        for (half, name) in ["usual buffer", "small buffer"].into_iter().enumerate() {
            let lags = lags(half);
            if lags.is_empty() {
                continue;
            }
            let quantiles = |what: fn(&Lag) -> &Histogram, unit: Unit| {
                let all = merged(lags.iter().map(|lag| what(lag)));
                let cell = |at: f64| match all.is_empty() {
                    true => Cell::default(),
                    false => Cell::text(unit.show(all.value_at_quantile(at) as f64)),
                };
                [cell(0.5), cell(1.0)]
            };
            let held = Spread::of(lags.iter().map(|lag| lag.held as f64));
            let p99_of = |name: &str| {
                let spread = book.figure(SCRIPT, target, |run| p99(phase(run, name)?)).filter(|_| half == 0);
                spread.map_or_else(Cell::default, |spread| Cell::spread(Unit::Micros, &spread))
            };
            let mut cells = vec![Cell::text(target), Cell::text(name)];
            cells.extend(quantiles(|lag| &lag.at_write, Unit::Count));
            cells.extend(quantiles(|lag| &lag.by_later_look, Unit::Count).into_iter().skip(1));
            cells.extend(quantiles(|lag| &lag.at_read, Unit::Count));
            cells.extend(quantiles(|lag| &lag.age, Unit::Micros));
            cells.push(held.map_or_else(Cell::default, |spread| Cell::text(Unit::Bytes.show(spread.median))));
            cells.push(Cell::text(what_was_read(&lags)));
            cells.extend([p99_of("sipping"), p99_of("before")]);
            rows.push(Row { cells, ours: Way::of(target).is_some() });
        }
    }
    Table { title: "Values of ten keys, and a slow reader".into(), heads: words(&heads), rows }
}

/// `4,700 of them; 12 gaps`: on average.
fn what_was_read(lags: &[&Lag]) -> String {
    let readers = lags.len().max(1) as f64;
    let mean = |what: fn(&Lag) -> u64| lags.iter().map(|lag| what(lag)).sum::<u64>() as f64 / readers;
    let mut said = format!("{} values", Unit::Count.show(mean(|lag| lag.messages).round()));
    let sums =
        [(mean(|lag| lag.missed), "told to be missing"), (mean(|lag| lag.backwards), "older after newer")];
    for (count, what) in sums {
        if count > 0.0 {
            said += &format!(", {} {what}", Unit::Count.show(count.round()));
        }
    }
    if let Some(how) = lags.iter().find_map(|lag| lag.closed.as_ref()) {
        said += &format!(", closed: {how}");
    }
    said
}
