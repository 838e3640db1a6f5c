//! Who is in the cluster, as a state machine without clock or network.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Announcement, View};
use crate::NodeId;

/// How long a node may say nothing before it leaves the view, in milliseconds: five announcements, so that three lost
/// ones and a pause are forgiven, and a dead node is gone within 3 s.
pub const SILENCE: u64 = 2_500;

/// How long the end of a run is remembered, in milliseconds: far longer than any announcement of it could be under way.
/// Without an end the names of nodes that never return would pile up.
const MEMORY_OF_DEPARTURES: u64 = 60_000;

/// Takes in announcements, departures and time, and says whether the view changed.
///
/// Times are milliseconds on any clock that never goes back. Don't call [`expire`](Self::expire) while the backplane is
/// known to be away (nobody can be heard then: serve by the last view), and call [`excuse`](Self::excuse) when it is
/// back, or after a pause of this process.
#[derive(Debug, Default)]
pub struct Membership {
    present: BTreeMap<NodeId, Present>,
    /// Ended runs: of each node the greatest incarnation known to have departed.
    ended: BTreeMap<NodeId, Ended>,
    /// The latest time seen: departures come without one.
    now_ms: u64,
    view: Arc<View>,
    /// Something is newer than `view`, be it a load only.
    stale: bool,
}

#[derive(Debug)]
struct Present {
    announcement: Arc<Announcement>,
    heard_ms: u64,
}

#[derive(Debug)]
struct Ended {
    incarnation: u64,
    since_ms: u64,
}

impl Membership {
    /// Nobody there.
    pub fn new() -> Self {
        Self::default()
    }

    /// An announcement came. True where the view changed in more than loads (connections, rooms, tenants' use).
    ///
    /// Words of a run that has departed, or that is older than the one present, are ignored: announcements and
    /// departures may come in any order. Of two nodes with one name the younger run counts while it speaks.
    pub fn heard(&mut self, announcement: Announcement, now_ms: u64) -> bool {
        self.now_ms = self.now_ms.max(now_ms);
        let ended = self.ended.get(&announcement.id);
        if ended.is_some_and(|ended| announcement.incarnation <= ended.incarnation) {
            return false;
        }
        let before = self.present.get(&announcement.id);
        if before.is_some_and(|before| announcement.incarnation < before.announcement.incarnation) {
            return false;
        }
        let same = before.is_some_and(|before| before.announcement.same_but_load(&announcement));
        self.stale |= before.is_none_or(|before| *before.announcement != announcement);
        let id = announcement.id.clone();
        let present = Present { announcement: Arc::new(announcement), heard_ms: self.now_ms };
        self.present.insert(id, present);
        !same
    }

    /// A node said that this run of it ends. True where it was in the view, and now isn't.
    ///
    /// The departure of an older run than the one present changes nothing.
    pub fn departed(&mut self, node: &NodeId, incarnation: u64) -> bool {
        let ended = self.ended.entry(node.clone()).or_insert(Ended { incarnation, since_ms: 0 });
        ended.incarnation = ended.incarnation.max(incarnation);
        ended.since_ms = self.now_ms;
        if self.present.get(node).is_none_or(|present| present.announcement.incarnation > incarnation) {
            return false;
        }
        self.present.remove(node);
        self.stale = true;
        true
    }

