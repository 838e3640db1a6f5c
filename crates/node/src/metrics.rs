//! What a node counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::gauges::Gauges;
use crate::heat::Counted;
use crate::memory::{Kind, KindLabel};
use crate::moves::Reason;
use crate::reader::ReadCounts;
use crate::storing::StoringMetrics;
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
struct GrainLabel {
    grain: GrainOf,
}

/// What a subscription takes.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum GrainOf {
    #[allow(non_camel_case_types)]
    room,
    #[allow(non_camel_case_types)]
    slot,
    #[allow(non_camel_case_types)]
    all,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WaitedLabel {
    waited: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CloseLabel {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GoawayLabel {
    reason: Reason,
}

/// Handles to a node's metrics, looked up once, at registration.
#[derive(Debug)]
pub struct NodeMetrics {
    pub(crate) connections: Gauge,
    pub(crate) rooms: Gauge,
    pub(crate) members: Gauge,
    subscriptions: [Gauge; 3],
    listens_waited: Counter,
    listens_covered: Counter,
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
    pub(crate) misplaced: Gauge,
    goaways: Family<GoawayLabel, Counter>,
    pub(crate) by_tenant: CountsByTenant,
    pub(crate) buffer_limit: Gauge,
    shed_queues: Counter,
    shed_replay: Counter,
    pub(crate) gauges: Gauges,
    pub(crate) spread_keys: Gauge,
    pub(crate) reads: ReadCounts,
    pub(crate) storing: StoringMetrics,
}

impl NodeMetrics {
    /// Registers everything under `ringway_`.
    pub fn register(registry: &mut Registry) -> Self {
        let deliveries = Family::<PlaceLabel, Counter>::default();
        let received = Family::<WantedLabel, Counter>::default();
        let shed = Family::<KindLabel, Counter>::default();
        let subscriptions = Family::<GrainLabel, Gauge>::default();
        let listens = Family::<WaitedLabel, Counter>::default();
        let grains = [GrainOf::room, GrainOf::slot, GrainOf::all];
        let metrics = Self {
            connections: Gauge::default(),
            rooms: Gauge::default(),
            members: Gauge::default(),
            subscriptions: grains.map(|grain| subscriptions.get_or_create_owned(&GrainLabel { grain })),
            listens_waited: listens.get_or_create_owned(&WaitedLabel { waited: true }),
            listens_covered: listens.get_or_create_owned(&WaitedLabel { waited: false }),
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
            misplaced: Gauge::default(),
            goaways: Family::default(),
            by_tenant: CountsByTenant::register(registry),
            buffer_limit: Gauge::default(),
            shed_queues: shed.get_or_create_owned(&KindLabel { kind: Kind::queues }),
            shed_replay: shed.get_or_create_owned(&KindLabel { kind: Kind::replay }),
            gauges: Gauges::default(),
            spread_keys: Gauge::default(),
            reads: ReadCounts::register(registry),
            storing: StoringMetrics::register(registry),
        };
        registry.register("connections", "Connections held now", metrics.connections.clone());
        registry.register("rooms", "Rooms with members on this node now", metrics.rooms.clone());
        registry.register("members", "Memberships on this node now", metrics.members.clone());
        registry.register(
            "subscriptions",
            "Live subjects listened to now, by how much each takes: a room, a slot, or all",
            subscriptions,
        );
        registry.register(
            "listens",
            "Rooms that began to be listened to, by whether a subscription had to be waited for",
            listens,
        );
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
        registry.register(
            "misplaced",
            "Connections here whose home is another node now",
            metrics.misplaced.clone(),
        );
        for reason in [Reason::moved, Reason::lifetime, Reason::leaving] {
            drop(metrics.goaways.get_or_create(&GoawayLabel { reason }));
        }
        registry.register("goaways", "Connections told to move, by reason", metrics.goaways.clone());
        registry.register(
            "spread_keys",
            "Tags and rooms of this node's slots that are spread over several nodes for their size now",
            metrics.spread_keys.clone(),
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

    /// What was counted so far of what is announced as rates.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            publications: self.published.get(),
            deliveries: self.delivered_owner.get(),
            deliveries_elsewhere: self.delivered_elsewhere.get(),
            received: self.received_wanted.get() + self.received_unwanted.get(),
            unwanted: self.received_unwanted.get(),
        }
    }

    /// Of rooms, slots and all there were so many subscriptions, and are now.
    pub(crate) fn subscribed(&self, before: [usize; 3], now: [usize; 3]) {
        for (gauge, (before, now)) in self.subscriptions.iter().zip(before.into_iter().zip(now)) {
            if before != now {
                gauge.inc_by(now as i64 - before as i64);
            }
        }
    }

    /// A room began to be listened to, and was `covered` by what is subscribed to already.
    pub(crate) fn listens(&self, covered: bool) {
        let counter = if covered { &self.listens_covered } else { &self.listens_waited };
        counter.inc();
    }

    /// So many gave way since memory ran short.
    pub(crate) fn shed(&self, kind: Kind, count: u64) {
        match kind {
            Kind::queues => self.shed_queues.inc_by(count),
            Kind::replay => self.shed_replay.inc_by(count),
        };
    }

    pub(crate) fn told_to_move(&self, reason: Reason) {
        self.goaways.get_or_create(&GoawayLabel { reason }).inc();
    }

    pub(crate) fn closed(&self, code: u16) {
        self.closed.get_or_create(&CloseLabel { code }).inc();
    }
}
