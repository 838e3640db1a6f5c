//! A gateway's end of a link, for tests: what it hears, in words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_edge::{Due, Limits, Message, Outbound, Reader};
use ringway_link::{Cast, ConnNo, Down, Exclude, Exit, RoomDeclared, codec};
use ringway_protocol::codec::Format;
use serde_json::Value;

use crate::conn::{Conn, ConnRef};
use crate::shard::Shard;
use crate::shard::scene::{sockets, who};
use crate::way::{Link, Linked};

/// As much as any test sends.
const LIMITS: Limits = Limits { message: 1 << 20, queue: 16 << 20, frames: 1 << 18 };

/// The gateway's end.
pub(super) struct Gateway {
    pub(super) link: Arc<Link>,
    reader: Reader,
    /// The node's end.
    node: Reader,
    _out: Arc<Outbound>,
    marks: u64,
}

impl Gateway {
    pub(super) async fn new() -> Self {
        Self::with_queue(LIMITS.queue).await
    }

    /// One whose link may have no more than so many bytes waiting.
    pub(super) async fn with_queue(queue: usize) -> Self {
        let (node, gateway) = sockets().await;
        let (outbound, held) = ringway_edge::open_link(node, &Bytes::new(), Limits { queue, ..LIMITS });
        let (out, reader) = ringway_edge::open_link(gateway, &Bytes::new(), LIMITS);
        Self { link: Link::new(outbound), reader, node: held, _out: out, marks: 0 }
    }

    /// A connection behind it: `c` and its number.
    pub(super) fn conn(&self, number: u32, format: Format) -> ConnRef {
        let linked = Linked::new(self.link.clone(), ConnNo(number), Duration::ZERO);
        Conn::new(who(&format!("c{number}"), format), linked)
    }

    /// All that was said until now, in words.
    pub(super) async fn heard(&mut self, shard: &mut Shard) -> Vec<String> {
        shard.core.flush();
        self.marks += 1;
        let mark = self.marks;
        self.link.push(&Down::Pong { number: mark }, Due::Now);
        self.link.outbound().flush();
        let (mut heard, mut over) = (Vec::new(), false);
        let reading = async {
            while !over {
                let mut hear = |message: Message<'_>| {
                    let Message::Binary(record) = message else { panic!("a record is binary") };
                    match codec::decode_down(record).unwrap() {
                        Down::Pong { number } => over = number == mark,
                        record => heard.push(words(&record)),
                    }
                };
                self.reader.read(&mut hear).await.unwrap();
            }
        };
        // Of a link that is behind only its own task writes.
        let mut nothing = |_: Message<'_>| {};
        let working = async {
            tokio::select! {
                () = reading => {}
                _ = self.node.read(&mut nothing) => panic!("the link has ended"),
            }
        };
        tokio::time::timeout(Duration::from_secs(30), working).await.expect("all of it in time");
        heard
    }
}

fn words(record: &Down<'_>) -> String {
    match record {
        Down::Room(RoomDeclared { number, room, epoch, policy, flush_window, .. }) => {
            let epoch = if epoch.is_some() { "epoch" } else { "no epoch" };
            format!("room {}: {room}, {epoch}, {policy:?}, {flush_window}", number.0)
        }
        Down::Send { conn, at, frame } => {
            let at = at.map_or("-".to_owned(), |at| format!("{}.{}", at.room.0, at.offset));
            format!("c{}: {} at {at}", conn.0, payload(frame))
        }
        Down::Enter { conn, room, at, by_server } => {
            let at = at.map_or("-".to_owned(), |at| format!("{}.{}", at.room.0, at.offset));
            let by = if *by_server { ", by the server" } else { "" };
            format!("c{} enters {} at {at}{by}", conn.0, room.0)
        }
        Down::Exit { conn, room, why } => {
            let why = if *why == Exit::Moved { " moved" } else { "" };
            format!("c{} exits {room}{why}", conn.0)
        }
        Down::Cast(Cast { room, offset, but, json, msgpack, .. }) => {
            let offset = offset.map_or("-".to_owned(), |offset| offset.to_string());
            let list = |list: &[ConnNo]| list.iter().map(|conn| conn.0).collect::<Vec<_>>();
            let but = match but {
                Exclude::Nobody => String::new(),
                Exclude::These(these) => format!(", not to {:?}", list(these)),
                Exclude::AllBut(these) => format!(", only to {:?}", list(these)),
            };
            let json = if json.is_empty() { "nothing".to_owned() } else { payload(json) };
            let msgpack = if msgpack.is_empty() { "" } else { " and msgpack" };
            format!("cast {}.{offset}: {json}{msgpack}{but}", room.0)
        }
        Down::Lost { room, offset, frames, .. } => format!("lost {}.{offset}: {frames}", room.0),
        Down::Ended { conn } => format!("c{} has ended", conn.0),
        other => format!("{other:?}"),
    }
}

/// What a finished frame says: its kind and, where there is one, its id, code, or data.
fn payload(frame: &[u8]) -> String {
    let length = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let Ok(value) = serde_json::from_slice::<Value>(&frame[length..]) else { return "msgpack".to_owned() };
    let kind = value["t"].as_str().unwrap_or("msg");
    let more = ["id", "code", "reason", "data"].iter().find_map(|key| value.get(key));
    let more = more.map(|more| more.as_str().map_or_else(|| more.to_string(), str::to_owned));
    more.map_or_else(|| kind.to_owned(), |more| format!("{kind} {more}"))
}
