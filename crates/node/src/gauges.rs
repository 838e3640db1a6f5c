//! What waits and what is kept, read when somebody asks: nobody keeps these sums.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::memory::{Kind, KindLabel, Used};
use crate::node::Inner;
use crate::registry::SPOKES;
use crate::tenant::{Shown, TenantLabel};

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
        let queued =
            queued_by_tenant(&node).into_iter().map(|(tenant, bytes)| (TenantLabel { tenant }, bytes));
        show(&mut encoder, "queued_bytes", "Bytes that wait for sockets now, by tenant", queued)?;
        let used = Used::now(&node);
        let used = [(Kind::queues, used.queues), (Kind::replay, used.replay)];
        let used = used.into_iter().map(|(kind, bytes)| (KindLabel { kind }, bytes));
        show(
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
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (impl EncodeLabelSet, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, bytes) in samples {
        let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        gauge.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Of every tenant that is known here, nought among them.
fn queued_by_tenant(node: &Inner) -> BTreeMap<Shown, u64> {
    let mut queued: BTreeMap<Shown, u64> =
        node.here.all().iter().map(|tenant| (tenant.counts.shown.clone(), 0)).collect();
    let mut some = Vec::new();
    for spoke in 0..SPOKES as u64 {
        node.registry.on_spoke(spoke, &mut some);
        for conn in some.drain(..) {
            // A gateway shows what waits for the sockets that it holds.
            let bytes = if conn.way.linked().is_some() { 0 } else { conn.way.queued_bytes() as u64 };
            if bytes > 0 {
                *queued.entry(conn.tenant.counts.shown.clone()).or_default() += bytes;
            }
        }
    }
    queued
}
