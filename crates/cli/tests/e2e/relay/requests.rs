//! What was asked of a node that dies is answered by the gateway: no socket closes, so nothing else would tell the client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use ringway_client::To;
use ringway_protocol::frame::{Auth, History};
use ringway_protocol::{ClientFrame, Code, Format, ServerFrame};
use ringway_testkit::path::Path;

use super::site::Site;
use crate::cluster::{Cluster, rooms};
use crate::peer::{Peer, join, json, leave, members, publish, text, with_id};
use crate::rebalance::steady::Steady;
use crate::support::name;

fn history(room: &str) -> ClientFrame {
    ClientFrame::History(History {
        id: None,
        room: Some(name(room)),
        after: None,
        before: None,
        limit: None,
        epoch: None,
    })
}

/// What every one of these was answered, each exactly once; what else came meanwhile is left to be read.
async fn answers(
    peer: &mut Peer,
    ids: std::ops::RangeInclusive<u64>,
) -> BTreeMap<u64, Result<(), (Code, bool)>> {
    let mut found = BTreeMap::new();
    for id in ids {
        let answer = peer.answer(id).await.map(drop).map_err(|no| (no.code, no.retry.is_some()));
        found.insert(id, answer);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_a_node_that_dies_is_answered() {
    let steady = Steady::watch();
    let mut cluster = Cluster::by(Path::Relay, 3, 1);
    let http = cluster.http();
    let home = rooms(&http, "home", 1, |node| node == "node-2").await.remove(0);
    let on_first = rooms(&http, "first", 4, |node| node == "node-1").await;
    let [talks, leaves, joins, never] = &on_first[..] else { panic!("{on_first:?}") };
    for format in [Format::Json, Format::Msgpack] {
        if format == Format::Msgpack {
            let again = cluster.launcher.node("node-1", &[]);
            cluster.nodes[0] = again;
            cluster
                .gateways
                .iter()
                .chain(&cluster.nodes)
                .for_each(|process| crate::cluster::sees(process, 3));
        }
        let mut peer = Peer::open(&cluster.options(format, Some(&home))).await;
        peer.joined().await;
        peer.join(talks).await;
        peer.join(leaves).await;
        assert!(peer.publish(talks, "\"before\"").await.offset.is_some());
        assert_eq!(text(&peer.msg().await.data), "\"before\"");

        cluster.nodes[0].pause();
        let asked = [
            publish(talks, "\"unknown\""),
            leave(leaves),
            join(joins),
            members(talks),
            history(never),
            publish(never, "\"unknown\""),
            ClientFrame::Ping { id: None },
            publish(&home, "\"at home\""),
        ];
        let asked: Vec<_> = (101..).zip(asked).map(|(id, frame)| with_id(frame, id)).collect();
        peer.send(&asked).await;
        // Who is at home isn't held up by it.
        peer.answer(107).await.unwrap();
        peer.answer(108).await.unwrap();
        cluster.nodes[0].kill();
        let told = answers(&mut peer, 101..=106).await;
        let unknown = || Err((Code::OutcomeUnknown, true));
        let unavailable = || Err((Code::Unavailable, true));
        let expected = [unknown(), Ok(()), Ok(()), unavailable(), unavailable(), unknown()];
        // On a busy machine it may have been given up before it was asked: then others answer.
        let expected: BTreeMap<_, _> = (101..).zip(expected).collect();
        assert!(told == expected || !steady.was(), "{format:?}: {told:?}");

        // It is a member where it was and where it asked to be, and no longer where it left.
        let mut heard = BTreeSet::new();
        while !heard.contains("\"after\"") {
            let answer = peer.ask(publish(talks, "\"after\"")).await;
            assert!(answer.is_ok() || answer.is_err_and(|no| no.retry.is_some()));
            while let Some(frame) = peer.heard_next() {
                match frame {
                    ServerFrame::Msg(msg) => drop(heard.insert(text(&msg.data))),
                    // Whose holder wasn't reached at its join is told its position later.
                    ServerFrame::Gap(gap) => {
                        assert!([name(talks), name(joins)].contains(&gap.room), "{gap:?}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        for room in [leaves, joins] {
            http.publish(&To::Room(name(room)), json("\"later\"")).await.unwrap();
        }
        loop {
            match peer.next().await {
                ServerFrame::Msg(msg) if msg.room == Some(name(joins)) => break,
                ServerFrame::Msg(msg) => assert_eq!(msg.room, Some(name(talks)), "{msg:?}"),
                ServerFrame::Gap(gap) if gap.room == name(joins) => {}
                other => panic!("{other:?}"),
            }
        }
        peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
        assert_eq!(peer.heard_next(), None, "{format:?}: answered twice, or of a room that it left");
    }
}

/// The node that speaks for a connection, and not only for a room of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_ones_home_is_answered_when_that_dies() {
    let steady = Steady::watch();
    let mut cluster = Cluster::by(Path::Relay, 2, 1);
    let http = cluster.http();
    let home = rooms(&http, "home", 1, |node| node == "node-1").await.remove(0);
    let other = rooms(&http, "other", 1, |node| node == "node-2").await.remove(0);
    let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
    peer.joined().await;
    peer.join(&other).await;
    cluster.nodes[0].pause();
    let asked = [
        ClientFrame::Ping { id: None },
        ClientFrame::Auth(Auth { id: None, token: "of no use".into() }),
        publish(&home, "1"),
        publish(&other, "2"),
    ];
    let asked: Vec<_> = (101..).zip(asked).map(|(id, frame)| with_id(frame, id)).collect();
    peer.send(&asked).await;
    cluster.nodes[0].kill();
    let told = answers(&mut peer, 101..=104).await;
    let unavailable = Err((Code::Unavailable, true));
    // On a busy machine it may have been given up before it was asked: then another answers.
    assert!((told[&101] == unavailable && told[&102] == unavailable) || !steady.was(), "{told:?}");
    // It may have waited for the answer about its rights, and then it was never sent.
    assert!(matches!(told[&103], Ok(()) | Err((Code::OutcomeUnknown | Code::Unavailable, true))), "{told:?}");
    assert_eq!(told[&104], Ok(()));
    peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
    // All that the server says to a connection comes from elsewhere now.
    let target = "/v1/messages?all=true";
    crate::call::post(target, "application/json", "\"all\"").ok(cluster.gateway());
    loop {
        match peer.next().await {
            ServerFrame::Msg(msg) if msg.room.is_none() => break assert_eq!(text(&msg.data), "\"all\""),
            ServerFrame::Msg(msg) => assert!(msg.room.is_some()),
            ServerFrame::Gap(gap) => assert_eq!(gap.room, name(&home)),
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever is asked, however often links break meanwhile: an answer each, and who is told to be a member is one.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_answered_once_however_often_links_are_cut() {
    const ROUNDS: u64 = 30;
    const EACH: u64 = 20;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::start(3, 1).await;
    let http = site.cluster.http();
    let mut all = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        all.extend(site.rooms_on(node, "fleeting.", 1).await);
        all.extend(site.rooms_on(node, "durable.", 1).await);
    }
    let mut peer = Peer::open(&site.cluster.options(Format::Msgpack, None)).await;
    let mut asked: BTreeMap<u64, (ClientFrame, usize)> = BTreeMap::new();
    let mut inside = vec![false; all.len()];
    for round in 0..ROUNDS {
        let ids = round * EACH + 1..=(round + 1) * EACH;
        let frames: Vec<_> = ids
            .clone()
            .map(|id| {
                let room = random.random_range(0..all.len());
                let frame = match random.random_range(0..8) {
                    0..=2 => join(&all[room]),
                    3..=4 => leave(&all[room]),
                    5 => publish(&all[room], "1"),
                    6 => members(&all[room]),
                    _ => ClientFrame::Ping { id: None },
                };
                asked.insert(id, (frame.clone(), room));
                with_id(frame, id)
            })
            .collect();
        peer.send(&frames).await;
        for _ in 0..random.random_range(0..3) {
            // At any moment of the requests' way.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
            site.links[random.random_range(0..3)].cut();
        }
        for id in ids {
            let answer = peer.answer(id).await;
            let (frame, room) = &asked[&id];
            // In the order in which they were sent, whatever the order of the answers.
            match (frame, answer.map_err(|no| (no.code, no.retry.is_some()))) {
                (ClientFrame::Join(_), Ok(_) | Err((Code::AlreadyJoined, _))) => inside[*room] = true,
                (ClientFrame::Leave(_), Ok(_) | Err((Code::NotJoined, _))) => inside[*room] = false,
                // It is asked to ask again, and isn't in.
                (ClientFrame::Join(_), Err((Code::Unavailable, true))) => {}
                (ClientFrame::Join(_) | ClientFrame::Leave(_), Err((code, _))) => {
                    panic!("seed {seed}, {frame:?} of {}: {code:?}", all[*room]);
                }
                (ClientFrame::Pub(_) | ClientFrame::Members(_) | ClientFrame::Ping { .. }, _) => {}
                (other, answer) => panic!("{other:?}: {answer:?}"),
            }
        }
    }
    // Where it has left all rooms nothing else would read what came from them before.
    while let Some(frame) = peer.heard_next() {
        assert!(matches!(frame, ServerFrame::Msg(_) | ServerFrame::Gap(_)), "seed {seed}: {frame:?}");
    }
    for room in &all {
        http.publish(&To::Room(name(room)), json("\"the end\"")).await.unwrap();
    }
    let expected: BTreeSet<&str> =
        all.iter().zip(&inside).filter(|(_, inside)| **inside).map(|(room, _)| room.as_str()).collect();
    let mut heard = BTreeSet::new();
    while heard.len() < expected.len() {
        match peer.next().await {
            ServerFrame::Msg(msg) if text(&msg.data) == "\"the end\"" => {
                let room = msg.room.unwrap();
                assert!(expected.contains(room.as_str()), "seed {seed}: {room} was left");
                assert!(heard.insert(room.as_str().to_owned()), "seed {seed}: {room} twice");
            }
            ServerFrame::Msg(_) | ServerFrame::Gap(_) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
    assert_eq!(peer.heard_next(), None, "seed {seed}");
}
