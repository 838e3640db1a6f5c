//! A tenant's limits over all nodes of its pool: what each tells the others of it, and what they leave to it.
//!
//! Nobody is asked: each node says twice a second what it uses, and goes by what the others said last. So for about a
//! second after a change a tenant may get more than its limit: at most what it would on each node alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringway_config::Quota;
use ringway_protocol::TenantId;
use ringway_ring::TenantUse;

use super::Usage;

/// What "recent" is.
const RECENT: Duration = Duration::from_secs(1);

/// What other nodes leave to this one of a tenant's rate.
#[derive(Debug)]
pub(super) struct Left(AtomicU32);

impl Left {
    /// All of it.
    pub(super) fn all() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }

    /// This node's part of a limit; its part of the burst goes with it.
    pub(super) fn of(&self, whole: Quota) -> Quota {
        let part = self.0.load(Ordering::Relaxed);
        if part >= whole.per_second {
            return whole;
        }
        let burst = u64::from(whole.burst) * u64::from(part) / u64::from(whole.per_second);
        Quota { per_second: part, burst: (burst as u32).max(1) }
    }

    /// What the others don't use, and never less than an equal part, or one a second. It falls to that at once, and rises
    /// by half of what is missing: two nodes that both saw room for more would else both take all of it, again and again.
    fn renew(&self, whole: Quota, nodes: usize, elsewhere: u64) {
        let all = whole.per_second;
        let equal = all / u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
        let left = all.saturating_sub(u32::try_from(elsewhere).unwrap_or(u32::MAX));
        let (due, now) = (equal.max(left).max(1), self.0.load(Ordering::Relaxed).min(all));
        let next = if due > now { now + (due - now).div_ceil(2) } else { due };
        self.0.store(if next >= all { u32::MAX } else { next }, Ordering::Relaxed);
    }
}

/// How many there had been at the last two looks; the older first.
#[derive(Debug)]
pub(super) struct Recent([(Instant, u64); 2]);

impl Recent {
    pub(super) fn new(now: Instant) -> Self {
        Self([(now, 0); 2])
    }

    /// How many a second lately, where there have been so many until now.
    fn look(&mut self, now: Instant, count: u64) -> u64 {
        let [(then, before), last] = self.0;
        self.0 = [last, (now, count)];
        let (lately, time) = (count - before, now.saturating_duration_since(then).max(RECENT));
        (lately as f64 / time.as_secs_f64()) as u64
    }
}

impl Usage {
    /// What other nodes of the pool use. `nodes`: how many there are, this one included.
    pub(crate) fn renew_shares(&self, nodes: usize, elsewhere: &TenantUse) {
        if let Some(whole) = self.limits().publish {
            self.left.renew(whole, nodes, elsewhere.publications);
        }
    }

    /// Whether what other nodes use is of interest.
    pub(crate) fn is_shared(&self) -> bool {
        let limits = self.limits.read();
        limits.connections.is_some() || limits.publish.is_some()
    }

