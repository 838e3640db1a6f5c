//! How many descriptors this process may have open, and what that is enough for.

use ringway_config::ClientPath;
use ringway_edge::serve;
use ringway_telemetry::Metrics;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A tunnel's: its client's socket, and its node's.
const OF_A_TUNNEL: u64 = 2;

/// What a process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors(u64);

impl Descriptors {
    /// Raises the soft limit to the hard one, as any process may: the soft one is there for programs that use
    /// `select(2)`. Says what is possible from then on.
    pub(crate) fn raise() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            tracing::warn!(%error, ?maximum, "the limit of open files can't be raised");
        }
        let possible = Self::now();
        tracing::info!(
            before = current,
            now = possible.0,
            connections = possible.connections(),
            tunnels = possible.tunnels(),
            "open files: a node needs one for each connection, a gateway two for each tunnel"
        );
    }

    /// The limit as it stands.
    pub(crate) fn now() -> Self {
        Self(serve::descriptors())
    }

    /// The most connections that a node can hold.
    pub(crate) fn connections(self) -> u64 {
        serve::places(self.0)
    }

    /// The most tunnels that a gateway can hold.
    pub(crate) fn tunnels(self) -> u64 {
        serve::places(self.0) / OF_A_TUNNEL
    }

    /// The most clients that a gateway can hold whose bytes go that way.
    pub(crate) fn clients(self, path: ClientPath) -> u64 {
        match path {
            ClientPath::Tunnel => self.tunnels(),
            // One socket each; the links to nodes are few, and within what is kept.
            ClientPath::Relay => self.connections(),
        }
    }

    /// What a node may hold: what its configuration says, or less where there are too few descriptors, which is told.
    pub(crate) fn bounded(self, max_connections: u64) -> u64 {
        let possible = self.connections();
        if max_connections > possible {
            tracing::warn!(
                "node.max_connections is {max_connections}, but {} open files are enough for {possible} connections: \
                 further ones will be refused. Set it to {possible}, or raise the hard limit of open files to {}",
                self.0,
                max_connections.saturating_add(self.0 - possible),
            );
        }
        max_connections.min(possible)
    }
}

/// Shows how many connections a part may hold, beside how many it holds.
pub(crate) fn show_limit(
    metrics: &Metrics,
    labels: &[(&'static str, &str)],
    prefix: Option<&'static str>,
    limit: u64,
) {
    metrics.register(labels, |registry| {
        let registry = match prefix {
            Some(prefix) => registry.sub_registry_with_prefix(prefix),
            None => registry,
        };
        let gauge =
            prometheus_client::metrics::gauge::ConstGauge::new(i64::try_from(limit).unwrap_or(i64::MAX));
        registry.register("connections_limit", "Connections above which further ones are refused", gauge);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_holds_what_it_is_told_to_if_it_can() {
        let few = Descriptors(20_000);
        assert_eq!((few.connections(), few.tunnels()), (19_872, 9_936));
        assert_eq!(few.bounded(50_000), 19_872);
        assert_eq!(few.bounded(10_000), 10_000);
        let any = Descriptors(u64::MAX);
        assert_eq!(any.bounded(50_000), 50_000);
    }
}
