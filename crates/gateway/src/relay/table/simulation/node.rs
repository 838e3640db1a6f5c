//! A node as its links see it: sessions, lanes, rooms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringway_link::{At, Exclude, Exit, OpenAs, RoomNo};
use ringway_protocol::Code;

use super::super::ask::Kind;
use super::client::Frame;
use super::world::{Entry, MOST_IN_FLIGHT, ROOMS, Said, Spot, Word, World, spot};

/// What a node has of one gateway.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) alive: bool,
    pub(super) in_view: bool,
    pub(super) leaving: bool,
    pub(super) shunned: bool,
    /// It was cut, and the gateway doesn't know.
    pub(super) void: bool,
    /// It takes nobody just now.
    pub(super) refuses: bool,
    pub(super) up: VecDeque<Said>,
    pub(super) down: VecDeque<Word>,
    pub(super) conns: BTreeMap<u32, Session>,
    refused: BTreeSet<u32>,
    pub(super) rooms: [Option<Here>; ROOMS],
    pub(super) free: Vec<u32>,
    pub(super) numbers: u32,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) who: usize,
    pub(super) home: bool,
    begun: bool,
    version: u32,
    lanes: Vec<VecDeque<Op>>,
    in_flight: u32,
    told: u32,
}

#[derive(Debug)]
enum Op {
    Ask(usize),
    ServerJoin(Option<Spot>),
    Rejoin(bool, Option<Spot>),
    Move,
}

/// A room with members.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) number: u32,
    pub(super) epoch: u32,
    pub(super) known: u64,
    pub(super) members: Vec<Member>,
}

/// Somebody who is to be a member, and what of the room it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comes {
    pub(super) conn: u32,
    pub(super) by_server: bool,
    pub(super) since: Option<Spot>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) conn: u32,
    pub(super) by_server: bool,
    pub(super) stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Level,
    /// It has more than this node knows of.
    Beyond(u64),
    /// It has had so much of what it missed.
    Replaying(u64),
    /// It waits for word where it is.
    Nowhere,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { alive: true, in_view: true, ..Self::default() }
    }

    pub(super) fn say(&mut self, said: Said) {
        if !self.void {
            self.up.push_back(said);
        }
    }

    pub(super) fn tell(&mut self, word: Word) {
        if !self.void {
            self.down.push_back(word);
        }
    }

    /// All of it is gone.
    pub(super) fn cut(&mut self) {
        self.void = true;
        self.up.clear();
        self.down.clear();
        self.conns.clear();
        self.refused.clear();
        self.rooms = Default::default();
        self.free.clear();
        self.numbers = 0;
    }

    pub(super) fn lanes(&self) -> Vec<(u32, usize)> {
        let full = |(conn, session): (&u32, &Session)| {
            let lanes = session.lanes.iter().enumerate().filter(|(_, lane)| !lane.is_empty());
            lanes.map(|(room, _)| (*conn, room)).collect::<Vec<_>>()
        };
        self.conns.iter().flat_map(full).collect()
    }

    /// Members to whom something is still owed of what they missed.
    pub(super) fn behind(&self) -> Vec<(usize, u32)> {
        let mut behind = Vec::new();
        for (room, here) in self.rooms.iter().enumerate() {
            for member in here.iter().flat_map(|here| &here.members) {
                if matches!(member.stands, Stands::Replaying(_) | Stands::Nowhere) {
                    behind.push((room, member.conn));
                }
            }
        }
        behind
    }

    pub(super) fn is_level(&self, room: usize, conn: u32) -> bool {
        let here = self.rooms[room].as_ref();
        here.is_some_and(|here| {
            here.members.iter().any(|member| member.conn == conn && member.stands == Stands::Level)
        })
    }
}

