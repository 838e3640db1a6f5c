//! A node at the other end of links, that does what the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use ringway_auth::{LinkKey, Ticket};
use ringway_config::ClientPath;
use ringway_edge::{Frame, Limits, Message, Outbound, open_link};
use ringway_link::{
    At, Cast, ConnNo, Down, Exclude, Exit, OpenAs, Policy, Rejoin, RoomDeclared, RoomNo, Up, codec, hello,
};
use ringway_protocol::frame::{Position, ServerFrame};
use ringway_protocol::{Format, RoomName, encode_server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::client::Client;
use super::http::Wire;
use super::{CLUSTER_SECRET, OPEN, World, now, soon, tenant_id, ticket_key};

/// A record of the gateway's, with what it holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Open {
        conn: ConnNo,
        role: OpenAs,
        ticket: Box<Ticket>,
        traceparent: Option<String>,
        age: u64,
        told_to_go: bool,
    },
    Begin(ConnNo),
    Frame {
        conn: ConnNo,
        message: String,
    },
    Rejoin(Rejoin),
    Move(ConnNo, RoomName),
    Renew(ConnNo),
    Closed(ConnNo),
    Credit(ConnNo, u32),
}

/// A node that takes links, on a port of its own.
pub(crate) struct LinkNode {
    listener: TcpListener,
}

impl LinkNode {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port") }
    }

    /// At this address again.
    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self { listener: TcpListener::bind(address).await.expect("the port again") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next connection, its request read and not answered.
    pub(crate) async fn knock(&self) -> (Wire, String) {
        soon("a link from the gateway", self.next_knock()).await
    }

    /// The same, however long it takes.
    pub(crate) async fn next_knock(&self) -> (Wire, String) {
        let (stream, _) = self.listener.accept().await.expect("accepted");
        let mut wire = Wire { stream, rest: Vec::new() };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(wire.take(1).await);
        }
        (wire, String::from_utf8(head).expect("text"))
    }

    /// The next link, taken.
    pub(crate) async fn link(&self) -> Link {
        let (wire, head) = self.knock().await;
        Self::take(wire, &head).await
    }

    /// Takes a link that was asked for so.
    pub(crate) async fn take(mut wire: Wire, head: &str) -> Link {
        assert!(head.starts_with(&format!("GET {} HTTP/1.1\r\n", hello::PATH)), "{head}");
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
        };
        assert_eq!(header(hello::HOP_HEADER), Some(hello::HOP), "{head}");
        let ticket = LinkKey::new(CLUSTER_SECRET).open(header("ringway-ticket").expect("a ticket"), now());
        assert_eq!(ticket.expect("a good ticket").gateway, "gateway-1");
        wire.send(agreed()).await;
        Link::new(wire.stream, &wire.rest)
    }
}

/// A node's answer to a gateway that asks for a link.
pub(crate) fn agreed() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {}\r\n{}: {}\r\n\r\n",
        hello::UPGRADE,
        hello::HOP_HEADER,
        hello::HOP
    )
}

