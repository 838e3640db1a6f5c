//! Real nodes on one hub, and clients that speak bytes to them, with tickets of the test's own.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;
use ringway_auth::{Grants, Mode, Ticket, TicketKey};
use ringway_backplane::Backplane;
use ringway_backplane::memory::Hub;
use ringway_backplane::message::{Direct, Publication};
use ringway_config::Config;
use ringway_node::{Configured, Node, NodeMetrics, NodeParts, NodeSettings};
use ringway_protocol::RoomName;
use ringway_protocol::codec::Format;
use ringway_protocol::payload::Payload;
use ringway_ring::Slot;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// For what should happen soon.
pub(crate) const FAR: Duration = Duration::from_secs(30);
pub(crate) const SECRET: &[u8] = b"the cluster's secret, long enough";
/// The mask of everything a client sends.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

static CONNS: AtomicU64 = AtomicU64::new(1);

/// Nodes of one cluster.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) nodes: Vec<Here>,
}

/// One of them.
pub(crate) struct Here {
    pub(crate) node: Node,
    metrics: Registry,
    /// What it has from the configuration: a new value holds from then on.
    pub(crate) configured: watch::Sender<Arc<Configured>>,
}

impl World {
    /// One node, and a configuration with tenant `acme`.
    pub(crate) async fn start(config: &str) -> World {
        World::of(config, &["n1"]).await
    }

    /// Each sees all others when this returns.
    pub(crate) async fn of(config: &str, names: &[&str]) -> World {
        let hub = Hub::new();
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(Here::start(&hub, config, name).await);
        }
        let world = World { hub, nodes };
        for here in &world.nodes {
            let mut view = here.node.view();
            soon("a whole view", view.wait_for(|view| view.nodes().len() == names.len())).await.unwrap();
        }
        world
    }

    /// One more node, in whichever pool. Who was there needn't see it yet.
    pub(crate) async fn add(&mut self, config: &str, name: &str, pool: &str) {
        self.nodes.push(Here::start_in(pool, &self.hub, config, name).await);
    }

    /// The first node.
    pub(crate) fn node(&self) -> &Here {
        &self.nodes[0]
    }

    /// Says something to a user of acme's, wherever it is.
    pub(crate) async fn direct(&self, user: &str, word: u64) {
        let data = serde_json::to_vec(&word).unwrap();
        let publication = Publication::new(1, Payload::from_json(&data).unwrap());
        let direct = Direct {
            tenant: "acme".parse().unwrap(),
            user: Some(user.parse().unwrap()),
            publication: publication.into(),
            traceparent: None,
        };
        let sender = self.hub.attach(&format!("sender-{word}-{user}"));
        sender.publish_direct(&"shared".parse().unwrap(), &direct).unwrap();
    }

    /// A room of acme's that this node owns.
    pub(crate) fn room_of(&self, node: &Here, class: &str) -> String {
        let (tenant, pool) = ("acme".parse().unwrap(), "shared".parse().unwrap());
        let view = node.node.view().borrow().clone();
        let mut names = (0..10_000).map(|number| format!("{class}.{number}"));
        let is_of = |name: &String| {
            let room: RoomName = name.parse().unwrap();
            view.owner(&pool, Slot::of_room(&tenant, &room)) == Some(node.node.id())
        };
        names.find(is_of).unwrap()
    }
}

impl Here {
    pub(crate) async fn start(hub: &Hub, config: &str, name: &str) -> Here {
        Here::start_in("shared", hub, config, name).await
    }

    pub(crate) async fn start_in(pool: &str, hub: &Hub, config: &str, name: &str) -> Here {
        Here::over_in(pool, hub.attach(name), config, name).await
    }

    /// A node over a backplane of its own.
    pub(crate) async fn over(backplane: Arc<dyn Backplane>, config: &str, name: &str) -> Here {
        Here::over_in("shared", backplane, config, name).await
    }

