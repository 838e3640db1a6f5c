//! A node: its shards, its connections, its part in the cluster, from start to end.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use ringway_auth::{LinkKey, SessionKey, Ticket, TicketKey};
use ringway_backplane::Backplane;
use ringway_backplane::cluster::{self as members, Announcer, ClaimError, Twin, Watcher};
use ringway_protocol::{GroupId, PoolId};
use ringway_ring::{Announcement, NodeId, Slot, View};
use ringway_telemetry::admin::Checks;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::configured::{Configured, InForce};
use crate::door::{Door, NotNow};
use crate::interest::Interests;
use crate::memory::{self, Kept};
use crate::metrics::NodeMetrics;
use crate::moves::{self, ToMove};
use crate::placement::{Placement, Pools};
use crate::registry::Registry;
use crate::relay::Relay;
use crate::same_grants::SameGrants;
use crate::served::Served;
use crate::session::Admitted;
use crate::shard::{Command, Keeping, Shard, ShardHandle, Shared};
use crate::standstill::Standstill;
use crate::tenant::{Place, TenantsHere};
use crate::tickets::UsedTickets;
use crate::{cluster, heartbeat, heat, inbox, leave, listen, stores};

/// How long clients that are told to move have for it, a new connection beside the old one, until theirs is closed.
const MOVING: Duration = Duration::from_millis(1_500);

/// How long connections have at the end of a node to take their goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long a node that left answers those who take its rooms. They are taken when they are next used: by a client that
/// comes back, within its first two tries.
const HAND_OVER: Duration = Duration::from_secs(2);

/// The most shards: a connection remembers those it has to do with in 64 bits.
const MAX_SHARDS: usize = 64;

/// What a node is.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Its name in the cluster.
    pub id: NodeId,
    /// Whose tenants it serves.
    pub pool: PoolId,
    /// Where gateways reach it, `host:port`. None: the address that its listener got.
    pub advertise: Option<String>,
    /// Where clients reach it directly.
    pub public_url: Option<String>,
    /// Its share of slots against other nodes', 0 to 16.
    pub weight: u8,
    /// More connections than this are refused.
    pub max_connections: usize,
    /// Bytes that frames under way and rooms' replay buffers may take together. Nine tenths of it used, the largest
    /// give way. Frames are counted for the whole process.
    pub buffers: u64,
    /// Authentication is off: an `auth` frame changes nothing, and is well.
    pub open: bool,
}

/// What a node works with.
#[derive(Debug)]
pub struct NodeParts {
    /// Carries publications between nodes. The node closes it at its end.
    pub backplane: Arc<dyn Backplane>,
    /// What may change while it runs: a new value holds from then on.
    pub configured: watch::Receiver<Arc<Configured>>,
    /// The cluster's secret: opens tickets, seals sessions.
    pub secret: Arc<[u8]>,
    /// Where its figures go.
    pub metrics: NodeMetrics,
    /// Where gateways and direct clients connect; none: only [`Node::take`] brings connections.
    pub listener: Option<TcpListener>,
}

/// Why a node couldn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The backplane was closed.
    #[error("the backplane is closed")]
    Backplane(#[from] ringway_backplane::Closed),
    /// Another node has its name, and lives.
    #[error(transparent)]
    Name(Twin),
    /// The listener's address couldn't be read.
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
}

impl From<ClaimError> for StartError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Taken(twin) => Self::Name(twin),
            ClaimError::Closed(closed) => Self::Backplane(closed),
        }
    }
}

/// What all parts of a running node share.
pub(crate) struct Inner {
    pub(crate) id: NodeId,
    pub(crate) settings: NodeSettings,
    pub(crate) shards: Vec<ShardHandle>,
    /// What the rooms of each weigh.
    pub(crate) kept: Vec<Arc<Kept>>,
    pub(crate) registry: Registry,
    /// Gateways' links, and the connections by them.
    pub(crate) relay: Relay,
    pub(crate) metrics: Arc<NodeMetrics>,
    /// What is in force.
    pub(crate) configured: watch::Receiver<Arc<Configured>>,
    /// Which pools serve which tenants by that, and did before.
    pub(crate) pools: RwLock<Arc<Pools>>,
    pub(crate) here: Arc<TenantsHere>,
    pub(crate) ticket_key: TicketKey,
    pub(crate) link_key: LinkKey,
    pub(crate) session_key: SessionKey,
    pub(crate) used_tickets: UsedTickets,
    pub(crate) grants: SameGrants,
    pub(crate) connections: TaskTracker,
    pub(crate) backplane: Arc<dyn Backplane>,
    /// The cluster, loads included as of the last announcements.
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// Gone once the node has said good-bye.
    pub(crate) announcer: Mutex<Option<Announcer>>,
    pub(crate) standstill: Arc<Standstill>,
    pub(crate) to_move: ToMove,
    keeping: Option<Keeping>,
    leaving: AtomicBool,
}

