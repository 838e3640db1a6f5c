//! One node in this process, over a backplane of memory, and clients with real sockets that read only when told to.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringway_auth::{Grants, Mode, Ticket};
use ringway_backplane::memory::Hub;
use ringway_config::{Config, Environment};
use ringway_node::{Configured, Node, NodeMetrics, NodeParts, NodeSettings};
use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::ClientFrame;
use ringway_telemetry::Metrics;
use ringway_testkit::metrics::Scrape;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What the kernel holds for a connection is made as small as it lets us, so that a client that doesn't read is behind
/// after some kilobytes.
const TIGHT: u32 = 4_096;

/// Publications that leave in one write.
const BATCH: usize = 50;

/// Anything here takes less.
const SOON: Duration = Duration::from_secs(30);

pub struct House {
    pub node: Node,
    pub hub: Hub,
    metrics: Metrics,
    listener: TcpListener,
    connections: AtomicU64,
}

impl House {
    /// A node that holds rooms as `config` says, with so many bytes for its buffers.
    pub async fn start(config: &str, buffers: u64) -> House {
        let config = format!("gateway.auth = \"off\"\n{config}");
        let config = Config::from_text(&config, "test.toml".as_ref(), &Environment::new()).unwrap();
        let settings = NodeSettings {
            id: "n1".parse().unwrap(),
            pool: "shared".parse().unwrap(),
            advertise: None,
            public_url: None,
            weight: 1,
            max_connections: 10_000,
            buffers,
            open: true,
        };
        let (hub, metrics) = (Hub::new(), Metrics::new("test"));
        let configured =
            Configured { tenants: config.tenants(), keys: Arc::default(), placement: config.placement };
        let configured = watch::channel(Arc::new(configured)).1;
        let parts = NodeParts {
            backplane: hub.attach("n1"),
            configured,
            secret: b"a secret for tests, long enough for a key".as_slice().into(),
            metrics: metrics.register(&[], NodeMetrics::register),
            listener: None,
        };
        let node = Node::start(settings, parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let house = House { node, hub, metrics, listener, connections: AtomicU64::new(0) };
        house.numbers().await;
        house
    }

    /// Waits until it is in its own view of the cluster, in all its shards: before, no room has an owner.
    async fn numbers(&self) {
        let mut client = self.client("first").await;
        for room in 0..16 {
            let publish = json!({"t": "pub", "room": format!("first.{room}"), "data": 1, "id": 1});
            loop {
                client.send(std::slice::from_ref(&publish)).await;
                if client.frame().await["t"] == "ok" {
                    break;
                }
            }
        }
        drop(client);
        self.is_empty().await;
    }

    /// A client of that tenant, after its hello.
    pub async fn client(&self, tenant: &str) -> Client {
        self.client_of(tenant, Format::Json).await
    }

    pub async fn client_of(&self, tenant: &str, format: Format) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(TIGHT).unwrap();
        let (client, accepted) =
            tokio::join!(socket.connect(self.listener.local_addr().unwrap()), self.listener.accept());
        let (client, (accepted, _)) = (client.unwrap(), accepted.unwrap());
        socket2::SockRef::from(&accepted).set_send_buffer_size(TIGHT as usize).unwrap();
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let entry = self.node.door().admit(ticket(tenant, number, format)).unwrap();
        entry.take(accepted, Bytes::new(), None);
        let mut client = Client { stream: client, read: Vec::new() };
        client.next_payload().await.expect("a hello");
        client
    }

    /// The node's figures now.
    pub fn scrape(&self) -> Scrape {
        Scrape::parse(&self.metrics.encode().unwrap())
    }

