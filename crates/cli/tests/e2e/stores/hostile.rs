//! Positions that nobody was given, in the URL: a plain 400, or a room that isn't resumed; never a fault of the server's. And rooms
//! that share a tag, so a node, and nothing else.

use serde_json::Value;

use super::*;
use crate::bare::Bare;
use crate::call::{encoded, get};
use crate::support::documented;

/// What a home room's join is answered.
fn joined(cluster: &Cluster, query: &str) -> (Bare, Value) {
    let mut bare = Bare::upgraded(cluster.gateway(), &format!("/v1/ws?{query}"), &[]);
    let joined = bare.until(|frame| frame["t"] != "hello");
    assert_eq!(joined["t"], "joined", "{query}: {joined}");
    (bare, joined["result"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cant_be_is_refused_and_one_that_isnt_there_isnt_resumed() {
    let cluster = nodes(2);
    let mut publisher = Peer::open(&cluster.options(Format::Json, None)).await;
    let fleeting = publisher.publish("lobby", "0").await.epoch.unwrap();
    let other = publisher.publish("state.other", "0").await.epoch.unwrap();
    for owner in ["node-1", "node-2"] {
        let room = room_on(&cluster, owner, "durable.hostile.").await;
        let offsets = publish_all(&mut publisher, &room, 1..=3).await;
        let mut kept = Kept::of(&room);
        let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
        kept.join(&mut peer, None).await;
        let newest = kept.position.clone().unwrap();
        let (epoch, ts) = (newest.epoch.as_str(), newest.ts.unwrap());
        let of_room = format!("room={}", encoded(&room));
        let good = format!("{epoch}:{}:{ts}", newest.offset);
        for wrong in [
            format!("since={good}&since={good}"),
            format!("since={good}&since="),
            "since=".to_owned(),
            "since=:".to_owned(),
            format!("since={epoch}"),
            format!("since={epoch}:"),
            format!("since={epoch}:-1"),
            format!("since={epoch}:%2B1"),
            format!("since={epoch}:1.5"),
            format!("since={epoch}:1e3"),
            format!("since={epoch}:%201"),
            format!("since={epoch}:0x10"),
            format!("since={epoch}:{}", u64::MAX),
            format!("since={epoch}:{}", 1_u64 << 53),
            format!("since={epoch}:{}0", u64::MAX),
            format!("since={epoch}:1:"),
            format!("since={epoch}:1:-1"),
            format!("since={epoch}:1:x"),
            format!("since={epoch}:1:1:1"),
            format!("since={}:1", "e".repeat(4_000)),
            format!("since=%00{epoch}:1"),
            "since=%F0%9F%98%80:1".to_owned(),
            format!("since={epoch}%0D%0A:1"),
        ] {
            let asked = get(&format!("/v1/ws?{of_room}&{wrong}")).upgrade();
            let (status, code) = asked.refused(cluster.gateway());
            assert_eq!(status, 400, "{wrong}: {code}");
            assert_eq!(documented(&code), Some(400), "{wrong}: {code}");
        }
        let (status, code) = get(&format!("/v1/ws?since={good}")).upgrade().refused(cluster.gateway());
        assert_eq!(status, 400, "without a room: {code}");
        // What can be read, and is of no publication of this room.
        let greatest = (1_u64 << 53) - 1;
        for strange in [
            format!("{epoch}:{}:{ts}", newest.offset + 1),
            format!("{epoch}:{}", newest.offset + 1_000_000),
            format!("{epoch}:{greatest}:{greatest}"),
            format!("{epoch}:{}:1", newest.offset),
            format!("{epoch}:{}:{greatest}", newest.offset),
            format!("{epoch}:{}:{}", offsets[0], ts + 60_000),
            format!("{fleeting}:1"),
            format!("{other}:1"),
            format!("{other}:{}:{ts}", newest.offset),
            "e:1".to_owned(),
            "constructor:1:1".to_owned(),
        ] {
            let (_bare, result) = joined(&cluster, &format!("{of_room}&since={strange}"));
            assert_eq!((&result["durable"], &result["resumed"]), (&true.into(), &false.into()), "{strange}");
            assert_eq!(
                (&result["epoch"], &result["offset"], &result["newest"], &result["oldest"]),
                (&epoch.into(), &newest.offset.into(), &newest.offset.into(), &offsets[0].into()),
                "{strange}: {result}"
            );
        }
        // The whole history is behind the beginning, which may be claimed or not; it is said which.
        let (mut bare, result) = joined(&cluster, &format!("{of_room}&since={epoch}:0"));
        if result["resumed"] == true {
            for n in 1..=3 {
                assert_eq!(bare.hear()["data"], n);
            }
        }
        bare.is_alive();
        // All of it changed nothing for who is there.
        publish_all(&mut publisher, &room, [4]).await;
        kept.hears(&mut peer, 1).await;
        assert_eq!((kept.take(), &kept.gaps), (numbers([4]), &Vec::new()));
        let (mut bare, result) = joined(&cluster, &format!("{of_room}&since={good}"));
        assert_eq!(result["resumed"], true);
        assert_eq!(bare.hear()["data"], 4);
    }
    for node in &cluster.nodes {
        assert_eq!(node.readyz(), Some(200), "a claim is no proof");
    }
}

/// They are on one node, in one part of a stream, and their publications have numbers of one row.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_one_tag_have_nothing_but_their_node_in_common() {
    let cluster = nodes(2);
    let home = room_on(&cluster, "node-1", "home.").await;
    let mut publisher = Peer::open(&cluster.options(Format::Json, None)).await;
    for owner in ["node-1", "node-2"] {
        let tag = room_on(&cluster, owner, "tag").await;
        let (one, two) = (format!("durable.{{{tag}}}.one"), format!("durable.{{{tag}}}.two"));
        let mut peers = Vec::new();
        for room in [&one, &two] {
            let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
            peer.joined().await;
            let mut kept = Kept::of(room);
            kept.join(&mut peer, None).await;
            peers.push((peer, kept));
        }
        assert_eq!(crate::support::node_of(cluster.gateway(), &one), owner);
        assert_eq!(crate::support::node_of(cluster.gateway(), &two), owner);
        let mut places = Vec::new();
        for n in 1..=20 {
            publish_all(&mut publisher, if n % 2 == 1 { &one } else { &two }, [n]).await;
            let (peer, kept) = &mut peers[usize::from(n % 2 == 0)];
            kept.next(peer).await;
            places.push(kept.position.clone().unwrap());
        }
        assert!(places.is_sorted_by_key(|place| place.offset), "one row: {places:?}");
        for (n, (_, kept)) in peers.iter_mut().enumerate() {
            let own = (1..=20).filter(|number| number % 2 == if n == 0 { 1 } else { 0 });
            assert_eq!(kept.take(), numbers(own));
        }
        // With the other's position one isn't resumed, or gets all that is behind it in its own room.
        for (at, place) in places.iter().enumerate() {
            let number = at as u64 + 1;
            let mut back = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
            back.joined().await;
            let mut kept = Kept { position: Some(place.clone()), ..Kept::of(&one) };
            let result = kept.join(&mut back, None).await;
            let behind: Vec<u64> = (number + 1..=20).filter(|number| number % 2 == 1).collect();
            let is_own = number % 2 == 1;
            if result.resumed == Some(true) {
                kept.hears(&mut back, behind.len()).await;
                assert_eq!(kept.take(), numbers(behind), "{place:?}");
            }
            assert!(result.resumed == Some(true) || !is_own, "{place:?}");
            back.leave(&one).await;
            assert!(back.heard_next().is_none(), "{place:?}");
        }
        // One is forgotten, the other isn't.
        let forgotten = crate::call::call("DELETE", &format!("/v1/messages?room={}", encoded(&one)));
        forgotten.ok(cluster.gateway());
        let of = |room: &str| -> Value {
            get(&format!("/v1/messages?room={}", encoded(room))).ok(cluster.gateway())["messages"].clone()
        };
        assert_eq!((of(&one).as_array().unwrap().len(), of(&two).as_array().unwrap().len()), (0, 10));
        let (peer, kept) = &mut peers[0];
        while kept.gaps.is_empty() {
            kept.next(peer).await;
        }
        assert_eq!(kept.gaps, ["truncated"]);
        publish_all(&mut publisher, &two, [21]).await;
        let (peer, kept) = &mut peers[1];
        kept.next(peer).await;
        assert_eq!((kept.take(), &kept.gaps), (numbers([21]), &Vec::new()));
    }
}
