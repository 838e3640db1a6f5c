//! What a connection leaves behind when it ends at the worst moment: nothing.

use std::net::SocketAddr;
use std::time::Instant;

use ringway_testkit::http;
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use super::{World, crowd};
use crate::bare::{Bare, SOON, close, encoded, home, text, upgrade};
use crate::footprint::{descriptors, memory, no_socket_is_left};

/// How many members the servers count in a room.
fn members_of(door: SocketAddr, room: &str) -> u64 {
    let answer = http::get(door, &format!("/v1/members?room={}", encoded(room))).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<Value>(&answer.body).unwrap()["count"].as_u64().unwrap()
}

#[test]
fn who_joins_and_is_gone_at_once_leaves_nothing_behind() {
    const TIMES: usize = 1_000;
    const ROOMS: usize = 50;
    let world = World::start();
    let others = world.others("life");
    let open_before = world.processes().map(descriptors);
    for time in 0..TIMES {
        // New rooms each time, then the same ones again: those that are yet to be listened to, and those that are.
        let room = |n: usize| format!("gone {} {n}", time % 20 / 2);
        let joins: Vec<u8> = (0..ROOMS)
            .flat_map(|n| text(&json!({"t": "join", "id": n, "room": room(n)}).to_string()))
            .chain(text(&json!({"t": "pub", "room": room(0), "data": time}).to_string()))
            .collect();
        for (_, door) in world.doors() {
            match time % 4 {
                // In one segment with the upgrade; between the 101 and the hello; as a member; and with a goodbye.
                0 => {
                    let mut bare = Bare::open(door);
                    bare.send([upgrade(&home(&room(0)), &[]).as_bytes(), &joins].concat());
                    bare.reset();
                }
                1 => {
                    let mut bare = Bare::upgraded(door, &home(&room(0)), &[]);
                    bare.send(&joins);
                    bare.reset();
                }
                2 => {
                    let mut bare = Bare::in_room(door, &room(0));
                    bare.send(&joins);
                    bare.reset();
                }
                _ => {
                    let mut bare = Bare::upgraded(door, &home(&room(0)), &[]);
                    bare.send([&joins[..], &close(b"\x03\xe8")].concat());
                }
            }
        }
    }
    for (_, door) in world.doors() {
        until("the counts", SOON, || (members_of(door, "gone 0 0") == 0).then_some(()));
        until("the counts", SOON, || (members_of(door, "gone 9 49") == 0).then_some(()));
    }
    world.undisturbed(others);
    world.empties();
    for (process, before) in world.processes().into_iter().zip(open_before) {
        // The four of the others are gone too; what asks for metrics comes and goes.
        no_socket_is_left(process, before, 2);
        // One for each room that was used just now, however often, and the others' own.
        let listening = process.metrics().sum("ringway_subscriptions", &[]);
        assert!(listening <= (10 * ROOMS + 1) as f64, "{}: {listening}", process.name);
    }
}

#[test]
fn what_is_asked_in_one_segment_is_done_in_its_order() {
    const TIMES: usize = 60;
    let world = World::start();
    let mut inside = Vec::new();
    for ((name, door), n) in world.doors().into_iter().flat_map(|door| (0..TIMES).map(move |n| (door, n))) {
        let room = format!("{{at home}}.order {n}");
        let ask = |id: u64, t: &str| text(&json!({"t": t, "id": id, "room": room, "data": id}).to_string());
        let mut bare = Bare::in_room(door, "at home");
        bare.send(
            [
                ask(1, "join"),
                ask(2, "leave"),
                ask(3, "join"),
                ask(4, "pub"),
                ask(5, "leave"),
                ask(6, "leave"),
                ask(7, "pub"),
                ask(8, "join"),
                ask(9, "join"),
                ask(10, "pub"),
                ask(11, "members"),
            ]
            .concat(),
        );
        let (mut answers, mut heard) = (Vec::new(), Vec::new());
        while answers.len() < 11 {
            let frame = bare.hear();
            match frame["t"].as_str().unwrap() {
                "msg" => {
                    let after: Option<u64> = answers.last().map(|(id, _)| *id);
                    heard.push((frame["data"].as_u64().unwrap(), after.unwrap()));
                }
                "ok" if frame["id"] == 11 => {
                    assert_eq!(frame["result"]["count"], 1, "{name}: one net join: {frame}");
                    answers.push((11, "ok".to_owned()));
                }
                t => answers
                    .push((frame["id"].as_u64().unwrap(), frame["code"].as_str().unwrap_or(t).to_owned())),
            }
        }
        let expected: Vec<(u64, String)> = (1..=11)
            .map(|id| {
                (
                    id,
                    if id == 6 {
                        "not_joined"
                    } else if id == 9 {
                        "already_joined"
                    } else {
                        "ok"
                    }
                    .to_owned(),
                )
            })
            .collect();
        assert_eq!(answers, expected, "{name}");
        // One's own word, once, and only while one was there: between the join's answer and the next.
        let data: Vec<u64> = heard.iter().map(|(data, _)| *data).collect();
        assert_eq!(data, [4, 10], "{name}: {heard:?}");
        assert!(heard.iter().all(|(data, after)| (data - 1..=*data).contains(after)), "{name}: {heard:?}");
        inside.push(bare);
    }
    // Two memberships each, at home and there, and at the gateway a tunnel beside the connection.
    let all = 2.0 * TIMES as f64;
    assert_eq!(world.held(), [all * 1.5, all + 2.0, all * 2.0]);
    drop(inside);
    world.empties();
}

#[test]
fn a_thousand_endings_at_once_are_no_event() {
    const MANY: usize = 1_000;
    const HERD: usize = 5_000;
    let world = World::start();
    let others = world.others("life");
    let open_before = world.processes().map(descriptors);
    let lines_before = world.processes().map(|process| process.log().lines().count());
    let began = Instant::now();
    let mut memory_after_first = None;
    for _ in 0..2 {
        for (name, door) in world.doors() {
            let crowd = crowd(door, MANY, |n| format!("crowd {}", n % 100));
            assert!(world.held()[2] >= MANY as f64, "{name}");
            crowd.into_iter().for_each(Bare::reset);
            until("the counts", SOON, || (members_of(door, "crowd 7") == 0).then_some(()));
        }
        memory_after_first.get_or_insert_with(|| world.processes().map(memory));
    }
    // What the first crowd needed is enough for all later ones.
    for (process, first) in world.processes().into_iter().zip(memory_after_first.unwrap()) {
        let last = memory(process);
        assert!(last <= first + first / 10 + 1_024, "{}: {first} KiB, then {last} KiB", process.name);
    }
    // And of a herd nothing is kept either.
    let herd = crowd(world.serve.listen, HERD, |n| format!("crowd {}", n % 100));
    assert!(world.held()[2] >= HERD as f64);
    let most = memory(&world.serve);
    herd.into_iter().for_each(Bare::reset);
    until("the counts", SOON, || (members_of(world.serve.listen, "crowd 7") == 0).then_some(()));
    world.undisturbed(others);
    world.empties();
    let first = memory_after_first.unwrap()[3];
    until(&format!("{}: memory is given back; {most} KiB at most", world.serve.name), SOON, || {
        (memory(&world.serve) <= first + first / 4).then_some(())
    });
    for (n, process) in world.processes().into_iter().enumerate() {
        no_socket_is_left(process, open_before[n], 2);
        let said = process.log().lines().count() - lines_before[n];
        assert!(
            said as u64 <= began.elapsed().as_secs() + 1,
            "{}: {said} lines\n{}",
            process.name,
            process.log()
        );
    }
}
