//! What one connection has in the rooms of a shard: whether it is a member, and what it wants of the room.
//!
//! Nearly all connections are in one room of a shard, or in none: that one lies in place, and only with the second
//! there is a table. Where a connection is in very many rooms, nearly all of them are rooms that it joined, and about which
//! nothing is under way: of each of those there is one word.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::{Membership, Op, RoomKey};

/// The rooms that a connection has something of.
#[derive(Debug, Default)]
pub(crate) struct Places {
    first: Option<(Arc<RoomKey>, Place)>,
    /// All but the first. Made when there is a second; never empty.
    // Boxed, since nearly no connection has it.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// Rooms that it is simply a member of. Found by their names' hashes, which no entry repeats.
    plain: HashTable<Arc<RoomKey>>,
    /// Rooms of which there is more to say, or of which something is under way; of those that are plain only this.
    places: HashMap<Arc<RoomKey>, Place>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Place {
    membership: Option<Membership>,
    lane: Lane,
}

/// The requests about one room.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// One is under way.
    pub(crate) busy: bool,
    /// What that weighs, in bytes; several publications that go together are one.
    pub(crate) under_way: u32,
    /// Those behind it.
    // Boxed, since mostly there are none.
    #[allow(clippy::box_collection)]
    pub(crate) waiting: Option<Box<VecDeque<Op>>>,
}

impl Place {
    fn is_unused(&self) -> bool {
        self.membership.is_none() && !self.lane.busy
    }
}

impl Membership {
    /// It was joined by its client, and that was answered.
    fn is_plain(&self) -> bool {
        !self.by_server && !self.moved && self.answer.is_none()
    }

    fn plain() -> Self {
        Membership { by_server: false, moved: false, answer: None }
    }
}

impl More {
    fn is_plain(&self, room: &RoomKey) -> bool {
        self.plain.find(self.hasher.hash_one(room), |plain| **plain == *room).is_some()
    }

    /// The room's name, if it was simply a member of that; it isn't any more.
    fn take_plain(&mut self, room: &RoomKey) -> Option<Arc<RoomKey>> {
        let found = self.plain.find_entry(self.hasher.hash_one(room), |plain| **plain == *room).ok()?;
        Some(found.remove().0)
    }

    fn put_plain(&mut self, room: Arc<RoomKey>) {
        let hasher = &self.hasher;
        self.plain.insert_unique(hasher.hash_one(&*room), room, |plain| hasher.hash_one(&**plain));
    }

    /// Of a room about which nothing is under way only what must be is kept.
    fn tidy(&mut self, room: &RoomKey) {
        let Some(place) = self.places.get(room).filter(|place| !place.lane.busy) else { return };
        let is_plain = place.membership.as_ref().map(Membership::is_plain);
        if is_plain == Some(false) {
            return;
        }
        if let Some((shared, _)) = self.places.remove_entry(room)
            && is_plain.is_some()
        {
            self.put_plain(shared);
        }
        if self.places.is_empty() {
            self.places = HashMap::new();
        }
    }
}

impl Places {
    /// The connection's standing in a room that it is in, or about to be.
    pub(crate) fn get_mut(&mut self, room: &RoomKey) -> Option<&mut Membership> {
        if let Some(more) = &mut self.more
            && let Some(shared) = more.take_plain(room)
        {
            let place = more.places.entry(shared).or_default();
            place.membership = Some(Membership::plain());
        }
        self.find(room)?.membership.as_mut()
    }

    /// Whether it is to be told where it is now, since another room took the place of the one that it joined. Then it
    /// isn't any more.
    pub(crate) fn take_moved(&mut self, room: &RoomKey) -> bool {
        let membership = self.find(room).and_then(|place| place.membership.as_mut());
        membership.is_some_and(|membership| std::mem::take(&mut membership.moved))
    }

    pub(crate) fn contains_key(&self, room: &RoomKey) -> bool {
        let place = match &self.first {
            Some((first, place)) if **first == *room => Some(place),
            _ => self.more.as_ref().and_then(|more| more.places.get(room)),
        };
        place.is_some_and(|place| place.membership.is_some())
            || self.more.as_ref().is_some_and(|more| more.is_plain(room))
    }

