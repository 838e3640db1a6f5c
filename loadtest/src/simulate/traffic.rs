//! What goes from node to node while everybody is in their place.

use ringway_ring::SLOTS;

use super::cluster::Cluster;
use super::crowd::{Crowd, Presence};
use super::grain::{Cell, Grain, Listens, listens};

/// NATS servers in a cluster, for which it is worked out what passes between them.
pub(super) const SERVERS: [usize; 3] = [3, 5, 10];

/// One kind of clients on so many nodes. Rates are per second.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic {
    pub(super) nodes: usize,
    pub(super) connections: u64,
    /// Rooms with members.
    pub(super) rooms: u64,
    pub(super) memberships: u64,
    pub(super) publications: f64,
    /// Those that somebody publishes on another node than the room's owner.
    pub(super) entered_elsewhere: f64,
    /// Those that another node than the room's owner hears, or publishes.
    pub(super) crossing: f64,
    pub(super) deliveries: f64,
    /// On a node that isn't a home of the room.
    pub(super) deliveries_elsewhere: f64,
    /// By [`Grain::ALL`], all nodes together.
    pub(super) listens: [Listens; 6],
    /// The most of one node.
    pub(super) most: [Listens; 6],
    /// Rooms that are listened to by a subscription of their own, each counted once, where that is [`Grain::Rooms`].
    pub(super) distinct_rooms: u64,
    /// By [`SERVERS`]: publications, counted once for each further server that must have them, with [`Grain::Rooms`].
    pub(super) between_servers: [f64; 3],
    /// By node.
    pub(super) connections_of: Vec<f64>,
    pub(super) rooms_of: Vec<f64>,
    pub(super) deliveries_of: Vec<f64>,
    /// Keys that are spread over several nodes.
    pub(super) spread: usize,
}

impl Traffic {
    pub(super) fn lambda(&self) -> f64 {
        self.deliveries_elsewhere / self.deliveries
    }

    /// How many nodes hear a publication: the owner always does.
    pub(super) fn heard(&self, grain: Grain) -> f64 {
        1.0 + self.of(grain).received / self.publications
    }

    /// All nodes together.
    pub(super) fn of(&self, grain: Grain) -> Listens {
        self.listens[place(grain)]
    }

    pub(super) fn subscriptions_a_node(&self, grain: Grain) -> f64 {
        self.of(grain).subscriptions / self.nodes as f64
    }

    pub(super) fn most_subscriptions(&self, grain: Grain) -> f64 {
        self.most[place(grain)].subscriptions
    }
}

fn place(grain: Grain) -> usize {
    Grain::ALL.iter().position(|one| *one == grain).unwrap_or(0)
}

/// What a node wants of each slot.
struct Wanted {
    rooms: Vec<u16>,
    publications: Vec<f32>,
}

/// `nodes` are numbered from 0.
pub(super) fn traffic(
    crowd: &Crowd<'_>,
    cluster: &Cluster,
    homes: &[u16],
    presence: &Presence,
    nodes: usize,
) -> Traffic {
    let slots = usize::from(SLOTS);
    let mut traffic = Traffic {
        nodes,
        connections: homes.len() as u64,
        connections_of: vec![0.0; nodes],
        rooms_of: vec![0.0; nodes],
        deliveries_of: vec![0.0; nodes],
        spread: crowd.spreads.len(),
        ..Traffic::default()
    };
    for &home in homes {
        traffic.connections_of[usize::from(home)] += 1.0;
    }
    let mut wanted = Wanted { rooms: vec![0; nodes * slots], publications: vec![0.0; nodes * slots] };
    let mut all = vec![0.0_f64; slots];
    presence.each_key(nodes, |key, here| {
        let name = crowd.world.keys[key];
        let (slot, owner) = (usize::from(name.slot().number()), cluster.owner(name.slot()));
        let (rooms, publications) = (u16::from(crowd.world.rooms_of[key]), crowd.publications(key));
        let members = f64::from(crowd.members[key]);
        let spread = crowd.spreads.contains_key(&name).then(|| cluster.homes(name));
        traffic.rooms += u64::from(rooms);
        traffic.memberships += u64::from(crowd.members[key]) * u64::from(rooms);
        traffic.publications += publications;
        traffic.deliveries += publications * members;
        all[slot] += publications;
        let mut others = 0;
        for &(node, members_here) in here {
            let deliveries = publications * f64::from(members_here);
            let place = usize::from(node);
            traffic.deliveries_of[place] += deliveries;
            traffic.rooms_of[place] += f64::from(rooms);
            if node == owner {
                continue;
            }
            others += 1;
            traffic.entered_elsewhere += publications * f64::from(members_here) / members;
            if !spread.as_ref().is_some_and(|homes| homes.contains(&node)) {
                traffic.deliveries_elsewhere += deliveries;
            }
            let cell = place * slots + slot;
            wanted.rooms[cell] = wanted.rooms[cell].saturating_add(rooms);
            wanted.publications[cell] += publications as f32;
        }
        if others > 0 {
            traffic.crossing += publications;
            traffic.distinct_rooms += u64::from(rooms);
            for (sum, servers) in traffic.between_servers.iter_mut().zip(SERVERS) {
                // Nodes are with servers as chance has it.
                let without = (1.0 - 1.0 / servers as f64).powi(others);
                *sum += publications * (servers - 1) as f64 * (1.0 - without);
            }
        }
    });
    listening(&mut traffic, cluster, &wanted, &all);
    traffic
}

/// Lets every node decide what to listen to.
fn listening(traffic: &mut Traffic, cluster: &Cluster, wanted: &Wanted, all: &[f64]) {
    let slots = usize::from(SLOTS);
    let published: f64 = all.iter().sum();
    let mut cells = Vec::with_capacity(slots);
    for node in 0..traffic.nodes {
        cells.clear();
        let (mut own, mut own_published) = (0, 0.0);
        for (slot, &all) in all.iter().enumerate() {
            if usize::from(cluster.owners()[slot]) == node {
                own += usize::from(all > 0.0);
                own_published += all;
                continue;
            }
            let rooms = wanted.rooms[node * slots + slot];
            if rooms > 0 {
                // Sums of a few and of many in another order must not make the part greater than the whole.
                let part = f64::from(wanted.publications[node * slots + slot]).min(all);
                cells.push(Cell { rooms, wanted: part, all });
            }
        }
        for ((grain, sum), most) in Grain::ALL.into_iter().zip(&mut traffic.listens).zip(&mut traffic.most) {
            let listening = listens(grain, own, &cells, published - own_published);
            sum.subscriptions += listening.subscriptions;
            sum.received += listening.received;
            sum.wanted += listening.wanted;
            most.subscriptions = most.subscriptions.max(listening.subscriptions);
            most.received = most.received.max(listening.received);
        }
    }
}
