//! What the worker is at: the command that isn't answered yet.

use hdrhistogram::Histogram;

use super::clock;
use super::pace::Pace;
use super::publish::Publishing;
use super::tally::Tally;
use crate::control::Opened;
use crate::histogram;

/// A command under way.
pub(crate) enum Job {
    Open(Opening),
    Publish(Box<Publishing>),
    Collect(Collecting),
    /// Until those that leave have left.
    Close,
    Churn(Pace),
}

/// How connections are opened.
pub(crate) struct Opening {
    /// How many are still to be begun.
    pub(crate) left: usize,
    /// When, where that was asked for.
    pub(crate) pace: Option<Pace>,
    /// How many at a time, where not.
    pub(crate) in_flight: usize,
}

/// Until when is waited.
pub(crate) struct Collecting {
    pub(crate) deliveries: Option<u64>,
    pub(crate) end: u64,
    /// Nanoseconds without a delivery that end it, too.
    pub(crate) quiet: Option<u64>,
    /// Whether silences are told.
    pub(crate) silences: bool,
    pub(crate) began: u64,
}

/// Connections that a command opens.
pub(crate) struct Arrivals {
    /// On their way.
    pub(crate) pending: usize,
    opened: usize,
    failed: usize,
    first_failure: Option<String>,
    began: u64,
    latency: Histogram<u64>,
}

impl Arrivals {
    pub(crate) fn new(now: u64) -> Arrivals {
        Arrivals {
            pending: 0,
            opened: 0,
            failed: 0,
            first_failure: None,
            began: now,
            latency: histogram::empty(),
        }
    }

    /// One that was to begin at `started` is ready.
    pub(crate) fn opened(&mut self, started: u64, now: u64) {
        self.pending = self.pending.saturating_sub(1);
        self.opened += 1;
        self.latency.saturating_record((now.saturating_sub(started) / 1_000).max(1));
    }

    /// One that was on its way won't be.
    pub(crate) fn failed(&mut self, why: String) {
        self.pending = self.pending.saturating_sub(1);
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }

    pub(crate) fn told(&self, now: u64) -> Opened {
        Opened {
            opened: self.opened,
            failed: self.failed,
            first_failure: self.first_failure.clone(),
            seconds: clock::seconds(now - self.began),
            latency: histogram::pack(&self.latency),
        }
    }
}

impl Collecting {
    pub(super) fn is_done(&self, tally: &Tally, now: u64) -> bool {
        self.deliveries.is_some_and(|wanted| tally.deliveries >= wanted) || now >= self.due(tally.newest)
    }

    /// When it ends if nothing comes any more.
    pub(super) fn due(&self, newest: u64) -> u64 {
        let quiet = self.quiet.map_or(u64::MAX, |quiet| newest.max(self.began).saturating_add(quiet));
        self.end.min(quiet)
    }
}
