//! What a node counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::gauges::Gauges;
use crate::memory::{Kind, KindLabel};
use crate::tenant::CountsByTenant;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PlaceLabel {
    place: Place,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum Place {
    #[allow(non_camel_case_types)]
    owner,
    #[allow(non_camel_case_types)]
    elsewhere,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WantedLabel {
    wanted: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CloseLabel {
    code: u16,
}

/// Handles to a node's metrics, looked up once, at registration.
#[derive(Debug)]
pub struct NodeMetrics {
    pub(crate) connections: Gauge,
    pub(crate) rooms: Gauge,
    pub(crate) members: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) opened: Counter,
    closed: Family<CloseLabel, Counter>,
    pub(crate) published: Counter,
    delivered_owner: Counter,
    delivered_elsewhere: Counter,
    received_wanted: Counter,
    received_unwanted: Counter,
    pub(crate) replayed: Counter,
    pub(crate) gaps: Counter,
    pub(crate) live_refused: Counter,
    pub(crate) questions_refused: Counter,
    pub(crate) tickets_refused: Counter,
    pub(crate) refused_frames: Counter,
    pub(crate) by_tenant: CountsByTenant,
    pub(crate) buffer_limit: Gauge,
    shed_queues: Counter,
    shed_replay: Counter,
    pub(crate) gauges: Gauges,
}

impl NodeMetrics {
    /// Registers everything under `ringway_`.
    pub fn register(registry: &mut Registry) -> Self {
        let deliveries = Family::<PlaceLabel, Counter>::default();
        let received = Family::<WantedLabel, Counter>::default();
        let shed = Family::<KindLabel, Counter>::default();
        let metrics = Self {
            connections: Gauge::default(),
            rooms: Gauge::default(),
            members: Gauge::default(),
            subscriptions: Gauge::default(),
            opened: Counter::default(),
            closed: Family::default(),
            published: Counter::default(),
            delivered_owner: deliveries.get_or_create_owned(&PlaceLabel { place: Place::owner }),
            delivered_elsewhere: deliveries.get_or_create_owned(&PlaceLabel { place: Place::elsewhere }),
            received_wanted: received.get_or_create_owned(&WantedLabel { wanted: true }),
            received_unwanted: received.get_or_create_owned(&WantedLabel { wanted: false }),
            replayed: Counter::default(),
            gaps: Counter::default(),
            live_refused: Counter::default(),
            questions_refused: Counter::default(),
            tickets_refused: Counter::default(),
            refused_frames: Counter::default(),
            by_tenant: CountsByTenant::register(registry),
            buffer_limit: Gauge::default(),
            shed_queues: shed.get_or_create_owned(&KindLabel { kind: Kind::queues }),
            shed_replay: shed.get_or_create_owned(&KindLabel { kind: Kind::replay }),
            gauges: Gauges::default(),
        };
        registry.register("connections", "Connections held now", metrics.connections.clone());
        registry.register("rooms", "Rooms with members on this node now", metrics.rooms.clone());
        registry.register("members", "Memberships on this node now", metrics.members.clone());
        registry.register("subscriptions", "Live subjects listened to now", metrics.subscriptions.clone());
        registry.register(
            "connections_opened",
            "Connections that got as far as hello",
            metrics.opened.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections that ended, by close code",
            metrics.closed.clone(),
        );
        registry.register(
            "publications",
            "Publications that entered on this node",
            metrics.published.clone(),
        );
        registry.register(
            "deliveries",
            "Live publications written to members, on the room's owner or elsewhere",
            deliveries,
        );
        registry.register(
            "backplane_received",
            "Publications received from the backplane, by whether a member here wanted them",
            received,
        );
        registry.register(
            "replayed",
            "Publications written to members who had missed them",
            metrics.replayed.clone(),
        );
        registry.register("gaps", "Gaps told to members", metrics.gaps.clone());
        registry.register(
            "live_refused",
            "Live messages that the backplane didn't take",
            metrics.live_refused.clone(),
        );
        registry.register(
            "questions_refused",
            "Questions to other nodes not sent, since too many were under way",
            metrics.questions_refused.clone(),
        );
        registry.register(
            "tickets_refused",
            "Upgrades refused for their ticket",
            metrics.tickets_refused.clone(),
        );
        registry.register(
            "frames_refused",
            "Frames of clients answered by err",
            metrics.refused_frames.clone(),
        );
        registry.register(
            "buffer_limit_bytes",
            "What frames under way and rooms may take together",
            metrics.buffer_limit.clone(),
        );
        registry.register(
            "shed",
            "Queues emptied and rooms cut or forgotten, since memory for buffers ran short",
            shed,
        );
        registry.register_collector(Box::new(metrics.gauges.clone()));
        metrics
    }

    /// Live deliveries of one publication; λ is the share that `on_owner` denies.
    pub(crate) fn delivered(&self, on_owner: bool, count: u64) {
        let counter = if on_owner { &self.delivered_owner } else { &self.delivered_elsewhere };
        counter.inc_by(count);
    }

    pub(crate) fn received(&self, wanted: bool) {
        let counter = if wanted { &self.received_wanted } else { &self.received_unwanted };
        counter.inc();
    }

    /// So many gave way since memory ran short.
    pub(crate) fn shed(&self, kind: Kind, count: u64) {
        match kind {
            Kind::queues => self.shed_queues.inc_by(count),
            Kind::replay => self.shed_replay.inc_by(count),
        };
    }

    pub(crate) fn closed(&self, code: u16) {
        self.closed.get_or_create(&CloseLabel { code }).inc();
    }
}
