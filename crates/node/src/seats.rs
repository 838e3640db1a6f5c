//! Who sits in a room: found by connection, whatever the room keeps of each.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use ringway_protocol::name::ConnId;

/// Below this many members a look-up goes through all of them; most rooms never need the index.
pub(crate) const INDEX_FROM: usize = 16;

/// What a room keeps of a member.
pub(crate) trait Seated {
    /// The connection's id, unique among a room's members on this node.
    fn id(&self) -> &ConnId;
}

/// The seats of one room on one node.
#[derive(Debug)]
pub(crate) struct Seats<S> {
    seats: Vec<S>,
    /// Made when there are many.
    // Boxed, since nearly no room has it.
    index: Option<Box<Index>>,
}

/// Where seats are, by their connections' ids, which lie in the seats.
#[derive(Debug, Default)]
struct Index {
    places: HashTable<u32>,
    hasher: RandomState,
}

impl Index {
    fn of<S: Seated>(seats: &[S]) -> Self {
        let mut index = Self::default();
        index.places.reserve(seats.len(), |_| 0);
        for at in 0..seats.len() {
            index.insert(seats, at);
        }
        index
    }

    fn find<S: Seated>(&self, seats: &[S], conn: &ConnId) -> Option<usize> {
        let is_its = |at: &u32| seats[*at as usize].id() == conn;
        self.places.find(self.hasher.hash_one(conn), is_its).map(|at| *at as usize)
    }

    fn insert<S: Seated>(&mut self, seats: &[S], at: usize) {
        let Self { places, hasher } = self;
        let hash_at = |at: &u32| hasher.hash_one(seats[*at as usize].id());
        let at = place(at);
        places.insert_unique(hash_at(&at), at, hash_at);
    }

    /// The seat of that id isn't at `from` any more but at `to`; none: there is none any more.
    fn change(&mut self, conn: &ConnId, from: usize, to: Option<usize>) {
        let from = place(from);
        let Ok(mut entry) = self.places.find_entry(self.hasher.hash_one(conn), |at| *at == from) else {
            return;
        };
        match to {
            Some(to) => *entry.get_mut() = place(to),
            None => drop(entry.remove()),
        }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a node has fewer connections")
}

impl<S: Seated> Seats<S> {
    pub(crate) fn new() -> Self {
        Self { seats: Vec::new(), index: None }
    }

    pub(crate) fn all(&self) -> &[S] {
        &self.seats
    }

    /// All of them, to be changed; none may become another connection's.
    pub(crate) fn all_mut(&mut self) -> &mut [S] {
        &mut self.seats
    }

    /// Where in [`all`](Self::all) a connection's seat is, until the next that comes or goes.
    pub(crate) fn find(&self, conn: &ConnId) -> Option<usize> {
        match &self.index {
            Some(index) => index.find(&self.seats, conn),
            None => self.seats.iter().position(|seat| seat.id() == conn),
        }
    }

    /// Adds a seat of a connection that has none.
    pub(crate) fn push(&mut self, seat: S) {
        if self.seats.len() == self.seats.capacity() {
            // Less than twice as many, since there are very many seats in all.
            self.seats.reserve_exact(self.seats.len() / 4 + 1);
        }
        self.seats.push(seat);
        if let Some(index) = &mut self.index {
            index.insert(&self.seats, self.seats.len() - 1);
        } else if self.seats.len() > INDEX_FROM {
            self.index = Some(Box::new(Index::of(&self.seats)));
        }
    }

    /// Takes a seat away. Once the last is gone nothing is kept.
    pub(crate) fn remove(&mut self, conn: &ConnId) -> Option<S> {
        let found = self.find(conn)?;
        let seat = self.seats.swap_remove(found);
        if let Some(index) = &mut self.index {
            index.change(conn, found, None);
            if let Some(moved) = self.seats.get(found) {
                index.change(moved.id(), self.seats.len(), Some(found));
            }
        }
        if self.seats.is_empty() {
            *self = Self::new();
        }
        Some(seat)
    }
}