impl Inner {
    /// Which shard a slot's rooms are on.
    pub(crate) fn shard_of(&self, slot: Slot) -> usize {
        usize::from(slot.number()) % self.shards.len()
    }

    /// A view as this node sees it.
    pub(crate) fn placement(&self, view: Arc<View>) -> Placement {
        Placement::by(self.id.clone(), view, self.pools.read().clone())
    }

    /// What one connection may use.
    pub(crate) fn limits(&self) -> ringway_edge::Limits {
        ringway_edge::Limits::default()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.registry.len() >= self.settings.max_connections
    }

    /// Lets a connection in, if its tenant and its user have a place for it.
    pub(crate) fn admit(&self, ticket: Ticket) -> Result<Admitted, NotNow> {
        let tenant = self.here.get(&ticket.tenant).ok_or(NotNow::Unknown)?;
        let elsewhere = if tenant.usage.is_shared() {
            self.view.borrow().used_by(&tenant.id, Some(&self.id)).connections
        } else {
            0
        };
        let place = Place::take(&tenant, ticket.user.as_ref(), elsewhere).map_err(NotNow::Full)?;
        Ok(Admitted { ticket, place })
    }
}

/// A running node. Dropped without [`shutdown`](Self::shutdown), its tasks end with the runtime.
pub struct Node {
    inner: Arc<Inner>,
    local_addr: Option<SocketAddr>,
    view: watch::Receiver<Arc<View>>,
    watcher: Watcher,
    /// Ends the tasks around the rooms: listener, heartbeat, cluster.
    end: CancellationToken,
    /// Ends the shards, last.
    end_of_shards: CancellationToken,
    tasks: TaskTracker,
    /// Ends the answers to questions: earlier than the rest where another node has this one's name.
    answering: CancellationToken,
    replaced: watch::Receiver<Option<Twin>>,
}

