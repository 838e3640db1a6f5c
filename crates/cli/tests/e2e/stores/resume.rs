//! Joining with a position, from the node's own window and from the store.

use ringway_testkit::path::Path;

use super::*;
use crate::support::path;

/// A number that is so wide, as JSON, that a node's window has room for some of them only.
fn wide(n: u64) -> String {
    format!("\"{n}{}\"", ".".repeat(9_000))
}

fn wides(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(wide).collect()
}

/// The same answers whether the room's node has members of it already or not, on the owner and elsewhere.
#[tokio::test]
async fn a_join_says_whether_it_resumed() {
    let cluster = nodes(2);
    for format in FORMATS {
        let home = room_on(&cluster, "node-1", &format!("home.{format:?}.")).await;
        for owner in ["node-1", "node-2"] {
            for warm in [false, true] {
                let room = room_on(&cluster, owner, &format!("short.{format:?}.{owner}.{warm}.")).await;
                let mut publisher = Peer::open(&cluster.options(format, None)).await;
                let mut listener = Peer::open(&cluster.options(format, Some(&home))).await;
                listener.joined().await;
                let mut kept = Kept::of(&room);
                let empty = kept.join(&mut listener, None).await;
                assert_eq!((empty.durable, empty.resumed), (true, None));
                let begin = kept.position.clone().expect("a position, though nothing was published");
                let mut places = vec![begin.clone()];
                for n in 1..=20 {
                    publisher.publish(&room, &wide(n)).await;
                    kept.next(&mut listener).await;
                    places.push(kept.position.clone().unwrap());
                }
                assert_eq!(kept.take(), wides(1..=20));
                if !warm {
                    drop(listener);
                }
                // Ten are kept, and one by which the oldest position is known.
                let newest = places[20].clone();
                let ts = |ts| Position { ts, ..places[15].clone() };
                let other = Position {
                    epoch: "0195f2c7a1b0-a3f29c51d7e0b684-5be1a07c".parse().unwrap(),
                    ..places[15].clone()
                };
                let nonsense = Position { epoch: "no-epoch-of-ours".parse().unwrap(), ..places[15].clone() };
                let future = Position { offset: newest.offset + 1_000, ..newest.clone() };
                let mut peer = Peer::open(&cluster.options(format, Some(&home))).await;
                peer.joined().await;
                // since, last; then: resumed, and the number after which what follows begins.
                for (since, last, resumed, after) in [
                    (None, None, None, 20),
                    (None, Some(0), None, 20),
                    (None, Some(3), None, 17),
                    (None, Some(10), None, 10),
                    (Some(newest.clone()), None, Some(true), 20),
                    (Some(places[15].clone()), None, Some(true), 15),
                    (Some(ts(None)), Some(1), Some(true), 15),
                    (Some(places[10].clone()), None, Some(true), 10),
                    (Some(places[9].clone()), None, Some(false), 20),
                    (Some(begin.clone()), Some(2), Some(false), 18),
                    (Some(ts(Some(1))), None, Some(false), 20),
                    (Some(other.clone()), None, Some(false), 20),
                    (Some(nonsense.clone()), Some(2), Some(false), 18),
                    (Some(future.clone()), None, Some(false), 20),
                    (Some(future.clone()), Some(3), Some(false), 17),
                ] {
                    let asked = format!("{format:?} {owner} warm {warm}: {since:?} {last:?}");
                    let mut back = Kept { position: since, ..Kept::of(&room) };
                    let result = back.join(&mut peer, last).await;
                    assert_eq!((result.resumed, result.durable), (resumed, true), "{asked}");
                    assert_eq!(result.newest, Some(newest.offset), "{asked}");
                    assert_eq!(result.oldest.is_some(), resumed == Some(false), "{asked}");
                    if resumed == Some(true) {
                        assert_eq!(result.offset, Some(places[after].offset), "{asked}");
                    }
                    back.hears(&mut peer, 20 - after).await;
                    assert_eq!(back.take(), wides(after as u64 + 1..=20), "{asked}");
                    // And nothing else.
                    peer.leave(&room).await;
                    assert!(peer.heard_next().is_none(), "{asked}");
                }
            }
        }
    }
}

