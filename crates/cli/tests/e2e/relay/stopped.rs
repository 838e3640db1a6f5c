//! A node stands still, for longer than others wait for it, and then goes on as if nothing had been.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Told};
use super::site::Site;

/// Longer than a link waits for a sign of life, and than others have a silent node in their view.
const STILL: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stands_still_and_nobodys_socket_is_closed() {
    let site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 300).await;
    crowd.speak();
    let stopped = Instant::now();
    site.cluster.nodes[0].pause();
    // Its rooms are served by others, while it stands.
    crowd.all_hear(10);
    crowd.silences("stopped", (stopped, Instant::now()));
    // All in all it stands still for that long.
    tokio::time::sleep(STILL.saturating_sub(stopped.elapsed())).await;
    let resumed = Instant::now();
    site.cluster.nodes[0].resume();
    site.all_see(3);
    crowd.all_hear(10);
    crowd.silences("and back", (resumed, Instant::now()));
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Truth(&["node-1"]));
}

/// Not for so long that anybody would have given it up: then it is only late.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_half_a_second_is_only_late() {
    let site = Site::start(2, 1).await;
    let mut crowd = Crowd::start(&site, 40).await;
    crowd.speak();
    for _ in 0..3 {
        let stopped = Instant::now();
        site.cluster.nodes[0].pause();
        // Shorter than what a link may be silent for.
        tokio::time::sleep(Duration::from_millis(500).saturating_sub(stopped.elapsed())).await;
        site.cluster.nodes[0].resume();
        crowd.all_hear(5);
    }
    crowd.fall_silent().await;
    crowd.stayed();
    // On a busy machine it may have been given up all the same.
    crowd.judge(Told::Truth(&["node-1"]));
}
