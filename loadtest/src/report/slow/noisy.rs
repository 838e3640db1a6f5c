//! A tenant that asks for too much.

use super::super::book::{Book, Way, phase};
use super::super::table::{Cell, Row, Table};
use super::super::unit::{Unit, with_range};
use super::{p99, p99_ratio, words};
use crate::result::Run;

pub(super) fn table(book: &Book) -> Table {
    const SCRIPT: &str = "noisy";
    let heads = [
        ("target", true),
        ("p99 alone", false),
        ("beside a tenant at 10 × its limit", false),
        ("ratio", false),
        ("what came of that", true),
        ("beside the same without a limit", false),
        ("ratio", false),
        ("what came of that", true),
    ];
    let rows = book.targets(SCRIPT).into_iter().map(|target| {
        let figure = |unit: Unit, of: &dyn Fn(&Run) -> Option<f64>| {
            book.figure(SCRIPT, target, of)
                .map_or_else(Cell::default, |spread| Cell::text(with_range(unit, &spread)))
        };
        let of = |name: &str| figure(Unit::Micros, &|run: &Run| p99(phase(run, name)?));
        let ratio = |name: &str| figure(Unit::Ratio, &|run: &Run| p99_ratio(run, "alone", name));
        let beside = |name: &str| {
            let all = || book.of(SCRIPT, target).filter_map(|run| phase(run, name)?.beside.as_ref());
            let (sent, refused) = (all().map(|b| b.sent).sum::<u64>(), all().map(|b| b.refused).sum::<u64>());
            let delivered: u64 = all().map(|beside| beside.deliveries).sum();
            let runs = all().count().max(1) as u64;
            let show = |count: u64| Unit::Count.show((count / runs) as f64);
            Cell::text(format!(
                "{} published, {} refused, {} delivered",
                show(sent),
                show(refused),
                show(delivered)
            ))
        };
        let mut cells = vec![Cell::text(target), of("alone")];
        for name in ["noisy", "unlimited"] {
            cells.extend([of(name), ratio(name), beside(name)]);
        }
        Row { cells, ours: Way::of(target).is_some() }
    });
    Table { title: "A tenant at ten times its limit".into(), heads: words(&heads), rows: rows.collect() }
}
