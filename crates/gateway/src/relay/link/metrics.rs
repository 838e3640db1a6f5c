//! What is counted of links, under names of their own: `ringway_link_…`.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use ringway_edge::Outbound;

use super::Cut;

type Labels = [(&'static str, &'static str); 1];
type ByLabel = Family<Labels, Counter>;

/// Links' counters, found once. A clone is the same ones.
#[derive(Clone, Debug)]
pub(crate) struct LinkMetrics {
    open: Gauge,
    cuts: ByLabel,
    records_up: Counter,
    records_down: Counter,
    bytes_up: Counter,
    bytes_down: Counter,
    queues: Queues,
}

impl LinkMetrics {
    /// `registry`: whose prefix is `ringway`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let links = registry.sub_registry_with_prefix("link");
        let (records, bytes, cuts) = (ByLabel::default(), ByLabel::default(), ByLabel::default());
        let of = |family: &ByLabel, direction| family.get_or_create_owned(&[("direction", direction)]);
        let metrics = Self {
            open: Gauge::default(),
            records_up: of(&records, "to_node"),
            records_down: of(&records, "to_gateway"),
            bytes_up: of(&bytes, "to_node"),
            bytes_down: of(&bytes, "to_gateway"),
            cuts,
            queues: Queues::default(),
        };
        links.register(
            "open",
            "Links to nodes that stand, of all workers of this gateway",
            metrics.open.clone(),
        );
        links.register("cuts", "Links that broke, or were cut, by reason", metrics.cuts.clone());
        links.register("records", "Records over links, by direction", records);
        links.register_with_unit("traffic", "Bytes of records over links, by direction", Unit::Bytes, bytes);
        links.register_collector(Box::new(metrics.queues.clone()));
        metrics
    }

    /// A link stands, until what is returned is dropped.
    pub(super) fn opened(&self, out: &Arc<Outbound>) -> Open {
        self.open.inc();
        let mut queues = self.queues.0.lock();
        queues.retain(|out| out.strong_count() > 0);
        queues.push(Arc::downgrade(out));
        Open(self.open.clone())
    }

    /// One was lost.
    pub(crate) fn cut(&self, why: Cut) {
        self.cuts.get_or_create(&[("reason", why.label())]).inc();
    }

    /// So much came from a node.
    pub(super) fn heard(&self, records: u64, bytes: u64) {
        self.records_down.inc_by(records);
        self.bytes_down.inc_by(bytes);
    }

    /// One record, of so many bytes, was said to a node.
    pub(crate) fn said(&self, bytes: usize) {
        self.records_up.inc();
        self.bytes_up.inc_by(bytes as u64);
    }
}

/// A link that counts as open.
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What waits for nodes, read when somebody asks.
#[derive(Clone, Debug, Default)]
struct Queues(Arc<Mutex<Vec<Weak<Outbound>>>>);

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let outs: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let bytes: usize = outs.iter().map(|out| out.queued_bytes()).sum();
        let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Bytes that wait for links to nodes now";
        gauge.encode(encoder.encode_descriptor("queue_bytes", help, None, gauge.metric_type())?)
    }
}
