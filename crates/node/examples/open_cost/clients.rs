//! Many clients in one thread: they open, answer pings, and send and hear large messages.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringway_auth::{Grants, Mode, Ticket, TicketKey};
use ringway_protocol::codec::Format;

use crate::server::SECRET;

/// Connections that are being opened at a time.
pub(crate) const OUTSTANDING: usize = 64;

/// A masked pong.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Members of one room.
const MEMBERS: usize = 100;

/// What a client sends, and a room's first member publishes, in the burst.
const LARGE: usize = 60_000;

pub(crate) fn open_all(address: SocketAddr, count: usize, wave: usize) -> Vec<TcpStream> {
    let key = TicketKey::new(SECRET.as_bytes());
    let mut open = Vec::with_capacity(count);
    for first in (0..count).step_by(OUTSTANDING) {
        let numbers = first..count.min(first + OUTSTANDING);
        let requests: Vec<String> = numbers.map(|number| request(&key, wave, number)).collect();
        let from = open.len();
        for request in requests {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            open.push(stream);
        }
        for stream in &mut open[from..] {
            hear(stream);
        }
    }
    open
}

fn request(key: &TicketKey, wave: usize, number: usize) -> String {
    let grants: Grants = serde_json::from_str(
        r#"[{"rooms":"board.**","rights":["join","publish","presence"]},{"rooms":"inbox.$user","rights":["join"]}]"#,
    )
    .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ticket = Ticket {
        tenant: "acme".parse().unwrap(),
        user: Some(format!("user-{number:06}").parse().unwrap()),
        grants,
        info: None,
        join: Vec::new(),
        session: format!("s{wave:02}{number:018}x").parse().unwrap(),
        room: Some(format!("board.{}", number / MEMBERS).parse().unwrap()),
        since: None,
        conn: format!("c{wave:02}{number:018}x").parse().unwrap(),
        gateway: "gateway-00000000".to_owned(),
        peer: "192.0.2.7".to_owned(),
        client: None,
        format: Format::Msgpack,
        mode: Mode::Direct,
        expires: Some(now + 3_600),
        exp: now + 30,
    };
    format!(
        "GET /v1/ws?ticket={} HTTP/1.1\r\nHost: n1.example.net\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: ringway.v1.msgpack\r\nUser-Agent: open-cost/1\r\n\r\n",
        key.seal(&ticket)
    )
}

/// The 101, the hello, the word that the room is joined, and perhaps a ping already.
fn hear(stream: &mut TcpStream) {
    let mut came = Vec::new();
    let mut part = [0; 4_096];
    loop {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "refused: {}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&part[..read]);
        if let Some(head) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            assert!(came.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&came));
            if frames(&came[head + 4..]) >= 2 {
                return;
            }
        }
    }
}

/// Answers pings, and drops whatever else comes.
pub(crate) fn idle(open: &mut [TcpStream], seconds: u64) {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut part = [0; 4_096];
    open.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
        for stream in &mut *open {
            match stream.read(&mut part) {
                Ok(0) => panic!("closed while idle"),
                Ok(_) => stream.write_all(&PONG).unwrap(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    open.iter().for_each(|stream| stream.set_nonblocking(false).unwrap());
}

/// How many whole frames these bytes are.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, length, rest @ ..] = bytes {
        let (head, length) = match (length, rest) {
            (126, [high, low, ..]) => (4, usize::from(*high) << 8 | usize::from(*low)),
            (126, _) => break,
            (short, _) => (2, usize::from(*short)),
        };
        if bytes.len() < head + length {
            break;
        }
        bytes = &bytes[head + length..];
        count += 1;
    }
    count
}

/// Everyone sends a message of 60 KB, and hears four of them that its room's first member sent.
pub(crate) fn large_messages(open: &mut [TcpStream]) {
    for room in open.chunks_mut(MEMBERS) {
        for stream in &mut *room {
            stream.write_all(&publication("board.sink")).unwrap();
        }
        for _ in 0..4 {
            room[0].write_all(&publication("")).unwrap();
            for stream in &mut *room {
                stream.read_exact(&mut vec![0; LARGE]).unwrap();
            }
        }
    }
    // What is left of the frames, small heads and tails, stays in the kernel.
}

/// A masked frame with a `pub` in MessagePack: to a room, or to the home room.
fn publication(room: &str) -> Vec<u8> {
    let mut payload = vec![0x94, 3, 0xc0];
    if room.is_empty() {
        payload.push(0xc0);
    } else {
        payload.push(0xa0 | room.len() as u8);
        payload.extend_from_slice(room.as_bytes());
    }
    payload.push(0xc5);
    payload.extend((LARGE as u16).to_be_bytes());
    payload.resize(payload.len() + LARGE, b'x');
    let mut frame = vec![0x82, 0x80 | 126];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