impl World {
    /// The node takes the next record.
    pub(super) fn node_takes(&mut self, node: usize) {
        let Some(said) = self.links[node].up.pop_front() else { return };
        if self.trace {
            println!("node {node} takes {said:?}");
        }
        let conn = match &said {
            Said::Open { conn, .. }
            | Said::Begin { conn }
            | Said::Frame { conn, .. }
            | Said::Move { conn, .. }
            | Said::Renew { conn, .. }
            | Said::Closed { conn }
            | Said::Credit { conn, .. } => *conn,
            Said::Rejoin(rejoin) => rejoin.conn.0,
        };
        if let Said::Open { who, role, version, .. } = said {
            return self.node_opens(node, conn, who, role, version);
        }
        if !self.links[node].conns.contains_key(&conn) {
            // It was refused, and what follows its opening crossed that.
            if !self.links[node].refused.contains(&conn) {
                self.fail("a record about who isn't open there");
            }
            return;
        }
        let rejoined =
            if let Said::Rejoin(rejoin) = &said { Some(self.room_index(&rejoin.room)) } else { None };
        let session = self.links[node].conns.get_mut(&conn).expect("looked up");
        match said {
            Said::Open { .. } => {}
            Said::Begin { .. } => {
                if !session.home || std::mem::replace(&mut session.begun, true) {
                    self.fail("a beginning that isn't one");
                }
                self.node_begins(node, conn);
            }
            Said::Frame { message, bytes, .. } => self.node_reads(node, conn, message, bytes),
            Said::Rejoin(rejoin) => {
                let op = Op::Rejoin(rejoin.by_server, rejoin.since.as_ref().map(spot));
                session.lanes[rejoined.expect("just found")].push_back(op);
            }
            Said::Move { room, .. } => session.lanes[room].push_back(Op::Move),
            Said::Renew { version, .. } => session.version = version,
            Said::Closed { .. } => {
                self.forget(node, conn);
                self.links[node].tell(Word::Ended(conn));
            }
            Said::Credit { bytes, .. } => match session.told.checked_sub(bytes) {
                Some(told) => session.told = told,
                None => self.fail("credit for more than was sent"),
            },
        }
    }

    fn forget(&mut self, node: usize, conn: u32) {
        self.links[node].conns.remove(&conn);
        for room in 0..ROOMS {
            self.unseat(node, room, conn);
        }
    }

    fn node_opens(&mut self, node: usize, conn: u32, who: usize, role: OpenAs, version: u32) {
        let refuses = self.links[node].refuses;
        let link = &mut self.links[node];
        link.refused.remove(&conn);
        if let Some(session) = link.conns.get(&conn)
            && session.who != who
        {
            return self.fail("a number was given again before it was free");
        }
        if refuses {
            self.forget(node, conn);
            self.links[node].refused.insert(conn);
            return self.links[node].tell(Word::Refused(conn));
        }
        let fresh = || Session {
            who,
            home: false,
            begun: false,
            version,
            lanes: (0..ROOMS).map(|_| VecDeque::new()).collect(),
            in_flight: 0,
            told: 0,
        };
        let session = link.conns.entry(conn).or_insert_with(fresh);
        session.home = role != OpenAs::Further;
        session.begun |= role == OpenAs::HomeAgain;
        link.tell(Word::Opened(conn));
    }

    fn node_begins(&mut self, node: usize, conn: u32) {
        let who = self.links[node].conns[&conn].who;
        self.send(node, conn, Frame::Hello, None);
        let (joins, home, since) =
            (self.actors[who].joins.clone(), self.actors[who].home, self.actors[who].since);
        let session = self.links[node].conns.get_mut(&conn).expect("there");
        for room in joins {
            session.lanes[room].push_back(Op::ServerJoin(since.filter(|_| room == home)));
        }
    }

    /// What is for one client alone.
    pub(super) fn send(&mut self, node: usize, conn: u32, frame: Frame, at: Option<(usize, u64)>) {
        let Some(session) = self.links[node].conns.get_mut(&conn) else { return };
        session.told += 4;
        let frame = Frame::For(session.who, Box::new(frame));
        let frame = self.frame(frame);
        let at = at.map(|(room, offset)| {
            let number = self.links[node].rooms[room].as_ref().map_or(0, |here| here.number);
            At { room: RoomNo(number), offset, ts: offset }
        });
        self.links[node].tell(Word::Send { conn, at, frame });
    }

    fn node_reads(&mut self, node: usize, conn: u32, message: usize, bytes: u32) {
        let asked = self.messages[message].clone();
        let granted = asked.after.and_then(|auth| self.granted.iter().find(|(granted, _)| *granted == auth));
        let granted = granted.map(|(_, version)| *version);
        let session = self.links[node].conns.get_mut(&conn).expect("there");
        session.in_flight += bytes;
        let (in_flight, version) = (session.in_flight, session.version);
        if in_flight > MOST_IN_FLIGHT {
            self.fail("C14 more on its way than the window");
        }
        if granted.is_some_and(|granted| version < granted) {
            self.fail("C15 a frame before the rights that came before it");
        }
        match asked.kind {
            Kind::Auth => {
                if self.dice.percent(70) {
                    let version = version.max(self.actors[self.links[node].conns[&conn].who].version) + 1;
                    self.links[node].conns.get_mut(&conn).expect("there").version = version;
                    self.links[node].tell(Word::Renewed { conn, version, auth: message });
                    if let Some(id) = asked.id {
                        self.send(node, conn, Frame::Ok { id, at: None }, None);
                    }
                } else {
                    self.send(node, conn, Frame::Err { id: asked.id, code: Code::TokenInvalid }, None);
                }
                return self.give_credit(node, conn);
            }
            Kind::Other => {
                if let Some(id) = asked.id {
                    self.send(node, conn, Frame::Ok { id, at: None }, None);
                }
            }
            _ => {
                let session = self.links[node].conns.get_mut(&conn).expect("there");
                session.lanes[asked.room].push_back(Op::Ask(message));
            }
        }
        if bytes < 1_000 && self.dice.percent(70) {
            self.give_credit(node, conn);
        }
    }

