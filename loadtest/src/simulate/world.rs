//! Who is there: tenants with rooms, and clients with some of them. Nobody is stored: a client is worked out from its number
//! and the seed, as often as it is asked for.

use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::KeyHash;

use crate::worker::random::Random;

/// How much more often popular rooms (and larger tenants) are chosen: the n-th one n^-0.8 times as often as the first, as in
/// many measurements of what people choose.
const SKEW: f64 = 0.8;
/// `1 / (1 - SKEW)`: whole, so that a choice costs no logarithm.
const ROOT: i32 = 5;

/// In what relation the rooms of one client are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// None: each is chosen by itself.
    Independent,
    /// All have one tag, and everybody who is in one is in all.
    Tagged,
    /// All but one have a tag; the last is chosen by itself.
    TaggedAndOne,
}

/// What a connection is placed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The first of its rooms.
    Room,
    /// Its user.
    User,
}

/// A kind of application: what all of its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Rooms a client.
    pub(super) rooms: u32,
    pub(super) naming: Naming,
    pub(super) home: Home,
}

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) connections: u32,
    pub(super) rooms: u32,
    pub(super) tenants: u32,
    /// Whether some rooms and tenants are more popular than others.
    pub(super) skewed: bool,
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: TenantId,
    /// Its clients are numbered from here …
    first_client: u32,
    /// … to here.
    end_client: u32,
    tags: Choice,
    alone: Choice,
}

/// Keys of one sort, of which clients choose.
#[derive(Debug, Clone, Copy)]
struct Choice {
    first: u32,
    count: u32,
    /// `(count + 1)^(1 - SKEW) - 1`.
    reach: f64,
    skewed: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) kind: Kind,
    pub(super) size: Size,
    pub(super) tenants: Vec<Tenant>,
    /// What is placed together: a tag's rooms, or one room.
    pub(super) keys: Vec<KeyHash>,
    /// How many rooms each has.
    pub(super) rooms_of: Vec<u8>,
    seed: u64,
}

impl World {
    pub(super) fn new(kind: Kind, size: Size, seed: u64) -> anyhow::Result<Self> {
        let shares = shares(size.tenants.max(1), size.skewed);
        let mut world =
            Self { kind, size, tenants: Vec::new(), keys: Vec::new(), rooms_of: Vec::new(), seed };
        let (mut client, mut told) = (0, 0.0);
        for (number, share) in shares.iter().enumerate() {
            let id: TenantId = format!("tenant-{number}").parse()?;
            told += share;
            let end = (told * f64::from(size.connections)).round().min(f64::from(size.connections)) as u32;
            let rooms = (share * f64::from(size.rooms)).round() as u32;
            let tagged = match kind.naming {
                Naming::Independent => 0,
                Naming::Tagged => kind.rooms,
                Naming::TaggedAndOne => kind.rooms - 1,
            };
            // As many rooms as there were without tags.
            let tags = if tagged == 0 { 0 } else { (rooms / kind.rooms).max(4) };
            let alone = match kind.naming {
                Naming::Independent => rooms.max(4 * kind.rooms),
                Naming::Tagged => 0,
                Naming::TaggedAndOne => tags,
            };
            let tags = world.add(&id, tags, tagged, |n| format!("{{board{n}}}.chat"))?;
            let alone = world.add(&id, alone, 1, |n| format!("room.{n}"))?;
            world.tenants.push(Tenant { id, first_client: client, end_client: end, tags, alone });
            client = end;
        }
        if let Some(last) = world.tenants.last_mut() {
            last.end_client = size.connections;
        }
        Ok(world)
    }

    /// Adds so many keys with so many rooms each.
    fn add(
        &mut self,
        tenant: &TenantId,
        count: u32,
        rooms: u32,
        name: impl Fn(u32) -> String,
    ) -> anyhow::Result<Choice> {
        let first = self.keys.len() as u32;
        for number in 0..count {
            let room: RoomName = name(number).parse()?;
            self.keys.push(KeyHash::of_room(tenant, &room));
            self.rooms_of.push(u8::try_from(rooms)?);
        }
        let reach = f64::from(count + 1).powf(1.0 - SKEW) - 1.0;
        Ok(Choice { first, count, reach, skewed: self.size.skewed })
    }

    /// Goes through all clients in order: number, tenant, and the keys of its rooms, its home room's first.
    pub(super) fn each_client(&self, mut call: impl FnMut(u32, &Tenant, &[u32])) {
        let mut chosen = Vec::with_capacity(self.kind.rooms as usize);
        for tenant in &self.tenants {
            for client in tenant.first_client..tenant.end_client {
                let mut random = Random::new(Random::new(self.seed ^ (u64::from(client) << 20)).next());
                chosen.clear();
                if tenant.tags.count > 0 {
                    chosen.push(tenant.tags.draw(&mut random));
                }
                let alone = match self.kind.naming {
                    Naming::Independent => self.kind.rooms,
                    Naming::Tagged => 0,
                    Naming::TaggedAndOne => 1,
                };
                let wanted = chosen.len() + alone as usize;
                while chosen.len() < wanted {
                    let key = tenant.alone.draw(&mut random);
                    if !chosen.contains(&key) {
                        chosen.push(key);
                    }
                }
                call(client, tenant, &chosen);
            }
        }
    }
}

impl Choice {
    fn draw(&self, random: &mut Random) -> u32 {
        let at = random.unit();
        let place =
            if self.skewed { (1.0 + at * self.reach).powi(ROOT) - 1.0 } else { at * f64::from(self.count) };
        self.first + (place as u32).min(self.count - 1)
    }
}

/// Which part of everything each of so many has, the greatest first.
fn shares(count: u32, skewed: bool) -> Vec<f64> {
    let weights: Vec<f64> =
        (1..=count).map(|rank| if skewed { f64::from(rank).powf(-SKEW) } else { 1.0 }).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { connections: 5_000, rooms: 1_000, tenants: 7, skewed: true };

    fn kind(rooms: u32, naming: Naming) -> Kind {
        Kind { name: "", rooms, naming, home: Home::Room }
    }

    #[test]
    fn every_client_is_in_as_many_rooms_all_different() {
        for (naming, keys, rooms) in
            [(Naming::Independent, 5, 5), (Naming::Tagged, 1, 5), (Naming::TaggedAndOne, 2, 5)]
        {
            let world = World::new(kind(5, naming), SIZE, 1).unwrap();
            let mut count = 0;
            world.each_client(|client, _, chosen| {
                assert_eq!(client, count, "in order");
                count += 1;
                assert_eq!(chosen.len(), keys);
                let mut sorted = chosen.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), keys);
                assert_eq!(chosen.iter().map(|&key| world.rooms_of[key as usize]).sum::<u8>(), rooms);
            });
            assert_eq!(count, SIZE.connections);
        }
    }

    #[test]
    fn a_seed_makes_one_world_and_popular_rooms_are_popular() {
        let members = |seed| {
            let world = World::new(kind(5, Naming::Independent), SIZE, seed).unwrap();
            let mut members = vec![0_u32; world.keys.len()];
            world.each_client(|_, _, chosen| chosen.iter().for_each(|&key| members[key as usize] += 1));
            members
        };
        assert_eq!(members(1), members(1));
        assert_ne!(members(1), members(2));
        let members = members(1);
        assert!(members[0] > 5 * members[50], "{:?}", &members[..60]);
    }
}
