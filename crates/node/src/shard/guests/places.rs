//! What one connection has in the rooms of a shard: whether it is a member, and what it wants of the room.
//!
//! Nearly all connections are in one room of a shard, or in none: that one lies in place, and only with the second
//! there is a table.

use std::collections::{HashMap, VecDeque};

use super::{Membership, Op, RoomKey};

/// The rooms that a connection has something of.
#[derive(Debug, Default)]
pub(crate) struct Places {
    first: Option<(RoomKey, Place)>,
    /// All but the first. Made when there is a second; never empty.
    // Boxed, since nearly no connection has it.
    #[allow(clippy::box_collection)]
    more: Option<Box<HashMap<RoomKey, Place>>>,
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

impl Places {
    /// The connection's standing in a room that it is in, or about to be.
    pub(crate) fn get_mut(&mut self, room: &RoomKey) -> Option<&mut Membership> {
        self.find(room)?.membership.as_mut()
    }

    pub(crate) fn contains_key(&self, room: &RoomKey) -> bool {
        let place = match &self.first {
            Some((first, place)) if first == room => Some(place),
            _ => self.more.as_ref().and_then(|more| more.get(room)),
        };
        place.is_some_and(|place| place.membership.is_some())
    }

    pub(crate) fn insert(&mut self, room: RoomKey, membership: Membership) {
        match self.find(&room) {
            Some(place) => place.membership = Some(membership),
            None => self.make(room, Place { membership: Some(membership), lane: Lane::default() }),
        }
    }

    pub(crate) fn remove(&mut self, room: &RoomKey) -> Option<Membership> {
        let membership = self.find(room)?.membership.take();
        self.tidy(room);
        membership
    }

    /// The rooms that it is in.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RoomKey> {
        let first = self.first.iter().map(|(room, place)| (room, place));
        let all = first.chain(self.more.iter().flat_map(|more| more.iter()));
        all.filter(|(_, place)| place.membership.is_some()).map(|(room, _)| room)
    }

    pub(crate) fn take_memberships(&mut self) -> Vec<(RoomKey, Membership)> {
        let rooms: Vec<RoomKey> = self.keys().cloned().collect();
        rooms.into_iter().filter_map(|room| self.remove(&room).map(|was| (room, was))).collect()
    }

    /// The lane of a room, whether anything is under way or not: the caller makes it busy.
    pub(crate) fn lane(&mut self, room: &RoomKey) -> &mut Lane {
        if self.find(room).is_none() {
            self.make(room.clone(), Place::default());
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
        let all = first.chain(self.more.iter_mut().flat_map(|more| more.values_mut()));
        all.filter_map(|place| place.lane.waiting.as_deref_mut())
    }

    /// Whether the connection is in no room, and nothing of it is under way.
    pub(crate) fn is_unused(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    fn find(&mut self, room: &RoomKey) -> Option<&mut Place> {
        match &mut self.first {
            Some((first, place)) if first == room => Some(place),
            _ => self.more.as_mut()?.get_mut(room),
        }
    }

    /// A place for a room that has none.
    fn make(&mut self, room: RoomKey, place: Place) {
        if self.first.is_none() {
            self.first = Some((room, place));
        } else {
            self.more.get_or_insert_default().insert(room, place);
        }
    }

    fn tidy(&mut self, room: &RoomKey) {
        match &self.first {
            Some((first, place)) if first == room => {
                if place.is_unused() {
                    self.first = None;
                }
            }
            _ => {
                let Some(more) = &mut self.more else { return };
                if more.get(room).is_some_and(Place::is_unused) {
                    more.remove(room);
                }
                if more.is_empty() {
                    self.more = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomKey {
        RoomKey { tenant: "acme".parse().unwrap(), room: name.parse().unwrap() }
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
                places.insert(room(name), member());
                assert!(places.get_mut(&room(name)).is_some());
            }
            assert_eq!(names(&places), all);
            assert!(places.remove(&room(gone_first)).is_some());
            assert!(places.remove(&room(gone_first)).is_none());
            places.insert(room("d"), member());
            let mut left: Vec<_> = all.into_iter().filter(|name| *name != gone_first).collect();
            left.push("d");
            assert_eq!(names(&places), left);
            // Whoever lies in the table isn't made anew in place.
            places.insert(room("c"), member());
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
        places.insert(room("a"), member());
        places.remove(&room("a"));
        assert!(places.lane_if_busy(&room("a")).is_some());
        places.insert(room("a"), member());
        places.end_lane(&room("a"));
        assert!(places.lane_if_busy(&room("a")).is_none() && places.contains_key(&room("a")));
        places.remove(&room("a"));
        assert!(places.is_unused());
        places.end_lane(&room("a"));
    }

    #[test]
    fn only_a_second_room_needs_a_table() {
        let mut places = Places::default();
        places.insert(room("a"), member());
        assert!(places.more.is_none());
        places.insert(room("b"), member());
        assert!(places.more.is_some());
        places.remove(&room("b"));
        assert!(places.more.is_none());
    }
}
