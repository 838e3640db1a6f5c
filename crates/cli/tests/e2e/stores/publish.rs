//! Publishing to durable rooms: what is acknowledged, what is recognised, what is refused.

use ringway_protocol::frame::Pub;
use ringway_protocol::{ClientFrame, Code};
use serde_json::json;

use super::*;
use crate::call::{encoded, post};
use crate::peer::publication;

fn with_mid(room: &str, data: &str, mid: &str) -> ClientFrame {
    ClientFrame::Pub(Pub { mid: Some(mid.into()), ..publication(room, data) })
}

#[tokio::test]
async fn what_is_acknowledged_has_a_place_and_a_repeat_has_the_same() {
    let cluster = nodes(2);
    for format in FORMATS {
        for owner in ["node-1", "node-2"] {
            let home = room_on(&cluster, "node-1", "home.").await;
            let room = room_on(&cluster, owner, &format!("durable.{format:?}.")).await;
            let mut options = cluster.options(format, Some(&home));
            options.user = Some("ann".parse().unwrap());
            let mut ann = Peer::open(&options).await;
            ann.joined().await;
            let mut kept = Kept::of(&room);
            kept.join(&mut ann, None).await;
            let one = ann.ask(with_mid(&room, "1", "m1")).await.unwrap().unwrap().into_pub();
            assert!(one.epoch.is_some() && one.offset.is_some() && !one.duplicate && !one.local, "{one:?}");
            let two = ann.ask(with_mid(&room, "2", "m2")).await.unwrap().unwrap().into_pub();
            assert!(two.offset > one.offset);
            let again = ann.ask(with_mid(&room, "1", "m1")).await.unwrap().unwrap().into_pub();
            assert_eq!((again.offset, again.epoch, again.duplicate), (one.offset, one.epoch.clone(), true));
            // The same id of another user, in another room, or of another tenant is another's.
            let mut options = cluster.options(format, Some(&home));
            options.user = Some("bob".parse().unwrap());
            let mut bob = Peer::open(&options).await;
            bob.joined().await;
            assert!(!bob.ask(with_mid(&room, "3", "m1")).await.unwrap().unwrap().into_pub().duplicate);
            let other = room_on(&cluster, owner, &format!("durable.other.{format:?}.")).await;
            assert!(!ann.ask(with_mid(&other, "4", "m1")).await.unwrap().unwrap().into_pub().duplicate);
            let stranger = post(
                &format!("/v1/messages?tenant=stranger&room={}", encoded(&room)),
                "application/json",
                "5",
            )
            .with("Ringway-Message-Id", "m1")
            .ok(cluster.gateway());
            assert!(stranger.get("duplicate").is_none() && stranger["offset"].is_u64(), "{stranger}");
            let last = ann.publish(&room, "6").await;
            kept.hears(&mut ann, 4).await;
            assert_eq!(kept.take(), ["1", "2", "3", "6"], "each once");
            assert_eq!(kept.offsets.last().copied(), last.offset);
        }
    }
}

