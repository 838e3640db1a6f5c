//! What a room keeps that conflates: of each key only the newest publication. So its offsets have holes, and what is in a
//! hole isn't lost: a newer one of its key is there.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::Entry;
use super::mids::Replaced;
use ringway_backplane::message::Publication;

/// The newest of each key; those without a key are one key.
#[derive(Debug)]
pub(super) struct Newest {
    /// What was dropped for another reason than that a newer one took its place was at or before this offset: who has
    /// everything up to here lacks nothing but what is in `entries`.
    base: u64,
    /// By offset. A map that can be searched from any offset, since members and states begin anywhere.
    entries: BTreeMap<u64, Entry>,
    /// The offset of each key's entry; the keys themselves are in `entries`.
    offsets: HashTable<u64>,
    hasher: RandomState,
    pub(super) replaced: Replaced,
}

fn key(publication: &Publication) -> Option<&str> {
    publication.key.as_ref().map(ringway_protocol::name::Key::as_str)
}

impl Newest {
    pub(super) fn new() -> Newest {
        Newest {
            base: 0,
            entries: BTreeMap::new(),
            offsets: HashTable::new(),
            hasher: RandomState::new(),
            replaced: Replaced::default(),
        }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.first_key_value().map(|(_, entry)| entry)
    }

    pub(super) fn get(&self, offset: u64) -> Option<&Entry> {
        self.entries.get(&offset)
    }

    /// Those after `offset`, rising.
    pub(super) fn after(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range(offset.saturating_add(1)..).map(|(_, entry)| entry)
    }

    /// The room's newest: it takes the place of its key's, which is given back.
    pub(super) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let Newest { entries, offsets, hasher, .. } = self;
        let of = |offset: &u64| entries.get(offset).and_then(|entry| key(&entry.publication));
        let hash = hasher.hash_one(key(&entry.publication));
        let offset = entry.offset;
        let older = match offsets.find_mut(hash, |offset| of(offset) == key(&entry.publication)) {
            Some(found) => entries.remove(&std::mem::replace(found, offset)),
            None => {
                offsets.insert_unique(hash, offset, |offset| hasher.hash_one(of(offset)));
                None
            }
        };
        entries.insert(offset, entry);
        older
    }

    /// One from further back. `false`: a newer one of its key is there.
    pub(super) fn put_back(&mut self, entry: &Entry) -> bool {
        let hash = self.hasher.hash_one(key(&entry.publication));
        let of = |offset: &u64| self.entries.get(offset).and_then(|entry| key(&entry.publication));
        if self.offsets.find(hash, |offset| of(offset) == key(&entry.publication)).is_some() {
            return false;
        }
        self.put(entry.clone());
        true
    }

    /// Everything after `base` is here from now on, that wasn't replaced.
    pub(super) fn reaches_back(&mut self, base: u64) {
        self.base = self.base.min(base);
    }

    /// Drops the oldest: who hasn't got it can't have it any more.
    pub(super) fn drop_oldest(&mut self) -> Option<Entry> {
        let (offset, entry) = self.entries.pop_first()?;
        let hash = self.hasher.hash_one(key(&entry.publication));
        if let Ok(found) = self.offsets.find_entry(hash, |other| *other == offset) {
            found.remove();
        }
        self.base = offset;
        if self.entries.is_empty() {
            // What was full once keeps no room for more.
            self.offsets = HashTable::new();
        }
        Some(entry)
    }

    /// Forgets all, and goes on at `number`.
    pub(super) fn restart(&mut self, number: u64) {
        *self = Newest { base: number, ..Newest::new() };
    }
}
