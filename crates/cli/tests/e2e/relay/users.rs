//! Messages to a user and to a whole tenant come once to each connection, however many nodes have something of it.

use std::collections::BTreeMap;

use ringway_protocol::{ClientFrame, Format, ServerFrame};
use ringway_testkit::wait::until;

use super::SERVED;
use super::site::Site;
use crate::call::post;
use crate::peer::{Peer, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_a_user_or_for_all_comes_once_to_each_connection() {
    const EACH: usize = 50;
    let site = Site::start(3, 2).await;
    let mut homes = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        homes.push(site.room_on(node, "home.").await);
    }
    let mut peers = Vec::new();
    for (n, home) in homes.iter().chain(&homes).enumerate() {
        let format = if n.is_multiple_of(2) { Format::Json } else { Format::Msgpack };
        let mut options = crate::support::options(site.cluster.gateways[n % 2].listen, format, Some(home));
        let user = if n < 4 { "ann" } else { "bob" };
        options.user = Some(user.parse().unwrap());
        let mut peer = Peer::open(&options).await;
        peer.joined().await;
        for room in homes.iter().filter(|room| *room != home) {
            peer.join(room).await;
        }
        peers.push((user, peer));
    }
    for n in 0..EACH {
        let gateway = site.cluster.gateways[n % 2].listen;
        post("/v1/messages?user=ann", "application/json", format!("\"ann {n}\"")).ok(gateway);
        post("/v1/messages?all=true", "application/json", format!("\"all {n}\"")).ok(gateway);
        // The same message until its outcome is known: on a busy machine an answer may come too late.
        let target = format!("/v1/messages?room={}", crate::call::encoded(&homes[n % 3]));
        let of_room = post(&target, "application/json", "0").with("Ringway-Message-Id", &format!("m{n}"));
        until("it is published", SERVED, || (of_room.send(gateway).status == 200).then_some(()));
    }
    for (user, peer) in &mut peers {
        let expected = if *user == "ann" { 2 * EACH } else { EACH };
        let (mut personal, mut of_rooms) = (BTreeMap::<String, usize>::new(), 0);
        while personal.values().sum::<usize>() < expected || of_rooms < EACH {
            let msg = peer.msg().await;
            match msg.room {
                None => *personal.entry(text(&msg.data)).or_default() += 1,
                Some(_) => of_rooms += 1,
            }
        }
        assert!(personal.values().all(|count| *count == 1), "{user}: {personal:?}");
        assert!(*user == "ann" || personal.keys().all(|data| data.starts_with("\"all")), "{personal:?}");
        peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
        match peer.heard_next() {
            None => {}
            Some(ServerFrame::Msg(msg)) => panic!("{user}: once more {msg:?}"),
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// The node that speaks to a connection dies: another does from then on, and it is the only one.
#[tokio::test(flavor = "multi_thread")]
async fn when_its_home_has_died_a_user_is_found_elsewhere() {
    let mut site = Site::start(3, 1).await;
    let home = site.room_on("node-1", "home.").await;
    let other = site.room_on("node-2", "other.").await;
    let mut options = site.cluster.options(Format::Json, Some(&home));
    options.user = Some("ann".parse().unwrap());
    let mut peer = Peer::open(&options).await;
    peer.joined().await;
    peer.join(&other).await;
    site.cluster.nodes.remove(0).kill();
    site.all_see(2);
    // Until it is found again.
    let mut tries = 0;
    let found = loop {
        tries += 1;
        assert!(tries < 100, "never found");
        post("/v1/messages?user=ann", "application/json", format!("\"try {tries}\"")).ok(site.gateway());
        peer.ask(ClientFrame::Ping { id: None }).await.unwrap();
        let personal = std::iter::from_fn(|| peer.heard_next())
            .find(|frame| matches!(frame, ServerFrame::Msg(msg) if msg.room.is_none()));
        if personal.is_some() {
            break tries;
        }
        // Between two tries; how long they may go on is bounded above.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    println!("found at the {found}th try");
    for n in 0..20 {
        post("/v1/messages?user=ann", "application/json", n.to_string()).ok(site.gateway());
    }
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "19") {
        match peer.next().await {
            ServerFrame::Msg(msg) if msg.room.is_none() => heard.push(text(&msg.data)),
            ServerFrame::Msg(_) | ServerFrame::Gap(_) => {}
            other => panic!("{other:?}"),
        }
    }
    heard.retain(|data| !data.starts_with("\"try"));
    assert!(heard.into_iter().eq((0..20).map(|n| n.to_string())));
}
