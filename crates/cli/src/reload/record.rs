//! What is known of a process's configuration from outside: `/debug/config`, and metrics.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use ringway_config::Problem;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What is in force, and what became of the attempts to change it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    file: PathBuf,
    checksum: String,
    since: SystemTime,
    reloads: Counts,
    /// Of the last one; before there is one, of the start.
    successful: bool,
    failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    ok: u64,
    failed: u64,
    same: u64,
}

/// Why a configuration was refused.
#[derive(Debug, Clone)]
struct Failure {
    at: SystemTime,
    problems: Vec<String>,
}

impl Record {
    pub(crate) fn new(file: PathBuf, checksum: String) -> Self {
        Self {
            file,
            checksum,
            since: SystemTime::now(),
            reloads: Counts::default(),
            successful: true,
            failure: None,
        }
    }

    pub(crate) fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Another one is in force.
    pub(crate) fn taken_over(&mut self, checksum: String) {
        self.checksum = checksum;
        self.since = SystemTime::now();
        self.reloads.ok += 1;
        self.successful = true;
    }

    /// It was read, and is what is in force.
    pub(crate) fn same(&mut self) {
        self.reloads.same += 1;
        self.successful = true;
    }

    pub(crate) fn failed(&mut self, problems: &[Problem]) {
        self.reloads.failed += 1;
        self.successful = false;
        let problems = problems.iter().map(Problem::to_string).collect();
        self.failure = Some(Failure { at: SystemTime::now(), problems });
    }

    fn json(&self) -> Value {
        let time = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
        let failure = self.failure.as_ref();
        json!({
            "file": self.file,
            "checksum": self.checksum,
            "since": time(self.since),
            "reloads": { "ok": self.reloads.ok, "failed": self.reloads.failed, "same": self.reloads.same },
            "last_reload_successful": self.successful,
            "last_failure": failure.map(|failure| json!({ "at": time(failure.at), "problems": failure.problems })),
        })
    }
}

/// `/debug/config`.
pub(crate) fn routes(record: watch::Receiver<Record>) -> Router {
    Router::new().route("/debug/config", get(move || async move { Json(record.borrow().json()) }))
}

/// The record as metrics, read when somebody looks.
#[derive(Debug)]
pub(crate) struct Recorded(pub(crate) watch::Receiver<Record>);

impl Collector for Recorded {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let record = self.0.borrow().clone();
        let info = Info::new([("checksum", record.checksum)]);
        let help = "The configuration in force";
        info.encode(encoder.encode_descriptor("config", help, None, MetricType::Info)?)?;

        let help = "Times that the configuration was read while the process ran, by what became of it";
        let mut reloads = encoder.encode_descriptor("config_reloads", help, None, MetricType::Counter)?;
        let Counts { ok, failed, same } = record.reloads;
        for (result, count) in [("ok", ok), ("failed", failed), ("same", same)] {
            let result = [("result", result)];
            ConstCounter::new(count).encode(reloads.encode_family(&result)?)?;
        }
        let help = "1: the configuration was right when it was last read; 0: it was refused, and an earlier one is in force";
        let successful =
            encoder.encode_descriptor("config_last_reload_successful", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(record.successful)).encode(successful)
    }
}

#[cfg(test)]
mod tests {
    use ringway_config::Place;
    use ringway_telemetry::Metrics;

    use super::*;

    #[test]
    fn what_became_of_it_can_be_seen() {
        let record = watch::Sender::new(Record::new("/etc/ringway.toml".into(), "abc".to_owned()));
        let metrics = Metrics::new("0");
        metrics.register(&[], |registry| {
            registry.register_collector(Box::new(Recorded(record.subscribe())));
        });
        let has = |lines: &[&str]| {
            let text = metrics.encode().expect("text");
            for line in lines {
                assert!(text.lines().any(|found| found == *line), "{line} in {text}");
            }
        };
        has(&[
            "# TYPE ringway_config info",
            "ringway_config_info{checksum=\"abc\"} 1",
            "ringway_config_reloads_total{result=\"ok\"} 0",
            "ringway_config_last_reload_successful 1",
        ]);
        record.send_modify(Record::same);
        record.send_modify(|record| record.taken_over("def".to_owned()));
        let problem =
            Problem { place: Place::Nowhere, key: "node.weight".to_owned(), message: "wrong".to_owned() };
        record.send_modify(|record| record.failed(&[problem]));
        has(&[
            "ringway_config_info{checksum=\"def\"} 1",
            "ringway_config_reloads_total{result=\"ok\"} 1",
            "ringway_config_reloads_total{result=\"same\"} 1",
            "ringway_config_reloads_total{result=\"failed\"} 1",
            "ringway_config_last_reload_successful 0",
        ]);
        let json = record.borrow().json();
        assert_eq!(json["last_failure"]["problems"], json!(["node.weight: wrong"]));
        assert_eq!((&json["checksum"], &json["reloads"]["ok"]), (&json!("def"), &json!(1)));
    }
}
