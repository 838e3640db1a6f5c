//! The bars.

use super::super::book::{Book, Way, is_floor, phase};
use super::super::spread::Spread;
use super::super::table::{Cell, Row, Tone};
use super::super::unit::{Unit, with_range};
use super::sipping::behind_at_write;
use super::{p99_ratio, server_growth};

/// The bars that are set for these scripts, as rows of the headline table: of those that ran.
pub(in super::super) fn bars(book: &Book) -> Vec<Row> {
    let mut rows = Vec::new();
    for (way, target) in [
        (Way::Direct, "ringway direct"),
        (Way::OneProcess, "ringway serve"),
        (Way::Gateway, "ringway gateway"),
    ] {
        let ratio = |target: &str| book.figure("slow", target, |run| p99_ratio(run, "before", "stalled"));
        let lost = book.of("slow", target).filter_map(|run| phase(run, "stalled")).map(|at| at.lost).sum();
        let what = "p99 of the others while a tenth doesn't read, to before";
        let rival = Cell::text(best_rival(book).unwrap_or_default());
        rows.extend(bar(what, way, (Unit::Ratio, 1.1), ratio(target), lost, rival));
        for policy in ["drop_oldest", "conflate"] {
            let target = format!("{target} {policy}");
            let lost =
                book.of("slow", &target).filter_map(|run| phase(run, "stalled")).map(|at| at.lost).sum();
            let what = format!("the same under {policy}");
            rows.extend(bar(&what, way, (Unit::Ratio, 1.1), ratio(&target), lost, Cell::default()));
        }
    }
    for (way, target) in [
        (Way::Direct, "ringway direct conflate"),
        (Way::OneProcess, "ringway serve conflate"),
        (Way::Gateway, "ringway gateway conflate"),
    ] {
        let behind = book.figure("conflate", target, behind_at_write);
        let what = "values of a key that a slow reader is behind as the server writes, at most (10 ms each)";
        rows.extend(bar(what, way, (Unit::Count, 1.0), behind, 0, Cell::default()));
    }
    for (way, target) in [
        (Way::Direct, "ringway direct"),
        (Way::OneProcess, "ringway serve"),
        (Way::Gateway, "ringway gateway"),
    ] {
        let ratio = book.figure("noisy", target, |run| p99_ratio(run, "alone", "noisy"));
        let without = book.figure("noisy", target, |run| p99_ratio(run, "alone", "unlimited"));
        let without = without.map_or_else(Cell::default, |spread| {
            Cell::text(format!("{} without a limit", with_range(Unit::Ratio, &spread)))
        });
        let lost = book.of("noisy", target).filter_map(|run| phase(run, "noisy")).map(|at| at.lost).sum();
        let what = "p99 beside a tenant at 10 × its limit, to alone";
        rows.extend(bar(what, way, (Unit::Ratio, 1.2), ratio, lost, without));
    }
    rows
}

/// A row; none: it wasn't measured.
fn bar(
    what: &str,
    way: Way,
    (unit, most): (Unit, f64),
    spread: Option<Spread>,
    lost: u64,
    beside: Cell,
) -> Option<Row> {
    let spread = spread?;
    let (word, tone) = match (lost, spread.median <= most) {
        (0, true) => ("met".to_owned(), Tone::Good),
        (0, false) => ("missed".to_owned(), Tone::Bad),
        _ => (format!("{} never came", Unit::Count.show(lost as f64)), Tone::Bad),
    };
    let bar = if unit == Unit::Ratio { format!("≤ {most} ×") } else { format!("≤ {most}") };
    Some(Row {
        cells: vec![
            Cell::text(what),
            Cell::toned(way.name(), Tone::Soft),
            Cell::text(bar),
            Cell { tone, ..Cell::spread(unit, &spread) },
            Cell::toned(word, tone),
            beside,
        ],
        ours: false,
    })
}

/// Whose others are disturbed least, of those who lose nothing for them, with what that costs in memory.
pub(super) fn best_rival(book: &Book) -> Option<String> {
    let rivals = book.targets("slow").into_iter().filter(|target| {
        let lost = book.of("slow", target).filter_map(|run| phase(run, "stalled")).any(|at| at.lost > 0);
        Way::of(target).is_none() && !is_floor(target) && !lost
    });
    let measured = rivals.filter_map(|target| {
        Some((target, book.figure("slow", target, |run| p99_ratio(run, "before", "stalled"))?))
    });
    let (target, spread) = measured.min_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let memory = book.figure("slow", target, server_growth)?;
    Some(format!(
        "{} {target}, {} for each that doesn't read",
        with_range(Unit::Ratio, &spread),
        Unit::Bytes.show(memory.median)
    ))
}
