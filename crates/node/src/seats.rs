//! Who sits in a room: found by connection, whatever the room keeps of each.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use ringway_protocol::name::ConnId;

use crate::room::Member;

/// Below this many members a look-up goes through all of them; most rooms never need the index.
pub(crate) const INDEX_FROM: usize = 16;

/// The seats of one room on one node. Of nearly everyone there is nothing to say but that it is there, and very many are in very many
/// rooms: so what there is to say of the odd ones, an `O` each, lies beside the seats. They sit last.
#[derive(Debug)]
pub(crate) struct Seats<C, O> {
    seats: Vec<C>,
    /// Of the last of `seats`, in their order. There while any is odd.
    // Boxed, since most rooms have none.
    #[allow(clippy::box_collection)]
    odd: Option<Box<VecDeque<O>>>,
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
    fn of<C: Member>(seats: &[C]) -> Self {
        let mut index = Self::default();
        index.places.reserve(seats.len(), |_| 0);
        for at in 0..seats.len() {
            index.insert(seats, at);
        }
        index
    }

    fn find<C: Member>(&self, seats: &[C], conn: &ConnId) -> Option<usize> {
        let is_its = |at: &u32| seats[*at as usize].id() == conn;
        self.places.find(self.hasher.hash_one(conn), is_its).map(|at| *at as usize)
    }

