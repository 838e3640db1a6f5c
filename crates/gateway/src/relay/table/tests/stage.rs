//! A table with everything around it written down.

use std::collections::{BTreeMap, BTreeSet};

use ringway_link::{At, Cast, ConnNo, Down, Exclude, OpenAs, Policy, RoomDeclared, RoomNo, Up};
use ringway_protocol::frame::ServerFrame;
use ringway_protocol::name::{RoomName, TenantId};
use ringway_protocol::{Code, Format, codec};

use super::super::{Answered, Around, Ask, Broken, Flow, For, Lost, NodeNo, NotOpened, Table, To, Work};

pub(super) fn room(name: &str) -> RoomName {
    name.parse().expect("a room")
}

pub(super) fn at(room: u32, offset: u64) -> At {
    At { room: RoomNo(room), offset, ts: offset }
}

pub(super) fn send(conn: ConnNo, at: Option<At>, frame: &[u8]) -> Down<'_> {
    Down::Send { conn, at, frame }
}

pub(super) fn cast(room: u32, offset: u64, but: Exclude) -> Down<'static> {
    let room = RoomNo(room);
    Down::Cast(Cast { room, offset: Some(offset), ts: offset, key: None, but, json: b"cast", msgpack: &[] })
}

pub(super) fn declared(number: u32, tenant: &str, name: &str, epoch: Option<&str>) -> RoomDeclared {
    RoomDeclared {
        number: RoomNo(number),
        tenant: tenant.parse().expect("a tenant"),
        room: room(name),
        epoch: epoch.map(|epoch| epoch.parse().expect("an epoch")),
        policy: Policy::Disconnect,
        flush_window: 0,
    }
}

pub(super) struct Stage {
    pub(super) table: Table<()>,
    pub(super) tenant: TenantId,
    /// Where rooms are at home; else where the home is.
    pub(super) homes: BTreeMap<String, u16>,
    pub(super) home: u16,
    /// How many rooms each client may be in.
    pub(super) rooms: u32,
    down: BTreeSet<u16>,
    lines: Vec<String>,
}

