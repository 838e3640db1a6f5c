//! A link breaks at the worst moment of a join: before its answer, while what was missed comes, and before what comes next.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use ringway_client::{Closed, To};
use ringway_protocol::frame::Position;
use ringway_protocol::{ClientFrame, Format, ServerFrame};

use super::site::Site;
use crate::peer::{Peer, join_from, json, position, text, with_id};
use crate::support::name;

/// Publishes `0`, `1` and so on to a room, and gives where a member was before the first.
async fn filled(site: &Site, room: &str, count: u64) -> Position {
    let mut speaker = Peer::open(&site.cluster.options(Format::Json, None)).await;
    let begin = speaker.join(room).await;
    let begin = position(begin.epoch.as_ref(), begin.offset);
    speaker.leave(room).await;
    let mut sent = 0;
    while sent < count {
        let frames: Vec<_> = (sent..count.min(sent + 100))
            .map(|n| with_id(crate::peer::publish(room, &n.to_string()), 10_000 + n))
            .collect();
        speaker.send(&frames).await;
        for n in sent..sent + frames.len() as u64 {
            speaker.answer(10_000 + n).await.unwrap();
        }
        sent += frames.len() as u64;
    }
    speaker.close().await;
    begin
}

/// Joins from there, while the link to the room's node breaks again and again, and hears all of it.
async fn hears_all(site: &Site, home: &str, room: &str, since: &Position, count: u64, random: &mut StdRng) {
    let format = if random.random_bool(0.5) { Format::Json } else { Format::Msgpack };
    let mut peer = Peer::open(&site.cluster.options(format, Some(home))).await;
    peer.joined().await;
    peer.send(&[with_id(join_from(room, Some(since.clone()), None), 1)]).await;
    for _ in 0..random.random_range(1..4) {
        // At any moment of the join and its replay.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..15_000))).await;
        site.links[0].cut();
    }
    // Its answer, once, and then each in its turn.
    let mut id = 1;
    let result = loop {
        match peer.next().await {
            ServerFrame::Ok(answer) if answer.id == Some(id) => break answer.result.unwrap().into_join(),
            // Where there was no way at all for a moment it is asked to ask again.
            ServerFrame::Err(no) if no.id == Some(id) && no.retry.is_some() => {
                id += 1;
                peer.send(&[with_id(join_from(room, Some(since.clone()), None), id)]).await;
            }
            other => panic!("before the answer to the join: {other:?}"),
        }
    };
    assert_eq!((result.resumed, result.offset), (Some(true), Some(since.offset)), "{result:?}");
    let mut at = since.offset;
    for number in 0..count {
        let msg = peer.msg().await;
        assert_eq!(text(&msg.data), number.to_string(), "{room}: {msg:?} after {at}");
        assert!(msg.offset > Some(at), "{room}: {msg:?} after {at}");
        at = msg.offset.unwrap();
    }
    peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
    assert_eq!(peer.heard_next(), None, "{room}: nothing comes behind the last");
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_during_joins_and_replays() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::start(2, 1).await;
    let home = site.room_on("node-2", "home").await;
    for (prefix, count) in [("fleeting.", 100), ("durable.", 900)] {
        let room = site.room_on("node-1", prefix).await;
        let since = filled(&site, &room, count).await;
        for _ in 0..25 {
            hears_all(&site, &home, &room, &since, count, &mut random).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut_between_a_joins_answer_and_what_comes_first() {
    let site = Site::start(2, 1).await;
    let http = site.cluster.http();
    let home = site.room_on("node-2", "home").await;
    for prefix in ["fleeting.", "durable."] {
        for room in site.rooms_on("node-1", prefix, 15).await {
            let mut peer = Peer::open(&site.cluster.options(Format::Json, Some(&home))).await;
            peer.joined().await;
            let result = peer.join(&room).await;
            site.links[0].cut();
            // By NATS, so that it gets there however links are.
            http.publish(&To::Room(name(&room)), json("\"first\"")).await.unwrap();
            let msg = peer.msg().await;
            assert_eq!(text(&msg.data), "\"first\"");
            assert!(msg.offset > result.offset, "{msg:?} after {result:?}");
            http.publish(&To::Room(name(&room)), json("\"second\"")).await.unwrap();
            assert_eq!(text(&peer.msg().await.data), "\"second\"");
            peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
            assert_eq!(peer.heard_next(), None);
        }
    }
}

/// The home room, which the server joins.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut_while_clients_come() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::start(2, 1).await;
    let home = site.room_on("node-1", "home").await;
    let mut turned_away = 0;
    for round in 0..40 {
        let options = site.cluster.options(Format::Json, Some(&home));
        let opening = tokio::spawn(async move {
            let mut peer = Peer::try_open(&options).await?;
            Ok::<_, Closed>((peer.joined().await.result, peer))
        });
        // At any moment of the opening.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..8_000))).await;
        site.links[0].cut();
        // On a busy machine there may have been no node in time: who is told so comes back.
        let Ok((joined, mut peer)) = opening.await.unwrap() else {
            turned_away += 1;
            assert!(turned_away < 10, "seed {seed}, round {round}");
            continue;
        };
        let said = peer.ask(crate::peer::publish(&home, &round.to_string())).await;
        let Some(own) = said.ok().map(|said| said.unwrap().into_pub().offset) else { continue };
        // Who was told of its room, but not where it is in it, is told that later.
        let mut place = joined.offset;
        while place < own {
            match peer.next().await {
                ServerFrame::Msg(msg) => {
                    assert_eq!(text(&msg.data), round.to_string(), "seed {seed}");
                    place = msg.offset;
                }
                ServerFrame::Gap(gap) if place.is_none() => place = Some(gap.offset),
                other => panic!("seed {seed}, round {round}: {other:?} after {joined:?}"),
            }
        }
        peer.close().await;
    }
}
