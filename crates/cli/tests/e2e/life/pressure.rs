//! Much to read, and readers of every pace.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::SockRef;

use super::{World, crowd};
use crate::bare::{Bare, SOON, frame, parse, text};

#[test]
fn a_client_that_only_answers_pings_stays_while_others_shout() {
    let world = World::start();
    let quiet = world.doors().map(|(name, door)| {
        let mut bare = Bare::in_room(door, "{quiet}");
        std::thread::spawn(move || {
            // Silence; then, within `hello.ping`, both kinds of ping in one write.
            bare.socket().set_read_timeout(Some(Duration::from_secs(40))).unwrap();
            let mut came = [0; 64];
            let n = (&mut bare.socket()).read(&mut came).unwrap();
            assert_eq!(&came[..n], b"\x89\x00\x81\x0c{\"t\":\"ping\"}", "{name}");
            bare.send(frame(0x8A, b""));
            bare
        })
    });
    for (name, door) in world.doors() {
        nobody_gets_a_foreign_byte(name, door);
        order_holds_however_slowly_one_reads(name, door);
    }
    for (bare, (name, door)) in quiet.into_iter().zip(world.doors()) {
        let mut bare = bare.join().unwrap();
        let mut speaker = Bare::in_room(door, "{quiet}");
        assert_eq!(speaker.ask(&json!({"t": "pub", "id": 1, "data": "still there?"}))["t"], "ok");
        assert_eq!(bare.hear()["data"], "still there?", "{name}");
    }
}

/// A socket that is read without waiting, and what has come on it.
struct Flow {
    socket: TcpStream,
    unread: Vec<u8>,
    room: String,
    messages: u64,
    /// The close code, once it is over.
    over: Option<u16>,
}

