//! A node's rooms that have members: who is where, what is cast and replayed, and which lifetime is the present one.

use ringway_link::{At, ConnNo, Exclude, Exit, RoomNo};

use super::client::Frame;
use super::node::{Comes, Here, Link, Member, Stands};
use super::world::{Spot, Word, World};

impl World {
    pub(super) fn unseat(&mut self, node: usize, room: usize, conn: u32) -> bool {
        let link = &mut self.links[node];
        let Some(here) = &mut link.rooms[room] else { return false };
        let before = here.members.len();
        here.members.retain(|member| member.conn != conn);
        let was = here.members.len() < before;
        if here.members.is_empty() {
            let number = here.number;
            link.free.push(number);
            link.rooms[room] = None;
        }
        was
    }

    /// Whether a client is a member, and only by the server's word.
    pub(super) fn stands(&self, node: usize, room: usize, conn: u32) -> Option<bool> {
        let here = self.links[node].rooms[room].as_ref()?;
        here.members.iter().find(|member| member.conn == conn).map(|member| member.by_server)
    }

    /// The room has somebody here, and this node knows of the present epoch.
    pub(super) fn occupy(&mut self, node: usize, room: usize) {
        if self.links[node].rooms[room].is_some() {
            return self.follow_epoch(node, room);
        }
        let (epoch, newest) = (self.rooms[room].epoch, self.rooms[room].newest());
        let link = &mut self.links[node];
        let number = link.free.pop().unwrap_or_else(|| {
            link.numbers += 1;
            link.numbers - 1
        });
        link.rooms[room] = Some(Here { number, epoch, known: newest, members: Vec::new() });
        let declared = self.declare(room, 0, number, epoch);
        self.links[node].tell(Word::Room(declared));
    }

    pub(super) fn follow_epoch(&mut self, node: usize, room: usize) {
        let (epoch, base) = (self.rooms[room].epoch, self.rooms[room].base);
        let Some(here) = &mut self.links[node].rooms[room] else { return };
        if here.epoch == epoch {
            return;
        }
        (here.epoch, here.known) = (epoch, base);
        let number = here.number;
        let members: Vec<u32> = here
            .members
            .iter_mut()
            .map(|member| {
                member.stands = Stands::Level;
                member.conn
            })
            .collect();
        let declared = self.declare(room, 0, number, epoch);
        self.links[node].tell(Word::Room(declared));
        for conn in members {
            self.send(node, conn, Frame::Gap { room, at: (epoch, base) }, Some((room, base)));
        }
    }

    pub(super) fn place_in(&mut self, node: usize, room: usize, member: Member, at: Option<u64>) {
        let Member { conn, by_server, .. } = member;
        let here = self.links[node].rooms[room].as_mut().expect("occupied");
        here.members.retain(|member| member.conn != conn);
        here.members.push(member);
        let number = here.number;
        let at = at.map(|offset| At { room: RoomNo(number), offset, ts: offset });
        self.links[node].tell(Word::Enter { conn, room: number, at, by_server });
    }

    /// Where who comes with a position goes on; none: not from there.
    pub(super) fn resumes(&self, node: usize, room: usize, since: Option<Spot>) -> Option<(u64, Stands)> {
        let room_ = &self.rooms[room];
        let known = self.links[node].rooms[room].as_ref()?.known;
        let (_, offset) = since.filter(|(epoch, offset)| {
            *epoch == room_.epoch && (*offset >= room_.base || room_.durable) && *offset <= room_.newest()
        })?;
        let stands = match offset.cmp(&known) {
            std::cmp::Ordering::Equal => Stands::Level,
            std::cmp::Ordering::Greater => Stands::Beyond(offset),
            std::cmp::Ordering::Less => Stands::Replaying(offset),
        };
        Some((offset, stands))
    }

    pub(super) fn seat(
        &mut self,
        node: usize,
        room: usize,
        comes: Comes,
        answer: impl Fn(Option<Spot>) -> Option<Frame>,
    ) {
        let Comes { conn, by_server, since } = comes;
        self.occupy(node, room);
        let (epoch, known) =
            self.links[node].rooms[room].as_ref().map_or((0, 0), |here| (here.epoch, here.known));
        // Who is in already is there, wherever the holder is.
        let again = self.rooms[room].durable && self.stands(node, room, conn).is_some();
        if !again && self.dice.percent(7) {
            // The holder wasn't reached.
            if let Some(frame) = answer(None) {
                self.send(node, conn, frame, None);
            }
            let keeps = self.resumes(node, room, since).map(|(_, stands)| stands);
            let stands = keeps.filter(|_| self.rooms[room].durable).unwrap_or(Stands::Nowhere);
            return self.place_in(node, room, Member { conn, by_server, stands }, None);
        }
        let (begin, stands) = self.resumes(node, room, since).unwrap_or((known, Stands::Level));
        if let Some(frame) = answer(Some((epoch, begin))) {
            self.send(node, conn, frame, Some((room, begin)));
        }
        self.place_in(node, room, Member { conn, by_server, stands }, Some(begin));
        self.replay_at_once(node, room, conn);
    }

