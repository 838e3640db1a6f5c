//! What waits and what is kept, read when somebody asks: nobody keeps these sums.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use ringway_telemetry::sums;

use crate::memory::{Kind, KindLabel, Used};
use crate::node::Inner;
use crate::registry::SPOKES;
use crate::tenant::Shown;

/// A node's gauges that cost a look at all its connections; without a node there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges(Arc<OnceLock<Weak<Inner>>>);

impl Gauges {
    /// The node whose figures are shown from now on.
    pub(crate) fn show(&self, node: &Arc<Inner>) {
        let first = self.0.set(Arc::downgrade(node)).is_ok();
        debug_assert!(first, "metrics are one node's");
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(node) = self.0.get().and_then(Weak::upgrade) else { return Ok(()) };
        let tenants = node.here.all();
        let waiting = queued(&node).into_iter();
        sums::show_queued(&mut encoder, tenants.iter().map(|tenant| tenant.counts.shown.clone()), waiting)?;
        let used = Used::now(&node);
        let used = [(Kind::queues, used.queues), (Kind::replay, used.replay)];
        let used = used.into_iter().map(|(kind, bytes)| (KindLabel { kind }, bytes));
        sums::show_each(
            &mut encoder,
            "buffer_bytes",
            "Memory of frames under way, and of rooms with what they replay",
            used,
        )?;
        let links = node.relay.links();
        let queued: usize = links.iter().map(|link| link.outbound().queued_bytes()).sum();
        for (name, help, count) in [
            ("node_links", "Links of gateways to this node now", links.len()),
            ("node_link_queue_bytes", "Bytes that wait for them", queued),
            ("node_linked_connections", "Connections by them, whether at home here or not", node.relay.len()),
        ] {
            sums::show(&mut encoder, name, help, count as u64)?;
        }
        Ok(())
    }
}

/// What waits for each connection for which anything does.
fn queued(node: &Inner) -> Vec<(Shown, u64)> {
    let (mut queued, mut some) = (Vec::new(), Vec::new());
    for spoke in 0..SPOKES as u64 {
        node.registry.on_spoke(spoke, &mut some);
        // A gateway shows what waits for the sockets that it holds.
        let own = some.drain(..).filter(|conn| conn.way.linked().is_none());
        let waiting = own.map(|conn| (conn.way.queued_bytes() as u64, conn)).filter(|(bytes, _)| *bytes > 0);
        queued.extend(waiting.map(|(bytes, conn)| (conn.tenant.counts.shown.clone(), bytes)));
    }
    queued
}
