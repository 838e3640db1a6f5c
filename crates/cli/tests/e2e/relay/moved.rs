//! A node comes: what it owns from now on moves there behind the clients' backs.

use std::collections::BTreeMap;
use std::time::Instant;

use ringway_testkit::wait::until;

use super::SERVED;
use super::crowd::{Crowd, Told};
use super::site::Site;
use crate::support::node_of;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_node_owns_moves_there_and_nobody_is_told() {
    let mut site = Site::start(2, 2).await;
    let mut crowd = Crowd::start(&site, 120).await;
    crowd.speak();
    let began = Instant::now();
    let third = site.cluster.launcher.node("node-3", &[]);
    site.cluster.nodes.push(third);
    site.all_see(3);
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for member in &crowd.members {
        for room in member.record().rooms.keys() {
            let owner = node_of(site.gateway(), room.as_str());
            *expected.entry(format!("node {owner}")).or_default() += 1.0;
        }
    }
    assert!(expected.contains_key("node node-3"), "of twelve rooms it owns some: {expected:?}");
    for node in &site.cluster.nodes {
        let count = expected.get(&node.name).copied().unwrap_or_default();
        until(&format!("{} has {count} members", node.name), SERVED, || {
            (node.metrics().sum("ringway_members", &[]) == count).then_some(())
        });
    }
    println!("all are at their owners {:?} after the node was started", began.elapsed());
    crowd.all_hear(3);
    // From then on nothing crosses nodes.
    let elsewhere = || site.of_nodes("ringway_deliveries_total", &["place=\"elsewhere\""]);
    let before = elsewhere();
    crowd.all_hear(5);
    assert_eq!(elsewhere(), before);
    crowd.silences("a node came", (began, Instant::now()));
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}
