//! How busy this node is, and which rooms are too big for one node: twice a second, from what its shards see.
//!
//! A shard measures (`shard::survey`): it knows its rooms' members over all nodes, and how much is published in them. Of
//! the placement keys whose slot this node owns [`spread`] decides over how many nodes each is to be spread; the answer
//! goes out with the node's announcement, and everybody routes by it. [`rates`] makes rates of counters. Neither has a
//! clock.

mod rates;
mod spread;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::cluster::ANNOUNCE_EVERY;
use ringway_ring::{HOTTEST_TOLD, Hottest, KeyHash, SPREADS_TOLD, Spread, View};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::node::Inner;
use crate::shard::Command;
pub(crate) use rates::Counted;
use rates::Rates;
use spread::Heat;
pub(crate) use spread::{Bars, KEYS, Sum};

/// How often is looked: as often as it is announced.
const LOOK_EVERY: Duration = ANNOUNCE_EVERY;

/// Between two looks at a shard that has more rooms than one look takes in.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a shard may take to answer; one that is busier is asked again with the next look.
const WITHIN: Duration = Duration::from_secs(2);

/// What a shard says of how busy its rooms are.
#[derive(Debug)]
pub(crate) enum Surveyed {
    /// It has looked at some of them. To be asked again.
    Partly,
    /// It has looked at all.
    Whole(Found),
}

/// What a shard found when it had looked at all its rooms.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Of the keys whose slot this node owns, and whose rooms may be spread for their size: those that are anywhere near
    /// too big for one node, the biggest of them where they are very many.
    pub(crate) keys: Vec<(KeyHash, Sum)>,
    /// Its busiest rooms, at most [`HOTTEST_TOLD`].
    pub(crate) hottest: Vec<Hottest>,
}

/// Keeps what is announced of rooms too big for one node, and of how busy this node is.
pub(crate) async fn watch(node: Arc<Inner>, end: CancellationToken) {
    let mut watch = Watch::new(&node);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = watch.look(&node) => {}
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

struct Watch {
    began: Instant,
    /// Of each shard.
    heats: Vec<Heat>,
    /// The busiest rooms of each shard, as it last said.
    hottest: Vec<Vec<Hottest>>,
    rates: Rates,
    /// As announced.
    told: Vec<Spread>,
    /// At the last look.
    view: Arc<View>,
}

impl Watch {
    fn new(node: &Inner) -> Self {
        let shards = node.shards.len();
        Self {
            began: Instant::now(),
            heats: (0..shards).map(|_| Heat::default()).collect(),
            hottest: vec![Vec::new(); shards],
            rates: Rates::default(),
            told: Vec::new(),
            view: Arc::default(),
        }
    }

    async fn look(&mut self, node: &Inner) {
        let bars = Bars::of(node.configured.borrow().placement);
        for shard in 0..node.shards.len() {
            let Some(found) = survey(node, shard, bars).await else { continue };
            self.heats[shard].look(self.began.elapsed(), &found.keys, bars);
            self.hottest[shard] = found.hottest;
        }
        self.take_over(node);
        let spreads = spread::told(self.heats.iter().flat_map(Heat::wanted), &self.told, SPREADS_TOLD);
        self.note(&spreads);
        node.metrics.spread_keys.set(i64::try_from(spreads.len()).unwrap_or(i64::MAX));
        let rates = self.rates.look(self.began.elapsed(), node.metrics.counted());
        let hottest = busiest(self.hottest.iter().flatten().cloned());
        if let Some(announcer) = &*node.announcer.lock() {
            announcer.update(|announcement| {
                announcement.spreads.clone_from(&spreads);
                let load = &mut announcement.load;
                load.publications = rates.publications;
                load.deliveries = rates.deliveries;
                load.deliveries_elsewhere = rates.deliveries_elsewhere;
                load.received = rates.received;
                load.unwanted = rates.unwanted;
                load.hottest = hottest;
            });
        }
        self.told = spreads;
    }

    /// What another node said of slots that are this node's by now goes on holding until this node knows better: who
    /// serves these rooms doesn't change because somebody else counts their members.
    fn take_over(&mut self, node: &Inner) {
        let view = node.view.borrow().clone();
        let before = std::mem::replace(&mut self.view, view.clone());
        if Arc::ptr_eq(&before, &view) {
            return;
        }
        let pool = &node.settings.pool;
        let others = |view: &View| -> Vec<Spread> {
            let others = view.nodes().filter(|other| other.pool == *pool && other.id != node.id);
            others.flat_map(|other| other.spreads.iter().copied()).collect()
        };
        for spread in others(&before).into_iter().chain(others(&view)) {
            let slot = spread.key.slot();
            let is_new =
                view.owner(pool, slot) == Some(&node.id) && before.owner(pool, slot) != Some(&node.id);
            if is_new {
                self.heats[node.shard_of(slot)].take_over(spread, self.began.elapsed());
            }
        }
    }

    /// Says what has changed.
    fn note(&self, spreads: &[Spread]) {
        for Spread { key, over } in spreads.iter().filter(|spread| !self.told.contains(spread)) {
            tracing::info!(slot = key.slot().number(), over, "a room or tag is spread over several nodes");
        }
        for Spread { key, .. } in &self.told {
            if !spreads.iter().any(|spread| spread.key == *key) {
                tracing::info!(slot = key.slot().number(), "a room or tag is back on one node");
            }
        }
    }
}

/// What a shard's rooms do. None: it was too busy, or is gone.
async fn survey(node: &Inner, shard: usize, bars: Bars) -> Option<Found> {
    loop {
        let (told, answer) = oneshot::channel();
        let asked = async {
            node.shards[shard].send(Command::Survey { bars, told }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(WITHIN, asked).await.ok().flatten()? {
            Surveyed::Partly => tokio::time::sleep(PAUSE).await,
            Surveyed::Whole(found) => return Some(found),
        }
    }
}

/// The busiest of these rooms, the busiest first.
pub(crate) fn busiest(rooms: impl Iterator<Item = Hottest>) -> Vec<Hottest> {
    let mut rooms: Vec<Hottest> = rooms.collect();
    rooms.sort_by(|a, b| a.by_size(b).then_with(|| (&a.tenant, &a.room).cmp(&(&b.tenant, &b.room))));
    rooms.truncate(HOTTEST_TOLD);
    rooms
}