    /// It is in a room from now on, or about to be. `shared`: the room's name, as all share who are in it.
    pub(crate) fn insert(&mut self, shared: &Arc<RoomKey>, membership: Membership) {
        if self.find(shared).is_none() {
            self.make(shared.clone(), Place::default());
        }
        match &mut self.first {
            Some((first, place)) if *first == *shared => {
                place.membership = Some(membership);
                *first = shared.clone();
            }
            _ => {
                let more = self.more.get_or_insert_default();
                let place = more.places.remove(&**shared).unwrap_or_default();
                more.places.insert(shared.clone(), Place { membership: Some(membership), ..place });
            }
        }
    }

    pub(crate) fn remove(&mut self, room: &RoomKey) -> Option<Membership> {
        let plain = self.more.as_mut().and_then(|more| more.take_plain(room)).map(|_| Membership::plain());
        let membership = plain.or_else(|| self.find(room)?.membership.take());
        self.tidy(room);
        membership
    }

    /// The rooms that it is in.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RoomKey> {
        let first = self.first.iter().map(|(room, place)| (room, place));
        let all = first.chain(self.more.iter().flat_map(|more| more.places.iter()));
        let all = all.filter(|(_, place)| place.membership.is_some()).map(|(room, _)| &**room);
        all.chain(self.more.iter().flat_map(|more| more.plain.iter().map(|plain| &**plain)))
    }

    pub(crate) fn take_memberships(&mut self) -> Vec<(RoomKey, Membership)> {
        let rooms: Vec<RoomKey> = self.keys().cloned().collect();
        rooms.into_iter().filter_map(|room| self.remove(&room).map(|was| (room, was))).collect()
    }

    /// The lane of a room, whether anything is under way or not: the caller makes it busy.
    pub(crate) fn lane(&mut self, room: &RoomKey) -> &mut Lane {
        if self.find(room).is_none() {
            self.make(Arc::new(room.clone()), Place::default());
        }
        &mut self.find(room).expect("a room's place, made where there was none").lane
    }

    pub(crate) fn lane_if_busy(&mut self, room: &RoomKey) -> Option<&mut Lane> {
        self.find(room).map(|place| &mut place.lane).filter(|lane| lane.busy)
    }

    /// Nothing is under way, and nothing waits.
    pub(crate) fn end_lane(&mut self, room: &RoomKey) {
        if let Some(place) = self.find(room) {
            place.lane = Lane::default();
        }
        self.tidy(room);
    }

    pub(crate) fn lanes_that_wait(&mut self) -> impl Iterator<Item = &mut VecDeque<Op>> {
        let first = self.first.iter_mut().map(|(_, place)| place);
        let all = first.chain(self.more.iter_mut().flat_map(|more| more.places.values_mut()));
        all.filter_map(|place| place.lane.waiting.as_deref_mut())
    }

    /// Whether the connection is in no room, and nothing of it is under way.
    pub(crate) fn is_unused(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    fn find(&mut self, room: &RoomKey) -> Option<&mut Place> {
        match &mut self.first {
            Some((first, place)) if **first == *room => Some(place),
            _ => self.more.as_mut()?.places.get_mut(room),
        }
    }

    /// A place for a room that has none.
    fn make(&mut self, room: Arc<RoomKey>, place: Place) {
        let is_plain = self.more.as_ref().is_some_and(|more| more.is_plain(&room));
        if self.first.is_none() && !is_plain {
            self.first = Some((room, place));
        } else {
            self.more.get_or_insert_default().places.insert(room, place);
        }
    }

    fn tidy(&mut self, room: &RoomKey) {
        match &self.first {
            Some((first, place)) if **first == *room => {
                if place.is_unused() {
                    self.first = None;
                }
            }
            _ => {
                let Some(more) = &mut self.more else { return };
                more.tidy(room);
                if more.places.is_empty() && more.plain.is_empty() {
                    self.more = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Arc<RoomKey> {
        Arc::new(RoomKey { tenant: "acme".parse().unwrap(), room: name.parse().unwrap() })
    }

    fn member() -> Membership {
        Membership { by_server: true, moved: false, answer: None }
    }

    fn names(places: &Places) -> Vec<&str> {
        let mut names: Vec<_> = places.keys().map(|key| key.room.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn rooms_come_and_go_in_any_order() {
        let all = ["a", "b", "c"];
        for gone_first in all {
            let mut places = Places::default();
            for name in all {
                assert!(!places.contains_key(&room(name)));
                places.insert(&room(name), member());
                assert!(places.get_mut(&room(name)).is_some());
            }
            assert_eq!(names(&places), all);
            assert!(places.remove(&room(gone_first)).is_some());
            assert!(places.remove(&room(gone_first)).is_none());
            places.insert(&room("d"), member());
            let mut left: Vec<_> = all.into_iter().filter(|name| *name != gone_first).collect();
            left.push("d");
            assert_eq!(names(&places), left);
            // Whoever lies in the table isn't made anew in place.
            places.insert(&room("c"), member());
            assert_eq!(names(&places).len(), 3 + usize::from(gone_first == "c"));
            assert_eq!(places.take_memberships().len(), 3 + usize::from(gone_first == "c"));
            assert!(places.is_unused());
        }
    }

    #[test]
    fn a_lane_keeps_its_place_without_a_membership_and_a_membership_without_a_lane() {
        let mut places = Places::default();
        places.lane(&room("a")).busy = true;
        assert!(!places.contains_key(&room("a")) && names(&places).is_empty());
        places.insert(&room("a"), member());
        places.remove(&room("a"));
        assert!(places.lane_if_busy(&room("a")).is_some());
        places.insert(&room("a"), member());
        places.end_lane(&room("a"));
        assert!(places.lane_if_busy(&room("a")).is_none() && places.contains_key(&room("a")));
        places.remove(&room("a"));
        assert!(places.is_unused());
        places.end_lane(&room("a"));
    }

    #[test]
    fn only_a_second_room_needs_a_table() {
        let mut places = Places::default();
        places.insert(&room("a"), member());
        assert!(places.more.is_none());
        places.insert(&room("b"), member());
        assert!(places.more.is_some());
        places.remove(&room("b"));
        assert!(places.more.is_none());
    }

    #[test]
    fn of_a_room_that_was_joined_there_is_one_word_while_nothing_is_under_way() {
        let mut places = Places::default();
        let all = ["a", "b", "c"].map(room);
        for room in &all {
            places.lane(room).busy = true;
            places.insert(room, Membership::plain());
            places.end_lane(room);
        }
        let counts = |places: &Places| places.more.as_ref().map(|more| (more.plain.len(), more.places.len()));
        assert_eq!((counts(&places), names(&places).len()), (Some((2, 0)), 3));
        // Something is asked about one.
        places.lane(&all[2]).busy = true;
        assert!(places.contains_key(&all[2]) && places.lane_if_busy(&all[2]).is_some());
        assert_eq!((counts(&places), names(&places).len()), (Some((2, 1)), 3));
        places.end_lane(&all[2]);
        assert_eq!(counts(&places), Some((2, 0)));
        // There is more to say of one, for a while.
        assert!(!places.take_moved(&all[1]));
        places.get_mut(&all[1]).unwrap().moved = true;
        assert_eq!((counts(&places), names(&places).len()), (Some((1, 1)), 3));
        places.lane(&all[1]).busy = true;
        assert!(places.take_moved(&all[1]));
        places.end_lane(&all[1]);
        assert_eq!(counts(&places), Some((2, 0)));
        // One is left while something of it is under way; the first goes, and nobody takes its place.
        places.lane(&all[1]).busy = true;
        assert!(places.remove(&all[1]).is_some() && places.remove(&all[1]).is_none());
        assert!(places.remove(&all[0]).is_some());
        places.end_lane(&all[1]);
        places.lane(&all[2]).busy = true;
        assert_eq!(names(&places), ["c"]);
        places.end_lane(&all[2]);
        assert!(places.remove(&all[2]).is_some() && places.is_unused());
    }
}
