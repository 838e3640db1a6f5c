//! A link on which nothing moves any more, and nobody is told.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Told};
use super::site::Site;

/// Longer than a link waits for a sign of life.
const STALL: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_link_stalls_and_its_clients_are_served_another_way() {
    let site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 90).await;
    crowd.speak();
    let silent = Instant::now();
    site.links[0].silence();
    crowd.all_hear(10);
    crowd.silences("stalled", (silent, Instant::now()));
    // All in all it stalls for that long.
    tokio::time::sleep(STALL.saturating_sub(silent.elapsed())).await;
    // What was on its way comes after all: nobody wants it any more.
    site.links[0].open();
    crowd.all_hear(10);
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}

/// For less than that: it is late, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_stalls_for_a_second_is_only_late() {
    let site = Site::start(2, 1).await;
    let mut crowd = Crowd::start(&site, 40).await;
    crowd.speak();
    for _ in 0..3 {
        site.links[0].silence();
        // Shorter than what a link may be silent for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        site.links[0].open();
        crowd.all_hear(5);
    }
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn a_link_stalls_for_thirty_seconds() {
    let site = Site::start(3, 1).await;
    let mut crowd = Crowd::start(&site, 60).await;
    crowd.speak();
    let silent = Instant::now();
    site.links[0].silence();
    crowd.all_hear(20);
    // All in all it stalls for that long.
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(silent.elapsed())).await;
    site.links[0].open();
    crowd.all_hear(10);
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}
