//! Bars: what a delivery, a connection's memory and its opening cost.

use super::bars::{Bar, bars};
use super::{PHONE, Plot, WHOLE, plain_ink};
use crate::report::book::{Book, FLOOR};
use crate::report::figure::{Figure, Place};
use crate::report::spread::Spread;
use crate::report::unit::Unit;

/// Three kinds, each of the script that says most about it; of other scripts folded away.
pub(super) fn plots(book: &Book) -> anyhow::Result<Vec<Plot>> {
    let deliveries = Kind {
        title: "CPU per delivery, times the floor",
        figure: Figure::CpuPerDelivery,
        phases: &["single", "eight"],
        legend: &["one message at a time", "eight together"],
        unit: Unit::Ratio,
        mark: Some((1.0, "floor")),
    };
    let memory = Kind {
        title: "resident memory per connection",
        figure: Figure::Memory,
        phases: &["idle", "big"],
        legend: &["idle", "after a burst of large messages"],
        unit: Unit::Bytes,
        mark: None,
    };
    let openings = Kind {
        title: "CPU per connection opened",
        figure: Figure::CpuPerOpening,
        phases: &["connect"],
        legend: &[],
        unit: Unit::Micros,
        mark: None,
    };
    let mut plots = Vec::new();
    for kind in [deliveries, memory, openings] {
        let drawn: Vec<(usize, usize, Plot)> = book
            .scripts()
            .into_iter()
            .map(|script| kind.plot(book, script))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        let fullest = drawn.iter().map(|(parts, bars, _)| (*parts, *bars)).max();
        let shown = drawn.iter().position(|(parts, bars, _)| Some((*parts, *bars)) == fullest);
        plots.extend(
            drawn
                .into_iter()
                .enumerate()
                .map(|(place, (_, _, plot))| Plot { folded: Some(place) != shown, ..plot }),
        );
    }
    Ok(plots)
}

/// A figure in some phases of a script, for every target.
struct Kind {
    title: &'static str,
    figure: Figure,
    phases: &'static [&'static str],
    legend: &'static [&'static str],
    unit: Unit,
    mark: Option<(f64, &'static str)>,
}

impl Kind {
    /// With the number of its phases that are there, and of its bars.
    fn plot(&self, book: &Book, script: &str) -> anyhow::Result<Option<(usize, usize, Plot)>> {
        let known = book.phases(script);
        let (phases, legend): (Vec<&str>, Vec<&'static str>) = self
            .phases
            .iter()
            .enumerate()
            .filter(|(_, phase)| known.contains(phase))
            .map(|(place, phase)| (*phase, self.legend.get(place).copied().unwrap_or_default()))
            .unzip();
        let bars_of = rows(book, script, |target| {
            let spread = |phase: &&str| {
                let place = Place { script, target, phase, role: None };
                match self.unit {
                    // The floor is the line that is marked.
                    Unit::Ratio if target == FLOOR => None,
                    Unit::Ratio => book.ratio(place, self.figure),
                    _ => book.spread(place, self.figure),
                }
            };
            phases.iter().map(spread).collect()
        });
        if bars_of.is_empty() {
            return Ok(None);
        }
        let title = format!("{script}: {}", self.title);
        let plot = Plot {
            legend: if phases.len() > 1 { legend } else { Vec::new() },
            wide: bars(WHOLE, &title, self.unit, self.mark, &bars_of)?,
            narrow: bars(PHONE, &title, self.unit, self.mark, &bars_of)?,
            half: false,
            folded: false,
            title,
        };
        Ok(Some((phases.len(), bars_of.len(), plot)))
    }
}

/// A bar for each target of which there is something, the least first.
fn rows(book: &Book, script: &str, parts: impl Fn(&str) -> Vec<Option<Spread>>) -> Vec<Bar> {
    let mut rows: Vec<Bar> = book
        .targets(script)
        .into_iter()
        .map(|target| Bar { label: target.to_owned(), ink: plain_ink(target), parts: parts(target) })
        .filter(|bar| bar.parts.iter().any(Option::is_some))
        .collect();
    let least = |bar: &Bar| bar.parts.iter().flatten().next().map_or(f64::INFINITY, |spread| spread.median);
    rows.sort_by(|a, b| least(a).total_cmp(&least(b)));
    rows
}
