//! Sockets that are opened, half closed and broken at the worst moment.

use std::net::Shutdown;

use ringway_testkit::wait::until;
use serde_json::json;
use socket2::SockRef;

use super::{DOORS, Site};
use crate::bare::{Bare, SOON, close, frame, text, upgrade};

/// Often enough that what each leaves behind would show.
const TIMES: usize = 400;

#[test]
fn opening_and_closing_in_a_loop_leaves_nothing() {
    let site = Site::start();
    std::thread::scope(|scope| {
        for door in DOORS {
            let site = &site;
            scope.spawn(move || {
                for time in 0..TIMES {
                    let room = format!("loop {}", time % 7);
                    let (address, target) = site.way(door, &room);
                    let mut bare = Bare::open(address);
                    match time % 5 {
                        // Not a byte; a part of the head; the head alone; up to the 101; and a whole life.
                        0 => {}
                        1 => bare.send("GET /v1/ws?room=r HTTP/1.1\r\nHost: "),
                        2 => bare.send(upgrade(&target, &[])),
                        3 => {
                            bare.send(upgrade(&target, &[]));
                            assert_eq!(bare.answer().status, 101);
                        }
                        _ => {
                            bare.send(upgrade(&target, &[]));
                            assert_eq!(bare.answer().status, 101);
                            bare.until(|frame| frame["t"] == "joined");
                            bare.say(&json!({"t": "pub", "data": time}));
                            bare.send(close(b"\x03\xe8"));
                            assert_eq!(bare.close_frame().0, 1000);
                        }
                    }
                }
            });
        }
    });
    site.memory_rose_by_at_most(24, "few connections at a time");
    site.all_as_before();
}

#[test]
fn who_closes_its_half_is_let_go() {
    const EACH: usize = 25;
    let site = Site::start();
    for door in DOORS {
        let mut all = Vec::new();
        for _ in 0..EACH {
            // In the middle of the head, with the upgrade, as a member, in the middle of a frame.
            for moment in 0..4 {
                let (address, target) = site.way(door, "{half}");
                let mut bare = Bare::open(address);
                let whole = upgrade(&target, &[]);
                match moment {
                    0 => bare.send(&whole[..whole.len() / 2]),
                    1 => bare.send(&whole),
                    _ => {
                        bare.send(&whole);
                        bare.answer();
                        bare.until(|frame| frame["t"] == "joined");
                    }
                }
                if moment == 3 {
                    bare.send(&text(r#"{"t":"pub","data":"half a word"}"#)[..20]);
                }
                bare.socket().shutdown(Shutdown::Write).unwrap();
                all.push((moment, bare));
            }
        }
        for (moment, mut bare) in all {
            assert!(bare.ends_within(SOON), "{door:?}: moment {moment}");
        }
        // With much to read, and no intention to: it ends as well, and by itself.
        let deaf: Vec<Bare> = (0..4).map(|_| site.enter(door, "{half}")).collect();
        for bare in &deaf {
            SockRef::from(bare.socket()).set_recv_buffer_size(4_096).unwrap();
        }
        let mut speaker = site.speaker();
        let fill = "x".repeat(50_000);
        for n in 0..15 {
            let answer = speaker.ask(&json!({"t": "pub", "id": n, "room": "{half}", "data": fill}));
            assert_eq!(answer["t"], "ok", "{answer}");
        }
        for bare in &deaf {
            bare.socket().shutdown(Shutdown::Write).unwrap();
        }
        until("the node let them go", 2 * SOON, || {
            // The others: two in one room; and the speaker.
            (site.node.metrics().sum("ringway_members", &[]) == 2.0).then_some(())
        });
        drop(deaf);
    }
    site.memory_rose_by_at_most(32, "8 queues of 1 MiB and what 100 connections take");
    site.all_as_before();
}

#[test]
fn a_reset_in_the_middle_of_a_frame_is_the_end_of_it() {
    let site = Site::start();
    let whole = text(&json!({"t": "pub", "data": "x".repeat(50_000)}).to_string());
    std::thread::scope(|scope| {
        for door in DOORS {
            let (site, whole) = (&site, &whole);
            scope.spawn(move || {
                for time in 0..TIMES {
                    let mut bare = site.enter(door, "{cut}");
                    match time % 6 {
                        // In the head, behind it, in the payload, one byte before its end; between two fragments; in a ping.
                        0 => bare.send(&whole[..1]),
                        1 => bare.send(&whole[..8]),
                        2 => bare.send(&whole[..30_000]),
                        3 => bare.send(&whole[..whole.len() - 1]),
                        4 => bare.send([frame(0x01, b"{\"t\":\"pub\""), frame(0x00, b"")].concat()),
                        _ => bare.send(&frame(0x89, &[7; 100])[..50]),
                    }
                    bare.reset();
                }
            });
        }
    });
    // And of what the server is about to write: much waits for each.
    for door in DOORS {
        let all: Vec<Bare> = (0..20).map(|_| site.enter(door, "{cut}")).collect();
        let mut speaker = site.speaker();
        let fill = "x".repeat(50_000);
        for n in 0..15 {
            let answer = speaker.ask(&json!({"t": "pub", "id": n, "room": "{cut}", "data": fill}));
            assert_eq!(answer["t"], "ok", "{answer}");
        }
        all.into_iter().for_each(Bare::reset);
    }
    let mut member = site.enter(DOORS[0], "{cut}");
    member.say(&json!({"t": "pub", "data": "end"}));
    assert_eq!(member.hear()["data"], "end", "nothing of a half frame was published");
    drop(member);
    // Frames are shared by those they wait for, so that 20 members of a room don't hold 20 times its publications.
    site.memory_rose_by_at_most(
        48,
        "up to 750 KiB read ahead of 20 connections at a time in a gateway or a node",
    );
    site.all_as_before();
}
