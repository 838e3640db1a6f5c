//! Names of rooms: those that are none, and those that only look strange.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{FORMATS, World, enter};
use crate::bare::{Bare, SOON, binary, encoded};
use crate::support::node_of;

#[test]
fn what_is_no_name_of_a_room_is_refused_in_every_frame() {
    let world = World::start();
    let (long, emoji) = ("x".repeat(256), "\u{1f600}".repeat(64));
    let bad = [
        "",
        &long,
        &emoji,
        "\0",
        "\n",
        "a\r\nPUB b 1",
        "\t",
        "a\u{1f}",
        "\u{7f}",
        "\u{80}",
        "\u{85}",
        "\u{9f}b",
    ];
    for (door, address) in world.doors() {
        let mut by = FORMATS.map(|format| enter(address, format, "names"));
        for room in bad {
            for (number, kind, more) in [
                (1, "join", json!({})),
                (2, "leave", json!({})),
                (3, "pub", json!({"data": null})),
                (4, "state", json!({"state": null})),
                (5, "members", json!({})),
                (6, "history", json!({})),
                (8, "call", json!({"data": null, "method": "m"})),
            ] {
                let mut json = json!({"t": kind, "id": 5, "room": room});
                json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let mut msgpack = vec![0x95, number, 5, 0xD9, room.len() as u8];
                if room.len() > 255 {
                    msgpack = vec![0x95, number, 5, 0xDA, 1, 0];
                }
                msgpack.extend(room.as_bytes());
                msgpack.extend([0xC0, 0xA1, b'm']);
                by[0].say(&json);
                by[1].send(binary(&msgpack));
                for (bare, format) in by.iter_mut().zip(FORMATS) {
                    let refusal = bare.answer_as(format).unwrap_err();
                    assert_eq!(
                        (refusal.code.as_str(), refusal.id),
                        ("bad_room", Some(5)),
                        "{door}, {format:?}: {kind} {room:?}"
                    );
                }
            }
        }
        // Without a room at all, where there is no home room either.
        let mut bare = Bare::upgraded(address, "/v1/ws", &[]);
        for frame in [json!({"t": "pub", "data": 1}), json!({"t": "members"})] {
            let mut frame = frame;
            frame["id"] = 6.into();
            assert_eq!(bare.ask(&frame)["code"], "bad_room", "{door}: {frame}");
        }
    }
}

#[test]
fn rooms_may_be_called_anything_and_hear_nobody_else() {
    let world = World::start();
    let gateway = world.cluster.gateway();
    let nodes = world.cluster.nodes.iter().map(|node| node.name.trim_start_matches("node ").to_owned());
    let homes: Vec<String> = nodes
        .map(|node| {
            (0..).map(|n| format!("at home {n}")).find(|room| node_of(gateway, room) == node).unwrap()
        })
        .collect();
    let longest = "\u{1f600}".repeat(63) + "\u{20ac}";
    assert_eq!(longest.len(), 255);
    let others = "\u{1f600}".repeat(63) + "\u{20ad}";
    let rooms = [
        "a.b",
        "a",
        "b",
        "*",
        "a.*",
        ">",
        "a.>",
        "**",
        "a b",
        " ",
        "a,b;c",
        "\u{e9}",
        "e\u{301}",
        "$SYS.x",
        "$SYS.>",
        "_INBOX.x",
        "{}",
        "{x",
        "{x}",
        "x",
        "}{",
        "{{x}}",
        "%2A",
        "%",
        "a/b",
        "..",
        "null",
        "__proto__",
        "\u{202e}",
        "\u{feff}",
        "A",
        "\\",
        "\"",
        "'",
        "_",
        &longest,
        &others,
    ];
    // On both nodes, wherever the room itself lives: two members each, and one in `serve`.
    let enter = |address: SocketAddr, home: &str, room: &str| {
        let mut bare = Bare::in_room(address, home);
        let answer = bare.ask(&json!({"t": "join", "id": 1, "room": room}));
        assert_eq!((&answer["t"], &answer["room"]), (&json!("ok"), &json!(room)), "{answer}");
        bare
    };
    let mut members: Vec<(&str, Vec<Bare>)> = rooms
        .iter()
        .map(|room| {
            let mut bares: Vec<Bare> = homes.iter().map(|home| enter(gateway, home, room)).collect();
            bares.push(enter(world.serve.listen, "at home", room));
            bares.push(enter(world.serve.listen, "at home", room));
            (*room, bares)
        })
        .collect();
    for round in 0..2 {
        // From each side in turn, so that every room is published to from both nodes.
        for (room, bares) in &mut members {
            let (cluster, serve) = bares.split_at_mut(2);
            for bares in [cluster, serve] {
                bares[round].say(&json!({"t": "pub", "room": room, "data": {"room": room, "round": round}}));
            }
        }
        for (room, bares) in &mut members {
            for (n, bare) in bares.iter_mut().enumerate() {
                let msg = bare.hear();
                let expected = json!({"room": room, "round": round});
                assert_eq!(
                    (&msg["t"], &msg["room"], &msg["data"]),
                    (&json!("msg"), &json!(room), &expected),
                    "member {n} of {room:?}"
                );
            }
        }
    }
    for (room, bares) in &mut members {
        for bare in bares {
            bare.say(&json!({"t": "ping", "id": 7}));
            assert_eq!(bare.hear()["id"], 7, "{room:?}: nothing else was heard");
        }
    }
    // And as home rooms, by URL and by HTTP.
    for room in rooms {
        let began = Instant::now();
        let mut bare = Bare::in_room(gateway, room);
        let request = format!(
            "POST /v1/messages?room={} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue",
            encoded(room)
        );
        let answer = ringway_testkit::http::raw(gateway, request.as_bytes(), SOON).unwrap();
        assert_eq!(answer.status, 200, "{room:?}: {answer:?}");
        let msg = bare.hear();
        assert_eq!((&msg["room"], &msg["data"]), (&json!(room), &json!(true)));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
