//! Everybody in their places: where each client is, and on which nodes a room has members.

use std::collections::HashMap;
use std::fmt::Write as _;

use ringway_protocol::name::UserId;
use ringway_ring::{KeyHash, MAX_SPREAD};

use super::cluster::Cluster;
use super::world::{Home, World};

/// Publications a second of a client, over all its rooms together.
pub(super) const A_CLIENT: f64 = 0.05;
/// The most publications a second of a room: nobody reads more.
pub(super) const A_ROOM: f64 = 20.0;
/// As `placement.spread_members` and `placement.spread_deliveries` are by default.
const SPREAD_MEMBERS: f64 = 10_000.0;
const SPREAD_DELIVERIES: f64 = 200_000.0;

/// A world before it is placed.
pub(super) struct Crowd<'a> {
    pub(super) world: &'a World,
    /// By key.
    pub(super) members: Vec<u32>,
    /// Keys too big for a node, and over how many they go.
    pub(super) spreads: HashMap<KeyHash, u8>,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let mut members = vec![0_u32; world.keys.len()];
        world.each_client(|_, _, chosen| {
            for &key in chosen {
                members[key as usize] += 1;
            }
        });
        let mut crowd = Self { world, members, spreads: HashMap::new() };
        for key in 0..world.keys.len() {
            let (members, rooms) = (f64::from(crowd.members[key]), f64::from(world.rooms_of[key]));
            let deliveries = crowd.publications(key) * members;
            let over = (members * rooms / SPREAD_MEMBERS).max(deliveries / SPREAD_DELIVERIES).ceil();
            if over > 1.0 {
                crowd.spreads.insert(world.keys[key], over.min(f64::from(MAX_SPREAD)) as u8);
            }
        }
        crowd
    }

    /// Publications a second in all rooms of a key.
    pub(super) fn publications(&self, key: usize) -> f64 {
        let each = f64::from(self.members[key]) * A_CLIENT / f64::from(self.world.kind.rooms);
        each.min(A_ROOM) * f64::from(self.world.rooms_of[key])
    }

    /// The home of every client.
    pub(super) fn homes(&self, cluster: &Cluster) -> anyhow::Result<Vec<u16>> {
        let mut homes = Vec::with_capacity(self.world.size.connections as usize);
        let (mut session, mut wrong) = (String::new(), None);
        self.world.each_client(|client, tenant, chosen| {
            session.clear();
            let key = match self.world.kind.home {
                Home::Room => {
                    let _ = write!(session, "session-{client}");
                    self.world.keys[chosen[0] as usize]
                }
                Home::User => {
                    let _ = write!(session, "user-{client}");
                    match UserId::try_from(session.as_str()) {
                        Ok(user) => KeyHash::of_user(&tenant.id, &user),
                        Err(error) => return wrong = Some(error),
                    }
                }
            };
            homes.push(cluster.home(key, &session));
        });
        wrong.map_or(Ok(homes), |error| Err(error.into()))
    }
}

/// Which nodes have members of which rooms.
pub(super) struct Presence {
    /// Where a key's part of `nodes` begins; one more than there are keys.
    begins: Vec<usize>,
    /// The node of each member, by key.
    nodes: Vec<u16>,
}

impl Presence {
    pub(super) fn new(crowd: &Crowd<'_>, homes: &[u16]) -> Self {
        let mut begins = Vec::with_capacity(crowd.members.len() + 1);
        let mut sum = 0;
        for &members in &crowd.members {
            begins.push(sum);
            sum += members as usize;
        }
        let mut free = begins.clone();
        begins.push(sum);
        let mut nodes = vec![0_u16; sum];
        crowd.world.each_client(|client, _, chosen| {
            for &key in chosen {
                let place = &mut free[key as usize];
                nodes[*place] = homes[client as usize];
                *place += 1;
            }
        });
        Self { begins, nodes }
    }

    /// Goes through all keys that have members: the key, and its members by node.
    pub(super) fn each_key(&self, nodes: usize, mut call: impl FnMut(usize, &[(u16, u32)])) {
        let mut counts = vec![0_u32; nodes];
        let mut here = Vec::with_capacity(nodes);
        for (key, ends) in self.begins.windows(2).enumerate() {
            here.clear();
            for &node in &self.nodes[ends[0]..ends[1]] {
                let count = &mut counts[usize::from(node)];
                if *count == 0 {
                    here.push((node, 0));
                }
                *count += 1;
            }
            for (node, members) in &mut here {
                *members = std::mem::take(&mut counts[usize::from(*node)]);
            }
            if !here.is_empty() {
                call(key, &here);
            }
        }
    }
}
