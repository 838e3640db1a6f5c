//! What a store keeps is sent on by its server, to the node that stored it too.

mod world;

use std::sync::Arc;

use ringway_backplane::message::{LiveBody, Stored};
use ringway_backplane::{Interest, Scope};
use ringway_protocol::name::RoomName;
use serde_json::json;
use world::store::{STREAM, Store, keyed, node, overhear, patient, rand_id, room};
use world::{group, interest, listen, live, name, next, nothing_comes, publication, room_interest, send};

fn stored(body: LiveBody) -> Stored {
    match body {
        LiveBody::Stored(stored) => stored,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stored_it_hears_it_as_everyone_does() {
    let store = Store::with(json!({})).await;
    let other = patient(&store.server.url()).await;
    let (_own, mut own) = listen(&store.party, &room_interest("lobby")).await;
    let (_wide, mut wide) = listen(&other, &interest(Scope::Group)).await;
    let lobby = room("lobby");
    store.publish(&lobby, "a").await.expect("stored");
    store.publish(&room("hall"), "b").await.expect("stored");
    store.publish(&lobby, "c").await.expect("stored");
    let page = store.stores.room(&lobby, 1, 9, 1 << 20).await.expect("read");
    for (messages, expected) in
        [(&mut own, &[(1, 0, "a"), (3, 1, "c")][..]), (&mut wide, &[(1, 0, "a"), (2, 0, "b"), (3, 1, "c")])]
    {
        for (offset, prev, text) in expected {
            let message = next(messages).await;
            let room = if *offset == 2 { "hall" } else { "lobby" };
            assert_eq!((&message.from, &message.room), (&node(), &name::<RoomName>(room)));
            let stored = stored(message.body);
            assert_eq!((&*stored.stream, stored.offset, stored.prev), (STREAM, *offset, *prev));
            let read = stored.publication.read(other.counters()).expect("a publication");
            assert_eq!(*read, publication(text));
            if let Some(kept) = page.kept.iter().find(|kept| kept.offset == stored.offset) {
                assert_eq!(kept.ts, stored.ts, "the time is the server's, however it comes");
            }
        }
        nothing_comes(messages).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_acknowledged_and_not_sent_on() {
    let store = Store::with(json!({})).await;
    let (_live, mut messages) = listen(&store.party, &room_interest("lobby")).await;
    let id = rand_id();
    let first = store.publish_as(&room("lobby"), id, &publication("a")).await.expect("stored");
    let again = store.publish_as(&room("lobby"), id, &publication("a")).await.expect("stored");
    assert_eq!((first.offset, first.duplicate), (1, false));
    assert_eq!((again.offset, again.duplicate), (1, true));
    assert_eq!(stored(next(&mut messages).await.body).offset, 1);
    nothing_comes(&mut messages).await;
}

/// In a store that keeps the newest of each key, the one before is the one of the key before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_of_a_key_is_its_own() {
    let store = Store::with(json!({ "max_msgs_per_subject": 1 })).await;
    let (_live, mut messages) = listen(&store.party, &room_interest("lobby")).await;
    let lobby = keyed("lobby");
    for key in [Some("a"), Some("b.*"), None, Some("a"), None] {
        let mut publication = publication("x");
        publication.key = key.map(name);
        store.publish_as(&lobby, rand_id(), &publication).await.expect("stored");
    }
    for (offset, prev, key) in
        [(1, 0, Some("a")), (2, 0, Some("b.*")), (3, 0, None), (4, 1, Some("a")), (5, 3, None)]
    {
        let stored = stored(next(&mut messages).await.body);
        assert_eq!((stored.offset, stored.prev), (offset, prev));
        let read = stored.publication.read(store.party.counters()).expect("a publication");
        assert_eq!(read.key.as_ref().map(|key| key.as_str()), key);
    }
}

/// A deletion, or an expiry, that is kept as a message of its own is nobody's publication.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_are_passed_over() {
    let store = Store::with(json!({ "allow_msg_ttl": true, "subject_delete_marker_ttl": 60_000_000_000_u64, "max_age": 1_000_000_000, "duplicate_window": 1_000_000_000 })).await;
    let (_live, mut messages) = listen(&store.party, &room_interest("lobby")).await;
    let mut overheard = store.overhear("ringway.g.shared.live.>").await;
    store.publish(&room("lobby"), "soon gone").await.expect("stored");
    let first = stored(next(&mut messages).await.body);
    assert_eq!(first.offset, 1);
    for marker in 0..2 {
        let overheard = overhear(&mut overheard).await;
        let reason = overheard.headers.as_ref().and_then(|headers| headers.get("Nats-Marker-Reason"));
        assert_eq!(reason.is_some(), marker == 1, "{:?}", overheard.headers);
    }
    // Behind it comes what was published.
    store.publish(&room("lobby"), "news").await.expect("stored");
    let second = stored(next(&mut messages).await.body);
    assert_eq!(second.offset, 3);
    assert_eq!(store.party.counters().garbage.get(), 0);
    let page = store.stores.room(&room("lobby"), 1, 10, 1 << 20).await.expect("read");
    assert!(page.kept.iter().all(|kept| kept.offset != 2), "{page:?}");
}

/// Case 53: a stranger on the subjects of a room, with and without what the server would say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_counted_and_the_next_good_one_delivered() {
    let store = Store::with(json!({})).await;
    let (_live, mut messages) = listen(&store.party, &room_interest("lobby")).await;
    store.publish(&room("lobby"), "good").await.expect("stored");
    next(&mut messages).await;
    let slot = world::slot_of("lobby").number();
    let live_subject = format!("ringway.g.shared.live.{slot}.acme.lobby._");
    let kept_subject = format!("ringway.g.shared.store.chat.{}.{slot}.acme.lobby._", slot / 256);
    let mut garbage = 0;
    let bodies: [&[u8]; 4] = [b"", b"\xff\xfe\x00", b"{\"not\":\"ours\"}", &[0x81; 900_000]];
    for body in bodies {
        // By the stream, which sends it on, and straight to the live subject.
        for subject in [&kept_subject, &live_subject] {
            store.stranger.publish(subject.clone(), body.to_vec().into()).await.expect("sent");
            garbage += 1;
        }
    }
    // A good body with headers that no server writes.
    store.stranger_is_heard().await;
    let mut overheard = store.overhear(&live_subject).await;
    store.publish(&room("lobby"), "good too").await.expect("stored");
    let good = overhear(&mut overheard).await;
    assert_eq!(stored(next(&mut messages).await.body).prev, 5, "the stream keeps the stranger's four");
    for (sequence, last, time) in [
        ("x", "0", "2026-01-01T00:00:00Z"),
        ("7", "7", "2026-01-01T00:00:00Z"),
        ("0", "0", "2026-01-01T00:00:00Z"),
        ("7", "6", "yesterday"),
        ("7", "-1", "2026-01-01T00:00:00Z"),
        ("99999999999999999999999", "1", "2026-01-01T00:00:00Z"),
    ] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Stream", STREAM);
        headers.insert("Nats-Sequence", sequence);
        headers.insert("Nats-Last-Sequence", last);
        headers.insert("Nats-Time-Stamp", time);
        let sent = store.stranger.publish_with_headers(live_subject.clone(), headers, good.payload.clone());
        sent.await.expect("sent");
        garbage += 1;
    }
    store.stranger_is_heard().await;
    store.publish(&room("lobby"), "and again").await.expect("stored");
    assert_eq!(
        stored(next(&mut messages).await.body).publication.read(store.party.counters()).as_deref(),
        Some(&publication("and again"))
    );
    assert_eq!(store.party.counters().garbage.get(), garbage);
    // A room's history goes on behind it too, and says how far it looked.
    let page = store.stores.room(&room("lobby"), 2, 4, 1 << 20).await.expect("read");
    assert_eq!((page.kept.len(), page.upto, page.more), (0, 5, true));
}

/// Who listens to both kinds of rooms at once hears both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_kinds_of_rooms_are_beside_each_other() {
    let store = Store::with(json!({})).await;
    let other = patient(&store.server.url()).await;
    let wanted = Interest { group: group(), scope: Scope::Tenant(world::tenant()) };
    let (_live, mut messages) = listen(&store.party, &wanted).await;
    send(&other, &live("fleeting", 1));
    assert_eq!(next(&mut messages).await, live("fleeting", 1));
    store.publish(&room("lasting"), "kept").await.expect("stored");
    assert_eq!(stored(next(&mut messages).await.body).offset, 1);
    let signal = LiveBody::Signal(Arc::new(publication("typing")));
    let message = ringway_backplane::message::LiveMessage { body: signal, ..live("lasting", 2) };
    send(&other, &message);
    assert_eq!(next(&mut messages).await, message);
}
