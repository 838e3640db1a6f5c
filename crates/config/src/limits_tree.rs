//! `limits` as they are written: of a tenant, its users and connections, and of a class's rooms.
//!
//! One that is absent is no limit (but for `rooms`), and each stands alone. 0 lets nothing through.

use crate::quantity::ByteSize;
use crate::section::section;

section! {
    /// `limits` of a tenant.
    pub struct LimitsConfig {
        /// Connections of the tenant, in its whole pool.
        pub connections: Option<u64> = None,
        /// Connections that are opened in a second, at each gateway.
        pub connects_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub connects_burst: Option<u32> = None,
        /// Publications of the tenant in a second, in its whole pool.
        pub publish_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub publish_burst: Option<u32> = None,
        /// What the tenant's connections send in a second, at each node.
        pub bytes_per_second: Option<ByteSize> = None,
        /// Rooms that a connection may have joined at a time, up to 10,000. Default: 1,000.
        pub rooms: Option<u32> = None,
        /// Of each of its users.
        pub user: UserLimitsConfig = UserLimitsConfig::default(),
        /// Of each of its connections.
        pub connection: ConnectionLimitsConfig = ConnectionLimitsConfig::default(),
    }
}

section! {
    /// `limits.user` of a tenant.
    #[derive(Copy)]
    pub struct UserLimitsConfig {
        /// Connections of the user, at each node.
        pub connections: Option<u64> = None,
        /// Connections that are opened in a second, at each gateway.
        pub connects_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub connects_burst: Option<u32> = None,
        /// Publications in a second, at each node.
        pub publish_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub publish_burst: Option<u32> = None,
        /// What the user's connections send in a second, at each node.
        pub bytes_per_second: Option<ByteSize> = None,
    }
}

section! {
    /// `limits.connection` of a tenant.
    #[derive(Copy)]
    pub struct ConnectionLimitsConfig {
        /// Publications in a second.
        pub publish_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub publish_burst: Option<u32> = None,
        /// What it sends in a second.
        pub bytes_per_second: Option<ByteSize> = None,
    }
}

section! {
    /// `limits` of a class: of each of its rooms.
    #[derive(Copy)]
    pub struct RoomLimitsConfig {
        /// Connections that have joined the room, as far as a node knows: at its owner, those of all nodes.
        pub members: Option<u64> = None,
        /// Publications to the room in a second.
        pub publish_per_second: Option<u32> = None,
        /// How many of them at once. Default: a second's worth.
        pub publish_burst: Option<u32> = None,
        /// What is published to the room in a second.
        pub bytes_per_second: Option<ByteSize> = None,
    }
}
