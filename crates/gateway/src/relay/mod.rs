//! The relay: the gateway holds the sockets, nodes hold the rooms, and each publication comes once.
//!
//! | module | holds |
//! |---|---|
//! | [`worker`] | some of the clients, a link to each node that they need, and the table between them, under one lock |
//! | [`table`] | who is in which room at which node: what is decided, without I/O |
//! | [`hands`] | what the table has done for it |
//! | [`tend`] | a worker's timers, and what it is told of the cluster |
//! | [`link`], [`nodes`] | one link's life; the ways to all nodes |
//! | [`people`], [`passport`] | who the clients are, for tickets |
//! | [`opening`], [`client`], [`goodbye`] | a client's way in, its task, its end where the gateway ends |
//! | [`sockets`], [`clients`], [`pass`], [`feed`] | what clients are sent, and when it is written |
//! | [`overstays`] | clients that were told to go, and when they are closed |
//! | [`wheel`], [`memory`], [`rates`], [`credit`] | silent and stuck clients, short memory, clients' own limits, what nodes are told of what has left |
//!
//! A client belongs to one worker for its life. Nothing waits under a worker's lock.

mod answered;
mod client;
mod clients;
mod credit;
mod feed;
mod goodbye;
mod hands;
mod link;
mod memory;
mod metrics;
mod nodes;
mod opening;
mod overstays;
mod pass;
mod passport;
mod people;
mod rates;
mod sockets;
mod table;
mod tenants;
mod tend;
mod wheel;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway_auth::LinkKey;
use ringway_backplane::Backplane;
use ringway_edge::Outbound;
use ringway_edge::budget::Budget;
use ringway_protocol::TenantId;
use ringway_protocol::codec::Format;
use ringway_ring::NodeId;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use clients::Seen;
pub(crate) use link::LinkMetrics;
pub(crate) use metrics::RelayMetrics;
pub(crate) use opening::{NotTaken, Opening};
use pass::Crowd;
use tenants::{TenantHere, TenantsHere};
use worker::{Common, Worker};

use crate::auth::Directory;
use crate::route::Router;
use crate::ticket::Tickets;

/// The most workers: more links than that to each node bring nothing.
const WORKERS: usize = 8;

/// How long links may take to end: nothing of a client is on them any more.
const LAST_LINKS: Duration = Duration::from_secs(1);

/// What a relay is made of.
pub(crate) struct Parts {
    pub(crate) name: NodeId,
    pub(crate) router: Arc<Router>,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) tickets: Arc<Tickets>,
    /// The cluster's: seals the tickets of links.
    pub(crate) secret: Arc<[u8]>,
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    /// Bytes that frames under way may take.
    pub(crate) buffers: u64,
    pub(crate) links: LinkMetrics,
    pub(crate) metrics: RelayMetrics,
}

/// All clients whose sockets this gateway holds.
pub(crate) struct Relay {
    workers: Box<[Arc<Worker>]>,
    next: AtomicUsize,
    common: Arc<Common>,
    pub(crate) tenants: Arc<TenantsHere>,
    pub(crate) metrics: RelayMetrics,
    /// Clients' own tasks.
    pub(crate) clients: TaskTracker,
    /// Ends what looks after all clients.
    end: CancellationToken,
}

impl Relay {
    /// Starts it: from now on clients can be opened.
    pub(crate) fn start(parts: Parts) -> Arc<Self> {
        let Parts { name, router, backplane, tickets, secret, directory, buffers, links, metrics } = parts;
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let tenants = Arc::new(TenantsHere::new(metrics.by_tenant.clone()));
        let (stop, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let common = Arc::new(Common {
            name,
            router,
            backplane,
            tickets,
            links: LinkKey::new(&secret),
            directory,
            tenants: Arc::clone(&tenants),
            metrics: links,
            stop,
            crowd: Crowd::new(threads, tasks.clone()),
            tasks,
        });
        let workers =
            (0..(threads / 2).clamp(1, WORKERS)).map(|_| Arc::new(Worker::new(Arc::clone(&common))));
        let relay = Arc::new(Self {
            workers: workers.collect(),
            next: AtomicUsize::new(0),
            common,
            tenants,
            metrics,
            clients: TaskTracker::new(),
            end,
        });
        let Common { tasks, .. } = &*relay.common;
        for worker in &relay.workers {
            tasks.spawn(tend::tend(Arc::clone(worker)));
        }
        tasks.spawn(wheel::run(Arc::clone(&relay), relay.end.clone()));
        tasks.spawn(memory::watch(Arc::clone(&relay), Budget(buffers), relay.end.clone()));
        relay.metrics.show(&relay);
        relay
    }

    /// Clients whose sockets are here, those that are ending among them.
    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Another directory may hold by now; tenants whom nobody has are forgotten.
    pub(crate) fn tidy(&self, directory: &Directory) {
        self.tenants.tidy();
        self.tenants.configure(directory);
    }

    /// Says goodbye to all clients, and waits until they have gone.
    pub(crate) async fn close_clients(&self) {
        self.clients.close();
        goodbye::say(self).await;
        self.clients.wait().await;
    }

    /// Ends links, timers and whatever looks after clients, once those have gone.
    pub(crate) async fn close_links(&self) {
        self.end.cancel();
        self.common.stop.cancel();
        self.common.tasks.close();
        if timeout(LAST_LINKS, self.common.tasks.wait()).await.is_err() {
            tracing::warn!("some links to nodes did not end in time");
        }
    }

    /// Whose turn it is to get a client.
    pub(super) fn next_worker(&self) -> Arc<Worker> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.workers[turn % self.workers.len()])
    }

    /// The tenant, as this gateway has it.
    pub(super) fn tenant(&self, id: &TenantId) -> Arc<TenantHere> {
        self.tenants.get(id, &self.common.directory.borrow())
    }

    /// Adds the clients of one of the wheel's spokes, of all workers.
    pub(super) fn on_spoke(&self, spoke: u64, into: &mut Vec<Seen>) {
        for worker in &self.workers {
            worker.look(|hands| hands.sockets.clients.on_spoke(spoke, into));
        }
    }

    /// All clients: those that have heard `hello`, and the others.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    pub(super) fn clients_by_greeting(&self) -> (Vec<(Format, Arc<Outbound>)>, Vec<(Format, Arc<Outbound>)>) {
        let (mut greeted, mut others) = (Vec::new(), Vec::new());
        for worker in &self.workers {
            worker.look(|hands| {
                for (_, client) in hands.sockets.clients.iter().filter(|(_, client)| !client.out.is_closed())
                {
                    let list = if client.greeted { &mut greeted } else { &mut others };
                    list.push((client.format, Arc::clone(&client.out)));
                }
            });
        }
        (greeted, others)
    }
}
