//! What is counted and measured, from one reset to the next.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use crate::control::Collected;
use crate::dialect::stamp::Stamp;
use crate::histogram;

/// Messages whose last delivery is kept, for each worker that publishes: 16 MiB of them.
const MESSAGES: usize = 4 << 20;

/// Counters and histograms.
pub(crate) struct Tally {
    /// What was to be sent before isn't counted.
    since: u64,
    pub(crate) deliveries: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) sent: u64,
    pub(crate) closed: u64,
    pub(crate) refused: u64,
    /// When the newest delivery came; at first when counting began.
    pub(crate) newest: u64,
    out_of_order: u64,
    closes: BTreeMap<String, u64>,
    gaps: u64,
    missed: u64,
    first_refusal: Option<String>,
    latency: Histogram<u64>,
    last: Vec<Last>,
}

/// The latency of the newest receipt of each message of one worker, microseconds; 0: none came.
struct Last {
    origin: u16,
    messages: Vec<u32>,
}

impl Tally {
    pub(crate) fn new(now: u64) -> Tally {
        Tally {
            since: now,
            deliveries: 0,
            delivered_bytes: 0,
            reads: 0,
            sent: 0,
            closed: 0,
            refused: 0,
            newest: now,
            out_of_order: 0,
            closes: BTreeMap::new(),
            gaps: 0,
            missed: 0,
            first_refusal: None,
            latency: histogram::empty(),
            last: Vec::new(),
        }
    }

    /// A message came at `now`. `before`: one more than the number that came before it on the same connection. False: it is
    /// of before the last reset, and isn't counted.
    #[inline]
    pub(crate) fn delivery(&mut self, stamp: &Stamp, now: u64, before: &mut u32) -> bool {
        if stamp.intended < self.since {
            return false;
        }
        let microseconds = (now.saturating_sub(stamp.intended) / 1_000).max(1);
        self.deliveries += 1;
        self.newest = now;
        self.latency.saturating_record(microseconds);
        let origin = self.origin(stamp.origin);
        if stamp.ordered && origin == 0 {
            self.out_of_order += u64::from(stamp.number < *before);
            *before = stamp.number.saturating_add(1);
        }
        let messages = &mut self.last[origin].messages;
        let number = stamp.number as usize;
        if number >= messages.len() {
            if number >= MESSAGES {
                return true;
            }
            messages.resize((number + 1).next_power_of_two().min(MESSAGES), 0);
        }
        // Time only goes on, so what came last is the latest.
        messages[number] = u32::try_from(microseconds).unwrap_or(u32::MAX);
        true
    }

    fn origin(&mut self, origin: u16) -> usize {
        match self.last.iter().position(|last| last.origin == origin) {
            Some(at) => at,
            None => {
                self.last.push(Last { origin, messages: Vec::new() });
                self.last.len() - 1
            }
        }
    }

    /// A server closed a connection.
    pub(crate) fn close(&mut self, how: String) {
        self.closed += 1;
        *self.closes.entry(how).or_default() += 1;
    }

    /// A server said that so many messages won't come.
    pub(crate) fn gap(&mut self, missed: u64) {
        self.gaps += 1;
        self.missed += missed;
    }

    /// A server refused what an open connection asked for.
    pub(crate) fn refusal(&mut self, why: String) {
        self.refused += 1;
        self.first_refusal.get_or_insert(why);
    }

    pub(crate) fn collected(&self) -> Collected {
        let mut last = histogram::empty();
        for microseconds in self.last.iter().flat_map(|last| &last.messages).filter(|last| **last > 0) {
            last.saturating_record(u64::from(*microseconds));
        }
        Collected {
            deliveries: self.deliveries,
            delivered_bytes: self.delivered_bytes,
            reads: self.reads,
            out_of_order: self.out_of_order,
            closed: self.closed,
            closes: self.closes.clone(),
            gaps: self.gaps,
            missed: self.missed,
            refused: self.refused,
            first_refusal: self.first_refusal.clone(),
            latency: histogram::pack(&self.latency),
            last: histogram::pack(&last),
            lags: Vec::new(),
            orders: BTreeSet::new(),
            silences: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(intended: u64, number: u32, origin: u16, ordered: bool) -> Stamp {
        Stamp { intended, number, origin, ordered }
    }

    #[test]
    fn deliveries_are_measured_from_their_intended_time() {
        let mut tally = Tally::new(1_000_000);
        let (mut one, mut other) = (0, 0);
        tally.delivery(&stamp(2_000_000, 0, 0, true), 2_500_000, &mut one);
        tally.delivery(&stamp(2_000_000, 0, 0, true), 4_000_000, &mut other);
        let collected = tally.collected();
        let latency = histogram::unpack(&collected.latency).unwrap();
        assert_eq!((latency.len(), latency.min(), latency.max()), (2, 500, 2_000));
        let last = histogram::unpack(&collected.last).unwrap();
        assert_eq!((last.len(), last.min()), (1, 2_000));
        assert_eq!((collected.deliveries, collected.out_of_order), (2, 0));
    }

    #[test]
    fn what_was_sent_before_the_reset_isnt_counted() {
        let mut tally = Tally::new(1_000_000);
        tally.delivery(&stamp(999_999, 0, 0, true), 2_000_000, &mut 0);
        assert_eq!(tally.collected().deliveries, 0);
    }

    #[test]
    fn a_number_that_doesnt_grow_is_out_of_order_where_order_was_promised() {
        let mut tally = Tally::new(0);
        let mut before = 0;
        for (number, origin, ordered) in [
            (0, 1, true),
            (2, 1, true),
            (1, 1, true),
            (1, 1, true),
            (5, 1, false),
            (3, 1, true),
            (0, 2, true),
        ] {
            tally.delivery(&stamp(1, number, origin, ordered), 10, &mut before);
        }
        assert_eq!(tally.collected().out_of_order, 2);
    }

    #[test]
    fn each_workers_messages_are_their_own() {
        let mut tally = Tally::new(0);
        tally.delivery(&stamp(1, 7, 1, true), 10, &mut 0);
        tally.delivery(&stamp(1, 7, 2, true), 10, &mut 0);
        assert_eq!(histogram::unpack(&tally.collected().last).unwrap().len(), 2);
    }
}