    pub(super) fn rejoin(&mut self, node: usize, room: usize, comes: Comes) {
        let Comes { conn, by_server, since } = comes;
        self.occupy(node, room);
        match self.resumes(node, room, since) {
            Some((begin, stands)) => {
                let at = Some(begin).filter(|_| self.dice.percent(50));
                self.place_in(node, room, Member { conn, by_server, stands }, at);
                self.replay_at_once(node, room, conn);
            }
            None => {
                self.place_in(node, room, Member { conn, by_server, stands: Stands::Nowhere }, None);
                if self.dice.percent(50) {
                    self.node_goes_on(node, room, conn);
                }
            }
        }
    }

    /// Ephemeral rooms have what was missed at hand.
    pub(super) fn replay_at_once(&mut self, node: usize, room: usize, conn: u32) {
        while !self.rooms[room].durable && self.links[node].behind().contains(&(room, conn)) {
            self.node_goes_on(node, room, conn);
        }
    }

    /// One more of what a member missed, or word where it is.
    pub(super) fn node_goes_on(&mut self, node: usize, room: usize, conn: u32) {
        let durable = self.rooms[room].durable;
        let base = self.rooms[room].base;
        let Some(here) = &mut self.links[node].rooms[room] else { return };
        let (epoch, known) = (here.epoch, here.known);
        let Some(member) = here.members.iter_mut().find(|member| member.conn == conn) else { return };
        match member.stands {
            Stands::Nowhere => {
                member.stands = Stands::Level;
                self.send(node, conn, Frame::Gap { room, at: (epoch, known) }, Some((room, known)));
            }
            Stands::Replaying(had) if had >= known => {
                member.stands = if had > known { Stands::Beyond(had) } else { Stands::Level };
            }
            Stands::Replaying(had) if !durable && had < base && epoch == self.rooms[room].epoch => {
                member.stands = Stands::Nowhere;
            }
            Stands::Replaying(had) => {
                member.stands = Stands::Replaying(had + 1);
                self.send(node, conn, Frame::Message { room, at: (epoch, had + 1) }, Some((room, had + 1)));
            }
            Stands::Level | Stands::Beyond(_) => {}
        }
    }

    /// A node hears of a room's next publication, or epoch.
    pub(super) fn node_hears(&mut self, node: usize, room: usize) {
        let (epoch, newest) = (self.rooms[room].epoch, self.rooms[room].newest());
        let Link { rooms, conns, .. } = &mut self.links[node];
        let Some(here) = &mut rooms[room] else { return };
        if here.epoch != epoch {
            return self.follow_epoch(node, room);
        }
        if here.known >= newest {
            return;
        }
        here.known += 1;
        let (number, known) = (here.number, here.known);
        let entry = self.rooms[room].entry(known).expect("at most the newest");
        let (mut to, mut but, mut lacks) = (Vec::new(), Vec::new(), false);
        for member in &mut here.members {
            let stood = member.stands;
            let gets = match member.stands {
                Stands::Level => {
                    entry.echo || conns.get(&member.conn).is_none_or(|conn| conn.who != entry.by)
                }
                Stands::Beyond(begin) if begin >= known => {
                    if begin == known {
                        member.stands = Stands::Level;
                    }
                    false
                }
                Stands::Beyond(_) => {
                    member.stands = Stands::Level;
                    true
                }
                Stands::Replaying(_) | Stands::Nowhere => false,
            };
            lacks |= !gets && (!matches!(stood, Stands::Beyond(_)));
            if gets { to.push(ConnNo(member.conn)) } else { but.push(ConnNo(member.conn)) }
        }
        if to.is_empty() {
            return;
        }
        if self.rooms[room].lossy && !lacks && self.dice.percent(25) {
            return self.links[node].tell(Word::Lost { room: number, offset: known });
        }
        let but = match (but.is_empty(), self.dice.percent(50)) {
            (true, _) => Exclude::Nobody,
            (false, true) => Exclude::These(but),
            (false, false) => Exclude::AllBut(to),
        };
        let frame = self.frame(Frame::Message { room, at: (epoch, known) });
        self.links[node].tell(Word::Cast { room: number, offset: Some(known), but, frame });
    }

    /// The application ends a membership.
    pub(super) fn node_kicks(&mut self, node: usize, room: usize, conn: u32) {
        if self.unseat(node, room, conn) {
            self.links[node].tell(Word::Exit { conn, room, why: Exit::Left });
            self.send(node, conn, Frame::Left { room }, None);
        }
    }

    /// Whether a node has heard all.
    pub(super) fn is_behind(&self, node: usize, room: usize) -> bool {
        let here = self.links[node].rooms[room].as_ref();
        here.is_some_and(|here| {
            here.epoch != self.rooms[room].epoch || here.known < self.rooms[room].newest()
        })
    }
}