/// One link. Its pings are answered until it is [`silent`](Self::silent).
pub(crate) struct Link {
    pub(crate) out: Arc<Outbound>,
    said: mpsc::UnboundedReceiver<Said>,
    is_silent: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    fn new(stream: TcpStream, early: &[u8]) -> Self {
        let limits = Limits { message: hello::RECORD_LIMIT, queue: 16 << 20, frames: 1 << 18 };
        let (out, mut reader) = open_link(stream, &Bytes::copy_from_slice(early), limits);
        let (to, said) = mpsc::unbounded_channel();
        let is_silent = Arc::new(AtomicBool::new(false));
        let (way, silent) = (Arc::clone(&out), Arc::clone(&is_silent));
        let task = tokio::spawn(async move {
            let mut on = |message: Message<'_>| {
                let Message::Binary(record) = message else { panic!("a text message on a link") };
                match codec::decode_up(record).expect("a good record") {
                    Up::Ping { number } => {
                        if !silent.load(Ordering::SeqCst) {
                            say(&way, &Down::Pong { number });
                        }
                    }
                    other => drop(to.send(Said::of(&other))),
                }
            };
            while reader.read(&mut on).await.is_ok() {}
        });
        Self { out, said, is_silent, task }
    }

    /// The next record that isn't a ping.
    pub(crate) async fn next(&mut self) -> Said {
        soon("a record", self.said.recv()).await.expect("the gateway ended the link")
    }

    /// What has come and wasn't looked at yet.
    pub(crate) fn come(&mut self) -> Option<Said> {
        self.said.try_recv().ok()
    }

    /// Waits for the gateway's end of the link; what still came.
    pub(crate) async fn ended(&mut self) -> Vec<Said> {
        let mut rest = Vec::new();
        while let Some(said) = soon("the link's end", self.said.recv()).await {
            rest.push(said);
        }
        rest
    }

    pub(crate) fn say(&self, record: &Down<'_>) {
        say(&self.out, record);
    }

    /// Pings aren't answered any more.
    pub(crate) fn silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// Breaks it off.
    pub(crate) async fn cut(self) {
        self.out.cut();
        self.task.abort();
        let _ = self.task.await;
    }

    /// The next record has to be an open of that kind: it is taken.
    pub(crate) async fn take(&mut self, role: OpenAs) -> (ConnNo, Box<Ticket>) {
        let said = self.next().await;
        let Said::Open { conn, role: as_what, ticket, .. } = said else { panic!("not an open: {said:?}") };
        assert_eq!(as_what, role);
        self.say(&Down::Opened { conn });
        (conn, ticket)
    }

    /// Sends a frame to one client.
    pub(crate) fn send(&self, conn: ConnNo, at: Option<At>, payload: &str) {
        self.say(&Down::Send { conn, at, frame: Frame::text(payload.as_bytes()).encoded() });
    }

    pub(crate) fn send_frame(&self, conn: ConnNo, at: Option<At>, frame: &ServerFrame) {
        let mut payload = Vec::new();
        encode_server(Format::Json, frame, &mut payload);
        self.send(conn, at, std::str::from_utf8(&payload).expect("JSON"));
    }

    /// Declares a room of acme's, in that epoch.
    pub(crate) fn declare(&self, number: RoomNo, room: &RoomName, epoch: &str) {
        self.say(&Down::Room(RoomDeclared {
            number,
            tenant: tenant_id("default"),
            room: room.clone(),
            epoch: Some(epoch.parse().expect("an epoch")),
            policy: Policy::DropOldest,
            flush_window: 0,
        }));
    }

    /// A publication to everybody in the room.
    pub(crate) fn cast(&self, room: RoomNo, offset: u64, payload: &str) {
        self.say(&Down::Cast(Cast {
            room,
            offset: Some(offset),
            ts: 1_000 + offset,
            key: None,
            but: Exclude::Nobody,
            json: Frame::text(payload.as_bytes()).encoded(),
            msgpack: &[],
        }));
    }

    pub(crate) fn exit(&self, conn: ConnNo, room: &RoomName, why: Exit) {
        self.say(&Down::Exit { conn, room: room.clone(), why });
    }
}

pub(crate) fn at(room: RoomNo, offset: u64) -> At {
    At { room, offset, ts: 1_000 + offset }
}

fn say(out: &Arc<Outbound>, record: &Down<'_>) {
    let mut bytes = Vec::new();
    codec::encode_down(record, &mut bytes);
    out.send(&Frame::record(&bytes));
}

impl Said {
    fn of(record: &Up<'_>) -> Self {
        match record {
            Up::Open(open) => Self::Open {
                conn: open.conn,
                role: open.role,
                ticket: Box::new(ticket_key().open(open.ticket, now()).expect("a good ticket")),
                traceparent: open.traceparent.map(str::to_owned),
                age: open.age,
                told_to_go: open.told_to_go,
            },
            Up::Begin { conn } => Self::Begin(*conn),
            Up::Frame { conn, message, .. } => {
                Self::Frame { conn: *conn, message: String::from_utf8_lossy(message).into_owned() }
            }
            Up::Rejoin(rejoin) => Self::Rejoin(rejoin.clone()),
            Up::Move { conn, room } => Self::Move(*conn, room.clone()),
            Up::Renew { conn, .. } => Self::Renew(*conn),
            Up::Closed { conn } => Self::Closed(*conn),
            Up::Credit { conn, bytes } => Self::Credit(*conn, *bytes),
            Up::Ping { .. } => unreachable!("answered before"),
        }
    }
}

