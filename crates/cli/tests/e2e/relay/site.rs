//! The processes: NATS with JetStream, nodes, each behind something that can break what comes to it from gateways, and
//! gateways that hold the sockets.

use std::net::SocketAddr;

use ringway_testkit::nats::{NatsOptions, NatsServer};
use ringway_testkit::path::Path;
use ringway_testkit::ports::free_port;
use ringway_testkit::processes::Process;
use ringway_testkit::proxy::Proxy;

use crate::cluster::{Cluster, rooms, sees};
use crate::support::{durable_over, launcher};

pub(super) struct Site {
    pub(super) cluster: Cluster,
    /// Before each node, in the order of their names: what gateways connect to.
    pub(super) links: Vec<Proxy>,
}

impl Site {
    /// Nodes `node-1` and so on, and gateways; rooms `durable.**` are kept. Ready when all see all.
    pub(super) async fn start(nodes: usize, gateways: usize) -> Self {
        Self::with(nodes, gateways, durable_over).await
    }

    pub(super) async fn with(nodes: usize, gateways: usize, config: impl FnOnce(&str) -> String) -> Self {
        Self::beside(nodes, gateways, &[], config).await
    }

    /// With these files beside the configuration, by their names.
    pub(super) async fn beside(
        nodes: usize,
        gateways: usize,
        files: &[(&str, &str)],
        config: impl FnOnce(&str) -> String,
    ) -> Self {
        let nats = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let mut launcher = launcher(&config(&nats.url()));
        launcher.take_path(Path::Relay);
        for (name, text) in files {
            std::fs::write(launcher.directory().join(name), text).unwrap();
        }
        let (mut processes, mut links) = (Vec::new(), Vec::new());
        for number in 1..=nodes {
            let listen = free_port();
            let link = Proxy::start(listen).await.unwrap();
            let (listen, advertise) = (listen.to_string(), link.address().to_string());
            let env = [("RINGWAY_NODE__LISTEN", &*listen), ("RINGWAY_NODE__ADVERTISE", &*advertise)];
            // They start together: each asks around for its name first.
            processes.push(launcher.begin_node(&format!("node-{number}"), &env));
            links.push(link);
        }
        processes.iter_mut().for_each(Process::wait_ready);
        let gateways = (0..gateways).map(|_| launcher.gateway(&[])).collect();
        let site =
            Self { cluster: Cluster { gateways, nodes: processes, launcher, nats: Some(nats) }, links };
        site.all_see(nodes);
        site
    }

    /// Waits until every process that stands has so many nodes in its view.
    pub(super) fn all_see(&self, nodes: usize) {
        self.cluster.gateways.iter().chain(&self.cluster.nodes).for_each(|process| sees(process, nodes));
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.cluster.gateway()
    }

    /// So many rooms whose names begin so, that this node owns.
    pub(super) async fn rooms_on(&self, node: &str, prefix: &str, count: usize) -> Vec<String> {
        rooms(&self.cluster.http(), prefix, count, |owner| owner == node).await
    }

    pub(super) async fn room_on(&self, node: &str, prefix: &str) -> String {
        self.rooms_on(node, prefix, 1).await.remove(0)
    }

    /// The sum of a metric over all nodes.
    pub(super) fn of_nodes(&self, family: &str, labels: &[&str]) -> f64 {
        self.cluster.nodes.iter().map(|node| node.metrics().sum(family, labels)).sum()
    }

    /// The sum of a metric over all gateways.
    pub(super) fn of_gateways(&self, family: &str, labels: &[&str]) -> f64 {
        self.cluster.gateways.iter().map(|gateway| gateway.metrics().sum(family, labels)).sum()
    }
}
