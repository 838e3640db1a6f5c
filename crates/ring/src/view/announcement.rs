//! What a node says of itself, twice a second.

use ringway_protocol::name::{PoolId, TenantId};
use serde::{Deserialize, Serialize};

use super::{Load, Spread, TenantUse};
use crate::NodeId;

/// One announcement of a node. Unknown fields are ignored and later ones have defaults, so releases may differ as long
/// as it is carried with field names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The node's name: its place on the ring.
    pub id: NodeId,
    /// Which run of the node this is: greater at each start (milliseconds since 1970 do). An old run's late words
    /// never replace a newer run's.
    pub incarnation: u64,
    /// The pool it serves in.
    pub pool: PoolId,
    /// Where gateways reach it, `host:port`.
    pub advertise: String,
    /// Where clients reach it themselves (`wss://…`), if they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Its share of the slots against other nodes': 0 (none) to [`MAX_WEIGHT`](crate::MAX_WEIGHT).
    pub weight: u8,
    /// Whether it takes new connections.
    pub state: NodeState,
    /// Connections it holds now.
    #[serde(default)]
    pub connections: u64,
    /// Rooms with members on it now.
    #[serde(default)]
    pub rooms: u64,
    /// What tenants use on it that have a limit of theirs for it: at most [`TENANTS_TOLD`](crate::TENANTS_TOLD), sorted by
    /// tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantUse>,
    /// Placement keys whose rooms are too big for one node, told by the node that owns their slot: at most
    /// [`SPREADS_TOLD`](crate::SPREADS_TOLD), sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spreads: Vec<Spread>,
    /// How busy it is.
    #[serde(default)]
    pub load: Load,
    /// The release it runs.
    #[serde(default)]
    pub version: String,
}

/// Whether a node takes part in placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It owns slots and takes connections.
    Serving,
    /// It owns nothing any more, and stays reachable until its members have gone.
    Draining,
}

impl Announcement {
    /// Of a node that has just begun to serve, with a weight of 1 and nothing on it.
    pub fn new(id: NodeId, incarnation: u64, pool: PoolId, advertise: String) -> Self {
        Self {
            id,
            incarnation,
            pool,
            advertise,
            public_url: None,
            weight: 1,
            state: NodeState::Serving,
            connections: 0,
            rooms: 0,
            tenants: Vec::new(),
            spreads: Vec::new(),
            load: Load::default(),
            version: String::new(),
        }
    }

    /// The same without what changes from one announcement to the next: connections, rooms, tenants' use, rates.
    #[must_use]
    pub fn without_load(self) -> Self {
        Self { connections: 0, rooms: 0, tenants: Vec::new(), load: Load::default(), ..self }
    }

    /// Whether it has a place on its pool's table.
    pub fn is_placed(&self) -> bool {
        self.state == NodeState::Serving && self.weight > 0
    }

    /// What it says that a tenant uses on it. None: nothing, or nothing that it tells of.
    pub fn used_by(&self, tenant: &TenantId) -> Option<&TenantUse> {
        let at = self.tenants.binary_search_by(|used| used.tenant.cmp(tenant)).ok()?;
        self.tenants.get(at)
    }

    /// Whether everything but the load (connections, rooms, tenants' use) is the same.
    pub(crate) fn same_but_load(&self, other: &Self) -> bool {
        // Taken apart in full, so that a new field must be sorted into one kind or the other.
        let Self {
            id,
            incarnation,
            pool,
            advertise,
            public_url,
            weight,
            state,
            version,
            spreads,
            connections: _,
            rooms: _,
            tenants: _,
            load: _,
        } = self;
        *id == other.id
            && *incarnation == other.incarnation
            && *pool == other.pool
            && *advertise == other.advertise
            && *public_url == other.public_url
            && *weight == other.weight
            && *state == other.state
            && *version == other.version
            && *spreads == other.spreads
    }
}
