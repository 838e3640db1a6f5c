//! Tenants as this node has them: what each uses here, held against its limits, and what is counted of it.
//!
//! One value a tenant, shared by its connections and rooms; there while one of them is, or while it is configured.

mod counts;
mod usage;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ringway_config::{Tenant, Tenants};
use ringway_protocol::{GroupId, TenantId};
use ringway_ring::{TENANTS_TOLD, TenantUse};

use crate::placement::Placement;

pub(crate) use counts::{CountsByTenant, Shown, TenantCounts, TenantLabel};
pub(crate) use usage::{Claim, Full, Own, Place, Spent, TooMuch, Usage};

/// A tenant as this node has it.
#[derive(Debug)]
pub(crate) struct TenantHere {
    pub(crate) id: TenantId,
    /// Where its publications live.
    pub(crate) group: GroupId,
    pub(crate) counts: TenantCounts,
    pub(crate) usage: Usage,
}

/// All that are known here.
pub(crate) struct TenantsHere {
    configured: Tenants,
    counts: CountsByTenant,
    here: Mutex<HashMap<TenantId, Arc<TenantHere>>>,
}

impl TenantsHere {
    pub(crate) fn new(configured: Tenants, counts: CountsByTenant) -> Self {
        Self { configured, counts, here: Mutex::default() }
    }

    /// The tenant of this name; none: there is no such tenant (any more).
    pub(crate) fn get(&self, id: &TenantId) -> Option<Arc<TenantHere>> {
        let configured = self.configured.get(id)?;
        Some(
            self.here
                .lock()
                .entry(configured.id.clone())
                .or_insert_with(|| self.new_one(&configured))
                .clone(),
        )
    }

    fn new_one(&self, tenant: &Tenant) -> Arc<TenantHere> {
        Arc::new(TenantHere {
            id: tenant.id.clone(),
            group: tenant.group.clone(),
            counts: self.counts.of(&tenant.id),
            usage: Usage::new(tenant.limits),
        })
    }

    /// Forgets those that nobody uses, unless forgetting would give them a fresh start. To be called every second or so:
    /// where any name is a tenant, names come from clients.
    pub(crate) fn tidy(&self) {
        self.here.lock().retain(|_, tenant| Arc::strong_count(tenant) > 1 || !tenant.usage.tidy());
    }

    /// What the other nodes are told of, sorted by tenant. To be called twice a second.
    pub(crate) fn told(&self, now: Instant) -> Vec<TenantUse> {
        let mut told: Vec<_> =
            self.all().iter().filter_map(|tenant| tenant.usage.told(&tenant.id, now)).collect();
        if told.len() > TENANTS_TOLD {
            told.sort_by(|(near, _), (other, _)| other.total_cmp(near));
            told.truncate(TENANTS_TOLD);
        }
        let mut told: Vec<_> = told.into_iter().map(|(_, used)| used).collect();
        told.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        told
    }

    /// Renews what the others leave to this node, by what they have told.
    pub(crate) fn renew_shares(&self, placement: &Placement) {
        let nodes = placement.view.nodes().filter(|node| node.pool == placement.pool).count();
        for tenant in self.all().iter().filter(|tenant| tenant.usage.is_shared()) {
            let elsewhere = placement.view.used_by(&tenant.id, Some(&placement.me));
            tenant.usage.renew_shares(nodes, &elsewhere);
        }
    }

    /// Those that are known now.
    pub(crate) fn all(&self) -> Vec<Arc<TenantHere>> {
        self.here.lock().values().cloned().collect()
    }
}

#[cfg(test)]
impl TenantHere {
    /// A tenant without limits.
    pub(crate) fn for_test(name: &str) -> Arc<Self> {
        let id: TenantId = name.parse().expect("a tenant's name");
        let tenants = ringway_config::Config::dev(([127, 0, 0, 1], 0).into(), 1).config.tenants();
        TenantsHere::new(tenants, CountsByTenant::default()).get(&id).expect("any name is a tenant")
    }

    /// One with these.
    pub(crate) fn with_limits(limits: ringway_config::Limits) -> Arc<Self> {
        let tenant = Self::for_test("acme");
        tenant.usage.set_limits(limits);
        tenant
    }
}

impl fmt::Debug for TenantsHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantsHere").field("here", &self.here.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_tenants_those_nearest_to_a_limit_are_told_and_in_order() {
        let text = "[gateway]\nauth = \"off\"\n[tenant_defaults]\nlimits = { connections = 1_000 }\n";
        let config = ringway_config::Config::from_text(text, "r.toml".as_ref(), &Default::default());
        let here = TenantsHere::new(config.unwrap().tenants(), CountsByTenant::default());
        let mut places = Vec::new();
        for number in 0..TENANTS_TOLD + 50 {
            let tenant = here.get(&format!("t{number}").parse().unwrap()).unwrap();
            let connections = if number < 50 { 1 } else { 2 };
            places.extend((0..connections).map(|_| Place::take(&tenant, None, 0).unwrap()));
        }
        here.get(&"idle".parse().unwrap());
        let told = here.told(Instant::now());
        assert_eq!(told.len(), TENANTS_TOLD);
        assert!(told.iter().all(|told| told.connections == 2));
        assert!(told.is_sorted_by(|one, other| one.tenant < other.tenant));
        drop(places);
        assert!(here.told(Instant::now()).is_empty());
        here.tidy();
        assert!(here.all().is_empty());
    }
}
