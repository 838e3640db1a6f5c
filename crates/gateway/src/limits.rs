//! What tenants and their users do at this gateway, held against their limits: connections that are opened, and
//! publications by HTTP, which pass no connection of a node's.
//!
//! Each gateway counts for itself: to ask anybody first would cost each connection a journey. What is counted where is
//! said in `docs/configuration.md`. Nothing is kept of who has no such limit, nor of who has used nothing lately.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ringway_config::{Limits, Tenant};
use ringway_limits::{Bucket, KEYS_MAX, Keyed, Over};
use ringway_protocol::{Code, TenantId, UserId};

use crate::accept::Problem;

/// The longest time over which those who were turned away are told to come back.
const SPREAD_MAX: Duration = Duration::from_secs(20);
/// When a tenant without a free place is worth asking for again: no clock foretells when somebody leaves. Twice as long at
/// most, so that those who were turned away together don't come back together.
const RETRY: Duration = Duration::from_secs(5);
/// How often [`Rates::tidy`] is to be called.
pub(crate) const TIDY: Duration = Duration::from_secs(1);

/// All tenants' rates.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    tenants: Mutex<HashMap<TenantId, Arc<Used>>>,
}

/// What one tenant uses here.
#[derive(Debug)]
struct Used {
    /// What they were made for.
    limits: Limits,
    connects: Option<Bucket>,
    publish: Option<Bucket>,
    bytes: Option<Bucket>,
    user_connects: Option<Keyed<UserId>>,
    user_publish: Option<Keyed<UserId>>,
    user_bytes: Option<Keyed<UserId>>,
    /// How many connections were refused lately.
    turned_away: AtomicU32,
}

impl Rates {
    /// One more connection is opened.
    pub(crate) fn connect(&self, tenant: &Tenant, user: Option<&UserId>) -> Result<(), Problem> {
        if tenant.limits.connects.is_none() && tenant.limits.user.connects.is_none() {
            return Ok(());
        }
        let used = self.of(tenant);
        if let Some(connects) = &used.connects {
            connects.take(1).map_err(|over| {
                let over = used.spread(connects, over);
                refused("the tenant opens connections faster than it may", over)
            })?;
        }
        if let (Some(connects), Some(user)) = (&used.user_connects, user) {
            connects.take(user, 1).map_err(|over| {
                if let Some(connects) = &used.connects {
                    connects.give_back(1);
                }
                refused("this user opens connections faster than it may", over)
            })?;
        }
        Ok(())
    }

