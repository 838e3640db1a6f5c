//! Sessions: clients that come and go with their positions, and judge all that they hear.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ringway_backplane::message::{Epoch, Fate};
use ringway_protocol::frame::Position;
use ringway_protocol::name::Key;

use super::super::limits::SLICE_BYTES;
use super::super::{Entry, Gap, GapReason, Joined};
use super::Broken;
use super::world::{Conn, Id, SimConn, World, secs};
use crate::room::weight;

/// A connection with more than that in its queue is behind.
pub(super) const BEHIND: usize = 64 << 10;

/// What a member hears.
#[derive(Clone)]
pub(super) enum Said {
    Joined(Joined),
    NotJoined,
    Msg(Entry, Epoch),
    Gap(Gap),
    Signal,
}

/// Where a client is, by its own knowledge; and in which of the stream's histories, by ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    pub(super) ts: Option<u64>,
    pub(super) life: u32,
}

#[derive(Default)]
pub(super) struct Session {
    pub(super) on: bool,
    pub(super) conn: Option<usize>,
    pub(super) place: Option<Place>,
    came_with: Option<Place>,
    /// From here on it is owed everything.
    pub(super) from: u64,
    pub(super) got: HashMap<usize, u64>,
    keys: HashMap<Option<Key>, u64>,
    pub(super) gaps: usize,
    /// How often it was told, since it joined, that what it had was deleted.
    pub(super) told_forgotten: usize,
    /// Word of another epoch.
    owed: bool,
    pub(super) waits: VecDeque<Said>,
}

impl World {
    pub(super) fn connect(&mut self, session: usize) {
        self.cut_off(session);
        let ups: Vec<Id> = (0..self.nodes.len()).filter(|id| self.nodes[*id].up).collect();
        if ups.is_empty() {
            let later = self.now + secs(0.5);
            return self.at(later, Box::new(move |w| w.connect(session)));
        }
        let node = self.dice.of(&ups);
        let number = self.conns.len();
        let handle = SimConn(Arc::new((format!("c{number}").parse().expect("an id"), number)));
        let slow = !self.calm && self.dice.chance(0.2);
        self.conns.push(Conn { node, session, alive: true, joined: false, handle, queue: 0, slow });
        self.nodes[node].conns.push(number);
        let comes_back = self.dice.chance(0.9);
        let last = self.dice.chance(0.15).then(|| self.dice.whole(1, 5) as u32);
        let now = &mut self.sessions[session];
        (now.on, now.conn) = (true, Some(number));
        now.waits.clear();
        if !comes_back {
            now.place = None;
        }
        now.came_with = now.place;
        now.told_forgotten = 0;
        let since = now.place.map(|place| Position {
            epoch: place.epoch.to_string().parse().expect("an epoch's name"),
            offset: place.offset,
            ts: place.ts,
        });
        self.trace(|| format!("s{session} comes to n{node} as c{number}, since {since:?}, last {last:?}"));
        let join = move |w: &mut Self| {
            if w.conns[number].alive {
                w.ensure_room(node);
                let handle = w.conns[number].handle.clone();
                w.room(node, |room, s| room.join(s, handle, since, last));
            }
        };
        self.at_node(self.now + secs(0.001), node, Box::new(join));
        if slow {
            self.takes(number);
        }
    }

    /// A client's connection breaks. Its node sees that some time later.
    pub(super) fn cut_off(&mut self, session: usize) {
        self.sessions[session].on = false;
        let Some(conn) = self.sessions[session].conn.take() else { return };
        self.conns[conn].alive = false;
        self.sessions[session].waits.clear();
        let node = self.conns[conn].node;
        let time = self.now + secs(self.dice.between(0.002, 0.5));
        self.at_node(time, node, Box::new(move |w| w.leaves(node, conn)));
    }

    fn leaves(&mut self, node: Id, conn: usize) {
        self.nodes[node].conns.retain(|one| *one != conn);
        if self.nodes[node].conns.is_empty() {
            self.nodes[node].listens = self.now + secs(30.0);
        }
        if !self.without(Broken::Leave) {
            let handle = self.conns[conn].handle.clone();
            self.room(node, |room, s| {
                room.leave(s, &handle.0.0);
            });
        }
        self.conns[conn].node = usize::MAX;
    }

    /// A slow client takes something.
    fn takes(&mut self, conn: usize) {
        if !self.conns[conn].alive {
            return;
        }
        let session = self.conns[conn].session;
        let mut bytes = 0;
        while bytes < 40_000 {
            let Some(said) = self.sessions[session].waits.pop_front() else { break };
            bytes += size(&said);
            self.hears(conn, said);
        }
        self.conns[conn].queue -= bytes.min(self.conns[conn].queue);
        let later = self.now + secs(self.dice.between(0.01, 0.1));
        self.at(later, Box::new(move |w| w.takes(conn)));
    }

