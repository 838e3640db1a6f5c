//! What one connection has in the rooms of a shard: whether it is a member, and what it wants of the room.
//!
//! Nearly all connections are in one room of a shard, or in none: that one lies in place, and only with the second
//! there is a table. Where a connection is in very many rooms, nearly all of them are rooms that it joined, and about which
//! nothing is under way: of each of those there is a number.

use std::collections::{HashMap, VecDeque};

use super::{Membership, Op, RoomKey, RoomNames};
use ringway_names::NameNo;

/// The rooms that a connection has something of, by their names' numbers. Each of its entries holds the name.
#[derive(Debug, Default)]
pub(crate) struct Places {
    first: Option<(NameNo, Place)>,
    /// All but the first. Made when there is a second; never empty.
    // Boxed, since nearly no connection has it.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// Rooms that it is simply a member of, in rising order.
    plain: Vec<NameNo>,
    /// Rooms of which there is more to say, or of which something is under way; of those that are plain only this.
    places: HashMap<NameNo, Place>,
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
    fn is_plain(&self, room: NameNo) -> bool {
        self.plain.binary_search(&room).is_ok()
    }

    /// It isn't simply a member of the room any more; whether it was. The caller has what it held of the name.
    fn take_plain(&mut self, room: NameNo) -> bool {
        let found = self.plain.binary_search(&room);
        if let Ok(found) = found {
            self.plain.remove(found);
        }
        found.is_ok()
    }

    fn put_plain(&mut self, room: NameNo) {
        if self.plain.len() == self.plain.capacity() {
            // Less than twice as many, since there are very many in all.
            self.plain.reserve_exact(self.plain.len() / 4 + 1);
        }
        let place = self.plain.partition_point(|other| *other < room);
        self.plain.insert(place, room);
    }

    /// Of a room about which nothing is under way only what must be is kept.
    fn tidy(&mut self, room: NameNo, names: &mut RoomNames) {
        let Some(place) = self.places.get(&room).filter(|place| !place.lane.busy) else { return };
        match place.membership.as_ref().map(Membership::is_plain) {
            Some(false) => return,
            Some(true) => self.put_plain(room),
            None => names.release(room),
        }
        self.places.remove(&room);
        if self.places.is_empty() {
            self.places = HashMap::new();
        }
    }
}

impl Places {
    /// The connection's standing in a room that it is in, or about to be.
    pub(super) fn get_mut(&mut self, room: NameNo, names: &mut RoomNames) -> Option<&mut Membership> {
        if let Some(more) = &mut self.more
            && more.take_plain(room)
        {
            let place = more.places.entry(room).and_modify(|_| names.release(room)).or_default();
            place.membership = Some(Membership::plain());
        }
        self.find(room)?.membership.as_mut()
    }

    /// Whether it is to be told where it is now, since another room took the place of the one that it joined. Then it
    /// isn't any more.
    pub(super) fn take_moved(&mut self, room: NameNo) -> bool {
        let membership = self.find(room).and_then(|place| place.membership.as_mut());
        membership.is_some_and(|membership| std::mem::take(&mut membership.moved))
    }

    pub(super) fn contains(&self, room: NameNo) -> bool {
        let place = match &self.first {
            Some((first, place)) if *first == room => Some(place),
            _ => self.more.as_ref().and_then(|more| more.places.get(&room)),
        };
        place.is_some_and(|place| place.membership.is_some())
            || self.more.as_ref().is_some_and(|more| more.is_plain(room))
    }

    /// It is in a room from now on that it wasn't simply a member of, or about to be.
    pub(super) fn insert(&mut self, room: NameNo, membership: Membership, names: &mut RoomNames) {
        debug_assert!(!self.more.as_ref().is_some_and(|more| more.is_plain(room)), "it would be in it twice");
        self.make(room, names).membership = Some(membership);
    }

    pub(super) fn remove(&mut self, room: NameNo, names: &mut RoomNames) -> Option<Membership> {
        let membership = if self.more.as_mut().is_some_and(|more| more.take_plain(room)) {
            names.release(room);
            Some(Membership::plain())
        } else {
            self.find(room)?.membership.take()
        };
        self.tidy(room, names);
        membership
    }

