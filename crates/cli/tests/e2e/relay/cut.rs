//! A link breaks while its node lives, and is there again: nobody is told.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::crowd::{Crowd, Told};
use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_again_and_again_and_nobody_loses_anything() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 90).await;
    crowd.speak();
    let before: usize = site.links.iter().map(|link| link.connections()).sum();
    for _ in 0..40 {
        site.links[random.random_range(0..site.links.len())].cut();
        // The pace of the cuts is what is tested.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
    }
    crowd.all_hear(10);
    let again: usize = site.links.iter().map(|link| link.connections()).sum();
    assert!(again > before, "links were made anew");
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}

/// There is nobody at the node's address for a while, though the node lives: its rooms are served from elsewhere, and come
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_reached_for_seconds_is_gone_around() {
    let site = Site::start(3, 1).await;
    let mut crowd = Crowd::start(&site, 60).await;
    crowd.speak();
    site.links[0].shut();
    crowd.all_hear(10);
    // Long enough for the node to be tried again several times, in vain.
    tokio::time::sleep(Duration::from_secs(3)).await;
    crowd.all_hear(3);
    site.links[0].open();
    crowd.all_hear(10);
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}
