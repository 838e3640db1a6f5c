//! Tenants as a gateway that holds sockets has them: what is counted of each, and what its connections may send.
//!
//! One value a tenant, shared by its clients and by the feeds of its rooms; forgotten once nobody has it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ringway_config::ConnectionLimits;
use ringway_edge::{By, Ended};
use ringway_protocol::TenantId;
use ringway_telemetry::slow::{CountsByTenant, SlowEnd, TenantCounts};

use crate::auth::Directory;

/// A tenant as this gateway has it.
#[derive(Debug)]
pub(crate) struct TenantHere {
    pub(crate) counts: TenantCounts,
    /// What each of its connections may send.
    own: RwLock<ConnectionLimits>,
}

impl TenantHere {
    /// What each of its connections may send.
    pub(crate) fn own(&self) -> ConnectionLimits {
        *self.own.read()
    }

    /// A client's connection has ended: whether for being slow is counted, nothing else.
    pub(crate) fn count_end(&self, ended: Ended) {
        match ended.by {
            By::Slow => self.counts.closed(SlowEnd::full),
            By::Stalled => self.counts.closed(SlowEnd::send_timeout),
            By::Shed => self.counts.closed(SlowEnd::memory),
            By::Peer | By::Us | By::Lost => {}
        }
    }
}

/// All that have clients or rooms here.
#[derive(Debug)]
pub(crate) struct TenantsHere {
    counts: CountsByTenant,
    here: Mutex<HashMap<TenantId, Arc<TenantHere>>>,
}

impl TenantsHere {
    pub(crate) fn new(counts: CountsByTenant) -> Self {
        Self { counts, here: Mutex::default() }
    }

    /// The tenant of this name, held to what the directory says. One that isn't there any more has no limits: its
    /// connections are being closed by their nodes.
    pub(crate) fn get(&self, id: &TenantId, directory: &Directory) -> Arc<TenantHere> {
        let mut here = self.here.lock();
        if let Some(tenant) = here.get(id) {
            return Arc::clone(tenant);
        }
        let own = RwLock::new(directory.connection_limits(id));
        let tenant = Arc::new(TenantHere { counts: self.counts.of(id.as_str()), own });
        here.insert(id.clone(), Arc::clone(&tenant));
        tenant
    }

    /// Holds all to what the directory says from now on.
    pub(crate) fn configure(&self, directory: &Directory) {
        for (id, tenant) in &*self.here.lock() {
            *tenant.own.write() = directory.connection_limits(id);
        }
    }

    /// Forgets those whom nobody has.
    pub(crate) fn tidy(&self) {
        self.here.lock().retain(|_, tenant| Arc::strong_count(tenant) > 1);
    }

    /// Everyone, as of now.
    pub(crate) fn all(&self) -> Vec<Arc<TenantHere>> {
        self.here.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringway_config::{Auth, Config, Quota};

    use super::*;

    fn directory(limits: &str) -> Directory {
        let text = format!("gateway.auth = \"off\"\n[tenant_defaults.limits]\n{limits}\n");
        let config = Config::from_text(&text, Path::new("x"), &Default::default());
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        Directory::new(Auth::Off, config.tenants()).expect("no keys, no error")
    }

    #[test]
    fn a_tenant_is_one_value_until_nobody_has_it_and_follows_the_configuration() {
        let here = TenantsHere::new(CountsByTenant::default());
        let (acme, free) = ("acme".parse().expect("a tenant"), directory(""));
        let tenant = here.get(&acme, &free);
        assert!(Arc::ptr_eq(&tenant, &here.get(&acme, &free)));
        assert_eq!(tenant.own(), ConnectionLimits::default());
        here.configure(&directory("connection.publish_per_second = 3"));
        assert_eq!(tenant.own().publish, Some(Quota { per_second: 3, burst: 3 }));
        here.tidy();
        assert_eq!(here.all().len(), 1);
        drop(tenant);
        here.tidy();
        assert!(here.all().is_empty());
    }
}
