//! The processes: NATS with JetStream, one server or three, nodes and gateways over it, and what can be done to them.

use std::net::SocketAddr;
use std::time::Duration;

use ringway_testkit::nats::{Api, NatsCluster, NatsOptions, NatsServer};
use ringway_testkit::processes::Launcher;
use ringway_testkit::wait::until;

use crate::cluster::{Cluster, sees};
use crate::support::{OPEN, launcher};

/// How long a process may take to see what has changed.
const SEEN: Duration = Duration::from_secs(30);

pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) nats: Nats,
    /// Nodes so far: a name is used once.
    named: usize,
}

/// What keeps the streams.
pub(super) enum Nats {
    One(NatsServer),
    Three(NatsCluster),
}

impl Nats {
    pub(super) fn one() -> Self {
        Self::One(NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() }))
    }

    pub(super) fn three() -> Self {
        Self::Three(NatsCluster::start())
    }

    /// The API of a server that is there.
    pub(super) fn api(&self) -> Api {
        match self {
            Self::One(server) => server.api(),
            Self::Three(cluster) => cluster.api(0),
        }
    }

    fn urls(&self) -> Vec<String> {
        match self {
            Self::One(server) => vec![server.url()],
            Self::Three(cluster) => cluster.urls(),
        }
    }

    fn replicas(&self) -> usize {
        self.urls().len()
    }

    pub(super) fn three_of_them(&mut self) -> &mut NatsCluster {
        match self {
            Self::Three(cluster) => cluster,
            Self::One(_) => panic!("there is one NATS server only"),
        }
    }

    /// Every replica of every stream is current.
    pub(super) fn wait_whole(&self) {
        if let Self::Three(cluster) = self {
            cluster.wait_ready();
            for stream in self.streams("talk").iter().chain(&self.streams("state")) {
                cluster.wait_whole(stream);
            }
        }
    }

    /// The streams of a store.
    pub(super) fn streams(&self, store: &str) -> Vec<String> {
        let mut streams = self.api().streams().unwrap();
        let first = format!("ringway-shared-{store}");
        streams.retain(|stream| *stream == first || stream.starts_with(&format!("{first}-")));
        streams
    }
}

impl Site {
    pub(super) fn start(nats: Nats, nodes: usize, gateways: usize) -> Self {
        let urls: Vec<String> = nats.urls().iter().map(|url| format!("\"{url}\"")).collect();
        let config = format!(
            "{OPEN}\n[nats]\nurls = [{}]\n\n[cluster]\nsecret = \"a-secret-of-these-tests-0123456789\"\n\n\
             [stores.talk]\nreplicas = {replicas}\nage = \"1h\"\nbytes = \"512MiB\"\n\n\
             [stores.state]\nreplicas = {replicas}\nage = \"1h\"\nbytes = \"512MiB\"\nlatest_per_key = true\n\n\
             [[classes]]\nrooms = \"talk.**\"\nstore = \"talk\"\n\n\
             [[classes]]\nrooms = \"state.**\"\nstore = \"state\"\n",
            urls.join(", "),
            replicas = nats.replicas(),
        );
        let mut launcher: Launcher = launcher(&config);
        let processes = launcher.nodes((1..=nodes).map(|n| format!("node-{n}")));
        let gateways = (0..gateways).map(|_| launcher.gateway(&[])).collect();
        let cluster = Cluster { gateways, nodes: processes, launcher, nats: None };
        let site = Self { cluster, nats, named: nodes };
        site.all_see_all();
        site
    }

    pub(super) fn gateways(&self) -> Vec<SocketAddr> {
        self.cluster.gateways.iter().map(|gateway| gateway.listen).collect()
    }

    /// SIGKILL of the first node; the others may see it for a while.
    pub(super) fn kill_a_node(&mut self) {
        self.cluster.nodes.remove(0).kill();
    }

    /// Starts a node, and waits until everybody has seen it.
    pub(super) fn add_a_node(&mut self) {
        self.named += 1;
        let node = self.cluster.launcher.node(&format!("node-{}", self.named), &[]);
        self.cluster.nodes.push(node);
        self.all_see_all();
    }

    pub(super) fn all_see_all(&self) {
        for process in self.cluster.gateways.iter().chain(&self.cluster.nodes) {
            until(&format!("{} is ready", process.name), SEEN, || {
                (process.readyz() == Some(200)).then_some(())
            });
            sees(process, self.cluster.nodes.len());
        }
    }

    /// `ringway store split`, as an operator does it; what it printed.
    pub(super) fn split(&self, into: usize) -> String {
        let launcher = &self.cluster.launcher;
        let output = launcher
            .command()
            .args(["store", "split", "--config"])
            .arg(launcher.config())
            .args(["shared", "talk", "--into", &into.to_string()])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(self.nats.streams("talk").len(), into);
        text(&output.stdout)
    }
}
