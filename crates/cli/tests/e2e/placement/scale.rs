//! Nodes come and leave, as an autoscaler has it: from three to five, and down to two.

use std::collections::BTreeMap;

use super::crowd::{Crowd, Size};
use super::site::{Site, owner};
use super::steps::Steps;
use super::verdicts::Told;
use crate::support::open_over;

const TENANT: &str = "default";

#[tokio::test(flavor = "multi_thread")]
async fn from_three_nodes_to_five_and_to_two_nobody_loses_anything() {
    up_and_down(Size::SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn from_three_nodes_to_five_and_to_two_two_hundred_clients_lose_nothing() {
    up_and_down(Size::LARGE).await;
}

async fn up_and_down(size: Size) {
    let mut site = Site::start(3, 2, open_over);
    let mut crowd = Crowd::start(TENANT, &site.gateways(), size);
    let mut nodes = vec!["node-1", "node-2", "node-3"];
    assert_eq!(crowd.misplaced(|room| owner(&nodes, TENANT, room)), 0, "everybody begins at home");
    crowd.speak();
    let mut steps = Steps::new("From 3 nodes to 5, and to 2");
    for node in ["node-4", "node-5"] {
        steps.step(&format!("{node} joins"), &crowd, || site.add(node, &[]));
        nodes.push(node);
    }
    steps.step("clients move to them", &crowd, || come_home(&site, &crowd, &nodes));
    for node in ["node-2", "node-5", "node-1"] {
        steps.step(&format!("{node} leaves"), &crowd, || site.retire(node));
        nodes.retain(|other| *other != node);
    }
    steps.step("clients move to the last", &crowd, || come_home(&site, &crowd, &nodes));
    crowd.fall_silent().await;
    steps.print(&crowd);
    crowd.assert_kept(Told::Nothing);
}

/// Waits until everybody is where their home room is.
fn come_home(site: &Site, crowd: &Crowd, nodes: &[&str]) {
    crowd.come_home(site, BTreeMap::new(), |room| owner(nodes, TENANT, room));
}