    /// What the other nodes are told of, and how near that is to a limit: 1 is at it. None where there is no limit of that
    /// kind, or nothing is used. To be called twice a second.
    pub(crate) fn told(&self, tenant: &TenantId, now: Instant) -> Option<(f64, TenantUse)> {
        let limits = self.limits();
        let publications = self.recent.lock().look(now, self.let_through.load(Ordering::Relaxed));
        let connections = self.connections.load(Ordering::Relaxed);
        let near =
            |used: u64, limit: Option<u64>| limit.map_or(0.0, |limit| used as f64 / limit.max(1) as f64);
        let nearest = near(connections, limits.connections)
            .max(near(publications, limits.publish.map(|quota| u64::from(quota.per_second))));
        (nearest > 0.0).then(|| (nearest, TenantUse { tenant: tenant.clone(), connections, publications }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::no_limits;
    use super::*;
    use crate::tenant::usage::Spent;
    use crate::tenant::{Place, TenantHere};
    use ringway_config::Limits;

    fn left(whole: Quota, nodes: usize, elsewhere: u64) -> Quota {
        let left = Left::all();
        left.renew(whole, nodes, elsewhere);
        left.of(whole)
    }

    #[test]
    fn a_part_is_what_the_others_leave_and_never_less_than_an_equal_one() {
        let whole = Quota { per_second: 100, burst: 400 };
        for (nodes, elsewhere, part) in
            [(1, 0, 100), (2, 0, 100), (2, 30, 70), (2, 50, 50), (2, 80, 50), (4, 1_000_000, 25)]
        {
            let is = left(whole, nodes, elsewhere);
            assert_eq!(is, Quota { per_second: part, burst: 4 * part }, "{nodes} {elsewhere}");
        }
        let least = Quota { per_second: 1, burst: 1 };
        assert_eq!(left(least, 4, 100), least);
        let nothing = Quota { per_second: 0, burst: 1 };
        assert_eq!(left(nothing, 4, 100), nothing);
    }

    #[test]
    fn what_others_no_longer_use_comes_back_in_halves() {
        let (left, whole) = (Left::all(), Quota { per_second: 100, burst: 100 });
        left.renew(whole, 4, 1_000);
        let parts = [0; 8].map(|_| {
            left.renew(whole, 4, 0);
            left.of(whole).per_second
        });
        assert_eq!(parts, [63, 82, 91, 96, 98, 99, 100, 100]);
    }

    #[test]
    fn parts_of_nodes_that_want_more_come_to_the_limit() {
        let whole = Quota { per_second: 90, burst: 90 };
        for wants in [[1_000, 40, 5], [1_000, 1_000, 1_000], [20, 60, 70], [89, 0, 45]] {
            let (left, mut uses) = ([Left::all(), Left::all(), Left::all()], [0_u64; 3]);
            for _ in 0..20 {
                let sum: u64 = uses.iter().sum();
                uses = [0, 1, 2].map(|node| {
                    left[node].renew(whole, 3, sum - uses[node]);
                    wants[node].min(u64::from(left[node].of(whole).per_second))
                });
            }
            assert!((88..=90).contains(&uses.iter().sum::<u64>()), "{wants:?}: {uses:?}");
        }
    }

    #[test]
    fn what_is_told_is_of_the_last_second_and_only_where_there_is_a_limit() {
        let (start, half) = (Instant::now(), Duration::from_millis(500));
        let publish = Some(Quota { per_second: 100, burst: 1_000 });
        let tenant = TenantHere::with_limits(Limits { publish, ..no_limits() });
        let told = |times: u32| {
            tenant.usage.told(&tenant.id, start + half * times).map(|(near, told)| (near, told.publications))
        };
        assert_eq!(told(1), None);
        let spent = Spent { bytes: 1, publications: 60 };
        tenant.usage.spend_outside(spent).unwrap();
        assert_eq!(told(2), Some((0.6, 60)));
        tenant.usage.spend_outside(spent).unwrap();
        assert_eq!(told(3), Some((1.2, 120)));
        assert_eq!(told(4), Some((0.6, 60)));
        assert_eq!(told(5), None);
        tenant.usage.spend_outside(spent).unwrap();
        assert_eq!(told(9), Some((0.24, 24)), "a late look makes nobody busier");

        let _place = Place::take(&tenant, None, 0).unwrap();
        told(20);
        told(20);
        assert_eq!(told(21), None, "connections aren't limited");
        tenant.usage.set_limits(Limits { connections: Some(4), ..no_limits() });
        let (near, told) = tenant.usage.told(&tenant.id, start + half * 22).unwrap();
        assert_eq!((near, told.connections), (0.25, 1));
    }

    #[test]
    fn a_share_holds_at_once_and_is_no_fresh_burst() {
        let publish = Some(Quota { per_second: 1, burst: 10 });
        let tenant = TenantHere::with_limits(Limits { publish, ..no_limits() });
        let through = || {
            let one = Spent { bytes: 1, publications: 1 };
            (0..100).take_while(|_| tenant.usage.spend_outside(one).is_ok()).count()
        };
        assert_eq!(through(), 10);
        tenant.usage.renew_shares(2, &TenantUse { publications: 100, ..TenantUse::none(tenant.id.clone()) });
        assert_eq!(through(), 0);
        tenant.usage.renew_shares(1, &TenantUse::none(tenant.id.clone()));
        assert_eq!(through(), 0);
    }
}
