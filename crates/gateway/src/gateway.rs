//! A gateway: its listener, its tunnels, its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use ringway_backplane::Backplane;
use ringway_config::ClientPath;
use ringway_edge::{Frame, serve};
use ringway_protocol::{CloseCode, Format};
use ringway_ring::{NodeId, View};
use ringway_telemetry::admin::Checks;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept;
use crate::auth::Directory;
use crate::encode::{RESTARTS, goaway};
use crate::limits::{Rates, TIDY};
use crate::metrics::Metrics;
use crate::relay::{self, LinkMetrics, Relay, RelayMetrics};
use crate::route::Router;
use crate::settings::{ExtraRoutes, GatewayParts, GatewaySettings};
use crate::ticket::Tickets;
use crate::tunnel::{LastWords, Tunnels};

/// Upgrades under way at a time; further ones are turned away before any work is done for them. At 4 s each, which
/// only a broken cluster costs, this is what one process can hold without harm.
const HANDSHAKES: usize = 10_000;
/// How long an end may take.
const END: Duration = Duration::from_millis(4_800);
/// Of that: how long upgrades that were answered may take to become tunnels.
const LAST_UPGRADES: Duration = Duration::from_millis(500);
/// Of that, kept for last: how long answers that were given may take to leave.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// What every request needs.
pub(crate) struct Gateway {
    pub(crate) name: NodeId,
    pub(crate) token_in_query: bool,
    max_connections: usize,
    pub(crate) extra: Option<ExtraRoutes>,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) router: Arc<Router>,
    pub(crate) tunnels: Arc<Tunnels>,
    /// Where clients' bytes go by links.
    pub(crate) relay: Option<Arc<Relay>>,
    pub(crate) metrics: Metrics,
    pub(crate) rates: Rates,
    pub(crate) handshakes: Semaphore,
    /// Upgrades that were answered and whose sockets are still hyper's, and refused ones that are being told.
    pub(crate) upgrades: TaskTracker,
    /// Requests that have no answer yet.
    pub(crate) requests: TaskTracker,
    refusing: AtomicBool,
}

impl Gateway {
    /// Whether upgrades are turned away since the gateway is about to end.
    pub(crate) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    /// Whether it holds more than it may, the upgrade that asks included.
    pub(crate) fn is_full(&self) -> bool {
        let under_way = HANDSHAKES - self.handshakes.available_permits();
        let relayed = self.relay.as_ref().map_or(0, |relay| relay.count());
        under_way + self.upgrades.len() + self.tunnels.count() + relayed > self.max_connections
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }
}

