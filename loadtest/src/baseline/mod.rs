//! Baseline servers: what a broadcast costs where nothing else is done.
//!
//! Each serves `/`, where every message goes to all connections of `/`, its sender among them, and `/echo`, where it
//! goes back to its sender. See `loadtest/baselines/README.md` for what each stands for.

mod connection;
mod floor;
mod nats;
#[cfg(test)]
mod tests;
mod tungstenite;
mod uring;
mod wire;

use anyhow::Context as _;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The floor: one thread, one `send` a socket.
    Floor,
    /// The floor by io_uring, in batches.
    Uring,
    /// Plain tokio-tungstenite, as its examples have it.
    Tungstenite,
    /// The same with small read buffers and without Nagle's algorithm.
    TungsteniteTuned,
    /// Every message goes to NATS, and what comes from there to all: at `LOADTEST_NATS`.
    Nats,
}

/// Serves until it is killed.
pub(crate) fn run(kind: Kind, listen: std::net::SocketAddr) -> anyhow::Result<()> {
    match kind {
        Kind::Floor => floor::run(listen, floor::OneByOne),
        Kind::Uring => floor::run(listen, uring::Batches::new().context("no io_uring on this kernel")?),
        Kind::Tungstenite => tungstenite::run(listen, tungstenite::Tuning::None),
        Kind::TungsteniteTuned => tungstenite::run(listen, tungstenite::Tuning::Small),
        Kind::Nats => nats::run(listen),
    }
}

/// Whether this kernel lets us have an io_uring; if not, why.
pub(crate) fn has_uring() -> anyhow::Result<()> {
    uring::Batches::new().map(|_| ()).context("no io_uring on this kernel")
}
