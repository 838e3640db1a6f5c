//! Who sits in a room: found by connection, whatever the room keeps of each.

use std::collections::HashMap;

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
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<ConnId, usize>>>,
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
            Some(index) => index.get(conn).copied(),
            None => self.seats.iter().position(|seat| seat.id() == conn),
        }
    }

    /// Adds a seat of a connection that has none.
    pub(crate) fn push(&mut self, seat: S) {
        if let Some(index) = &mut self.index {
            index.insert(seat.id().clone(), self.seats.len());
        } else if self.seats.len() >= INDEX_FROM {
            let ids = self.seats.iter().map(Seated::id).chain([seat.id()]);
            self.index = Some(Box::new(ids.cloned().enumerate().map(|(at, id)| (id, at)).collect()));
        }
        self.seats.push(seat);
    }

    /// Takes a seat away. Once the last is gone nothing is kept.
    pub(crate) fn remove(&mut self, conn: &ConnId) -> Option<S> {
        let found = self.find(conn)?;
        let seat = self.seats.swap_remove(found);
        if let Some(index) = &mut self.index {
            index.remove(conn);
            if let Some(moved) = self.seats.get(found) {
                index.insert(moved.id().clone(), found);
            }
        }
        if self.seats.is_empty() {
            *self = Self::new();
        }
        Some(seat)
    }
}
