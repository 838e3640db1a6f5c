//! What is around the table: links, views, rooms that live on beyond their nodes, and what was found wrong.

use ringway_link::hello::CLIENT_WINDOW;
use ringway_link::{At, Cast, ConnNo, Down, Exclude, Exit, OpenAs, Policy, Rejoin, RoomDeclared, RoomNo, Up};
use ringway_protocol::Code;
use ringway_protocol::frame::{Position, ServerFrame};
use ringway_protocol::name::{EpochName, RoomName, TenantId};

use super::super::around::{Answered, Around, For, Lost, NodeNo, NotOpened, To};
use super::super::ask::Kind;
use super::client::{Actor, Frame, Stage};
use super::dice::Dice;
use super::node::Link;

pub(super) const NODES: usize = 3;
pub(super) const ROOMS: usize = 4;

/// A position, as the simulation has it.
pub(super) type Spot = (u32, u64);

/// A room's publications, wherever they are kept.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) durable: bool,
    /// Publications may give way on links.
    pub(super) lossy: bool,
    pub(super) epoch: u32,
    /// By epoch; the last is the present one's.
    logs: Vec<(u32, Vec<Entry>)>,
    /// What is up to here is no more had.
    pub(super) base: u64,
    /// The order of nodes that should serve it.
    pub(super) homes: [usize; NODES],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) by: usize,
    pub(super) echo: bool,
}

impl Room {
    pub(super) fn new(durable: bool, lossy: bool, homes: [usize; NODES]) -> Self {
        Self { durable, lossy, epoch: 0, logs: vec![(0, Vec::new())], base: 0, homes }
    }

    pub(super) fn log_of(&self, epoch: u32) -> Option<&Vec<Entry>> {
        self.logs.iter().find(|(of, _)| *of == epoch).map(|(_, log)| log)
    }

    pub(super) fn newest(&self) -> u64 {
        self.log_of(self.epoch).map_or(0, |log| log.len() as u64)
    }

    pub(super) fn entry(&self, offset: u64) -> Option<Entry> {
        self.log_of(self.epoch)?.get(usize::try_from(offset.checked_sub(1)?).ok()?).copied()
    }

    pub(super) fn append(&mut self, entry: Entry) {
        if let Some((_, log)) = self.logs.last_mut() {
            log.push(entry);
        }
    }

    /// The numbering was lost.
    pub(super) fn begin_anew(&mut self) {
        self.epoch += 1;
        self.base = 0;
        self.logs.push((self.epoch, Vec::new()));
    }
}

/// A record towards a node.
#[derive(Debug)]
pub(super) enum Said {
    Open { conn: u32, who: usize, role: OpenAs, version: u32 },
    Begin { conn: u32 },
    Frame { conn: u32, message: usize, bytes: u32 },
    Rejoin(Rejoin),
    Move { conn: u32, room: usize },
    Renew { conn: u32, version: u32 },
    Closed { conn: u32 },
    Credit { conn: u32, bytes: u32 },
}

/// A record towards the gateway.
#[derive(Debug)]
pub(super) enum Word {
    Opened(u32),
    Refused(u32),
    Room(RoomDeclared),
    Send { conn: u32, at: Option<At>, frame: usize },
    Enter { conn: u32, room: u32, at: Option<At>, by_server: bool },
    Exit { conn: u32, room: usize, why: Exit },
    Cast { room: u32, offset: Option<u64>, but: Exclude, frame: usize },
    Lost { room: u32, offset: u64 },
    Credit { conn: u32, bytes: u32 },
    Renewed { conn: u32, version: u32, auth: usize },
    Ended(u32),
    Leaving,
}

