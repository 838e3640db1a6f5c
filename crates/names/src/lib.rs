//! Names that many things refer to, each kept once and counted: very many members are in very many rooms, and a number is four
//! bytes.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// A name, as one [`Names`] numbers it while anybody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameNo(u32);

impl NameNo {
    /// No name.
    pub const NONE: Self = Self(u32::MAX);
}

/// All names that are held.
#[derive(Debug)]
pub struct Names<T> {
    /// By their numbers, each with how many hold it.
    entries: Vec<Option<(T, u32)>>,
    free: Vec<NameNo>,
    by_name: HashTable<NameNo>,
    hasher: RandomState,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    /// A name that is held.
    ///
    /// # Panics
    /// If nobody holds it.
    pub fn get(&self, number: NameNo) -> &T {
        let entry = self.entries.get(number.0 as usize).and_then(Option::as_ref);
        &entry.expect("a number is used while it is held").0
    }

    /// Its number, if anybody holds it.
    pub fn find(&self, name: &T) -> Option<NameNo> {
        let is_it = |number: &NameNo| *self.get(*number) == *name;
        self.by_name.find(self.hasher.hash_one(name), is_it).copied()
    }

    /// One more holds the name. Its number stays the same while anybody does.
    pub fn hold(&mut self, name: &T) -> NameNo {
        if let Some(number) = self.find(name) {
            self.hold_again(number);
            return number;
        }
        let entry = Some((name.clone(), 1));
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            NameNo(u32::try_from(self.entries.len() - 1).expect("fewer names than memory has bytes"))
        });
        self.entries[number.0 as usize] = entry;
        let Self { entries, by_name, hasher, .. } = self;
        let hash_of = |number: &NameNo| {
            let entry = entries[number.0 as usize].as_ref();
            hasher.hash_one(&entry.expect("a number is found while it is held").0)
        };
        by_name.insert_unique(hasher.hash_one(name), number, hash_of);
        number
    }

    /// One more holds a name that somebody holds.
    ///
    /// # Panics
    /// If nobody does.
    pub fn hold_again(&mut self, number: NameNo) {
        let entry = self.entries[number.0 as usize].as_mut();
        entry.expect("a number is used while it is held").1 += 1;
    }

    /// One less. Its number is another's once nobody holds it.
    ///
    /// # Panics
    /// If nobody does.
    pub fn release(&mut self, number: NameNo) {
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
            *self = Self { hasher: std::mem::take(&mut self.hasher), ..Self::default() };
        }
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_while_somebody_holds_it() {
        let mut names = Names::default();
        let (a, b) = (names.hold(&"a"), names.hold(&"b"));
        assert_eq!(names.hold(&"a"), a);
        names.release(a);
        assert_eq!((names.find(&"a"), names.find(&"b"), *names.get(b)), (Some(a), Some(b), "b"));
        names.release(a);
        assert_eq!(names.find(&"a"), None);
        assert_eq!(names.hold(&"c"), a, "numbers are used again");
        names.release(a);
        names.release(b);
        assert!(names.is_empty());
        assert_eq!(names.entries.capacity(), 0);
    }
}
