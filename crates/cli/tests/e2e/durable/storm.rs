//! Everything breaks while clients speak and are cut off at random, and nothing acknowledged is lost, nothing comes twice,
//! and there is one order.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Size};
use super::figures::Steps;
use super::record::{assert_kept, assert_sabotage_is_found};
use super::site::{Nats, Site};

/// `STORM_SEED`, or chance.
pub(super) fn seed() -> u64 {
    let given = std::env::var("STORM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("STORM_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_storm_loses_nothing() {
    let seed = seed();
    let size = Size {
        clients: 32,
        durable: 8,
        newest: 2,
        ephemeral: 2,
        every: Duration::from_millis(100),
        cut_every: Duration::from_millis(150),
    };
    let mut site = Site::start(Nats::one(), 3, 2);
    let mut crowd = Crowd::start(&site.gateways(), size).await;
    crowd.speak();
    let cutting = crowd.cut_at_random(seed);
    let mut steps = Steps::new("A short storm");
    steps.step("clients are cut off at random", &crowd, || crowd.all_hear(10));
    steps.step("a node is killed", &crowd, || site.kill_a_node());
    steps.step("the NATS server is restarted", &crowd, || {
        let Nats::One(server) = &mut site.nats else { panic!("there is one") };
        server.restart();
    });
    steps.step("the stream is split in two", &crowd, || site.split(2));
    cutting.stop().await;
    crowd.fall_silent().await;
    let rooms = crowd.settled(&site.nats);
    steps.print(&crowd);
    assert_kept(&rooms, false);
    assert_sabotage_is_found(&rooms, seed);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn a_storm_of_a_minute_over_three_nats_servers_loses_nothing() {
    let seed = seed();
    let size = Size {
        clients: 200,
        durable: 40,
        newest: 6,
        ephemeral: 10,
        every: Duration::from_millis(250),
        cut_every: Duration::from_millis(100),
    };
    let mut site = Site::start(Nats::three(), 3, 2);
    let mut crowd = Crowd::start(&site.gateways(), size).await;
    crowd.speak();
    let began = Instant::now();
    let cutting = crowd.cut_at_random(seed);
    let mut steps = Steps::new("A storm");
    steps.step("clients are cut off at random", &crowd, || crowd.all_hear(10));
    steps.step("a node is killed", &crowd, || site.kill_a_node());
    steps.step("another joins", &crowd, || site.add_a_node());
    let stream = site.nats.streams("talk").remove(0);
    let leader = site.nats.three_of_them().wait_leader(&stream);
    steps.step("the stream's leader is killed", &crowd, || {
        site.nats.three_of_them().server_mut(leader).kill();
    });
    steps.step("it is started again", &crowd, || {
        site.nats.three_of_them().server_mut(leader).restart();
        site.nats.wait_whole();
    });
    steps.step("a NATS server is cut off for 10 s", &crowd, || {
        let nats = site.nats.three_of_them();
        let leader = nats.wait_leader(&stream);
        nats.cut_off(leader);
        // So long it is cut off: there is nothing to be waited for.
        std::thread::sleep(Duration::from_secs(10));
        nats.heal(leader);
        site.nats.wait_whole();
        site.all_see_all();
    });
    steps.step("the stream is split in two", &crowd, || site.split(2));
    steps.step("until a minute is over", &crowd, || {
        std::thread::sleep(Duration::from_secs(60).saturating_sub(began.elapsed()));
    });
    cutting.stop().await;
    crowd.fall_silent().await;
    let rooms = crowd.settled(&site.nats);
    steps.print(&crowd);
    assert_kept(&rooms, true);
    assert_sabotage_is_found(&rooms, seed);
}