    pub(super) fn give_credit(&mut self, node: usize, conn: u32) {
        let Some(session) = self.links[node].conns.get_mut(&conn) else { return };
        let bytes = std::mem::take(&mut session.in_flight);
        if bytes > 0 {
            self.links[node].tell(Word::Credit { conn, bytes });
        }
    }

    /// The next in a lane is done.
    pub(super) fn node_works(&mut self, node: usize, conn: u32, room: usize) {
        let Some(session) = self.links[node].conns.get_mut(&conn) else { return };
        let Some(op) = session.lanes[room].pop_front() else { return };
        if self.trace {
            println!("node {node} does {op:?} of {conn} in {room}");
        }
        let ask = match op {
            Op::Ask(message) => self.messages[message].clone(),
            Op::Move => {
                self.unseat(node, room, conn);
                return self.links[node].tell(Word::Exit { conn, room, why: Exit::Moved });
            }
            Op::ServerJoin(since) => {
                if self.stands(node, room, conn).is_some() {
                    return;
                }
                if self.dice.percent(10) {
                    self.links[node].tell(Word::Exit { conn, room, why: Exit::Left });
                    return self.send(node, conn, Frame::Left { room }, None);
                }
                let comes = Comes { conn, by_server: true, since };
                return self.seat(node, room, comes, |at| Some(Frame::Joined { room, at }));
            }
            Op::Rejoin(by_server, since) => {
                if self.stands(node, room, conn).is_some() {
                    return self.fail("rejoined who is a member there");
                }
                return self.rejoin(node, room, Comes { conn, by_server, since });
            }
        };
        match ask.kind {
            Kind::Join => {
                let member = self.stands(node, room, conn);
                let no = |code| {
                    ask.id.map_or(Frame::Err { id: None, code: Code::Internal }, |id| Frame::Err {
                        id: Some(id),
                        code,
                    })
                };
                if member == Some(false) {
                    return self.send(node, conn, no(Code::AlreadyJoined), None);
                }
                if member.is_none() && self.dice.percent(10) {
                    self.links[node].tell(Word::Exit { conn, room, why: Exit::Left });
                    return self.send(node, conn, no(Code::Forbidden), None);
                }
                let answer = |at| ask.id.map(|id| Frame::Ok { id, at });
                self.seat(node, room, Comes { conn, by_server: false, since: ask.since }, answer);
            }
            Kind::Leave => {
                if !self.unseat(node, room, conn) {
                    return self.send(node, conn, Frame::Err { id: ask.id, code: Code::NotJoined }, None);
                }
                self.links[node].tell(Word::Exit { conn, room, why: Exit::Left });
                if let Some(id) = ask.id {
                    self.send(node, conn, Frame::Ok { id, at: None }, None);
                }
            }
            Kind::Publish => self.publishes(node, room, conn, &ask),
            _ => {
                if let Some(id) = ask.id {
                    self.send(node, conn, Frame::Ok { id, at: None }, None);
                }
            }
        }
    }

    fn publishes(&mut self, node: usize, room: usize, conn: u32, ask: &super::world::Message) {
        let who = self.links[node].conns[&conn].who;
        if self.dice.percent(5) {
            return self.send(node, conn, Frame::Err { id: ask.id, code: Code::Unavailable }, None);
        }
        if ask.mid <= self.actors[who].published[room] {
            return self.fail("O5 published twice, or not in the order sent");
        }
        self.actors[who].published[room] = ask.mid;
        if ask.store {
            self.rooms[room].append(Entry { by: who, echo: ask.echo });
        } else if let Some(here) = &self.links[node].rooms[room] {
            let number = here.number;
            let frame = self.frame(Frame::Signal { room });
            let but = Exclude::Nobody;
            self.links[node].tell(Word::Cast { room: number, offset: None, but, frame });
        }
        if let Some(id) = ask.id {
            self.send(node, conn, Frame::Ok { id, at: None }, None);
        }
    }
}
