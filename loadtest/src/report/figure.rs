//! What a figure is: how it is made from a run.

use super::book::{Book, phase};
use super::spread::{Spread, slope_of_second_half};
use super::unit::Unit;
use crate::control::Histogram;
use crate::histogram;
use crate::result::{Phase, Run, Use};

/// Phases at whose end a connection's memory is looked at.
pub(super) const MEMORY: [&str; 3] = ["idle", "big", "left"];

/// Seconds.
const SHORTEST_FOR_SLOPE: f64 = 20.0;

/// Where a figure is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) script: &'a str,
    pub(super) target: &'a str,
    pub(super) phase: &'a str,
    /// None: the whole server.
    pub(super) role: Option<&'a str>,
}

impl Place<'_> {
    /// The same place, but one role alone.
    pub(super) fn role<'a>(&'a self, role: &'a str) -> Place<'a> {
        Place { role: Some(role), ..*self }
    }
}

/// Something measured in a phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Microseconds of CPU for each delivery that came.
    CpuPerDelivery,
    /// Microseconds of CPU for each connection opened, where nothing was delivered meanwhile.
    CpuPerOpening,
    /// Resident bytes a connection, over what the server held before the first. In `left`: what stays of each.
    Memory,
    /// Cores busy.
    Busy,
    /// Resident bytes at the end.
    Resident,
    /// Open descriptors at the end.
    Files,
    /// Resident bytes a minute, fitted to the second half of the samples.
    Slope,
    /// Microseconds until the last member had a message, the median of messages.
    Last,
    DeliveriesPerSecond,
    DeliveriesPerRead,
    OpeningsPerSecond,
    GeneratorBusy,
    /// The share of deliveries made on another node than the room's.
    Lambda,
    /// The share of publications received from other nodes that nobody there wanted.
    Unwanted,
}

impl Book {
    /// A figure's spread over repetitions.
    pub(super) fn spread(&self, place: Place<'_>, figure: Figure) -> Option<Spread> {
        self.figure(place.script, place.target, |run| self.value(run, place.phase, place.role, figure))
    }

    /// The same, relative to the floor's (its whole server's) in the same phase of the same repetition.
    pub(super) fn ratio(&self, place: Place<'_>, figure: Figure) -> Option<Spread> {
        let of_floor = |run: &Run| self.value(run, place.phase, None, figure);
        let own = |run: &Run| self.value(run, place.phase, place.role, figure);
        self.relative(place.script, place.target, own, of_floor)
    }

    /// A figure of one run.
    pub(super) fn value(&self, run: &Run, name: &str, role: Option<&str>, figure: Figure) -> Option<f64> {
        let at = phase(run, name)?;
        let per_second = |count: f64| (count > 0.0 && at.seconds > 0.0).then(|| count / at.seconds);
        match figure {
            Figure::CpuPerDelivery => each(self.cpu(run, at, role)?, at.deliveries as f64),
            Figure::CpuPerOpening if at.deliveries > 0 => None,
            Figure::CpuPerOpening => each(self.cpu(run, at, role)?, at.opened as f64),
            Figure::Memory => self.memory(run, at, role),
            Figure::Busy => self.cpu(run, at, role).filter(|_| at.seconds > 0.0).map(|cpu| cpu / at.seconds),
            Figure::Resident => self.sum(run, at, role, |used| used.rss_after as f64),
            Figure::Files => self.sum(run, at, role, |used| used.files as f64).filter(|files| *files > 0.0),
            Figure::Slope => slope_a_minute(&self.resident_over_time(run, at, role)),
            Figure::Last => quantile(&at.last, 0.5).filter(|_| to_many(at)),
            Figure::DeliveriesPerSecond => per_second(at.deliveries as f64),
            Figure::DeliveriesPerRead => (at.deliveries_per_read > 0.0).then_some(at.deliveries_per_read),
            Figure::OpeningsPerSecond => per_second(at.opened as f64),
            Figure::GeneratorBusy => (at.generator_busy > 0.0).then_some(at.generator_busy),
            Figure::Lambda => at.placed.lambda(),
            Figure::Unwanted => at.placed.unwanted(),
        }
    }

