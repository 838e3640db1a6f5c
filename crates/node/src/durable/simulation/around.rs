//! The surroundings of one node's room, and what its node does for it: storing and reading.

use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, LiveBody, Publication, Published};
use ringway_backplane::store::ReadError;
use ringway_ring::NodeId;

use super::super::{Entry, Gap, Joined, NotJoined, Surroundings, Timer};
use super::Broken;
use super::clients::{BEHIND, Said};
use super::world::{BEGUN, Id, Node, Sim, SimAsker, SimConn, Time, WALL, World, secs};
use crate::reader::{Found, Read, ReadId};
use crate::room::AskId;
use crate::storing::StoreId;

pub(super) struct Around<'a> {
    pub(super) world: &'a mut World,
    pub(super) id: Id,
}

impl Around<'_> {
    fn node(&self) -> &Node {
        &self.world.nodes[self.id]
    }
}

impl World {
    /// What the node's part that stores does with one publication.
    fn store_one(&mut self, id: Id, publication: &Publication) -> Fate {
        if self.nodes[id].cut {
            return if self.dice.chance(0.5) { Fate::Unavailable } else { Fate::Unknown };
        }
        if !self.store.up || !self.store.exists {
            self.look(id);
            return Fate::Unavailable;
        }
        for _ in 0..self.dice.whole(0, 2) {
            // Another room's.
            let _ = self.store.keep(None, None, self.now);
        }
        let mut publication = publication.clone();
        if self.without(Broken::Echo) {
            publication.echo = true;
        }
        let mid = self.entered[publication.ts as usize].mid;
        let duplicate = match self.store.keep(Some(publication.into()), mid, self.now) {
            Ok(entry) => {
                self.trace(|| {
                    let Entry { offset, prev, ts, publication } = &entry;
                    format!("store keeps {} at {offset} (after {prev:?}, {ts})", publication.ts)
                });
                self.republish(&entry);
                None
            }
            Err(before) => Some(before),
        };
        let lost = !self.calm && self.dice.chance(0.03);
        match self.nodes[id].known {
            Some(epoch) if !lost => {
                let offset = duplicate.unwrap_or(self.store.last());
                Fate::Stored(Published { epoch, offset, duplicate: duplicate.is_some() })
            }
            _ => Fate::Unknown,
        }
    }

    fn read(&mut self, id: Id, read: Read) -> Result<Found, ReadError> {
        let fails = !self.calm && self.dice.chance(0.02);
        if self.nodes[id].cut || !self.store.up || !self.store.exists || fails {
            self.look(id);
            return Err(self.dice.of(&[ReadError::Away, ReadError::Timeout, ReadError::Busy]));
        }
        let Some(epoch) = self.nodes[id].known else { return Err(ReadError::Away) };
        let lag = if self.dice.chance(0.3) { secs(self.dice.between(0.0, 0.3)) } else { 0 };
        let (at, now) = (self.now.saturating_sub(lag), self.now);
        let found = match read {
            Read::After { offset, .. } if self.without(Broken::Upto) => {
                self.store.read(Read::After { offset, upto: 0 }, epoch, at, at, self.page)
            }
            read => self.store.read(read, epoch, at, now, self.page),
        };
        Ok(match (read, found) {
            (Read::Check { .. }, _) if self.without(Broken::Check) => Found::Same,
            (Read::Since { offset, .. }, Found::NotResumed { .. }) if self.without(Broken::Resume) => {
                self.store.read(Read::After { offset, upto: 0 }, epoch, at, now, self.page)
            }
            (_, found) => found,
        })
    }
}

