//! What a frame uses of the rates of its connection, its user and its tenant.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ringway_backplane::message::{Answer, Fate, Published};
use ringway_config::Quota;
use ringway_limits::{Claim, Exceeded, Own};

use super::Usage;
use super::users::UserHere;

/// What something uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) bytes: usize,
    pub(crate) publications: u32,
}

/// Why it isn't let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch {
    /// For people.
    pub(crate) whose: &'static str,
    /// After which it would be, in whole milliseconds, if nobody comes between. None: never.
    pub(crate) retry: Option<Duration>,
}

impl TooMuch {
    /// As a room's owner told it.
    pub(crate) fn in_room(retry: Option<Duration>) -> Self {
        Self { whose: "more is published to this room than may be", retry }
    }

    /// What another node, or a gateway, is answered, where so many were published before.
    pub(crate) fn answer(self, published: Vec<Published>) -> Answer {
        Answer::Limited { published, retry_ms: self.retry_ms() }
    }

    /// The same of a durable room, behind what became of those before.
    pub(crate) fn fate(self) -> Fate {
        Fate::Limited { retry_ms: self.retry_ms() }
    }

    fn retry_ms(self) -> Option<u64> {
        self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Exceeded> for TooMuch {
    fn from(Exceeded { whose, retry }: Exceeded) -> Self {
        Self { whose, retry }
    }
}

impl Spent {
    pub(crate) fn bytes_u32(self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX)
    }
}

impl Usage {
    /// Whether frames are held against anything.
    pub(crate) fn has_rates(&self) -> bool {
        self.has_rates.load(Ordering::Relaxed)
    }

    /// Whether any of that is the connection's own.
    pub(crate) fn has_own_rates(&self) -> bool {
        self.has_own_rates.load(Ordering::Relaxed)
    }

    /// Takes what a frame uses from all rates that it is held against, or nothing from any. `own`: where
    /// [`has_own_rates`](Self::has_own_rates) says so.
    pub(crate) fn spend(
        &self,
        own: Option<&Own>,
        user: Option<&UserHere>,
        spent: Spent,
    ) -> Result<(), TooMuch> {
        if !self.has_rates() {
            return Ok(());
        }
        let limits = self.limits.read();
        let (bytes, publications) = (spent.bytes_u32(), spent.publications);
        let user_rates = limits.user;
        let [own_bytes, own_publish] =
            own.map_or([None, None], |own| own.claims(limits.connection, bytes, publications));
        let claims = [
            own_bytes,
            own_publish,
            user.and_then(|user| {
                Claim::new(&user.bytes, user_rates.bytes, bytes, "this user sends more bytes than it may")
            }),
            user.and_then(|user| {
                Claim::new(
                    &user.publish,
                    user_rates.publish,
                    publications,
                    "this user publishes more than it may",
                )
            }),
            Claim::new(&self.bytes, limits.bytes, bytes, BYTES),
            self.publications(limits.publish, publications),
        ];
        Claim::take_all(&claims, Instant::now())?;
        self.count(limits.publish, publications);
        Ok(())
    }

    /// Takes what comes by another way than a connection: from the tenant's own rates alone.
    pub(crate) fn spend_outside(&self, spent: Spent) -> Result<(), TooMuch> {
        if !self.has_rates() {
            return Ok(());
        }
        let limits = self.limits.read();
        let claims = [
            Claim::new(&self.bytes, limits.bytes, spent.bytes_u32(), BYTES),
            self.publications(limits.publish, spent.publications),
        ];
        Claim::take_all(&claims, Instant::now())?;
        self.count(limits.publish, spent.publications);
        Ok(())
    }

    fn publications(&self, quota: Option<Quota>, count: u32) -> Option<Claim<'_>> {
        let part = quota.map(|quota| self.left.of(quota));
        Claim::new(&self.publish, part, count, "the tenant publishes more than it may")
    }

    fn count(&self, quota: Option<Quota>, publications: u32) {
        if quota.is_some() && publications > 0 {
            self.let_through.fetch_add(u64::from(publications), Ordering::Relaxed);
        }
    }
}

