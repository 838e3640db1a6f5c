//! A node dies without a word under load.

use std::time::Instant;

use super::crowd::{Crowd, Size};
use super::site::Site;
use super::steps::Steps;
use super::verdicts::Told;
use crate::support::open_over;

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_dies_its_clients_are_told_and_the_others_lose_nothing() {
    dies(Size::SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn when_a_node_dies_two_hundred_clients_are_told() {
    dies(Size::LARGE).await;
}

async fn dies(size: Size) {
    let mut site = Site::start(3, 2, open_over);
    let mut crowd = Crowd::start("default", &site.gateways(), size);
    crowd.speak();
    let mut steps = Steps::new("A node dies");
    steps.step("before", &crowd, || crowd.all_hear(5));
    let from = Instant::now();
    let to = steps.step("node-1 is killed", &crowd, || {
        site.kill("node-1");
        let to = Instant::now();
        site.all_see_all();
        to
    });
    steps.step("after", &crowd, || crowd.all_hear(5));
    crowd.fall_silent().await;
    steps.print(&crowd);
    crowd.assert_kept(Told::Death { from, to });
    crowd.rooms_of_the_living_go_on("node-1", &["node-1", "node-2", "node-3"]);
}

impl Crowd {
    /// Rooms that the dead node didn't own have the epoch that they had, and who was in them was told of nothing.
    fn rooms_of_the_living_go_on(&self, dead: &str, nodes: &[&str]) {
        let mut living = 0;
        for follower in &self.followers {
            let record = follower.record();
            for (room, heard) in &record.rooms {
                if super::site::owner(nodes, follower.tenant, room.as_str()) != dead {
                    living += 1;
                    heard.assert_told_nothing(&format!("{} {room}", follower.name));
                }
            }
        }
        assert!(living > 0);
    }
}