    /// The rooms that it is in.
    pub(super) fn rooms(&self) -> impl Iterator<Item = NameNo> {
        let first = self.first.iter().map(|(room, place)| (room, place));
        let all = first.chain(self.more.iter().flat_map(|more| more.places.iter()));
        let all = all.filter(|(_, place)| place.membership.is_some()).map(|(room, _)| *room);
        all.chain(self.more.iter().flat_map(|more| more.plain.iter().copied()))
    }

    pub(super) fn take_memberships(&mut self, names: &mut RoomNames) -> Vec<(RoomKey, Membership)> {
        let rooms: Vec<(NameNo, RoomKey)> =
            self.rooms().map(|room| (room, names.get(room).clone())).collect();
        rooms.into_iter().filter_map(|(room, name)| Some((name, self.remove(room, names)?))).collect()
    }

    /// The lane of a room, whether anything is under way or not: the caller makes it busy.
    pub(super) fn lane(&mut self, room: NameNo, names: &mut RoomNames) -> &mut Lane {
        &mut self.make(room, names).lane
    }

    pub(super) fn lane_if_busy(&mut self, room: NameNo) -> Option<&mut Lane> {
        self.find(room).map(|place| &mut place.lane).filter(|lane| lane.busy)
    }

    /// Nothing is under way, and nothing waits.
    pub(super) fn end_lane(&mut self, room: NameNo, names: &mut RoomNames) {
        if let Some(place) = self.find(room) {
            place.lane = Lane::default();
        }
        self.tidy(room, names);
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

    fn find(&mut self, room: NameNo) -> Option<&mut Place> {
        match &mut self.first {
            Some((first, place)) if *first == room => Some(place),
            _ => self.more.as_mut()?.places.get_mut(&room),
        }
    }

    /// The place of a room, made if there is none.
    fn make(&mut self, room: NameNo, names: &mut RoomNames) -> &mut Place {
        let is_plain = self.more.as_ref().is_some_and(|more| more.is_plain(room));
        if self.find(room).is_none() {
            names.hold_again(room);
            if self.first.is_none() && !is_plain {
                self.first = Some((room, Place::default()));
            } else {
                self.more.get_or_insert_default().places.insert(room, Place::default());
            }
        }
        self.find(room).expect("a room's place, made where there was none")
    }

    fn tidy(&mut self, room: NameNo, names: &mut RoomNames) {
        match &self.first {
            Some((first, place)) if *first == room => {
                if place.is_unused() {
                    self.first = None;
                    names.release(room);
                }
            }
            _ => {
                let Some(more) = &mut self.more else { return };
                more.tidy(room, names);
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

    /// Rooms of these names, each held once by the test.
    fn rooms<const N: usize>(names: &mut RoomNames, all: [&str; N]) -> [NameNo; N] {
        all.map(|name| names.hold(&RoomKey { tenant: "acme".parse().unwrap(), room: name.parse().unwrap() }))
    }

    fn member() -> Membership {
        Membership { by_server: true, moved: false, answer: None }
    }

    fn shown<'a>(places: &Places, names: &'a RoomNames) -> Vec<&'a str> {
        let mut shown: Vec<_> = places.rooms().map(|room| names.get(room).room.as_str()).collect();
        shown.sort_unstable();
        shown
    }

    /// Nothing but the test holds a name.
    fn check_released(names: &mut RoomNames, all: &[NameNo]) {
        all.iter().for_each(|room| names.release(*room));
        assert!(names.is_empty());
    }

    #[test]
    fn rooms_come_and_go_in_any_order() {
        for gone_first in 0..3 {
            let mut names = RoomNames::default();
            let [a, b, c, d] = rooms(&mut names, ["a", "b", "c", "d"]);
            let mut places = Places::default();
            for room in [a, b, c] {
                assert!(!places.contains(room));
                places.insert(room, member(), &mut names);
                assert!(places.get_mut(room, &mut names).is_some());
            }
            assert_eq!(shown(&places, &names), ["a", "b", "c"]);
            let gone = [a, b, c][gone_first];
            assert!(places.remove(gone, &mut names).is_some());
            assert!(places.remove(gone, &mut names).is_none());
            places.insert(d, member(), &mut names);
            let mut left = vec!["a", "b", "c", "d"];
            left.remove(gone_first);
            assert_eq!(shown(&places, &names), left);
            // Whoever lies in the table isn't made anew in place.
            places.insert(c, member(), &mut names);
            assert_eq!(shown(&places, &names).len(), 3 + usize::from(gone == c));
            assert_eq!(places.take_memberships(&mut names).len(), 3 + usize::from(gone == c));
            assert!(places.is_unused());
            check_released(&mut names, &[a, b, c, d]);
        }
    }

    #[test]
    fn a_lane_keeps_its_place_without_a_membership_and_a_membership_without_a_lane() {
        let mut names = RoomNames::default();
        let [a] = rooms(&mut names, ["a"]);
        let mut places = Places::default();
        places.lane(a, &mut names).busy = true;
        assert!(!places.contains(a) && shown(&places, &names).is_empty());
        places.insert(a, member(), &mut names);
        places.remove(a, &mut names);
        assert!(places.lane_if_busy(a).is_some());
        places.insert(a, member(), &mut names);
        places.end_lane(a, &mut names);
        assert!(places.lane_if_busy(a).is_none() && places.contains(a));
        places.remove(a, &mut names);
        assert!(places.is_unused());
        places.end_lane(a, &mut names);
        check_released(&mut names, &[a]);
    }

    #[test]
    fn only_a_second_room_needs_a_table() {
        let mut names = RoomNames::default();
        let [a, b] = rooms(&mut names, ["a", "b"]);
        let mut places = Places::default();
        places.insert(a, member(), &mut names);
        assert!(places.more.is_none());
        places.insert(b, member(), &mut names);
        assert!(places.more.is_some());
        places.remove(b, &mut names);
        assert!(places.more.is_none());
    }

    #[test]
    fn of_a_room_that_was_joined_there_is_a_number_while_nothing_is_under_way() {
        let mut names = RoomNames::default();
        let all = rooms(&mut names, ["a", "b", "c"]);
        let [a, b, c] = all;
        let mut places = Places::default();
        for room in all {
            places.lane(room, &mut names).busy = true;
            places.insert(room, Membership::plain(), &mut names);
            places.end_lane(room, &mut names);
        }
        let counts = |places: &Places| places.more.as_ref().map(|more| (more.plain.len(), more.places.len()));
        assert_eq!((counts(&places), shown(&places, &names).len()), (Some((2, 0)), 3));
        // Something is asked about one.
        places.lane(c, &mut names).busy = true;
        assert!(places.contains(c) && places.lane_if_busy(c).is_some());
        assert_eq!((counts(&places), shown(&places, &names).len()), (Some((2, 1)), 3));
        places.end_lane(c, &mut names);
        assert_eq!(counts(&places), Some((2, 0)));
        // There is more to say of one, for a while, whether something is under way or not.
        assert!(!places.take_moved(b));
        places.get_mut(b, &mut names).unwrap().moved = true;
        assert_eq!((counts(&places), shown(&places, &names).len()), (Some((1, 1)), 3));
        places.lane(b, &mut names).busy = true;
        assert!(places.take_moved(b));
        places.end_lane(b, &mut names);
        assert_eq!(counts(&places), Some((2, 0)));
        places.lane(b, &mut names).busy = true;
        assert!(places.get_mut(b, &mut names).is_some());
        assert_eq!((counts(&places), shown(&places, &names).len()), (Some((1, 1)), 3));
        places.end_lane(b, &mut names);
        assert_eq!(counts(&places), Some((2, 0)));
        // One is left while something of it is under way; the first goes, and nobody takes its place.
        places.lane(b, &mut names).busy = true;
        assert!(places.remove(b, &mut names).is_some() && places.remove(b, &mut names).is_none());
        assert!(places.remove(a, &mut names).is_some());
        places.end_lane(b, &mut names);
        places.lane(c, &mut names).busy = true;
        assert_eq!(shown(&places, &names), ["c"]);
        places.end_lane(c, &mut names);
        assert!(places.remove(c, &mut names).is_some() && places.is_unused());
        check_released(&mut names, &all);
    }
}
