//! Three servers, three replicas: servers die and come back, and the epoch stays what it is.

use std::time::{Duration, Instant};

use ringway_backplane::store::StoreSettings;
use ringway_testkit::nats::NatsCluster;

use crate::site::{Hand, Keeper, PATIENCE, STREAM, at, key, settings};
use crate::split::{Load, Split, insist, many};

fn three(settings: &StoreSettings) -> StoreSettings {
    StoreSettings { replicas: 3, ..settings.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_die_and_come_back_and_the_epoch_stays() {
    let mut cluster = tokio::task::spawn_blocking(NatsCluster::start).await.expect("it starts");
    let urls = cluster.urls();
    let settings = three(&settings());
    let (one, other) = tokio::join!(Keeper::of(&urls, &settings), Keeper::of(&urls[1..], &settings));
    let epoch = one.epoch().await;
    assert_eq!(other.epoch().await, epoch);
    let hand = Hand::of(&urls).await;
    insist(&hand, "a", "first").await;
    assert_eq!(hand.config().await["num_replicas"], 3);

    let (mut cluster, leader) = tokio::task::spawn_blocking(move || {
        let leader = cluster.wait_leader(STREAM);
        cluster.server_mut(leader).kill();
        (cluster, leader)
    })
    .await
    .expect("it is killed");
    insist(&hand, "a", "second").await;
    let told = one.until("somebody is missed", |state| !state.warnings.is_empty()).await;
    assert!(told.warnings[0].contains("is kept on fewer servers than it should be: "), "{told:?}");
    assert_eq!((told.hurt, told.streams[0].epoch), (None, epoch));

    // Without most of them nothing is stored, and that is said; what was known stays.
    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.server_mut((leader + 1) % 3).kill();
        cluster
    })
    .await
    .expect("it is killed");
    let told = one.until("there is no quorum", |state| state.hurt.is_some()).await;
    assert_eq!(told.streams[0].epoch, epoch);

    let cluster = tokio::task::spawn_blocking(move || {
        for server in [leader, (leader + 1) % 3] {
            cluster.server_mut(server).restart();
        }
        cluster.wait_whole(STREAM);
        cluster
    })
    .await
    .expect("they are back");
    assert_eq!(one.epoch().await, epoch);
    assert_eq!(other.epoch().await, epoch);
    let (_, seq) = insist(&hand, "a", "third").await;
    assert_eq!(insist(&hand, "a", "third").await.1, seq);
    assert_eq!(one.looked(&hand).await.streams[0].epoch, epoch);
    drop(cluster);
}

/// A leader that is cut off goes on answering for a while. What it doesn't have must not be taken for what isn't stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_says_nothing_about_what_it_lacks() {
    let cluster = tokio::task::spawn_blocking(NatsCluster::start).await.expect("it starts");
    let urls = cluster.urls();
    let keeper = Keeper::of(&urls, &three(&settings())).await;
    let epoch = keeper.epoch().await;
    let (cluster, leader) = tokio::task::spawn_blocking(move || {
        cluster.wait_whole(STREAM);
        let leader = cluster.wait_leader(STREAM);
        (cluster, leader)
    })
    .await
    .expect("somebody leads");
    let room = at("a");
    // Whoever is with that server, and whoever isn't.
    let alone = Keeper::of(&urls[leader..=leader], &three(&settings())).await;
    assert_eq!(alone.epoch().await, epoch);
    let others = Hand::of(&urls[(leader + 1) % 3..=(leader + 1) % 3]).await;
    let (_, before) = insist(&others, "a", "before").await;
    assert!(alone.stores.extent(&room).await.expect("it leads").last >= before);
    cluster.cut_off(leader);
    let (_, after) = insist(&others, "a", "after").await;
    // From now on it may say so much, or nothing.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        for last in [
            alone.stores.extent(&room).await.map(|extent| extent.last),
            alone.stores.holding(&room).await.map(|holding| holding.last),
        ] {
            assert!(last.as_ref().map_or(true, |last| *last >= after), "{last:?}, and {after} is stored");
        }
        alone.stores.look_again(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.heal(leader);
    let deadline = Instant::now() + PATIENCE;
    while alone.stores.extent(&room).await.map(|extent| extent.last) != Ok(after) {
        assert!(Instant::now() < deadline, "it doesn't hear of what was stored");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((alone.epoch().await, keeper.epoch().await), (epoch, epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_under_load_nothing_is_lost_repeated_or_renumbered() {
    let cluster = tokio::task::spawn_blocking(NatsCluster::start).await.expect("it starts");
    let urls = cluster.urls();
    let keeper = Keeper::of(&urls, &three(&many())).await;
    let (epoch, hand) = (keeper.epoch().await, Hand::of(&urls).await);
    let load = Load::start(&urls, 12).await;
    hand.published(200).await;
    let split = Split::begin(&keeper, 2).await;
    let last = hand.published(0).await;
    hand.published(last + 100).await;
    println!("{} published; closed for {:?}", load.check(&hand).await, split.closed);
    let state = keeper.until("two streams", |state| state.streams.len() == 2 && state.hurt.is_none()).await;
    assert!(state.streams.iter().all(|stream| stream.epoch == epoch), "{state:?}");
    drop(cluster);
}
