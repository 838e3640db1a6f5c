//! One schedule: some seconds of joins, publications and faults, then healing, then what must have come of it.

use super::clients::Session;
use super::world::{Id, World, publication, secs};
use super::{Outcome, Variant};
use ringway_backplane::message::Fate;

/// How long things go wrong.
const TROUBLE: f64 = 12.0;

pub(super) fn run(seed: u64, variant: Variant, print: bool) -> Outcome {
    let mut world = World::new(seed, variant, print);
    world.schedule();
    let mut outcome = Outcome { seed, broken: world.broken.take(), reads: world.reads, ..Outcome::default() };
    outcome.gaps = world.sessions.iter().map(|session| session.gaps).sum();
    for entered in &world.entered {
        let told = match entered.fate {
            Some(Fate::Stored(published)) if published.duplicate => "repeat",
            Some(Fate::Stored(_)) => "stored",
            Some(Fate::Unknown) => "unknown",
            Some(Fate::Unavailable) => "unavailable",
            Some(_) => "passed",
            None => "nothing",
        };
        *outcome.told.entry(told).or_insert(0) += 1;
    }
    outcome
}

impl World {
    fn schedule(&mut self) {
        self.sessions.extend((0..self.dice.whole(2, 5)).map(|_| Session::default()));
        for session in 0..self.sessions.len() {
            self.plan_session(session);
        }
        for _ in 0..self.dice.whole(5, 40) {
            let time = secs(self.dice.between(0.3, TROUBLE));
            self.at(time, Box::new(|w| w.publish_something()));
        }
        let faults =
            if self.variant.harsh { self.dice.whole(3, 9) } else { self.dice.of(&[0, 1, 1, 2, 3, 4]) };
        for _ in 0..faults {
            let time = secs(self.dice.between(1.0, TROUBLE - 2.0));
            self.at(time, Box::new(|w| w.fault()));
        }
        for id in 0..self.nodes.len() {
            self.look(id);
            let first = secs(self.dice.between(0.0, 10.0));
            self.at(first, Box::new(move |w| w.looks_every(id)));
            let first = secs(self.dice.between(0.0, 5.0));
            self.at(first, Box::new(move |w| w.idles_every(id)));
        }
        self.run(secs(TROUBLE));
        self.heal_all();
        self.run(secs(TROUBLE + 6.0));
        for session in 0..self.sessions.len() {
            if !self.sessions[session].on {
                self.connect(session);
            }
        }
        self.run(secs(TROUBLE + 14.0));
        if self.broken.is_none() {
            self.all_have_all();
        }
        if self.broken.is_none() {
            self.settle();
        }
    }

    fn looks_every(&mut self, id: Id) {
        if self.nodes[id].up {
            self.look(id);
        }
        let next = self.now + secs(10.0);
        self.at(next, Box::new(move |w| w.looks_every(id)));
    }

    fn idles_every(&mut self, id: Id) {
        let mut idle = false;
        if self.nodes[id].up && !self.nodes[id].hangs {
            self.room(id, |room, s| idle = room.idle(s));
        }
        if idle {
            self.trace(|| format!("=== n{id} forgets the room"));
            self.nodes[id].room = None;
        }
        let next = self.now + secs(5.0);
        self.at(next, Box::new(move |w| w.idles_every(id)));
    }

    fn plan_session(&mut self, session: usize) {
        let time = secs(self.dice.between(0.0, 2.0));
        self.at(time, Box::new(move |w| w.connect(session)));
        for _ in 0..self.dice.whole(0, 3) {
            let time = self.dice.between(1.0, TROUBLE);
            let away = if self.dice.chance(0.5) { 0.0 } else { self.dice.between(0.05, 6.0) };
            self.at(secs(time), Box::new(move |w| w.cut_off(session)));
            let back = move |w: &mut Self| {
                if !w.sessions[session].on {
                    w.connect(session);
                }
            };
            self.at(secs(time + away), Box::new(back));
        }
    }

