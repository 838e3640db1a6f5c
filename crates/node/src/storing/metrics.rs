//! What is counted of what is stored.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use ringway_backplane::message::Fate;
use ringway_backplane::nats::Stores;

/// Bounds of the seconds until acknowledged: from a quick disk to where patience ends.
const SECONDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types)] // As scraped.
enum Outcome {
    stored,
    duplicate,
    full,
    too_big,
    unavailable,
    unknown,
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::stored,
    Outcome::duplicate,
    Outcome::full,
    Outcome::too_big,
    Outcome::unavailable,
    Outcome::unknown,
];

/// Handles to what is counted of what is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoringMetrics {
    outcomes: [Counter; 6],
    seconds: Histogram,
    pub(super) repeated: Counter,
    waiting: Waiting,
}

impl StoringMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<OutcomeLabel, Counter>::default();
        let metrics = Self {
            outcomes: OUTCOMES.map(|outcome| outcomes.get_or_create_owned(&OutcomeLabel { outcome })),
            ..Self::default()
        };
        registry.register(
            "store_publications",
            "Publications that this node gave to a store, by what became of them",
            outcomes,
        );
        registry.register(
            "store_seconds",
            "Until a publication was acknowledged by its store, seconds",
            metrics.seconds.clone(),
        );
        registry.register(
            "store_repeats",
            "Publications given to a store again, since no acknowledgement came or it was away",
            metrics.repeated.clone(),
        );
        registry.register_collector(Box::new(metrics.waiting.clone()));
        metrics
    }

    /// The stores whose waiting publications are shown from now on.
    pub(super) fn show(&self, stores: &Arc<Stores>) {
        // The first are the node's.
        let _ = self.waiting.0.set(Arc::downgrade(stores));
    }

    /// What became of one, after how long.
    pub(super) fn settled(&self, fate: &Fate, after: Duration) {
        let outcome = match fate {
            Fate::Stored(published) => {
                self.seconds.observe(after.as_secs_f64());
                if published.duplicate { Outcome::duplicate } else { Outcome::stored }
            }
            Fate::Full => Outcome::full,
            Fate::TooBig => Outcome::too_big,
            Fate::Unknown => Outcome::unknown,
            // A store knows neither signals nor limits.
            Fate::Unavailable | Fate::Passed | Fate::Limited { .. } => Outcome::unavailable,
        };
        self.outcomes[outcome as usize].inc();
    }
}

/// Counts for nobody.
impl Default for StoringMetrics {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| Counter::default()),
            seconds: Histogram::new(SECONDS),
            repeated: Counter::default(),
            waiting: Waiting::default(),
        }
    }
}

/// How many wait, read when somebody asks.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<OnceLock<Weak<Stores>>>);

impl Collector for Waiting {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let waiting = self.0.get().and_then(Weak::upgrade).map_or(0, |stores| stores.waiting());
        let help = "Publications that wait to be sent to their store, or for its acknowledgement, now";
        let gauge = encoder.encode_descriptor("store_waiting", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX)).encode(gauge)
    }
}