const BYTES: &str = "the tenant sends more bytes than it may";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::usage::no_limits;
    use crate::tenant::{Place, TenantHere};
    use ringway_config::{ConnectionLimits, Limits, UserLimits};

    // So slow that nothing comes back while a test runs.
    fn slow(burst: u32) -> Option<Quota> {
        Some(Quota { per_second: 1, burst })
    }

    const PUBLICATION: Spent = Spent { bytes: 10, publications: 1 };
    const OTHER: Spent = Spent { bytes: 10, publications: 0 };

    /// One connection after another.
    struct Conn(Place, Own);

    impl Conn {
        fn open(limits: Limits) -> Conn {
            Conn::of(&TenantHere::with_limits(limits), None)
        }

        fn of(tenant: &std::sync::Arc<TenantHere>, user: Option<&str>) -> Conn {
            let user = user.map(|user| user.parse().unwrap());
            Conn(Place::take(tenant, user.as_ref(), 0).unwrap(), Own::default())
        }

        fn spend(&mut self, spent: Spent) -> Result<(), TooMuch> {
            self.0.tenant().usage.spend(Some(&self.1), self.0.user(), spent)
        }

        /// How many in a row are let through.
        fn through(&mut self, spent: Spent) -> usize {
            (0..1_000).take_while(|_| self.spend(spent).is_ok()).count()
        }
    }

    #[test]
    fn each_of_the_six_rates_holds_alone() {
        let none = no_limits();
        let publish = |limits| Conn::open(limits).through(PUBLICATION);
        assert_eq!(publish(none), 1_000);
        assert_eq!(publish(Limits { publish: slow(3), ..none }), 3);
        assert_eq!(publish(Limits { bytes: slow(50), ..none }), 5);
        let connection = ConnectionLimits { publish: slow(4), bytes: None };
        assert_eq!(publish(Limits { connection, ..none }), 4);
        let connection = ConnectionLimits { publish: None, bytes: slow(70) };
        assert_eq!(publish(Limits { connection, ..none }), 7);
        for user in [
            UserLimits { publish: slow(2), ..UserLimits::default() },
            UserLimits { bytes: slow(20), ..UserLimits::default() },
        ] {
            let tenant = TenantHere::with_limits(Limits { user, ..none });
            assert_eq!(Conn::of(&tenant, Some("ann")).through(PUBLICATION), 2);
            assert_eq!(Conn::of(&tenant, Some("ann")).through(PUBLICATION), 0, "all of a user's together");
            assert_eq!(Conn::of(&tenant, Some("bob")).through(PUBLICATION), 2);
            assert_eq!(Conn::of(&tenant, None).through(PUBLICATION), 1_000);
        }
    }

    #[test]
    fn what_is_no_publication_uses_bytes_alone() {
        let mut conn = Conn::open(Limits { publish: slow(3), bytes: slow(100), ..no_limits() });
        assert_eq!(conn.through(OTHER), 10);
        assert_eq!(Conn::open(Limits { publish: slow(3), ..no_limits() }).through(OTHER), 1_000);
    }

    #[test]
    fn what_one_rate_refuses_uses_none_of_another() {
        let connection = ConnectionLimits { publish: slow(100), bytes: slow(100_000) };
        let tenant = TenantHere::with_limits(Limits { publish: slow(2), connection, ..no_limits() });
        let mut conn = Conn::of(&tenant, None);
        assert_eq!(conn.through(PUBLICATION), 2);
        for _ in 0..1_000 {
            assert!(conn.spend(PUBLICATION).unwrap_err().whose.contains("tenant"));
        }
        tenant.usage.set_limits(Limits { publish: None, ..tenant.usage.limits() });
        assert_eq!(conn.through(PUBLICATION), 98);
    }

    #[test]
    fn a_rate_that_is_lowered_takes_nothing_back_and_one_that_is_raised_gives_no_fresh_burst() {
        let limits = |burst| Limits { publish: slow(burst), ..no_limits() };
        let tenant = TenantHere::with_limits(limits(10));
        let mut conn = Conn::of(&tenant, None);
        assert_eq!(conn.through(PUBLICATION), 10);
        tenant.usage.set_limits(limits(2));
        assert_eq!(conn.through(PUBLICATION), 0);
        tenant.usage.set_limits(limits(14));
        assert_eq!(conn.through(PUBLICATION), 4);
        tenant.usage.set_limits(no_limits());
        assert_eq!(conn.through(PUBLICATION), 1_000);
    }

    #[test]
    fn nought_lets_nothing_through_and_has_no_retry() {
        let mut conn = Conn::open(Limits { publish: Some(Quota { per_second: 0, burst: 1 }), ..no_limits() });
        assert_eq!(conn.spend(PUBLICATION).unwrap_err().retry, None);
        assert_eq!(conn.through(OTHER), 1_000);
    }

    #[test]
    fn a_connection_has_rates_of_its_own_only_where_they_are_limited() {
        let usage = |limits| TenantHere::with_limits(limits).usage.has_own_rates();
        let connection = ConnectionLimits { publish: None, bytes: slow(1) };
        assert!(usage(Limits { connection, ..no_limits() }));
        assert!(!usage(Limits { publish: slow(3), ..no_limits() }));
    }

    #[test]
    fn what_comes_from_outside_is_the_tenants() {
        let connection = ConnectionLimits { publish: slow(1), bytes: None };
        let tenant = TenantHere::with_limits(Limits { publish: slow(3), connection, ..no_limits() });
        for _ in 0..3 {
            tenant.usage.spend_outside(PUBLICATION).unwrap();
        }
        assert!(tenant.usage.spend_outside(PUBLICATION).unwrap_err().retry.is_some());
        assert_eq!(Conn::of(&tenant, None).through(PUBLICATION), 0);
    }
}
