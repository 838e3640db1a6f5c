//! Whatever buffer is used again holds nothing of others: rooms whose messages are their names, of every class and size,
//! read in both formats, half of the readers slow.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::bare::parse;
use crate::support::{OPEN, launcher};

const COUNT: usize = 24;
const FOR: Duration = Duration::from_secs(4);
/// What is read of one at a time by who reads all there is: nobody is kept waiting for long.
const ALL: usize = 256 * 1024;

#[test]
fn no_byte_of_a_room_appears_in_another() {
    let cluster = cluster();
    let mut of_serve = launcher(&format!("{OPEN}{CLASSES}"));
    let serve = of_serve.serve(&[]);
    let homes = [home_on(&cluster, "node-1"), home_on(&cluster, "node-2")];
    nobody_gets_a_foreign_byte("gateway", cluster.gateway(), &homes);
    nobody_gets_a_foreign_byte("serve", serve.listen, &homes);
}

/// The `n`th room, of one class after the other.
fn room(name: &str, n: usize) -> String {
    format!("{}.room-{n}-of-{name}.", ["chat", "cursors", "prices"][n % 3])
}

/// A socket that is read without waiting, and what has come on it.
struct Flow {
    socket: TcpStream,
    format: Format,
    unread: Vec<u8>,
    room: String,
    messages: u64,
    lost: u64,
    at: u64,
    /// The close code, once it is over; 0: all was heard.
    over: Option<u16>,
}

impl Flow {
    fn enter(door: SocketAddr, home: &str, format: Format, room: String) -> Self {
        let offer = format!("Sec-WebSocket-Protocol: {}", format.subprotocol());
        let mut bare = Bare::upgraded(door, &format!("/v1/ws?room={}", encoded(home)), &[&offer]);
        while !matches!(bare.hear_as(format), ServerFrame::Joined(_)) {}
        send(&mut bare, format, &json!({"t": "join", "id": 1, "room": room}));
        assert!(matches!(bare.hear_as(format), ServerFrame::Ok(_)));
        let socket = bare.socket().try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        Flow { socket, format, unread: Vec::new(), room, messages: 0, lost: 0, at: 0, over: None }
    }

    /// Takes what is there, `most` bytes of it, and looks at each message.
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
                    0x81 | 0x82 => self.look_at(&came.payload),
                    0x88 => {
                        // A busy machine may let a slow reader stand still for so long that it is cut for that.
                        let in_time = self.room.starts_with("chat") || came.payload[2..] == *b"Send timeout";
                        assert!(in_time, "{}: {:?}", self.room, String::from_utf8_lossy(&came.payload[2..]));
                        self.over = Some(u16::from_be_bytes([came.payload[0], came.payload[1]]));
                    }
                    0x89 => {}
                    other => panic!("{}: {other:x}", self.room),
                }
            }
            self.unread.drain(..used);
        }
    }

    fn look_at(&mut self, payload: &[u8]) {
        let frame = ringway_protocol::decode_server(self.format, payload).unwrap().unwrap();
        if matches!(frame, ServerFrame::Ping) {
            return;
        }
        assert_eq!(peer::room_of(&frame).map(|room| room.as_str()), Some(&*self.room), "{frame:?}");
        let before = self.at;
        let msg = match frame {
            ServerFrame::Msg(msg) => msg,
            ServerFrame::Gap(gap) => {
                assert!(!self.room.starts_with("chat") && gap.reason == GapReason::Slow, "{gap:?}");
                self.lost += gap.lost.unwrap();
                self.at = gap.offset;
                assert!(self.at > before, "{gap:?} after {before}");
                return;
            }
            other => panic!("{}: {other:?}", self.room),
        };
        self.at = msg.offset.unwrap();
        assert!(self.at > before, "{}: {} after {before}", self.room, self.at);
        let data = peer::text(&msg.data);
        // A string without anything to escape.
        let data = data.trim_matches('"');
        if data == "end" {
            self.over = Some(0);
            return;
        }
        let name = self.room.as_bytes();
        assert!(
            data.len().is_multiple_of(name.len())
                && data.as_bytes().chunks(name.len()).all(|chunk| chunk == name),
            "{}: a foreign byte in {data}",
            self.room
        );
        self.messages += 1;
    }
}

