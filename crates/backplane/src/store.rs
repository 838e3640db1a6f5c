//! What is kept of durable rooms, as values: which stores, in which streams, and what is read from them.
//!
//! A **store** is a retention profile by name; a group has one or more JetStream **streams** for each store that its
//! tenants' rooms use, each with some of the 64 parts. The server numbers what a stream keeps: a room's offsets are its
//! stream's numbers, with holes. The numbers belong to the stream's **epoch**, which stands in the stream's metadata, and
//! changes where the numbers can't be believed any more (recreated, restored, put back).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_protocol::name::{GroupId, RoomName, StoreName, TenantId};
use ringway_ring::Slot;

use crate::message::{Epoch, Publication};

/// A store of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey {
    /// The group.
    pub group: GroupId,
    /// The store's name in the configuration.
    pub store: StoreName,
}

/// How a store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// How many publications of a room can be had; one more is kept, by which the oldest position is checked.
    pub messages_per_room: Option<u64>,
    /// How long.
    pub age: Option<Duration>,
    /// How much, over all rooms, in bytes.
    pub bytes: Option<u64>,
    /// At that size new publications are refused, instead of the oldest pushed out.
    pub refuse_when_full: bool,
    /// For how long a repeated message id is stored once.
    pub repeat_window: Duration,
    /// On how many servers.
    pub replicas: u8,
    /// Only the newest of every key.
    pub latest_per_key: bool,
    /// In memory, not in files.
    pub in_memory: bool,
}

/// A durable room, as its store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoomAt {
    /// Its tenant's group.
    pub group: GroupId,
    /// Its class's store.
    pub store: StoreName,
    /// Its slot.
    pub slot: Slot,
    /// Its tenant.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomName,
    /// Whether the store keeps the newest of each key.
    pub latest_per_key: bool,
}

impl RoomAt {
    /// The store that it is in.
    #[must_use]
    pub fn key(&self) -> StoreKey {
        StoreKey { group: self.group.clone(), store: self.store.clone() }
    }
}

/// What is known of all stores that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Each store.
    pub stores: BTreeMap<StoreKey, StoreState>,
}

/// What is known of one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Its streams; empty: none was found or made yet.
    pub streams: Vec<StreamState>,
    /// Why it can't be used, or not in the way that the configuration says; for people. Empty: all is well.
    pub hurt: Option<String>,
    /// What should be looked at, though it works: two replicas, settings that somebody changed by hand.
    pub warnings: Vec<String>,
}

/// One stream of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its name.
    pub name: Arc<str>,
    /// The lifetime that its numbers belong to.
    pub epoch: Epoch,
    /// Which parts it takes: bit n is part n.
    pub parts: u64,
}

impl StoreState {
    /// The stream that takes a slot's publications.
    #[must_use]
    pub fn stream_of(&self, slot: Slot) -> Option<&StreamState> {
        let part = 1_u64 << crate::subject::part_of(slot);
        self.streams.iter().find(|stream| stream.parts & part != 0)
    }
}

impl Known {
    /// The stream that takes a room's publications.
    #[must_use]
    pub fn stream_of(&self, at: &RoomAt) -> Option<&StreamState> {
        self.stores.get(&at.key())?.stream_of(at.slot)
    }

    /// The epoch of one of a store's streams.
    #[must_use]
    pub fn epoch_of(&self, store: &StoreKey, stream: &str) -> Option<Epoch> {
        let mut streams = self.stores.get(store)?.streams.iter();
        streams.find(|one| &*one.name == stream).map(|one| one.epoch)
    }
}

/// Where a publication was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The stream that has it.
    pub stream: Arc<str>,
    /// The stream's epoch.
    pub epoch: Epoch,
    /// Its number.
    pub offset: u64,
    /// It was a repeat: the number is the first one's, which may be gone by now.
    pub duplicate: bool,
}

/// Why a publication wasn't stored, or isn't known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// Surely not: the link is away, there is no stream, or it can't take anything now. The same may go a moment later.
    #[error("the store can't be reached now")]
    Away,
    /// Surely not: as many wait for their acknowledgement as may.
    #[error("too much is waiting to be stored")]
    Busy,
    /// Surely not: the store is full, and its settings say that nothing is pushed out.
    #[error("the store is full")]
    Full,
    /// Surely not, and never: larger than the store takes.
    #[error("larger than the store takes")]
    TooLarge,
    /// Perhaps: no acknowledgement came. The same with the same id is stored once.
    #[error("no acknowledgement came")]
    Unknown,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The link is away, or there is no stream.
    #[error("the store can't be reached now")]
    Away,
    /// No answer in time.
    #[error("the store doesn't answer")]
    Timeout,
    /// The server has too much to do: later.
    #[error("the store is busy")]
    Busy,
    /// It answers what this release can't read.
    #[error("the store's answer can't be read")]
    BadAnswer,
}

/// A publication that was read from a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its number.
    pub offset: u64,
    /// When it was stored, milliseconds since 1970.
    pub ts: u64,
    /// What was published.
    pub publication: Arc<Publication>,
}

/// Something that a stream keeps, whatever room it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub offset: u64,
    /// When it was stored, milliseconds since 1970.
    pub ts: u64,
}

/// Some of what is kept of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomPage {
    /// Rising.
    pub kept: Vec<Kept>,
    /// There is more behind what was looked at.
    pub more: bool,
    /// The greatest number of the room's that was looked at: beyond the last of `kept` where what is there is no publication
    /// (a stranger's, or a marker of something deleted). 0: nothing was found.
    pub upto: u64,
}

/// Some of what a stream keeps, over all rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    /// Rising: of which room, and what.
    pub kept: Vec<((TenantId, RoomName), Kept)>,
    /// Where to go on; none: this was all, as of when it was read.
    pub next: Option<u64>,
    /// The greatest number that was looked at.
    pub upto: u64,
}

/// A stream as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first number that it keeps; where it keeps nothing, one more than `last`.
    pub first: u64,
    /// The last number that it gave.
    pub last: u64,
    /// When that was, milliseconds since 1970; 0 where it keeps nothing.
    pub last_ts: u64,
    /// What it keeps, over all rooms.
    pub messages: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// How much of a room its stream's leader holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The first number that the stream keeps; where it keeps nothing, one more than `last`.
    pub first: u64,
    /// The last number that it gave.
    pub last: u64,
    /// Publications of the room.
    pub count: u64,
    /// At so many the oldest goes when one more comes (of a key, where only the newest of each is kept); none: there is no
    /// such limit.
    pub most: Option<u64>,
}

/// What a leader finds at a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This: the subject it is under, and when it was stored, milliseconds since 1970.
    Here {
        /// The subject.
        subject: String,
        /// When it was stored, milliseconds since 1970.
        ts: u64,
    },
    /// Nothing, or nothing any more.
    Nothing,
}
