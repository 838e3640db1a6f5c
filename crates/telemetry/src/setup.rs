//! One subscriber for the whole process: logs always, traces where somebody wants them.

use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::logs::{self, LogSettings};
use crate::propagation;
use crate::traces::{self, Traces};

/// How long the end of a process waits for its last spans to reach the collector. Short of the ten seconds that a
/// stopping process has in all.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What a command says, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// Where spans go, by OTLP over gRPC (`http://collector:4317`). None: nowhere, unless an `OTEL_*` variable says.
    pub otlp: Option<String>,
    /// The share of traces that are kept where the caller didn't decide, 0 to 1; others' decisions are followed.
    /// `OTEL_TRACES_SAMPLER` wins.
    pub sample: f64,
    /// What the process is called in traces, such as `ringway-node`. `OTEL_SERVICE_NAME` wins.
    pub service_name: String,
    /// Which of several like it the process is: `service.instance.id` in traces. `OTEL_RESOURCE_ATTRIBUTES` wins.
    pub instance: Option<String>,
    /// The release, `service.version` in traces.
    pub version: String,
    /// Logs.
    pub log: LogSettings,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings {
            otlp: None,
            sample: 1.0,
            service_name: "ringway".into(),
            instance: None,
            version: env!("CARGO_PKG_VERSION").into(),
            log: LogSettings::default(),
        }
    }
}

/// Why logs and traces couldn't be set up: wrong use or configuration, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// What is to be logged can't be read.
    #[error("{variable}: not a log filter such as \"info\" or \"warn,ringway_node=debug\": {why}")]
    Filter {
        /// The variable that holds it, or `log level`.
        variable: String,
        /// What is wrong with it.
        why: String,
    },
    /// The exporter can't be made: an endpoint that is no URL, most likely.
    #[error("traces can't be exported: {0}")]
    Exporter(String),
    /// No thread for the exporter.
    #[error("no thread for the exporter of traces: {0}")]
    Thread(#[from] std::io::Error),
    /// The process has a subscriber: this was called twice.
    #[error("logs are set up already")]
    Twice,
}

/// Keeps traces flowing; the end of it flushes them.
#[must_use = "traces stop when it is dropped"]
#[derive(Debug)]
pub struct Guard {
    traces: Option<Traces>,
}

impl Guard {
    /// Whether traces are exported.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends what is left and ends the exporter, waiting at most `timeout`. Dropping the guard does the same within
    /// three seconds. Blocks: call it outside a runtime, or at the very end.
    pub fn shutdown(mut self, timeout: Duration) {
        self.end(timeout);
    }

    fn end(&mut self, timeout: Duration) {
        if let Some(traces) = self.traces.take() {
            propagation::set_enabled(false);
            traces.end(timeout);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(FLUSH_TIMEOUT);
    }
}

/// Sets up logs and traces for the process. Needs no runtime: the exporter has a thread of its own, so that a busy
/// process can't starve it, and none where traces are off.
///
/// # Errors
/// A filter or endpoint that can't be read; a second call.
pub fn init(settings: &TelemetrySettings) -> Result<Guard, InitError> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (plan, remark) = traces::plan(settings, &env);
    let traces = plan.map(|plan| Traces::start(&plan, settings)).transpose()?;
    let log = logs::layer(&settings.log, &env)?;
    tracing_subscriber::registry()
        .with(traces.as_ref().map(Traces::layer))
        .with(log)
        .try_init()
        .map_err(|_| InitError::Twice)?;
    propagation::set_enabled(traces.is_some());
    if let Some(remark) = remark {
        tracing::warn!("{remark}");
    }
    Ok(Guard { traces })
}