    /// A replay doesn't run ahead of a client by more than one slice.
    pub(super) fn is_paced(&mut self, conn: usize) {
        if self.conns[conn].queue > BEHIND + SLICE_BYTES + 60_000 {
            self.bad("R1 a replay runs ahead of its member");
        }
    }

    pub(super) fn say(&mut self, conn: usize, said: Said) {
        if self.conns[conn].node == usize::MAX {
            return self.bad("J3 after leave");
        }
        if !self.conns[conn].alive {
            return;
        }
        if self.conns[conn].slow {
            self.conns[conn].queue += size(&said);
            self.sessions[self.conns[conn].session].waits.push_back(said);
        } else {
            self.hears(conn, said);
        }
    }

    fn hears(&mut self, conn: usize, said: Said) {
        let session = self.conns[conn].session;
        if self.sessions[session].conn != Some(conn) {
            return;
        }
        let joined = self.conns[conn].joined;
        let verdict = match said {
            Said::NotJoined => {
                self.trace(|| format!("   s{session}: not joined"));
                self.cut_off(session);
                let later = self.now + secs(1.0);
                return self.at(
                    later,
                    Box::new(move |w| {
                        if !w.sessions[session].on {
                            w.connect(session);
                        }
                    }),
                );
            }
            Said::Joined(answer) if !joined => {
                self.conns[conn].joined = true;
                self.is_joined(session, &answer)
            }
            Said::Joined(_) => Err("J2 answered twice"),
            _ if !joined => Err("J1 before the join was answered"),
            Said::Msg(entry, epoch) => self.gets(session, &entry, epoch),
            Said::Gap(gap) => self.is_told(session, gap),
            Said::Signal => Ok(()),
        };
        if let Err(what) = verdict {
            self.trace(|| format!("   s{session} at {:?}", self.sessions[session].place));
            self.bad(what);
        }
    }

    /// Nothing was ever dropped, but for what was deleted on purpose or replaced.
    fn is_whole(&self) -> bool {
        !self.store.keeps.drops() && self.store.life == 0 && self.forgets == 0
    }

