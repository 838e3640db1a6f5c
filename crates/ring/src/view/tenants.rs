//! What tenants use, as nodes tell each other: a limit of a tenant holds over all nodes of its pool.

use ringway_protocol::name::TenantId;
use serde::{Deserialize, Serialize};

/// The most tenants that one announcement speaks of: with a name of 40 bytes each some 30 KB, twice a second from each
/// node to every process. Of more, the node tells of those that are nearest to a limit; what it doesn't tell of counts as
/// nothing elsewhere, so such a tenant's limits hold at each node alone.
pub const TENANTS_TOLD: usize = 256;

/// What one tenant uses on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUse {
    /// Who.
    pub tenant: TenantId,
    /// Connections held now.
    #[serde(default)]
    pub connections: u64,
    /// Publications let through in the last second.
    #[serde(default)]
    pub publications: u64,
}

impl TenantUse {
    /// A tenant that uses nothing.
    pub fn none(tenant: TenantId) -> Self {
        Self { tenant, connections: 0, publications: 0 }
    }

    /// With what it uses elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.publications = self.publications.saturating_add(other.publications);
    }
}