impl Node {
    /// Starts a node: it listens, takes part in the cluster, and holds no rooms yet. Where other processes are reached, it
    /// asks them for 300 ms whether anybody has its name.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: NodeSettings, parts: NodeParts) -> Result<Node, StartError> {
        let NodeParts { backplane, configured: mut coming, secret, metrics, listener } = parts;
        let (in_force, configured) = watch::channel(coming.borrow_and_update().clone());
        let tenants = configured.borrow().tenants.clone();
        let metrics = Arc::new(metrics);
        let (tasks, end, end_of_shards) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let local_addr = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let watching = Watcher::of_node(backplane.clone(), settings.id.clone());
        let (watcher, incarnation) = tokio::join!(watching, claim_name(&*backplane, &settings.id));
        let (watcher, incarnation) = (watcher?, incarnation?);
        let view = watcher.view();
        let now = view.borrow().clone();
        let pools = Arc::new(Pools::new(settings.pool.clone(), &tenants));
        let placement = Arc::new(Placement::by(settings.id.clone(), now, pools.clone()));
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_SHARDS);
        let here = Arc::new(TenantsHere::new(tenants.clone(), metrics.by_tenant.clone()));
        let groups: HashSet<_> = tenants.groups_of(&settings.pool).into_iter().collect();
        here.configure(tenants.clone(), groups.clone());
        let keeping = backplane.stores().map(|stores| Keeping::new(stores, &settings.id, &metrics));
        let shared = Shared {
            backplane: backplane.clone(),
            tenants,
            here: here.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            shards: count,
            live_count: crate::live_count::LiveCount::default(),
            started: Instant::now(),
            interest: Arc::new(Interests::new(
                backplane.clone(),
                metrics.clone(),
                tasks.clone(),
                placement.clone(),
            )),
            keeping: keeping.clone(),
        };
        let away = !backplane.link().borrow().up;
        let standstill = Arc::new(Standstill::new());
        let kept: Vec<Arc<Kept>> = (0..count).map(|_| Arc::default()).collect();
        let mut shards = Vec::with_capacity(count);
        for kept in &kept {
            let (shard, handle) = Shard::new(shared.clone(), placement.clone(), away, kept.clone());
            tasks.spawn(shard.run(end_of_shards.clone(), standstill.clone()));
            shards.push(handle);
        }
        let inner = Arc::new(Inner {
            id: settings.id.clone(),
            settings: settings.clone(),
            shards,
            kept,
            registry: Registry::default(),
            relay: Relay::default(),
            metrics,
            configured: configured.clone(),
            pools: RwLock::new(pools),
            here,
            ticket_key: TicketKey::new(&secret),
            link_key: LinkKey::new(&secret),
            session_key: SessionKey::new(&secret),
            used_tickets: UsedTickets::default(),
            grants: SameGrants::default(),
            connections: TaskTracker::new(),
            backplane: backplane.clone(),
            view: view.clone(),
            announcer: Mutex::new(None),
            standstill,
            to_move: ToMove::default(),
            keeping: keeping.clone(),
            leaving: AtomicBool::new(false),
        });
        inner.metrics.buffer_limit.set(i64::try_from(settings.buffers).unwrap_or(i64::MAX));
        inner.metrics.gauges.show(&inner);
        let served = serve(&inner, &groups, &tasks).await?;
        let answering = end.child_token();
        tasks.spawn(InForce::new(inner.clone(), in_force, served).watch(coming, answering.clone()));
        tasks.spawn(heartbeat::run(inner.clone(), end.clone()));
        tasks.spawn(memory::watch(inner.clone(), end.clone()));
        tasks.spawn(moves::run(inner.clone(), end.clone()));
        if let Some(stores) = backplane.stores() {
            tasks.spawn(stores::look_after(inner.clone(), stores, configured.clone(), end.clone()));
        }
        tasks.spawn(cluster::watch_view(inner.clone(), view.clone(), configured, end.clone()));
        tasks.spawn(cluster::watch_link(inner.clone(), end.clone()));
        tasks.spawn(cluster::watch_pauses(inner.clone(), end.clone()));
        if let Some(Keeping { stores, .. }) = keeping {
            tasks.spawn(cluster::watch_stores(inner.clone(), stores, end.clone()));
        }
        if let Some(listener) = listener {
            tasks.spawn(listen::run(inner.clone(), listener, end.clone()));
        }
        // Announced last: whoever comes finds everything in place.
        let reaches_others = backplane.reaches_others();
        let announcer = Announcer::start(backplane, announcement(&settings, local_addr, incarnation)).await?;
        if reaches_others {
            tasks.spawn(cluster::watch_beginning(inner.clone(), end.clone()));
        }
        let replaced = announcer.replaced();
        *inner.announcer.lock() = Some(announcer);
        tasks.spawn(cluster::watch_load(inner.clone(), end.clone()));
        tasks.spawn(heat::watch(inner.clone(), end.clone()));
        let node = Node { inner, local_addr, view, watcher, end, end_of_shards, tasks, answering, replaced };
        node.tasks.spawn(cluster::watch_name(node.inner.clone(), node.replaced(), node.end.clone()));
        Ok(node)
    }

    /// Its name in the cluster.
    pub fn id(&self) -> &NodeId {
        &self.inner.id
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The cluster as this node sees it.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// What hands connections to this node within the process.
    pub fn door(&self) -> Door {
        Door::of(self.inner.clone())
    }

    /// Adds what must hold before connections are sent here.
    pub fn add_checks(&self, checks: &Checks) {
        let (here, linked) = (self.inner.clone(), self.inner.backplane.link());
        let is = |well: bool, why: &str| if well { Ok(()) } else { Err(why.to_owned()) };
        checks.add("node", move || is(!here.is_leaving(), "the node is leaving"));
        checks.add("backplane", move || is(linked.borrow().up, "the backplane is away"));
        checks.add("round trip", self.watcher.round_trips());
        stores::add_checks(&self.inner, checks);
    }

    /// Returns once a younger node has taken this one's name: it is out of the cluster, and all that is left to do is
    /// [`shutdown`](Self::shutdown). That happens to a node that stood still for so long that another was started in its
    /// place.
    pub fn replaced(&self) -> impl Future<Output = Twin> + Send + 'static {
        let mut replaced = self.replaced.clone();
        async move {
            match replaced.wait_for(Option::is_some).await.ok().and_then(|twin| twin.clone()) {
                Some(twin) => twin,
                // It has ended otherwise.
                None => std::future::pending().await,
            }
        }
    }

    /// Leaves service: announces its departure, refuses new connections, sends every connection away (`goaway`, then
    /// 1012 to those that haven't moved by themselves; those by gateways' links their gateways move), answers for a moment those who take its rooms, and ends. Takes a few
    /// seconds at most. A node that was replaced answers nobody any more, and waits for nobody: what is asked under its name is
    /// for the other.
    pub async fn shutdown(self) {
        let Self { inner, watcher, end, end_of_shards, tasks, answering, replaced, .. } = self;
        inner.leaving.store(true, Ordering::Release);
        let (moving, hand_over) = if replaced.borrow().is_some() {
            answering.cancel();
            (Duration::ZERO, Duration::ZERO)
        } else {
            (MOVING, HAND_OVER)
        };
        let announcer = inner.announcer.lock().take();
        if let Some(announcer) = announcer
            && let Err(error) = announcer.depart().await
        {
            tracing::warn!(%error, "the others will notice this node's departure by its silence");
        }
        let mut since = Instant::now();
        for conn in inner.registry.all() {
            leave::send_away(&conn, &inner.metrics);
        }
        inner.relay.leaving.cancel();
        inner.connections.close();
        if tokio::time::timeout(moving, inner.connections.wait()).await.is_err() {
            // They come back a moment later, and their rooms are taken only then.
            since = Instant::now();
            for conn in inner.registry.all() {
                leave::close(&conn);
            }
            inner.relay.end.cancel();
        }
        if tokio::time::timeout(GOODBYE, inner.connections.wait()).await.is_err() {
            for conn in inner.registry.all() {
                conn.way.cut();
            }
            inner.relay.links().iter().for_each(|link| link.outbound().cut());
            inner.connections.wait().await;
        }
        tokio::time::sleep(hand_over.saturating_sub(since.elapsed())).await;
        end.cancel();
        watcher.stop().await;
        if let Some(keeping) = &inner.keeping {
            // What is still being stored is told to whoever waits for it, as far as it is known.
            keeping.storing.end().await;
        }
        end_of_shards.cancel();
        inner.backplane.close().await;
        tasks.close();
        tasks.wait().await;
    }
}