    async fn over_in(pool: &str, backplane: Arc<dyn Backplane>, config: &str, name: &str) -> Here {
        let settings = NodeSettings {
            id: name.parse().unwrap(),
            pool: pool.parse().unwrap(),
            advertise: None,
            public_url: None,
            weight: 1,
            max_connections: 100_000,
            buffers: 1 << 30,
            open: true,
        };
        let mut metrics = Registry::with_prefix("ringway");
        let configured = watch::Sender::new(Arc::new(configured(config)));
        let parts = NodeParts {
            backplane,
            configured: configured.subscribe(),
            secret: SECRET.into(),
            metrics: NodeMetrics::register(&mut metrics),
            listener: Some(TcpListener::bind("127.0.0.1:0").await.unwrap()),
        };
        Here { node: Node::start(settings, parts).await.unwrap(), metrics, configured }
    }

    /// Hands it another configuration.
    pub(crate) fn configure(&self, config: &str) {
        self.configure_with(configured(config));
    }

    pub(crate) fn configure_with(&self, configured: Configured) {
        self.configured.send_replace(Arc::new(configured));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.node.local_addr().unwrap()
    }

    /// A gauge or counter of the node.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    }

    pub(crate) async fn until_nobody_is_here(&self) {
        for gauge in ["ringway_connections", "ringway_members", "ringway_rooms"] {
            until(&format!("{gauge} is 0"), || self.metric(gauge) == 0).await;
        }
    }

    /// Whoever it is may do anything.
    pub(crate) async fn connect(&self, user: Option<&str>) -> Client {
        self.try_connect(user).await.expect("let in")
    }

    /// As a gateway does it; its refusal is the whole answer.
    pub(crate) async fn try_connect(&self, user: Option<&str>) -> Result<Client, String> {
        self.try_connect_with(&ticket(user)).await
    }

    /// Of another tenant than acme.
    pub(crate) async fn try_connect_of(&self, tenant: &str, user: Option<&str>) -> Result<Client, String> {
        self.try_connect_with(&Ticket { tenant: tenant.parse().unwrap(), ..ticket(user) }).await
    }

    /// With whatever ticket.
    pub(crate) async fn try_connect_with(&self, ticket: &Ticket) -> Result<Client, String> {
        let mut client = Client(TcpStream::connect(self.address()).await.unwrap(), Vec::new());
        client.0.write_all(&hop_with(ticket)).await.unwrap();
        let head = client.head().await;
        if !head.starts_with("HTTP/1.1 101") {
            return Err(head);
        }
        let hello = client.next().await;
        assert_eq!(hello["t"], "hello");
        Ok(client)
    }
}

