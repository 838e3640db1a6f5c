//! Connections that end at the worst moment: nothing of them is left at any node.

use std::time::Duration;

use ringway_testkit::wait::until;
use serde_json::json;

use super::SERVED;
use super::site::Site;
use crate::bare::{Bare, home, text, upgrade};

/// Nothing is left of anybody: no connection, no membership, no seat.
fn all_gone(site: &Site) {
    for gauge in ["ringway_connections", "ringway_members", "ringway_gateway_connections"] {
        until(&format!("{gauge} is 0"), SERVED, || {
            (site.of_nodes(gauge, &[]) + site.of_gateways(gauge, &[]) == 0.0).then_some(())
        });
    }
    for process in site.cluster.nodes.iter().chain(&site.cluster.gateways) {
        assert_eq!(process.readyz(), Some(200), "{}", process.log());
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closes_while_its_open_is_on_its_way_leaves_nothing() {
    let site = Site::start(2, 1).await;
    let (here, there) = (site.room_on("node-2", "here").await, site.room_on("node-1", "there").await);
    // The links are made by others before.
    let _standing = [&here, &there].map(|room| Bare::in_room(site.gateway(), room));
    let mut members: Vec<Bare> = (0..20).map(|_| Bare::in_room(site.gateway(), &here)).collect();
    site.links[0].silence();
    let mut all: Vec<Bare> = Vec::new();
    for member in &mut members {
        member.say(&json!({"t": "join", "id": 1, "room": there}));
        member.say(&json!({"t": "pub", "id": 2, "room": there, "data": 1}));
    }
    for _ in 0..20 {
        let mut bare = Bare::open(site.gateway());
        bare.send(upgrade(&home(&there), &[]));
        all.push(bare);
    }
    // So that the gateway has taken them in.
    members.iter_mut().for_each(Bare::is_alive);
    all.into_iter().chain(members).for_each(Bare::reset);
    site.links[0].open();
    drop(_standing);
    all_gone(&site);
}

/// Joins of fifty rooms, of all nodes, and the end in the same instant.
#[tokio::test(flavor = "multi_thread")]
async fn joins_and_the_end_in_one_instant_leave_nothing() {
    let site = Site::start(3, 1).await;
    for round in 0..200 {
        let mut bare = Bare::in_room(site.gateway(), &format!("home {round}"));
        let joins = (0..50)
            .flat_map(|n| text(&json!({"t": "join", "id": n, "room": format!("r {round} {n}")}).to_string()));
        bare.send(joins.collect::<Vec<u8>>());
        if round % 2 == 0 {
            bare.reset();
        }
    }
    all_gone(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_go_while_links_are_cut_nothing_is_left() {
    let site = Site::start(3, 1).await;
    for round in 0..5 {
        let mut all: Vec<Bare> =
            (0..40).map(|n| Bare::in_room(site.gateway(), &format!("home {round} {n}"))).collect();
        for (n, bare) in all.iter_mut().enumerate() {
            for room in 0..5 {
                bare.say(&json!({"t": "join", "id": room, "room": format!("{n} {room}")}));
            }
        }
        site.links.iter().for_each(ringway_testkit::proxy::Proxy::cut);
        for (n, bare) in all.into_iter().enumerate() {
            if n % 2 == 0 {
                bare.reset();
            }
            if n == 20 {
                site.links[n % 3].cut();
            }
        }
        // Between two rounds, and not always at the same moment of what the last one left.
        tokio::time::sleep(Duration::from_millis(30 * round)).await;
    }
    all_gone(&site);
}
