//! Several nodes and what is in front of them: as processes over a real `nats-server`, or all in one (`dev`).

use std::net::SocketAddr;
use std::time::Duration;

use ringway_client::{ConnectOptions, Http};
use ringway_protocol::Format;
use ringway_testkit::http;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use ringway_testkit::path::Path;
use ringway_testkit::ports::free_port;
use ringway_testkit::processes::{Launcher, Process};
use ringway_testkit::wait::until;

use crate::support::{self, launcher, name, open_over};

/// A gateway, its nodes, and what they need.
pub(crate) struct Cluster {
    pub(crate) gateways: Vec<Process>,
    /// None where they are within the gateway's process.
    pub(crate) nodes: Vec<Process>,
    pub(crate) launcher: Launcher,
    // The last to go: the processes would complain.
    pub nats: Option<NatsServer>,
}

impl Cluster {
    /// Nodes `node-1` and so on, over a real `nats-server`, authentication off. Ready when all see all.
    pub(crate) fn over_nats(nodes: usize, gateways: usize) -> Self {
        Self::with(nodes, gateways, open_over)
    }

    /// As [`Self::over_nats`], with a configuration that is made for that NATS server.
    pub(crate) fn with(nodes: usize, gateways: usize, config: impl FnOnce(&str) -> String) -> Self {
        Self::over(NatsServer::start(), nodes, gateways, config)
    }

    /// As [`Self::with`], over a server that has JetStream.
    pub(crate) fn over_jetstream(nodes: usize, gateways: usize, config: impl FnOnce(&str) -> String) -> Self {
        let nats = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        Self::over(nats, nodes, gateways, config)
    }

    /// As [`Self::over_nats`], by this path, whichever was chosen for the run.
    pub(crate) fn by(path: Path, nodes: usize, gateways: usize) -> Self {
        Self::by_with(path, nodes, gateways, open_over)
    }

    /// As [`Self::by`], with a configuration that is made for that NATS server.
    pub(crate) fn by_with(
        path: Path,
        nodes: usize,
        gateways: usize,
        config: impl FnOnce(&str) -> String,
    ) -> Self {
        let nats = NatsServer::start();
        let mut launcher = launcher(&config(&nats.url()));
        launcher.take_path(path);
        Self::started_by(launcher, nats, nodes, gateways)
    }

    fn over(nats: NatsServer, nodes: usize, gateways: usize, config: impl FnOnce(&str) -> String) -> Self {
        let launcher = launcher(&config(&nats.url()));
        Self::started_by(launcher, nats, nodes, gateways)
    }

    fn started_by(mut launcher: Launcher, nats: NatsServer, nodes: usize, gateways: usize) -> Self {
        let nodes = launcher.nodes((1..=nodes).map(|n| format!("node-{n}")));
        let gateways = (0..gateways).map(|_| launcher.gateway(&[])).collect();
        let cluster = Self { gateways, nodes, launcher, nats: Some(nats) };
        for process in cluster.gateways.iter().chain(&cluster.nodes) {
            sees(process, cluster.nodes.len());
        }
        cluster
    }

    /// As [`Self::with`], two nodes behind one gateway, that clients can also reach directly.
    pub(crate) fn reachable(config: impl FnOnce(&str) -> String) -> Self {
        let nats = NatsServer::start();
        let mut launcher = launcher(&config(&nats.url()));
        let mut node = |n: usize| {
            let direct = free_port();
            let (listen, url) = (direct.to_string(), format!("ws://{direct}"));
            let env = [("RINGWAY_NODE__LISTEN", &*listen), ("RINGWAY_NODE__PUBLIC_URL", &*url)];
            launcher.node(&format!("node-{n}"), &env)
        };
        let nodes = vec![node(1), node(2)];
        let gateways = vec![launcher.gateway(&[])];
        let cluster = Self { gateways, nodes, launcher, nats: Some(nats) };
        for process in cluster.gateways.iter().chain(&cluster.nodes) {
            sees(process, cluster.nodes.len());
        }
        cluster
    }

    /// `ringway dev` with three nodes: over memory, nothing else there.
    pub(crate) fn dev() -> Self {
        let mut launcher = launcher("");
        let dev = launcher.dev(&["--nodes", "3"]);
        sees(&dev, 3);
        Self { gateways: vec![dev], nodes: Vec::new(), launcher, nats: None }
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateways[0].listen
    }

    /// How a test connects.
    pub(crate) fn options(&self, format: Format, room: Option<&str>) -> ConnectOptions {
        support::options(self.gateway(), format, room)
    }

    /// Calls over HTTP, by nobody in particular.
    pub(crate) fn http(&self) -> Http {
        http_to(self.gateway(), None)
    }
}

/// Waits until a process has that many nodes in its view.
pub(crate) fn sees(process: &Process, nodes: usize) {
    until(&format!("{} sees {nodes} nodes", process.name), Duration::from_secs(10), || {
        let answer = http::get(process.admin, "/debug/ring").ok()?;
        (answer.body.matches("\"incarnation\"").count() == nodes).then_some(())
    });
}

/// Calls over HTTP, with this key or token.
pub(crate) fn http_to(gateway: SocketAddr, bearer: Option<&str>) -> Http {
    Http::new(format!("http://{gateway}").parse().unwrap(), bearer.map(str::to_owned)).unwrap()
}

/// Rooms whose names begin so, by where they live: `count` for whom `wanted` says yes.
pub(crate) async fn rooms(
    http: &Http,
    prefix: &str,
    count: usize,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for n in 0..10_000 {
        if found.len() == count {
            return found;
        }
        let room = format!("{prefix}{n}");
        if wanted(&http.locate(Some(&name(&room))).await.unwrap().node) {
            found.push(room);
        }
    }
    panic!("no {count} rooms {prefix}… where they are wanted");
}