/// A node's part of a configuration.
pub(crate) fn configured(config: &str) -> Configured {
    let text = format!("[gateway]\nauth = \"off\"\n{config}");
    let config = Config::from_text(&text, std::path::Path::new("ringway.toml"), &Default::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    Configured { tenants: config.tenants(), keys: Arc::default(), placement: config.placement }
}

pub(crate) fn ticket(user: Option<&str>) -> Ticket {
    let number = CONNS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Ticket {
        tenant: "acme".parse().unwrap(),
        user: user.map(|user| user.parse().unwrap()),
        grants: Grants::all(),
        info: None,
        join: Vec::new(),
        session: format!("s{number}").parse().unwrap(),
        room: None,
        since: None,
        conn: format!("c{number}").parse().unwrap(),
        gateway: "gateway-1".into(),
        peer: "127.0.0.1".into(),
        client: None,
        format: Format::Json,
        mode: Mode::Tunnel,
        expires: None,
        exp: now + 30,
    }
}

pub(crate) fn sealed(user: Option<&str>) -> String {
    TicketKey::new(SECRET).seal(&ticket(user))
}

/// A gateway's upgrade.
pub(crate) fn hop(user: Option<&str>) -> Vec<u8> {
    hop_with(&ticket(user))
}

pub(crate) fn hop_with(ticket: &Ticket) -> Vec<u8> {
    let ticket = TicketKey::new(SECRET).seal(ticket);
    upgrade("/v1/ws", &format!("Ringway-Hop: 1; tunnel\r\nRingway-Ticket: {ticket}\r\n"))
}

/// An upgrade of this path with further header lines.
pub(crate) fn upgrade(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A client, and what it has read and not looked at yet.
pub(crate) struct Client(pub(crate) TcpStream, Vec<u8>);

impl Client {
    /// One that has said nothing yet.
    pub(crate) async fn plain(to: &Here) -> Client {
        Client(TcpStream::connect(to.address()).await.unwrap(), Vec::new())
    }

    /// The head of an HTTP answer.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.1.windows(4).position(|end| end == b"\r\n\r\n") {
                return String::from_utf8(self.1.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.fill().await > 0, "closed without an answer");
        }
    }

    pub(crate) async fn say(&mut self, frame: &str) {
        self.say_all([frame]).await;
    }

    /// All in one write.
    pub(crate) async fn say_all(&mut self, frames: impl IntoIterator<Item = impl AsRef<str>>) {
        let bytes: Vec<u8> =
            frames.into_iter().flat_map(|text| frame(0x81, text.as_ref().as_bytes())).collect();
        soon("a write", self.0.write_all(&bytes)).await.unwrap();
    }

    /// The next frame that isn't a ping.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                (0x81, payload) => {
                    let frame: Value = serde_json::from_slice(&payload).unwrap();
                    if frame["t"] != "ping" {
                        return frame;
                    }
                }
                (0x89, payload) => self.0.write_all(&frame(0x8A, &payload)).await.unwrap(),
                (first, payload) => panic!("{first:#x} {:?}", String::from_utf8_lossy(&payload)),
            }
        }
    }

    /// The next frame with this id, whatever comes before it.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        loop {
            let frame = self.next().await;
            if frame["id"] == id {
                return frame;
            }
        }
    }

    pub(crate) async fn ask(&mut self, id: u64, frame: &str) -> Value {
        self.say(frame).await;
        self.answer(id).await
    }

    pub(crate) async fn join(&mut self, room: &str) {
        let answer = self.ask(1_000_000, &format!(r#"{{"t":"join","room":"{room}","id":1000000}}"#)).await;
        assert_eq!(answer["t"], "ok", "{answer}");
    }

    /// The data of the next so many publications.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let frame = self.next().await;
            if frame["t"] == "msg" {
                messages.push(frame["data"].clone());
            }
        }
        messages
    }

    /// The code and reason of the close frame.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let (0x88, payload) = self.message().await {
                let code = u16::from_be_bytes(payload[..2].try_into().unwrap());
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    /// Ends without a word.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }

    async fn message(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(message) = self.take_message() {
                return message;
            }
            assert!(self.fill().await > 0, "the node closed");
        }
    }

    fn take_message(&mut self) -> Option<(u8, Vec<u8>)> {
        let (length, head) = match *self.1.get(1)? {
            126 => (u16::from_be_bytes(self.1.get(2..4)?.try_into().unwrap()) as usize, 4),
            127 => (u64::from_be_bytes(self.1.get(2..10)?.try_into().unwrap()) as usize, 10),
            short => (usize::from(short), 2),
        };
        if self.1.len() < head + length {
            return None;
        }
        let first = self.1[0];
        let payload = self.1[head..head + length].to_vec();
        self.1.drain(..head + length);
        Some((first, payload))
    }

    async fn fill(&mut self) -> usize {
        soon("something from the node", self.0.read_buf(&mut self.1)).await.unwrap()
    }
}

/// A masked frame with the given first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match payload.len() {
        n @ ..=125 => wire.push(0x80 | n as u8),
        n => {
            wire.push(0xFE);
            wire.extend(u16::try_from(n).unwrap().to_be_bytes());
        }
    }
    wire.extend(MASK);
    wire.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

/// A publication of its own number.
pub(crate) fn publish(room: &str, id: u64) -> String {
    format!(r#"{{"t":"pub","room":"{room}","id":{id},"data":{id}}}"#)
}

/// What `retry` says.
pub(crate) fn retry(err: &Value) -> Duration {
    assert_eq!((&err["t"], &err["code"]), (&"err".into(), &"limit_rate".into()), "{err}");
    Duration::from_millis(err["retry"].as_u64().unwrap_or_else(|| panic!("a retry in {err}")))
}

/// Fails rather than hangs.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(FAR, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
