//! A gateway that is cut off from NATS while a node joins: it goes by its last view, and its clients notice nothing.

use std::time::{Duration, Instant};

use ringway_testkit::wait::until;

use super::crowd::{Crowd, Size};
use super::site::Site;
use super::steps::Steps;
use super::verdicts::Told;
use crate::support::open_over;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_doesnt_hear_of_a_new_node_serves_as_before() {
    joins_unseen(Size::SMALL, Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn a_gateway_that_is_cut_off_for_half_a_minute_serves_two_hundred_clients_as_before() {
    joins_unseen(Size::LARGE, Duration::from_secs(30)).await;
}

async fn joins_unseen(size: Size, cut_for: Duration) {
    let mut site = Site::with_a_gateway_to_be_cut_off(2, open_over).await;
    let [blind, seeing] = site.gateways()[..] else { panic!("two gateways") };
    let mut crowd = Crowd::start("default", &[blind, seeing], size);
    crowd.speak();
    let mut steps = Steps::new("A gateway is cut off from NATS while a node joins");
    let cut = Instant::now();
    steps.step("the gateway is cut off", &crowd, || {
        site.cut();
        let gateway = &site.cluster.gateways[0];
        until("it says so", Duration::from_secs(10), || (gateway.readyz() == Some(503)).then_some(()));
    });
    steps.step("node-3 joins", &crowd, || site.add("node-3", &[]));
    // They go by different views, and are members of the same rooms.
    for (called, gateway) in [("unseeing", blind), ("seeing", seeing)] {
        crowd.join_through(gateway, called, size.rooms);
    }
    let on_the_new = |called: &str| {
        let of = crowd.followers.iter().filter(|follower| follower.name.starts_with(called));
        of.filter(|follower| follower.record().opened[0].1 == "node-3").count()
    };
    assert_eq!(on_the_new("unseeing"), 0, "the gateway that is cut off hasn't heard of it");
    assert!(on_the_new("seeing") > 0, "the other sends clients there");
    steps.step("still cut off", &crowd, || {
        // So long it is cut off, whatever took how long above.
        std::thread::sleep(cut_for.saturating_sub(cut.elapsed()));
    });
    steps.step("the gateway is back", &crowd, || site.mend());
    crowd.fall_silent().await;
    steps.print(&crowd);
    crowd.assert_kept(Told::Nothing);
}
