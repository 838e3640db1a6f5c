//! One socket as bare as a test of bad input needs it: bytes out, HTTP answers and WebSocket frames in. Blocking, and
//! every wait has an end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringway_protocol::{Format, ServerFrame, decode_server};
use ringway_testkit::http::Answer;
use serde_json::{Value, json};
use socket2::SockRef;

/// The longest that anything is waited for.
pub const SOON: Duration = Duration::from_secs(10);

/// A receive buffer that a pause of its reader fills, and above what a segment of the loop-back interface may hold: with less
/// the kernel goes on by timers.
pub const SMALL: usize = 64 * 1_024;

/// RFC 6455's own example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A WebSocket frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// FIN, reserved bits and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// A socket, and what came on it and wasn't looked at.
#[derive(Debug)]
pub struct Bare {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Bare {
    pub fn open(to: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&to, SOON).unwrap_or_else(|error| panic!("{to}: {error}"));
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        Self { socket, unread: Vec::new() }
    }

    /// A socket that was upgraded: the 101 is read, the hello isn't.
    pub fn upgraded(to: SocketAddr, target: &str, lines: &[&str]) -> Self {
        let mut bare = Self::open(to);
        bare.send(upgrade(target, lines).as_bytes());
        let answer = bare.answer();
        assert_eq!(answer.status, 101, "{target} {lines:?}: {answer:?}");
        bare
    }

    /// In that room, by JSON: hello and the join's answer are read.
    pub fn in_room(to: SocketAddr, room: &str) -> Self {
        let mut bare = Self::upgraded(to, &home(room), &[]);
        bare.until(|frame| frame["t"] == "joined" && frame["room"] == room);
        bare
    }

    /// # Panics
    /// The peer takes nothing.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// For a peer that may close meanwhile.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends a frame in JSON.
    pub fn say(&mut self, frame: &Value) {
        self.send(text(&frame.to_string()));
    }

    /// An HTTP answer, its body by `Content-Length`.
    pub fn answer(&mut self) -> Answer {
        self.try_answer()
            .unwrap_or_else(|| panic!("no answer, but {:?}", String::from_utf8_lossy(&self.unread)))
    }

    /// An HTTP answer; none: the stream ended before one.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(SOON)?;
        };
        let head = Answer::parse(&self.unread[..end]).unwrap();
        let length: usize = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < end + length {
            self.more(SOON)?;
        }
        let answer = Answer::parse(&self.unread[..end + length]).unwrap();
        self.unread.drain(..end + length);
        Some(answer)
    }

    /// The next frame that isn't one of the server's two signs of life, which may come at any time: its WebSocket pings
    /// are answered, its `ping` frames passed over. None: the stream ended, or broke.
    pub fn frame(&mut self) -> Option<Came> {
        loop {
            if let Some((came, used)) = parse(&self.unread) {
                self.unread.drain(..used);
                match (came.first, &came.payload[..]) {
                    (0x89, payload) => {
                        let pong = frame(0x8A, payload);
                        // Who has gone needs none.
                        let _ = self.try_send(pong);
                    }
                    (0x81, br#"{"t":"ping"}"#) | (0x82, [0x91, 41]) => {}
                    _ => return Some(came),
                }
                continue;
            }
            self.more(SOON)?;
        }
    }

    /// The next data frame.
    ///
    /// # Panics
    /// The connection ends, or is closed.
    pub fn message(&mut self) -> Came {
        match self.frame() {
            Some(came @ Came { first: 0x81 | 0x82, .. }) => came,
            other => panic!("no message, but {other:?}"),
        }
    }

    /// The next frame in JSON but the server's pings.
    pub fn hear(&mut self) -> Value {
        let came = self.message();
        assert_eq!(came.first, 0x81, "{came:?}");
        serde_json::from_slice(&came.payload).unwrap()
    }

    /// The next frame but the server's pings, by either format.
    pub fn hear_as(&mut self, format: Format) -> ServerFrame {
        loop {
            let came = self.message();
            assert_eq!(came.first, if format == Format::Json { 0x81 } else { 0x82 }, "{came:?}");
            match decode_server(format, &came.payload).unwrap() {
                None => {}
                Some(frame) => return frame,
            }
        }
    }

    /// Reads on to the first frame that is looked for.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.hear();
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Sends a request and reads on to its answer.
    pub fn ask(&mut self, request: &Value) -> Value {
        self.say(request);
        self.until(|frame| frame["id"] == request["id"])
    }

    /// All that was sent before has been seen to, as far as this connection alone is concerned.
    pub fn is_alive(&mut self) {
        let answer = self.ask(&json!({"t": "ping", "id": 999_999}));
        assert_eq!(answer["t"], "ok", "{answer}");
    }

    /// Reads to the end: the first close frame's code and reason. 1005: it had none; 1006: there was no close frame.
    pub fn close_frame(&mut self) -> (u16, String) {
        while let Some(came) = self.frame() {
            match (came.first, &came.payload[..]) {
                (0x88, [high, low, reason @ ..]) => {
                    // Answered, as the protocol has it; the peer may be gone already.
                    let _ = self.try_send(close(&[*high, *low]));
                    return (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned());
                }
                (0x88, _) => return (1005, String::new()),
                _ => {}
            }
        }
        (1006, String::new())
    }

    /// Whether the stream ends within that time; what comes before its end is dropped.
    pub fn ends_within(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut part = [0; 4_096];
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.read(&mut part) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if is_late(&error) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Bytes that came together with what was last looked at.
    pub fn at_hand(&self) -> usize {
        self.unread.len()
    }

    /// Whether nothing comes for that long, not even the end.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        assert!(self.unread.is_empty(), "{:?}", String::from_utf8_lossy(&self.unread));
        self.socket.set_read_timeout(Some(time)).unwrap();
        self.socket.read(&mut [0]).is_err_and(|error| is_late(&error))
    }

    /// Ends the connection by a reset, without a word.
    pub fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The same socket once more, for who writes while something else is read.
    pub fn another(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), unread: Vec::new() }
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Waits for more bytes; none: the stream ended, or broke.
    ///
    /// # Panics
    /// Nothing comes in time.
    fn more(&mut self, within: Duration) -> Option<()> {
        let mut part = [0; 16 * 1024];
        self.socket.set_read_timeout(Some(within)).unwrap();
        match self.socket.read(&mut part) {
            Ok(0) => None,
            Ok(n) => {
                self.unread.extend_from_slice(&part[..n]);
                Some(())
            }
            Err(error) if is_late(&error) => panic!("nothing within {within:?}; unread {:?}", self.unread),
            Err(_) => None,
        }
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A server's frame, and its length.
pub fn parse(bytes: &[u8]) -> Option<(Came, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    assert!(second & 0x80 == 0, "a server masks nothing");
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(rest.get(..8)?.try_into().unwrap())).unwrap(), 10),
        short => (usize::from(*short), 2),
    };
    let payload = bytes.get(head..head + length)?.to_vec();
    Some((Came { first: *first, payload }, head + length))
}

/// A valid upgrade to `target`, with further header lines.
pub fn upgrade(target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// The upgrade's target for a home room.
pub fn home(room: &str) -> String {
    format!("/v1/ws?room={}", encoded(room))
}

/// Percent-encoded, every byte that could mean something.
pub fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A client's frame: any first byte, its length in the shortest form, masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..=125 => bytes.push(0x80 | short as u8),
        middle @ ..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

/// A close frame with this payload.
pub fn close(payload: &[u8]) -> Vec<u8> {
    frame(0x88, payload)
}
