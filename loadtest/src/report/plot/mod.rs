//! What is drawn: which figures of which runs, each as wide as a desk and as narrow as a phone shows it.

pub(crate) mod bars;
pub(crate) mod canvas;
mod cost;
pub(crate) mod curves;
mod ranges;
pub(crate) mod scale;
mod watch;

use std::collections::BTreeMap;

use super::book::{Book, Way, is_floor, phase};
use super::figure::{merged, to_many};
use super::tables::PRELUDES;
use super::unit::Unit;
use crate::control::Histogram;
use crate::result::{Phase, Run};
use canvas::Ink;
use curves::{Curve, curves};
use ranges::{Range, ranges};
use watch::{Line, Panel, watch};

/// CSS pixels: across the page, half of it, and on a phone.
const WHOLE: f64 = 1080.0;
const HALF: f64 = 525.0;
const PHONE: f64 = 360.0;

/// Scripts whose distributions most readers look for (and those that only begin like them: `core-10k`).
const SHOWN: [&str; 5] = ["core", "window", "echo", "rooms", "slow"];

/// A figure as the page shows it.
pub(super) struct Plot {
    pub(super) title: String,
    /// What the bars are, in their order; empty with one.
    pub(super) legend: Vec<&'static str>,
    pub(super) wide: String,
    pub(super) narrow: String,
    pub(super) half: bool,
    /// Not what most readers look for: folded away.
    pub(super) folded: bool,
}

/// Plots under a common heading.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) about: &'static str,
    pub(super) plots: Vec<Plot>,
}

/// Everything there is to draw.
pub(super) fn all(book: &Book) -> anyhow::Result<Vec<Group>> {
    let mut groups = vec![Group { title: "Cost".into(), about: "", plots: cost::plots(book)? }];
    groups.push(Group {
        title: "Latency by percentile".into(),
        about: "From the moment a message was to be sent until a member had it; in connect, from dialling until ready. \
                Each step to the right is a tenth of what is left. All repetitions together.",
        plots: percentiles(book)?,
    });
    groups.push(Group {
        title: "The last member".into(),
        about: "From the moment a message was to be sent until the last member had it. Line: p1 to p99 of messages, \
                block: the middle half, dot: the median.",
        plots: last_members(book)?,
    });
    groups.push(Group {
        title: "Over time".into(),
        about: "The longest repetition. Slopes of memory are fitted to the second half.",
        plots: watched(book)?,
    });
    groups.retain(|group| !group.plots.is_empty());
    Ok(groups)
}

fn percentiles(book: &Book) -> anyhow::Result<Vec<Plot>> {
    let inks = inks(book);
    let mut plots = Vec::new();
    for (script, name) in script_phases(book) {
        let drawn: Vec<Curve> = book
            .targets(script)
            .into_iter()
            .filter_map(|target| {
                let histogram = over_repetitions(book, script, target, name, |phase| &phase.latency);
                Curve::new(target, inks[target], Way::of(target).is_some(), &histogram)
            })
            .collect();
        if drawn.is_empty() {
            continue;
        }
        let title = format!("{script}: {name}");
        plots.push(Plot {
            legend: Vec::new(),
            wide: curves(HALF, &title, &drawn)?,
            narrow: curves(PHONE, &title, &drawn)?,
            half: true,
            folded: name == "connect" || !is_shown(script),
            title,
        });
    }
    Ok(plots)
}

fn last_members(book: &Book) -> anyhow::Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for (script, name) in script_phases(book) {
        if !book.all().iter().any(|run| run.script == script && phase(run, name).is_some_and(to_many)) {
            continue;
        }
        let mut drawn: Vec<Range> = book
            .targets(script)
            .into_iter()
            .filter_map(|target| {
                let histogram = over_repetitions(book, script, target, name, |phase| &phase.last);
                Range::new(target, plain_ink(target), &histogram)
            })
            .collect();
        if drawn.is_empty() {
            continue;
        }
        drawn.sort_by(|a, b| a.at[2].total_cmp(&b.at[2]));
        let title = format!("{script}: {name}");
        plots.push(Plot {
            legend: Vec::new(),
            wide: ranges(HALF, &title, &drawn)?,
            narrow: ranges(PHONE, &title, &drawn)?,
            half: true,
            folded: !is_shown(script),
            title,
        });
    }
    Ok(plots)
}

