//! Tenants as this node has them: what each uses here, held against its limits, and what is counted of it.
//!
//! One value a tenant, shared by its connections and rooms; there while one of them is, or while it is configured.

mod usage;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use ringway_config::{Tenant, Tenants};
use ringway_edge::{By, Ended};
use ringway_protocol::{GroupId, PoolId, TenantId};
use ringway_ring::{TENANTS_TOLD, TenantUse};
use ringway_telemetry::slow::SlowEnd;
use tokio::sync::Notify;

use crate::placement::Placement;

pub(crate) use ringway_telemetry::slow::{CountsByTenant, Shown, TenantCounts};
pub(crate) use usage::{Full, Place, Spent, TooMuch, Usage};

/// A tenant as this node has it.
#[derive(Debug)]
pub(crate) struct TenantHere {
    pub(crate) id: TenantId,
    /// Where its publications live.
    pub(crate) group: GroupId,
    pub(crate) counts: TenantCounts,
    pub(crate) usage: Usage,
    gone: AtomicBool,
}

/// All that are known here.
pub(crate) struct TenantsHere {
    counts: CountsByTenant,
    here: Mutex<Here>,
    /// One came whose group isn't among those of the pool.
    stranger: Notify,
}

/// What the configuration says, and who is here: changed together.
struct Here {
    configured: Tenants,
    /// The groups of the pool's tenants.
    groups: HashSet<GroupId>,
    tenants: HashMap<TenantId, Arc<TenantHere>>,
}

impl TenantHere {
    /// It was removed from the configuration: its connections are being closed, its rooms forgotten.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// A connection has ended: whether for being slow is counted, nothing else.
    pub(crate) fn count_end(&self, ended: Ended) {
        match ended.by {
            By::Slow => self.counts.closed(SlowEnd::full),
            By::Stalled => self.counts.closed(SlowEnd::send_timeout),
            By::Shed => self.counts.closed(SlowEnd::memory),
            By::Peer | By::Us | By::Lost => {}
        }
    }
}

impl TenantsHere {
    pub(crate) fn new(configured: Tenants, counts: CountsByTenant) -> Self {
        let here = Here { configured, groups: HashSet::new(), tenants: HashMap::new() };
        Self { counts, here: Mutex::new(here), stranger: Notify::new() }
    }

    /// The tenant of this name; none: there is no such tenant (any more, or yet).
    pub(crate) fn get(&self, id: &TenantId) -> Option<Arc<TenantHere>> {
        let mut here = self.here.lock();
        if let Some(tenant) = here.tenants.get(id).filter(|tenant| !tenant.is_gone()) {
            return Some(tenant.clone());
        }
        let configured = here.configured.get(id)?;
        let tenant = self.new_one(&configured);
        if !here.groups.contains(&tenant.group) {
            self.stranger.notify_one();
        }
        here.tenants.insert(tenant.id.clone(), tenant.clone());
        Some(tenant)
    }

    fn new_one(&self, tenant: &Tenant) -> Arc<TenantHere> {
        Arc::new(TenantHere {
            id: tenant.id.clone(),
            group: tenant.group.clone(),
            counts: self.counts.of(tenant.id.as_str()),
            usage: Usage::new(tenant.limits),
            gone: AtomicBool::new(false),
        })
    }

    /// Other settings hold from now on. `groups`: those of the pool's tenants. True if some tenant that is here is gone.
    pub(crate) fn configure(&self, configured: Tenants, groups: HashSet<GroupId>) -> bool {
        let mut here = self.here.lock();
        let mut is_any_gone = false;
        for tenant in here.tenants.values() {
            // One that was removed and came back in another group is another tenant.
            let present = configured.get(&tenant.id).filter(|present| present.group == tenant.group);
            if let Some(present) = &present {
                tenant.usage.set_limits(present.limits);
            }
            tenant.gone.store(present.is_none(), Ordering::Release);
            is_any_gone |= present.is_none();
        }
        (here.configured, here.groups) = (configured, groups);
        is_any_gone
    }

