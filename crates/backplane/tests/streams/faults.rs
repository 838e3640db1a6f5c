//! What can't be as the configuration says is told in plain words.

use std::collections::BTreeMap;

use ringway_backplane::nats::{self, NatsSettings};
use ringway_backplane::store::{StoreSettings, StoreState};
use ringway_testkit::nats::NatsServer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::site::{Keeper, STREAM, Site, key, settings};
use crate::world::LIMIT;

async fn hurt(keeper: &Keeper, words: &str) -> StoreState {
    let so = |state: &StoreState| state.hurt.as_ref().is_some_and(|hurt| hurt.contains(words));
    keeper.until(words, so).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_jetstream_it_says_so() {
    let server = NatsServer::start();
    let backplane = nats::connect(&NatsSettings::new(server.url())).await.expect("the server runs");
    let stores = backplane.stores().expect("NATS has stores");
    stores.configure(BTreeMap::from([(key(), settings())]));
    let end = CancellationToken::new();
    let mut known = stores.known();
    let told = async {
        let known = known.wait_for(|known| !known.stores.is_empty()).await.expect("it lives");
        known.stores[&key()].clone()
    };
    let told = tokio::select! {
        () = stores.watch(end) => panic!("it looks for ever"),
        told = tokio::time::timeout(LIMIT, told) => told.expect("in time"),
    };
    let hurt = told.hurt.expect("told");
    assert!(hurt.contains("has no JetStream"), "{hurt}");
    assert!(told.streams.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_on_one_server_are_refused_in_words_and_two_are_warned_of() {
    let site = Site::start();
    let keeper = site.keeper(&StoreSettings { replicas: 3, ..settings() }).await;
    let told = hurt(&keeper, "can't be made").await;
    assert!(told.hurt.as_ref().is_some_and(|hurt| hurt.contains("as many NATS servers")), "{told:?}");
    keeper.stores.configure(BTreeMap::from([(key(), settings())]));
    let epoch = keeper.epoch().await;
    // What is there goes on.
    keeper.stores.configure(BTreeMap::from([(key(), StoreSettings { replicas: 2, ..settings() })]));
    let told = hurt(&keeper, "can't be given its settings (num_replicas)").await;
    assert_eq!(told.streams[0].epoch, epoch);
    assert!(told.warnings.iter().any(|warning| warning.starts_with("replicas = 2")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_keeps_and_whether_by_key_cant_be_changed() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    let hand = site.hand().await;
    hand.publish("a").await;
    let newest = hand.publish("a").await;
    keeper.stores.configure(BTreeMap::from([(key(), StoreSettings { in_memory: true, ..settings() })]));
    let told = hurt(&keeper, "isn't kept in memory").await;
    assert_eq!(told.streams[0].epoch, epoch);
    let keyed = StoreSettings { latest_per_key: true, messages_per_room: None, ..settings() };
    keeper.stores.configure(BTreeMap::from([(key(), keyed.clone())]));
    let told = hurt(&keeper, "without latest_per_key").await;
    assert!(told.streams.is_empty(), "{told:?}");
    // Nothing of it was lost.
    let info = hand.done(&format!("STREAM.INFO.{STREAM}"), &Value::Null).await;
    assert_eq!((&info["state"]["messages"], &info["state"]["last_seq"]), (&json!(2), &json!(newest)));
    // Empty, it may be either.
    hand.done(&format!("STREAM.PURGE.{STREAM}"), &Value::Null).await;
    let state = keeper.well().await;
    assert_eq!(state.streams[0].epoch, epoch);
    assert_eq!(hand.config().await["max_msgs_per_subject"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_somebody_elses_that_takes_our_subjects_is_named_until_it_is_gone() {
    let site = Site::start();
    let hand = site.hand().await;
    let others = json!({ "name": "all", "subjects": ["ringway.>"], "storage": "file" });
    hand.done("STREAM.CREATE.all", &others).await;
    let keeper = site.keeper(&settings()).await;
    let told = hurt(&keeper, "stream all, which isn't Ringway's, takes ringway.>").await;
    assert!(told.streams.is_empty());
    hand.done("STREAM.DELETE.all", &Value::Null).await;
    keeper.well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_somebody_else_has_is_passed_over() {
    let site = Site::start();
    let hand = site.hand().await;
    let others = json!({ "name": STREAM, "subjects": ["other"], "storage": "file" });
    hand.done(&format!("STREAM.CREATE.{STREAM}"), &others).await;
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let state = one.well().await;
    assert_eq!(&*state.streams[0].name, format!("{STREAM}-2"));
    assert_eq!(other.well().await, state);
    assert_eq!(hand.config().await["subjects"], json!(["other"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_and_sealed_streams_are_named() {
    let site = Site::start();
    let full = StoreSettings { bytes: Some(4_096), refuse_when_full: true, ..settings() };
    let keeper = site.keeper(&full).await;
    let epoch = keeper.epoch().await;
    let hand = site.hand().await;
    loop {
        let answer =
            hand.0.request(crate::site::subject("a"), "x".repeat(30).into()).await.expect("answered");
        if String::from_utf8_lossy(&answer.payload).contains("error") {
            break;
        }
    }
    let told = hurt(&keeper, "is full").await;
    assert_eq!(told.streams[0].epoch, epoch);
    hand.edit(|config| config["sealed"] = json!(true)).await;
    hurt(&keeper, "is sealed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_told_and_what_was_known_stays() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    site.server.pause();
    let told = keeper.until("it is hurt", |state| state.hurt.is_some()).await;
    assert_eq!(told.streams[0].epoch, epoch);
    site.server.resume();
    assert_eq!(keeper.epoch().await, epoch);
}
