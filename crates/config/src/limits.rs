//! What somebody may use, resolved: a tenant's own limits over the defaults, one by one, each rate with its burst.

use crate::limits_tree::{ConnectionLimitsConfig, LimitsConfig, RoomLimitsConfig, UserLimitsConfig};
use crate::quantity::ByteSize;

/// Rooms that a connection may have joined at a time, where nothing else is said.
const ROOMS_PER_CONNECTION: u32 = 1_000;
/// The smallest burst of bytes: the largest frame that is read, so that a low rate delays such a frame but doesn't forbid it.
pub(crate) const BYTES_BURST_MIN: u32 = 64 * 1024;

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In the long run. 0: none at all.
    pub per_second: u32,
    /// At once, after a time in which nothing was used; at least 1, and of bytes never less than the largest frame.
    pub burst: u32,
}

/// What a tenant may use; None is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of the tenant, in its whole pool.
    pub connections: Option<u64>,
    /// Connections opened, at each gateway.
    pub connects: Option<Quota>,
    /// Publications of the tenant, in its whole pool.
    pub publish: Option<Quota>,
    /// Bytes of what its clients send, at each node.
    pub bytes: Option<Quota>,
    /// Rooms that a connection may have joined at a time.
    pub rooms: u32,
    /// Of each of its users.
    pub user: UserLimits,
    /// Of each of its connections.
    pub connection: ConnectionLimits,
}

/// What a user may use; None is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Connections of the user, at each node.
    pub connections: Option<u64>,
    /// Connections opened, at each gateway.
    pub connects: Option<Quota>,
    /// Publications, at each node.
    pub publish: Option<Quota>,
    /// Bytes of what its connections send, at each node.
    pub bytes: Option<Quota>,
}

/// What a connection may use; None is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Publications.
    pub publish: Option<Quota>,
    /// Bytes of what it sends.
    pub bytes: Option<Quota>,
}

/// What a room may use; None is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomLimits {
    /// Connections that have joined it, as far as a node knows: at its owner, those of all nodes.
    pub members: Option<u64>,
    /// Publications to it.
    pub publish: Option<Quota>,
    /// Bytes of what is published to it.
    pub bytes: Option<Quota>,
}

impl Limits {
    pub(crate) fn new(own: &LimitsConfig, defaults: &LimitsConfig) -> Self {
        Limits {
            connections: own.connections.or(defaults.connections),
            connects: rate_or(
                (own.connects_per_second, own.connects_burst),
                (defaults.connects_per_second, defaults.connects_burst),
            ),
            publish: rate_or(
                (own.publish_per_second, own.publish_burst),
                (defaults.publish_per_second, defaults.publish_burst),
            ),
            bytes: bytes(own.bytes_per_second.or(defaults.bytes_per_second)),
            rooms: own.rooms.or(defaults.rooms).unwrap_or(ROOMS_PER_CONNECTION),
            user: UserLimits::new(&own.user, &defaults.user),
            connection: ConnectionLimits::new(&own.connection, &defaults.connection),
        }
    }
}

impl UserLimits {
    fn new(own: &UserLimitsConfig, defaults: &UserLimitsConfig) -> Self {
        UserLimits {
            connections: own.connections.or(defaults.connections),
            connects: rate_or(
                (own.connects_per_second, own.connects_burst),
                (defaults.connects_per_second, defaults.connects_burst),
            ),
            publish: rate_or(
                (own.publish_per_second, own.publish_burst),
                (defaults.publish_per_second, defaults.publish_burst),
            ),
            bytes: bytes(own.bytes_per_second.or(defaults.bytes_per_second)),
        }
    }
}

impl ConnectionLimits {
    fn new(own: &ConnectionLimitsConfig, defaults: &ConnectionLimitsConfig) -> Self {
        ConnectionLimits {
            publish: rate_or(
                (own.publish_per_second, own.publish_burst),
                (defaults.publish_per_second, defaults.publish_burst),
            ),
            bytes: bytes(own.bytes_per_second.or(defaults.bytes_per_second)),
        }
    }
}

impl RoomLimits {
    pub(crate) fn new(own: &RoomLimitsConfig) -> Self {
        RoomLimits {
            members: own.members,
            publish: rate(own.publish_per_second, own.publish_burst),
            bytes: bytes(own.bytes_per_second),
        }
    }
}

/// Of rate and burst each by itself: its own, else the default.
fn rate_or(own: (Option<u32>, Option<u32>), default: (Option<u32>, Option<u32>)) -> Option<Quota> {
    rate(own.0.or(default.0), own.1.or(default.1))
}

/// A burst without a rate is no limit: the check of the configuration refuses it.
fn rate(per_second: Option<u32>, burst: Option<u32>) -> Option<Quota> {
    per_second.map(|per_second| Quota { per_second, burst: burst.unwrap_or(per_second).max(1) })
}

fn bytes(per_second: Option<ByteSize>) -> Option<Quota> {
    per_second.map(|ByteSize(bytes)| {
        let per_second = u32::try_from(bytes).unwrap_or(u32::MAX);
        Quota { per_second, burst: per_second.max(BYTES_BURST_MIN) }
    })
}