impl Flow {
    /// Takes what is there, `most` bytes of it, and looks at each message: the room's name, over and over.
    fn read(&mut self, most: usize) {
        let mut left = most;
        while left > 0 && self.over.is_none() {
            let mut part = vec![0; left.min(64 * 1024)];
            match self.socket.read(&mut part) {
                Ok(0) => self.over = Some(1006),
                Ok(n) => {
                    self.unread.extend_from_slice(&part[..n]);
                    left -= n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.over = Some(1006),
            }
            let mut used = 0;
            while let Some((came, length)) = parse(&self.unread[used..]) {
                used += length;
                match came.first {
                    0x81 => self.look_at(&came.payload),
                    0x88 => self.over = Some(u16::from_be_bytes([came.payload[0], came.payload[1]])),
                    0x89 => {}
                    other => panic!("{}: {other:x}", self.room),
                }
            }
            self.unread.drain(..used);
        }
    }

    fn look_at(&mut self, payload: &[u8]) {
        let text = std::str::from_utf8(payload).unwrap();
        let Some((_, rest)) = text.split_once("\"data\":\"") else { return };
        let data = rest.split_once('"').unwrap().0;
        assert!(
            text.starts_with(r#"{"t":"msg""#) && text.contains(&format!(r#""room":"{}""#, self.room)),
            "{text}"
        );
        if data == "end" {
            self.over = Some(0);
            return;
        }
        let name = self.room.as_bytes();
        assert!(
            data.len() % name.len() == 0 && data.as_bytes().chunks(name.len()).all(|chunk| chunk == name),
            "{}: a foreign byte in {data}",
            self.room
        );
        self.messages += 1;
    }
}

/// Rooms whose messages are their names, half of the readers slow: whatever buffer is used again holds nothing of others.
fn nobody_gets_a_foreign_byte(name: &str, door: SocketAddr) {
    const ROOMS: usize = 100;
    const FOR: Duration = Duration::from_secs(4);
    let seed = u64::from(std::process::id()) ^ u64::from(door.port());
    println!("{name}: seed {seed}");
    let room = |n: usize| format!("room-{n}-of-{name}.");
    let flows = || -> Vec<Flow> {
        let enter = |bare: Bare, n: usize| {
            let socket = bare.socket().try_clone().unwrap();
            socket.set_nonblocking(true).unwrap();
            Flow { socket, unread: Vec::new(), room: room(n), messages: 0, over: None }
        };
        crowd(door, ROOMS, room)
            .into_iter()
            .enumerate()
            .map(|(n, bare)| enter(bare, crowd_index(n, ROOMS)))
            .collect()
    };
    let (mut fast, mut slow) = (flows(), flows());
    let over = AtomicBool::new(false);
    let published: Vec<AtomicU64> = (0..ROOMS).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        let (over, published) = (&over, &published);
        let read_all = move |flows: &mut [Flow], most: usize, pause: Duration| {
            let deadline = Instant::now() + FOR + 2 * SOON;
            while flows.iter().any(|flow| flow.over.is_none()) {
                let is_over = over.load(Ordering::Acquire);
                let waits = || {
                    flows.iter().filter(|flow| flow.over.is_none()).map(|flow| (&flow.room, flow.messages))
                };
                assert!(Instant::now() < deadline, "{name}: no end for {:?}", waits().collect::<Vec<_>>());
                for flow in flows.iter_mut() {
                    flow.read(if is_over { usize::MAX } else { most });
                }
                std::thread::sleep(if is_over { Duration::from_millis(1) } else { pause });
            }
        };
        let (fast, slow) = (&mut fast, &mut slow);
        scope.spawn(move || read_all(fast, usize::MAX, Duration::from_millis(1)));
        scope.spawn(move || read_all(slow, 4 * 1024, Duration::from_millis(100)));
        let mut speaker = Bare::upgraded(door, "/v1/ws", &[]);
        let began = Instant::now();
        let mut chance = seed | 1;
        while began.elapsed() < FOR {
            let mut awaited = 0;
            for _ in 0..8 {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let n = (chance % ROOMS as u64) as usize;
                let size = 1_024 + (chance >> 20) as usize % (59 * 1_024);
                let data = room(n).repeat(size / room(n).len());
                speaker.say(&json!({"t": "pub", "id": n, "room": room(n), "data": data}));
                published[n].fetch_add(1, Ordering::Relaxed);
                awaited += 1;
            }
            while awaited > 0 {
                let answer = speaker.until(|frame| frame.get("id").is_some());
                assert_eq!(answer["t"], "ok", "{answer}");
                awaited -= 1;
            }
        }
        for n in 0..ROOMS {
            assert_eq!(speaker.ask(&json!({"t": "pub", "id": n, "room": room(n), "data": "end"}))["t"], "ok");
        }
        over.store(true, Ordering::Release);
    });
    for flow in &fast {
        assert_eq!(flow.over, Some(0), "{}: who reads isn't closed", flow.room);
        let n: usize = flow.room.split('-').nth(1).unwrap().parse().unwrap();
        assert_eq!(flow.messages, published[n].load(Ordering::Relaxed), "{}", flow.room);
    }
    for flow in &slow {
        assert!([Some(0), Some(1008)].contains(&flow.over), "{}: {:?}", flow.room, flow.over);
    }
}

/// The room of the `n`th of a [`crowd`], which four make together.
fn crowd_index(n: usize, count: usize) -> usize {
    let sizes: Vec<usize> = (0..4).map(|part| (count - part).div_ceil(4)).collect();
    let mut before = 0;
    for (part, size) in sizes.into_iter().enumerate() {
        if n < before + size {
            return part + 4 * (n - before);
        }
        before += size;
    }
    unreachable!("{n} of {count}")
}

/// One who reads in fits and starts, so that it is written to directly, from the queue, and directly again.
fn order_holds_however_slowly_one_reads(name: &str, door: SocketAddr) {
    const MESSAGES: u64 = 10_000;
    const TOGGLE: Duration = Duration::from_millis(50);
    let mut listener = Bare::in_room(door, "in order");
    // Small enough that a pause fills it, and above what a segment of the loop-back interface may hold.
    SockRef::from(listener.socket()).set_recv_buffer_size(64 * 1_024).unwrap();
    let mut speaker = Bare::upgraded(door, "/v1/ws?room=in+order", &[]);
    let speaking = std::thread::spawn(move || {
        let fill = "x".repeat(1_000);
        let ask = |n: u64| json!({"t": "pub", "id": n, "data": [n, fill], "echo": false}).to_string();
        for first in (0..MESSAGES).step_by(50) {
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
    }
    speaking.join().unwrap();
}
