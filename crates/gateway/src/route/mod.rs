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
pub(crate) mod link;
mod shunned;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringway_auth::{Mode, Ticket};
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
use crate::relay::{NotTaken, Opening, Relay};
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
    /// Over a link: the socket stays here.
    Relay(Opening),
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
        relay: Option<&Arc<Relay>>,
    ) -> Result<Way, Problem> {
        let view = self.view();
        let nodes = self.candidates(view.order_of(pool, key(ticket), spread, ticket.session.as_str()), &view);
        if nodes.is_empty() {
            return Err(Problem::unavailable("no node serves this tenant at the moment"));
        }
        let deadline = Instant::now() + LIMIT;
        let mut opening = None;
        for node in nodes {
            if let Some(local) = self.local.iter().find(|local| *local.id() == node.id) {
                if !local.accepts() {
                    self.metrics.attempt("refused");
                    continue;
                }
                let admitted = local.admit(Ticket { mode: Mode::Tunnel, ..ticket.clone() });
                self.metrics.attempt(if admitted.is_ok() { "local" } else { "limited" });
                return admitted.map(Way::Local).map_err(Problem::of_node);
            }
            let limit = hop::ATTEMPT.min(deadline.saturating_duration_since(Instant::now()));
            if limit < hop::CONNECT {
                break;
            }
            if let Some(relay) = relay {
                opening.get_or_insert_with(|| Opening::new(relay, ticket));
            }
            let attempt = async {
                match &opening {
                    Some(opening) => self.attempt_by_link(node, limit, opening).await.map(|()| None),
                    None => self.attempt(node, limit, ticket, tickets).await.map(Some),
                }
            };
            let Some(attempt) = self.stop.run_until_cancelled(attempt).await else {
                return Err(Problem::unavailable("this gateway stops"));
            };
            match attempt {
                Ok(Some(hop)) => return Ok(Way::Tunnel(hop)),
                Ok(None) => return Ok(Way::Relay(opening.expect("a link was asked for it"))),
                Err(HopError::Exhausted(_)) => break,
                Err(HopError::Limited(refusal)) => return Err(Problem::of_node(refusal)),
                Err(_) => {}
            }
        }
        Err(Problem::unavailable("no node could be reached"))
    }

    /// At most [`TRIES`] of the nodes in this order, those known to be unreachable last.
    fn candidates<'a>(
        &self,
        order: impl Iterator<Item = &'a NodeId>,
        view: &'a View,
    ) -> Vec<&'a Announcement> {
        let (mut good, mut bad) = (Vec::with_capacity(TRIES), Vec::new());
        for node in order.filter_map(|node| view.node(node)) {
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

    /// A link to a node, for a sealed link ticket.
    pub(crate) async fn open_link(&self, node: &Announcement, ticket: &str) -> Result<Hop, HopError> {
        link::open(self.addresses.of(&node.advertise), &node.advertise, ticket).await
    }

    /// A link couldn't be had: as for an upgrade.
    pub(crate) fn note_link(&self, node: &Announcement, error: &HopError) {
        self.note(node, error);
    }

    /// The node gives no sign of life: it is passed over until it does.
    pub(crate) fn pass_over(&self, node: &Announcement) {
        self.note(node, &HopError::Timeout);
    }

    /// Whether the node couldn't be reached when it was last tried.
    pub(crate) fn is_passed_over(&self, node: &Announcement) -> bool {
        self.shunned.contains(node)
    }

    /// Changes whenever [`is_passed_over`](Self::is_passed_over) may have.
    pub(crate) fn passed_over(&self) -> watch::Receiver<()> {
        self.shunned.changes()
    }

    /// Every view from now on.
    pub(crate) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    async fn attempt_by_link(
        &self,
        node: &Announcement,
        limit: Duration,
        opening: &Opening,
    ) -> Result<(), HopError> {
        let span = trace::route(node);
        let traceparent = ringway_telemetry::traceparent_of(&span);
        let asked = async {
            match opening.at(&node.id, limit, traceparent.clone()).await {
                // A link that broke, and its node may be there: over the next link, once.
                Err(NotTaken::Unreachable) if !self.shunned.contains(node) => {
                    opening.at(&node.id, limit, traceparent).await
                }
                asked => asked,
            }
        };
        let asked = asked.instrument(span.clone()).await;
        let outcome = asked.map_err(|not| match not {
            // Whoever made the link has noted it.
            NotTaken::Unreachable => HopError::Unreachable(io::ErrorKind::NotConnected.into()),
            NotTaken::Timeout => HopError::Timeout,
            NotTaken::Refused => HopError::Refused(503),
            NotTaken::Limited(refusal) => HopError::Limited(refusal),
        });
        self.metrics.attempt(outcome.as_ref().map_or_else(HopError::label, |()| "ok"));
        if let Err(error) = &outcome {
            span.record("error.type", error.label());
            if matches!(error, HopError::Timeout) {
                self.note(node, error);
            }
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
