//! What is too big for one node has several homes, each client one of them: as many clients at each, and nobody moves
//! who needn't.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway_protocol::name::{PoolId, TenantId};
use ringway_ring::{Announcement, KeyHash, MAX_SPREAD, Membership, NodeId, NodeState, Spread, View};

const SESSIONS: usize = 15_000;

fn pool() -> PoolId {
    "shared".parse().unwrap()
}

fn key(name: &str) -> KeyHash {
    let tenant: TenantId = "acme".parse().unwrap();
    KeyHash::of(&tenant, name)
}

fn announcement(node: &str) -> Announcement {
    Announcement::new(node.parse().unwrap(), 1, pool(), format!("{node}:7001"))
}

/// Of nodes `node-0` and so on.
fn view(nodes: usize) -> Arc<View> {
    let mut membership = Membership::new();
    for number in 0..nodes {
        membership.heard(announcement(&format!("node-{number}")), 0);
    }
    membership.view()
}

/// As gateways draw them: 128 bits in base64url. Here from a counter, so that a run is like the last.
fn sessions() -> impl Iterator<Item = String> {
    (0..SESSIONS).map(|number| {
        let bits = xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        format!("{bits:022x}")
    })
}

fn homes(view: &View, key: KeyHash, over: u8) -> Vec<NodeId> {
    sessions().map(|who| view.home(&pool(), key, over, &who).unwrap().clone()).collect()
}

fn counted(homes: &[NodeId]) -> BTreeMap<&NodeId, usize> {
    let mut counts = BTreeMap::new();
    for home in homes {
        *counts.entry(home).or_default() += 1;
    }
    counts
}

#[test]
fn the_homes_of_a_room_get_about_as_many() {
    for (nodes, over) in [(3, 3), (10, 3), (100, 3), (100, 16), (1_000, 64)] {
        let (view, fair) = (view(nodes), SESSIONS as f64 / f64::from(over));
        // Three standard deviations of fair draws beside the tenth that is promised for a few nodes.
        let most = (0.1 * fair).max(4.0 * fair.sqrt());
        for room in 0..5 {
            let homes = homes(&view, key(&format!("room-{room}")), over);
            let counts = counted(&homes);
            assert_eq!(counts.len(), usize::from(over));
            let worst = counts.values().map(|count| (*count as f64 - fair).abs()).fold(0.0, f64::max);
            println!("{over} of {nodes}: the worst is {:.1} % off", 100.0 * worst / fair);
            assert!(worst <= most, "{over} of {nodes}: {counts:?}");
        }
    }
}

#[test]
fn one_more_home_takes_its_share_and_nobody_else_moves() {
    let view = view(20);
    for room in 0..5 {
        let key = key(&format!("room-{room}"));
        let mut before = homes(&view, key, 1);
        assert!(before.iter().all(|home| Some(home) == view.owner(&pool(), key.slot())));
        for over in 2..=12_u8 {
            let after = homes(&view, key, over);
            let new = view.homes(&pool(), key, over).last().unwrap();
            let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            assert!(moved.iter().all(|(_, after)| *after == new), "only to the new one");
            let fair = SESSIONS as f64 / f64::from(over);
            assert!((moved.len() as f64 - fair).abs() < 0.15 * fair, "{} of {fair} at {over}", moved.len());
            before = after;
        }
    }
}

#[test]
fn when_a_home_goes_its_clients_go_to_all_others_alike_and_nobody_else_moves() {
    let mut membership = Membership::new();
    for number in 0..3 {
        membership.heard(announcement(&format!("node-{number}")), 0);
    }
    let (key, over) = (key("room"), 3);
    let before = homes(&membership.view(), key, over);
    let second: Vec<NodeId> =
        sessions().map(|who| membership.view().homes_of(&pool(), key, over, &who)[1].clone()).collect();
    membership.departed(&"node-1".parse().unwrap(), 1);
    let after = homes(&membership.view(), key, over);
    let mut gained: BTreeMap<&NodeId, usize> = BTreeMap::new();
    for ((before, after), second) in before.iter().zip(&after).zip(&second) {
        if before.as_str() == "node-1" {
            assert_eq!(after, second, "what a gateway tries next");
            *gained.entry(after).or_default() += 1;
        } else {
            assert_eq!(before, after);
        }
    }
    let fair = SESSIONS as f64 / 6.0;
    assert!(gained.values().all(|count| (*count as f64 - fair).abs() < 0.1 * fair), "{gained:?}");
}

