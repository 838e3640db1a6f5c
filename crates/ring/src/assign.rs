//! How the ring and the bound together give each slot its node.
//!
//! Every hash here is fixed and seeded. Changing any of them, or the order of the steps, moves rooms between nodes of
//! different releases that run side by side: `tests/placement.rs` holds the fingerprints that forbid it.

use std::hash::{BuildHasher, Hash, Hasher};
use std::iter;

use hashring::HashRing;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{NodeId, SLOTS, Slot};

/// Points on the ring per unit of weight. With 160 a change of one node in 100 moves half as much again.
const POINTS_PER_WEIGHT: u32 = 512;

/// Seeds that keep nodes' points and slots' attempts apart; any fixed values would do.
const POINT_SEED: u64 = u64::from_be_bytes(*b"rw.point");
const ATTEMPT_SEED: u64 = u64::from_be_bytes(*b"rw.slot\0");

/// Half the ring: places and points are 64 bits.
const HALF_CIRCLE: u64 = 1 << 63;

/// After so many attempts on full nodes (ten happen, a thousand never did) the first node with room gets the slot.
const MAX_ATTEMPTS: u32 = 1_024;

/// The owner of a slot that has none.
pub(crate) const NOBODY: u32 = u32::MAX;

/// One of a node's points on the ring.
#[derive(Clone, Copy, Debug)]
struct Point {
    hash: u64,
    /// Index into the sorted members.
    node: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands xxh3's result to `hashring` unchanged, so that no default hasher of any library or release has a say.
#[derive(Clone, Copy, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    // Points and attempts are written as one u64; this is here because the trait asks for it.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }
}

impl BuildHasher for Identity {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

/// The outcome: an owner per slot, and the ring for walking (24 bytes a point).
pub(crate) struct Assignment {
    /// Index into the sorted members, or [`NOBODY`]; one per slot.
    pub(crate) owners: Box<[u32]>,
    ring: HashRing<Point, Identity>,
}

impl Assignment {
    /// The nodes of the points clockwise from where the slot found its owner, repeats and all, once around.
    pub(crate) fn clockwise(&self, slot: Slot) -> impl Iterator<Item = u32> {
        let owner = self.owners[usize::from(slot.number())];
        let first = (0..MAX_ATTEMPTS)
            .filter_map(|attempt| self.ring.get(&place(slot, attempt)))
            .find(|point| point.node == owner)
            .or_else(|| self.ring.get(&place(slot, 0)));
        // `hashring` shows no order, but the successor of a point's hash plus one is the next point.
        iter::successors(first, |point| self.ring.get(&point.hash.wrapping_add(1)))
            .take(self.ring.len())
            .map(|point| point.node)
    }
}

/// Gives every slot, in order of number, to the node that the ring names for its first attempt that isn't full.
///
/// `members` are sorted by name, weights above 0; `left_out` is the index of a member to do without.
pub(crate) fn assign(members: &[(NodeId, u8)], left_out: Option<u32>) -> Assignment {
    let present = |node: u32| Some(node) != left_out;
    let indexed = || (0_u32..).zip(members).filter(|&(index, _)| present(index));

    let total: u32 = indexed().map(|(_, (_, weight))| u32::from(*weight)).sum();
    if total == 0 {
        let ring = HashRing::with_hasher(Identity::default());
        return Assignment { owners: vec![NOBODY; usize::from(SLOTS)].into(), ring };
    }
    let mut room: Vec<u32> = (0_u32..)
        .zip(members)
        .map(|(index, (_, weight))| if present(index) { bound(*weight, total) } else { 0 })
        .collect();

    let mut points = Vec::with_capacity((total * POINTS_PER_WEIGHT) as usize);
    for (node, (id, weight)) in indexed() {
        let mut text = Vec::with_capacity(id.as_str().len() + 4);
        for index in 0..u32::from(*weight) * POINTS_PER_WEIGHT {
            text.clear();
            text.extend_from_slice(id.as_str().as_bytes());
            text.extend_from_slice(&index.to_le_bytes());
            points.push(Point { hash: xxh3_64_with_seed(&text, POINT_SEED), node });
        }
    }
    let mut ring = HashRing::with_hasher(Identity::default());
    ring.batch_add(points);

    let owners = Slot::all()
        .map(|slot| {
            let chosen = (0..MAX_ATTEMPTS)
                .filter_map(|attempt| ring.get(&place(slot, attempt)))
                .map(|point| point.node)
                .find(|&node| room[node as usize] > 0)
                // The bounds add up to more than all slots, so somebody has room.
                .or_else(|| (0_u32..).zip(&room).find(|&(_, &room)| room > 0).map(|(node, _)| node));
            chosen.map_or(NOBODY, |node| {
                room[node as usize] -= 1;
                node
            })
        })
        .collect();
    Assignment { owners, ring }
}

/// 1.10 × the fair share of `weight` in `total`, rounded up to a whole slot.
pub(crate) fn bound(weight: u8, total: u32) -> u32 {
    let share = u64::from(SLOTS) * u64::from(weight) * 110;
    let bound = share.div_ceil(u64::from(total.max(1)) * 100);
    u32::try_from(bound).unwrap_or(u32::MAX)
}

pub(crate) fn total_weight(members: &[(NodeId, u8)]) -> u32 {
    members.iter().map(|(_, weight)| u32::from(*weight)).sum()
}

/// Where on the ring a slot looks for its owner.
///
/// First at its own place: the slots stand evenly around the ring. A hashed place each would add the noise of a random
/// sample to each node's share, and twice as many nodes would be full (see `docs/placement.md`). Further attempts are
/// hashed, so that what one full node turns away is spread over all.
fn place(slot: Slot, attempt: u32) -> u64 {
    if attempt == 0 {
        return (2 * u64::from(slot.number()) + 1) * (HALF_CIRCLE / u64::from(SLOTS));
    }
    let mut text = [0_u8; 6];
    text[..2].copy_from_slice(&slot.number().to_le_bytes());
    text[2..].copy_from_slice(&attempt.to_le_bytes());
    xxh3_64_with_seed(&text, ATTEMPT_SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_rounded_up_to_a_whole_slot() {
        assert_eq!(bound(1, 1), 18_023);
        assert_eq!(bound(1, 100), 181); // 180.2
        assert_eq!(bound(1, 20_000), 1); // 0.9
        assert_eq!(bound(16, 17), 16_963); // 16,962.3
    }

    #[test]
    fn clockwise_begins_at_the_owner_and_goes_once_around() {
        let members: Vec<_> = (0..5).map(|n| (format!("n{n}").parse().unwrap(), 1)).collect();
        let assignment = assign(&members, None);
        for slot in Slot::all() {
            let owner = assignment.owners[usize::from(slot.number())];
            assert_eq!(assignment.clockwise(slot).next(), Some(owner));
        }
        let mut points = [0; 5];
        assignment.clockwise(Slot::new(0).unwrap()).for_each(|node| points[node as usize] += 1);
        assert_eq!(points, [POINTS_PER_WEIGHT; 5]);
    }
}
