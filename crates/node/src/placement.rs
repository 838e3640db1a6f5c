//! Who owns a room's slot, in this node's present view.

use std::sync::Arc;

use ringway_protocol::name::PoolId;
use ringway_ring::{NodeId, Slot, View};

/// One view of the cluster, seen from this node and its pool. A value: a change is a new one.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) me: NodeId,
    pub(crate) pool: PoolId,
    pub(crate) view: Arc<View>,
}

impl Placement {
    pub(crate) fn owner(&self, slot: Slot) -> Option<&NodeId> {
        self.view.owner(&self.pool, slot)
    }

    pub(crate) fn is_mine(&self, slot: Slot) -> bool {
        self.owner(slot) == Some(&self.me)
    }

    pub(crate) fn owner_without_me(&self, slot: Slot) -> Option<NodeId> {
        self.view.owner_without(&self.pool, slot, &self.me).cloned()
    }

    pub(crate) fn incarnation(&self, node: &NodeId) -> Option<u64> {
        self.view.node(node).map(|n| n.incarnation)
    }
}
