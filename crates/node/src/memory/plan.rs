//! Which rooms are made lighter, and by how much: a level for the replay buffers of all, over which the largest are cut,
//! and how many empty rooms are forgotten.

use crate::shard::{Lighten, ROOM_WEIGHT, Weighed};

/// How rooms come to weigh no more than `to` bytes together, as far as they can; an order for each shard. Of empty rooms
/// and replay buffers those give way first that weigh more.
pub(super) fn lighter(shards: &[Weighed], to: u64) -> Vec<Lighten> {
    let mut kept: Vec<u64> =
        shards.iter().flat_map(|shard| &shard.kept).map(|bytes| u64::from(*bytes)).collect();
    let (rooms, empty) =
        shards.iter().fold((0, 0), |(rooms, empty), shard| (rooms + shard.rooms, empty + shard.empty));
    let all_kept: u64 = kept.iter().sum();
    let weight = ROOM_WEIGHT as u64;
    let mut over = (all_kept + rooms * weight).saturating_sub(to);
    let mut forget = 0;
    if empty * weight > all_kept {
        forget = empty.min(over.div_ceil(weight));
        over = over.saturating_sub(forget * weight);
    }
    let level = level(&mut kept, all_kept.saturating_sub(over));
    over = over.saturating_sub(all_kept);
    forget = empty.min(forget + over.div_ceil(weight));
    let order = |shard: &Weighed| Lighten {
        level: level.and_then(|level| usize::try_from(level).ok()).unwrap_or(usize::MAX),
        forget: usize::try_from((forget * shard.empty).div_ceil(empty.max(1))).unwrap_or(usize::MAX),
    };
    shards.iter().map(order).collect()
}

/// The height to which the largest of these sizes are to be cut, so that all together are no more than `to`. None: they
/// aren't.
fn level(sizes: &mut [u64], to: u64) -> Option<u64> {
    sizes.sort_unstable();
    let (mut rest, mut left) = (to, sizes.len() as u64);
    for size in sizes {
        let each = rest / left;
        if *size > each {
            return Some(each);
        }
        rest -= *size;
        left -= 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: u64 = ROOM_WEIGHT as u64;

    fn weighed(kept: &[u32], empty: u64) -> Weighed {
        Weighed { rooms: kept.len() as u64 + empty, empty, kept: kept.to_vec() }
    }

    fn orders(shards: &[Weighed], to: u64) -> Vec<(usize, usize)> {
        lighter(shards, to).iter().map(|order| (order.level, order.forget)).collect()
    }

    #[test]
    fn the_largest_are_cut_and_the_small_ones_stay() {
        let level = |sizes: &[u64], to| level(&mut sizes.to_vec(), to);
        assert_eq!(level(&[10, 500, 20, 300], 830), None);
        assert_eq!(level(&[10, 500, 20, 300], 829), Some(499));
        assert_eq!(level(&[10, 500, 20, 300], 230), Some(100));
        assert_eq!(level(&[10, 500, 20, 300], 40), Some(10));
        assert_eq!(level(&[10, 500, 20, 300], 8), Some(2));
        assert_eq!(level(&[5, 5], 0), Some(0));
        assert_eq!(level(&[], 0), None);
    }

    #[test]
    fn the_level_is_one_for_all_shards() {
        let shards = [weighed(&[20_000, 30_000], 0), weighed(&[400_000], 0), weighed(&[300_000, 350_000], 0)];
        let to = 650_000 + 5 * WEIGHT;
        assert_eq!(orders(&shards, to), [(200_000, 0); 3]);
        assert_eq!(orders(&shards, u64::MAX), [(usize::MAX, 0); 3]);
    }

    #[test]
    fn empty_rooms_are_forgotten_first_where_they_weigh_more() {
        let shards = [weighed(&[3_000], 10), weighed(&[], 30)];
        let all = 3_000 + 41 * WEIGHT;
        assert_eq!(orders(&shards, all - 8 * WEIGHT), [(usize::MAX, 2), (usize::MAX, 6)]);
        assert_eq!(orders(&shards, all - 40 * WEIGHT - 1_000), [(2_000, 10), (2_000, 30)]);
        assert_eq!(orders(&shards, 0), [(0, 10), (0, 30)]);
    }

    #[test]
    fn where_they_weigh_less_they_are_forgotten_last() {
        let shards = [weighed(&[100_000], 10), weighed(&[], 10)];
        let all = 100_000 + 21 * WEIGHT;
        assert_eq!(orders(&shards, all - 60_000), [(40_000, 0); 2]);
        assert_eq!(orders(&shards, all - 100_000 - 4 * WEIGHT), [(0, 2); 2]);
    }
}