struct Hands<'a> {
    rooms: u32,
    homes: &'a BTreeMap<String, u16>,
    home: u16,
    down: &'a BTreeSet<u16>,
    lines: &'a mut Vec<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            table: Table::default(),
            tenant: "t".parse().expect("a tenant"),
            homes: BTreeMap::new(),
            home: 0,
            rooms: 10,
            down: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Table<()>, &mut Hands<'_>) -> T) -> T {
        let Self { table, homes, home, rooms, down, lines, .. } = self;
        act(table, &mut Hands { rooms: *rooms, homes, home: *home, down, lines })
    }

    /// What was done since the last time.
    pub(super) fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(super) fn open(&mut self, conn: ConnNo, node: u16) {
        self.with(|table, hands| table.open(hands, conn, NodeNo(node)));
    }

    pub(super) fn begin(&mut self, conn: ConnNo, joins: &[&str]) {
        let joins: Vec<_> = joins.iter().map(|name| room(name)).collect();
        self.with(|table, hands| table.begin(hands, conn, joins, None));
    }

    pub(super) fn gone(&mut self, conn: ConnNo) {
        self.with(|table, hands| table.gone(hands, conn));
    }

    pub(super) fn ask(&mut self, conn: ConnNo, message: &str) -> Flow {
        let ask = Ask::of(codec::decode_client(Format::Json, message.as_bytes()));
        self.with(|table, hands| table.frame(hands, conn, true, message.as_bytes(), ask))
    }

    pub(super) fn tell(&mut self, node: u16, record: &Down<'_>) -> Result<(), Broken> {
        self.with(|table, hands| table.heard(hands, NodeNo(node), record))
    }

    pub(super) fn hears(&mut self, node: u16, record: &Down<'_>) {
        let heard = self.tell(node, record);
        assert_eq!(heard, Ok(()), "{record:?}");
    }

    pub(super) fn refuses(&mut self, node: u16, conn: ConnNo) {
        let detail = "full".into();
        self.hears(node, &Down::Refused { conn, code: Code::Unavailable, detail, retry: None });
    }

    pub(super) fn credit(&mut self, conn: ConnNo, waiting: usize) {
        self.with(|table, hands| table.credit(hands, conn, waiting));
    }

    /// The node can't be reached any more.
    pub(super) fn down(&mut self, node: u16) {
        self.down.insert(node);
    }

    pub(super) fn lose(&mut self, node: u16) {
        self.with(|table, hands| table.link_lost(hands, NodeNo(node)));
    }

    pub(super) fn work(&mut self) -> Work {
        self.with(|table, hands| {
            while table.work(hands, 10) == Work::More {}
            Work::Done
        })
    }

    pub(super) fn tick(&mut self) {
        self.with(|table, hands| table.tick(hands));
    }

    /// A client at node 0 that has had its hello, and a home room that it isn't in.
    pub(super) fn live(&mut self) -> ConnNo {
        let conn = self.table.add(&self.tenant, Some(&room("home")));
        self.open(conn, 0);
        self.hears(0, &Down::Opened { conn });
        self.begin(conn, &[]);
        self.hears(0, &send(conn, None, b"hello"));
        self.done();
        conn
    }

    /// A client joins a room at its node, and is there.
    pub(super) fn joined(&mut self, node: u16, conn: ConnNo, name: &str, number: u32, offset: u64) {
        self.ask(conn, &format!(r#"{{"t":"join","id":99,"room":"{name}"}}"#));
        if self.done().iter().any(|line| line.contains("open")) {
            self.hears(node, &Down::Opened { conn });
        }
        self.hears(node, &Down::Credit { conn, bytes: 1_000 });
        self.hears(node, &Down::Room(declared(number, "t", name, Some("e"))));
        self.hears(node, &send(conn, Some(at(number, offset)), b"ok 99"));
        let at = Some(at(number, offset));
        self.hears(node, &Down::Enter { conn, room: RoomNo(number), at, by_server: false });
    }

    /// Where clients are in a room, in the order of their numbers.
    pub(super) fn positions(&self, name: &str) -> Vec<String> {
        let Some(room) = self.table.rooms.find(&room(name)) else { return Vec::new() };
        let clients =
            (0..self.table.clients.end()).filter_map(|number| self.table.clients.get(ConnNo(number)));
        let seats = clients.filter_map(|client| client.seat(room).map(|seat| (client, seat)));
        seats.map(|(client, seat)| shown(self.table.position_of(client, seat).as_ref())).collect()
    }
}

fn shown(position: Option<&ringway_protocol::frame::Position>) -> String {
    position.map_or_else(|| "nowhere".into(), |at| format!("{}:{}", at.epoch, at.offset))
}

fn names(to: To<'_>) -> String {
    let mut conns: Vec<_> = to.iter().collect();
    conns.sort();
    conns.iter().map(|conn| format!("c{}", conn.0)).collect::<Vec<_>>().join(" ")
}

impl Around for Hands<'_> {
    type Room = ();

    fn up(&mut self, node: NodeNo, record: &Up<'_>) {
        let said = match record {
            Up::Open(_) | Up::Ping { .. } => unreachable!("not said here"),
            Up::Begin { conn } => format!("begin c{}", conn.0),
            Up::Frame { conn, message, .. } => {
                let frame = codec::decode_client(Format::Json, message);
                let frame = frame.map(|frame| {
                    let room = frame.room().map_or_else(String::new, |room| format!(" {room}"));
                    format!("{}{room}", frame.kind())
                });
                format!("frame c{} {}", conn.0, frame.unwrap_or_else(|_| "?".into()))
            }
            Up::Rejoin(rejoin) => {
                format!("rejoin c{} {} {}", rejoin.conn.0, rejoin.room, shown(rejoin.since.as_ref()))
            }
            Up::Move { conn, room } => format!("move c{} {room}", conn.0),
            Up::Renew { conn, ticket } => format!("renew c{} {ticket}", conn.0),
            Up::Closed { conn } => format!("closed c{}", conn.0),
            Up::Credit { conn, bytes } => format!("credit c{} {bytes}", conn.0),
        };
        self.lines.push(format!("{}: {said}", node.0));
    }

    fn open(&mut self, node: NodeNo, conn: ConnNo, role: OpenAs) {
        self.lines.push(format!("{}: open c{} {role:?}", node.0, conn.0));
    }

    fn node_for(&mut self, _: ConnNo, what: For<'_>, not: &[NodeNo]) -> Option<NodeNo> {
        let first = match what {
            For::Home => self.home,
            For::Room(room) => self.homes.get(room.as_str()).copied().unwrap_or(self.home),
        };
        let nodes = (0..3).map(|step| NodeNo((first + step) % 3));
        nodes.into_iter().find(|node| !self.down.contains(&node.0) && !not.contains(node))
    }

    fn leaving(&mut self, _: NodeNo) {}

    fn pong(&mut self, _: NodeNo, _: u64) {}

    fn declared(&mut self, _: NodeNo, _: &RoomDeclared, _: Option<()>) {}

    fn cast(&mut self, _: &RoomDeclared, (): &mut (), cast: &Cast<'_>, to: To<'_>) {
        self.lines.push(format!("{}: cast {}", names(to), cast.offset.unwrap_or(0)));
    }

    fn lost(&mut self, _: &RoomDeclared, (): &mut (), lost: Lost, to: To<'_>) {
        self.lines.push(format!("{}: lost {} up to {}", names(to), lost.frames, lost.offset));
    }

    fn send(&mut self, conn: ConnNo, frame: &[u8], _: u32) {
        self.lines.push(format!("c{}: {}", conn.0, String::from_utf8_lossy(frame)));
    }

    fn say(&mut self, conn: ConnNo, frame: ServerFrame) {
        let said = match frame {
            ServerFrame::Ok(ok) => format!("ok {} {}", ok.id.unwrap_or(0), ok.room.expect("of a room")),
            ServerFrame::Err(err) => {
                let room = err.room.map_or_else(String::new, |room| format!(" {room}"));
                format!("err {} {}{room}", err.code, err.id.unwrap_or(0))
            }
            ServerFrame::Left(left) => format!("left {}", left.room),
            ServerFrame::Joined(joined) => format!("joined {}", joined.room),
            other => format!("{other:?}"),
        };
        self.lines.push(format!("c{}: {said}", conn.0));
    }

    fn close(&mut self, conn: ConnNo, code: u16, _: &str) {
        self.lines.push(format!("c{} closes {code}", conn.0));
    }

    fn rooms(&self, _: ConnNo) -> u32 {
        self.rooms
    }

    fn close_later(&mut self, conn: ConnNo, after: u32, code: u16, _: &str) {
        self.lines.push(format!("c{} closes {code} in {after} ms", conn.0));
    }

    fn opened(&mut self, conn: ConnNo, opened: Result<(), NotOpened>) {
        let what = match opened {
            Ok(()) => "opened",
            Err(NotOpened::Lost) => "not opened: lost",
            Err(NotOpened::Refused { .. }) => "not opened: refused",
        };
        self.lines.push(format!("c{} {what}", conn.0));
    }

    fn renewed(&mut self, conn: ConnNo, ticket: &str) -> bool {
        self.lines.push(format!("c{} is {ticket}", conn.0));
        ticket != "unreadable"
    }

    fn resume(&mut self, conn: ConnNo) {
        self.lines.push(format!("c{} resumes", conn.0));
    }

    fn answered(&self, frame: &[u8]) -> Option<Answered> {
        let text = std::str::from_utf8(frame).ok()?;
        let (kind, id) = text.split_once(' ')?;
        let ok = match kind {
            "ok" => true,
            "err" => false,
            _ => return None,
        };
        Some(Answered { id: id.parse().ok(), ok })
    }
}
