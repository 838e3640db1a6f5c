//! What a part's handle to the backplane has counted, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use ringway_backplane::Backplane;

/// Registers the counts of `backplane`, which are read when somebody looks.
pub(crate) fn register(registry: &mut Registry, backplane: Arc<dyn Backplane>) {
    registry.register_collector(Box::new(Carried(backplane)));
}

struct Carried(Arc<dyn Backplane>);

/// Handles have no word for themselves.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}

impl Collector for Carried {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = self.0.counters();
        let help = "Messages of this part over the backplane, by what became of them";
        let mut messages =
            encoder.encode_descriptor("backplane_messages", help, None, MetricType::Counter)?;
        for (outcome, count) in [
            ("sent", &counters.sent),
            ("refused", &counters.refused),
            ("received", &counters.received),
            ("unreadable", &counters.garbage),
            ("dropped", &counters.slow),
        ] {
            let outcome = [("outcome", outcome)];
            ConstCounter::new(count.get()).encode(messages.encode_family(&outcome)?)?;
        }
        let help = "Times that the link to the backplane came back";
        let reconnects =
            encoder.encode_descriptor("backplane_reconnects", help, None, MetricType::Counter)?;
        ConstCounter::new(counters.reconnects.get()).encode(reconnects)
    }
}

#[cfg(test)]
mod tests {
    use ringway_backplane::memory::Hub;
    use ringway_telemetry::Metrics;

    use super::*;

    #[tokio::test]
    async fn what_is_counted_can_be_seen() {
        let metrics = Metrics::new("0");
        metrics.register(&[], |registry| register(registry, Hub::new().attach("one")));
        let text = metrics.encode().expect("text");
        for line in [
            "ringway_backplane_messages_total{outcome=\"unreadable\"} 0",
            "ringway_backplane_messages_total{outcome=\"dropped\"} 0",
            "ringway_backplane_reconnects_total 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
