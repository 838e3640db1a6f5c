//! What tests of Ringway stand on: real servers, started, broken and ended by the test that needs them.
//!
//! | module | starts, or reads |
//! |---|---|
//! | [`nats`] | a real `nats-server` on a free port, or three as a cluster; JetStream asked and harmed |
//! | [`processes`] | real `ringway` processes: nodes, gateways, `serve`, `dev` |
//! | [`path`] | nothing: which path clients take through gateways, in a whole run |
//! | [`tools`] | what tests need from the Python index, under `target/tools/` |
//! | [`proxy`] | a TCP proxy that can be cut and frozen |
//! | [`otlp`] | a collector of traces |
//! | [`http`], [`metrics`], [`ports`] | bare HTTP, `/metrics`, free ports |
//!
//! [`transcript`] starts nothing: it holds what members heard against what they were promised; nor does [`schedules`], which runs
//! pure machines through many seeds.

pub mod http;
pub mod metrics;
pub mod nats;
pub mod otlp;
pub mod path;
pub mod ports;
pub mod processes;
pub mod proxy;
pub mod schedules;
pub mod tools;
pub mod transcript;
pub mod wait;

/// To the person who looks at a failed test.
#[allow(clippy::print_stderr)]
fn tell(text: &str) {
    eprintln!("{text}");
}