/// The room that [`Seated`] is in, as its node numbers it.
pub(crate) const ROOM: RoomNo = RoomNo(0);

/// A gateway on the relay's path.
pub(crate) async fn world() -> World {
    World::with(OPEN, |settings, _| settings.path = ClientPath::Relay).await
}

/// A client in its home room, at offset 5 of epoch `e1`, at the room's home `a`; `b` is another node.
pub(crate) struct Seated {
    pub(crate) world: World,
    pub(crate) a: LinkNode,
    pub(crate) b: LinkNode,
    pub(crate) client: Client,
    pub(crate) conn: ConnNo,
    pub(crate) room: RoomName,
}

impl Seated {
    /// The client, and the link to `a` over which it is served.
    pub(crate) async fn new() -> (Self, Link) {
        let mut world = world().await;
        let (a, b) = (LinkNode::start().await, LinkNode::start().await);
        let owner = world.node("a", a.address());
        world.node("b", b.address());
        let room = world.room_of("default", &owner);
        let mut client = Client::ask(&world, &format!("/v1/ws?room={room}")).await;
        let mut link = a.link().await;
        let (conn, _) = link.take(OpenAs::Home).await;
        client.is_in().await;
        assert_eq!(link.next().await, Said::Begin(conn));
        link.declare(ROOM, &room, "e1");
        link.send(conn, None, r#"{"t":"hello"}"#);
        link.send(conn, Some(at(ROOM, 5)), r#"{"t":"joined"}"#);
        link.say(&Down::Enter { conn, room: ROOM, at: Some(at(ROOM, 5)), by_server: true });
        assert_eq!(client.hear_text().await, r#"{"t":"hello"}"#);
        assert_eq!(client.hear_text().await, r#"{"t":"joined"}"#);
        (Self { world, a, b, client, conn, room }, link)
    }

    /// Where the client is, after so many publications.
    pub(crate) fn position(&self, offset: u64) -> Position {
        Position { epoch: "e1".parse().expect("an epoch"), offset, ts: Some(1_000 + offset) }
    }

    /// The client hears a publication that is cast over this link.
    pub(crate) async fn hears(&mut self, link: &Link, offset: u64) {
        let payload = format!(r#"{{"t":"msg","offset":{offset}}}"#);
        link.cast(ROOM, offset, &payload);
        assert_eq!(self.client.hear_text().await, payload);
    }

    /// A node takes the client over: as its home, in its room, from `since`.
    pub(crate) async fn is_taken_over(&self, link: &mut Link, since: Option<Position>) {
        let (conn, ticket) = link.take(OpenAs::HomeAgain).await;
        assert_eq!((conn, ticket.room.as_ref()), (self.conn, Some(&self.room)));
        let rejoin = Rejoin { conn, room: self.room.clone(), by_server: true, since };
        assert_eq!(link.next().await, Said::Rejoin(rejoin));
        link.declare(ROOM, &self.room, "e1");
    }

    /// It enters its room there.
    pub(crate) fn enters(&self, link: &Link, offset: u64) {
        link.say(&Down::Enter { conn: self.conn, room: ROOM, at: Some(at(ROOM, offset)), by_server: true });
    }

    /// A link's cuts for this reason.
    pub(crate) fn cuts(&self, reason: &str) -> u64 {
        self.counted(&format!("ringway_link_cuts_total{{reason=\"{reason}\"}} "))
    }

    fn counted(&self, line: &str) -> u64 {
        self.world
            .metrics()
            .lines()
            .find_map(|text| text.strip_prefix(line))
            .map_or(0, |count| count.parse().expect("a number"))
    }
}
