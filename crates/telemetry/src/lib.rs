//! What a Ringway process says about itself: logs, traces, metrics, and the admin HTTP that shows them.
//!
//! [`init`] sets logs and traces up once for every command and hands back a [`Guard`] that flushes at the end.
//! [`Metrics`] gathers what the parts register and writes it as OpenMetrics; [`admin`] serves it beside `/livez` and
//! `/readyz`. The global state is the process's one `tracing` subscriber and the flag behind [`enabled`]; metrics and
//! checks are values that are handed down. Nothing here knows what a room is, or decides anything.

pub mod admin;
mod exposition;
mod labels;
mod logs;
mod metrics;
mod process;
mod propagation;
mod setup;
pub mod slow;
pub mod sums;
mod traces;

pub use labels::BoundedLabels;
pub use logs::{LogFormat, LogSettings};
pub use metrics::{CONTENT_TYPE, Metrics};
pub use propagation::{
    context_from_traceparent, current_traceparent, enabled, link, set_parent, set_parent_context,
    traceparent_of,
};
pub use setup::{Guard, InitError, TelemetrySettings, init};

/// For the macro [`span!`], so that its users needn't depend on it.
#[doc(hidden)]
pub use tracing;
