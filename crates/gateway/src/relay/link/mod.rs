//! One link of a worker to a node: one task for its life, from the first attempt to its end.
//!
//! It makes the connection, hands each record to the worker's table, sends pings, and says when the link is lost. What is said
//! to the node is written by whoever has it.

mod dead;
mod make;
mod metrics;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use ringway_edge::{By, Ended, Message, Outbound, Reader};
use ringway_link::{Up, codec};
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use metrics::LinkMetrics;
use pulse::{PING, Pulse};

use super::table::NodeNo;
use super::worker::Worker;

/// How long a link stands that nobody needs.
const UNNEEDED: Duration = Duration::from_secs(60);

/// Why a link was lost, or couldn't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It broke, or the node ended it without a word.
    Lost,
    /// The node ended it with a close frame.
    Closed,
    /// The node gave no sign of life.
    Silent,
    /// The node took nothing for too long.
    Stalled,
    /// More waited for the node than may.
    Full,
    /// The node said what it may not say.
    Broken,
    /// It couldn't be made.
    Unmade,
}

impl Cut {
    fn label(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Full => "full",
            Self::Broken => "broken",
            Self::Unmade => "unmade",
        }
    }

    fn of(ended: Ended) -> Self {
        match ended.by {
            By::Slow | By::Shed => Self::Full,
            By::Stalled => Self::Stalled,
            By::Peer => Self::Closed,
            // What broke the rules of frames was closed by this side.
            By::Us => Self::Broken,
            By::Lost => Self::Lost,
        }
    }
}

/// How a link ended.
enum End {
    Cut(Cut),
    /// Nobody needs it any more, or the gateway ends: it says so, politely.
    Over(Reader),
}

/// A link's whole life.
pub(crate) async fn live(worker: Arc<Worker>, node: NodeNo) {
    let made = match make::make(&worker, node).await {
        Ok(made) => made,
        Err(why) => return worker.link_lost(node, why, None),
    };
    let begun = Instant::now();
    match run(&worker, node, made).await {
        End::Cut(why) => worker.link_lost(node, why, Some(begun.elapsed())),
        End::Over(reader) => reader.finish().await,
    }
}

async fn run(worker: &Arc<Worker>, node: NodeNo, (out, mut reader): (Arc<Outbound>, Reader)) -> End {
    let common = worker.common();
    let _open = common.metrics.opened(&out);
    if !worker.link_up(node, &out) {
        return End::Cut(Cut::Full);
    }
    let mut pulse = Pulse::new(out.last_received());
    let mut pings = tokio::time::interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unneeded = Unneeded::default();
    loop {
        let mut heard = Heard { worker, node, records: 0, bytes: 0, is_broken: false };
        let mut on = |message: Message<'_>| heard.take_in(&message);
        let read = tokio::select! {
            read = reader.read(&mut on) => Some(read),
            () = common.stop.cancelled() => {
                worker.link_over(node);
                return End::Over(reader);
            }
            _ = pings.tick() => None,
        };
        let Heard { records, bytes, is_broken, .. } = heard;
        if records > 0 {
            common.metrics.heard(records, bytes);
            worker.carry_out();
        }
        if is_broken {
            out.cut();
            return End::Cut(Cut::Broken);
        }
        match read {
            Some(Ok(())) => {}
            Some(Err(ended)) => return End::Cut(Cut::of(ended)),
            None => {
                if out.check_stalled(std::time::Instant::now()) {
                    continue;
                }
                let Some(number) = pulse.beat(out.last_received()) else {
                    out.cut();
                    return End::Cut(Cut::Silent);
                };
                let mut record = Vec::new();
                codec::encode_up(&Up::Ping { number }, &mut record);
                out.send(&ringway_edge::Frame::record(&record));
                if unneeded.is_over(worker.needs(node), Instant::now()) && worker.link_unneeded(node) {
                    return End::Over(reader);
                }
            }
        }
    }
}

/// Since when nobody has needed a link.
#[derive(Debug, Default)]
struct Unneeded(Option<Instant>);

impl Unneeded {
    /// Whether nobody has for so long that it should end.
    fn is_over(&mut self, is_needed: bool, now: Instant) -> bool {
        if is_needed {
            self.0 = None;
            return false;
        }
        now.saturating_duration_since(*self.0.get_or_insert(now)) >= UNNEEDED
    }
}

/// What one pass over a link's bytes brings.
struct Heard<'a> {
    worker: &'a Arc<Worker>,
    node: NodeNo,
    records: u64,
    bytes: u64,
    is_broken: bool,
}

impl Heard<'_> {
    fn take_in(&mut self, message: &Message<'_>) {
        let Message::Binary(record) = message else {
            return self.break_off(&"a text message");
        };
        if self.is_broken {
            return;
        }
        self.records += 1;
        self.bytes += record.len() as u64;
        match codec::decode_down(record) {
            Ok(down) => {
                if let Err(broken) = self.worker.heard(self.node, &down) {
                    self.break_off(&broken);
                }
            }
            Err(bad) => self.break_off(&bad),
        }
    }

    fn break_off(&mut self, why: &dyn std::fmt::Display) {
        self.is_broken = true;
        let node = self.worker.node_id(self.node);
        tracing::warn!(node = node.as_ref().map(AsRef::as_ref), %why, "a node broke the rules of its link, which is cut");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_left_when_nobody_has_needed_it_for_a_while() {
        let begun = Instant::now();
        let mut unneeded = Unneeded::default();
        let mut looks = Vec::new();
        for (second, is_needed) in
            [(0, false), (59, false), (60, true), (61, false), (120, false), (121, false)]
        {
            looks.push(unneeded.is_over(is_needed, begun + Duration::from_secs(second)));
        }
        assert_eq!(looks, [false, false, false, false, false, true]);
    }
}