/// A client's message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) id: Option<u64>,
    pub(super) room: usize,
    pub(super) since: Option<Spot>,
    pub(super) mid: u64,
    pub(super) echo: bool,
    pub(super) store: bool,
    /// The last `auth` that its client sent before.
    pub(super) after: Option<usize>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) links: Vec<Link>,
    pub(super) rooms: Vec<Room>,
    pub(super) names: Vec<RoomName>,
    pub(super) tenants: Vec<TenantId>,
    pub(super) actors: Vec<Actor>,
    /// Who has a number.
    pub(super) by_conn: Vec<Option<usize>>,
    pub(super) messages: Vec<Message>,
    pub(super) frames: Vec<Frame>,
    /// Which `auth` messages gave other rights, as the gateway knows, and what version.
    pub(super) granted: Vec<(usize, u32)>,
    pub(super) mids: u64,
    /// The first rule that was broken.
    pub(super) broken: Option<String>,
    pub(super) trace: bool,
}

impl World {
    pub(super) fn fail(&mut self, what: &str) {
        if self.broken.is_none() {
            if self.trace {
                println!("BROKEN: {what}");
            }
            self.broken = Some(what.to_owned());
        }
    }

    pub(super) fn frame(&mut self, frame: Frame) -> usize {
        self.frames.push(frame);
        self.frames.len() - 1
    }

    pub(super) fn room_index(&self, name: &RoomName) -> usize {
        self.names.iter().position(|other| other == name).expect("one of the simulation's rooms")
    }

    pub(super) fn position(spot: Spot) -> Position {
        Position { epoch: epoch_name(spot.0), offset: spot.1, ts: Some(spot.1) }
    }

    fn serves(&self, node: usize) -> bool {
        let link = &self.links[node];
        link.in_view && !link.leaving && !link.shunned
    }

    pub(super) fn home(&self, homes: [usize; NODES], not: &[NodeNo]) -> Option<NodeNo> {
        let number = |node: usize| NodeNo(u16::try_from(node).expect("few"));
        homes.into_iter().filter(|node| self.serves(*node)).map(number).find(|node| !not.contains(node))
    }

    fn actor(&mut self, conn: ConnNo) -> Option<usize> {
        let actor = self.by_conn.get(conn.0 as usize).copied().flatten();
        if actor.is_none() {
            self.fail("something for nobody");
        }
        actor
    }
}

pub(super) fn epoch_name(epoch: u32) -> EpochName {
    format!("e{epoch}").parse().expect("an epoch")
}

pub(super) fn spot(position: &Position) -> Spot {
    (position.epoch.as_str()[1..].parse().expect("the simulation's"), position.offset)
}

/// A publication's bytes are its number.
fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize
}

impl Around for World {
    type Room = u32;

    fn up(&mut self, node: NodeNo, record: &Up<'_>) {
        let said = match record {
            Up::Open(_) => unreachable!("opens are said by `open`"),
            Up::Begin { conn } => Said::Begin { conn: conn.0 },
            Up::Frame { conn, message, .. } => Said::Frame {
                conn: conn.0,
                message: number(message),
                bytes: u32::try_from(message.len()).expect("small"),
            },
            Up::Rejoin(rejoin) => {
                self.check_rejoin(rejoin);
                Said::Rejoin(rejoin.clone())
            }
            Up::Move { conn, room } => Said::Move { conn: conn.0, room: self.room_index(room) },
            Up::Renew { conn, ticket } => {
                Said::Renew { conn: conn.0, version: ticket.parse().expect("a number") }
            }
            Up::Closed { conn } => Said::Closed { conn: conn.0 },
            Up::Credit { conn, bytes } => Said::Credit { conn: conn.0, bytes: *bytes },
            Up::Ping { .. } => return,
        };
        if self.trace {
            println!("  to {}: {said:?}", node.0);
        }
        self.links[usize::from(node.0)].say(said);
    }

    fn open(&mut self, node: NodeNo, conn: ConnNo, role: OpenAs) {
        let Some(who) = self.actor(conn) else { return };
        let said = Said::Open { conn: conn.0, who, role, version: self.actors[who].version };
        if self.trace {
            println!("  to {}: {said:?}", node.0);
        }
        self.links[usize::from(node.0)].say(said);
    }

