//! By what a connection is placed, and so where it belongs in a view of the cluster.

use ringway_config::Tenants;
use ringway_protocol::name::{RoomName, TenantId, UserId};
use ringway_ring::{KeyHash, NodeState};

use crate::conn::Conn;
use crate::placement::Placement;

/// By what a connection is placed: its home room, its user, or nothing that the next one of the client would have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) key: KeyHash,
    /// Over how many nodes its class spreads it at least, as of the opening. 0: it was placed by its own id, any node of
    /// the pool is as good, and the key says nothing.
    pub(crate) at_least: u8,
}

impl Home {
    /// As gateways have it. A room's class is that of `tenants`.
    pub(crate) fn of(
        tenant: &TenantId,
        room: Option<&RoomName>,
        user: Option<&UserId>,
        tenants: &Tenants,
    ) -> Home {
        match (room, user) {
            (Some(room), _) => {
                let at_least = tenants.class_of(room).spread_at_least();
                Home { key: KeyHash::of_room(tenant, room), at_least }
            }
            (None, Some(user)) => Home { key: KeyHash::of_user(tenant, user), at_least: 1 },
            (None, None) => Home { key: KeyHash::of(tenant, ""), at_least: 0 },
        }
    }

    #[cfg(test)]
    pub(crate) fn nowhere() -> Home {
        Home { key: KeyHash::of(&"acme".parse().expect("a tenant's name"), ""), at_least: 0 }
    }

    /// Whether the connection belongs to another node than this one, and that serves. `false` where its pool has no
    /// serving node. A connection by a link belongs where its gateway has it, which moves it by itself.
    pub(crate) fn is_elsewhere(conn: &Conn, placement: &Placement) -> bool {
        if conn.way.linked().is_some() {
            return false;
        }
        let Home { key, at_least } = conn.home();
        if at_least == 0 {
            let pool = placement.pool_of(&conn.tenant.id);
            return *pool != placement.pool && !placement.view.pool(pool).members().is_empty();
        }
        let home = placement.home(&conn.tenant.id, key, at_least, conn.session.as_str());
        home.is_some_and(|home| *home != placement.me)
    }
}

/// Whether a view is one to go by: this node has a place of its own in it. Without one it is being held back, or taken for
/// dead, and will have it again; unless it has said itself that it is leaving.
pub(super) fn knows_its_place(placement: &Placement) -> bool {
    let Placement { me, view, pool, .. } = placement;
    let placed = view.pool(pool).members().binary_search_by(|(node, _)| node.cmp(me)).is_ok();
    placed || view.node(me).is_some_and(|node| node.state == NodeState::Draining)
}

#[cfg(test)]
mod tests {
    use ringway_config::Config;
    use ringway_ring::{Announcement, Membership, Spread};

    use super::*;

    fn tenants(text: &str) -> Tenants {
        let text = format!("gateway.auth = \"off\"\n{text}");
        Config::from_text(&text, "r.toml".as_ref(), &Default::default()).unwrap().tenants()
    }

    fn says(id: &str, pool: &str) -> Announcement {
        Announcement::new(id.parse().unwrap(), 1, pool.parse().unwrap(), format!("{id}:7001"))
    }

    /// As `a` of the pool `shared` sees those.
    fn placement(nodes: &[Announcement], tenants: &Tenants) -> Placement {
        let mut membership = Membership::new();
        for node in nodes {
            membership.heard(node.clone(), 0);
        }
        Placement::new("a".parse().unwrap(), "shared".parse().unwrap(), membership.view(), tenants)
    }

    #[test]
    fn by_its_room_else_its_user_else_nothing_that_lasts() {
        let tenants = tenants("[[classes]]\nrooms = \"big.**\"\nspread = 3\n");
        let acme = "acme".parse().unwrap();
        let of = |room: Option<&str>, user: Option<&str>| {
            let (room, user) = (room.map(|room| room.parse().unwrap()), user.map(|u| u.parse().unwrap()));
            Home::of(&acme, room.as_ref(), user.as_ref(), &tenants)
        };
        let home = |key: KeyHash, at_least| Home { key, at_least };
        assert_eq!(of(Some("{t}.chat"), Some("u")), home(KeyHash::of(&acme, "t"), 1));
        assert_eq!(of(Some("big.hall"), None), home(KeyHash::of(&acme, "big.hall"), 3));
        assert_eq!(of(None, Some("u")), home(KeyHash::of(&acme, "user:u"), 1));
        assert_eq!(of(None, None).at_least, 0);
    }

    #[test]
    fn homes_are_the_same_while_pools_spreads_and_tenants_pools_are() {
        let acme = "[tenants.acme]\npool = \"own\"\n";
        let (shared, own) = (tenants("[tenants.acme]\n"), tenants(acme));
        let (a, x) = (says("a", "shared"), says("x", "own"));
        let before = placement(&[a.clone(), x.clone()], &shared);
        let same = |nodes: &[Announcement], tenants| placement(nodes, tenants).same_homes(&before);
        let loaded = Announcement { connections: 9, ..a.clone() };
        assert!(same(&[loaded, x.clone()], &shared));
        assert!(
            same(&[a.clone(), x.clone(), says("y", "own")], &shared),
            "a pool that serves nobody of here"
        );
        assert!(!same(&[a.clone(), x.clone(), says("b", "shared")], &shared));
        assert!(!same(&[a.clone(), x.clone()], &own));
        let spreads = vec![Spread { key: KeyHash::of(&"acme".parse().unwrap(), "r"), over: 2 }];
        assert!(!same(&[Announcement { spreads, ..a.clone() }, x.clone()], &shared));
        let elsewhere = placement(&[a.clone(), x.clone()], &own);
        assert!(!placement(&[a, x, says("y", "own")], &own).same_homes(&elsewhere));
    }

    #[test]
    fn who_is_not_in_its_own_view_has_no_place_to_judge_from() {
        let tenants = tenants("");
        let knows = |a: Option<Announcement>| {
            let nodes: Vec<_> = a.into_iter().chain([says("b", "shared")]).collect();
            knows_its_place(&placement(&nodes, &tenants))
        };
        assert!(knows(Some(says("a", "shared"))));
        assert!(knows(Some(Announcement { state: NodeState::Draining, ..says("a", "shared") })));
        assert!(!knows(None));
        assert!(!knows(Some(Announcement { weight: 0, ..says("a", "shared") })));
    }
}
