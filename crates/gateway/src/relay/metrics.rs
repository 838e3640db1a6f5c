//! What a gateway that holds sockets counts of them: the same as a node does of its own, under the same names and with
//! `part="gateway"`, since both may be in one process.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use ringway_edge::{Ended, Frame, SPOKES};
use ringway_telemetry::slow::{CountsByTenant, Shown};
use ringway_telemetry::sums;

use super::Relay;

/// What a frame that waits is, beside what a node's rooms keep.
const QUEUES: [(&str, &str); 1] = [("kind", "queues")];

/// Handles, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct RelayMetrics {
    /// All that the gateway holds, on whichever path.
    connections: Gauge,
    closed: Family<[(&'static str, String); 1], Counter>,
    shed: Counter,
    refused: Counter,
    pub(crate) by_tenant: CountsByTenant,
    sums: Sums,
}

impl RelayMetrics {
    /// `registry`: whose prefix is `ringway`. `budget`: what frames may take, where no node of this process tells.
    pub(crate) fn register(registry: &mut Registry, connections: Gauge, budget: Option<u64>) -> Self {
        let part = registry.sub_registry_with_label(("part".into(), "gateway".into()));
        let shed = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let metrics = Self {
            connections,
            closed: Family::default(),
            shed: shed.get_or_create_owned(&QUEUES),
            refused: Counter::default(),
            by_tenant: CountsByTenant::register(part),
            sums: Sums { relay: Arc::default(), budget },
        };
        part.register("shed", "Queues emptied, since memory for buffers ran short", shed);
        let help = "Frames of clients answered by err that went to no node";
        part.register("frames_refused", help, metrics.refused.clone());
        part.register_collector(Box::new(metrics.sums.clone()));
        registry.sub_registry_with_prefix("gateway").register(
            "connections_closed",
            "Connections whose sockets this gateway held that ended, by close code",
            metrics.closed.clone(),
        );
        metrics
    }

    /// The relay whose sums are shown from now on.
    pub(crate) fn show(&self, relay: &Arc<Relay>) {
        let first = self.sums.relay.set(Arc::downgrade(relay)).is_ok();
        debug_assert!(first, "metrics are one gateway's");
    }

    /// One more client.
    pub(crate) fn opened(&self) {
        self.connections.inc();
    }

    /// One less.
    pub(crate) fn closed(&self, ended: Ended) {
        self.connections.dec();
        let code = ended.code.map_or(1006, |code| code.0);
        self.closed.get_or_create(&[("code", code.to_string())]).inc();
    }

    /// So many frames went to no node, since they were too much.
    pub(crate) fn refused(&self, frames: u16) {
        if frames > 0 {
            self.refused.inc_by(frames.into());
        }
    }

    /// So many queues gave way since memory ran short.
    pub(crate) fn shed(&self, queues: u64) {
        self.shed.inc_by(queues);
    }
}

/// What waits, read when somebody asks: nobody keeps these sums.
#[derive(Clone, Debug)]
struct Sums {
    relay: Arc<OnceLock<Weak<Relay>>>,
    budget: Option<u64>,
}

impl Collector for Sums {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(relay) = self.relay.get().and_then(Weak::upgrade) else { return Ok(()) };
        let tenants = relay.tenants.all();
        let waiting = queued(&relay).into_iter();
        sums::show_queued(&mut encoder, tenants.iter().map(|tenant| tenant.counts.shown.clone()), waiting)?;
        let Some(budget) = self.budget else { return Ok(()) };
        let used = [(QUEUES, Frame::alive_bytes())].into_iter();
        sums::show_each(&mut encoder, "buffer_bytes", "Memory of frames under way", used)?;
        let help = "What frames under way may take together";
        sums::show(&mut encoder, "buffer_limit_bytes", help, budget)
    }
}

/// What waits for each client for whom anything does.
fn queued(relay: &Relay) -> Vec<(Shown, u64)> {
    let (mut queued, mut some) = (Vec::new(), Vec::new());
    for spoke in 0..SPOKES as u64 {
        relay.on_spoke(spoke, &mut some);
        let waiting = some.drain(..).map(|client| (client.out.queued_bytes() as u64, client.tenant));
        let waiting = waiting.filter(|(bytes, _)| *bytes > 0);
        queued.extend(waiting.map(|(bytes, tenant)| (tenant.counts.shown.clone(), bytes)));
    }
    queued
}
