//! What durable rooms are kept with, and what this shard knows of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ringway_backplane::message::Epoch;
use ringway_backplane::nats::Stores;
use ringway_backplane::store::{Known, RoomAt, StoreKey, StreamState};
use ringway_ring::NodeId;
use tokio::sync::mpsc::error::TrySendError;

use super::command::Command;
use super::core::Core;
use crate::metrics::NodeMetrics;
use crate::reader::Reader;
use crate::storing::Storing;

/// What durable rooms are kept with: one for all shards of a node. There only where the backplane keeps anything.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) stores: Arc<Stores>,
    pub(crate) storing: Storing,
    pub(crate) reader: Reader,
}

impl Keeping {
    pub(crate) fn new(stores: Arc<Stores>, me: &NodeId, metrics: &NodeMetrics) -> Self {
        let storing = Storing::counting(stores.clone(), me.clone(), metrics.storing.clone());
        let reader = Reader::counted(stores.clone(), metrics.reads.clone());
        Self { stores, storing, reader }
    }
}

/// What a shard was last told of the stores.
#[derive(Debug, Default)]
pub(crate) struct KnownHere {
    known: Arc<Known>,
    /// Whose each stream is, and its epoch: looked up for every message that a store sends on.
    by_stream: HashMap<Arc<str>, (StoreKey, Epoch)>,
}

impl KnownHere {
    pub(crate) fn new(known: Arc<Known>) -> Self {
        let all =
            known.stores.iter().flat_map(|(key, store)| store.streams.iter().map(move |one| (key, one)));
        let by_stream = all.map(|(key, one)| (one.name.clone(), (key.clone(), one.epoch))).collect();
        Self { known, by_stream }
    }

    /// The epoch of a room's store.
    pub(crate) fn epoch(&self, at: &RoomAt) -> Option<Epoch> {
        self.known.stream_of(at).map(|stream| stream.epoch)
    }

    /// Whose a stream is, and its epoch. None: it isn't known.
    pub(crate) fn stream(&self, name: &str) -> Option<(&StoreKey, Epoch)> {
        self.by_stream.get(name).map(|(key, epoch)| (key, *epoch))
    }

    /// The stores whose streams are others than they were.
    pub(crate) fn moved_since(&self, before: &KnownHere) -> BTreeSet<StoreKey> {
        let all = self.known.stores.keys().chain(before.known.stores.keys());
        all.filter(|key| self.streams(key) != before.streams(key)).cloned().collect()
    }

    /// The streams of a store.
    pub(crate) fn streams(&self, key: &StoreKey) -> &[StreamState] {
        self.known.stores.get(key).map_or(&[], |store| &store.streams)
    }
}

/// Brings what comes of a piece of work that takes time back to the shard, whoever has done it.
pub(super) fn told<T: Send + 'static>(
    core: &Core,
    command: impl FnOnce(T) -> Command + Send + 'static,
) -> impl FnOnce(T) + Send + 'static {
    let (inbox, tasks) = (core.inbox.clone(), core.tasks.clone());
    move |result| match inbox.try_send(command(result)) {
        // A shard that has ended waits for nothing.
        Ok(()) | Err(TrySendError::Closed(_)) => {}
        Err(TrySendError::Full(command)) => {
            tasks.spawn(async move { drop(inbox.send(command).await) });
        }
    }
}
