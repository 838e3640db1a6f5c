//! What the traffic means for the NATS servers that carry it.

use super::grain::Grain;
use super::traffic::{SERVERS, Traffic};

/// Messages a second that a server sends to its clients in NATS' own measurement: four publishers, four subscribers, 128
/// bytes, nats-server 2.12.1 on a laptop of ten cores (<https://docs.nats.io/using-nats/nats-tools/nats_cli/natsbench>).
pub(super) const PUBLISHED_OUT: f64 = 4_323_201.0;
/// Bytes of a subscription in async-nats, at the node (measured: 4.8 KB).
pub(super) const AT_THE_NODE: f64 = 4_800.0;
/// And at the server that the node is connected to (measured: 1.0 to 1.15 KB).
pub(super) const AT_THE_SERVER: f64 = 1_100.0;
/// And of a subject at every other server, however many nodes want it (measured: 0.8 to 0.9 KB).
pub(super) const AT_OTHERS: f64 = 850.0;
/// Announcements of a node, a second.
const ANNOUNCEMENTS: f64 = 2.0;
/// Nodes a gateway.
const NODES_A_GATEWAY: f64 = 5.0;

/// One of so many servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) servers: usize,
    /// Messages a second to nodes and gateways, and to other servers.
    pub(super) out: f64,
    /// Of these, announcements.
    pub(super) announcements: f64,
    /// Bytes of subscriptions.
    pub(super) bytes: f64,
    pub(super) subscriptions: f64,
}

/// With [`Grain::Rooms`] or, which is nearly the same there, [`Grain::Adaptive`].
pub(super) fn servers(traffic: &Traffic) -> Vec<Server> {
    let nodes = traffic.nodes as f64;
    let processes = nodes + (nodes / NODES_A_GATEWAY).ceil();
    let of_one = |(place, servers): (usize, usize)| {
        let count = servers as f64;
        let listens = traffic.of(Grain::Rooms);
        // A question to the owner and its answer; between servers, unless both are with the same.
        let asked = 2.0 * traffic.entered_elsewhere;
        let across = asked * (count - 1.0) / count + traffic.between_servers[place];
        let announced = ANNOUNCEMENTS * nodes;
        let announcements = announced * (processes - 1.0) + announced * (count - 1.0);
        let subjects = traffic.distinct_rooms as f64 + f64::from(ringway_ring::SLOTS);
        Server {
            servers,
            out: (listens.received + asked + across + announcements) / count,
            announcements: announcements / count,
            subscriptions: listens.subscriptions / count,
            bytes: listens.subscriptions / count * AT_THE_SERVER
                + subjects * AT_OTHERS * (count - 1.0) / count,
        }
    };
    SERVERS.into_iter().enumerate().map(of_one).collect()
}
