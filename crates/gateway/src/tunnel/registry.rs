//! All tunnels of a gateway: started here, counted here, and told here when the gateway stops.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use ringway_protocol::codec::Format;
use tokio_util::task::TaskTracker;

use super::{Ends, Tunnel, TunnelMetrics};

/// Wakers are spread so that tunnels of several threads seldom meet at one lock.
const SHARDS: u64 = 16;

/// A tunnel's place in the registry.
#[derive(Debug)]
pub(super) struct Registration(NonZeroU64);

/// What a gateway itself may say to a client, as finished WebSocket frames.
#[derive(Debug, Clone)]
pub(crate) struct LastWords {
    /// A close frame: the node is gone.
    pub(crate) node_lost: Bytes,
    /// A close frame: the gateway goes.
    pub(crate) stopping: Bytes,
    /// `goaway` in JSON, then the close frame.
    pub(crate) stopping_json: Bytes,
    /// `goaway` in MessagePack, then the close frame.
    pub(crate) stopping_msgpack: Bytes,
}

impl LastWords {
    pub(super) fn node_lost(&self, _: Option<Format>) -> Bytes {
        self.node_lost.clone()
    }

    /// `format`: what the client speaks, if it may hear more than a close frame.
    pub(super) fn stopping(&self, format: Option<Format>) -> Bytes {
        match format {
            Some(Format::Json) => self.stopping_json.clone(),
            Some(Format::Msgpack) => self.stopping_msgpack.clone(),
            None => self.stopping.clone(),
        }
    }
}

/// The tunnels that stand.
pub(crate) struct Tunnels {
    closing: AtomicBool,
    last: AtomicU64,
    /// A tunnel at rest waits for its sockets only; this is how it hears of the gateway's end. A future for
    /// that in each tunnel would cost more memory, and a lock at every wake.
    wakers: Vec<Mutex<HashMap<NonZeroU64, Waker>>>,
    tasks: TaskTracker,
    last_words: LastWords,
    metrics: TunnelMetrics,
}

impl Tunnels {
    pub(crate) fn new(last_words: LastWords, metrics: TunnelMetrics) -> Arc<Self> {
        Arc::new(Self {
            closing: AtomicBool::new(false),
            last: AtomicU64::new(0),
            wakers: (0..SHARDS).map(|_| Mutex::default()).collect(),
            tasks: TaskTracker::new(),
            last_words,
            metrics,
        })
    }

    /// Moves bytes between the two ends, in a task of its own, until one of them or the gateway ends.
    pub(crate) fn start(self: &Arc<Self>, ends: Ends) {
        // Spawned as it is: a block around it would hold it twice.
        self.tasks.spawn(Tunnel::new(ends, Arc::clone(self)));
    }

    /// How many stand.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Ends all tunnels, those that are started from now on too, and waits until they have ended. Bounded by
    /// their own time limits.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + '_ {
        self.closing.store(true, Ordering::SeqCst);
        for shard in &self.wakers {
            // A tunnel that isn't here yet looks at `closing` after it has come in.
            shard.lock().values().for_each(Waker::wake_by_ref);
        }
        self.tasks.close();
        self.tasks.wait()
    }

    pub(super) fn are_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub(super) fn register(&self, waker: &Waker) -> Registration {
        let before = self.last.fetch_add(1, Ordering::Relaxed);
        let id = NonZeroU64::MIN.saturating_add(before);
        self.shard(id).lock().insert(id, waker.clone());
        Registration(id)
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is forgotten is gone")]
    pub(super) fn forget(&self, registration: Registration) {
        self.shard(registration.0).lock().remove(&registration.0);
    }

    pub(super) fn last_words(&self) -> &LastWords {
        &self.last_words
    }

    pub(super) fn metrics(&self) -> &TunnelMetrics {
        &self.metrics
    }

    fn shard(&self, id: NonZeroU64) -> &Mutex<HashMap<NonZeroU64, Waker>> {
        let index = usize::try_from(id.get() % SHARDS).expect("a remainder of 16 fits");
        &self.wakers[index]
    }
}
