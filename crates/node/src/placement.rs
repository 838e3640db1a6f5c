//! Who owns a room's slot, in this node's present view.

mod at_home;
mod pools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(test)]
use ringway_config::Tenants;
use ringway_protocol::name::{PoolId, TenantId};
use ringway_ring::{KeyHash, NodeId, Slot, Spread, View};

pub(crate) use at_home::AtHome;
pub(crate) use pools::Pools;

/// One view of the cluster and of who is served where, seen from this node. A value: a change is a new one.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) me: NodeId,
    pub(crate) pool: PoolId,
    pub(crate) view: Arc<View>,
    pools: Arc<Pools>,
    /// No other placement of this process has it: they are counted as they are made.
    number: u32,
}

impl Placement {
    pub(crate) fn by(me: NodeId, view: Arc<View>, pools: Arc<Pools>) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self { me, pool: pools.own.clone(), view, pools, number }
    }

    /// Whether it was made after another of this process.
    pub(crate) fn is_after(&self, other: &Placement) -> bool {
        self.number > other.number
    }

    /// By a first reading of the configuration.
    #[cfg(test)]
    pub(crate) fn new(me: NodeId, pool: PoolId, view: Arc<View>, tenants: &Tenants) -> Self {
        Self::by(me, view, Arc::new(Pools::new(pool, tenants)))
    }

    /// Whether another says the same: of the same view, and of every tenant.
    pub(crate) fn is_same(&self, other: &Placement) -> bool {
        Arc::ptr_eq(&self.view, &other.view)
            && (Arc::ptr_eq(&self.pools, &other.pools) || self.pools.same(&other.pools))
    }

    /// Whether every room's owner, and the run of every node, is the same in both: nothing that a room asks about differs.
    pub(crate) fn has_the_places_of(&self, other: &Placement) -> bool {
        self.view.has_the_places_of(&other.view) && self.pools.elsewhere == other.pools.elsewhere
    }

    /// The pool that serves a tenant.
    pub(crate) fn pool_of(&self, tenant: &TenantId) -> &PoolId {
        self.pools.elsewhere.get(tenant).unwrap_or(&self.pool)
    }

    /// The node that numbers the rooms of a tenant's slot.
    pub(crate) fn owner(&self, tenant: &TenantId, slot: Slot) -> Option<&NodeId> {
        self.view.owner(self.pool_of(tenant), slot)
    }

    pub(crate) fn is_mine(&self, tenant: &TenantId, slot: Slot) -> bool {
        self.owner(tenant, slot) == Some(&self.me)
    }

    /// Whether this node is among those that serve what has this key, `at_least` so many by its class: deliveries here
    /// are then made at an owner.
    pub(crate) fn is_home(&self, tenant: &TenantId, key: KeyHash, at_least: u8) -> bool {
        if self.is_mine(tenant, key.slot()) {
            return true;
        }
        let spread = at_least > 1 || self.view.spread_of(key) > 1;
        spread && self.view.homes(self.pool_of(tenant), key, at_least).any(|node| *node == self.me)
    }

    /// The node where a client belongs that is placed by this key: `at_least` over so many nodes by its class, `who` it is
    /// by its session. None: its pool has no serving node.
    pub(crate) fn home(&self, tenant: &TenantId, key: KeyHash, at_least: u8, who: &str) -> Option<&NodeId> {
        self.view.home(self.pool_of(tenant), key, at_least, who)
    }

    /// Whether everybody's home is the same node here and there, as far as this node's tenants go.
    pub(crate) fn same_homes(&self, other: &Self) -> bool {
        let spreads = |placement: &Self| -> Vec<Spread> {
            placement.view.nodes().flat_map(|node| node.spreads.iter().copied()).collect()
        };
        let same_pool = |pool| self.view.pool(pool).members() == other.view.pool(pool).members();
        self.pools.elsewhere == other.pools.elsewhere
            && self.pools.elsewhere.values().chain([&self.pool]).all(same_pool)
            && spreads(self) == spreads(other)
    }

    /// Who would own a tenant's slot if that node weren't there. Exactly so for this node; for another it is the first of the
    /// walk that isn't it, which is nearly always the same and needs no table.
    pub(crate) fn owner_without(&self, tenant: &TenantId, slot: Slot, node: &NodeId) -> Option<NodeId> {
        let pool = self.pool_of(tenant);
        if *node == self.me {
            return self.view.owner_without(pool, slot, node).cloned();
        }
        self.view.walk(pool, slot).find(|other| *other != node).cloned()
    }

    /// The node that numbered the rooms of a tenant's slot before the tenant moved, if it has.
    pub(crate) fn former_owner(&self, tenant: &TenantId, slot: Slot) -> Option<NodeId> {
        let former = self.pools.former.get(tenant)?;
        former.iter().find_map(|pool| self.view.owner(pool, slot)).cloned()
    }

    pub(crate) fn incarnation(&self, node: &NodeId) -> Option<u64> {
        self.view.node(node).map(|n| n.incarnation)
    }
}
