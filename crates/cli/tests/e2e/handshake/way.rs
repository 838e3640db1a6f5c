//! Which way bytes go once somebody is in: through the gateway, past it, or within one process.

use std::time::Duration;

use ringway_testkit::http;
use ringway_testkit::path::Path;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;
use serde_json::{Value, json};
use socket2::SockRef;

use super::{OPEN, World, bearer, path, token_of};
use crate::bare::{Bare, SOON, upgrade};
use crate::footprint::{descriptors, memory};

/// What a gateway has counted: tunnels that stand, upgrades by tunnel and within the process, bytes in tunnels.
fn counted(gateway: &Process) -> [f64; 4] {
    let metrics = gateway.metrics();
    [
        metrics.sum("ringway_gateway_connections", &[]),
        metrics.sum("ringway_gateway_upgrades_total", &["outcome=\"tunnel\""]),
        metrics.sum("ringway_gateway_upgrades_total", &["outcome=\"local\""]),
        metrics.sum("ringway_gateway_tunnel_bytes_total", &[]),
    ]
}

#[test]
fn by_the_direct_path_no_byte_passes_the_gateway() {
    let world = World::jwt();
    let page = "Origin: https://a.example";
    let members: Vec<Bare> = ["ann", "bob"]
        .map(|user| {
            // As a page does it: a call with its token, then a socket that can't have headers of its own.
            let call = format!(
                "GET /v1/locate?room=r HTTP/1.1\r\nHost: {}\r\n{page}\r\n{}\r\nConnection: close\r\n\r\n",
                world.gateway.listen,
                bearer(&token_of("acme", user, 60))
            );
            let answer = http::raw(world.gateway.listen, call.as_bytes(), SOON).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
            let place: Value = serde_json::from_str(&answer.body).unwrap();
            let url = place["url"].as_str().unwrap();
            let target = url.strip_prefix(&format!("ws://{}", world.direct)).unwrap();
            let mut bare = Bare::open(world.direct);
            bare.send(upgrade(
                target,
                &[
                    page,
                    "Pragma: no-cache",
                    "Cache-Control: no-cache",
                    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
                    "Accept-Encoding: gzip, deflate, br, zstd",
                    "Accept-Language: en-GB,en;q=0.9",
                    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
                    "Sec-WebSocket-Protocol: ringway.v1.json",
                ],
            ));
            let answer = bare.answer();
            assert_eq!(answer.status, 101, "{answer:?}");
            assert_eq!(answer.header("sec-websocket-extensions"), None);
            let joined = bare.until(|frame| frame["t"] == "joined");
            assert_eq!(joined["room"], "r");
            bare
        })
        .into();
    let [mut ann, mut bob]: [Bare; 2] = members.try_into().unwrap();
    let data = "x".repeat(10_000);
    for n in 0..20 {
        assert_eq!(ann.ask(&json!({"t": "pub", "id": n, "data": [n, data]}))["t"], "ok");
        assert_eq!(bob.until(|frame| frame["t"] == "msg")["data"], json!([n, data]));
    }
    assert_eq!(counted(&world.gateway), [0.0; 4]);
    assert_eq!(world.node.metrics().sum("ringway_connections", &[]), 2.0);
}

#[test]
fn in_one_process_there_is_no_hop_and_the_gateway_keeps_nothing() {
    const COUNT: usize = 40;
    let world = World::open();
    let (serve, door) = (&world.serve, world.serve.listen);
    drop(Bare::in_room(door, "first"));
    until("the first has gone", SOON, || {
        (serve.metrics().sum("ringway_connections", &[]) == 0.0).then_some(())
    });
    let before = descriptors(serve);
    let mut members: Vec<Bare> = (0..COUNT).map(|_| Bare::in_room(door, "r")).collect();
    assert_eq!(members[0].ask(&json!({"t": "pub", "id": 1, "data": "hello"}))["t"], "ok");
    for member in &mut members[1..] {
        assert_eq!(member.until(|frame| frame["t"] == "msg")["data"], "hello");
    }
    // A connection for a question to the admin port may be closing still.
    until("one descriptor a connection", SOON, || (descriptors(serve) <= before + COUNT).then_some(()));
    assert_eq!(counted(serve), [0.0, 0.0, (COUNT + 1) as f64, 0.0]);
    let metrics = serve.metrics();
    assert_eq!(metrics.sum("ringway_connections", &[]), COUNT as f64);
    assert_eq!(metrics.sum("ringway_gateway_handshakes", &[]), 0.0);
    assert_eq!(metrics.sum("ringway_gateway_route_attempts_total", &["outcome=\"ok\""]), 0.0);
}