impl Surroundings<Sim> for Around<'_> {
    fn me(&self) -> &NodeId {
        &self.node().name
    }

    fn now(&self) -> Duration {
        BEGUN + Duration::from_micros(self.world.now)
    }

    fn wall_ms(&self) -> u64 {
        WALL + self.world.now / 1000
    }

    fn owner(&self) -> Option<NodeId> {
        self.world.owner(self.id).map(|id| self.world.nodes[id].name.clone())
    }

    fn away(&self) -> bool {
        self.node().cut && !self.node().hangs
    }

    fn epoch(&self) -> Option<Epoch> {
        self.node().known
    }

    fn live(&mut self, body: LiveBody) {
        self.world.send_live(self.id, &body);
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId {
        let to = self.world.nodes.iter().position(|node| node.name == *to).expect("a node");
        assert_ne!(to, self.id, "a node doesn't ask itself");
        self.world.ask(self.id, to, ask, within.as_micros() as Time)
    }

    fn answer(&mut self, to: SimAsker, answer: Answer) {
        self.world.reply(self.id, to, answer);
    }

    fn outcome(&mut self, to: Vec<usize>, fates: Vec<Fate>) {
        if to.len() != fates.len() {
            self.world.bad("P1 not one fate for each publication");
        }
        for (id, fate) in to.into_iter().zip(fates) {
            self.world.trace(|| format!("told of {id}: {fate:?}"));
            if self.world.entered[id].fate.replace(fate).is_some() {
                self.world.bad("P2 told twice");
            }
        }
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        if timer == Timer::Repair && self.world.without(Broken::Repair) {
            return;
        }
        let (id, time) = (self.id, self.world.now + after.as_micros() as Time);
        self.world.at_node(time, id, Box::new(move |w| w.room(id, |room, s| room.timer(s, timer))));
    }

    fn store(&mut self, mut publications: Vec<Publication>) -> StoreId {
        let (number, id) = (StoreId(self.world.next()), self.id);
        assert!(publications.iter().all(|publication| !publication.signal), "a signal isn't stored");
        if self.world.without(Broken::Order) {
            publications.reverse();
        }
        let time = self.world.now + secs(self.world.dice.between(0.001, 0.015));
        let job = move |w: &mut World| {
            let mut fates: Vec<_> =
                publications.iter().map(|publication| w.store_one(id, publication)).collect();
            if w.without(Broken::Order) {
                fates.reverse();
            }
            let slow = fates.iter().any(|fate| matches!(fate, Fate::Unknown | Fate::Unavailable));
            let after = if slow { w.dice.between(0.1, 2.0) } else { w.dice.between(0.001, 0.02) };
            let told = move |w: &mut World| w.room(id, |room, s| room.stored(s, number, fates));
            w.at_node(w.now + secs(after), id, Box::new(told));
        };
        self.world.at_node(time, id, Box::new(job));
        number
    }

    fn read(&mut self, read: Read) -> ReadId {
        let (number, id) = (ReadId(self.world.next()), self.id);
        self.world.reads += 1;
        self.world.trace(|| format!("n{id} reads {read:?}"));
        let slow = !self.world.calm && self.world.dice.chance(0.05);
        let after =
            if slow { self.world.dice.between(0.03, 1.5) } else { self.world.dice.between(0.001, 0.03) };
        let job = move |w: &mut World| {
            let result = w.read(id, read);
            let after = w.dice.between(0.0005, 0.02);
            let told = move |w: &mut World| {
                w.trace(|| format!("n{id} has read {}", show(&result)));
                w.room(id, |room, s| room.read(s, number, result));
            };
            w.at_node(w.now + secs(after), id, Box::new(told));
        };
        self.world.at_node(self.world.now + secs(after), id, Box::new(job));
        number
    }

    fn disbelieve(&mut self, epoch: Epoch) {
        self.world.disbelieve(self.id, epoch);
    }

    fn look_again(&mut self) {
        self.world.look(self.id);
    }

    fn deliver<'a>(&mut self, entry: &Entry, epoch: Epoch, _: bool, to: impl Iterator<Item = &'a SimConn>) {
        for conn in to {
            self.world.say(conn.0.1, Said::Msg(entry.clone(), epoch));
        }
        if self.world.without(Broken::Early) {
            for conn in self.node().conns.clone() {
                if !self.world.conns[conn].joined {
                    self.world.say(conn, Said::Msg(entry.clone(), epoch));
                }
            }
        }
    }

    fn pass<'a>(&mut self, _: &Publication, to: impl Iterator<Item = &'a SimConn>) {
        for conn in to {
            self.world.say(conn.0.1, Said::Signal);
        }
    }

    fn replay(&mut self, to: &SimConn, entry: &Entry, epoch: Epoch) {
        self.world.is_paced(to.0.1);
        self.world.say(to.0.1, Said::Msg(entry.clone(), epoch));
    }

    fn is_behind(&self, to: &SimConn) -> bool {
        self.world.conns[to.0.1].queue > BEHIND && !self.world.without(Broken::Pace)
    }

    fn gap(&mut self, to: &SimConn, gap: Gap) {
        if !self.world.without(Broken::Gap) {
            self.world.say(to.0.1, Said::Gap(gap));
        }
    }

    fn joined(&mut self, to: &SimConn, answer: Joined) {
        self.world.say(to.0.1, Said::Joined(answer));
    }

    fn not_joined(&mut self, to: &SimConn, _: NotJoined) {
        self.world.say(to.0.1, Said::NotJoined);
    }
}

fn show(result: &Result<Found, ReadError>) -> String {
    match result {
        Ok(Found::Page { kept, more, newest, .. }) => {
            let kept: Vec<_> = kept.iter().map(|kept| kept.offset).collect();
            format!("{kept:?} more {more} newest {}", newest.offset)
        }
        other => format!("{other:?}"),
    }
}
