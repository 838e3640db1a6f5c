//! Rooms made lighter: replay buffers are cut, and empty rooms are forgotten, the longest empty ones first.

use super::{Lighten, RoomKey, Shard, Shed, Weighed};

impl Shard {
    /// What its rooms weigh, one by one.
    pub(super) fn weigh(&self) -> Weighed {
        let kept = self.rooms.iter().map(|(_, hosted)| hosted.kept()).filter(|kept| *kept > 0);
        Weighed {
            rooms: self.rooms.len() as u64,
            empty: self.rooms.empty() as u64,
            kept: kept.map(|kept| u32::try_from(kept).unwrap_or(u32::MAX)).collect(),
        }
    }

    /// Cuts replay buffers to a level, and forgets empty rooms.
    pub(super) fn lighten(&mut self, order: Lighten) -> Shed {
        let Lighten { level, forget } = order;
        let larger = self.rooms.iter().filter(|(_, hosted)| hosted.kept() > level);
        let larger: Vec<RoomKey> = larger.map(|(key, _)| key.clone()).collect();
        for key in &larger {
            let Some(hosted) = self.rooms.get_mut(key) else { continue };
            hosted.machine.shed(level);
            let change = hosted.change();
            self.rooms.note(key, change);
            self.rooms.quiet(key);
        }
        Shed { cut: larger.len() as u64, forgotten: self.forget_empty(forget) as u64 }
    }

    /// Forgets those that are empty beyond what is remembered.
    pub(super) fn bound_empty_rooms(&mut self) {
        let over = self.rooms.too_many_empty();
        if over > 0 {
            self.forget_empty(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::rooms::{EMPTY_ROOMS, ROOM_WEIGHT};
    use crate::shard::scene::{SHARDS, room, shard};

    const MOST_EMPTY: usize = EMPTY_ROOMS / SHARDS;

    #[tokio::test]
    async fn of_rooms_that_nobody_is_in_the_longest_empty_are_forgotten_early() {
        let (mut shard, kept) = shard();
        let room = |number| room(&format!("r{number}"));
        for number in 0..MOST_EMPTY + 100 {
            shard.host(&room(number));
            shard.settle();
        }
        assert_eq!(shard.rooms.len(), MOST_EMPTY);
        let known = |number| shard.rooms.get(&room(number)).is_some();
        assert_eq!([0, 99, 100, MOST_EMPTY + 99].map(known), [false, false, true, true]);
        assert_eq!(kept.bytes(), (MOST_EMPTY * ROOM_WEIGHT) as u64);
    }

    #[tokio::test]
    async fn where_memory_runs_short_empty_rooms_are_forgotten_as_ordered() {
        let (mut shard, kept) = shard();
        (0..100).for_each(|number| assert!(shard.host(&room(&format!("r{number}")))));
        assert_eq!(shard.weigh(), Weighed { rooms: 100, empty: 100, kept: Vec::new() });
        let shed = shard.lighten(Lighten { level: 0, forget: 70 });
        assert_eq!(shed, Shed { cut: 0, forgotten: 70 });
        assert_eq!((shard.rooms.len(), kept.bytes()), (30, 30 * ROOM_WEIGHT as u64));
        assert_eq!(shard.lighten(Lighten { level: 0, forget: 70 }).forgotten, 30);
        assert_eq!(kept.bytes(), 0);
    }
}
