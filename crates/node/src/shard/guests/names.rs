//! The names of the rooms that connections have something of, each kept once and counted.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::shard::RoomKey;

/// A room's name, as [`Names`] numbers it while anybody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NameNo(u32);

#[derive(Debug, Default)]
pub(super) struct Names {
    /// By their numbers, each with how many hold it.
    entries: Vec<Option<(RoomKey, u32)>>,
    free: Vec<NameNo>,
    by_name: HashTable<NameNo>,
    hasher: RandomState,
}

impl Names {
    pub(super) fn get(&self, number: NameNo) -> &RoomKey {
        let entry = self.entries.get(number.0 as usize).and_then(Option::as_ref);
        &entry.expect("a number is used while it is held").0
    }

    pub(super) fn find(&self, name: &RoomKey) -> Option<NameNo> {
        let is_it = |number: &NameNo| *self.get(*number) == *name;
        self.by_name.find(self.hasher.hash_one(name), is_it).copied()
    }

    /// One more holds the name.
    pub(super) fn hold(&mut self, name: &RoomKey) -> NameNo {
        if let Some(number) = self.find(name) {
            self.hold_again(number);
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            NameNo(u32::try_from(self.entries.len() - 1).expect("fewer names than memory has bytes"))
        });
        self.entries[number.0 as usize] = Some((name.clone(), 1));
        let Self { entries, by_name, hasher, .. } = self;
        let hash_of = |number: &NameNo| {
            let entry = entries[number.0 as usize].as_ref();
            hasher.hash_one(&entry.expect("a number is found while it is held").0)
        };
        by_name.insert_unique(hasher.hash_one(name), number, hash_of);
        number
    }

    pub(super) fn hold_again(&mut self, number: NameNo) {
        let entry = self.entries[number.0 as usize].as_mut();
        entry.expect("a number is used while it is held").1 += 1;
    }

    /// One less.
    pub(super) fn release(&mut self, number: NameNo) {
        let entry = &mut self.entries[number.0 as usize];
        let held = entry.as_mut().expect("a number is released once for each time that it is held");
        held.1 -= 1;
        if held.1 > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&held.0);
        if let Ok(found) = self.by_name.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        *entry = None;
        self.free.push(number);
        if self.by_name.is_empty() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
