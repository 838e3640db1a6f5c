//! What is published to a store is stored in order and acknowledged, or told apart: surely not, perhaps, never.

mod world;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringway_backplane::message::Publication;
use ringway_backplane::nats::ToStore;
use ringway_backplane::store::{NotStored, Placed, RoomAt};
use ringway_protocol::payload::Payload;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use world::store::{EPOCH, STREAM, Store, known, node, rand_id, room, stream};
use world::{LIMIT, link_becomes, next, publication};

fn weighing(bytes: usize) -> Publication {
    Publication { data: Payload::from_bytes(vec![7; bytes]), ..publication("") }
}

/// Changes the stream's settings.
async fn change(store: &Store, settings: Value) {
    let changed = store.api(&format!("STREAM.UPDATE.{STREAM}"), &stream(STREAM, settings)).await;
    assert!(changed["error"].is_null(), "{changed}");
}

/// Publishes to a store that doesn't answer, and waits a second.
async fn publish_in_vain(store: &Store, at: &RoomAt, id: ringway_backplane::nats::MessageId) -> NotStored {
    let outcome = store.stores.publish(at, id, &node(), &publication("a"), Duration::from_secs(1)).await;
    outcome.expect_err("nobody answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_stored_acknowledged_and_read_back() {
    let store = Store::with(json!({})).await;
    let (lobby, other) = (room("lobby"), room("other"));
    for (number, (at, text)) in [(&lobby, "a"), (&other, "b"), (&lobby, "c")].into_iter().enumerate() {
        let placed = store.publish(at, text).await.expect("stored");
        assert_eq!((&*placed.stream, placed.epoch), (STREAM, EPOCH));
        assert_eq!((placed.offset, placed.duplicate), (number as u64 + 1, false));
    }
    let page = store.stores.room(&lobby, 1, 10, 1 << 20).await.expect("read");
    let texts: Vec<_> = page.kept.iter().map(|kept| (kept.offset, (*kept.publication).clone())).collect();
    assert_eq!(texts, [(1, publication("a")), (3, publication("c"))]);
    assert_eq!((page.more, page.upto), (false, 3));
    assert!(page.kept.iter().all(|kept| kept.ts > publication("").ts));
}

/// More than may be under way at a time, of many rooms: each stands in the stream where it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_is_the_order_of_call() {
    let store = Store::with(json!({ "storage": "memory" })).await;
    let rooms: Vec<_> = (0..7).map(|number| room(&format!("room {number}"))).collect();
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let count = 5_000_u64;
    for number in 0..count {
        let (at, publication) = (&rooms[number as usize % 7], publication(&number.to_string()));
        let (told, from) = (told.clone(), node());
        let what = ToStore { at, id: rand_id(), from: &from, publication: &publication };
        store.stores.submit(what, LIMIT, move |outcome| drop(told.send((number, outcome))));
    }
    for _ in 0..count {
        let (number, outcome) =
            tokio::time::timeout(LIMIT, outcomes.recv()).await.expect("in time").expect("open");
        assert_eq!(outcome.map(|placed| placed.offset), Ok(number + 1));
    }
    assert_eq!(store.stores.waiting(), 0);
    assert_eq!(store.messages().await, count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ones_go_and_too_large_ones_are_refused_for_good() {
    let store = Store::with(json!({})).await;
    let lobby = room("lobby");
    let large = weighing(64 * 1024);
    for _ in 0..20 {
        store.publish_as(&lobby, rand_id(), &large).await.expect("stored");
    }
    let mut read = Vec::new();
    while read.len() < 20 {
        let from = read.len() as u64 + 1;
        let page = store.stores.room(&lobby, from, 100, 512 * 1024).await.expect("read");
        assert!((1..=9).contains(&page.kept.len()), "bounded in bytes, not to nothing");
        read.extend(page.kept);
    }
    assert!(read.iter().all(|kept| *kept.publication == large));
    // More than a message may weigh.
    let huge = weighing(1024 * 1024);
    assert_eq!(store.publish_as(&lobby, rand_id(), &huge).await, Err(NotStored::TooLarge));
    // More than this stream takes.
    change(&store, json!({ "max_msg_size": 10_000 })).await;
    assert_eq!(store.publish_as(&lobby, rand_id(), &large).await, Err(NotStored::TooLarge));
    assert_eq!(store.messages().await, 20);
    store.publish(&lobby, "small").await.expect("stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_that_pushes_nothing_out_says_so() {
    for limit in [
        json!({ "discard": "new", "max_bytes": 20_000 }),
        json!({ "discard": "new", "max_msgs": 5 }),
        json!({ "discard": "new", "max_msgs_per_subject": 5, "discard_new_per_subject": true }),
    ] {
        let store = Store::with(limit.clone()).await;
        let mut outcomes = Vec::new();
        for _ in 0..40 {
            outcomes.push(store.publish_as(&room("lobby"), rand_id(), &weighing(1_000)).await);
        }
        let stored = outcomes.iter().take_while(|outcome| outcome.is_ok()).count();
        assert!((5..=19).contains(&stored), "{limit} {stored}");
        assert!(outcomes[stored..].iter().all(|outcome| *outcome == Err(NotStored::Full)), "{outcomes:?}");
        assert_eq!(store.messages().await, stored as u64);
    }
}

/// Resources of a server are another matter: they may come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_is_away() {
    for storage in ["file", "memory"] {
        let files = tempfile::tempdir().expect("a directory");
        let limits = "max_file_store: 200000, max_memory_store: 200000";
        let config = format!("jetstream {{ store_dir: {:?}, {limits} }}", files.path());
        let server = NatsServer::start_with(&NatsOptions { jetstream: false, config });
        let store = Store::on(server, json!({ "storage": storage })).await;
        let mut stored = 0;
        let refused = loop {
            match store.publish_as(&room("lobby"), rand_id(), &weighing(10_000)).await {
                Ok(_) => stored += 1,
                Err(refused) => break refused,
            }
        };
        assert!((1..40).contains(&stored), "{stored}");
        assert_eq!(refused, NotStored::Away, "{storage}");
        assert_eq!(store.messages().await, stored);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_stream_nothing_is_stored_for_sure() {
    let store = Store::with(json!({})).await;
    let lobby = room("lobby");
    change(&store, json!({ "sealed": true })).await;
    assert_eq!(store.publish(&lobby, "a").await, Err(NotStored::Away), "sealed");
    let gone = store.api(&format!("STREAM.DELETE.{STREAM}"), &json!({})).await;
    assert_eq!(gone["success"], true);
    assert_eq!(store.publish(&lobby, "a").await, Err(NotStored::Away), "nobody listens there");
    store.stores.know(known(&[]));
    assert_eq!(store.publish(&lobby, "a").await, Err(NotStored::Away), "not even a name");
}

/// A leader that stands still stores what it was sent when it goes on: whoever repeats it with its id has it stored once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wasnt_acknowledged_may_be_stored_and_is_stored_once() {
    let store = Store::with(json!({})).await;
    let lobby = room("lobby");
    store.publish(&lobby, "before").await.expect("stored");
    let id = rand_id();
    store.server.pause();
    assert_eq!(publish_in_vain(&store, &lobby, id).await, NotStored::Unknown);
    store.server.resume();
    let again = store.publish_as(&lobby, id, &publication("a")).await.expect("stored");
    assert_eq!((again.offset, again.duplicate), (2, true));
    let found = store.stores.find(&lobby, id, publication("").ts).await.expect("read").expect("it is there");
    assert_eq!(found, Placed { duplicate: false, ..again });
    assert_eq!(store.stores.find(&lobby, rand_id(), publication("").ts).await, Ok(None));
    assert_eq!(store.stores.find(&room("other"), id, publication("").ts).await, Ok(None));
    assert_eq!(store.messages().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_breaks_leaves_what_was_sent_unknown_and_refuses_the_rest() {
    let mut store = Store::with(json!({})).await;
    let lobby = room("lobby");
    let mut link = store.party.link();
    store.server.pause();
    let under_way = tokio::spawn({
        let (stores, lobby) = (Arc::clone(&store.stores), lobby.clone());
        async move {
            let (from, publication) = (node(), publication("a"));
            let publishing = (0..10).map(|_| stores.publish(&lobby, rand_id(), &from, &publication, LIMIT));
            join_all(publishing).await
        }
    });
    let limit = tokio::time::Instant::now() + LIMIT;
    while store.stores.waiting() < 10 {
        assert!(tokio::time::Instant::now() < limit, "they are on their way");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.server.kill();
    link_becomes(&mut link, |link| !link.up).await;
    let outcomes = tokio::time::timeout(LIMIT, under_way).await.expect("in time").expect("no panic");
    // Those that hadn't been handed to the client yet surely weren't stored.
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Err(NotStored::Unknown | NotStored::Away))),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[0], Err(NotStored::Unknown));
    assert_eq!(store.publish(&lobby, "a").await, Err(NotStored::Away));
    store.server.restart();
    link_becomes(&mut link, |link| link.up).await;
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        match store.publish(&lobby, "a").await {
            Ok(_) => break,
            // The stream isn't recovered yet.
            Err(NotStored::Away) => assert!(tokio::time::Instant::now() < limit, "it comes back"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_vain_is_told_and_makes_room() {
    let store = Store::with(json!({ "storage": "memory" })).await;
    let lobby = room("lobby");
    store.server.pause();
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let (from, publication) = (node(), publication("a"));
    // More than may be under way, and wait behind them.
    for number in 0..6_100_u32 {
        let told = told.clone();
        let what = ToStore { at: &lobby, id: rand_id(), from: &from, publication: &publication };
        store.stores.submit(what, Duration::from_secs(2), move |outcome| drop(told.send((number, outcome))));
    }
    drop(told);
    let mut by_number = vec![None; 6_100];
    while let Some((number, outcome)) = tokio::time::timeout(LIMIT, outcomes.recv()).await.expect("in time") {
        assert_eq!(by_number[number as usize].replace(outcome), None, "told once");
    }
    for outcome in by_number {
        // Sent in vain, or not sent at all (or, where all this took long, found without a link).
        let told = matches!(outcome, Some(Err(NotStored::Unknown | NotStored::Busy | NotStored::Away)));
        assert!(told, "{outcome:?}");
    }
    assert_eq!(store.stores.waiting(), 0);
    store.server.resume();
    let limit = tokio::time::Instant::now() + LIMIT;
    while store.publish(&lobby, "b").await.is_err() {
        assert!(tokio::time::Instant::now() < limit, "it goes on");
    }
}

/// The subject is taken by a stream that isn't known: its numbers mean nothing until it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_of_an_unknown_stream_waits_for_it_to_be_known() {
    let store = Store::with(json!({})).await;
    let lobby = room("lobby");
    store.stores.know(known(&[("former", u64::MAX)]));
    assert_eq!(store.publish(&lobby, "a").await, Err(NotStored::Unknown));
    assert_eq!(store.messages().await, 1, "it is stored all the same");
    let publishing = tokio::spawn({
        let (stores, lobby) = (Arc::clone(&store.stores), lobby.clone());
        async move { stores.publish(&lobby, rand_id(), &node(), &publication("b"), LIMIT).await }
    });
    let limit = tokio::time::Instant::now() + LIMIT;
    while store.messages().await < 2 {
        assert!(tokio::time::Instant::now() < limit, "it is stored");
    }
    store.stores.know(known(&[(STREAM, u64::MAX)]));
    // On a busy machine the acknowledgement may have waited its second out: then, as before, it is unknown.
    match publishing.await.expect("no panic") {
        Ok(placed) => assert_eq!((&*placed.stream, placed.offset), (STREAM, 2)),
        Err(error) => assert_eq!(error, NotStored::Unknown),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_tells_everyone() {
    let store = Store::with(json!({})).await;
    store.server.pause();
    let (told, mut outcomes) = mpsc::channel(8);
    let (at, from, publication) = (room("lobby"), node(), publication("a"));
    let submit = |told: mpsc::Sender<_>| {
        let what = ToStore { at: &at, id: rand_id(), from: &from, publication: &publication };
        store.stores.submit(what, 10 * LIMIT, move |outcome| drop(told.try_send(outcome)));
    };
    (0..3).for_each(|_| submit(told.clone()));
    store.party.close().await;
    for _ in 0..3 {
        let outcome = next(&mut outcomes).await;
        assert!(matches!(outcome, Err(NotStored::Unknown | NotStored::Away)), "{outcome:?}");
    }
    submit(told);
    assert_eq!(next(&mut outcomes).await, Err(NotStored::Away));
    store.server.resume();
}
