//! What a store keeps is read: by room, by number, all of it; how much there is; and it is forgotten.

mod world;

use ringway_backplane::message::LiveBody;
use ringway_backplane::store::{Found, Newest, ReadError, RoomAt};
use ringway_protocol::name::RoomName;
use ringway_protocol::payload::Payload;
use serde_json::json;
use world::store::{STREAM, Store, keyed, known, parts, rand_id, room, rooms_in_both_halves};
use world::{listen, name, next, publication, room_interest};

const MUCH: usize = 1 << 20;

/// Three publications to each of these rooms, in turns.
async fn three_each(store: &Store, rooms: &[RoomAt]) {
    for turn in 0..3 {
        for room in rooms {
            store.publish(room, &format!("{} {turn}", room.room)).await.expect("stored");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_read_page_by_page_and_ends_by_itself() {
    let store = Store::with(json!({})).await;
    let (lobby, other) = (room("lobby"), room("other"));
    for number in 0..50 {
        store.publish(&lobby, &format!("l{number}")).await.expect("stored");
        store.publish(&other, &format!("o{number}")).await.expect("stored");
    }
    let (mut from, mut pages, mut read) = (1, 0, Vec::new());
    loop {
        let page = store.stores.room(&lobby, from, 7, MUCH).await.expect("read");
        assert!(page.kept.len() <= 7);
        read.extend(page.kept.iter().map(|kept| kept.offset));
        pages += 1;
        if !page.more {
            break;
        }
        from = page.upto + 1;
    }
    assert_eq!((read, pages), ((0..50).map(|number| 2 * number + 1).collect(), 8));
    // Bounded in bytes too, and never less than one.
    let page = store.stores.room(&lobby, 1, 50, 1).await.expect("read");
    assert_eq!((page.kept.len(), page.more), (1, true));
    let page = store.stores.room(&lobby, 100, 50, MUCH).await.expect("read");
    assert_eq!((page.kept.len(), page.more, page.upto), (0, false, 0));
    let page = store.stores.room(&room("empty"), 1, 50, MUCH).await.expect("read");
    assert_eq!((page.kept.len(), page.more), (0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newest_of_very_many_rooms() {
    let store = Store::with(json!({})).await;
    let rooms: Vec<_> = (0..2_500).map(|number| room(&format!("room {number}"))).collect();
    // Every tenth has something, all at once.
    let publishing: Vec<_> = rooms.iter().step_by(10).map(|room| store.publish(room, "x")).collect();
    let placed = futures_util::future::join_all(publishing).await;
    let newest = store.stores.newest(&rooms).await.expect("read");
    assert_eq!(newest.len(), rooms.len());
    for (number, newest) in newest.iter().enumerate() {
        let expected = (number % 10 == 0).then(|| placed[number / 10].as_ref().expect("stored").offset);
        assert_eq!(newest.map(|newest| newest.offset), expected, "{number}");
    }
    assert_eq!(store.stores.newest(&[]).await, Ok(vec![]));
    let twice = [rooms[0].clone(), rooms[1].clone(), rooms[0].clone()];
    let newest = store.stores.newest(&twice).await.expect("read");
    assert_eq!((newest[0], newest[1]), (newest[2], None));
    assert!(newest[0].is_some());
}

/// More than one answer may weigh: what is left out is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newest_of_rooms_with_much_in_them() {
    let store = Store::with(json!({})).await;
    let rooms: Vec<_> = (0..300).map(|number| room(&format!("room {number}"))).collect();
    let mut large = publication("");
    large.data = Payload::from_bytes(vec![7; 64 * 1024]);
    let publishing: Vec<_> = rooms.iter().map(|room| store.publish_as(room, rand_id(), &large)).collect();
    let placed = futures_util::future::join_all(publishing).await;
    let newest = store.stores.newest(&rooms).await.expect("read");
    for (newest, placed) in newest.iter().zip(placed) {
        assert_eq!(newest.map(|newest| newest.offset), placed.ok().map(|placed| placed.offset));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_read_in_one_pass() {
    let store = Store::with(json!({})).await;
    let rooms: Vec<_> = ["a", "b.*", "c d"].map(room).to_vec();
    three_each(&store, &rooms).await;
    // A hole at the very beginning of what is wanted, a stranger's message, and one under no room's subject.
    store.api(&format!("STREAM.MSG.DELETE.{STREAM}"), &json!({ "seq": 4 })).await;
    let subject = format!("ringway.g.shared.store.chat.0.{}.acme.a._", rooms[0].slot.number());
    store.stranger.publish(subject, "garbage".into()).await.expect("sent");
    store.stranger.publish("ringway.g.shared.store.chat.0.99999.acme.a._", "?".into()).await.expect("sent");
    store.stranger_is_heard().await;
    store.publish(&rooms[1], "last").await.expect("stored");

    let (mut from, mut read) = (4, Vec::new());
    loop {
        let pass = store.stores.pass(&rooms[0], from, 2).await.expect("read");
        read.extend(pass.kept.into_iter().map(|((tenant, room), kept)| {
            assert_eq!(tenant, world::tenant());
            (kept.offset, room.as_str().to_owned())
        }));
        let Some(next) = pass.next else {
            assert_eq!(pass.upto, 12);
            break;
        };
        assert_eq!(next, pass.upto + 1);
        from = next;
    }
    let expected = [(5, "b.*"), (6, "c d"), (7, "a"), (8, "b.*"), (9, "c d"), (12, "b.*")];
    assert_eq!(read, expected.map(|(offset, room)| (offset, room.to_owned())));
    let pass = store.stores.pass(&rooms[0], 13, 10).await.expect("read");
    assert_eq!((pass.kept.len(), pass.next, pass.upto), (0, None, 12));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_says_what_is_where() {
    let store = Store::with(json!({})).await;
    let (lobby, other) = (room("lobby"), room("other"));
    let extent = store.stores.extent(&lobby).await.expect("read");
    assert_eq!((extent.first, extent.last, extent.last_ts, extent.messages), (1, 0, 0, 0));
    assert_eq!(store.stores.newest_by_leader(&lobby).await, Ok(None));
    three_each(&store, &[lobby.clone(), other.clone()]).await;
    let page = store.stores.room(&lobby, 1, 10, MUCH).await.expect("read");
    let newest = page.kept.last().map(|kept| Newest { offset: kept.offset, ts: kept.ts });
    assert_eq!(store.stores.newest_by_leader(&lobby).await, Ok(newest));
    let extent = store.stores.extent(&lobby).await.expect("read");
    assert_eq!((extent.first, extent.last, extent.messages), (1, 6, 6));
    assert!(extent.last_ts >= newest.expect("it has some").ts && extent.bytes > 0);
    assert_eq!(store.stores.count(&lobby).await, Ok(3));
    assert_eq!(store.stores.count(&room("empty")).await, Ok(0));
    let found = store.stores.at(&lobby, 2).await.expect("read");
    let Found::Here { subject, ts } = found else { panic!("{found:?}") };
    assert!(subject.ends_with(".acme.other._"), "{subject}");
    assert!(ts <= newest.expect("it has some").ts);
    assert_eq!(store.stores.at(&lobby, 7).await, Ok(Found::Nothing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_forgotten_up_to_a_number_and_no_other_is() {
    let store = Store::with(json!({})).await;
    let (lobby, other) = (room("lobby"), room("other"));
    three_each(&store, &[lobby.clone(), other.clone()]).await;
    store.stores.forget(&lobby, 3).await.expect("done");
    let left = |page: ringway_backplane::store::RoomPage| {
        Vec::from_iter(page.kept.into_iter().map(|kept| kept.offset))
    };
    assert_eq!(left(store.stores.room(&lobby, 1, 10, MUCH).await.expect("read")), [5]);
    store.stores.forget(&lobby, 0).await.expect("nothing to do");
    assert_eq!(store.stores.count(&lobby).await, Ok(1));
    store.stores.forget(&lobby, 5).await.expect("done");
    assert_eq!(store.stores.count(&lobby).await, Ok(0));
    assert_eq!(left(store.stores.room(&other, 1, 10, MUCH).await.expect("read")), [2, 4, 6]);
    // What goes on has nothing before it.
    let (_live, mut messages) = listen(&store.party, &room_interest("lobby")).await;
    store.publish(&lobby, "anew").await.expect("stored");
    let LiveBody::Stored(stored) = next(&mut messages).await.body else { panic!("not stored") };
    assert_eq!((stored.offset, stored.prev), (7, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_keys_the_newest_of_each_is_kept() {
    let store = Store::with(json!({ "max_msgs_per_subject": 1 })).await;
    let lobby = keyed("lobby");
    for (number, key) in [Some("a"), Some("b"), None, Some("a"), Some("x.>")].into_iter().enumerate() {
        let mut publication = publication(&format!("{number}"));
        publication.key = key.map(name);
        store.publish_as(&lobby, rand_id(), &publication).await.expect("stored");
    }
    let mut elsewhere = publication("elsewhere");
    elsewhere.key = Some(name("a"));
    store.publish_as(&keyed("other"), rand_id(), &elsewhere).await.expect("stored");
    let page = store.stores.room(&lobby, 1, 10, MUCH).await.expect("read");
    assert_eq!(Vec::from_iter(page.kept.iter().map(|kept| kept.offset)), [2, 3, 4, 5]);
    let newest = store.stores.newest(&[lobby.clone(), keyed("empty"), keyed("other")]).await.expect("read");
    assert_eq!(newest.map_offsets(), [Some(5), None, Some(6)]);
    let newest = store.stores.newest_by_leader(&lobby).await.expect("read");
    assert_eq!(newest.map(|newest| newest.offset), Some(5));
    assert_eq!(store.stores.count(&lobby).await, Ok(4));
    store.stores.forget(&lobby, 4).await.expect("done");
    assert_eq!(store.stores.count(&lobby).await, Ok(1));
}

trait Offsets {
    fn map_offsets(&self) -> Vec<Option<u64>>;
}

impl Offsets for Vec<Option<Newest>> {
    fn map_offsets(&self) -> Vec<Option<u64>> {
        self.iter().map(|newest| newest.map(|newest| newest.offset)).collect()
    }
}

/// Case 55: names that mean something to NATS, or nothing at all, are each a room of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_rooms_of_their_own() {
    let store = Store::with(json!({})).await;
    let names = ["a.b", "a", "b", "*", ">", "a b", "a,b;c", "$SYS.x", "_", "%2A", "🦀", "{tag}.x"];
    let mut rooms: Vec<_> = names.map(room).to_vec();
    rooms.push(room(&"n".repeat(255)));
    rooms.push(room(&"\u{e9}".repeat(127)));
    assert!("a\r\nb".parse::<RoomName>().is_err(), "no name at all");
    let mut listening = Vec::new();
    for room in &rooms {
        listening.push(listen(&store.party, &room_interest(room.room.as_str())).await);
    }
    for room in &rooms {
        store.publish(room, room.room.as_str()).await.expect("stored");
    }
    let newest = store.stores.newest(&rooms).await.expect("read");
    for (number, (room, (_, messages))) in rooms.iter().zip(&mut listening).enumerate() {
        let offset = number as u64 + 1;
        let page = store.stores.room(room, 1, 10, MUCH).await.expect("read");
        assert_eq!(Vec::from_iter(page.kept.iter().map(|kept| kept.offset)), [offset], "{}", room.room);
        assert_eq!(*page.kept[0].publication, publication(room.room.as_str()));
        assert_eq!(newest[number].map(|newest| newest.offset), Some(offset));
        assert_eq!(store.stores.count(room).await, Ok(1));
        let message = next(messages).await;
        assert_eq!(message.room, room.room);
        assert!(messages.try_recv().is_err(), "one message alone");
    }
    let pass = store.stores.pass(&rooms[0], 1, 100).await.expect("read");
    let read: Vec<_> = pass.kept.iter().map(|((_, room), _)| room.clone()).collect();
    assert_eq!(read, Vec::from_iter(rooms.iter().map(|room| room.room.clone())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cant_be_read_says_why() {
    let mut store = Store::with(json!({})).await;
    let lobby = room("lobby");
    store.publish(&lobby, "a").await.expect("stored");
    // Nobody reads directly from it: a split is under way, or somebody switched it off.
    let changed = world::store::stream(STREAM, json!({ "allow_direct": false }));
    let changed = store.api(&format!("STREAM.UPDATE.{STREAM}"), &changed).await;
    assert!(changed["error"].is_null(), "{changed}");
    assert_eq!(store.stores.room(&lobby, 1, 10, MUCH).await, Err(ReadError::Away));
    assert_eq!(store.stores.newest(std::slice::from_ref(&lobby)).await, Err(ReadError::Away));
    assert_eq!(store.stores.count(&lobby).await, Ok(1), "its leader answers all the same");
    store.api(&format!("STREAM.DELETE.{STREAM}"), &json!({})).await;
    assert_eq!(store.stores.extent(&lobby).await, Err(ReadError::Away));
    assert_eq!(store.stores.forget(&lobby, 1).await, Err(ReadError::Away));
    store.stores.know(known(&[]));
    assert_eq!(store.stores.pass(&lobby, 1, 10).await, Err(ReadError::Away));
    store.stores.know(known(&[(STREAM, u64::MAX)]));
    let mut link = store.party.link();
    store.server.kill();
    world::link_becomes(&mut link, |link| !link.up).await;
    assert_eq!(store.stores.at(&lobby, 1).await, Err(ReadError::Away));
    assert_eq!(store.stores.room(&lobby, 1, 10, MUCH).await, Err(ReadError::Away));
}

/// Whatever is read, nothing is left behind at the server: a consumer for each reader would sink it (case 52).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_makes_no_consumers() {
    let store = Store::with(json!({})).await;
    let rooms = [room("a"), room("b")];
    three_each(&store, &rooms).await;
    for _ in 0..20 {
        store.stores.newest(&rooms).await.expect("read");
        store.stores.room(&rooms[0], 1, 2, MUCH).await.expect("read");
        store.stores.pass(&rooms[0], 1, 3).await.expect("read");
    }
    let info = store.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
    assert_eq!(info["state"]["consumer_count"], 0);
}

/// Half of the rooms are in another stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_room_is_read_from_the_stream_of_its_part() {
    let store = Store::with(json!({})).await;
    for (stream, parts) in [(STREAM, parts(0..32)), ("second", parts(32..64))] {
        let settings = world::store::stream(stream, json!({ "subjects": parts }));
        let what = if stream == STREAM { "UPDATE" } else { "CREATE" };
        let made = store.api(&format!("STREAM.{what}.{stream}"), &settings).await;
        assert!(made["error"].is_null(), "{made}");
    }
    store.stores.know(known(&[(STREAM, u64::from(u32::MAX)), ("second", !u64::from(u32::MAX))]));
    let (low, high) = rooms_in_both_halves();
    for _ in 0..2 {
        assert_eq!(&*store.publish(&low, "l").await.expect("stored").stream, STREAM);
        assert_eq!(&*store.publish(&high, "h").await.expect("stored").stream, "second");
    }
    for room in [&low, &high] {
        let page = store.stores.room(room, 1, 10, MUCH).await.expect("read");
        assert_eq!(Vec::from_iter(page.kept.iter().map(|kept| kept.offset)), [1, 2]);
    }
}
