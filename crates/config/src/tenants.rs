//! Who the tenants are and what holds for them, resolved: defaults filled in, keys read, classes in order.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ringway_protocol::{GroupId, PoolId, RoomName, TenantId};

use crate::limits::{Limits, RoomLimits};
use crate::origin::Origins;
use crate::rooms::{Class, Store, StoreName};
use crate::secret::Secret;
use crate::tenant_tree::{Algorithm, ApiKey, TenantConfig, TenantDefaults};
use crate::tree::{Auth, Config};

/// Tenants of an open installation that are remembered: names come from clients, so their number must have a bound.
/// Further ones are made anew at each look.
const OPEN_TENANTS_REMEMBERED: usize = 1_000;

/// One tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The pool whose nodes serve it.
    pub pool: PoolId,
    /// The subjects that its publications live in.
    pub group: GroupId,
    /// The keys that its tokens are signed with; empty where authentication is off.
    pub keys: Vec<TenantKey>,
    /// The pages that may connect.
    pub origins: Origins,
    /// What it may use.
    pub limits: Limits,
    /// Its servers' keys; their ids are unique in the installation.
    pub api_keys: Vec<ApiKey>,
}

/// A key that verifies tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKey {
    /// The only algorithm that it is used with.
    pub alg: Algorithm,
    /// Its name in a token's header; unique in the tenant.
    pub kid: Option<String>,
    /// The secret (HS256) or the public key in PEM.
    pub bytes: Secret,
}

/// All tenants and classes. A clone shares them.
#[derive(Debug, Clone)]
pub struct Tenants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    by_api_key: BTreeMap<String, Arc<Tenant>>,
    classes: Vec<Arc<Class>>,
    otherwise: Arc<Class>,
    stores: BTreeMap<StoreName, Store>,
    limits_rooms: bool,
    open: Option<Open>,
}

/// Authentication is off and no tenant is named: any name is a tenant with these settings.
#[derive(Debug)]
struct Open {
    defaults: TenantDefaults,
    seen: RwLock<BTreeMap<TenantId, Arc<Tenant>>>,
}

impl Open {
    fn get(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return tenant.clone();
        }
        let tenant = Arc::new(resolve(id, &TenantConfig::default(), &self.defaults));
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < OPEN_TENANTS_REMEMBERED {
            seen.insert(id.clone(), tenant.clone());
        }
        tenant
    }
}

impl Tenants {
    pub(crate) fn new(config: &Config) -> Self {
        let defaults = &config.tenant_defaults;
        let tenants: BTreeMap<TenantId, Arc<Tenant>> = config
            .tenants
            .iter()
            .map(|(id, tenant)| (id.clone(), Arc::new(resolve(id, tenant, defaults))))
            .collect();
        let by_api_key = tenants
            .values()
            .flat_map(|tenant| tenant.api_keys.iter().map(|key| (key.id.clone(), tenant.clone())))
            .collect();
        let open = (config.gateway.auth == Auth::Off && tenants.is_empty())
            .then(|| Open { defaults: defaults.clone(), seen: RwLock::default() });
        Tenants(Arc::new(Inner {
            tenants,
            by_api_key,
            classes: config.classes.iter().cloned().map(Arc::new).collect(),
            otherwise: Arc::new(Class::everything()),
            stores: config.stores.iter().map(|(name, store)| (name.clone(), store.resolved())).collect(),
            limits_rooms: config.classes.iter().any(|class| class.room_limits() != RoomLimits::default()),
            open,
        }))
    }

    /// The tenant of this name. Where authentication is off and none is configured, every name is one.
    #[must_use]
    pub fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        match &self.0.open {
            Some(open) => Some(open.get(id)),
            None => self.0.tenants.get(id).cloned(),
        }
    }

    /// The tenant that has an API key of this id (the `<id>` of `rk_<id>_<secret>`).
    #[must_use]
    pub fn by_api_key(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.0.by_api_key.get(id)
    }

    /// The tenant that a token without one belongs to: there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<&Arc<Tenant>> {
        let mut tenants = self.0.tenants.values();
        tenants.next().filter(|_| tenants.next().is_none())
    }

    /// The tenants that are configured, by name; none where every name is one.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.0.tenants.values()
    }

    /// Whether any name is a tenant.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.open.is_some()
    }

    /// The groups in which a node of `pool` has to listen: those of the pool's tenants, each once, in order. In an
    /// installation of any names it is the one group that all of them have.
    #[must_use]
    pub fn groups_of(&self, pool: &PoolId) -> Vec<GroupId> {
        let open = self.0.open.iter().map(|open| &open.defaults);
        let open = open.filter(|defaults| defaults.pool == *pool).map(group_by_default);
        let named =
            self.0.tenants.values().filter(|tenant| tenant.pool == *pool).map(|tenant| tenant.group.clone());
        let mut groups: Vec<GroupId> = open.chain(named).collect();
        groups.sort();
        groups.dedup();
        groups
    }

    /// Whether any class limits its rooms: asked for each publication, before its class is looked for.
    #[must_use]
    pub fn limits_rooms(&self) -> bool {
        self.0.limits_rooms
    }

    /// Whether rooms have the same settings by both, whatever else differs.
    #[must_use]
    pub fn has_same_classes(&self, other: &Tenants) -> bool {
        self.0.classes == other.0.classes && self.0.stores == other.0.stores
    }

    /// The stores that classes name, with their settings.
    pub fn stores(&self) -> impl Iterator<Item = (&StoreName, &Store)> {
        let named = |name: &StoreName| self.0.classes.iter().any(|class| class.store.as_ref() == Some(name));
        self.0.stores.iter().filter(move |(name, _)| named(name))
    }

    /// The store of a class, with its settings; none: its rooms are ephemeral.
    #[must_use]
    pub fn store_of<'a>(&'a self, class: &'a Class) -> Option<(&'a StoreName, &'a Store)> {
        class.store.as_ref().and_then(|name| self.0.stores.get_key_value(name))
    }

    /// The settings of a room: of the first class whose pattern matches, else the defaults. The same in every tenant.
    #[must_use]
    pub fn class_of(&self, room: &RoomName) -> &Arc<Class> {
        self.0
            .classes
            .iter()
            .find(|class| class.rooms.matches(room.as_str(), None))
            .unwrap_or(&self.0.otherwise)
    }
}

fn group_by_default(defaults: &TenantDefaults) -> GroupId {
    defaults.group.clone().unwrap_or_else(|| group_of_pool(&defaults.pool))
}

fn group_of_pool(pool: &PoolId) -> GroupId {
    pool.as_str().parse().expect("a group's name has the rule of a pool's")
}

fn resolve(id: &TenantId, tenant: &TenantConfig, defaults: &TenantDefaults) -> Tenant {
    let pool = tenant.pool.clone().unwrap_or_else(|| defaults.pool.clone());
    let group =
        tenant.group.clone().or_else(|| defaults.group.clone()).unwrap_or_else(|| group_of_pool(&pool));
    Tenant {
        id: id.clone(),
        pool,
        group,
        keys: tenant
            .keys
            .iter()
            .map(|key| TenantKey { alg: key.alg, kid: key.kid.clone(), bytes: key.file.0.clone() })
            .collect(),
        origins: Origins::new(tenant.origins.as_deref().or(defaults.origins.as_deref())),
        limits: Limits::new(&tenant.limits, &defaults.limits),
        api_keys: tenant.api_keys.clone(),
    }
}
