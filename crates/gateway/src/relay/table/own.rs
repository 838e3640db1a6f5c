//! The positions of a client that are its own.

use std::collections::VecDeque;

use ringway_names::NameNo;
use ringway_protocol::frame::Position;

/// Where a client is in rooms, by their names: only where that isn't where the room is. See `entered`.
// Boxed, and beside the seats: nearly no client has one for longer than until the next publication, and very many are in many rooms.
// A deque, since they come and go in their order where a client's rooms go to another node.
#[derive(Debug, Default)]
#[allow(clippy::box_collection)]
pub(super) struct Own(Option<Box<VecDeque<(NameNo, Position)>>>);

impl Own {
    fn find(&self, room: NameNo) -> Result<usize, usize> {
        self.0.as_ref().map_or(Err(0), |own| own.binary_search_by_key(&room, |(room, _)| *room))
    }

    pub(super) fn get(&self, room: NameNo) -> Option<&Position> {
        let own = self.0.as_ref()?;
        self.find(room).ok().map(|index| &own[index].1)
    }

    /// None: it has no position of its own there any more.
    pub(super) fn set(&mut self, room: NameNo, at: Option<Position>) {
        match (self.find(room), at) {
            (Ok(index), Some(at)) => self.0.get_or_insert_default()[index].1 = at,
            (Err(index), Some(at)) => self.0.get_or_insert_default().insert(index, (room, at)),
            (Ok(_), None) => drop(self.take(room)),
            (Err(_), None) => {}
        }
    }

    pub(super) fn take(&mut self, room: NameNo) -> Option<Position> {
        let index = self.find(room).ok()?;
        let own = self.0.as_mut()?;
        let taken = own.remove(index).map(|(_, at)| at);
        if own.is_empty() {
            self.0 = None;
        }
        taken
    }

    /// What it takes of memory, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let list = |own: &VecDeque<(NameNo, Position)>| {
            size_of_val(own) + own.capacity() * size_of::<(NameNo, Position)>()
        };
        self.0.as_deref().map_or(0, list)
    }
}

#[cfg(test)]
mod tests {
    use super::super::seat::position;
    use super::*;
    use ringway_names::Names;

    #[test]
    fn positions_are_kept_by_room_and_nothing_is_left_of_the_last() {
        let mut names = Names::default();
        let rooms = ["a", "b", "c"].map(|name| names.hold(&name));
        let at = |offset| position(&"e".parse().expect("an epoch's name"), offset, 0);
        let mut own = Own::default();
        for (offset, room) in [(3, rooms[2]), (1, rooms[0]), (2, rooms[1])] {
            own.set(room, Some(at(offset)));
        }
        own.set(rooms[1], Some(at(7)));
        assert_eq!(rooms.map(|room| own.get(room).map(|at| at.offset)), [Some(1), Some(7), Some(3)]);
        own.set(rooms[1], None);
        own.set(rooms[1], None);
        assert_eq!(own.get(rooms[1]), None);
        assert_eq!([0, 0, 2].map(|room| own.take(rooms[room])), [Some(at(1)), None, Some(at(3))]);
        assert_eq!(own.bytes(), 0);
    }
}