    fn node_for(&mut self, conn: ConnNo, what: For<'_>, not: &[NodeNo]) -> Option<NodeNo> {
        let homes = match what {
            For::Room(room) => self.rooms[self.room_index(room)].homes,
            For::Home => {
                let who = self.actor(conn)?;
                self.rooms[self.actors[who].home].homes
            }
        };
        self.home(homes, not)
    }

    fn leaving(&mut self, node: NodeNo) {
        self.links[usize::from(node.0)].leaving = true;
    }

    fn pong(&mut self, _: NodeNo, _: u64) {}

    fn declared(&mut self, _: NodeNo, room: &RoomDeclared, _: Option<u32>) -> u32 {
        room.number.0
    }

    fn cast(&mut self, room: &RoomDeclared, kept: &mut u32, cast: &Cast<'_>, to: To<'_>) {
        if *kept != cast.room.0 || room.number != cast.room {
            self.fail("a cast with what another room has");
        }
        let frame = self.frames[number(cast.json)].clone();
        for conn in to.iter() {
            if let Some(who) = self.actor(conn) {
                self.gets(who, &frame);
            }
        }
    }

    fn lost(&mut self, room: &RoomDeclared, _: &mut u32, lost: Lost, to: To<'_>) {
        let epoch = room.epoch.as_ref().expect("declared with one");
        let at = (epoch.as_str()[1..].parse().expect("the simulation's"), lost.offset);
        let frame = Frame::Gap { room: self.room_index(&room.room), at };
        for conn in to.iter() {
            if let Some(who) = self.actor(conn) {
                self.gets(who, &frame);
            }
        }
    }

    fn send(&mut self, conn: ConnNo, frame: &[u8], owed: u32) {
        let Some(who) = self.actor(conn) else { return };
        if owed == 0 {
            self.fail("what was sent is owed to nobody");
        }
        let frame = self.frames[number(frame)].clone();
        let frame = match frame {
            Frame::For(whose, frame) => {
                if whose != who {
                    self.fail("C9 a frame for another client");
                }
                *frame
            }
            other => other,
        };
        self.gets(who, &frame);
    }

    fn say(&mut self, conn: ConnNo, frame: ServerFrame) {
        let Some(who) = self.actor(conn) else { return };
        let frame = match frame {
            ServerFrame::Ok(answer) => Frame::Ok { id: answer.id.expect("an answer has one"), at: None },
            ServerFrame::Err(no) => Frame::Err { id: no.id, code: no.code },
            ServerFrame::Joined(joined) => Frame::Joined { room: self.room_index(&joined.room), at: None },
            ServerFrame::Left(left) => Frame::Left { room: self.room_index(&left.room) },
            other => unreachable!("the table says no {other:?}"),
        };
        self.gets(who, &frame);
    }

    fn close(&mut self, conn: ConnNo, _: u16, _: &str) {
        let Some(who) = self.actor(conn) else { return };
        self.fail("a socket was closed");
        self.actors[who].closed = true;
    }

    fn rooms(&self, _: ConnNo) -> u32 {
        LIMIT
    }

    fn close_later(&mut self, _: ConnNo, _: u32, _: u16, _: &str) {
        self.fail("no node says that");
    }

    fn opened(&mut self, conn: ConnNo, opened: Result<(), NotOpened>) {
        let Some(who) = self.actor(conn) else { return };
        if self.actors[who].stage != Stage::Opening {
            self.fail("opened what wasn't opening");
        }
        self.actors[who].stage = if opened.is_ok() { Stage::Opened } else { Stage::Refused };
    }

    fn renewed(&mut self, conn: ConnNo, ticket: &str) -> bool {
        let Some(who) = self.actor(conn) else { return true };
        self.actors[who].version = ticket.parse().expect("a number");
        true
    }

    fn resume(&mut self, conn: ConnNo) {
        let Some(who) = self.actor(conn) else { return };
        self.actors[who].stopped = false;
    }

