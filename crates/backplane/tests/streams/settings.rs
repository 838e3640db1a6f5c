//! Streams are as the configuration says, and what a hand changes is put back and told.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_backplane::store::StoreSettings;
use serde_json::json;

use crate::site::{STREAM, Site, key, settings};
use crate::world::LIMIT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_settings_change_the_stream_and_other_processes_are_left_in_peace() {
    let site = Site::start();
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let epoch = one.epoch().await;
    other.well().await;
    let longer = StoreSettings {
        messages_per_room: Some(500),
        age: Some(Duration::from_secs(10)),
        repeat_window: Duration::from_secs(60),
        bytes: Some(1 << 20),
        refuse_when_full: true,
        ..settings()
    };
    one.stores.configure(BTreeMap::from([(key(), longer)]));
    let told = other
        .until("the other says that it has another configuration", |state| !state.warnings.is_empty())
        .await;
    assert!(told.warnings[0].contains("another process's configuration"), "{told:?}");
    assert!(told.warnings[0].contains("max_msgs_per_subject"), "{told:?}");
    assert_eq!(told.hurt, None);
    assert_eq!(told.streams[0].epoch, epoch);
    let hand = site.hand().await;
    let config = hand.config().await;
    assert_eq!(config["max_msgs_per_subject"], 501);
    assert_eq!(config["max_age"], 10_000_000_000_u64);
    // No longer than the messages themselves.
    assert_eq!(config["duplicate_window"], 10_000_000_000_u64);
    assert_eq!(config["max_bytes"], 1 << 20);
    assert_eq!(config["discard"], "new");
    let state = one.well().await;
    assert_eq!((state.warnings, state.streams[0].epoch), (Vec::new(), epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hand_changed_is_put_back_and_told_and_what_isnt_ours_stays() {
    let site = Site::start();
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let epoch = one.epoch().await;
    other.well().await;
    let hand = site.hand().await;
    hand.edit(|config| {
        config["description"] = json!("mine");
        config["metadata"]["owner"] = json!("ann");
        config["max_age"] = json!(60_000_000_000_u64);
        config["allow_direct"] = json!(false);
        config["republish"] = json!(null);
        config["discard"] = json!("new");
    })
    .await;
    for keeper in [&one, &other] {
        let told = keeper
            .until("what was changed is told", |state| {
                state.warnings.iter().any(|warning| warning.contains("changed by hand"))
            })
            .await;
        assert!(told.warnings[0].contains(STREAM), "{told:?}");
        for what in ["max_age", "allow_direct", "republish", "discard"] {
            assert!(told.warnings[0].contains(what), "{what}: {told:?}");
        }
        assert_eq!((told.hurt, told.streams[0].epoch), (None, epoch));
    }
    let config = hand.config().await;
    assert_eq!(config["description"], "mine");
    assert_eq!(config["metadata"]["owner"], "ann");
    assert_eq!(config["max_age"], 3_600_000_000_000_u64);
    assert_eq!(config["allow_direct"], true);
    assert_eq!(config["republish"]["dest"].as_str().map(|dest| dest.contains(".live.")), Some(true));
    assert_eq!(config["discard"], "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_that_a_hand_took_away_come_back() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    let hand = site.hand().await;
    let all = hand.config().await["subjects"].clone();
    for taken in [json!([all[0], all[5]]), json!(["somewhere.else"])] {
        hand.edit(|config| config["subjects"] = taken).await;
        let deadline = tokio::time::Instant::now() + LIMIT;
        while hand.config().await["subjects"] != all {
            assert!(tokio::time::Instant::now() < deadline, "the subjects stay away");
            keeper.stores.look_again(&key());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let state = keeper.well().await;
        assert_eq!((state.streams.len(), state.streams[0].epoch), (1, epoch));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_noted_and_is_gone_is_noted_again() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    let hand = site.hand().await;
    hand.edit(|config| config["metadata"] = json!({})).await;
    let deadline = tokio::time::Instant::now() + LIMIT;
    while hand.config().await["metadata"]["ringway.epoch"] != epoch.to_string() {
        assert!(tokio::time::Instant::now() < deadline, "{}", hand.config().await);
        keeper.stores.look_again(&key());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(keeper.epoch().await, epoch);
}
