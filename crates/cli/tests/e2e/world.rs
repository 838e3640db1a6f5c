//! Where frames and connections are tried: every way in, and all processes behind them.

use std::net::SocketAddr;

use ringway_testkit::processes::{Launcher, Process};

use crate::alive::Alive;
use crate::cluster::Cluster;
use crate::support::{OPEN, launcher};

/// A gateway before two nodes over NATS, and a `serve` beside them.
pub struct World {
    pub cluster: Cluster,
    pub serve: Process,
    _launcher: Launcher,
}

impl World {
    pub fn start() -> Self {
        let mut launcher = launcher(OPEN);
        Self { cluster: Cluster::over_nats(2, 1), serve: launcher.serve(&[]), _launcher: launcher }
    }

    /// Where clients connect.
    pub fn doors(&self) -> [(&'static str, SocketAddr); 2] {
        [("gateway", self.cluster.gateway()), ("serve", self.serve.listen)]
    }

    pub fn processes(&self) -> [&Process; 4] {
        [&self.cluster.gateways[0], &self.cluster.nodes[0], &self.cluster.nodes[1], &self.serve]
    }

    /// Somebody at each door, in a room that is placed with `tag`.
    pub fn others(&self, tag: &str) -> [Alive; 2] {
        self.doors().map(|(_, door)| Alive::watch(door, &format!("{{{tag}}}.others")))
    }

    pub fn undisturbed(&self, others: [Alive; 2]) {
        others.into_iter().for_each(|others| others.undisturbed(&self.processes()));
    }
}
