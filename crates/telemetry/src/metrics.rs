//! What is counted, gathered and written as OpenMetrics.
//!
//! A part registers its families once and keeps the handles; nothing is looked up by label where it is hot. Several
//! parts of one kind in a process (the nodes of `ringway dev`) register the same families in registries of their own,
//! told apart by a label, and come out as one family.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::exposition::merge;
use crate::process::Process;

/// What the name of every metric of ours begins with.
const PREFIX: &str = "ringway";

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process's metrics. A clone is the same metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registries: Arc<RwLock<Vec<Registry>>>,
}

impl Metrics {
    /// Begins with what is true of any process: `process_*` (start, CPU, memory, open files, threads) and
    /// `ringway_build_info`.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut process = Registry::default();
        process.register_collector(Box::new(Process::started_now()));
        let mut build = Registry::with_prefix(PREFIX);
        build.register(
            "build",
            "The release that runs",
            Info::new(vec![("version".to_owned(), version.to_owned())]),
        );
        Metrics { registries: Arc::new(RwLock::new(vec![process, build])) }
    }

    /// Lets a part register its families: under `ringway_`, every sample with `labels`. It is shown from then on.
    ///
    /// Two parts that register the same family need labels that differ.
    pub fn register<T>(&self, labels: &[(&'static str, &str)], part: impl FnOnce(&mut Registry) -> T) -> T {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned().into()));
        let mut registry = Registry::with_prefix_and_labels(PREFIX, labels);
        let handles = part(&mut registry);
        self.registries.write().push(registry);
        handles
    }

    /// All of them as OpenMetrics text ([`CONTENT_TYPE`]).
    ///
    /// # Errors
    /// A collector failed; nothing else can.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let registries = self.registries.read();
        let mut texts = Vec::with_capacity(registries.len());
        for registry in registries.iter() {
            let mut text = String::new();
            encode_registry(&mut text, registry)?;
            texts.push(text);
        }
        let mut whole = merge(&texts);
        encode_eof(&mut whole)?;
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    fn counted(metrics: &Metrics, node: &str) -> Counter {
        metrics.register(&[("node", node)], |registry| {
            let counter = Counter::<u64>::default();
            registry.register("things", "Things that happened", counter.clone());
            counter
        })
    }

    #[test]
    fn parts_of_one_kind_are_one_family() {
        let metrics = Metrics::new("1.2.3");
        counted(&metrics, "a").inc_by(2);
        counted(&metrics, "b").inc_by(3);
        let text = metrics.encode().unwrap();
        assert_eq!(text.matches("# TYPE ringway_things counter").count(), 1, "{text}");
        assert!(
            text.contains("ringway_things_total{node=\"a\"} 2\nringway_things_total{node=\"b\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("ringway_build_info{version=\"1.2.3\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
