//! A node is killed without a word, under clients whose home it is, and whose rooms it has.

use std::time::Instant;

use super::crowd::{Crowd, Told};
use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_killed_and_nobodys_socket_is_closed() {
    let mut site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 300).await;
    assert_eq!(crowd.nodes().len(), 3, "each node is home to some");
    crowd.speak();
    let killed = Instant::now();
    site.cluster.nodes.remove(0).kill();
    crowd.all_hear(10);
    crowd.silences("killed", (killed, Instant::now()));
    site.all_see(2);
    crowd.all_hear(3);
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::NewEpoch(&["node-1"]));
}

/// Two of three, one after the other: who went from the first to the second goes on to the third.
#[tokio::test(flavor = "multi_thread")]
async fn one_node_after_the_other_is_killed_and_nobodys_socket_is_closed() {
    let mut site = Site::start(3, 1).await;
    let mut crowd = Crowd::start(&site, 60).await;
    crowd.speak();
    for left in [2, 1] {
        site.cluster.nodes.remove(0).kill();
        crowd.all_hear(5);
        site.all_see(left);
    }
    crowd.all_hear(3);
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Truth(&["node-1", "node-2", "node-3"]));
}
