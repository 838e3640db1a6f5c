//! How busy a node is, as it tells the others: for people who look, never for placement.

use std::cmp::Ordering;

use ringway_protocol::name::{RoomName, TenantId};
use serde::{Deserialize, Serialize};

/// The most rooms that one announcement names.
pub const HOTTEST_TOLD: usize = 8;

/// Rates of a node, each a second, over the last few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Publications of its own connections that it let through.
    pub publications: u64,
    /// Frames given to connections for rooms that it serves as (one of) their owners.
    pub deliveries: u64,
    /// And for rooms whose owner is another node: what λ counts.
    pub deliveries_elsewhere: u64,
    /// Publications received from other nodes.
    pub received: u64,
    /// And those of them for rooms that it has no members in.
    pub unwanted: u64,
    /// Connections whose home is another node by now, and that weren't told to move yet. No rate.
    pub misplaced: u64,
    /// Its busiest rooms, the busiest first; at most [`HOTTEST_TOLD`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hottest: Vec<Hottest>,
}

/// A busy room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hottest {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub room: RoomName,
    /// Its members on the node that tells.
    pub members: u64,
    /// Frames that the node gives to them, a second.
    pub deliveries: u64,
}

impl Hottest {
    /// The busier first: by deliveries, then by members.
    pub fn by_size(&self, other: &Self) -> Ordering {
        (other.deliveries, other.members).cmp(&(self.deliveries, self.members))
    }
}