#[test]
fn the_homes_of_one_client_are_those_of_the_room_its_own_first() {
    let view = view(10);
    for (number, who) in sessions().take(200).enumerate() {
        let (key, over) = (key(&format!("r{number}")), 1 + (number % 12) as u8);
        let homes = view.homes_of(&pool(), key, over, &who);
        assert_eq!(homes.first().copied(), view.home(&pool(), key, over, &who));
        let order: Vec<_> = view.order_of(&pool(), key, over, &who).collect();
        assert_eq!((&order[..homes.len()], order.len()), (&homes[..], 10), "then all others");
        assert_eq!(order.iter().collect::<std::collections::HashSet<_>>().len(), 10, "each once");
        let mut sorted = homes.clone();
        sorted.sort();
        let mut of_room: Vec<_> = view.homes(&pool(), key, over).collect();
        of_room.sort();
        assert_eq!(sorted, of_room);
        assert_eq!(homes.len(), usize::from(over).min(10));
    }
    assert!(View::default().homes_of(&pool(), key("r"), 3, "s").is_empty());
}

#[test]
fn what_the_owner_says_and_what_the_class_asks_for_the_greater_counts() {
    let mut membership = Membership::new();
    for number in 0..100 {
        membership.heard(announcement(&format!("node-{number:02}")), 0);
    }
    let (hot, other) = (key("hot"), key("other"));
    let count = |view: &View, key, at_least| view.homes(&pool(), key, at_least).count();
    assert_eq!(count(&membership.view(), hot, 1), 1);
    let says = |membership: &mut Membership, node: &str, over| {
        let spreads = vec![Spread { key: hot, over }];
        membership.heard(Announcement { spreads, ..announcement(node) }, 0)
    };
    assert!(says(&mut membership, "node-03", 5), "it is news");
    assert!(!says(&mut membership, "node-03", 5));
    let view = membership.view();
    assert_eq!([1, 3, 5, 7, 0].map(|at_least| count(&view, hot, at_least)), [5, 5, 5, 7, 5]);
    assert_eq!([1, 3].map(|at_least| count(&view, other, at_least)), [1, 3]);
    // Its slot moves: two speak of it for a while.
    assert!(says(&mut membership, "node-04", 2));
    assert_eq!(membership.view().spread_of(hot), 5);
    assert!(membership.departed(&"node-03".parse().unwrap(), 1));
    assert_eq!(membership.view().spread_of(hot), 2);
    assert!(says(&mut membership, "node-04", 200));
    assert_eq!(count(&membership.view(), hot, 1), usize::from(MAX_SPREAD));
    let spreads = Vec::new();
    assert!(membership.heard(Announcement { spreads, ..announcement("node-04") }, 0));
    assert_eq!(membership.view().spread_of(hot), 1);
}

#[test]
fn who_drains_is_nobodys_home() {
    let mut membership = Membership::new();
    for number in 0..4 {
        membership.heard(announcement(&format!("node-{number}")), 0);
    }
    let leaving = Announcement { state: NodeState::Draining, ..announcement("node-2") };
    membership.heard(leaving, 0);
    let homes = homes(&membership.view(), key("room"), 4);
    assert_eq!(counted(&homes).len(), 3);
    assert!(homes.iter().all(|home| home.as_str() != "node-2"));
}

#[test]
fn that_something_is_spread_moves_no_slot() {
    let mut membership = Membership::new();
    for number in 0..4 {
        membership.heard(announcement(&format!("node-{number}")), 0);
    }
    let before = membership.view();
    let spreads = vec![Spread { key: key("hot"), over: 3 }];
    assert!(membership.heard(Announcement { spreads, ..announcement("node-1") }, 0));
    let spread = membership.view();
    assert!(spread.has_the_places_of(&before) && before.has_the_places_of(&spread));
    membership.heard(Announcement { incarnation: 2, ..announcement("node-1") }, 0);
    let anew = membership.view();
    assert!(!anew.has_the_places_of(&spread), "what it held may be lost");
    membership.heard(Announcement { weight: 2, ..announcement("node-2") }, 0);
    assert!(!membership.view().has_the_places_of(&anew));
    let before = membership.view();
    membership.heard(announcement("node-9"), 0);
    assert!(!membership.view().has_the_places_of(&before));
    assert!(!View::default().has_the_places_of(&before));
}