    fn insert<C: Member>(&mut self, seats: &[C], at: usize) {
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

    /// Two seats are about to change places.
    fn exchange<C: Member>(&mut self, seats: &[C], one: usize, other: usize) {
        let hashes = [one, other].map(|at| self.hasher.hash_one(seats[at].id()));
        let both = [place(one), place(other)];
        if let [Some(one), Some(other)] = self.places.get_disjoint_mut(hashes, |which, at| *at == both[which])
        {
            std::mem::swap(one, other);
        }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a node has fewer connections")
}

impl<C: Member, O: Copy> Seats<C, O> {
    pub(crate) fn new() -> Self {
        Self { seats: Vec::new(), odd: None, index: None }
    }

    /// Everybody, whose places are as [`find`](Self::find) gives them.
    pub(crate) fn all(&self) -> &[C] {
        &self.seats
    }

    /// Where in [`all`](Self::all) a connection's seat is, until the next that comes, goes, or is or isn't odd any more.
    pub(crate) fn find(&self, conn: &ConnId) -> Option<usize> {
        match &self.index {
            Some(index) => index.find(&self.seats, conn),
            None => self.seats.iter().position(|seat| seat.id() == conn),
        }
    }

    /// How many aren't odd: the first.
    fn plain(&self) -> usize {
        self.seats.len() - self.odd.as_ref().map_or(0, |odd| odd.len())
    }

    /// What there is to say of who sits there.
    pub(crate) fn odd_at(&self, at: usize) -> Option<&O> {
        self.odd.as_ref()?.get(at.checked_sub(self.plain())?)
    }

    /// What there is to say of the odd ones.
    pub(crate) fn odd(&self) -> impl Iterator<Item = &O> + Clone {
        self.odd.iter().flat_map(|odd| odd.iter())
    }

    /// Everybody, in the order of [`all`](Self::all), with what there is to say of each.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&C, Option<&O>)> + Clone {
        let (plain, odd) = self.seats.split_at(self.plain());
        let odd = odd.iter().zip(self.odd()).map(|(seat, odd)| (seat, Some(odd)));
        plain.iter().map(|seat| (seat, None)).chain(odd)
    }

    /// Another connection of the same id takes the seat.
    pub(crate) fn replace(&mut self, at: usize, conn: C) {
        debug_assert!(self.seats[at].id() == conn.id(), "found by its id, as before");
        self.seats[at] = conn;
    }

    /// Says what there is to say of who sits there from now on, and where that is: one other may change places with it, the last
    /// of those that aren't odd, or the first of those that are.
    pub(crate) fn set(&mut self, at: usize, odd: Option<O>) -> usize {
        let plain = self.plain();
        let with = match (at.checked_sub(plain), odd, &mut self.odd) {
            (Some(before), Some(odd), Some(all)) => {
                all[before] = odd;
                at
            }
            (Some(before), None, Some(all)) => {
                all.swap(0, before);
                all.pop_front();
                plain
            }
            (None, Some(odd), all) => {
                all.get_or_insert_default().push_front(odd);
                plain - 1
            }
            _ => at,
        };
        self.odd.take_if(|odd| odd.is_empty());
        self.exchange(at, with);
        with
    }

    fn exchange(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        if let Some(index) = &mut self.index {
            index.exchange(&self.seats, one, other);
        }
        self.seats.swap(one, other);
    }

    /// Says of all odd ones, and if `all` then of the others too, what there is to say from now on.
    pub(crate) fn revise(&mut self, all: bool, mut say: impl FnMut(&C, Option<&O>) -> Option<O>) {
        let (plain, len) = (self.plain(), self.seats.len());
        // Whoever is exchanged has been seen: these for one before it, the others for one behind it.
        for at in plain..len {
            let odd = say(&self.seats[at], self.odd_at(at));
            self.set(at, odd);
        }
        for at in (0..plain).rev().take_while(|_| all) {
            let odd = say(&self.seats[at], None);
            self.set(at, odd);
        }
    }

    /// Adds a seat of a connection that has none.
    pub(crate) fn push(&mut self, seat: C, odd: O) {
        if self.seats.len() == self.seats.capacity() {
            // Less than twice as many, since there are very many seats in all.
            self.seats.reserve_exact(self.seats.len() / 4 + 1);
        }
        self.seats.push(seat);
        self.odd.get_or_insert_default().push_back(odd);
        if let Some(index) = &mut self.index {
            index.insert(&self.seats, self.seats.len() - 1);
        } else if self.seats.len() > INDEX_FROM {
            self.index = Some(Box::new(Index::of(&self.seats)));
        }
    }

    /// Takes a seat away. Once the last is gone nothing is kept.
    pub(crate) fn remove(&mut self, conn: &ConnId) -> Option<(C, Option<O>)> {
        let found = self.find(conn)?;
        let odd = self.odd_at(found).copied();
        // It comes to sit where the others end that aren't odd. There the last takes its place: of the odd ones, if there are any,
        // who so becomes their first.
        let found = self.set(found, None);
        let at = self.plain() - 1;
        self.exchange(found, at);
        if let Some(odd) = &mut self.odd {
            odd.rotate_right(1);
        }
        let seat = self.seats.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.change(conn, at, None);
            if let Some(moved) = self.seats.get(at) {
                index.change(moved.id(), self.seats.len(), Some(at));
            }
        }
        if self.seats.is_empty() {
            *self = Self::new();
        }
        Some((seat, odd))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

    use super::*;

    #[derive(Clone, Debug)]
    struct Actor(ConnId);

    impl Member for Actor {
        fn id(&self) -> &ConnId {
            &self.0
        }
    }

    fn conn(name: &str) -> ConnId {
        name.parse().expect("a connection's id")
    }

    fn actor(name: &str) -> Actor {
        Actor(conn(name))
    }

    /// Everybody is where it is looked for, with what was said of it.
    fn check(seats: &Seats<Actor, u32>, model: &HashMap<String, Option<u32>>) {
        let each: HashMap<String, Option<u32>> =
            seats.each().map(|(seat, odd)| (seat.id().to_string(), odd.copied())).collect();
        assert_eq!((seats.all().len(), &each), (model.len(), model));
        for (name, odd) in model {
            let found = seats.find(&conn(name)).expect("its seat");
            assert_eq!((seats.all()[found].id(), seats.odd_at(found)), (&conn(name), odd.as_ref()));
        }
    }

    #[test]
    fn whatever_comes_and_goes_everybody_has_what_was_said_of_it() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..50 {
            let (mut seats, mut model) = (Seats::new(), HashMap::new());
            for step in 0..300 {
                let name = format!("c{}", rng.random_range(0..30));
                let says = rng.random_bool(0.5).then_some(step);
                match (seats.find(&conn(&name)), rng.random_range(0..8)) {
                    (None, _) => {
                        seats.push(actor(&name), step);
                        model.insert(name, Some(step));
                    }
                    (Some(_), 0) => {
                        let removed =
                            seats.remove(&conn(&name)).map(|(seat, odd)| (seat.id().to_string(), odd));
                        assert_eq!(removed, model.remove_entry(&name));
                    }
                    (Some(_), 1) => {
                        let (all, modulus) = (rng.random_bool(0.5), rng.random_range(1..4));
                        let mut seen = Vec::new();
                        seats.revise(all, |seat, odd| {
                            seen.push(seat.id().to_string());
                            assert!(all || odd.is_some());
                            (seat.id().as_str().len() + step as usize).is_multiple_of(modulus).then_some(step)
                        });
                        seen.sort_unstable();
                        assert!(seen.windows(2).all(|two| two[0] != two[1]), "each once");
                        for (name, odd) in &mut model {
                            assert_eq!(seen.binary_search(name).is_ok(), all || odd.is_some());
                            if all || odd.is_some() {
                                *odd = (name.len() + step as usize).is_multiple_of(modulus).then_some(step);
                            }
                        }
                    }
                    (Some(found), _) => {
                        seats.set(found, says);
                        model.insert(name, says);
                    }
                }
                check(&seats, &model);
            }
        }
    }
}
