//! What is looked at: kinds of clients, on few and on many nodes.

use std::collections::HashSet;

use super::cluster::Cluster;
use super::crowd::{Crowd, Presence};
use super::traffic::{Traffic, traffic};
use super::world::{Home, Kind, Naming, Size, World};

const fn kind(name: &'static str, rooms: u32, naming: Naming, home: Home) -> Kind {
    Kind { name, rooms, naming, home }
}

pub(super) const ONE: Kind = kind("1 room", 1, Naming::Independent, Home::Room);
pub(super) const FIVE: Kind = kind("5 independent", 5, Naming::Independent, Home::Room);
pub(super) const FIVE_BY_USER: Kind = kind("5 independent, by user", 5, Naming::Independent, Home::User);
pub(super) const FOUR_AND_ONE: Kind = kind("4 under a tag and 1", 5, Naming::TaggedAndOne, Home::Room);
pub(super) const FIVE_TAGGED: Kind = kind("5 under a tag", 5, Naming::Tagged, Home::Room);
pub(super) const THIRTY: Kind = kind("30 independent", 30, Naming::Independent, Home::Room);
pub(super) const THIRTY_BY_USER: Kind = kind("30 independent, by user", 30, Naming::Independent, Home::User);
pub(super) const THIRTY_TAGGED: Kind = kind("30 under a tag", 30, Naming::Tagged, Home::Room);

pub(super) const KINDS: [Kind; 8] =
    [ONE, FIVE_TAGGED, THIRTY_TAGGED, FOUR_AND_ONE, FIVE, FIVE_BY_USER, THIRTY, THIRTY_BY_USER];

/// Of a cluster of so many nodes.
pub(super) const CONNECTIONS_A_NODE: u32 = 10_000;
pub(super) const ROOMS_A_NODE: u32 = 2_000;
const NODES_A_TENANT: u32 = 2;

/// A world that fills so many nodes: 1,000 have 10 million connections, 2 million rooms and 500 tenants.
pub(super) fn filling(nodes: u16) -> Size {
    let nodes = u32::from(nodes);
    Size {
        connections: nodes * CONNECTIONS_A_NODE,
        rooms: nodes * ROOMS_A_NODE,
        tenants: (nodes / NODES_A_TENANT).max(1),
        skewed: true,
    }
}

/// One kind of clients on so many nodes.
pub(super) fn look(kind: Kind, size: Size, nodes: u16, seed: u64) -> anyhow::Result<Traffic> {
    let world = World::new(kind, size, seed)?;
    let crowd = Crowd::new(&world);
    look_at(&crowd, nodes)
}

pub(super) fn look_at(crowd: &Crowd<'_>, nodes: u16) -> anyhow::Result<Traffic> {
    let numbers: Vec<u16> = (0..nodes).collect();
    let cluster = Cluster::new(&numbers, &crowd.spreads)?;
    let homes = crowd.homes(&cluster)?;
    let presence = Presence::new(crowd, &homes);
    Ok(traffic(crowd, &cluster, &homes, &presence, usize::from(nodes)))
}

/// The share of all slots, and of all connections, that get another node with another set of nodes.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) what: String,
    pub(super) nodes: u16,
    /// What must move at least, as a share.
    pub(super) needed: f64,
    pub(super) slots: f64,
    pub(super) connections: f64,
    pub(super) count: u64,
    /// Those of them whose node is still there: they are told to move, the others come back by themselves.
    pub(super) told: u64,
}

/// One more, a tenth more, a rack less (each twentieth node).
pub(super) fn moves(crowd: &Crowd<'_>, nodes: u16) -> anyhow::Result<Vec<Move>> {
    let numbers: Vec<u16> = (0..nodes).collect();
    let tenth = nodes.div_ceil(10);
    let with = |more: u16| (0..nodes + more).collect::<Vec<_>>();
    let rack: Vec<u16> = numbers.iter().copied().filter(|number| number % 20 != 7).collect();
    let lost = f64::from(nodes) - rack.len() as f64;
    let gains = |more: u16| f64::from(more) / f64::from(nodes + more);
    let changes = [
        ("1 more".to_owned(), with(1), gains(1)),
        (format!("10 % more: {tenth}"), with(tenth), gains(tenth)),
        (format!("a rack lost: {lost}"), rack, lost / f64::from(nodes)),
    ];
    let before = Cluster::new(&numbers, &crowd.spreads)?;
    let homes = crowd.homes(&before)?;
    let mut moves = Vec::new();
    for (what, numbers, needed) in changes {
        let after = Cluster::new(&numbers, &crowd.spreads)?;
        let there: HashSet<u16> = numbers.into_iter().collect();
        let slots = before.owners().iter().zip(after.owners()).filter(|(old, new)| old != new).count();
        let (mut count, mut told) = (0, 0);
        for (old, new) in homes.iter().zip(crowd.homes(&after)?) {
            count += u64::from(*old != new);
            told += u64::from(*old != new && there.contains(old));
        }
        moves.push(Move {
            what,
            nodes,
            needed,
            slots: slots as f64 / before.owners().len() as f64,
            connections: count as f64 / homes.len() as f64,
            count,
            told,
        });
    }
    Ok(moves)
}