/// The incarnation with which this node may have its name.
async fn claim_name(backplane: &dyn Backplane, id: &NodeId) -> Result<u64, ClaimError> {
    let clock = crate::clock::wall_ms();
    // In one process whoever makes the nodes knows their names.
    if backplane.reaches_others() { members::claim(backplane, id, clock).await } else { Ok(clock) }
}

fn announcement(settings: &NodeSettings, local_addr: Option<SocketAddr>, incarnation: u64) -> Announcement {
    let advertise =
        settings.advertise.clone().or_else(|| local_addr.map(|a| a.to_string())).unwrap_or_default();
    Announcement {
        public_url: settings.public_url.clone(),
        weight: settings.weight,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Announcement::new(settings.id.clone(), incarnation, settings.pool.clone(), advertise)
    }
}

/// Answers questions, and delivers messages to users, in these groups, for a beginning.
async fn serve(
    inner: &Arc<Inner>,
    groups: &HashSet<GroupId>,
    tasks: &TaskTracker,
) -> Result<Served, StartError> {
    let (questions_in, questions) = mpsc::channel(inbox::QUEUE);
    let (directs_in, directs) = mpsc::channel(inbox::QUEUE);
    let mut served = Served::new(inner.backplane.clone(), inner.id.clone(), questions_in, directs_in);
    served.add(groups).await?;
    tasks.spawn(inbox::serve(inner.clone(), questions));
    tasks.spawn(inbox::deliver_directs(inner.clone(), directs));
    Ok(served)
}

/// Tells every shard.
pub(crate) async fn tell_all(inner: &Inner, command: impl Fn() -> Command) {
    for shard in &inner.shards {
        // A shard that has ended needs no word.
        let _ = shard.send(command()).await;
    }
}