    /// One more publication to a room: a user's, who has shown its token. The tenant's are counted at the room's owner.
    pub(crate) fn publish(
        &self,
        tenant: &Tenant,
        user: Option<&UserId>,
        bytes: usize,
    ) -> Result<(), Problem> {
        let limits = &tenant.limits.user;
        let Some(user) = user.filter(|_| limits.publish.is_some() || limits.bytes.is_some()) else {
            return Ok(());
        };
        let (used, bytes) = (self.of(tenant), u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some(publish) = &used.user_publish {
            publish.take(user, 1).map_err(|over| refused("this user publishes more than it may", over))?;
        }
        if let Some(rate) = &used.user_bytes {
            rate.take(user, bytes).map_err(|over| {
                if let Some(publish) = &used.user_publish {
                    publish.give_back(user, 1);
                }
                refused("this user sends more bytes than it may", over)
            })?;
        }
        Ok(())
    }

    /// One more publication that goes to connections rather than to a room: nobody owns those, so nobody else counts it.
    pub(crate) fn publish_to_connections(&self, tenant: &Tenant, bytes: usize) -> Result<(), Problem> {
        if tenant.limits.publish.is_none() && tenant.limits.bytes.is_none() {
            return Ok(());
        }
        let (used, bytes) = (self.of(tenant), u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some(publish) = &used.publish {
            publish.take(1).map_err(|over| refused("the tenant publishes more than it may", over))?;
        }
        if let Some(rate) = &used.bytes {
            rate.take(bytes).map_err(|over| {
                if let Some(publish) = &used.publish {
                    publish.give_back(1);
                }
                refused("the tenant sends more bytes than it may", over)
            })?;
        }
        Ok(())
    }

    fn of(&self, tenant: &Tenant) -> Arc<Used> {
        let mut tenants = self.tenants.lock();
        if let Some(used) = tenants.get(&tenant.id)
            && used.limits == tenant.limits
        {
            return Arc::clone(used);
        }
        let used = Arc::new(Used::new(tenant.limits));
        // Where any name is a tenant, names are invented: beyond what can be remembered one has a fresh burst each time,
        // which is no more than it would have had by yet another name.
        if tenants.len() < KEYS_MAX || tenants.contains_key(&tenant.id) {
            tenants.insert(tenant.id.clone(), Arc::clone(&used));
        }
        used
    }

    /// Forgets what needn't be remembered.
    pub(crate) fn tidy(&self) {
        self.tenants.lock().retain(|_, used| Arc::strong_count(used) > 1 || !used.tidy());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.tenants.lock().len()
    }
}

impl Used {
    fn new(limits: Limits) -> Self {
        let user = &limits.user;
        Self {
            connects: limits.connects.map(Bucket::new),
            publish: limits.publish.map(Bucket::new),
            bytes: limits.bytes.map(Bucket::new),
            user_connects: user.connects.map(Keyed::new),
            user_publish: user.publish.map(Keyed::new),
            user_bytes: user.bytes.map(Keyed::new),
            turned_away: AtomicU32::new(0),
            limits,
        }
    }

    /// When one of many comes back. To all of them at once the rate says the same moment, at which one would be let in
    /// and all others turned away again: they are spread over the time in which the rate lets them all in.
    fn spread(&self, connects: &Bucket, over: Over) -> Over {
        let away = self.turned_away.fetch_add(1, Ordering::Relaxed);
        let rate = connects.quota().per_second.max(1);
        let time = Duration::from_secs(1).saturating_mul(away) / rate;
        let retry = over.retry.map(|retry| retry + time.min(SPREAD_MAX).mul_f64(rand::random()));
        Over { retry }
    }

    /// True: nothing needs to be remembered.
    fn tidy(&self) -> bool {
        let half = |away: u32| Some(away / 2);
        let away = self.turned_away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, half).unwrap_or(0);
        let mut is_full = true;
        for users in [&self.user_connects, &self.user_publish, &self.user_bytes].into_iter().flatten() {
            users.tidy();
            is_full &= users.is_empty();
        }
        let mut buckets = [&self.connects, &self.publish, &self.bytes].into_iter().flatten();
        is_full && away == 0 && buckets.all(Bucket::is_full)
    }
}

/// Whether the tenant, whose nodes hold `connections` now, may have one more.
pub(crate) fn place(tenant: &Tenant, connections: impl FnOnce() -> u64) -> Result<(), Problem> {
    let Some(limit) = tenant.limits.connections else { return Ok(()) };
    if connections() < limit {
        return Ok(());
    }
    let problem = Problem::new(Code::LimitConnections, "the tenant has as many connections as it may");
    Err(if limit == 0 { problem } else { problem.again_after(RETRY + RETRY.mul_f64(rand::random())) })
}

fn refused(detail: &'static str, over: Over) -> Problem {
    let problem = Problem::new(Code::LimitRate, detail);
    match over.retry_ms() {
        Some(retry) => problem.again_after(Duration::from_millis(retry.into())),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tenant(name: &str, limits: &str) -> Arc<Tenant> {
        let text = format!("gateway.auth = \"off\"\n[tenant_defaults.limits]\n{limits}\n");
        let config = ringway_config::Config::from_text(&text, Path::new("x"), &Default::default());
        let tenants = config.unwrap_or_else(|error| panic!("{error}")).tenants();
        tenants.get(&name.parse().expect("a tenant")).expect("any name is one")
    }

    fn user(name: &str) -> UserId {
        name.parse().expect("a user")
    }

    fn let_in(rates: &Rates, tenant: &Tenant, name: &str, tries: usize) -> usize {
        (0..tries).filter(|_| rates.connect(tenant, Some(&user(name))).is_ok()).count()
    }

    #[test]
    fn connects_of_a_tenant_and_of_a_user_work_alone() {
        let rates = Rates::default();
        let only = tenant("a", "connects_per_second = 1\nconnects_burst = 3");
        assert_eq!(let_in(&rates, &only, "ann", 2) + let_in(&rates, &only, "bob", 5), 3);
        let only = tenant("b", "user.connects_per_second = 1\nuser.connects_burst = 3");
        assert_eq!((let_in(&rates, &only, "ann", 5), let_in(&rates, &only, "bob", 5)), (3, 3));
        assert!((0..9).all(|_| rates.connect(&only, None).is_ok()), "who is no user has no user's limit");
        let other = tenant("c", "connects_per_second = 1\nconnects_burst = 3");
        assert_eq!(let_in(&rates, &other, "ann", 5), 3, "each tenant has its own");
    }

    #[test]
    fn a_user_who_is_turned_away_takes_nothing_of_the_tenants() {
        let rates = Rates::default();
        let both = tenant("a", "connects_per_second = 1\nconnects_burst = 5\nuser.connects_per_second = 1");
        assert_eq!(let_in(&rates, &both, "ann", 50), 1);
        let others = (0..10).filter(|n| rates.connect(&both, Some(&user(&format!("u{n}")))).is_ok());
        assert_eq!(others.count(), 4);
    }

    #[test]
    fn who_is_turned_away_is_told_when_and_many_are_told_different_times() {
        let rates = Rates::default();
        let slow = tenant("a", "connects_per_second = 2\nconnects_burst = 1");
        rates.connect(&slow, None).expect("the first");
        let retry = || rates.connect(&slow, None).expect_err("over").retry.expect("a time");
        assert!(retry() <= Duration::from_millis(501), "the first is told the rate's own time");
        let retries: Vec<_> = (0..1_000).map(|_| retry()).collect();
        assert!(retries.iter().any(|retry| *retry > Duration::from_secs(5)));
        assert!(retries.iter().all(|retry| *retry <= SPREAD_MAX + Duration::from_secs(1)));
        let never = tenant("b", "connects_per_second = 0");
        let problem = rates.connect(&never, None).expect_err("nothing goes");
        assert_eq!((problem.code, problem.retry), (Code::LimitRate, None));
    }

    #[test]
    fn publications_count_for_their_user_and_those_to_connections_for_the_tenant() {
        let rates = Rates::default();
        let limits = "publish_per_second = 1\npublish_burst = 2\n\
                      user.publish_per_second = 1\nuser.publish_burst = 3\nuser.bytes_per_second = 1";
        let tenant = tenant("a", limits);
        let ann = user("ann");
        let go = |bytes| rates.publish(&tenant, Some(&ann), bytes).is_ok();
        assert!(go(10) && go(65_526), "64 KiB is the least burst");
        assert!(!go(1), "no byte is left");
        let bytes = rates.publish(&tenant, Some(&ann), 1).expect_err("no byte is left").detail;
        assert!(bytes.contains("bytes"), "and a publication is: {bytes}");
        assert!((0..9).all(|_| rates.publish(&tenant, None, 100_000).is_ok()));
        assert_eq!((0..9).filter(|_| rates.publish_to_connections(&tenant, 1).is_ok()).count(), 2);
    }

    #[test]
    fn nothing_is_kept_of_who_has_no_limit_or_owes_nothing() {
        let rates = Rates::default();
        let free = tenant("a", "rooms = 5");
        rates.connect(&free, Some(&user("ann"))).expect("no limit");
        rates.publish(&free, Some(&user("ann")), 1).expect("no limit");
        rates.publish_to_connections(&free, 1).expect("no limit");
        assert_eq!(rates.len(), 0);
        // A nanosecond is soon over.
        let fast =
            tenant("b", "connects_per_second = 4_000_000_000\nuser.connects_per_second = 4_000_000_000");
        rates.connect(&fast, Some(&user("ann"))).expect("far below");
        assert_eq!(rates.len(), 1);
        rates.tidy();
        assert_eq!(rates.len(), 0);
        let slow = tenant("c", "connects_per_second = 1");
        rates.connect(&slow, None).expect("the first");
        rates.tidy();
        assert_eq!(rates.len(), 1, "it owes most of a second");
    }

    #[test]
    fn changed_limits_hold_for_the_next() {
        let rates = Rates::default();
        assert_eq!(let_in(&rates, &tenant("a", "connects_per_second = 1"), "ann", 5), 1);
        assert_eq!(let_in(&rates, &tenant("a", "connects_per_second = 0"), "ann", 5), 0);
        assert_eq!(let_in(&rates, &tenant("a", ""), "ann", 5), 5);
    }

    #[test]
    fn a_place_is_there_while_fewer_are_taken_than_there_are() {
        let retry = |limit: &str, used| place(&tenant("a", limit), || used).map_err(|problem| problem.retry);
        assert_eq!(retry("", u64::MAX), Ok(()));
        assert_eq!(retry("connections = 3", 2), Ok(()));
        for used in [3, 4, u64::MAX] {
            let told = retry("connections = 3", used).expect_err("full").expect("a time");
            assert!((RETRY..=2 * RETRY).contains(&told));
        }
        assert_eq!(retry("connections = 0", 0), Err(None));
    }
}
