//! A gateway of the test's own: one link to a node, and what is said on it, record by record.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ringway_auth::{LinkKey, LinkTicket, Mode, Ticket, TicketKey};
use ringway_edge::{Frame, Limits, Message, Outbound};
use ringway_link::codec::{decode_down, encode_up};
use ringway_link::hello::{HOP, HOP_HEADER, PATH, UPGRADE};
use ringway_link::{At, Cast, ConnNo, Down, Exclude, Exit, Open, OpenAs, Rejoin, RoomDeclared, Up};
use ringway_protocol::frame::Position;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::world::{Here, SECRET, soon, ticket};

pub(crate) const NAME: &str = "gateway-1";

/// A record of the node's, as tests look at it. Frames are JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Opened { conn: u32 },
    Refused { conn: u32, code: String, retry: Option<u64> },
    Room(RoomDeclared),
    Send { conn: u32, at: Option<At>, frame: Value },
    Enter { conn: u32, room: u32, at: Option<At>, by_server: bool },
    Exit { conn: u32, room: String, why: Exit },
    Cast { room: u32, offset: Option<u64>, but: Exclude, frame: Value },
    Lost { room: u32 },
    Credit { conn: u32, bytes: u32 },
    Renewed { conn: u32, ticket: String },
    Close { conn: u32, code: u16, reason: String },
    CloseLater { conn: u32, after: u32, code: u16, reason: String },
    Ended { conn: u32 },
    Leaving,
    Pong(u64),
}

/// One link, held by a gateway.
pub(crate) struct Gateway {
    out: Arc<Outbound>,
    said: mpsc::UnboundedReceiver<Said>,
    reading: tokio::task::JoinHandle<Option<u16>>,
}

/// The payload of a finished frame that isn't masked, as JSON.
pub(crate) fn payload(frame: &[u8]) -> Value {
    let head = match frame.get(1) {
        None => return Value::Null,
        Some(126) => 4,
        Some(127) => 10,
        Some(_) => 2,
    };
    serde_json::from_slice(&frame[head..]).unwrap()
}