/// Reads all in turn until each has heard the end, `most` bytes of each at a time with a pause between, until it is over.
fn read_all(flows: &mut [Flow], most: usize, pause: Duration, over: &AtomicBool) {
    let deadline = Instant::now() + FOR + 3 * SOON;
    while flows.iter().any(|flow| flow.over.is_none()) {
        let is_over = over.load(Ordering::Acquire);
        let waits = || flows.iter().filter(|flow| flow.over.is_none()).map(|flow| (&flow.room, flow.at));
        assert!(Instant::now() < deadline, "no end for {:?}", waits().collect::<Vec<_>>());
        for flow in flows.iter_mut() {
            flow.read(if is_over { ALL } else { most });
        }
        std::thread::sleep(if is_over { Duration::from_millis(1) } else { pause });
    }
}

fn nobody_gets_a_foreign_byte(name: &str, door: SocketAddr, homes: &[String; 2]) {
    let seed = u64::from(std::process::id()) ^ u64::from(door.port());
    println!("{name}: seed {seed}");
    let flows = || -> Vec<Flow> {
        let of = |n: usize| {
            let enter = |(format, home): (Format, &String)| Flow::enter(door, home, format, room(name, n));
            FORMATS.into_iter().zip(homes).map(enter).collect::<Vec<_>>()
        };
        (0..COUNT).flat_map(of).collect()
    };
    let (mut fast, mut slow) = (flows(), flows());
    let over = AtomicBool::new(false);
    let published: Vec<AtomicU64> = (0..COUNT).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        let (over, fast, slow) = (&over, &mut fast, &mut slow);
        scope.spawn(move || read_all(fast, ALL, Duration::from_millis(1), over));
        scope.spawn(move || read_all(slow, 8 * 1024, Duration::from_millis(100), over));
        let mut speakers = FORMATS.map(|format| {
            let offer = format!("Sec-WebSocket-Protocol: {}", format.subprotocol());
            let mut bare = Bare::upgraded(door, "/v1/ws", &[&offer]);
            assert!(matches!(bare.hear_as(format), ServerFrame::Hello(_)));
            (format, bare)
        });
        let mut publish = |by: usize, n: usize, data: &str| {
            let (format, bare) = &mut speakers[by];
            let key = format!("k{}", data.len() % 5);
            send(
                bare,
                *format,
                &json!({"t": "pub", "id": n, "room": room(name, n), "data": data, "key": key}),
            );
            let ServerFrame::Ok(answer) = bare.hear_as(*format) else { panic!("{name}: refused") };
            assert_eq!(answer.id, Some(n as u64));
        };
        let (began, mut chance) = (Instant::now(), seed | 1);
        while began.elapsed() < FOR {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let n = (chance % COUNT as u64) as usize;
            let size = 1_024 + (chance >> 20) as usize % (59 * 1_024);
            let data = room(name, n).repeat(size / room(name, n).len());
            publish((chance >> 50) as usize % 2, n, &data);
            published[n].fetch_add(1, Ordering::Relaxed);
        }
        for n in 0..COUNT {
            publish(0, n, "end");
        }
        over.store(true, Ordering::Release);
    });
    for (n, flow) in fast.iter().enumerate().map(|(n, flow)| (n / 2, flow)) {
        let published = published[n].load(Ordering::Relaxed);
        assert_eq!(flow.over, Some(0), "{}, {:?}, {n}: who reads isn't closed", flow.room, flow.format);
        if flow.room.starts_with("prices") {
            assert!(flow.messages <= published);
        } else {
            assert_eq!(flow.messages + flow.lost, published, "{}", flow.room);
        }
    }
    for (n, flow) in slow.iter().enumerate().map(|(n, flow)| (n / 2, flow)) {
        let published = published[n].load(Ordering::Relaxed);
        match (flow.room.split('.').next().unwrap(), flow.over) {
            ("cursors", Some(0)) => assert_eq!(flow.messages + flow.lost, published, "{}", flow.room),
            ("prices" | "chat", Some(0)) => assert_eq!(flow.lost, 0, "{}", flow.room),
            (_, Some(1008)) => {}
            (_, other) => panic!("{}: {other:?}", flow.room),
        }
    }
    let missing = |class: &str| -> u64 {
        let of_class = slow.iter().enumerate().filter(|(_, flow)| flow.room.starts_with(class));
        of_class.map(|(n, flow)| published[n / 2].load(Ordering::Relaxed) - flow.messages).sum()
    };
    println!("{name}: {} lost, {} replaced", missing("cursors"), missing("prices"));
}