    /// Time passed. True where somebody left the view by being silent for [`SILENCE`].
    ///
    /// A node that was only slow is back with its next announcement, of the same run too.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        self.now_ms = self.now_ms.max(now_ms);
        let now_ms = self.now_ms;
        self.ended.retain(|_, ended| now_ms - ended.since_ms < MEMORY_OF_DEPARTURES);
        let before = self.present.len();
        self.present.retain(|_, present| now_ms - present.heard_ms < SILENCE);
        let changed = self.present.len() != before;
        self.stale |= changed;
        changed
    }

    /// Nobody could be heard until now (the backplane was away, the process stood still): everyone's silence begins anew.
    pub fn excuse(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        for present in self.present.values_mut() {
            present.heard_ms = self.now_ms;
        }
    }

    /// The view as of now. Cheap where nothing changed; where only loads did the tables are kept; else the tables of
    /// the pools that changed are made.
    pub fn view(&mut self) -> Arc<View> {
        if std::mem::take(&mut self.stale) {
            let nodes = self
                .present
                .iter()
                .map(|(id, present)| (id.clone(), Arc::clone(&present.announcement)))
                .collect();
            self.view = Arc::new(View::next(&self.view, nodes));
        }
        Arc::clone(&self.view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeState, Slot, TenantUse};

    fn says(id: &str, incarnation: u64) -> Announcement {
        Announcement {
            id: id.parse().unwrap(),
            incarnation,
            pool: "shared".parse().unwrap(),
            advertise: format!("{id}:7001"),
            public_url: None,
            weight: 1,
            state: NodeState::Serving,
            connections: 0,
            rooms: 0,
            tenants: Vec::new(),
            version: "1".to_owned(),
        }
    }

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn names(membership: &mut Membership) -> Vec<String> {
        membership.view().nodes().map(|node| format!("{}/{}", node.id, node.incarnation)).collect()
    }

    #[test]
    fn a_silent_node_leaves_within_three_seconds() {
        let mut membership = Membership::new();
        assert!(membership.heard(says("a", 1), 0));
        assert!(membership.heard(says("b", 1), 100));
        assert!(!membership.expire(SILENCE - 1));
        assert!(membership.expire(SILENCE));
        assert_eq!(names(&mut membership), ["b/1"]);
        assert!(!membership.expire(SILENCE));
    }

    #[test]
    fn a_node_that_was_only_slow_is_back_in_the_same_run() {
        let mut membership = Membership::new();
        for round in 0..5 {
            let at = round * 4_000;
            assert!(membership.heard(says("a", 1), at));
            assert!(membership.expire(at + 3_000));
            assert!(names(&mut membership).is_empty());
        }
    }

    #[test]
    fn a_late_announcement_does_not_revive_a_departed_run() {
        let mut membership = Membership::new();
        membership.heard(says("a", 5), 0);
        assert!(membership.departed(&id("a"), 5));
        for late in [5, 4, 1] {
            assert!(!membership.heard(says("a", late), 400));
        }
        membership.expire(MEMORY_OF_DEPARTURES - 1);
        assert!(!membership.heard(says("a", 5), MEMORY_OF_DEPARTURES));
        assert!(names(&mut membership).is_empty());
        assert!(membership.heard(says("a", 6), MEMORY_OF_DEPARTURES));
        assert_eq!(names(&mut membership), ["a/6"]);
    }

    #[test]
    fn a_departure_that_overtakes_its_run_still_ends_it() {
        let mut membership = Membership::new();
        assert!(!membership.departed(&id("a"), 5));
        assert!(!membership.heard(says("a", 5), 10));
        assert!(names(&mut membership).is_empty());
    }

    #[test]
    fn departures_out_of_order_end_what_they_name() {
        let mut membership = Membership::new();
        membership.heard(says("a", 7), 0);
        assert!(!membership.departed(&id("a"), 6), "an old run's end is not the new one's");
        assert_eq!(names(&mut membership), ["a/7"]);
        assert!(membership.departed(&id("a"), 8), "a newer run has been and gone");
        assert!(!membership.departed(&id("a"), 7));
        assert!(!membership.heard(says("a", 7), 5));
        assert!(!membership.heard(says("a", 8), 5));
        assert!(membership.heard(says("a", 9), 5));
    }

    #[test]
    fn a_new_run_replaces_the_old_one_for_good() {
        let mut membership = Membership::new();
        membership.heard(says("a", 1), 0);
        let moved = Announcement { advertise: "elsewhere:7001".to_owned(), ..says("a", 2) };
        assert!(membership.heard(moved, 10));
        assert!(!membership.heard(says("a", 1), 20));
        assert_eq!(membership.view().node(&id("a")).map(|node| &*node.advertise), Some("elsewhere:7001"));
    }

    #[test]
    fn loads_are_news_of_no_consequence() {
        let mut membership = Membership::new();
        membership.heard(says("a", 1), 0);
        let before = membership.view();
        assert!(!membership.heard(says("a", 1), 500));
        assert!(Arc::ptr_eq(&before, &membership.view()), "nothing new");
        assert!(!membership.heard(Announcement { connections: 70, ..says("a", 1) }, 1_000));
        let after = membership.view();
        assert_eq!(after.node(&id("a")).map(|node| node.connections), Some(70));
        let pool = "shared".parse().unwrap();
        assert!(std::ptr::eq(before.pool(&pool).members(), after.pool(&pool).members()), "the table is kept");
    }

    #[test]
    fn what_a_tenant_uses_is_added_up_and_is_a_load() {
        let used =
            |tenant: &str, connections| TenantUse { connections, ..TenantUse::none(tenant.parse().unwrap()) };
        let told = |id, tenants| Announcement { tenants, ..says(id, 1) };
        let mut membership = Membership::new();
        membership.heard(told("a", vec![used("acme", 3), used("zeta", 1)]), 0);
        membership.heard(told("b", vec![used("acme", 4), used("beta", 9)]), 0);
        assert!(!membership.heard(told("b", vec![used("acme", 5)]), 500));
        let (view, acme) = (membership.view(), "acme".parse().unwrap());
        assert_eq!(view.connections_of(&acme), 8);
        assert_eq!(view.connections_of(&"beta".parse().unwrap()), 0);
        assert_eq!(view.used_by(&acme, Some(&id("a"))), used("acme", 5));
    }

    #[test]
    fn who_drains_owns_nothing_and_stays_known() {
        let mut membership = Membership::new();
        membership.heard(says("a", 1), 0);
        membership.heard(says("b", 1), 0);
        membership.heard(Announcement { weight: 0, ..says("idle", 1) }, 0);
        assert!(membership.heard(Announcement { state: NodeState::Draining, ..says("a", 1) }, 1));
        let view = membership.view();
        let pool = "shared".parse().unwrap();
        assert!(Slot::all().all(|slot| view.owner(&pool, slot) == Some(&id("b"))));
        assert_eq!(view.nodes().len(), 3);
        assert_eq!(view.walk(&pool, Slot::new(3).unwrap()).collect::<Vec<_>>(), [&id("b")]);
        assert_eq!(view.owner(&"other".parse().unwrap(), Slot::new(3).unwrap()), None);
    }

    #[test]
    fn a_pool_that_did_not_change_keeps_its_table() {
        let mut membership = Membership::new();
        membership.heard(says("a", 1), 0);
        let other = |id| Announcement { pool: "acme".parse().unwrap(), ..says(id, 1) };
        membership.heard(other("x"), 0);
        let before = membership.view();
        membership.heard(other("y"), 0);
        let after = membership.view();
        let table = |view: &View, pool: &str| view.pool(&pool.parse().unwrap()).members().as_ptr();
        assert_eq!(table(&before, "shared"), table(&after, "shared"));
        assert_ne!(table(&before, "acme"), table(&after, "acme"));
    }

    #[test]
    fn after_a_cut_everyone_has_their_silence_anew() {
        let mut membership = Membership::new();
        membership.heard(says("a", 1), 0);
        membership.excuse(60_000);
        assert!(!membership.expire(60_000 + SILENCE - 1));
        assert!(membership.expire(60_000 + SILENCE));
    }

    #[test]
    fn the_memory_of_departures_ends() {
        let mut membership = Membership::new();
        for n in 0..1_000 {
            membership.departed(&id(&format!("n{n}")), 1);
        }
        membership.expire(MEMORY_OF_DEPARTURES);
        assert!(membership.ended.is_empty());
    }

    #[test]
    fn without_a_node_its_slots_have_the_owner_they_would_have() {
        let mut membership = Membership::new();
        for name in ["a", "b", "c", "d"] {
            membership.heard(says(name, 1), 0);
        }
        let pool = "shared".parse().unwrap();
        let with = membership.view();
        membership.departed(&id("c"), 1);
        let without = membership.view();
        for slot in Slot::all() {
            assert_eq!(with.owner_without(&pool, slot, &id("c")), without.owner(&pool, slot));
            assert_eq!(with.owner_without(&pool, slot, &id("nobody")), with.owner(&pool, slot));
        }
    }

    #[test]
    fn announcements_travel_by_field_name() {
        let tenants = vec![TenantUse { connections: 7, ..TenantUse::none("acme".parse().unwrap()) }];
        let said = Announcement { public_url: Some("wss://a.example".to_owned()), tenants, ..says("a", 3) };
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<Announcement>(&text).unwrap(), said);
        let newer = r#"{"id":"a","incarnation":1,"pool":"p","advertise":"a:1","weight":2,"state":"draining","zone":"z"}"#;
        let read: Announcement = serde_json::from_str(newer).unwrap();
        assert_eq!((read.state, read.connections, read.public_url), (NodeState::Draining, 0, None));
        assert!(serde_json::from_str::<Announcement>(&newer.replace("\"a\"", "\"-\"")).is_err());
    }
}
