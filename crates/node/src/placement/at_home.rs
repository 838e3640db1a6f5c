//! Whether a room is at home here, remembered.

use ringway_protocol::name::TenantId;
use ringway_ring::KeyHash;

use super::Placement;

/// Whether this node is among a room's homes, remembered for as long as the placement and its class stay what they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AtHome {
    /// The placement that it was worked out by; 0: none yet.
    by: u32,
    is: bool,
}

impl AtHome {
    /// See [`Placement::is_home`].
    pub(crate) fn by(
        &mut self,
        placement: &Placement,
        tenant: &TenantId,
        key: KeyHash,
        at_least: u8,
    ) -> bool {
        if self.by != placement.number {
            *self = Self { by: placement.number, is: placement.is_home(tenant, key, at_least) };
        }
        self.is
    }
}

#[cfg(test)]
mod tests {
    use ringway_config::{Config, Environment, Tenants};
    use ringway_ring::{Announcement, Membership, Spread};

    use super::*;

    const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];

    fn tenants() -> Tenants {
        let text = "gateway.auth = \"off\"\n[tenants.acme]\n[tenants.other]\npool = \"elsewhere\"\n";
        Config::from_text(text, "test.toml".as_ref(), &Environment::new()).unwrap().tenants()
    }

    fn key(name: &str) -> KeyHash {
        KeyHash::of(&"acme".parse().unwrap(), name)
    }

    /// The cluster as each of its nodes sees it; one says that the key is spread.
    fn all(said: Option<Spread>) -> Vec<Placement> {
        let mut membership = Membership::new();
        for node in NODES {
            let pool = "shared".parse().unwrap();
            let spreads = said.iter().copied().filter(|_| node == "n1").collect();
            let announcement = Announcement::new(node.parse().unwrap(), 1, pool, String::new());
            membership.heard(Announcement { spreads, ..announcement }, 0);
        }
        let view = membership.view();
        let of = |node: &&str| {
            Placement::new(node.parse().unwrap(), "shared".parse().unwrap(), view.clone(), &tenants())
        };
        NODES.iter().map(of).collect()
    }

    #[test]
    fn homes_are_as_many_as_the_owner_or_the_class_says() {
        let acme = "acme".parse().unwrap();
        for (said, at_least, expected) in [(1, 1, 1), (3, 1, 3), (3, 2, 3), (1, 2, 2), (2, 3, 3), (9, 1, 4)] {
            let all = all(Some(Spread { key: key("room"), over: said }));
            let homes: Vec<_> = all.iter().filter(|of| of.is_home(&acme, key("room"), at_least)).collect();
            assert_eq!(homes.len(), expected, "{said} {at_least}");
            assert!(homes.iter().any(|of| of.is_mine(&acme, key("room").slot())));
            for who in ["ann", "bob", "cid", "dan"] {
                let home = all[0].home(&acme, key("room"), at_least, who).unwrap();
                assert!(homes.iter().any(|of| of.me == *home));
                assert!(all.iter().all(|of| of.home(&acme, key("room"), at_least, who) == Some(home)));
            }
        }
    }

    #[test]
    fn a_tenant_of_another_pool_has_no_home_here() {
        let other = "other".parse().unwrap();
        for of in all(None) {
            assert!(!of.is_home(&other, key("room"), 4));
            assert_eq!(of.home(&other, key("room"), 4, "ann"), None);
        }
    }

    #[test]
    fn what_is_remembered_holds_for_one_placement() {
        let acme = "acme".parse().unwrap();
        let (before, after) = (all(None), all(Some(Spread { key: key("room"), over: 4 })));
        for (before, after) in before.iter().zip(&after) {
            let mut at_home = AtHome::default();
            for _ in 0..2 {
                let is = at_home.by(before, &acme, key("room"), 1);
                assert_eq!(is, before.is_mine(&acme, key("room").slot()));
            }
            assert!(at_home.by(&after.clone(), &acme, key("room"), 1), "all of them are");
            assert_eq!(at_home.by(before, &acme, key("room"), 1), before.is_home(&acme, key("room"), 1));
        }
    }
}
