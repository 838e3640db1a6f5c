//! What a gateway counts. Families are made once; hot counters are held as handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use ringway_protocol::{Code, TenantId};
use ringway_telemetry::BoundedLabels;

type Labels<const N: usize> = [(&'static str, String); N];
type Outcomes = Family<Labels<1>, Counter>;

/// Tenants that have labels of their own; all others are `other`.
const TENANTS: usize = 100;

/// All metrics of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) tunnels: TunnelMetrics,
    upgrades: Outcomes,
    attempts: Outcomes,
    requests: Family<Labels<2>, Counter>,
    limited: Limited,
    handshakes: Gauge,
    /// What nearly every connection counts.
    taken: Taken,
}

/// Counters of what goes well, found once: a look-up takes strings of its own for every label.
#[derive(Clone, Debug)]
struct Taken {
    tunnel: Counter,
    relay: Counter,
    local: Counter,
    attempt: Counter,
    switching: Counter,
}

impl Metrics {
    /// Made, and registered; the registry's own prefix is `ringway`. `shortages` is counted by who accepts.
    pub(crate) fn register(registry: &mut Registry, shortages: Arc<AtomicU64>) -> Self {
        let registry = registry.sub_registry_with_prefix("gateway");
        let (upgrades, attempts) = (Outcomes::default(), Outcomes::default());
        let requests = Family::<Labels<2>, Counter>::default();
        let of =
            |family: &Outcomes, outcome: &str| family.get_or_create_owned(&[("outcome", outcome.to_owned())]);
        let metrics = Self {
            tunnels: TunnelMetrics::register(registry),
            limited: Limited::default(),
            handshakes: Gauge::default(),
            taken: Taken {
                tunnel: of(&upgrades, "tunnel"),
                relay: of(&upgrades, "relay"),
                local: of(&upgrades, "local"),
                attempt: of(&attempts, "ok"),
                switching: requests.get_or_create_owned(&request_labels("/v1/ws", "1xx")),
            },
            upgrades,
            attempts,
            requests,
        };
        registry.register(
            "upgrades",
            "Upgrades by outcome: `tunnel`, `relay`, `local` (handed to a node of this process), or the code of the refusal",
            metrics.upgrades.clone(),
        );
        registry.register(
            "route_attempts",
            "Attempts to hand an upgrade to a node, by what became of them",
            metrics.attempts.clone(),
        );
        registry.register(
            "http_requests",
            "Requests of the public HTTP API by route and class of status",
            metrics.requests.clone(),
        );
        registry.register("handshakes", "Upgrades under way", metrics.handshakes.clone());
        registry.register_collector(Box::new(Shortages(shortages)));
        registry.register_collector(Box::new(metrics.limited.clone()));
        metrics
    }

    /// An upgrade that went to a node over the network.
    pub(crate) fn tunnelled(&self) {
        self.taken.tunnel.inc();
    }

    /// An upgrade whose socket stays here, for a node over the network.
    pub(crate) fn relayed(&self) {
        self.taken.relay.inc();
    }

    /// An upgrade that went to a node of this process.
    pub(crate) fn local(&self) {
        self.taken.local.inc();
    }

    /// An upgrade that was turned away before any work.
    pub(crate) fn shed(&self) {
        self.not_taken("shed");
    }

    /// An application's own codes are one outcome: their number isn't bounded.
    pub(crate) fn refused(&self, code: &Code) {
        self.not_taken(if matches!(code, Code::App(_) | Code::Other(_)) { "app" } else { code.as_str() });
    }

    /// An upgrade or a call that wasn't done. Counted for the tenant where it was for one of its limits.
    pub(crate) fn limited(&self, tenant: &TenantId, code: &Code) {
        if matches!(code, Code::LimitConnections | Code::LimitRate) {
            let labels =
                [("code", code.as_str().into()), ("tenant", self.limited.tenants.get(tenant.as_str()))];
            self.limited.counts.get_or_create(&labels).inc();
        }
    }

    fn not_taken(&self, outcome: &str) {
        self.upgrades.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(crate) fn attempt(&self, outcome: &'static str) {
        if outcome == "ok" {
            self.taken.attempt.inc();
            return;
        }
        self.attempts.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(crate) fn request(&self, route: &'static str, status: StatusCode) {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.taken.switching.inc();
            return;
        }
        let class = format!("{}xx", status.as_u16() / 100);
        self.requests.get_or_create(&request_labels(route, &class)).inc();
    }

    /// Counts an upgrade as under way until the guard is dropped.
    pub(crate) fn handshake(&self) -> GaugeGuard {
        GaugeGuard::new(&self.handshakes)
    }
}

fn request_labels(route: &'static str, class: &str) -> Labels<2> {
    [("route", route.to_owned()), ("status", class.to_owned())]
}

/// What was refused for limits, by code and tenant. Exposed with nothing in it too, as whoever writes alerts expects.
#[derive(Clone, Debug)]
struct Limited {
    counts: Family<[(&'static str, Arc<str>); 2], Counter>,
    tenants: Arc<BoundedLabels>,
}

impl Default for Limited {
    fn default() -> Self {
        Self { counts: Family::default(), tenants: Arc::new(BoundedLabels::new(TENANTS)) }
    }
}

impl Collector for Limited {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help =
            "Upgrades and publications that were refused for a limit of the tenant, its users or its rooms";
        let kind = self.counts.metric_type();
        self.counts.encode(encoder.encode_descriptor("limited", help, None, kind)?)
    }
}

/// Connections that couldn't be accepted for want of descriptors or memory.
#[derive(Debug)]
struct Shortages(Arc<AtomicU64>);

impl Collector for Shortages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counter = ConstCounter::new(self.0.load(Ordering::Relaxed));
        let help = "Connections that could not be accepted for want of descriptors or memory";
        counter.encode(encoder.encode_descriptor("accept_shortages", help, None, counter.metric_type())?)
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// The client went, or was told to by an end of its own.
    Client,
    /// The node closed it, with a close frame.
    Node,
    /// The node's side broke off without one.
    NodeLost,
    /// One side had ended and the other didn't in time.
    Late,
    /// One side took nothing while bytes waited for it.
    Stalled,
    /// The gateway stops.
    Stopping,
}

impl TunnelEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::NodeLost => "node_lost",
            Self::Late => "late",
            Self::Stalled => "stalled",
            Self::Stopping => "stopping",
        }
    }
}