    /// The groups that a node has to listen in: those of the pool's tenants, and of whoever else has connections or rooms
    /// here.
    pub(crate) fn groups(&self) -> HashSet<GroupId> {
        let here = self.here.lock();
        here.groups.iter().cloned().chain(here.tenants.values().map(|tenant| tenant.group.clone())).collect()
    }

    /// Waits until somebody comes whose group isn't among those of the pool's tenants.
    pub(crate) async fn stranger(&self) {
        self.stranger.notified().await;
    }

    /// Forgets those that nobody uses, unless forgetting would give them a fresh start. To be called every second or so:
    /// where any name is a tenant, names come from clients.
    pub(crate) fn tidy(&self) {
        let mut here = self.here.lock();
        here.tenants
            .retain(|_, tenant| Arc::strong_count(tenant) > 1 || (!tenant.usage.tidy() && !tenant.is_gone()));
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
        let nodes_of = |pool: &PoolId| placement.view.nodes().filter(|node| node.pool == *pool).count();
        let own = nodes_of(&placement.pool);
        for tenant in self.all().iter().filter(|tenant| tenant.usage.is_shared()) {
            let pool = placement.pool_of(&tenant.id);
            // Where another pool serves it, this node is one more for as long as some of its members are here.
            let nodes = if *pool == placement.pool { own } else { nodes_of(pool) + 1 };
            let elsewhere = placement.view.used_by(&tenant.id, Some(&placement.me));
            tenant.usage.renew_shares(nodes, &elsewhere);
        }
    }

    /// Those that are known now.
    pub(crate) fn all(&self) -> Vec<Arc<TenantHere>> {
        self.here.lock().tenants.values().cloned().collect()
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
        f.debug_struct("TenantsHere").field("here", &self.here.lock().tenants.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(text: &str) -> Tenants {
        let text = format!("[gateway]\nauth = \"off\"\n{text}");
        let config = ringway_config::Config::from_text(&text, "r.toml".as_ref(), &Default::default());
        config.unwrap().tenants()
    }

    fn groups(names: &[&str]) -> HashSet<GroupId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_tenant_that_is_removed_is_gone_until_it_comes_back_and_in_another_group_it_is_another() {
        const ACME: &str = "[tenants.acme]\n";
        let here = TenantsHere::new(tenants(ACME), CountsByTenant::default());
        let id = "acme".parse().unwrap();
        let acme = here.get(&id).unwrap();
        let limited = "[tenants.acme]\nlimits = { connections = 7, rooms = 3 }\n";
        assert!(!here.configure(tenants(limited), groups(&["shared"])));
        assert_eq!(acme.usage.limits().connections, Some(7));
        assert!(here.configure(tenants("[tenants.other]\n"), groups(&["shared"])));
        assert!(acme.is_gone() && here.get(&id).is_none());
        here.tidy();
        here.configure(tenants(ACME), groups(&["shared"]));
        assert!(!acme.is_gone() && Arc::ptr_eq(&acme, &here.get(&id).unwrap()));
        here.configure(tenants("[tenants.acme]\ngroup = \"new\"\n"), groups(&["new"]));
        let other = here.get(&id).unwrap();
        assert!(acme.is_gone() && !other.is_gone() && other.group.as_str() == "new");
        drop(other);
        here.configure(tenants("[tenants.other]\n"), groups(&[]));
        here.tidy();
        assert!(here.all().is_empty());
    }

    #[tokio::test]
    async fn whose_group_isnt_the_pools_is_noticed() {
        let text = "[tenants.acme]\n[tenants.far]\npool = \"own\"\n";
        let here = TenantsHere::new(tenants(text), CountsByTenant::default());
        here.configure(tenants(text), groups(&["shared"]));
        let _acme = here.get(&"acme".parse().unwrap()).unwrap();
        assert_eq!(here.groups(), groups(&["shared"]));
        assert!(futures_util::FutureExt::now_or_never(here.stranger()).is_none());
        let far = here.get(&"far".parse().unwrap()).unwrap();
        here.stranger().await;
        assert_eq!(here.groups(), groups(&["shared", "own"]));
        drop(far);
        here.tidy();
        assert_eq!(here.groups(), groups(&["shared"]));
    }

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