#[tokio::test]
async fn a_signal_passes_and_is_not_kept() {
    let cluster = nodes(2);
    for format in FORMATS {
        let room = room_on(&cluster, "node-2", "durable.signal.").await;
        let home = room_on(&cluster, "node-1", "home.").await;
        let mut here = Peer::open(&cluster.options(format, Some(&home))).await;
        here.joined().await;
        let mut there = Peer::open(&cluster.options(format, Some(&room))).await;
        there.joined().await;
        let (mut kept, mut other) = (Kept::of(&room), Kept::of(&room));
        let empty = kept.join(&mut here, None).await;
        other.join(&mut there, None).await;
        let signal =
            Pub { store: false, event: Some("typing".into()), echo: false, ..publication(&room, "\"…\"") };
        let told = here.ask(ClientFrame::Pub(signal)).await.unwrap().unwrap().into_pub();
        assert_eq!((told.offset, told.duplicate, told.local), (None, false, false));
        let answer = post(&format!("/v1/messages?room={}", encoded(&room)), "application/json", "\"http\"")
            .with("Ringway-Store", "false")
            .ok(cluster.gateway());
        assert_eq!(answer, json!({}));
        here.publish(&room, "1").await;
        for (kept, peer, heard) in [
            (&mut kept, &mut here, vec!["\"http\"", "1"]),
            (&mut other, &mut there, vec!["\"…\"", "\"http\"", "1"]),
        ] {
            kept.hears(peer, heard.len()).await;
            assert_eq!(kept.take(), heard);
            assert_eq!(kept.offsets.len(), 1, "a signal has no offset");
        }
        // Who comes back gets what was kept.
        let mut back = Peer::open(&cluster.options(format, Some(&home))).await;
        back.joined().await;
        let since = ringway_protocol::frame::Position {
            epoch: empty.epoch.unwrap(),
            offset: empty.offset.unwrap(),
            ts: empty.ts,
        };
        let mut kept = Kept { position: Some(since), ..Kept::of(&room) };
        assert_eq!(kept.join(&mut back, None).await.resumed, Some(true));
        kept.hears(&mut back, 1).await;
        assert_eq!(kept.take(), ["1"]);
    }
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let cluster = nodes(2);
    let room = room_on(&cluster, "node-2", "full.").await;
    let mut peer = Peer::open(&cluster.options(Format::Msgpack, None)).await;
    let large = format!("\"{}\"", "x".repeat(10_000));
    let mut stored = 0;
    let no = loop {
        match peer.ask(crate::peer::publish(&room, &large)).await {
            Ok(_) => stored += 1,
            Err(no) => break no,
        }
        assert!(stored < 20, "64 KiB are full at some point");
    };
    assert_eq!((no.code, stored > 3), (Code::StorageFull, true), "{stored}");
    let body = format!("\"{}\"", "y".repeat(10_000));
    let (status, code) = post(&format!("/v1/messages?room={}", encoded(&room)), "application/json", body)
        .refused(cluster.gateway());
    assert_eq!((status, &*code), (crate::support::documented("storage_full").unwrap(), "storage_full"));
    let mut kept = Kept::of(&room);
    kept.join(&mut peer, Some(100)).await;
    kept.hears(&mut peer, stored).await;
    assert!(kept.take().iter().all(|heard| *heard == large));
    // Other stores take what they took before.
    peer.publish("durable.other", "1").await;
}

/// Case 55, in durable rooms: each name is its own room, on its own node and on another.
#[tokio::test]
async fn rooms_of_any_name_are_kept_apart() {
    let cluster = nodes(2);
    let long = "😀".repeat(60);
    let names = ["a.b", "*", ">", "a b", "a,b;c", "$SYS.x", "%2A", "_", "a%2Eb", &*long];
    let home = room_on(&cluster, "node-1", "home.").await;
    let mut listener = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
    listener.joined().await;
    let mut publisher = Peer::open(&cluster.options(Format::Msgpack, None)).await;
    let mut rooms: Vec<Kept> = names.iter().map(|name| Kept::of(&format!("durable.{name}"))).collect();
    for kept in &mut rooms {
        kept.join(&mut listener, None).await;
    }
    for (n, kept) in rooms.iter_mut().enumerate() {
        publisher.publish(&kept.room, &n.to_string()).await;
        kept.next(&mut listener).await;
        assert_eq!(kept.take(), [n.to_string()], "{}", kept.room);
    }
    for (n, kept) in rooms.iter().enumerate() {
        let mut peer = Peer::open(&cluster.options(Format::Json, Some(&kept.room))).await;
        peer.joined().await;
        let mut again = Kept::of(&kept.room);
        again.join(&mut peer, Some(10)).await;
        again.hears(&mut peer, 1).await;
        assert_eq!(again.take(), [n.to_string()], "{}", kept.room);
    }
}