fn watched(book: &Book) -> anyhow::Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for (script, name) in script_phases(book) {
        for target in book.targets(script) {
            let longest = book
                .of(script, target)
                .filter_map(|run| Some((run, phase(run, name)?)))
                .filter(|(_, at)| at.samples.len() > 1)
                .max_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds));
            let Some((run, at)) = longest else { continue };
            let panels = panels(book, run, at, target);
            let title = format!("{script}: {name}, {target}");
            plots.push(Plot {
                legend: Vec::new(),
                wide: watch(WHOLE, &title, &panels)?,
                narrow: watch(PHONE, &title, &panels)?,
                half: false,
                folded: Way::of(target).is_none(),
                title,
            });
        }
    }
    Ok(plots)
}

/// Memory and descriptors by role, connections, deliveries per second; what is always zero is left out.
fn panels(book: &Book, run: &Run, at: &Phase, target: &str) -> Vec<Panel> {
    let roles: Vec<&str> = run.server(at).map(|(role, _)| role).collect();
    let line = |name: &str, ink: Ink, points: Vec<(f64, f64)>| Line { name: name.to_owned(), ink, points };
    let ink = |role: &str| match role {
        "node" => Ink::DIRECT,
        "gateway" => Ink::GATEWAY,
        _ => plain_ink(target),
    };
    let memory = roles.iter().map(|role| line(role, ink(role), book.resident_over_time(run, at, Some(role))));
    let files = roles.iter().map(|role| {
        let points =
            at.samples.iter().filter_map(|sample| Some((sample.at, *sample.files.get(*role)? as f64)));
        line(role, ink(role), points.collect())
    });
    let connections = at.samples.iter().map(|sample| (sample.at, sample.connections as f64));
    let rate = at.samples.windows(2).map(|pair| {
        let seconds = (pair[1].at - pair[0].at).max(1e-3);
        (pair[1].at, pair[1].deliveries.saturating_sub(pair[0].deliveries) as f64 / seconds)
    });
    let own = plain_ink(target);
    let panel = |title, unit, slope, lines| Panel { title, unit, slope, lines };
    let mut panels = vec![
        panel("resident memory", Unit::Bytes, true, memory.collect()),
        panel("open descriptors", Unit::Count, false, files.collect()),
        panel("connections", Unit::Count, false, vec![line("", own, connections.collect())]),
        panel("deliveries per second", Unit::PerSecond, false, vec![line("", own, rate.collect())]),
    ];
    for panel in &mut panels {
        panel.lines.retain(|line| line.points.iter().any(|point| point.1 > 0.0));
    }
    panels.retain(|panel| !panel.lines.is_empty());
    panels
}

fn is_shown(script: &str) -> bool {
    SHOWN
        .iter()
        .any(|shown| script.strip_prefix(shown).is_some_and(|rest| !rest.starts_with(char::is_alphabetic)))
}

fn script_phases(book: &Book) -> Vec<(&str, &str)> {
    let scripts = book.scripts().into_iter();
    let told = |(_, phase): &(&str, &str)| !PRELUDES.contains(phase);
    scripts
        .flat_map(|script| book.phases(script).into_iter().map(move |phase| (script, phase)))
        .filter(told)
        .collect()
}

fn over_repetitions(
    book: &Book,
    script: &str,
    target: &str,
    name: &str,
    what: fn(&Phase) -> &Histogram,
) -> hdrhistogram::Histogram<u64> {
    merged(book.of(script, target).filter_map(|run| phase(run, name)).map(what))
}

/// Where only Ringway and the floor are told apart.
fn plain_ink(target: &str) -> Ink {
    match Way::of(target) {
        Some(Way::Direct) => Ink::DIRECT,
        Some(Way::Gateway) => Ink::GATEWAY,
        Some(Way::OneProcess) => Ink::ONE,
        None if is_floor(target) => Ink::FLOOR,
        None => Ink::REST,
    }
}

/// A colour for each target, the same in every plot.
fn inks(book: &Book) -> BTreeMap<&str, Ink> {
    let mut others = 0;
    let mut inks = BTreeMap::new();
    for target in book.everyone() {
        let mut ink = plain_ink(target);
        if ink == Ink::REST {
            ink = Ink::other(others);
            others += 1;
        }
        inks.insert(target, ink);
    }
    inks
}