/// What tunnels count.
#[derive(Clone, Debug)]
pub(crate) struct TunnelMetrics {
    connections: Gauge,
    to_node: Counter,
    to_client: Counter,
    ended: Family<Labels<1>, Counter>,
}

impl TunnelMetrics {
    fn register(registry: &mut Registry) -> Self {
        let bytes = Family::<Labels<1>, Counter>::default();
        let metrics = Self {
            connections: Gauge::default(),
            to_node: bytes.get_or_create_owned(&[("direction", "to_node".to_owned())]),
            to_client: bytes.get_or_create_owned(&[("direction", "to_client".to_owned())]),
            ended: Family::default(),
        };
        let help = "Connections in tunnels, and those whose sockets this gateway holds itself";
        registry.register("connections", help, metrics.connections.clone());
        registry.register_with_unit("tunnel", "Bytes moved in tunnels, by direction", Unit::Bytes, bytes);
        registry.register("tunnels_ended", "Tunnels that ended, by what ended them", metrics.ended.clone());
        metrics
    }

    pub(crate) fn to_node(&self, bytes: u64) {
        if bytes > 0 {
            self.to_node.inc_by(bytes);
        }
    }

    pub(crate) fn to_client(&self, bytes: u64) {
        if bytes > 0 {
            self.to_client.inc_by(bytes);
        }
    }

    /// All that the gateway holds, on whichever path.
    pub(crate) fn connections(&self) -> Gauge {
        self.connections.clone()
    }

    /// One more tunnel.
    pub(crate) fn began(&self) {
        self.connections.inc();
    }

    /// One less; `None`: it was dropped with its runtime.
    pub(crate) fn ended(&self, end: Option<TunnelEnd>) {
        self.connections.dec();
        if let Some(end) = end {
            self.ended.get_or_create(&[("by", end.label().to_owned())]).inc();
        }
    }
}

/// One more on a gauge, until it is dropped.
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_of_the_documentation() {
        let mut registry = Registry::with_prefix("ringway");
        let metrics = Metrics::register(&mut registry, Arc::new(AtomicU64::new(3)));
        metrics.tunnelled();
        metrics.refused(&Code::BadOrigin);
        metrics.refused(&Code::app("mine").expect("a code"));
        metrics.attempt("ok");
        let acme = "acme".parse().expect("a tenant");
        metrics.limited(&acme, &Code::LimitRate);
        metrics.limited(&acme, &Code::Unavailable);
        metrics.request("/v1/messages", StatusCode::CREATED);
        metrics.tunnels.to_node(5);
        metrics.tunnels.began();
        let handshake = metrics.handshake();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        for line in [
            "ringway_gateway_connections 1",
            "ringway_gateway_handshakes 1",
            "ringway_gateway_accept_shortages_total 3",
            "ringway_gateway_tunnel_bytes_total{direction=\"to_node\"} 5",
            "ringway_gateway_upgrades_total{outcome=\"tunnel\"} 1",
            "ringway_gateway_upgrades_total{outcome=\"bad_origin\"} 1",
            "ringway_gateway_upgrades_total{outcome=\"app\"} 1",
            "ringway_gateway_limited_total{code=\"limit_rate\",tenant=\"acme\"} 1",
            "ringway_gateway_route_attempts_total{outcome=\"ok\"} 1",
            "ringway_gateway_http_requests_total{route=\"/v1/messages\",status=\"2xx\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        metrics.tunnels.ended(Some(TunnelEnd::NodeLost));
        drop(handshake);
        text.clear();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        for line in [
            "ringway_gateway_connections 0",
            "ringway_gateway_handshakes 0",
            "ringway_gateway_tunnels_ended_total{by=\"node_lost\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
