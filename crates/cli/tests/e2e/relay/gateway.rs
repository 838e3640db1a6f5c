//! A gateway ends: asked to, it speaks to its clients itself; killed, they come back through the other.

use std::time::Duration;

use ringway_testkit::processes::ended_well;
use ringway_testkit::wait::until;

use super::SERVED;
use super::crowd::{Crowd, Told};
use super::site::Site;
use crate::bare::Bare;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_asked_to_leave_tells_its_clients() {
    let mut site = Site::start(2, 2).await;
    let rooms = [site.room_on("node-1", "a.").await, site.room_on("node-2", "b.").await];
    let mut members: Vec<Bare> = (0..100).map(|n| Bare::in_room(site.gateway(), &rooms[n % 2])).collect();
    let mut elsewhere = Bare::in_room(site.cluster.gateways[1].listen, &rooms[0]);
    let gateway = &mut site.cluster.gateways[0];
    gateway.terminate();
    for (n, member) in members.iter_mut().enumerate() {
        let goaway = member.until(|frame| frame["t"] == "goaway");
        assert_eq!(goaway["after"], 0, "{n}: {goaway}");
        assert_eq!(member.close_frame().0, 1012, "{n}");
    }
    let status = gateway.wait_end(Duration::from_secs(20));
    assert!(ended_well(status), "{status}\n{}", gateway.log());
    let log = gateway.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
    until("the nodes have forgotten them", SERVED, || {
        (site.of_nodes("ringway_members", &[]) == 1.0).then_some(())
    });
    elsewhere.is_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_killed_and_its_clients_lose_nothing() {
    let mut site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 60).await;
    crowd.speak();
    site.cluster.gateways.remove(0).kill();
    crowd.all_hear(10);
    crowd.fall_silent().await;
    crowd.judge(Told::Nothing);
    // Of the links that broke nothing is left.
    let members: usize = crowd.members.iter().map(|member| member.record().rooms.len()).sum();
    until("each is a member once", SERVED, || {
        (site.of_nodes("ringway_members", &[]) == members as f64).then_some(())
    });
}
