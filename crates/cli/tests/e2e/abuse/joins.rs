//! Rooms upon rooms.

use std::time::Duration;

use ringway_testkit::wait::until;
use serde_json::{Value, json};

use super::{DOORS, Door, Site};
use crate::bare::{Bare, SOON, text};

/// A connection may be in so many rooms where nothing else is said.
const ROOMS: usize = 1_000;

fn join(id: usize, room: &str) -> Vec<u8> {
    text(&json!({"t": "join", "id": id, "room": room}).to_string())
}

#[test]
fn ten_thousand_joins_in_one_write_are_as_many_rooms_as_one_may_have() {
    const JOINS: usize = 10_000;
    /// Refusals that are waited for: the more of them, the longer each takes.
    const REFUSED: usize = 40;
    let mut site = Site::start();
    for door in DOORS {
        let mut bare = site.enter(door, "at home");
        let joins: Vec<u8> = (0..JOINS).flat_map(|n| join(n, &format!("many {n}"))).collect();
        // Larger than what a server reads on for while it answers: both directions at a time.
        let mut writing = bare.another();
        writing.socket().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let written = std::thread::spawn(move || writing.try_send(joins));
        let mut answered = vec![false; JOINS];
        let (mut inside, mut refused) = (0, 0);
        while inside + 1 < ROOMS || refused < REFUSED {
            let answer = bare.hear();
            let id = answer["id"].as_u64().unwrap() as usize;
            assert!(!std::mem::replace(&mut answered[id], true), "{door:?}: twice: {answer}");
            match answer["t"].as_str() {
                Some("ok") => inside += 1,
                _ => {
                    assert_eq!(answer["code"], "limit_rooms", "{door:?}: {answer}");
                    refused += 1;
                }
            }
        }
        // Home is a room too.
        assert_eq!(inside, ROOMS - 1, "{door:?}");
        // The others' room has two members; and who was here before has gone, though nothing is read of who waits for a
        // refusal.
        let members = (ROOMS + 2) as f64;
        until("nobody else is in", 2 * SOON, || (site.figure("ringway_members") == members).then_some(()));
        // What is left of its words is of no use: writing ends, one way or the other.
        let _ = written.join().unwrap();
        bare.reset();
    }
    site.memory_rose_by_at_most(48, "a thousand rooms of one member, and 800 KB of frames on their way");
    // The rooms are kept for some minutes, and so is their memory.
    site.served_as_before();
}

/// Joins and leaves that many rooms that nobody has ever heard of. How many it was let into.
fn wander(bare: &mut Bare, prefix: &str, rooms: usize) -> usize {
    const AT_ONCE: usize = 500;
    let mut inside = 0;
    for first in (0..rooms).step_by(AT_ONCE) {
        let both = |n: usize| {
            let room = format!("{prefix} {n}");
            [join(2 * n, &room), text(&json!({"t": "leave", "id": 2 * n + 1, "room": room}).to_string())]
                .concat()
        };
        bare.send((first..first + AT_ONCE).flat_map(both).collect::<Vec<u8>>());
        let mut answers = 0;
        while answers < 2 * AT_ONCE {
            let answer = bare.until(|frame| frame.get("id").is_some());
            assert_eq!(answer["t"], "ok", "{answer}");
            inside += usize::from(answer["id"].as_u64().unwrap().is_multiple_of(2));
            answers += 1;
        }
    }
    inside
}

#[test]
fn rooms_that_nobody_uses_again_are_forgotten_however_many_there_are() {
    // A node keeps so many that are empty.
    const KEPT: usize = 32_768;
    let flood = KEPT.next_multiple_of(500);
    let mut site = Site::start();
    std::thread::scope(|scope| {
        for (n, door) in DOORS.into_iter().enumerate() {
            let site = &site;
            scope.spawn(move || {
                let mut bare = site.enter(door, "at home");
                assert_eq!(wander(&mut bare, &format!("name {n}"), flood), flood);
            });
        }
    });
    let listening = site.figure("ringway_subscriptions");
    assert!(listening < (KEPT + 100) as f64, "{listening} of {}", 2 * flood);
    // What an unoptimised process takes for a room and its subscription, some 9 KiB, of those that are kept.
    site.memory_rose_by_at_most((KEPT * 12 / 1024 + 32) as u64, "the rooms that are kept");
    // Those are kept for minutes, and so is their memory: it is all else that has to be as before.
    site.served_as_before();
}

#[test]
fn a_flood_of_joins_leaves_when_its_clients_do() {
    const CLIENTS: usize = 20;
    let mut site = Site::start();
    for door in DOORS {
        let mut all: Vec<Bare> = (0..CLIENTS).map(|_| site.enter(door, "at home")).collect();
        for (n, bare) in all.iter_mut().enumerate() {
            bare.send((0..500).flat_map(|m| join(m, &format!("flood {n} {m}"))).collect::<Vec<u8>>());
        }
        for bare in &mut all {
            let mut ids: Vec<u64> = (0..500).map(|_| joined(&bare.hear())).collect();
            ids.sort_unstable();
            assert!(ids.into_iter().eq(0..500), "{door:?}");
        }
        let rooms = CLIENTS * 500 + 2;
        assert_eq!(site.figure("ringway_rooms"), rooms as f64, "{door:?}: and home, and the others'");
        if door == Door::Gateway {
            all.into_iter().for_each(Bare::reset);
        }
    }
    site.memory_rose_by_at_most(320, "20,000 rooms, of some 9 KiB each in an unoptimised process");
    site.served_as_before();
}

fn joined(answer: &Value) -> u64 {
    assert_eq!(answer["t"], "ok", "{answer}");
    answer["id"].as_u64().unwrap()
}
