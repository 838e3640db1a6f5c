//! Much to read, and readers of every pace.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringway_testkit::wait::until;
use serde_json::json;
use socket2::SockRef;

use super::World;
use crate::bare::{Bare, SMALL, frame, text};

#[test]
fn a_client_that_only_answers_pings_stays_while_others_shout() {
    let world = World::start();
    let quiet = world.doors().map(|(name, door)| {
        let mut bare = Bare::in_room(door, "{quiet}");
        std::thread::spawn(move || {
            // Silence; then, within `hello.ping`, both kinds of ping. They are one write, and may be several reads.
            bare.socket().set_read_timeout(Some(Duration::from_secs(40))).unwrap();
            let pings = b"\x89\x00\x81\x0c{\"t\":\"ping\"}";
            let mut came = [0; 16];
            (&mut bare.socket()).read_exact(&mut came).unwrap();
            assert_eq!(&came, pings, "{name}");
            bare.send(frame(0x8A, b""));
            bare
        })
    });
    for (name, door) in world.doors() {
        order_holds_however_slowly_one_reads(name, door);
    }
    for (bare, (name, door)) in quiet.into_iter().zip(world.doors()) {
        let mut bare = bare.join().unwrap();
        let mut speaker = Bare::in_room(door, "{quiet}");
        assert_eq!(speaker.ask(&json!({"t": "pub", "id": 1, "data": "still there?"}))["t"], "ok");
        assert_eq!(bare.hear()["data"], "still there?", "{name}");
    }
}

/// One who reads in fits and starts, so that it is written to directly, from the queue, and directly again.
fn order_holds_however_slowly_one_reads(name: &str, door: SocketAddr) {
    const MESSAGES: u64 = 10_000;
    const TOGGLE: Duration = Duration::from_millis(50);
    /// So many wait for it at the most: less than the MiB at which it would be closed.
    const BEHIND: u64 = 850;
    let mut listener = Bare::in_room(door, "in order");
    SockRef::from(listener.socket()).set_recv_buffer_size(SMALL).unwrap();
    let mut speaker = Bare::upgraded(door, "/v1/ws?room=in+order", &[]);
    let heard = Arc::new(AtomicU64::new(0));
    let heard_so_far = heard.clone();
    let speaking = std::thread::spawn(move || {
        let fill = "x".repeat(1_000);
        let ask = |n: u64| json!({"t": "pub", "id": n, "data": [n, fill], "echo": false}).to_string();
        for first in (0..MESSAGES).step_by(50) {
            until("it isn't too far behind", Duration::from_secs(20), || {
                (first < heard_so_far.load(Ordering::Relaxed) + BEHIND).then_some(())
            });
            speaker.send((first..first + 50).flat_map(|n| text(&ask(n))).collect::<Vec<u8>>());
            speaker.until(|frame| frame["id"] == first + 49);
        }
    });
    let mut toggled = Instant::now();
    for n in 0..MESSAGES {
        if toggled.elapsed() > TOGGLE {
            std::thread::sleep(TOGGLE);
            toggled = Instant::now();
        }
        let msg = listener.hear();
        assert_eq!((&msg["data"][0], &msg["offset"]), (&json!(n), &json!(n + 1)), "{name}: {msg}");
        heard.store(n, Ordering::Relaxed);
    }
    speaking.join().unwrap();
}
