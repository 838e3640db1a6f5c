//! One schedule: some seconds of joins, publications and faults, then healing, then what must have come of it.

use std::time::Duration;

use super::super::Standing;
use super::super::limits::FORGET_AFTER;
use super::super::log::Log;
use super::checks::Session;
use super::world::{GATEWAY, Id, World, key, publication, secs};
use super::{Outcome, Variant};

/// After how long an unused room is forgotten here.
const UNUSED: Duration = Duration::from_secs(2);
/// How long things go wrong.
const TROUBLE: f64 = 15.0;

pub(super) fn run(seed: u64, variant: Variant, print: bool) -> Outcome {
    let mut world = World::new(seed, variant, print);
    world.schedule();
    let mut outcome =
        Outcome { seed, broken: world.broken.take(), faults: world.faults, ..Outcome::default() };
    outcome.epochs = world.ledger.epochs;
    outcome.questions = world.questions;
    outcome.repeats = world.ledger.repeats;
    outcome.forgotten = world.ledger.forgotten;
    for entered in &world.ledger.entered {
        *outcome.told.entry(entered.told.unwrap_or("nothing")).or_insert(0) += 1;
    }
    outcome
}

impl World {
    fn schedule(&mut self) {
        self.ledger.replay = Some(self.replay);
        self.sessions.extend((0..self.dice.whole(2, 5)).map(|_| Session::default()));
        for session in 0..self.sessions.len() {
            self.plan_session(session);
        }
        // Some schedules have a silence, long enough for rooms to be forgotten.
        let silence = self.variant.forgets && self.dice.chance(0.2);
        for _ in 0..self.dice.whole(5, 40) * if self.variant.by_key { 2 } else { 1 } {
            let time = self.dice.between(1.0, TROUBLE);
            if !(silence && (3.0..12.0).contains(&time)) {
                self.at(secs(time), Box::new(|w| w.publish_something()));
            }
        }
        for _ in 0..if silence { 3 } else { 0 } {
            let time = secs(self.dice.between(7.0, TROUBLE));
            self.at(time, Box::new(|w| w.forget()));
        }
        if self.variant.by_key && self.dice.chance(0.2) {
            let (id, time) = (self.dice.whole(1, self.parties.len() - 1), self.dice.between(1.0, TROUBLE));
            let to = self.dice.whole(0, 3) * 130;
            self.at_party(secs(time), id, Box::new(move |w| w.shed_replay(id, to)));
        }
        let few = self.dice.of(&[1, 1, 2, 3, 4]);
        let faults = if self.variant.harsh { self.dice.whole(4, 10) } else { few };
        // Where nothing else goes wrong, a move makes no epoch: see I6.
        let faults = if self.variant.joins { self.dice.whole(1, 3) } else { faults };
        let faults = if self.variant.moves && self.dice.chance(0.3) { 0 } else { faults };
        for _ in 0..faults {
            let time = secs(self.dice.between(1.5, TROUBLE - 3.0));
            self.at(time, Box::new(|w| w.fault()));
        }
        for _ in 0..if self.variant.moves { self.dice.whole(1, 3) } else { 0 } {
            let time = secs(self.dice.between(1.5, TROUBLE - 3.0));
            self.at(time, Box::new(|w| w.move_tenant()));
        }
        self.run(secs(TROUBLE));
        self.heal_all();
        self.run(secs(TROUBLE + 11.0));
        for session in 0..self.sessions.len() {
            if !self.sessions[session].on {
                self.connect(session);
            }
        }
        self.run(secs(TROUBLE + 12.0));
        let questions = self.questions;
        self.run(secs(TROUBLE + 16.0));
        if self.questions > questions + 10 {
            self.bad("I8 no rest");
        }
        if self.broken.is_none() {
            self.settle();
        }
    }