    /// Resident bytes of the server (or a role of it) at each sample.
    pub(super) fn resident_over_time(&self, run: &Run, at: &Phase, role: Option<&str>) -> Vec<(f64, f64)> {
        let ours: Vec<&str> = run.server(at).map(|(name, _)| name).collect();
        let counts = |name: &str| role.map_or_else(|| ours.contains(&name), |role| role == name);
        at.samples
            .iter()
            .filter(|sample| sample.rss.keys().any(|name| counts(name)))
            .map(|sample| {
                let bytes: u64 = sample.rss.iter().filter(|(name, _)| counts(name)).map(|(_, rss)| rss).sum();
                (sample.at, bytes as f64)
            })
            .collect()
    }

    fn cpu(&self, run: &Run, at: &Phase, role: Option<&str>) -> Option<f64> {
        self.sum(run, at, role, |used| used.cpu)
    }

    fn memory(&self, run: &Run, at: &Phase, role: Option<&str>) -> Option<f64> {
        let connect = phase(run, "connect")?;
        let before = self.sum(run, connect, role, |used| used.rss_before as f64)?;
        let after = self.sum(run, at, role, |used| used.rss_after as f64)?;
        let connections = match at.name.as_str() {
            "left" => phase(run, "idle").unwrap_or(connect).connections,
            name if MEMORY.contains(&name) => at.connections,
            _ => return None,
        };
        (connections > 0).then(|| (after - before) / connections as f64)
    }

    fn sum(&self, run: &Run, at: &Phase, role: Option<&str>, what: impl Fn(&Use) -> f64) -> Option<f64> {
        let used: Vec<f64> = run
            .server(at)
            .filter(|(name, _)| role.is_none_or(|role| role == *name))
            .map(|(_, used)| what(used))
            .collect();
        (!used.is_empty()).then(|| used.iter().sum())
    }
}

/// How memory grows, bytes a minute. None where the time is too short for a minute to be spoken of.
pub(crate) fn slope_a_minute(resident: &[(f64, f64)]) -> Option<f64> {
    let seconds = resident.last()?.0 - resident.first()?.0;
    slope_of_second_half(resident).filter(|_| seconds >= SHORTEST_FOR_SLOPE).map(|slope| slope * 60.0)
}

/// Whether the last member is another than the only one: messages that went to many.
pub(super) fn to_many(phase: &Phase) -> bool {
    phase.deliveries >= 2 * phase.sent && phase.sent > 0
}

/// Microseconds for each of so many.
fn each(seconds: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| seconds * 1e6 / count)
}

/// A quantile of one histogram, microseconds.
pub(super) fn quantile(text: &Histogram, at: f64) -> Option<f64> {
    let read = histogram::unpack(text).ok()?;
    (!read.is_empty()).then(|| read.value_at_quantile(at) as f64)
}

/// The repetitions' histograms as one. One that can't be read is left out.
pub(super) fn merged<'a>(texts: impl IntoIterator<Item = &'a Histogram>) -> hdrhistogram::Histogram<u64> {
    let mut all = histogram::empty();
    for text in texts {
        if let Ok(one) = histogram::unpack(text) {
            // Histograms of other bounds hold values that this one's can take: it grows to 5 minutes, as they all do.
            let _ = all.add(&one);
        }
    }
    all
}

/// What went wrong in a target's repetitions of a phase, summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Due, and never delivered.
    pub(super) lost: u64,
    pub(super) out_of_order: u64,
    pub(super) failed: u64,
    pub(super) closed: u64,
    /// What hasn't gone that should have.
    pub(super) left_over: u64,
}

impl Trouble {
    pub(super) fn of<'a>(phases: impl IntoIterator<Item = &'a Phase>) -> Self {
        phases.into_iter().fold(Self::default(), |sum, phase| Self {
            lost: sum.lost + phase.lost,
            out_of_order: sum.out_of_order + phase.out_of_order,
            failed: sum.failed + phase.failed as u64,
            closed: sum.closed + phase.closed,
            left_over: sum.left_over + phase.left_over.len() as u64,
        })
    }

    /// In words; empty: nothing went wrong.
    pub(super) fn words(&self) -> Vec<String> {
        let all = [
            (self.lost, "lost"),
            (self.out_of_order, "out of order"),
            (self.failed, "not opened"),
            (self.closed, "closed"),
            (self.left_over, "left over"),
        ];
        all.into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", Unit::Count.show(count as f64)))
            .collect()
    }
}
