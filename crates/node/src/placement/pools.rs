//! Which pools serve which tenants, by what this process has read.

use std::collections::HashMap;

use ringway_config::{Tenant, Tenants};
use ringway_protocol::name::{PoolId, TenantId};

/// Which pools serve which tenants by one reading of the configuration, and which did before.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// This node's.
    pub(super) own: PoolId,
    tenants: Tenants,
    /// Tenants that another pool than this node's serves. Some of their members may still be here.
    pub(super) elsewhere: HashMap<TenantId, PoolId>,
    /// The pool that a tenant had before its last move that this process saw.
    left: HashMap<TenantId, PoolId>,
    /// Pools that a tenant isn't in, and where its rooms may still be held: the likeliest first.
    pub(super) former: HashMap<TenantId, Vec<PoolId>>,
}

impl Pools {
    /// As of a first reading.
    pub(crate) fn new(own: PoolId, tenants: &Tenants) -> Self {
        Self::with(own, tenants, HashMap::new())
    }

    /// As of the next reading.
    pub(crate) fn after(&self, next: &Tenants) -> Self {
        let before: HashMap<&TenantId, &PoolId> = self.tenants.iter().map(|t| (&t.id, &t.pool)).collect();
        let left = next.iter().filter_map(|tenant| {
            let moved = before.get(&tenant.id).copied().filter(|pool| **pool != tenant.pool);
            let left = moved.or_else(|| self.left.get(&tenant.id))?;
            Some((tenant.id.clone(), left.clone()))
        });
        Self::with(self.own.clone(), next, left.collect())
    }

    fn with(own: PoolId, tenants: &Tenants, left: HashMap<TenantId, PoolId>) -> Self {
        let elsewhere = tenants.iter().filter(|tenant| tenant.pool != own);
        let elsewhere = elsewhere.map(|tenant| (tenant.id.clone(), tenant.pool.clone())).collect();
        let former = tenants.iter().filter_map(|tenant| {
            let former = former_pools(tenant, left.get(&tenant.id));
            (!former.is_empty()).then(|| (tenant.id.clone(), former))
        });
        Self { former: former.collect(), own, tenants: tenants.clone(), elsewhere, left }
    }

    /// Whether both say the same of every tenant.
    pub(crate) fn same(&self, other: &Pools) -> bool {
        self.own == other.own && self.elsewhere == other.elsewhere && self.former == other.former
    }
}

/// What was seen to be left, and the pool after which the tenant's group is called: what moved here before this process
/// began.
fn former_pools(tenant: &Tenant, left: Option<&PoolId>) -> Vec<PoolId> {
    let by_group = tenant.group.as_str().parse().ok();
    let mut former: Vec<PoolId> = left.cloned().into_iter().chain(by_group).collect();
    former.dedup();
    former.retain(|pool| *pool != tenant.pool);
    former
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::placement::Placement;
    use ringway_config::Config;
    use ringway_ring::{Announcement, Membership, NodeId, Slot, View};

    fn tenants(text: &str) -> Tenants {
        let text = format!("gateway.auth = \"off\"\n{text}");
        Config::from_text(&text, "test.toml".as_ref(), &Default::default()).unwrap().tenants()
    }

    fn view(nodes: &[(&str, &str)]) -> Arc<View> {
        let mut membership = Membership::new();
        for (node, pool) in nodes {
            let announcement =
                Announcement::new(node.parse().unwrap(), 1, pool.parse().unwrap(), "h:1".to_owned());
            membership.heard(announcement, 0);
        }
        membership.view()
    }

    fn placement(pools: Pools, nodes: &[(&str, &str)]) -> Placement {
        Placement::by("a".parse().unwrap(), view(nodes), Arc::new(pools))
    }

    fn owners(placement: &Placement) -> (Option<String>, Option<String>) {
        let (tenant, slot) = ("acme".parse().unwrap(), Slot::new(7).unwrap());
        let name = |node: NodeId| node.as_str().to_owned();
        (placement.owner(&tenant, slot).cloned().map(name), placement.former_owner(&tenant, slot).map(name))
    }

    const BOTH: &[(&str, &str)] = &[("a", "shared"), ("b", "own")];

    #[test]
    fn before_a_move_there_is_no_former_owner_and_after_it_there_is() {
        let shared = tenants("[tenants.acme]\n");
        let moved = tenants("[tenants.acme]\npool = \"own\"\ngroup = \"shared\"\n");
        let first = Pools::new("shared".parse().unwrap(), &shared);
        assert_eq!(owners(&placement(first.clone(), BOTH)), (Some("a".into()), None));
        let there = first.after(&moved);
        assert_eq!(owners(&placement(there.clone(), BOTH)), (Some("b".into()), Some("a".into())));
        let back = there.after(&shared);
        assert_eq!(owners(&placement(back.clone(), BOTH)), (Some("a".into()), Some("b".into())));
        let same = back.after(&shared);
        assert!(same.same(&back) && !back.same(&first), "what was left is remembered");
    }

    #[test]
    fn who_starts_after_a_move_goes_by_the_groups_name_if_there_is_such_a_pool() {
        let moved = tenants("[tenants.acme]\npool = \"own\"\ngroup = \"shared\"\n");
        let pools = Pools::new("own".parse().unwrap(), &moved);
        assert_eq!(owners(&placement(pools.clone(), BOTH)), (Some("b".into()), Some("a".into())));
        assert_eq!(owners(&placement(pools, &[("b", "own")])), (Some("b".into()), None));
    }

    #[test]
    fn where_the_pool_that_was_left_has_no_nodes_the_groups_is_asked() {
        let third = tenants("[tenants.acme]\npool = \"third\"\ngroup = \"shared\"\n");
        let moved = tenants("[tenants.acme]\npool = \"own\"\ngroup = \"shared\"\n");
        let pools = Pools::new("own".parse().unwrap(), &third).after(&moved);
        assert_eq!(owners(&placement(pools.clone(), BOTH)).1, Some("a".into()));
        let nodes = &[("a", "shared"), ("b", "own"), ("c", "third")];
        assert_eq!(owners(&placement(pools, nodes)).1, Some("c".into()));
    }

    #[test]
    fn a_tenant_that_was_removed_and_comes_back_is_a_new_one() {
        let shared = tenants("[tenants.acme]\n[tenants.other]\n");
        let without = tenants("[tenants.other]\n");
        let own = tenants("[tenants.other]\n[tenants.acme]\npool = \"own\"\n");
        let pools = Pools::new("shared".parse().unwrap(), &shared).after(&without).after(&own);
        assert_eq!(owners(&placement(pools, BOTH)), (Some("b".into()), None));
    }
}