    fn plan_session(&mut self, session: usize) {
        let time = secs(self.dice.between(0.0, 2.0));
        self.at(time, Box::new(move |w| w.connect(session)));
        for _ in 0..self.dice.whole(0, 2) {
            let time = self.dice.between(2.0, TROUBLE);
            let if_on = move |w: &mut World| {
                if w.sessions[session].on {
                    w.connect(session);
                }
            };
            self.at(secs(time), Box::new(if_on));
            if self.dice.chance(0.3) {
                let leave = move |w: &mut World| {
                    w.sessions[session].on = false;
                    w.leave(session);
                };
                self.at(secs(time + 0.5), Box::new(leave));
                let back = time + self.dice.between(0.6, 3.0);
                let if_off = move |w: &mut World| {
                    if !w.sessions[session].on {
                        w.connect(session);
                    }
                };
                self.at(secs(back), Box::new(if_off));
            }
        }
    }

    /// One to three publications, from a node, the gateway, or a member; perhaps a repeat.
    pub(super) fn publish_something(&mut self) {
        let ups: Vec<Id> = (0..self.parties.len()).filter(|id| self.parties[*id].up).collect();
        let mut at = self.dice.of(&ups);
        let mut conn = None;
        let members: Vec<usize> = (self.sessions.iter().filter_map(|session| session.conn))
            .filter(|conn| self.conns[*conn].alive)
            .collect();
        if !members.is_empty() && self.dice.chance(0.5) {
            let member = self.dice.of(&members);
            at = self.conns[member].node;
            conn = Some(member);
        }
        let count = self.dice.of(&[1, 1, 1, 2, 3]);
        let echo = self.dice.chance(0.7);
        let mut publications = Vec::new();
        for _ in 0..count {
            let mut publication = publication(self.ledger.next() + publications.len(), self.now);
            publication.conn = conn.map(|conn| self.conns[conn].id().clone());
            publication.echo = echo;
            if self.variant.by_key {
                publication.key = key(self.dice.whole(0, 4));
            }
            if self.dice.chance(0.5) {
                // Few ids, so that many are repeats.
                publication.user = Some("u".parse().expect("a name"));
                publication.mid = Some(self.dice.whole(0, 9).to_string().into());
            }
            publications.push(publication);
        }
        let again = self.dice.chance(0.3);
        self.publish(at, publications);
        if again && conn.is_some() && self.broken.is_none() {
            // Hard upon it, so that it enters while the former is under way.
            let mut publication = publication(self.ledger.next(), self.now);
            if self.variant.by_key {
                publication.key = key(self.dice.whole(0, 4));
            }
            publication.conn = conn.map(|conn| self.conns[conn].id().clone());
            self.publish(at, vec![publication]);
        }
    }

    fn shed_replay(&mut self, id: Id, to: usize) {
        self.shed |= 1 << id;
        self.ledger.shed = true;
        self.trace(|| format!("=== n{id} sheds its replay buffer to {to}"));
        self.room(id, |room, _| room.shed_replay(to));
    }

    /// By key, and all is quiet: who comes to any node gets all that the holder keeps.
    fn probe(&mut self) {
        let nodes: Vec<Id> = self.nodes().filter(|id| self.parties[*id].up).collect();
        let first = self.sessions.len();
        for node in &nodes {
            self.sessions.push(Session::default());
            let session = self.sessions.len() - 1;
            self.connect_to(session, *node, true, Some(1));
        }
        self.run(self.now + secs(5.0));
        let rooms = || nodes.iter().filter_map(|id| self.parties[*id].room.as_deref());
        let Some(holder) = rooms().find(|room| room.is_holder()) else { return self.bad("K5 no holder") };
        let kept: Vec<u64> = holder.log.after(holder.log.base()).map(|entry| entry.offset).collect();
        let epoch = holder.epoch.expect("a holder has an epoch");
        // A clock that is ahead makes values too old sooner.
        if self.replay.age < Duration::from_secs(60) || self.broken.is_some() {
            return;
        }
        for (session, node) in (first..).zip(&nodes) {
            let session = &self.sessions[session];
            let all = session.has_values(&self.ledger, epoch, &kept, None, Some(1)).is_ok();
            if !all && self.shed & 1 << node == 0 {
                self.trace(|| format!("n{node}: {kept:?}"));
                return self.bad("K5 a new member lacks a value");
            }
        }
    }