fn said(record: Down<'_>) -> Said {
    match record {
        Down::Opened { conn } => Said::Opened { conn: conn.0 },
        Down::Refused { conn, code, retry, .. } => {
            Said::Refused { conn: conn.0, code: code.as_str().to_owned(), retry }
        }
        Down::Room(declared) => Said::Room(declared),
        Down::Send { conn, at, frame } => Said::Send { conn: conn.0, at, frame: payload(frame) },
        Down::Enter { conn, room, at, by_server } => {
            Said::Enter { conn: conn.0, room: room.0, at, by_server }
        }
        Down::Exit { conn, room, why } => Said::Exit { conn: conn.0, room: room.as_str().to_owned(), why },
        Down::Cast(Cast { room, offset, but, json, .. }) => {
            Said::Cast { room: room.0, offset, but, frame: payload(json) }
        }
        Down::Lost { room, .. } => Said::Lost { room: room.0 },
        Down::Credit { conn, bytes } => Said::Credit { conn: conn.0, bytes },
        Down::Renewed { conn, ticket } => Said::Renewed { conn: conn.0, ticket: ticket.to_owned() },
        Down::Close { conn, code, reason } => Said::Close { conn: conn.0, code, reason: reason.into_owned() },
        Down::CloseLater { conn, after, code, reason } => {
            Said::CloseLater { conn: conn.0, after, code, reason: reason.into_owned() }
        }
        Down::Ended { conn } => Said::Ended { conn: conn.0 },
        Down::Leaving => Said::Leaving,
        Down::Pong { number } => Said::Pong(number),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A ticket of a connection behind this gateway.
pub(crate) fn relayed(user: Option<&str>) -> Ticket {
    Ticket { mode: Mode::Relay, gateway: NAME.to_owned(), ..ticket(user) }
}

pub(crate) fn seal(ticket: &Ticket) -> String {
    TicketKey::new(SECRET).seal(ticket)
}

/// Has a node make a link of a connection. What it sent behind its answer.
pub(crate) async fn upgraded(socket: &mut TcpStream) -> Bytes {
    let ticket = LinkTicket { gateway: NAME.to_owned(), exp: now() + 30 };
    let ticket = LinkKey::new(SECRET).seal(&ticket);
    let upgrade = format!(
        "GET {PATH} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n{HOP_HEADER}: {HOP}\r\n\
         Ringway-Ticket: {ticket}\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        assert!(soon("an answer", socket.read_buf(&mut head)).await.unwrap() > 0, "closed");
    };
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Bytes::copy_from_slice(&head[end..])
}

impl Gateway {
    /// A link to a node.
    pub(crate) async fn link(to: &Here) -> Gateway {
        let mut socket = TcpStream::connect(to.address()).await.unwrap();
        let early = upgraded(&mut socket).await;
        let limits = Limits { message: 1 << 20, queue: 16 << 20, frames: 262_144 };
        let (out, mut reader) = ringway_edge::open_link(socket, &early, limits);
        let (heard, said_in) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            let mut on = |message: Message<'_>| {
                let Message::Binary(record) = message else { panic!("a text message") };
                let _ = heard.send(said(decode_down(record).unwrap()));
            };
            loop {
                if let Err(ended) = reader.read(&mut on).await {
                    return ended.code.map(|code| code.0);
                }
            }
        });
        Gateway { out, said: said_in, reading }
    }

    pub(crate) fn say(&self, record: &Up<'_>) {
        let mut bytes = Vec::new();
        encode_up(record, &mut bytes);
        self.say_bytes(&bytes);
    }

    /// Whatever it is.
    pub(crate) fn say_bytes(&self, bytes: &[u8]) {
        self.out.send(&Frame::record(bytes));
    }

    pub(crate) fn open(&self, conn: u32, role: OpenAs, ticket: &Ticket) {
        self.open_aged(conn, role, ticket, 0, false);
    }

    /// One whose client has had its connection for so many milliseconds.
    pub(crate) fn open_aged(&self, conn: u32, role: OpenAs, ticket: &Ticket, age: u64, told_to_go: bool) {
        let ticket = &*seal(ticket);
        let conn = ConnNo(conn);
        self.say(&Up::Open(Open { conn, role, ticket, traceparent: None, age, told_to_go }));
    }

    pub(crate) fn begin(&self, conn: u32) {
        self.say(&Up::Begin { conn: ConnNo(conn) });
    }

    pub(crate) fn frame(&self, conn: u32, frame: &str) {
        self.say(&Up::Frame { conn: ConnNo(conn), text: true, message: frame.as_bytes() });
    }

    pub(crate) fn closed(&self, conn: u32) {
        self.say(&Up::Closed { conn: ConnNo(conn) });
    }

    pub(crate) fn move_away(&self, conn: u32, room: &str) {
        self.say(&Up::Move { conn: ConnNo(conn), room: room.parse().unwrap() });
    }

    pub(crate) fn rejoin(&self, conn: u32, room: &str, since: Option<Position>) {
        let room = room.parse().unwrap();
        self.say(&Up::Rejoin(Rejoin { conn: ConnNo(conn), room, by_server: false, since }));
    }

    /// Ends the link without a word.
    pub(crate) fn cut(&self) {
        self.out.cut();
    }

    /// The next record that isn't credit.
    pub(crate) async fn next(&mut self) -> Said {
        loop {
            let said = soon("a record", self.said.recv()).await.expect("the link stands");
            if !matches!(said, Said::Credit { .. }) {
                return said;
            }
        }
    }

    /// The next record of which this is true, whatever comes before.
    pub(crate) async fn until(&mut self, is: impl Fn(&Said) -> bool) -> Said {
        loop {
            let said = soon("a record", self.said.recv()).await.expect("the link stands");
            if is(&said) {
                return said;
            }
        }
    }

    /// All that was said by now, and nothing that comes after.
    pub(crate) async fn so_far(&mut self) -> Vec<Said> {
        let number = rand::random();
        self.say(&Up::Ping { number });
        let mut all = Vec::new();
        loop {
            match soon("a record", self.said.recv()).await.expect("the link stands") {
                Said::Pong(answer) if answer == number => return all,
                said => all.push(said),
            }
        }
    }

    /// The next frame that is sent to a connection alone.
    pub(crate) async fn sent(&mut self, conn: u32) -> Value {
        let is_its = |said: &Said| matches!(said, Said::Send { conn: of, .. } if *of == conn);
        let Said::Send { frame, .. } = self.until(is_its).await else { unreachable!() };
        frame
    }

    pub(crate) async fn ended(&mut self, conn: u32) {
        self.until(|said| *said == Said::Ended { conn }).await;
    }

    /// A client that is at home here, and has had its hello.
    pub(crate) async fn client(&mut self, conn: u32, ticket: &Ticket) {
        self.open(conn, OpenAs::Home, ticket);
        let is_its = |said: &Said| matches!(said, Said::Opened { conn: of } | Said::Refused { conn: of, .. } if *of == conn);
        let opened = self.until(is_its).await;
        assert!(matches!(opened, Said::Opened { .. }), "{opened:?}");
        self.begin(conn);
        assert_eq!(self.sent(conn).await["t"], "hello");
    }

    /// The answer to a frame that has an id of its own.
    pub(crate) async fn ask(&mut self, conn: u32, frame: &str) -> Value {
        let id = serde_json::from_str::<Value>(frame).unwrap()["id"].clone();
        self.frame(conn, frame);
        loop {
            let frame = self.sent(conn).await;
            if frame["id"] == id {
                return frame;
            }
        }
    }

    /// A join's answer.
    pub(crate) async fn join(&mut self, conn: u32, room: &str) -> Value {
        self.frame(conn, &format!(r#"{{"t":"join","room":"{room}","id":77}}"#));
        loop {
            let frame = self.sent(conn).await;
            if frame["id"] == 77 {
                return frame;
            }
        }
    }

    /// The close code with which the node ends the link.
    pub(crate) async fn end(self) -> Option<u16> {
        soon("the link's end", self.reading).await.unwrap()
    }
}

/// Where an answer to a join says that it begins.
pub(crate) fn position(answer: &Value) -> Position {
    let result = &answer["result"];
    Position {
        epoch: result["epoch"].as_str().unwrap().parse().unwrap(),
        offset: result["offset"].as_u64().unwrap(),
        ts: result["ts"].as_u64(),
    }
}
