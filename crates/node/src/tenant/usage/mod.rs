//! What one tenant uses on this node, held against its limits.
//!
//! | what | held where |
//! |---|---|
//! | connections of the tenant | over all nodes: this one's own, and what the others announced (`shares`) |
//! | publications of the tenant | over all nodes: what the others use is taken from this one's rate (`shares`) |
//! | bytes of the tenant; everything of a user | on each node alone |
//! | publications and bytes of a connection | with the connection, see [`Own`](ringway_limits::Own) |
//!
//! Each limit stands alone: none is needed for another to hold. 0 is nothing at all, and tells nobody to come back. A limit
//! that is lowered below what is used cuts nobody; nobody new is let in until less is used than it allows. What limits
//! there are is asked with each use, so they may change at any time, and no rate begins anew when they do. Only where users had
//! no limits at all are connections that stand already not among theirs.

mod places;
mod shares;
mod spend;
mod users;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use ringway_config::Limits;
use ringway_limits::Bucket;

pub(crate) use places::{Full, Place};
pub(crate) use spend::{Spent, TooMuch};

use shares::{Left, Recent};
use users::Users;

/// See the module.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: RwLock<Limits>,
    /// Whether any rate is limited: what is asked for each frame, without a lock.
    has_rates: AtomicBool,
    /// And whether any of a connection's own is.
    has_own_rates: AtomicBool,
    connections: AtomicU64,
    publish: Bucket,
    bytes: Bucket,
    users: Users,
    /// Publications that were let through, where the tenant has a limit of them.
    let_through: AtomicU64,
    recent: Mutex<Recent>,
    left: Left,
}

impl Usage {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            has_rates: AtomicBool::new(has_rates(&limits)),
            has_own_rates: AtomicBool::new(has_own_rates(&limits)),
            connections: AtomicU64::new(0),
            publish: Bucket::unused(),
            bytes: Bucket::unused(),
            users: Users::default(),
            let_through: AtomicU64::new(0),
            recent: Mutex::new(Recent::new(std::time::Instant::now())),
            left: Left::all(),
            limits: RwLock::new(limits),
        }
    }

    /// What holds now.
    pub(crate) fn limits(&self) -> Limits {
        *self.limits.read()
    }

    /// Other limits hold from now on. See the module for what becomes of what is over them.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.write() = limits;
        self.has_rates.store(has_rates(&limits), Ordering::Relaxed);
        self.has_own_rates.store(has_own_rates(&limits), Ordering::Relaxed);
    }

    /// Forgets what needn't be remembered. True if nothing needs to be.
    pub(crate) fn tidy(&self) -> bool {
        let users = self.users.tidy();
        users
            && self.connections.load(Ordering::Relaxed) == 0
            && self.publish.is_full()
            && self.bytes.is_full()
    }
}

fn has_rates(limits: &Limits) -> bool {
    let Limits { publish, bytes, user, .. } = limits;
    [publish, bytes, &user.publish, &user.bytes].iter().any(|rate| rate.is_some()) || has_own_rates(limits)
}

fn has_own_rates(limits: &Limits) -> bool {
    limits.connection.publish.is_some() || limits.connection.bytes.is_some()
}

#[cfg(test)]
pub(super) fn no_limits() -> Limits {
    super::TenantHere::for_test("acme").usage.limits()
}

#[cfg(test)]
mod tests {
    use ringway_config::Quota;

    use super::*;
    use crate::tenant::TenantHere;

    #[test]
    fn what_is_owed_is_remembered_and_nothing_else() {
        let publish = Some(Quota { per_second: 1_000, burst: 1_000 });
        let tenant = TenantHere::with_limits(Limits { publish, ..no_limits() });
        assert!(tenant.usage.tidy());
        let place = Place::take(&tenant, None, 0).unwrap();
        assert!(!tenant.usage.tidy());
        drop(place);
        assert!(tenant.usage.tidy());
        tenant.usage.spend(None, None, Spent { bytes: 1, publications: 1_000 }).unwrap();
        assert!(!tenant.usage.tidy(), "forgotten now, it would have a fresh burst");
    }
}
