//! From a ticket to a node that takes it.
//!
//! The client's home in the gateway's own view is asked first: the slot's owner, or, where the room is spread over several
//! nodes, one of these, by the client's session. Then come the room's other homes, and the nodes after them on the ring:
//! any node can serve any room, so a client is turned away only when three have failed or four seconds have passed, or when one says that the
//! client's tenant or user is at a limit, which holds at the others too. Nothing of the client's has been answered or
//! forwarded until then.

mod address;
mod head;
mod hop;
mod shunned;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringway_auth::Ticket;
use ringway_protocol::PoolId;
use ringway_ring::{Announcement, NodeId, View};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use address::Addresses;
pub(crate) use hop::{Hop, HopError};
use shunned::Shunned;

use crate::accept::Problem;
use crate::clock::now_s;
use crate::metrics::Metrics;
use crate::ticket::{Tickets, key};
use crate::trace;
use crate::{LocalNode, Place};

/// How many nodes are tried for one upgrade.
const TRIES: usize = 3;
/// How long one upgrade may look for its node.
const LIMIT: Duration = Duration::from_secs(4);

/// How a connection reaches its node.
pub(crate) enum Way {
    /// Over the network.
    Tunnel(Hop),
    /// In this process.
    Local(Box<dyn Place>),
}

/// Finds nodes for upgrades.
pub(crate) struct Router {
    view: watch::Receiver<Arc<View>>,
    local: Vec<Arc<dyn LocalNode>>,
    addresses: Arc<Addresses>,
    shunned: Arc<Shunned>,
    metrics: Metrics,
    /// When a strange answer was last told of, in seconds since 1970.
    told: AtomicU64,
    /// Cancelled when the gateway stops: nobody waits for a node then.
    stop: CancellationToken,
}

impl Router {
    pub(crate) fn new(
        view: watch::Receiver<Arc<View>>,
        local: Vec<Arc<dyn LocalNode>>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Self {
        let addresses = Arc::new(Addresses::default());
        let shunned = Shunned::new(Arc::clone(&addresses), view.clone());
        Self { view, local, addresses, shunned, metrics, told: AtomicU64::new(0), stop }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// A node that takes the connection, its home if it can be. `spread`: over how many nodes its class spreads its home
    /// room in any case.
    pub(crate) async fn find(
        &self,
        pool: &PoolId,
        spread: u8,
        ticket: &Ticket,
        tickets: &Tickets,
    ) -> Result<Way, Problem> {
        let view = self.view();
        let nodes = self.candidates(&view, pool, spread, ticket);
        if nodes.is_empty() {
            return Err(Problem::unavailable("no node serves this tenant at the moment"));
        }
        let deadline = Instant::now() + LIMIT;
        for node in nodes {
            if let Some(local) = self.local.iter().find(|local| *local.id() == node.id) {
                if !local.accepts() {
                    self.metrics.attempt("refused");
                    continue;
                }
                let admitted = local.admit(ticket.clone());
                self.metrics.attempt(if admitted.is_ok() { "local" } else { "limited" });
                return admitted.map(Way::Local).map_err(Problem::of_node);
            }
            let limit = hop::ATTEMPT.min(deadline.saturating_duration_since(Instant::now()));
            if limit < hop::CONNECT {
                break;
            }
            let Some(attempt) =
                self.stop.run_until_cancelled(self.attempt(node, limit, ticket, tickets)).await
            else {
                return Err(Problem::unavailable("this gateway stops"));
            };
            match attempt {
                Ok(hop) => return Ok(Way::Tunnel(hop)),
                Err(HopError::Exhausted(_)) => break,
                Err(HopError::Limited(refusal)) => return Err(Problem::of_node(refusal)),
                Err(_) => {}
            }
        }
        Err(Problem::unavailable("no node could be reached"))
    }

    /// At most [`TRIES`] nodes in the order in which to try them: its home, the room's other homes, the rest of the walk;
    /// those known to be unreachable last.
    fn candidates<'a>(
        &self,
        view: &'a View,
        pool: &PoolId,
        spread: u8,
        ticket: &Ticket,
    ) -> Vec<&'a Announcement> {
        let (mut good, mut bad) = (Vec::with_capacity(TRIES), Vec::new());
        let key = key(ticket);
        let homes = view.homes_of(pool, key, spread, ticket.session.as_str());
        let others = view.walk(pool, key.slot()).skip(homes.len());
        for node in homes.iter().copied().chain(others).filter_map(|node: &NodeId| view.node(node)) {
            if self.shunned.contains(node) {
                bad.push(node);
            } else {
                good.push(node);
            }
            if good.len() == TRIES {
                break;
            }
        }
        good.extend(bad);
        good.truncate(TRIES);
        good
    }

    async fn attempt(
        &self,
        node: &Announcement,
        limit: Duration,
        ticket: &Ticket,
        tickets: &Tickets,
    ) -> Result<Hop, HopError> {
        let span = trace::route(node);
        let asked = async {
            let socket = hop::connect(self.addresses.of(&node.advertise)).await?;
            let (sealed, traceparent) = (tickets.seal(ticket), ringway_telemetry::traceparent_of(&span));
            let ask = hop::Ask {
                host: &node.advertise,
                ticket: &sealed,
                subprotocol: ticket.format.subprotocol(),
                traceparent: traceparent.as_deref(),
            };
            hop::upgrade(socket, ask).await
        };
        let asked = asked.instrument(span.clone());
        let outcome = timeout(limit, asked).await.unwrap_or(Err(HopError::Timeout));
        self.metrics.attempt(outcome.as_ref().map_or_else(HopError::label, |_| "ok"));
        if let Err(error) = &outcome {
            span.record("error.type", error.label());
            self.note(node, error);
        }
        outcome
    }

    /// Remembers a node that is gone, and tells what somebody should look into: once for each loss of a node, and at
    /// most once a second for answers that no node should give.
    fn note(&self, node: &Announcement, error: &HopError) {
        if error.is_gone() {
            if self.shunned.add(node) {
                tracing::warn!(node = %node.id, advertise = %node.advertise, %error, "a node is passed over until it can be reached");
            }
        } else if !error.is_ordinary() && self.told.swap(now_s(), Ordering::Relaxed) != now_s() {
            tracing::warn!(node = %node.id, advertise = %node.advertise, %error, "a node did not take an upgrade");
        }
    }

    /// Ends what runs in the background.
    pub(crate) async fn close(&self) {
        self.shunned.close().await;
    }
}