    /// One to five publications, from a node (for HTTP) or a member; perhaps a repeat, perhaps a signal among them.
    fn publish_something(&mut self) {
        let ups: Vec<Id> = (0..self.nodes.len()).filter(|id| self.nodes[*id].up).collect();
        if ups.is_empty() {
            return;
        }
        let mut at = self.dice.of(&ups);
        let mut conn = None;
        let members: Vec<usize> = self.sessions.iter().filter_map(|session| session.conn).collect();
        if !members.is_empty() && self.dice.chance(0.5) {
            let member = self.dice.of(&members);
            (at, conn) = (self.conns[member].node, Some(member));
        }
        let count = self.dice.of(&[1, 1, 2, 3, 5]);
        let echo = self.dice.chance(0.7);
        let mut ids = Vec::new();
        for _ in 0..count {
            let mut publication = publication(self.entered.len());
            publication.conn = conn.map(|conn| self.conns[conn].handle.0.0.clone());
            publication.echo = echo;
            publication.signal = self.dice.chance(0.05);
            if let Some(big) = self.big.as_ref().filter(|_| !publication.signal) {
                publication.data = big.clone();
            }
            if self.variant.by_key {
                let key = self.dice.whole(0, 4);
                publication.key = (key > 0).then(|| key.to_string().parse().expect("a key"));
            }
            // Few ids, so that many are repeats.
            let mid = self.dice.chance(0.15).then(|| self.dice.whole(0, 9));
            ids.push(self.enters(publication, mid, at));
        }
        self.publish(at, ids);
    }

    pub(super) fn enters(
        &mut self,
        publication: ringway_backplane::message::Publication,
        mid: Option<usize>,
        at: Id,
    ) -> usize {
        let by = (at, self.nodes[at].life);
        self.entered.push(super::world::Entered { publication, mid, by, fate: None });
        self.entered.len() - 1
    }

    fn publish(&mut self, at: Id, ids: Vec<usize>) {
        self.trace(|| format!("n{at} is given {ids:?}"));
        let enter = move |w: &mut Self| {
            w.ensure_room(at);
            let publications = ids.iter().map(|id| w.entered[*id].publication.clone()).collect();
            w.room(at, |room, s| room.enter(s, ids, publications));
        };
        self.at_node(self.now, at, Box::new(enter));
    }

    /// All has healed: what must hold now.
    fn settle(&mut self) {
        let untold = self
            .entered
            .iter()
            .any(|entered| entered.fate.is_none() && self.nodes[entered.by.0].life == entered.by.1);
        if untold {
            return self.bad("L3 what became of something was never told");
        }
        if let Err(what) = self.in_order() {
            return self.bad(what);
        }
        let first = self.entered.len();
        let gaps: usize = self.sessions.iter().map(|session| session.gaps).sum();
        for node in 0..self.nodes.len() {
            let id = self.enters(publication(self.entered.len()), None, node);
            self.publish(node, vec![id]);
            self.run(self.now + secs(0.3));
        }
        self.run(self.now + secs(6.0));
        let reads = self.reads;
        self.run(self.now + secs(6.0));
        if self.broken.is_some() {
            return;
        }
        self.all_have_all();
        let told = self.entered[first..].iter().all(|entered| matches!(entered.fate, Some(Fate::Stored(_))));
        if !told {
            self.bad("L4 not stored after all has healed");
        } else if self.store.life == 0
            && self.sessions.iter().map(|session| session.gaps).sum::<usize>() > gaps
        {
            self.bad("L5 a gap after all has healed");
        } else if self.reads > reads + 3 {
            self.bad("L6 no rest");
        }
    }

    /// What one connection published is stored in the order sent.
    fn in_order(&self) -> Result<(), &'static str> {
        let mut last: std::collections::HashMap<_, u64> = std::collections::HashMap::new();
        for (id, entered) in self.entered.iter().enumerate() {
            let Some(conn) = &entered.publication.conn else { continue };
            let Some(Fate::Stored(published)) = entered.fate.filter(|_| entered.mid.is_none()) else {
                continue;
            };
            let is_kept = self.store.rec(published.offset).is_some_and(|rec| rec.id() == Some(id));
            if !is_kept && !self.store.lost.contains_key(&(published.offset, id)) {
                return Err("P3 acknowledged and not stored");
            }
            if is_kept
                && last.insert(conn.clone(), published.offset).is_some_and(|last| last > published.offset)
            {
                return Err("P4 not in the order sent");
            }
        }
        Ok(())
    }
}
