//! Spread because it has become too big.

use std::time::Duration;

use ringway_ring::{Slot, SlotTable};
use ringway_testkit::http;
use ringway_testkit::wait::until;

use super::{LONG, WITHIN, all_say, by_node, cluster, cut_all_until, deliveries, members};
use crate::cluster::Cluster;
use crate::member::{all_joined, settled};
use crate::support::{name, node_of};

/// Few enough for a test. Who sits elsewhere than at home stays there until it comes back by itself.
const SIXTY: &str = "[placement]\nspread_members = 60\nspread_deliveries = 0\nmoves_per_second = 0\n";

/// Waits until every process has heard that the room is spread over so many nodes: or more, since those who come back may
/// be counted twice for a moment.
fn spread_over(cluster: &Cluster, over: u64) {
    for process in cluster.gateways.iter().chain(&cluster.nodes) {
        until(&format!("{} knows that it is spread over {over}", process.name), WITHIN, || {
            let answer = http::get(process.admin, "/debug/ring").ok()?;
            let ring: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            let spreads = ring["nodes"].as_array()?.iter().filter_map(|node| node["spreads"].as_array());
            let told: Vec<u64> = spreads.flatten().filter_map(|spread| spread["over"].as_u64()).collect();
            (told.len() == 1 && told[0] >= over).then_some(())
        });
    }
}

/// The first homes of a room on the ring of the three nodes.
fn homes(over: usize, owner: &str, room: &str) -> Vec<String> {
    let nodes: Vec<_> = ["node-1", "node-2", "node-3"].map(|node| (node.parse().unwrap(), 1)).into();
    let slot = Slot::of_room(&"default".parse().unwrap(), &name(room));
    let homes: Vec<String> =
        SlotTable::build(&nodes).walk(slot).take(over).map(ToString::to_string).collect();
    assert_eq!(homes[0], owner);
    homes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_grows_is_spread_over_more_and_more_nodes() {
    let cluster = cluster(&format!("{SIXTY}[[classes]]\nrooms = \"**\"\n{LONG}"));
    let room = "concert";
    let owner = node_of(cluster.gateway(), room);
    let mut all = members(&cluster, room, 0..50);
    all_joined(&all);
    let at_owner = by_node(&all).get(&owner).copied().unwrap_or(0);
    assert!(at_owner >= 45, "{at_owner} of 50 are on the only home");
    // From the beginning to the end there is always somebody who speaks.
    let talks =
        [all[0].talk(room, Duration::from_millis(100)), all[1].talk(room, Duration::from_millis(130))];

    all.extend(members(&cluster, room, 50..64));
    all_joined(&all);
    spread_over(&cluster, 2);
    let homes = homes(2, &owner, room);
    cut_all_until(&all, |_, node| homes.iter().any(|home| home == node));
    let nodes = by_node(&all);
    println!("64 over two nodes: {nodes:?}");
    assert!(homes.iter().all(|home| nodes[home] >= 8), "{nodes:?}");

    all.extend(members(&cluster, room, 64..130));
    all_joined(&all);
    spread_over(&cluster, 3);
    let before: Vec<String> = all.iter().map(|member| member.node()).collect();
    // All three are homes by now, and who had one of the two keeps it or goes to the third.
    let is_new = |node: &str| homes.iter().all(|home| home != node);
    cut_all_until(&all, |number, node| number >= 64 || node == before[number] || is_new(node));
    let nodes = by_node(&all);
    println!("130 over three nodes: {nodes:?}");
    assert!(nodes.len() == 3 && nodes.values().all(|count| *count >= 12), "{nodes:?}");

    for talk in talks {
        talk.stop().await;
    }
    let verdict = settled(room, &all, WITHIN).assert_kept();
    assert_eq!(verdict.new_epochs, 0, "one node numbers it throughout: {verdict}");
    let [home, elsewhere] = deliveries(&cluster);
    all_say(&all[..20], room, 5);
    settled(room, &all, WITHIN).assert_kept();
    let now = deliveries(&cluster);
    assert_eq!(now, [home + 100.0 * 130.0, elsewhere], "where its members sit they are at home");
    let sizes: f64 = cluster.nodes.iter().map(|node| node.metrics().sum("ringway_spread_keys", &[])).sum();
    assert_eq!(sizes, 1.0);
    for member in &all {
        assert_eq!(member.record().strange, [""; 0], "{}", member.name);
    }
}
