//! The view as a value.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use ringway_protocol::name::{PoolId, TenantId};

use super::{Announcement, TenantUse};
use crate::table;
use crate::{NodeId, Slot, SlotTable};

/// One process's picture of the cluster at one moment: immutable, shared by `Arc`, look-ups without a lock.
#[derive(Clone, Debug, Default)]
pub struct View {
    nodes: BTreeMap<NodeId, Arc<Announcement>>,
    pools: BTreeMap<PoolId, Arc<Pool>>,
}

/// A pool's table and, as they are asked for, the owners without one of its nodes.
#[derive(Debug)]
struct Pool {
    table: SlotTable,
    /// One per member of the table; 64 KB each once filled.
    without: Box<[OnceLock<Box<[u32]>>]>,
}

static EMPTY: LazyLock<SlotTable> = LazyLock::new(|| SlotTable::build(&[]));

impl View {
    /// The view that follows `before`: pools whose placed nodes and weights are unchanged keep their tables.
    pub(super) fn next(before: &Self, nodes: BTreeMap<NodeId, Arc<Announcement>>) -> Self {
        let mut placed: BTreeMap<&PoolId, Vec<&Announcement>> = BTreeMap::new();
        for node in nodes.values().filter(|node| node.is_placed()) {
            placed.entry(&node.pool).or_default().push(node);
        }
        let pools = placed
            .into_iter()
            .map(|(id, placed)| {
                let members = table::members(placed.iter().map(|node| (&node.id, node.weight)));
                let pool = match before.pools.get(id) {
                    Some(pool) if *pool.table.members() == *members => Arc::clone(pool),
                    _ => Arc::new(Pool::new(SlotTable::of_members(members))),
                };
                (id.clone(), pool)
            })
            .collect();
        Self { nodes, pools }
    }

    /// The node's last announcement, whatever its pool and state.
    pub fn node(&self, id: &NodeId) -> Option<&Announcement> {
        self.nodes.get(id).map(AsRef::as_ref)
    }

    /// Every node there is, sorted by name: draining ones and those of weight 0 too.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Announcement> {
        self.nodes.values().map(AsRef::as_ref)
    }

    /// Connections of a tenant on all nodes, as of their last announcements: up to half a second old. Only nodes that hold
    /// the tenant to a limit tell of it.
    pub fn connections_of(&self, tenant: &TenantId) -> u64 {
        self.used_by(tenant, None).connections
    }

    /// What a tenant uses on all nodes but this one, as of their last announcements.
    pub fn used_by(&self, tenant: &TenantId, but: Option<&NodeId>) -> TenantUse {
        let mut sum = TenantUse::none(tenant.clone());
        for node in self.nodes.values().filter(|node| Some(&node.id) != but) {
            if let Some(used) = node.used_by(tenant) {
                sum.add(used);
            }
        }
        sum
    }

    /// The pools that have a table, sorted by name.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = (&PoolId, &SlotTable)> {
        self.pools.iter().map(|(id, pool)| (id, &pool.table))
    }

    /// The table of a pool: its serving nodes with a weight. Empty for a pool that has none.
    pub fn pool(&self, pool: &PoolId) -> &SlotTable {
        self.pools.get(pool).map_or(&*EMPTY, |pool| &pool.table)
    }

    /// The node that owns a slot in a pool; none where the pool has no serving node.
    pub fn owner(&self, pool: &PoolId, slot: Slot) -> Option<&NodeId> {
        self.pool(pool).owner(slot)
    }

    /// The pool's placed nodes in the order in which to try them for a slot, the owner first.
    pub fn walk(&self, pool: &PoolId, slot: Slot) -> impl Iterator<Item = &NodeId> {
        self.pool(pool).walk(slot)
    }

    /// The node that would own the slot if `node` weren't there: exactly what a table built without it says.
    ///
    /// The first call for a node builds that table (as [`SlotTable::build`]), later ones look up.
    pub fn owner_without(&self, pool: &PoolId, slot: Slot, node: &NodeId) -> Option<&NodeId> {
        let pool = self.pools.get(pool)?;
        let Some(lock) = pool.table.index(node).and_then(|index| pool.without.get(index as usize)) else {
            return pool.table.owner(slot);
        };
        let owners = lock.get_or_init(|| pool.table.owners_without(node).unwrap_or_default());
        owners.get(usize::from(slot.number())).and_then(|&owner| pool.table.node(owner))
    }
}

impl Pool {
    fn new(table: SlotTable) -> Self {
        let without = table.members().iter().map(|_| OnceLock::new()).collect();
        Self { table, without }
    }
}
