//! The bound on what waits for slow clients and what rooms keep for those who come back: all of it together has a
//! budget, and when it is nearly spent the worst offenders give way first.
//!
//! A look every 100 ms compares the bytes of all frames that are alive (they are shared, so no sum over queues says it)
//! and what rooms weigh (each shard keeps a sum) with the budget. What weighs more gives way first: of the connections
//! that are behind those with the most waiting, of the rooms those with the largest replay buffers.

mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use ringway_edge::Frame;
use ringway_edge::budget::{Budget, LOOK_EVERY, TELL_EVERY, empty_slowest};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::conn::ConnRef;
use crate::node::Inner;
use crate::registry::SPOKES;
use crate::shard::{Command, Shed, Weighed};

/// How long shards are waited for that make their rooms lighter.
const SHED_WITHIN: Duration = Duration::from_secs(2);

/// What the rooms of one shard weigh, in bytes. Written by the shard alone, read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Kept(AtomicU64);

impl Kept {
    pub(crate) fn grow(&self, bytes: usize) {
        self.0.store(self.bytes() + bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn shrink(&self, bytes: usize) {
        self.0.store(self.bytes() - bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of what memory there is a budget.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub(crate) enum Kind {
    queues,
    replay,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: Kind,
}

/// The budget's use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// What all frames take that are alive in this process.
    pub(crate) queues: u64,
    /// What the node's rooms weigh.
    pub(crate) replay: u64,
}

impl Used {
    pub(crate) fn now(node: &Inner) -> Used {
        Used { queues: Frame::alive_bytes(), replay: node.kept.iter().map(|kept| kept.bytes()).sum() }
    }

    fn sum(self) -> u64 {
        self.queues + self.replay
    }

    /// What gives way first, and what then.
    fn order(self) -> [Kind; 2] {
        if self.queues > self.replay { [Kind::queues, Kind::replay] } else { [Kind::replay, Kind::queues] }
    }
}

/// Looks until `end`.
pub(crate) async fn watch(node: Arc<Inner>, end: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let used = Used::now(&node);
        if !Budget(node.settings.buffers).is_near(used.sum()) {
            continue;
        }
        let mut done = 0;
        for kind in used.order() {
            match kind {
                Kind::queues => {
                    let shed = shed_queues(&node).await;
                    done += shed;
                    told.queues += shed;
                }
                Kind::replay => {
                    let shed = shed_rooms(&node, &end).await;
                    done += shed.cut + shed.forgotten;
                    told.rooms.add(shed);
                }
            }
        }
        told.tell(&node, used);
        if done == 0 {
            // It is in use by those who keep up: looking for others to give way costs time, and needn't be repeated at once.
            ticks.reset_after(TELL_EVERY);
        }
    }
}

/// Empties the queues of connections that are behind, most bytes first, until enough is free. Returns how many it were.
async fn shed_queues(node: &Inner) -> u64 {
    let budget = Budget(node.settings.buffers);
    let is_enough = || budget.beyond_goal(Used::now(node).sum()) == 0;
    let shed = empty_slowest(behind(node), |conn| conn.way.shed(), is_enough).await;
    node.metrics.shed(Kind::queues, shed);
    shed
}

/// The connections that are behind, with the bytes that wait for each.
fn behind(node: &Inner) -> Vec<(usize, ConnRef)> {
    let mut behind = Vec::new();
    let mut some = Vec::new();
    for spoke in 0..SPOKES as u64 {
        node.registry.on_spoke(spoke, &mut some);
        let slow = some.drain(..).filter(|conn| conn.way.is_behind());
        behind.extend(slow.map(|conn| (conn.way.queued_bytes(), conn)));
    }
    behind
}

/// Has the shards make their rooms lighter.
async fn shed_rooms(node: &Inner, end: &CancellationToken) -> Shed {
    let used = Used::now(node);
    let goal = used.replay.saturating_sub(Budget(node.settings.buffers).beyond_goal(used.sum()));
    let mut sum = Shed::default();
    if goal == used.replay {
        return sum;
    }
    // The rooms go with the node.
    let weighed = tokio::select! {
        () = end.cancelled() => return sum,
        weighed = ask(node, std::iter::repeat(()), |(), told| Command::Weigh { told }) => weighed,
    };
    // Of a shard that is too busy to answer nothing is asked now.
    let Some(weighed) = weighed.into_iter().collect::<Option<Vec<Weighed>>>() else { return sum };
    let orders = plan::lighter(&weighed, goal);
    let done = tokio::select! {
        () = end.cancelled() => return sum,
        done = ask(node, orders, |order, told| Command::Lighten { order, told }) => done,
    };
    done.into_iter().flatten().for_each(|one| sum.add(one));
    node.metrics.shed(Kind::replay, sum.cut + sum.forgotten);
    sum
}

/// Asks every shard, each by what is meant for it. None: it was too busy to answer in time.
async fn ask<T, A>(
    node: &Inner,
    with: impl IntoIterator<Item = T>,
    command: impl Fn(T, oneshot::Sender<A>) -> Command,
) -> Vec<Option<A>> {
    let answers = node.shards.iter().zip(with).map(|(shard, with)| {
        let (told, answer) = oneshot::channel();
        let command = command(with, told);
        let asked = async move {
            shard.send(command).await.ok()?;
            answer.await.ok()
        };
        async move { tokio::time::timeout(SHED_WITHIN, asked).await.ok().flatten() }
    });
    futures_util::future::join_all(answers).await
}

/// What was done and not said yet.
#[derive(Debug, Default)]
struct Told {
    queues: u64,
    rooms: Shed,
    last: Option<Instant>,
}

impl Told {
    fn tell(&mut self, node: &Inner, used: Used) {
        if self.last.is_some_and(|last| last.elapsed() < TELL_EVERY) {
            return;
        }
        let now = Used::now(node);
        tracing::warn!(
            limit = node.settings.buffers,
            queues = used.queues,
            replay = used.replay,
            queues_now = now.queues,
            replay_now = now.replay,
            connections = self.queues,
            rooms_cut = self.rooms.cut,
            rooms_forgotten = self.rooms.forgotten,
            "memory for buffers ran short: queues of the slowest connections were emptied, and the largest replay \
             buffers cut"
        );
        *self = Told { last: Some(Instant::now()), ..Told::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_nine_tenths_it_is_brought_down_to_eight() {
        let used = |queues, replay| Used { queues, replay };
        assert!(!Budget(1_000).is_near(used(400, 500).sum()));
        assert!(Budget(1_000).is_near(used(401, 500).sum()));
        assert_eq!(Budget(1_000).beyond_goal(used(401, 500).sum()), 101);
        assert_eq!(Budget(1_000).beyond_goal(used(0, 5_000).sum()), 4_200);
        assert_eq!(Budget(1_000).beyond_goal(used(0, 10).sum()), 0);
        assert!(Budget(0).is_near(used(1, 0).sum()) && !Budget(0).is_near(used(0, 0).sum()));
    }

    #[test]
    fn what_weighs_more_gives_way_first() {
        assert_eq!(Used { queues: 2, replay: 1 }.order(), [Kind::queues, Kind::replay]);
        assert_eq!(Used { queues: 1, replay: 2 }.order(), [Kind::replay, Kind::queues]);
    }
}
