//! The processes: nodes that come, leave and die, and gateways, one of which may be cut off from NATS.

use std::net::SocketAddr;
use std::time::Duration;

use ringway_ring::{NodeId, Slot, SlotTable};
use ringway_testkit::processes::{Process, ended_well};
use ringway_testkit::proxy::Proxy;

use crate::cluster::{self, Cluster};
use crate::support::name;

/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(20);

pub(super) struct Site {
    pub(super) cluster: Cluster,
    /// Between the first gateway and NATS.
    proxy: Option<Proxy>,
    is_cut: bool,
}

impl Site {
    /// Nodes `node-1` and so on, and gateways.
    pub(super) fn start(nodes: usize, gateways: usize, config: impl FnOnce(&str) -> String) -> Self {
        Self { cluster: Cluster::with(nodes, gateways, config), proxy: None, is_cut: false }
    }

    /// As [`Self::start`] with two gateways, the first of which can be [cut off](Self::cut) from NATS.
    pub(super) async fn with_a_gateway_to_be_cut_off(
        nodes: usize,
        config: impl FnOnce(&str) -> String,
    ) -> Self {
        let mut cluster = Cluster::with(nodes, 0, config);
        let port = cluster.nats.as_ref().expect("there is a NATS server").port();
        let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await.unwrap();
        let url = format!("nats://{}", proxy.address());
        let to_be_cut = cluster.launcher.gateway(&[("RINGWAY_NATS__URLS", &url)]);
        let other = cluster.launcher.gateway(&[]);
        cluster.gateways = vec![to_be_cut, other];
        let site = Self { cluster, proxy: Some(proxy), is_cut: false };
        site.all_see_all();
        site
    }

    pub(super) fn gateways(&self) -> Vec<SocketAddr> {
        self.cluster.gateways.iter().map(|gateway| gateway.listen).collect()
    }

    /// Starts a node, and waits until everybody who can has seen it.
    pub(super) fn add(&mut self, id: &str, env: &[(&str, &str)]) {
        let node = self.cluster.launcher.node(id, env);
        self.cluster.nodes.push(node);
        self.all_see_all();
    }

    /// Asks a node to leave, and waits until it has ended, well, and nobody sees it any more.
    pub(super) fn retire(&mut self, id: &str) {
        let mut node = self.take(id);
        node.terminate();
        let status = node.wait_end(END);
        assert!(ended_well(status), "{id}: {status}\n{}", node.log());
        self.all_see_all();
    }

    /// SIGKILL. The others may see it for a while.
    pub(super) fn kill(&mut self, id: &str) {
        self.take(id).kill();
    }

    /// Nothing goes between the first gateway and NATS any more, and neither is told.
    pub(super) fn cut(&mut self) {
        self.proxy.as_ref().expect("a gateway that can be cut off").silence();
        self.is_cut = true;
    }

    pub(super) fn mend(&mut self) {
        self.proxy.as_ref().expect("a gateway that can be cut off").open();
        self.is_cut = false;
        self.all_see_all();
    }

    /// Every process has all living nodes in its view, but a gateway that is cut off.
    pub(super) fn all_see_all(&self) {
        let gateways = self.cluster.gateways.iter().skip(usize::from(self.is_cut));
        for process in gateways.chain(&self.cluster.nodes) {
            cluster::sees(process, self.cluster.nodes.len());
        }
    }

    fn take(&mut self, id: &str) -> Process {
        let called = format!("node {id}");
        let at = self.cluster.nodes.iter().position(|node| node.name == called);
        self.cluster.nodes.remove(at.unwrap_or_else(|| panic!("{id} isn't there")))
    }
}

/// The node that owns a room where these are its pool's, by the ring alone.
pub(super) fn owner(nodes: &[&str], tenant: &str, room: &str) -> String {
    let nodes: Vec<(NodeId, u8)> = nodes.iter().map(|node| (node.parse().unwrap(), 1)).collect();
    let slot = Slot::of_room(&tenant.parse().unwrap(), &name(room));
    SlotTable::build(&nodes).owner(slot).unwrap().to_string()
}