    fn is_joined(&mut self, session: usize, answer: &Joined) -> Result<(), &'static str> {
        self.trace(|| format!("   s{session}: {answer:?}"));
        let (life, whole) = (self.store.life, self.is_whole());
        let now = &mut self.sessions[session];
        match (answer.resumed, now.came_with) {
            (Some(true), Some(with)) => {
                if (with.epoch, with.offset) != (answer.epoch, answer.offset) {
                    return Err("J4 resumed elsewhere");
                }
                if self.variant.by_key {
                    // What crossed on its way to the other node, and came neither there nor here.
                    now.from = with.offset;
                }
                return Ok(());
            }
            (Some(false), Some(with)) if whole && with.epoch == answer.epoch => {
                return Err("J5 not resumed though all is there");
            }
            (None, None) | (Some(false), Some(_)) => {}
            _ => return Err("J6 an answer to another question"),
        }
        if answer.newest < answer.offset {
            return Err("J7 the newest is before the beginning");
        }
        now.place = Some(Place { epoch: answer.epoch, offset: answer.offset, ts: answer.ts, life });
        now.from = answer.offset;
        now.owed = false;
        now.got.clear();
        now.keys.clear();
        Ok(())
    }

    fn gets(&mut self, session: usize, entry: &Entry, epoch: Epoch) -> Result<(), &'static str> {
        let (offset, id) = (entry.offset, entry.publication.ts as usize);
        self.trace(|| format!("   s{session}: {offset} is {id}"));
        let current = self.store.rec(offset).is_some_and(|rec| rec.id() == Some(id) && rec.ts == entry.ts);
        let life = match self.store.lost.get(&(offset, id)) {
            _ if current => self.store.life,
            Some(life) => *life,
            None => return Err("D1 from nowhere"),
        };
        let conn = self.sessions[session].conn.expect("it hears by one");
        if self.is_own(id, conn) {
            return Err("D2 back to who didn't want it");
        }
        let now = &mut self.sessions[session];
        let place = now.place.ok_or("J8 joined without a place")?;
        if now.got.insert(id, offset).is_some() {
            return Err("D3 twice");
        }
        if self.variant.by_key {
            if place.life != life {
                now.keys.clear();
            }
            let before = now.keys.insert(entry.publication.key.clone(), offset);
            if before.is_some_and(|before| before > offset) {
                return Err("K1 an older value after a newer");
            }
        } else {
            if place.epoch == epoch && offset <= place.offset {
                return Err("D4 not after the one before");
            }
            if place.epoch != epoch {
                return Err("D5 of another epoch");
            }
            if current && self.lacks(session, place, offset) {
                if place.life == life {
                    return Err("D6 a hole");
                }
                // A number that both histories have hides it until the stream's watcher sees what it misses.
                self.sessions[session].owed = true;
            }
        }
        let now = &mut self.sessions[session];
        if offset > place.offset || place.life != life {
            now.place = Some(Place { epoch, offset, ts: Some(entry.ts), life });
        }
        Ok(())
    }

    /// Whether something between a place and an offset of the present history was never heard of.
    fn lacks(&self, session: usize, place: Place, offset: u64) -> bool {
        let now = &self.sessions[session];
        let shared = self.shared.iter().skip(place.life as usize).copied().min().unwrap_or(u64::MAX);
        let conn = now.conn.unwrap_or(usize::MAX);
        self.store
            .ours_after(place.offset.min(shared))
            .take_while(|(between, _)| *between < offset)
            .filter(|(_, rec)| !rec.forgotten)
            .filter_map(|(_, rec)| rec.id().map(|id| (rec, id)))
            .filter(|(rec, id)| {
                let known = offset < u64::MAX && self.store.keeps(rec, self.now);
                known || self.is_acknowledged(*id)
            })
            .any(|(_, id)| !now.got.contains_key(&id) && !self.is_own(id, conn))
    }

    /// What was stored and not acknowledged, because that was lost, nobody need know of until the next comes.
    fn is_acknowledged(&self, id: usize) -> bool {
        matches!(self.entered[id].fate, Some(Fate::Stored(_)))
    }

    /// Whether a publication was this connection's own, and it didn't want it back.
    fn is_own(&self, id: usize, conn: usize) -> bool {
        let publication = &self.entered[id].publication;
        let by = publication.conn.as_ref();
        !publication.echo && self.conns.get(conn).is_some_and(|conn| by == Some(&conn.handle.0.0))
    }

    fn is_told(&mut self, session: usize, gap: Gap) -> Result<(), &'static str> {
        self.trace(|| format!("   s{session}: {gap:?}"));
        let (life, whole) = (self.store.life, self.is_whole());
        let now = &mut self.sessions[session];
        let place = now.place.ok_or("J8 joined without a place")?;
        let same = place.epoch == gap.epoch;
        now.gaps += 1;
        match gap.reason {
            GapReason::Epoch if same => return Err("G1 another epoch, and it is the same"),
            GapReason::Truncated if !same => return Err("G2 truncated in another epoch"),
            GapReason::Truncated if whole => return Err("G3 nothing was lost"),
            GapReason::Truncated if gap.offset < place.offset => return Err("G4 a gap goes back"),
            GapReason::Truncated if gap.offset == place.offset && !self.variant.by_key => {
                // That what it had was deleted it is told, once each time.
                now.told_forgotten += 1;
                if now.told_forgotten > self.forgets {
                    return Err("G5 a gap of nothing");
                }
            }
            _ => {}
        }
        now.place = Some(Place { epoch: gap.epoch, offset: gap.offset, ts: gap.ts, life });
        now.from = gap.offset;
        if gap.reason == GapReason::Epoch {
            // It begins where the node knew the room to be by then.
            now.got.clear();
            now.keys.clear();
            now.owed = false;
        }
        Ok(())
    }

    /// All is quiet: has everyone what there is?
    pub(super) fn all_have_all(&mut self) {
        for session in 0..self.sessions.len() {
            let now = &self.sessions[session];
            let joined = now.conn.is_some_and(|conn| self.conns[conn].joined);
            if !joined {
                self.trace(|| format!("s{session} waits"));
                return self.bad("L1 a join isn't answered");
            }
            let Some(place) = now.place else { return self.bad("J8 joined without a place") };
            if now.owed {
                return self.bad("D6 a hole");
            }
            let lacks = if self.variant.by_key {
                let conn = now.conn.unwrap_or(usize::MAX);
                let from = if place.life == self.store.life { now.from } else { u64::MAX };
                let mut kept = self.store.ours_after(from).filter(|(_, rec)| self.store.keeps(rec, self.now));
                let lacks =
                    |id| !now.got.contains_key(&id) && !self.is_own(id, conn) && self.is_acknowledged(id);
                kept.find(|(_, rec)| rec.id().is_some_and(lacks)).map(|(offset, _)| offset)
            } else {
                let lacks = self.lacks(session, place, u64::MAX);
                lacks.then_some(0)
            };
            if let Some(offset) = lacks {
                self.trace(|| format!("s{session} at {place:?} lacks {offset}"));
                return self.bad("L2 something never came, and nothing was said");
            }
        }
    }
}

fn size(said: &Said) -> usize {
    if let Said::Msg(entry, _) = said { weight(&entry.publication) } else { 50 }
}
