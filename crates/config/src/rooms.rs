//! What holds for rooms: `[[classes]]`, the kinds of rooms, and `[stores.NAME]`, how long their publications are kept.

use std::time::Duration;

use ringway_protocol::Pattern;
pub use ringway_protocol::StoreName;

use crate::leaf::choice;
use crate::limits::RoomLimits;
use crate::limits_tree::RoomLimitsConfig;
use crate::quantity::ByteSize;
use crate::section::{item, section};

section! {
    /// `[stores.NAME]`: a retention profile, kept in JetStream streams of its own.
    pub struct Store {
        /// How many publications of a room are kept, 1 to 1,000,000. Not together with `latest_per_key`.
        pub messages_per_room: Option<u64> = None,
        /// How long they are kept, 1 second or more.
        pub age: Option<Duration> = None,
        /// How much the store keeps, all rooms together.
        pub bytes: Option<ByteSize> = None,
        /// What happens at that size.
        pub when_full: WhenFull = WhenFull::DropOldest,
        /// For how long a repeated `mid` is stored once, 1 second to 1 hour; never longer than `age`.
        pub repeat_window: Duration = Duration::from_secs(30),
        /// In files, or in the servers' memory.
        pub storage: Storage = Storage::File,
        /// On how many servers, 1 to 5.
        pub replicas: u8 = 1,
        /// Whether only the newest of every key is kept: a room's current state.
        pub latest_per_key: bool = false,
    }
}

impl Store {
    /// What holds of it: no repeat is recognised for longer than the first is kept.
    #[must_use]
    pub(crate) fn resolved(&self) -> Self {
        let repeat_window = self.age.map_or(self.repeat_window, |age| age.min(self.repeat_window));
        Store { repeat_window, ..self.clone() }
    }
}

choice! {
    /// Where a store keeps what it keeps.
    pub enum Storage {
        /// In files.
        File = "file",
        /// In memory: gone when as many servers were down as it has replicas.
        Memory = "memory",
    } later {}
}

choice! {
    /// What a store does at its size.
    pub enum WhenFull {
        /// The oldest publications go, whoever they belong to.
        DropOldest = "drop_oldest",
        /// New publications are refused (`storage_full`): nobody's history is pushed out.
        Refuse = "refuse",
    } later {}
}

item! {
    /// `[[classes]]`: the settings of a kind of rooms.
    pub struct Class {
        /// Which rooms: `*` any characters but a dot, `**` any characters. The first class that matches wins.
        pub rooms: Pattern,
        /// The store that keeps its publications: then its rooms are durable. Absent: they are ephemeral.
        pub store: Option<StoreName> = None,
        /// What an ephemeral room remembers, for those that come back.
        pub replay: ReplayConfig = ReplayConfig::default(),
        /// What happens to a member that reads too slowly.
        pub slow_consumer: SlowConsumer = SlowConsumer::Disconnect,
        /// For how long publications may wait to leave together, up to 1 second. 0: not at all.
        pub flush_window: Duration = Duration::ZERO,
        /// Over how many nodes of its pool each room is spread, 1 to 64; 1: never. Default: as many as its size asks for,
        /// see `placement.spread_members`.
        pub spread: Option<u8> = None,
        /// What each room may use.
        pub limits: RoomLimitsConfig = RoomLimitsConfig::default(),
        /// Who is here.
        pub presence: Presence = Presence::default(),
    }
}

impl Class {
    /// What rooms of no class have.
    #[must_use]
    pub fn everything() -> Self {
        Class {
            rooms: Pattern::parse("**").expect("a valid pattern"),
            store: None,
            replay: ReplayConfig::default(),
            slow_consumer: SlowConsumer::Disconnect,
            flush_window: Duration::ZERO,
            spread: None,
            limits: RoomLimitsConfig::default(),
            presence: Presence::default(),
        }
    }

    /// What each room may use.
    #[must_use]
    pub fn room_limits(&self) -> RoomLimits {
        RoomLimits::new(&self.limits)
    }

    /// Over how many nodes each room is spread in any case; 1: over none but its owner.
    #[must_use]
    pub fn spread_at_least(&self) -> u8 {
        self.spread.unwrap_or(1).max(1)
    }

    /// What each room remembers for those that come back.
    #[must_use]
    pub fn replay(&self) -> Replay {
        let by_key = self.slow_consumer == SlowConsumer::Conflate;
        let (messages, age) = if by_key { BY_KEY } else { IN_ORDER };
        Replay {
            messages: self.replay.messages.unwrap_or(messages),
            age: self.replay.age.unwrap_or(age),
            by_key,
        }
    }
}

/// What a room remembers where nothing else is said.
const IN_ORDER: (u32, Duration) = (100, Duration::from_secs(30));
/// And where it keeps the newest of each key: it is the room's state, so for whoever opens it, however late.
const BY_KEY: (u32, Duration) = (1_000, Duration::from_secs(3_600));

section! {
    /// `replay` of a class, as it is written.
    #[derive(Copy)]
    pub struct ReplayConfig {
        /// At most this many publications, up to 10,000; where the newest of each key is kept, keys. 0: none.
        pub messages: Option<u32> = None,
        /// None older than this, up to 24 hours.
        pub age: Option<Duration> = None,
    }
}

/// What a room remembers for those that come back, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// At most this many publications.
    pub messages: u32,
    /// None older than this.
    pub age: Duration,
    /// Only the newest of each key: the class conflates.
    pub by_key: bool,
}

choice! {
    /// What happens to a member that reads too slowly.
    pub enum SlowConsumer {
        /// It is closed (1008) at 1 MiB that waits for it.
        Disconnect = "disconnect",
        /// At 1 MiB that waits for it the oldest publications are left out, and it is told.
        DropOldest = "drop_oldest",
        /// While it is behind only the newest publication of each key waits for it.
        Conflate = "conflate",
    } later {}
}

section! {
    /// `presence` of a class.
    #[derive(Copy)]
    pub struct Presence {
        /// How long a member that was cut off is still shown, up to 5 minutes.
        pub linger: Duration = Duration::from_secs(5),
        /// Up to how many members are listed one by one, up to 10,000; beyond it they are counted.
        pub list_up_to: u32 = 1_000,
    }
}