/// In a tunnel each that reads nothing may cost the gateway what one read takes, 64 KiB, however much its node has for it.
#[test]
fn clients_that_read_nothing_cost_the_gateway_one_buffer_each() {
    const COUNT: usize = 32;
    let world = World::by(Path::Tunnel, OPEN, &[]);
    let door = world.gateway.listen;
    let mut stalled: Vec<Bare> = (0..COUNT)
        .map(|_| {
            let bare = Bare::in_room(door, "flood");
            SockRef::from(bare.socket()).set_recv_buffer_size(4 * 1_024).unwrap();
            bare
        })
        .collect();
    // The buffers of its threads are there before, and what a first large message costs.
    let mut speaker = Bare::upgraded(door, "/v1/ws?room=other", &[]);
    let data = "x".repeat(60 * 1_024);
    speaker.until(|frame| frame["t"] == "joined");
    for n in 0..20 {
        speaker.say(&json!({"t": "pub", "id": n, "data": data}));
        speaker.until(|frame| frame["id"] == n);
    }
    let before = memory(&world.gateway);
    let at_node = || world.node.metrics().sum("ringway_connections", &[]);
    assert_eq!(at_node(), (COUNT + 1) as f64);
    let mut sent = 0;
    let mut most = before;
    until("the node gives up all that read nothing", 6 * SOON, || {
        for n in 0..10 {
            speaker.say(&json!({"t": "pub", "id": n, "room": "flood", "data": data}));
            speaker.until(|frame| frame["id"] == n);
            sent += data.len();
        }
        most = most.max(memory(&world.gateway));
        (at_node() == 1.0).then_some(())
    });
    let (grown, bound) = (most - before, COUNT as u64 * 64 + 2_048);
    println!("{} KiB to each of {COUNT}: the gateway grew by {grown} KiB", sent / 1_024);
    assert!(grown <= bound, "the gateway grew by {grown} KiB, more than {bound}");
    assert!(sent > 3 * 64 * 1_024, "{sent} bytes are no flood");
    // Who then leaves is forgotten.
    stalled.clear();
    until("the tunnels have ended", SOON + Duration::from_secs(5), || {
        (counted(&world.gateway)[0] == 1.0).then_some(())
    });
    speaker.is_alive();
}

#[test]
fn hello_and_the_answer_to_the_home_rooms_join_come_in_one_write() {
    let world = World::open();
    for door in world.doors() {
        // Its join has to wait until the room is there, and a node that has only just begun until it may begin the room.
        let mut first = Bare::upgraded(door.address, &door.target("room=r", &[]), &[]);
        assert_eq!(first.hear()["t"], "hello", "{door:?}");
        assert_eq!(first.hear()["t"], "joined", "{door:?}");
        for n in 0..10 {
            let mut bare = Bare::upgraded(door.address, &door.target("room=r", &[]), &[]);
            assert_eq!(bare.hear()["t"], "hello", "{door:?} {n}");
            // A link is written to by all whose connections it carries: that of one may part what belongs to another.
            let by_link = door.name == "gateway" && path() == Path::Relay;
            assert!(by_link || bare.at_hand() > 0, "{door:?} {n}: nothing came with the hello");
            assert_eq!(bare.hear()["t"], "joined", "{door:?} {n}");
        }
        // Without a room nothing is waited for.
        let mut bare = Bare::upgraded(door.address, &door.target("user=ann", &[]), &[]);
        assert_eq!(bare.hear()["t"], "hello", "{door:?}");
    }
}