/// A running gateway. Dropped without [`shutdown`](Self::shutdown), its tasks end with the runtime.
pub struct GatewayHandle {
    gateway: Arc<Gateway>,
    local_addr: SocketAddr,
    view: watch::Receiver<Arc<View>>,
    /// Ends the listener.
    end: CancellationToken,
    /// Ends the search for nodes.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl GatewayHandle {
    /// Starts a gateway: from now on it takes connections.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub fn start(
        settings: GatewaySettings,
        parts: GatewayParts,
        registry: &mut Registry,
    ) -> io::Result<Self> {
        let GatewaySettings { name, listen, token_in_query, path, max_connections, buffers, extra } =
            settings;
        let GatewayParts { backplane, view, directory, secret, local } = parts;
        let listener = serve::listen(listen)?;
        let local_addr = listener.local_addr()?;
        let http = serve::Settings::default();
        let metrics = Metrics::register(registry, Arc::clone(&http.shortages));
        let (end, stop, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        // A node of this process tells of its memory itself.
        let budget = local.is_empty().then_some(buffers);
        let relayed = RelayMetrics::register(registry, metrics.tunnels.connections(), budget);
        let links = LinkMetrics::register(registry);
        let tickets = Arc::new(Tickets::new(name.clone(), &secret));
        let router = Arc::new(Router::new(view.clone(), local, metrics.clone(), stop.clone()));
        let relay = (path == ClientPath::Relay).then(|| {
            Relay::start(relay::Parts {
                name: name.clone(),
                router: Arc::clone(&router),
                backplane: Arc::clone(&backplane),
                tickets: Arc::clone(&tickets),
                secret,
                directory: directory.clone(),
                buffers,
                links,
                metrics: relayed,
            })
        });
        let gateway = Arc::new(Gateway {
            tickets,
            name,
            token_in_query,
            max_connections,
            extra,
            backplane,
            directory,
            router,
            relay,
            tunnels: Tunnels::new(last_words(), metrics.tunnels.clone()),
            metrics,
            rates: Rates::default(),
            handshakes: Semaphore::new(HANDSHAKES),
            upgrades: TaskTracker::new(),
            requests: TaskTracker::new(),
            refusing: AtomicBool::new(false),
        });
        tasks.spawn(end.clone().run_until_cancelled_owned(tidy(Arc::clone(&gateway))));
        let handling = Arc::clone(&gateway);
        let handler = move |request, peer| accept::answer(Arc::clone(&handling), request, peer);
        tasks.spawn(serve::serve(listener, handler, http, end.clone(), tasks.clone()));
        Ok(Self { gateway, local_addr, view, end, stop, tasks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Adds what must hold before clients are sent here.
    pub fn add_checks(&self, checks: &Checks) {
        let (view, link, gateway) =
            (self.view.clone(), self.gateway.backplane.link(), Arc::clone(&self.gateway));
        let ask = |is_well: bool, why: &str| if is_well { Ok(()) } else { Err(why.to_owned()) };
        checks.add("nodes", move || ask(view.borrow().pools().len() > 0, "no node serves"));
        checks.add("backplane", move || ask(link.borrow().up, "the backplane is away"));
        checks.add("gateway", move || ask(!gateway.is_refusing(), "the gateway is leaving"));
    }

    /// From now on upgrades are turned away with 503, and `/readyz` should fail: the way to an end that nobody notices
    /// is to say so first, and to go on listening until those who send clients here have heard it. Tunnels stand, and
    /// other requests are answered.
    pub fn refuse_upgrades(&self) {
        self.gateway.refusing.store(true, Ordering::Release);
    }

    /// Ends it within 5 s: each client is told to move and closed with 1012, requests under way are answered, further
    /// upgrades turned away until the listener closes, last.
    pub async fn shutdown(self) {
        let Self { gateway, end, stop, tasks, .. } = self;
        let deadline = Instant::now() + END;
        gateway.refusing.store(true, Ordering::Release);
        stop.cancel();
        gateway.upgrades.close();
        gateway.requests.close();
        // Who was just answered gets a tunnel, and is told like the others.
        let _: Result<(), _> = timeout(LAST_UPGRADES, gateway.upgrades.wait()).await;
        let relayed = async {
            if let Some(relay) = &gateway.relay {
                relay.close_clients().await;
            }
        };
        let ended = async { tokio::join!(gateway.tunnels.close(), relayed) };
        if timeout_at(deadline - LAST_ANSWERS, ended).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        if timeout_at(deadline - LAST_ANSWERS, gateway.requests.wait()).await.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
        end.cancel();
        tasks.close();
        // Connections without a request wait for nothing.
        let _: Result<(), _> = timeout(LAST_ANSWERS, tasks.wait()).await;
        if let Some(relay) = &gateway.relay {
            relay.close_links().await;
        }
        gateway.router.close().await;
    }
}

/// Forgets now and then what is full again, for ever.
async fn tidy(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(TIDY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gateway.rates.tidy();
        if let Some(relay) = &gateway.relay {
            relay.tidy(&gateway.directory());
        }
    }
}

/// Finished frames for clients whose tunnel the gateway itself ends.
fn last_words() -> LastWords {
    let close = |reason| Frame::close(CloseCode::RESTART, reason);
    let stopping = close(RESTARTS);
    let goaway = |format| Bytes::from([goaway(format).encoded(), stopping.encoded()].concat());
    LastWords {
        node_lost: Bytes::copy_from_slice(close("the node is gone").encoded()),
        stopping_json: goaway(Format::Json),
        stopping_msgpack: goaway(Format::Msgpack),
        stopping: Bytes::copy_from_slice(stopping.encoded()),
    }
}
