use super::*;
use crate::{NodeState, Slot, TenantUse};

fn says(id: &str, incarnation: u64) -> Announcement {
    Announcement::new(id.parse().unwrap(), incarnation, "shared".parse().unwrap(), format!("{id}:7001"))
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
        let at = round * 14_000;
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

/// Who has slots.
fn placed(membership: &mut Membership) -> Vec<String> {
    let view = membership.view();
    let members = view.pool(&"shared".parse().unwrap()).members();
    members.iter().map(|(id, _)| id.to_string()).collect()
}

/// Says that the others live, so that only one changes.
fn others(membership: &mut Membership, names: &[&str], now_ms: u64) {
    for name in names {
        assert!(!membership.heard(says(name, 1), now_ms), "{name} is as ever");
    }
}

#[test]
fn a_node_that_is_started_anew_again_and_again_is_held_back_until_it_stands() {
    let mut membership = Membership::new();
    for name in ["a", "b", "flaps"] {
        membership.heard(says(name, 1), 0);
    }
    // Killed and started every two seconds: never silent for long enough to leave.
    assert!(membership.heard(says("flaps", 2), 2_000));
    assert_eq!(placed(&mut membership), ["a", "b", "flaps"]);
    others(&mut membership, &["a", "b"], 3_999);
    assert!(membership.heard(says("flaps", 3), 4_000));
    assert_eq!(placed(&mut membership), ["a", "b"]);
    let view = membership.view();
    assert!(view.is_held(&id("flaps")) && view.node(&id("flaps")).is_some(), "known, and not placed");
    for now in (4_500..14_000).step_by(500) {
        others(&mut membership, &["a", "b"], now);
        assert!(!membership.heard(says("flaps", 3), now) && !membership.expire(now));
    }
    others(&mut membership, &["a", "b"], 14_000);
    assert!(membership.expire(14_000), "it has stood for ten seconds");
    assert_eq!(placed(&mut membership), ["a", "b", "flaps"]);
    assert!(!membership.view().is_held(&id("flaps")));
}

#[test]
fn who_drains_and_serves_by_turns_is_held_back_too() {
    let mut membership = Membership::new();
    membership.heard(says("a", 1), 0);
    for (at, state) in [(0, NodeState::Serving), (100, NodeState::Draining), (200, NodeState::Serving)] {
        assert!(membership.heard(Announcement { state, ..says("b", 1) }, at));
    }
    assert_eq!(placed(&mut membership), ["a", "b"]);
    membership.departed(&id("b"), 1);
    assert!(membership.heard(says("b", 2), 300));
    assert_eq!(placed(&mut membership), ["a"]);
}

#[test]
fn of_a_pool_half_are_held_back_at_most() {
    let mut membership = Membership::new();
    let flap = |membership: &mut Membership, name: &str| {
        for run in 1..5 {
            membership.heard(says(name, run), 0);
        }
    };
    flap(&mut membership, "only");
    assert_eq!(placed(&mut membership), ["only"], "there is no other");
    assert!(membership.heard(says("second", 1), 0));
    assert_eq!(placed(&mut membership), ["second"]);
    flap(&mut membership, "third");
    assert_eq!(placed(&mut membership), ["only", "second", "third"], "two of three: it isn't they");
    assert!(membership.heard(says("fourth", 1), 0));
    assert_eq!(placed(&mut membership), ["fourth", "second"]);
    let other = Announcement { pool: "acme".parse().unwrap(), ..says("x", 1) };
    assert!(membership.heard(other, 0));
    assert!(membership.departed(&id("fourth"), 1));
    assert_eq!(placed(&mut membership), ["only", "second", "third"], "another pool's nodes don't count");
}

#[test]
fn who_restarts_with_a_clock_that_went_back_is_heard() {
    let mut membership = Membership::new();
    membership.heard(says("a", 9_000), 0);
    // Without a departure: once the old run's silence is over.
    assert!(!membership.heard(says("a", 4_000), 1_000));
    assert_eq!(membership.outlived(&says("a", 4_000)), None, "the old run may live");
    assert!(membership.expire(SILENCE));
    assert!(membership.heard(says("a", 4_000), SILENCE));
    // With one: it can be told which run it has to be younger than.
    membership.departed(&id("a"), 4_000);
    assert_eq!(membership.outlived(&says("a", 2_000)), Some(4_000));
    assert!(!membership.heard(says("a", 2_000), SILENCE));
    assert_eq!(membership.outlived(&says("a", 4_001)), None);
    assert!(membership.heard(says("a", 4_001), SILENCE));
}

#[test]
fn words_that_come_while_a_view_is_made_are_in_the_next() {
    let mut membership = Membership::new();
    membership.heard(says("a", 1), 0);
    let draft = membership.draft().unwrap();
    assert!(membership.draft().is_none());
    membership.heard(says("b", 1), 0);
    membership.made(draft.make());
    let next = membership.draft().unwrap().make();
    assert_eq!(next.nodes().len(), 2);
    membership.made(next);
    assert!(membership.draft().is_none());
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
    let newer =
        r#"{"id":"a","incarnation":1,"pool":"p","advertise":"a:1","weight":2,"state":"draining","zone":"z"}"#;
    let read: Announcement = serde_json::from_str(newer).unwrap();
    assert_eq!((read.state, read.connections, read.public_url), (NodeState::Draining, 0, None));
    assert!(serde_json::from_str::<Announcement>(&newer.replace("\"a\"", "\"-\"")).is_err());
}

#[test]
fn who_fell_silent_is_known_until_it_speaks_departs_or_is_forgotten() {
    let mut membership = Membership::new();
    let is_silent = |membership: &mut Membership| membership.view().is_silent(&id("a"));
    membership.heard(says("a", 1), 0);
    assert!(!is_silent(&mut membership));
    membership.expire(SILENCE);
    assert!(is_silent(&mut membership));
    membership.heard(says("a", 1), SILENCE + 1);
    assert!(!is_silent(&mut membership));
    membership.expire(2 * SILENCE + 1);
    assert!(is_silent(&mut membership));
    membership.departed(&id("a"), 1);
    assert!(!is_silent(&mut membership));
    // Who says good-bye was never silent.
    membership.heard(says("a", 2), 3 * SILENCE);
    membership.departed(&id("a"), 2);
    assert!(!is_silent(&mut membership));
    membership.heard(says("a", 3), 4 * SILENCE);
    membership.expire(5 * SILENCE);
    assert!(is_silent(&mut membership));
    membership.expire(5 * SILENCE + MEMORY_OF_DEPARTURES);
    membership.heard(says("b", 1), 5 * SILENCE + MEMORY_OF_DEPARTURES);
    assert!(!is_silent(&mut membership));
}
