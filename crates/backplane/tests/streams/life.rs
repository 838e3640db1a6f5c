//! The epoch: one for all while the numbers are the same life's, another once they aren't.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ringway_backplane::message::Epoch;
use ringway_backplane::store::{NotStored, StoreSettings};
use serde_json::{Value, json};

use crate::site::{Hand, STREAM, Site, at, key, settings};
use crate::world::store::{node, rand_id};
use crate::world::{LIMIT, publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_make_it_at_once_have_one_stream_with_one_epoch() {
    let site = Site::start();
    let settings = settings();
    let (one, other) = tokio::join!(site.keeper(&settings), site.keeper(&settings));
    let (first, second) = tokio::join!(one.well(), other.well());
    assert_eq!(first, second);
    assert_eq!(first.streams.len(), 1);
    assert_eq!(&*first.streams[0].name, STREAM);
    assert_eq!(first.warnings, Vec::<String>::new());
    let config = site.hand().await.config().await;
    assert_eq!(config["metadata"]["ringway.epoch"], first.streams[0].epoch.to_string());
    assert_eq!(config["max_msgs_per_subject"], 101);
    // Who comes later finds the same.
    assert_eq!(site.keeper(&settings).await.well().await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_told_to_who_listens_to_the_room() {
    use futures_util::StreamExt as _;

    let site = Site::start();
    site.keeper(&settings()).await.well().await;
    let hand = site.hand().await;
    let mut live = hand.0.subscribe("ringway.g.shared.live.>").await.expect("subscribed");
    hand.0.flush().await.expect("the server has it");
    let seq = hand.publish("a").await;
    let message = live.next().await.expect("it is republished");
    let slot = crate::world::slot_of("a").number();
    assert_eq!(*message.subject, *format!("ringway.g.shared.live.{slot}.acme.a._"));
    let headers = message.headers.expect("the server's words");
    assert_eq!(headers.get("Nats-Sequence").map(ToString::to_string), Some(seq.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_changes_nothing_of_the_epoch() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let (epoch, hand) = (keeper.epoch().await, site.hand().await);
    hand.publish("a").await;
    let newest = hand.publish("b").await;
    keeper.looked(&hand).await;
    hand.done(&format!("STREAM.MSG.DELETE.{STREAM}"), &json!({ "seq": newest })).await;
    assert_eq!(keeper.looked(&hand).await.streams[0].epoch, epoch);
    hand.done(&format!("STREAM.PURGE.{STREAM}"), &Value::Null).await;
    assert_eq!(keeper.looked(&hand).await.streams[0].epoch, epoch);
    hand.publish("a").await;
    assert_eq!(keeper.looked(&hand).await.streams[0].epoch, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_made_again_with_a_new_epoch() {
    let site = Site::start();
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let epoch = one.epoch().await;
    assert_eq!(other.epoch().await, epoch);
    let hand = site.hand().await;
    hand.done(&format!("STREAM.DELETE.{STREAM}"), &Value::Null).await;
    let (next, same) = (one.epoch_after(epoch).await, other.epoch_after(epoch).await);
    assert_eq!(next, same);
    assert!(next > epoch && !next.is_kin_of(&epoch), "{epoch} {next}");
}

/// Nobody waits for the next regular look, up to ten seconds away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_made_again_as_soon_as_somebody_publishes() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let (epoch, hand) = (keeper.epoch().await, site.hand().await);
    keeper.looked(&hand).await;
    hand.done(&format!("STREAM.DELETE.{STREAM}"), &Value::Null).await;
    let mut known = keeper.stores.known();
    let (from, publication) = (node(), publication("a"));
    let why =
        keeper.stores.publish(&at("a"), rand_id(), &from, &publication, LIMIT).await.expect_err("it is gone");
    assert_eq!(why, NotStored::Away);
    let made = known.wait_for(|known| known.epoch_of(&key(), STREAM).is_some_and(|other| other != epoch));
    tokio::time::timeout(Duration::from_secs(5), made)
        .await
        .expect("before the next regular look")
        .expect("told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_by_hand_with_what_was_noted_gets_the_next_epoch_by_all_the_same() {
    let site = Site::start();
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let epoch = one.epoch().await;
    assert_eq!(other.epoch().await, epoch);
    let hand = site.hand().await;
    let config = hand.config().await;
    hand.done(&format!("STREAM.DELETE.{STREAM}"), &Value::Null).await;
    // One of them may be quicker, and then the hand has nothing left to do.
    let made = hand.ask(&format!("STREAM.CREATE.{STREAM}"), &config).await;
    let (next, same) = (one.epoch_after(epoch).await, other.epoch_after(epoch).await);
    assert_eq!(next, same);
    if made.get("error").is_none() {
        assert_eq!(next, epoch.bumped());
    }
    // Nobody changes it any more.
    assert_eq!(one.looked(&hand).await.streams[0].epoch, next);
    assert_eq!(other.looked(&hand).await.streams[0].epoch, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_put_back_by_the_api_gets_the_next_epoch() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let (epoch, hand) = (keeper.epoch().await, site.hand().await);
    hand.publish("a").await;
    let snapshot = snapshot(&hand).await;
    hand.publish("a").await;
    drop(keeper);
    hand.done(&format!("STREAM.DELETE.{STREAM}"), &Value::Null).await;
    restore(&hand, snapshot).await;
    // Nobody who knew it before is there.
    assert_eq!(site.keeper(&settings()).await.epoch().await, epoch.bumped());
    assert_eq!(hand.publish("a").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_was_put_back_is_noticed_by_who_saw_more() {
    let mut site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    let hand = site.hand().await;
    hand.publish("a").await;
    site.server.stop();
    let copy = tempfile::TempDir::new().expect("a temporary directory");
    copy_all(site.files.path(), copy.path());
    site.server.restart();
    for seq in 2..=5 {
        assert_eq!(site.hand().await.publish("a").await, seq);
    }
    keeper.looked(&site.hand().await).await;
    site.server.stop();
    put_back(copy.path(), site.files.path());
    site.server.restart();
    // The same number for another message, before anybody looks.
    for seq in 2..=7 {
        assert_eq!(site.hand().await.publish("b").await, seq);
    }
    assert_eq!(keeper.epoch_after(epoch).await, epoch.bumped());
    // Put back once more, to before that was written.
    site.server.stop();
    put_back(copy.path(), site.files.path());
    site.server.restart();
    assert_eq!(keeper.epoch_after(epoch.bumped()).await, epoch.bumped().bumped());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_comes_back_has_the_same_epoch() {
    let mut site = Site::start();
    let keeper = site.keeper(&settings()).await;
    let epoch = keeper.epoch().await;
    for _ in 0..5 {
        site.hand().await.publish("a").await;
    }
    keeper.looked(&site.hand().await).await;
    site.server.restart();
    let hand = site.hand().await;
    assert_eq!(keeper.looked(&hand).await.streams[0].epoch, epoch);
    assert_eq!(hand.publish("a").await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_in_memory_and_is_gone_is_noticed() {
    let mut site = Site::start();
    let keeper = site.keeper(&StoreSettings { in_memory: true, ..settings() }).await;
    let epoch = keeper.epoch().await;
    for _ in 0..3 {
        site.hand().await.publish("a").await;
    }
    keeper.looked(&site.hand().await).await;
    site.server.restart();
    assert!(keeper.epoch_after(epoch).await > epoch);
    assert_eq!(site.hand().await.publish("a").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_has_proven_wrong_gets_the_next_epoch_once() {
    let site = Site::start();
    let (one, other) = (site.keeper(&settings()).await, site.keeper(&settings()).await);
    let epoch = one.epoch().await;
    assert_eq!(other.epoch().await, epoch);
    one.stores.disbelieve(&at("a"), epoch);
    other.stores.disbelieve(&at("b"), epoch);
    assert_eq!(one.epoch_after(epoch).await, epoch.bumped());
    assert_eq!(other.epoch_after(epoch).await, epoch.bumped());
    // What is over isn't disbelieved again.
    one.stores.disbelieve(&at("a"), epoch);
    one.stores.disbelieve(&at("a"), Epoch { ms: 1, ..epoch });
    let hand = site.hand().await;
    assert_eq!(one.looked(&hand).await.streams[0].epoch, epoch.bumped());
}

/// What the server makes of a stream for a backup.
struct Snapshot {
    config: Value,
    state: Value,
    chunks: Vec<bytes::Bytes>,
}

async fn snapshot(hand: &Hand) -> Snapshot {
    use futures_util::StreamExt as _;

    let inbox = hand.0.new_inbox();
    let mut incoming = hand.0.subscribe(inbox.clone()).await.expect("subscribed");
    let asked = hand.done(&format!("STREAM.SNAPSHOT.{STREAM}"), &json!({ "deliver_subject": inbox })).await;
    let mut chunks = Vec::new();
    while let Some(chunk) = incoming.next().await.filter(|chunk| !chunk.payload.is_empty()) {
        if let Some(reply) = chunk.reply {
            hand.0.publish(reply, "".into()).await.expect("acknowledged");
        }
        chunks.push(chunk.payload);
    }
    Snapshot { config: asked["config"].clone(), state: asked["state"].clone(), chunks }
}

async fn restore(hand: &Hand, snapshot: Snapshot) {
    let body = json!({ "config": snapshot.config, "state": snapshot.state });
    let to = hand.done(&format!("STREAM.RESTORE.{STREAM}"), &body).await;
    let to = to["deliver_subject"].as_str().expect("where to").to_owned();
    for chunk in snapshot.chunks {
        hand.0.request(to.clone(), chunk).await.expect("taken");
    }
    hand.0.request(to, "".into()).await.expect("restored");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn put_back(copy: &Path, files: &Path) {
    for entry in fs::read_dir(files).expect("readable") {
        fs::remove_dir_all(entry.expect("readable").path()).expect("removed");
    }
    copy_all(copy, files);
}