    fn answered(&self, frame: &[u8]) -> Option<Answered> {
        match &self.frames[number(frame)] {
            Frame::For(_, frame) => match &**frame {
                Frame::Ok { id, .. } => Some(Answered { id: Some(*id), ok: true }),
                Frame::Err { id, .. } => Some(Answered { id: *id, ok: false }),
                _ => None,
            },
            _ => None,
        }
    }
}

impl World {
    fn check_rejoin(&mut self, rejoin: &Rejoin) {
        let Some(who) = self.actor(rejoin.conn) else { return };
        let room = self.room_index(&rejoin.room);
        let had = &self.actors[who].rooms[room];
        if had.loose {
            return;
        }
        if !had.in_it {
            return self.fail("C18 rejoined who is no member");
        }
        let since = rejoin.since.as_ref().map(spot);
        match (had.at, since) {
            (None, None) => {}
            (Some(_), None) => self.fail("C16 rejoined without its position"),
            (None, Some(_)) => self.fail("C17 rejoined beyond what it has"),
            (Some(had), Some(since)) if had.0 != since.0 || since.1 > had.1 => {
                self.fail("C17 rejoined beyond what it has");
            }
            (Some(_), Some(_)) => {}
        }
    }

    pub(super) fn declare(&self, room: usize, tenant: usize, number: u32, epoch: u32) -> RoomDeclared {
        RoomDeclared {
            number: RoomNo(number),
            tenant: self.tenants[tenant].clone(),
            room: self.names[room].clone(),
            epoch: Some(epoch_name(epoch)),
            policy: Policy::Disconnect,
            flush_window: 0,
        }
    }
}

/// How many rooms a client may be in.
pub(super) const LIMIT: u32 = 3;

/// What a node may have of one client's messages: the window, and the message that used it.
pub(super) const MOST_IN_FLIGHT: u32 = CLIENT_WINDOW + BIG;

/// A big message.
pub(super) const BIG: u32 = 70_000;

/// Hands a word to the table as the record that it stands for.
pub(super) fn record<T>(word: Word, names: &[RoomName], hear: impl FnOnce(&Down<'_>) -> T) -> T {
    let bytes = |frame: usize| u32::try_from(frame).expect("few").to_le_bytes();
    match word {
        Word::Opened(conn) => hear(&Down::Opened { conn: ConnNo(conn) }),
        Word::Refused(conn) => hear(&Down::Refused {
            conn: ConnNo(conn),
            code: Code::Unavailable,
            detail: "".into(),
            retry: None,
        }),
        Word::Room(declared) => hear(&Down::Room(declared)),
        Word::Send { conn, at, frame } => hear(&Down::Send { conn: ConnNo(conn), at, frame: &bytes(frame) }),
        Word::Enter { conn, room, at, by_server } => {
            hear(&Down::Enter { conn: ConnNo(conn), room: RoomNo(room), at, by_server })
        }
        Word::Exit { conn, room, why } => {
            hear(&Down::Exit { conn: ConnNo(conn), room: names[room].clone(), why })
        }
        Word::Cast { room, offset, but, frame } => hear(&Down::Cast(Cast {
            room: RoomNo(room),
            offset,
            ts: offset.unwrap_or(0),
            key: None,
            but,
            json: &bytes(frame),
            msgpack: &[],
        })),
        Word::Lost { room, offset } => {
            hear(&Down::Lost { room: RoomNo(room), offset, ts: offset, frames: 1 })
        }
        Word::Credit { conn, bytes } => hear(&Down::Credit { conn: ConnNo(conn), bytes }),
        Word::Renewed { conn, version, .. } => {
            hear(&Down::Renewed { conn: ConnNo(conn), ticket: &version.to_string() })
        }
        Word::Ended(conn) => hear(&Down::Ended { conn: ConnNo(conn) }),
        Word::Leaving => hear(&Down::Leaving),
    }
}
