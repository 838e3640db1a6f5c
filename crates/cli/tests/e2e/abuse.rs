//! Clients that do what no honest one does: limits hold, memory stays bounded, others are served, and nothing is left of
//! it once they have gone.

mod frames;
mod joins;
mod readers;
mod sockets;

use std::net::SocketAddr;

use ringway_testkit::nats::NatsServer;
use ringway_testkit::ports::free_port;
use ringway_testkit::processes::{Launcher, Process};
use ringway_testkit::wait::until;

use crate::alive::Alive;
use crate::bare::{Bare, SOON, encoded};
use crate::cluster::sees;
use crate::footprint::Footprint;
use crate::slow::CLASSES;
use crate::support::{DOORS, Door, launcher, open_over};

/// A gateway and a node that clients can also reach directly, and somebody else on both.
struct Site {
    gateway: Process,
    node: Process,
    before: [Footprint; 2],
    others: Option<Alive>,
    _launcher: Launcher,
    _nats: NatsServer,
}

impl Site {
    fn start() -> Self {
        Self::with("")
    }

    /// With further lines of configuration.
    fn with(more: &str) -> Self {
        let nats = NatsServer::start();
        let mut launcher = launcher(&format!("{}{CLASSES}{more}", open_over(&nats.url())));
        let direct = free_port();
        let (listen, url) = (direct.to_string(), format!("ws://{direct}"));
        let node =
            launcher.node("node-1", &[("RINGWAY_NODE__LISTEN", &listen), ("RINGWAY_NODE__PUBLIC_URL", &url)]);
        let gateway = launcher.gateway(&[]);
        sees(&gateway, 1);
        let before = [Footprint::of(&gateway), Footprint::of(&node)];
        let others = Some(Alive::watch(gateway.listen, "others"));
        Self { gateway, node, before, others, _launcher: launcher, _nats: nats }
    }

    /// Where to connect for a home room, and what to upgrade at.
    fn way(&self, door: Door, room: &str) -> (SocketAddr, String) {
        door.way(self.gateway.listen, &format!("room={}", encoded(room)))
    }

    /// In that room, by JSON: hello and the join's answer are read.
    fn enter(&self, door: Door, room: &str) -> Bare {
        self.enter_as(door, "default", room)
    }

    /// As somebody of that tenant.
    fn enter_as(&self, door: Door, tenant: &str, room: &str) -> Bare {
        let query = format!("tenant={tenant}&room={}", encoded(room));
        let (address, target) = door.way(self.gateway.listen, &query);
        let mut bare = Bare::upgraded(address, &target, &[]);
        bare.until(|frame| frame["t"] == "joined" && frame["room"] == room);
        bare
    }

    /// Somebody who publishes, in no room.
    fn speaker(&self) -> Bare {
        Bare::upgraded(self.gateway.listen, "/v1/ws", &[])
    }

    fn figure(&self, name: &str) -> f64 {
        self.node.metrics().sum(name, &[]) + self.gateway.metrics().sum(name, &[])
    }

    /// Neither process ever took more memory than that.
    fn memory_rose_by_at_most(&self, mib: u64, why: &str) {
        for (before, process) in self.before.iter().zip([&self.gateway, &self.node]) {
            before.rose_by_at_most(process, mib, why);
        }
    }

    /// The others noticed nothing, and when all have gone nothing is left, memory apart.
    fn served_as_before(&mut self) {
        let others = self.others.take().expect("asked once");
        others.undisturbed(&[&self.gateway, &self.node]);
        for gauge in [
            "ringway_connections",
            "ringway_rooms",
            "ringway_members",
            "ringway_queued_bytes",
            "ringway_gateway_connections",
            "ringway_gateway_handshakes",
        ] {
            until(&format!("{gauge} is 0"), SOON, || (self.figure(gauge) == 0.0).then_some(()));
        }
        for (before, process) in self.before.iter().zip([&self.gateway, &self.node]) {
            before.no_socket_is_left(process);
        }
    }

    /// As [`Self::served_as_before`], and memory is given back.
    fn all_as_before(mut self) {
        self.served_as_before();
        for (before, process) in self.before.iter().zip([&self.gateway, &self.node]) {
            before.memory_is_back(process);
        }
    }
}