/// Case 34: cut again and again without news, it gets what it missed once; a client that had heard nothing, too.
#[tokio::test]
async fn what_was_missed_comes_once() {
    let cluster = nodes(2);
    let room = room_on(&cluster, "node-1", "durable.once.").await;
    let mut publisher = Peer::open(&cluster.options(Format::Json, None)).await;
    let mut kept = Kept::of(&room);
    let mut peer = Peer::open(&cluster.options(Format::Json, Some(&room))).await;
    let joined = peer.joined().await.result;
    kept.place(joined.epoch, joined.offset, joined.ts);
    drop(peer);
    publish_all(&mut publisher, &room, 1..=5).await;
    let mut options = cluster.options(Format::Json, Some(&room));
    let mut first = true;
    for _ in 0..4 {
        options.since = kept.position.clone();
        let mut peer = Peer::open(&options).await;
        let result = peer.joined().await.result;
        assert_eq!(result.resumed, Some(true));
        if std::mem::take(&mut first) {
            kept.hears(&mut peer, 5).await;
            assert_eq!(kept.take(), numbers(1..=5));
        }
        // Whatever were sent a second time would come before this.
        let signal = crate::peer::publication(&room, "\"end\"");
        let signal = ringway_protocol::frame::Pub { store: false, ..signal };
        publisher.ask(ringway_protocol::ClientFrame::Pub(signal)).await.unwrap();
        kept.next(&mut peer).await;
        assert_eq!(kept.take(), ["\"end\""]);
    }
}

/// Case 35: the node is killed; through the gateway everything is had again, from the other.
#[tokio::test]
async fn when_its_node_is_killed_a_client_gets_all_it_missed() {
    let mut cluster = nodes(2);
    let room = room_on(&cluster, "node-1", "durable.killed.").await;
    let elsewhere = room_on(&cluster, "node-2", "home.").await;
    let mut kept = Kept::of(&room);
    let mut peer = Peer::open(&cluster.options(Format::Msgpack, Some(&room))).await;
    let joined = peer.joined().await.result;
    kept.place(joined.epoch, joined.offset, joined.ts);
    let mut publisher = Peer::open(&cluster.options(Format::Msgpack, Some(&elsewhere))).await;
    publisher.joined().await;
    publish_all(&mut publisher, &room, 1..=10).await;
    kept.hears(&mut peer, 10).await;
    cluster.nodes.iter_mut().find(|node| node.name == "node node-1").unwrap().kill();
    // Who publishes is told, and may repeat it: then it is stored.
    let deadline = std::time::Instant::now() + SETTLED;
    for n in 11..=30 {
        loop {
            let publication = crate::peer::publication(&room, &n.to_string());
            let publication =
                ringway_protocol::frame::Pub { mid: Some(format!("m{n}").into()), ..publication };
            match publisher.ask(ringway_protocol::ClientFrame::Pub(publication)).await {
                Ok(_) => break,
                Err(no) => assert!(no.retry.is_some(), "{no:?}"),
            }
            assert!(std::time::Instant::now() < deadline, "publication {n} is never stored");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // Where the gateway has the socket it stays, and what was missed comes by itself.
    if path() == Path::Tunnel {
        peer.until_closed().await;
        let mut options = cluster.options(Format::Msgpack, Some(&room));
        options.since = kept.position.clone();
        peer = Peer::open(&options).await;
        assert_eq!(peer.joined().await.result.resumed, Some(true));
        assert_eq!(peer.node(), "node-2");
    }
    kept.hears(&mut peer, 30).await;
    assert_eq!(kept.take(), numbers(1..=30));
}

/// In a store that keeps the newest of each key, who joins with `last` gets them, and who comes back those that changed.
#[tokio::test]
async fn of_keys_the_newest_are_had() {
    let cluster = nodes(2);
    for owner in ["node-1", "node-2"] {
        let room = room_on(&cluster, owner, "state.").await;
        let home = room_on(&cluster, "node-1", "home.").await;
        let mut publisher = Peer::open(&cluster.options(Format::Json, None)).await;
        let mut put = async |key: &str, value: u64| {
            let publication = crate::peer::publication(&room, &value.to_string());
            let publication = ringway_protocol::frame::Pub { key: Some(key.parse().unwrap()), ..publication };
            publisher.ask(ringway_protocol::ClientFrame::Pub(publication)).await.unwrap();
        };
        for round in 0..3 {
            for key in ["a", "b.c", "*"] {
                put(key, round * 10 + key.len() as u64).await;
            }
        }
        let mut kept = Kept::of(&room);
        let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        peer.joined().await;
        kept.join(&mut peer, Some(1)).await;
        kept.hears(&mut peer, 3).await;
        assert_eq!(kept.take(), ["21", "23", "21"], "of every key");
        put("b.c", 99).await;
        kept.next(&mut peer).await;
        assert_eq!(kept.take(), ["99"]);
        drop(peer);
        put("a", 100).await;
        put("a", 101).await;
        put("new", 102).await;
        let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        peer.joined().await;
        assert_eq!(kept.join(&mut peer, None).await.resumed, Some(true));
        kept.hears(&mut peer, 2).await;
        let mut heard = kept.take();
        if heard == ["100", "101"] {
            // The node had them all: a value that was replaced may come too.
            kept.next(&mut peer).await;
            heard.extend(kept.take());
        }
        assert_eq!(heard[heard.len() - 2..], ["101", "102"]);
    }
}