    /// A room that nobody uses is forgotten, as if it had been long.
    fn forget(&mut self) {
        // It takes minutes, and by then every process has read the configuration.
        if !self.all_have_read() {
            return;
        }
        let replay = self.replay;
        for id in self.nodes() {
            let calm = self.parties[id].conns.is_empty() && !self.parties[id].hung && self.parties[id].up;
            let mut forgotten = None;
            if calm {
                self.room(id, |room, s| {
                    // What it keeps would have grown too old meanwhile.
                    let mut log = Log::new(replay);
                    log.restart(room.log.number());
                    let log = std::mem::replace(&mut room.log, log);
                    let used = room.used;
                    room.used = used - FORGET_AFTER + UNUSED;
                    let number = matches!(room.standing, Standing::Holding | Standing::Keeping);
                    forgotten = room.idle(s).then_some(number);
                    room.used = used;
                    room.log = log;
                });
            }
            if let Some(holds) = forgotten {
                self.trace(|| format!("=== n{id} forgets the room"));
                self.parties[id].room = None;
                self.ledger.forgotten += usize::from(holds);
            }
        }
    }

    /// All has healed: what must hold now.
    fn settle(&mut self) {
        for id in 0..self.ledger.entered.len() {
            for session in 0..self.sessions.len() {
                if !self.sessions[session].has_or_was_told(&self.ledger, id) {
                    self.trace(|| format!("pub {id} s{session}"));
                    let original = self.ledger.original(id).map_or(id, |(original, _)| original);
                    let (by, life) = self.ledger.entered[original].by;
                    let died = self.parties[by].life != life || self.ledger.forgotten > 0;
                    return self.bad(self.sessions[session].excuse(&self.ledger, id, died));
                }
            }
        }
        if self.sessions.iter().any(|session| session.lacks_passed_over(&self.ledger)) {
            return self.bad("K1 passed over, and its newer never came");
        }
        if let Err(what) = self.ledger.in_order() {
            return self.bad(what);
        }
        if self.ledger.epochs > 1 + 2 * self.faults + self.ledger.forgotten {
            return self.bad("I6 too many epochs");
        }
        let first = self.ledger.next();
        let told: Vec<usize> = self.sessions.iter().map(|session| session.told.len()).collect();
        let nodes: Vec<Id> = self.nodes().filter(|id| self.parties[*id].up).chain([GATEWAY]).collect();
        for node in nodes {
            let publication = publication(self.ledger.next(), self.now);
            self.publish(node, vec![publication]);
            self.run(self.now + secs(0.3));
        }
        self.run(self.now + secs(6.0));
        if self.broken.is_some() {
            return;
        }
        let new = &self.ledger.entered[first..];
        let places: Vec<_> = new.iter().map(|entered| entered.place).collect();
        let what = if places.iter().any(Option::is_none) {
            "I8 not numbered"
        } else if places.windows(2).any(|two| two[0].map(|place| place.0) != two[1].map(|place| place.0)) {
            "I8 two epochs"
        } else if self
            .sessions
            .iter()
            .any(|session| (first..self.ledger.next()).any(|id| !session.got.contains(&id)))
        {
            "I8 not delivered"
        } else if self.ledger.forgotten == 0
            && self.sessions.iter().zip(told).any(|(session, told)| session.told.len() > told)
        {
            "I8 gap after healing"
        } else if self.variant.by_key {
            return self.probe();
        } else {
            return;
        };
        self.bad(what);
    }
}