    /// Waits until the sum of these samples is what it should be.
    pub async fn until(&self, family: &str, labels: &[&str], is: impl Fn(f64) -> bool) -> f64 {
        let deadline = Instant::now() + SOON;
        loop {
            let sum = self.scrape().sum(family, labels);
            if is(sum) {
                return sum;
            }
            assert!(Instant::now() < deadline, "{family} {labels:?} stays at {sum}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// After everybody has gone, nothing is left.
    pub async fn is_empty(&self) {
        for family in ["ringway_connections", "ringway_members", "ringway_rooms", "ringway_queued_bytes"] {
            self.until(family, &[], |sum| sum == 0.0).await;
        }
    }
}

fn ticket(tenant: &str, number: u64, format: Format) -> Ticket {
    Ticket {
        tenant: tenant.parse().unwrap(),
        user: None,
        grants: Grants::all(),
        info: None,
        join: Vec::new(),
        session: format!("s{number}").parse().unwrap(),
        room: None,
        since: None,
        conn: format!("c{number}").parse().unwrap(),
        gateway: "none".to_owned(),
        peer: String::new(),
        client: None,
        format,
        mode: Mode::Direct,
        expires: None,
        exp: u64::MAX,
    }
}

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What a client hears.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Frame(Value),
    Closed(u16, String),
}

impl Client {
    /// Sends frames in one write.
    pub async fn send(&mut self, frames: &[Value]) {
        let mut bytes = Vec::new();
        for frame in frames {
            mask(0x81, frame.to_string().as_bytes(), &mut bytes);
        }
        tokio::time::timeout(SOON, self.stream.write_all(&bytes)).await.expect("taken in time").unwrap();
    }

    /// Sends a frame of a client that speaks MessagePack.
    pub async fn send_frame(&mut self, frame: &ClientFrame) {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        codec::encode_client(Format::Msgpack, frame, &mut payload);
        mask(0x82, &payload, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Joins a room; what the answer says.
    pub async fn join(&mut self, room: &str, more: Value) -> Value {
        let mut join = json!({"t": "join", "room": room, "id": 1});
        join.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(&[join]).await;
        let answer = self.frame().await;
        assert_eq!((&answer["t"], &answer["room"]), (&json!("ok"), &json!(room)), "{answer}");
        answer["result"].clone()
    }

    /// Publishes so many bytes each, in batches, and waits until they are published.
    pub async fn publish(
        &mut self,
        room: &str,
        count: usize,
        bytes: usize,
        key: impl Fn(usize) -> Option<String>,
    ) {
        let text = "x".repeat(bytes);
        for first in (0..count).step_by(BATCH) {
            let batch = first..count.min(first + BATCH);
            let last = batch.end - 1;
            let frames = batch.map(|number| {
                let mut publish = json!({"t": "pub", "room": room, "data": text});
                if let Some(key) = key(number) {
                    publish["key"] = key.into();
                }
                if number == last {
                    publish["id"] = 7.into();
                }
                publish
            });
            self.send(&frames.collect::<Vec<_>>()).await;
            let answer = self.frame().await;
            assert_eq!(answer["t"], "ok", "{answer}");
        }
    }

    /// The next frame; it must not be the end.
    pub async fn frame(&mut self) -> Value {
        match self.next().await {
            Heard::Frame(frame) => frame,
            closed @ Heard::Closed(..) => panic!("{closed:?}"),
        }
    }

    /// The next that is no ping.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.next_payload().await {
                Ok((0x81, payload)) => {
                    let frame: Value = serde_json::from_slice(&payload).unwrap();
                    if frame["t"] != "ping" {
                        return Heard::Frame(frame);
                    }
                }
                Ok((0x88, payload)) => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return Heard::Closed(code, String::from_utf8(payload[2..].to_vec()).unwrap());
                }
                Ok((0x89, _)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message or control frame: its first byte, and what it carries.
    pub async fn next_payload(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((first, payload, whole)) = whole_frame(&self.read) {
                let found = (first, payload.to_vec());
                self.read.drain(..whole);
                return Ok(found);
            }
            let mut some = [0; 4_096];
            let count =
                tokio::time::timeout(SOON, self.stream.read(&mut some)).await.expect("a frame in time")?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.read.extend_from_slice(&some[..count]);
        }
    }
}

fn whole_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, short) = (*bytes.first()?, *bytes.get(1)?);
    let (length, at) = match short {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize, 10),
        short => (usize::from(short), 2),
    };
    Some((first, bytes.get(at..at + length)?, at + length))
}

fn mask(first: u8, payload: &[u8], into: &mut Vec<u8>) {
    into.push(first);
    match payload.len() {
        short @ ..=125 => into.push(0x80 | short as u8),
        long => {
            into.push(0x80 | 126);
            into.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    into.extend([0; 4]);
    into.extend(payload);
}
