//! Places for connections: of a tenant, and of a user of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringway_protocol::name::UserId;

use super::Usage;
use super::users::UserHere;
use crate::tenant::TenantHere;

/// When it is worth asking again: places are given back when somebody leaves, which no clock foretells.
const RETRY: Duration = Duration::from_secs(5);

/// A connection's place: given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    tenant: Arc<TenantHere>,
    /// Where users have limits.
    user: Option<Arc<UserHere>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    /// For people.
    pub(crate) whose: &'static str,
    /// None: no connection is allowed at all.
    pub(crate) retry: Option<Duration>,
}

impl Place {
    /// Takes one. `elsewhere`: the tenant's connections on other nodes, as far as is known.
    pub(crate) fn take(
        tenant: &Arc<TenantHere>,
        user: Option<&UserId>,
        elsewhere: u64,
    ) -> Result<Place, Full> {
        let usage = &tenant.usage;
        let limits = usage.limits();
        let limited = limits.user;
        let user = usage.limited_user(user);
        if let Some(user) = &user {
            take(&user.connections, 0, limited.connections)
                .map_err(|retry| Full { whose: "this user has as many connections as it may", retry })?;
        }
        if let Err(retry) = take(&usage.connections, elsewhere, limits.connections) {
            if let Some(user) = &user {
                user.connections.fetch_sub(1, Ordering::Relaxed);
            }
            return Err(Full { whose: "the tenant has as many connections as it may", retry });
        }
        Ok(Place { tenant: tenant.clone(), user })
    }

    /// The place of a connection that had one on another node until now, whatever the limits are.
    pub(crate) fn again(tenant: &Arc<TenantHere>, user: Option<&UserId>) -> Place {
        let user = tenant.usage.limited_user(user);
        tenant.usage.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(user) = &user {
            user.connections.fetch_add(1, Ordering::Relaxed);
        }
        Place { tenant: tenant.clone(), user }
    }

    pub(crate) fn tenant(&self) -> &Arc<TenantHere> {
        &self.tenant
    }

    pub(crate) fn user(&self) -> Option<&UserHere> {
        self.user.as_deref()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tenant.usage.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(user) = &self.user {
            user.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Usage {
    /// The user, where users have limits.
    pub(crate) fn limited_user(&self, user: Option<&UserId>) -> Option<Arc<UserHere>> {
        let limited = self.limits().user;
        let user = user.filter(|_| {
            limited.connections.is_some() || limited.publish.is_some() || limited.bytes.is_some()
        });
        user.map(|id| self.users.get(id))
    }
}

/// One more, or when to ask again.
fn take(count: &AtomicU64, elsewhere: u64, limit: Option<u64>) -> Result<(), Option<Duration>> {
    let one_more = |here: u64| {
        let is_full = limit.is_some_and(|limit| here.saturating_add(elsewhere) >= limit);
        (!is_full).then_some(here + 1)
    };
    let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    taken.map(drop).map_err(|_| (limit != Some(0)).then_some(RETRY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::usage::no_limits;
    use ringway_config::{Limits, UserLimits};

    fn users(connections: u64) -> UserLimits {
        UserLimits { connections: Some(connections), ..UserLimits::default() }
    }

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    #[test]
    fn a_tenants_places_are_counted_with_those_elsewhere_and_given_back() {
        let tenant = TenantHere::with_limits(Limits { connections: Some(5), ..no_limits() });
        let mut here: Vec<_> = (0..3).map(|_| Place::take(&tenant, None, 2).unwrap()).collect();
        let full = Place::take(&tenant, None, 2).unwrap_err();
        assert_eq!(full.retry, Some(RETRY));
        assert!(Place::take(&tenant, None, u64::MAX).is_err());
        here.pop();
        here.push(Place::take(&tenant, None, 2).unwrap());
        drop(here);
        assert_eq!(tenant.usage.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_users_limit_holds_without_the_tenants_and_each_user_has_its_own() {
        let tenant = TenantHere::with_limits(Limits { user: users(1), ..no_limits() });
        let ann = Place::take(&tenant, Some(&user("ann")), 100).unwrap();
        let full = Place::take(&tenant, Some(&user("ann")), 0).unwrap_err();
        assert!(full.whose.contains("user"));
        let _bob = Place::take(&tenant, Some(&user("bob")), 0).unwrap();
        let _nobody: Vec<_> = (0..10).map(|_| Place::take(&tenant, None, 0).unwrap()).collect();
        drop(ann);
        Place::take(&tenant, Some(&user("ann")), 0).unwrap();
    }

    #[test]
    fn who_finds_no_place_with_the_tenant_takes_none_of_the_users() {
        let tenant = TenantHere::with_limits(Limits { connections: Some(1), user: users(1), ..no_limits() });
        let first = Place::take(&tenant, Some(&user("ann")), 0).unwrap();
        assert!(Place::take(&tenant, Some(&user("bob")), 0).is_err());
        drop(first);
        Place::take(&tenant, Some(&user("bob")), 0).unwrap();
    }

    #[test]
    fn nought_is_none_at_all_and_no_time_helps() {
        let tenant = TenantHere::with_limits(Limits { connections: Some(0), ..no_limits() });
        assert_eq!(Place::take(&tenant, None, 0).unwrap_err().retry, None);
        let tenant = TenantHere::with_limits(Limits { user: users(0), ..no_limits() });
        assert_eq!(Place::take(&tenant, Some(&user("ann")), 0).unwrap_err().retry, None);
        Place::take(&tenant, None, 0).expect("who is no user has no user's limit");
    }

    #[test]
    fn a_limit_that_is_lowered_cuts_nobody_and_lets_nobody_in_until_there_is_room() {
        let limits = |connections| Limits { connections: Some(connections), ..no_limits() };
        let tenant = TenantHere::with_limits(limits(10));
        let mut here: Vec<_> = (0..4).map(|_| Place::take(&tenant, None, 0).unwrap()).collect();
        tenant.usage.set_limits(limits(2));
        for _ in 0..2 {
            assert!(Place::take(&tenant, None, 0).is_err(), "{} are here", here.len());
            here.pop();
        }
        assert!(Place::take(&tenant, None, 0).is_err());
        here.pop();
        let again = Place::take(&tenant, None, 0).unwrap();
        assert!(Place::take(&tenant, None, 0).is_err());
        drop((again, here));
        assert_eq!(tenant.usage.connections.load(Ordering::Relaxed), 0);
    }
}
