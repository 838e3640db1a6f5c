//! The world of one schedule: nodes with a room each, a store, and a network between them that keeps the order of what a
//! sender sends a receiver, and may lose, delay or repeat it. Time is a number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, LiveBody, Publication};
use ringway_protocol::name::ConnId;
use ringway_protocol::payload::Payload;
use ringway_ring::NodeId;

use super::super::{Durable, Live};
use super::around::Around;
use super::clients::Session;
use super::store::{Keeps, Store};
use super::{Broken, Variant};
use crate::dice::Dice;
use crate::room::{AskError, AskId, Handles, Member};

/// Microseconds since the schedule began.
pub(super) type Time = u64;
/// A node's place in [`World::nodes`].
pub(super) type Id = usize;
/// How long the processes have run when the schedule begins.
pub(super) const BEGUN: Duration = Duration::from_secs(1_000);
/// When that is, for clocks that show milliseconds since 1970.
pub(super) const WALL: u64 = 1_700_000_000_000;

pub(super) fn secs(seconds: f64) -> Time {
    (seconds * 1e6) as Time
}

pub(super) type Job = Box<dyn FnOnce(&mut World)>;

pub(super) struct Sim;

impl Handles for Sim {
    type Conn = SimConn;
    type Asker = SimAsker;
    type Publisher = Vec<usize>;
}

#[derive(Clone)]
pub(super) struct SimConn(pub(super) Arc<(ConnId, usize)>);

impl Member for SimConn {
    fn id(&self) -> &ConnId {
        &self.0.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct SimAsker {
    pub(super) by: Id,
    pub(super) life: u32,
    pub(super) id: AskId,
}

pub(super) struct Node {
    pub(super) name: NodeId,
    pub(super) life: u32,
    pub(super) up: bool,
    pub(super) cut: bool,
    /// What comes while it is cut off waits, as for a process that stands still; else it is lost.
    pub(super) hangs: bool,
    pub(super) lossy: bool,
    /// Whom it takes for alive.
    pub(super) view: u32,
    /// What it knows of the store.
    pub(super) known: Option<Epoch>,
    /// The last number it knew of when it looked, and when that was stored.
    pub(super) witness: Option<(u64, u64)>,
    pub(super) looked: Time,
    pub(super) room: Option<Box<Durable<Sim>>>,
    /// Until when it listens though nobody is there.
    pub(super) listens: Time,
    pub(super) conns: Vec<usize>,
    inbox: Vec<Job>,
}

pub(super) struct Conn {
    pub(super) node: Id,
    pub(super) session: usize,
    pub(super) alive: bool,
    pub(super) joined: bool,
    pub(super) handle: SimConn,
    /// Bytes that it hasn't taken yet.
    pub(super) queue: usize,
    pub(super) slow: bool,
}

/// What was published, and what was told of it.
pub(super) struct Entered {
    pub(super) publication: Publication,
    pub(super) mid: Option<usize>,
    pub(super) by: (Id, u32),
    pub(super) fate: Option<Fate>,
}

pub(super) struct World {
    pub(super) variant: Variant,
    pub(super) print: bool,
    pub(super) dice: Dice,
    pub(super) now: Time,
    pub(super) store: Store,
    pub(super) nodes: Vec<Node>,
    pub(super) conns: Vec<Conn>,
    pub(super) sessions: Vec<Session>,
    pub(super) entered: Vec<Entered>,
    pub(super) asks: HashMap<AskId, Id>,
    pub(super) broken: Option<String>,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) reads: usize,
    pub(super) page: usize,
    pub(super) silent_loss: f64,
    pub(super) counter: u64,
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    jobs: HashMap<u64, Job>,
    arrivals: HashMap<(Id, Id), Time>,
    pub(super) big: Option<Payload>,
    /// How often somebody had the room's publications deleted.
    pub(super) forgets: usize,
    /// Up to which number each history is the same as the one before it.
    pub(super) shared: Vec<u64>,
}

impl World {
    pub(super) fn new(seed: u64, variant: Variant, print: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut keeps = Keeps { by_key: variant.by_key, ..Keeps::default() };
        if variant.drops && !variant.by_key {
            match dice.whole(0, 2) {
                0 => keeps.of_room = Some(dice.whole(2, 8)),
                1 => keeps.of_all = Some(dice.whole(40, 80)),
                // Longer than it takes to see that the newest was lost.
                _ => keeps.age = Some(secs(dice.between(5.5, 8.0))),
            }
        }
        let epoch = Epoch { ms: 1, node: 0, random: 7 };
        let nodes = dice.whole(2, 4);
        let big = dice.chance(0.3).then(|| Payload::from_bytes(vec![0; dice.of(&[10_000, 30_000, 50_000])]));
        let page = dice.of(&[2, 3, 5, 50, 1_000]);
        let silent_loss = if dice.chance(0.5) { dice.between(0.0, 0.1) } else { 0.0 };
        let mut world = Self {
            variant,
            print,
            dice,
            now: 0,
            store: Store::new(epoch, keeps),
            nodes: Vec::new(),
            conns: Vec::new(),
            sessions: Vec::new(),
            entered: Vec::new(),
            asks: HashMap::new(),
            broken: None,
            calm: false,
            reads: 0,
            page,
            silent_loss,
            counter: 0,
            heap: BinaryHeap::new(),
            jobs: HashMap::new(),
            arrivals: HashMap::new(),
            big,
            forgets: 0,
            shared: Vec::new(),
        };
        for id in 0..nodes {
            world.nodes.push(Node {
                name: format!("n{id}").parse().expect("a name"),
                life: 0,
                up: true,
                cut: false,
                hangs: false,
                lossy: false,
                view: (1 << nodes) - 1,
                known: Some(epoch),
                witness: None,
                looked: 0,
                room: None,
                listens: 0,
                conns: Vec::new(),
                inbox: Vec::new(),
            });
        }
        world
    }

    pub(super) fn without(&self, rule: Broken) -> bool {
        self.variant.without == Some(rule)
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if self.print {
            println!("{:9.4}  {}", self.now as f64 / 1e6, line());
        }
    }

    pub(super) fn bad(&mut self, what: &str) {
        self.trace(|| format!("   !!! {what}"));
        if self.broken.is_none() {
            self.broken = Some(what.to_owned());
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    // -- time

    pub(super) fn at(&mut self, time: Time, job: Job) {
        let number = self.next();
        self.heap.push(Reverse((time.max(self.now), number)));
        self.jobs.insert(number, job);
    }

    /// Something that a node does later, if it still lives then; if it stands still, when it goes on.
    pub(super) fn at_node(&mut self, time: Time, id: Id, job: Job) {
        let life = self.nodes[id].life;
        self.at(
            time,
            Box::new(move |w| {
                let node = &mut w.nodes[id];
                if !node.up || node.life != life {
                    return;
                }
                if node.hangs { node.inbox.push(job) } else { job(w) }
            }),
        );
    }

    pub(super) fn run(&mut self, until: Time) {
        while let Some(Reverse((time, job))) = self.heap.peek().copied() {
            if time > until || self.broken.is_some() {
                break;
            }
            self.heap.pop();
            self.now = time;
            if let Some(job) = self.jobs.remove(&job) {
                job(self);
            }
        }
        self.now = self.now.max(until);
    }

    pub(super) fn goes_on(&mut self, id: Id) {
        self.nodes[id].hangs = false;
        for job in std::mem::take(&mut self.nodes[id].inbox) {
            job(self);
        }
    }

    // -- rooms

    pub(super) fn ensure_room(&mut self, id: Id) {
        let by_key = self.variant.by_key;
        self.nodes[id].room.get_or_insert_with(|| Box::new(Durable::new(by_key)));
    }

    /// Lets a node's room do something, if there is one.
    pub(super) fn room(&mut self, id: Id, act: impl FnOnce(&mut Durable<Sim>, &mut Around<'_>)) {
        if let Some(mut room) = self.nodes[id].room.take() {
            act(&mut room, &mut Around { world: self, id });
            self.nodes[id].room = Some(room);
        }
    }

    pub(super) fn owner(&self, id: Id) -> Option<Id> {
        let view = self.nodes[id].view;
        (0..self.nodes.len()).find(|other| view & (1 << other) != 0)
    }

    pub(super) fn set_view(&mut self, id: Id, view: u32) {
        let view = view | 1 << id;
        let before = std::mem::replace(&mut self.nodes[id].view, view);
        if before & !view != 0 && !self.without(Broken::Death) {
            self.room(id, |room, s| room.view_changed(s));
        }
    }

    // -- network

    /// From a node, or from the store's server (as itself), to a node. `sure`: it isn't lost where all is well.
    pub(super) fn post(&mut self, from: Id, to: Id, sure: bool, live: bool, job: Job) {
        let (sender, count) = (&self.nodes[from], self.nodes.len());
        let server = from == to;
        if !server && sender.cut {
            return;
        }
        let slow = !self.calm && self.dice.chance(0.05);
        let delay = if slow { self.dice.between(0.02, 0.4) } else { self.dice.between(0.0005, 0.01) };
        // What the server sends and what nodes send live comes over one subscription.
        let lane = if live { (count, to) } else { (from, to) };
        let last = self.arrivals.entry(lane).or_insert(0);
        *last = (*last).max(self.now + secs(delay));
        let (time, life) = (*last, self.nodes[to].life);
        let lost = live && !sure && !self.calm && self.dice.chance(self.silent_loss);
        let job = move |w: &mut Self| {
            let node = &w.nodes[to];
            if !node.up || node.life != life || node.cut && !node.hangs {
                return;
            }
            if lost || live && node.lossy && w.dice.chance(0.5) {
                return w.trace(|| format!("   lost at n{to}"));
            }
            if w.nodes[to].hangs { w.nodes[to].inbox.push(Box::new(job)) } else { job(w) }
        };
        self.at(time, Box::new(job));
    }

    fn listens(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        node.up && node.room.is_some() && (!node.conns.is_empty() || self.now < node.listens)
    }

    /// The store's server sends on what it keeps.
    pub(super) fn republish(&mut self, entry: &super::super::Entry) {
        for to in 0..self.nodes.len() {
            if !self.listens(to) {
                continue;
            }
            let twice = !self.calm && self.dice.chance(0.05);
            let (entry, life, sent) = (entry.clone(), self.store.life, self.store.epoch);
            let hear = move |w: &mut Self| {
                // By the stream's name, which another history has too.
                let epoch = w.nodes[to].known.filter(|_| !w.dice.chance(0.01) || w.calm);
                // To put a volume back takes longer than anything is on its way.
                if w.store.life != life && epoch != Some(sent) {
                    return;
                }
                w.trace(|| format!("n{to} hears {} (after {:?})", entry.offset, entry.prev));
                let live = Live { epoch, entry: entry.clone() };
                w.room(to, |room, s| room.stored_live(s, live.clone()));
            };
            let again = hear.clone();
            self.post(to, to, false, true, Box::new(hear));
            if twice {
                let later = self.now + secs(self.dice.between(0.01, 1.0));
                self.at_node(later, to, Box::new(again));
            }
        }
    }

    pub(super) fn send_live(&mut self, from: Id, body: &LiveBody) {
        self.trace(|| format!("n{from} says {body:?}"));
        let body = match body {
            LiveBody::Mark { .. } | LiveBody::MarkKeys { .. } if self.without(Broken::Mark) => return,
            LiveBody::MarkKeys { epoch, keys } if self.without(Broken::Keys) => {
                let offset = keys.iter().map(|(_, offset)| *offset).max().unwrap_or(0);
                LiveBody::Mark { epoch: *epoch, offset }
            }
            body => body.clone(),
        };
        for to in 0..self.nodes.len() {
            if to != from && self.listens(to) {
                let body = body.clone();
                let hear = move |w: &mut Self| {
                    w.room(to, |room, s| match body {
                        LiveBody::Mark { epoch, offset } => room.mark(s, epoch, offset),
                        LiveBody::MarkKeys { epoch, keys } => room.mark_keys(s, epoch, keys),
                        LiveBody::Forgotten { epoch, offset, ts } => room.forgotten(s, epoch, offset, ts),
                        LiveBody::Signal(publication) => room.signal(s, &publication),
                        body => unreachable!("{body:?}"),
                    });
                };
                self.post(from, to, true, true, Box::new(hear));
            }
        }
    }

    pub(super) fn ask(&mut self, from: Id, to: Id, ask: Ask, within: Time) -> AskId {
        let id = AskId(self.next());
        self.asks.insert(id, from);
        if self.nodes[from].cut {
            let away = self.now + secs(0.001);
            self.at_node(away, from, Box::new(move |w| w.answered(id, Err(AskError::Away))));
            return id;
        }
        let late = self.now + within;
        self.at_node(late, from, Box::new(move |w| w.answered(id, Err(AskError::Timeout))));
        if !self.nodes[to].up || self.nodes[to].cut && !self.nodes[to].hangs {
            if self.dice.chance(0.7) {
                let soon = self.now + secs(0.01);
                self.at_node(soon, from, Box::new(move |w| w.answered(id, Err(AskError::NoResponders))));
            }
        } else {
            let asker = SimAsker { by: from, life: self.nodes[from].life, id };
            let name = self.nodes[from].name.clone();
            let asked = move |w: &mut Self| {
                w.ensure_room(to);
                w.room(to, |room, s| room.asked(s, &name, asker, ask));
            };
            self.post(from, to, true, false, Box::new(asked));
        }
        id
    }

    pub(super) fn reply(&mut self, from: Id, asker: SimAsker, answer: Answer) {
        let answered = move |w: &mut Self| {
            if w.nodes[asker.by].life == asker.life {
                w.answered(asker.id, Ok(answer));
            }
        };
        self.post(from, asker.by, true, false, Box::new(answered));
    }

    fn answered(&mut self, id: AskId, answer: Result<Answer, AskError>) {
        if let Some(by) = self.asks.remove(&id) {
            self.room(by, |room, s| room.answered(s, id, answer));
        }
    }

    // -- what nodes know of the store

    /// A node looks at the store, soon.
    pub(super) fn look(&mut self, id: Id) {
        if self.now < self.nodes[id].looked + secs(0.5) && self.now > 0 {
            return;
        }
        self.nodes[id].looked = self.now;
        let time = self.now + secs(self.dice.between(0.01, 0.06));
        self.at_node(time, id, Box::new(move |w| w.looks(id)));
    }

    fn looks(&mut self, id: Id) {
        if self.nodes[id].cut || !self.store.up {
            return;
        }
        if !self.store.exists {
            self.store.exists = true;
            let ms = self.store.epoch.ms + 1_000;
            self.store.epoch = Epoch { ms, node: 0, random: self.dice.next() as u32 };
            self.trace(|| format!("=== n{id} makes the stream again"));
        }
        let stands = self.nodes[id]
            .witness
            .is_none_or(|(offset, ts)| self.store.rec(offset).is_some_and(|rec| rec.ts == ts));
        if !stands && self.nodes[id].known == Some(self.store.epoch) {
            self.bump(id);
        }
        let last = self.store.last();
        self.nodes[id].witness = self.store.rec(last).map(|rec| (last, rec.ts));
        self.knows(id);
    }

    fn bump(&mut self, id: Id) {
        self.store.epoch.ms += 1;
        self.trace(|| format!("=== n{id} bumps the epoch"));
    }

    fn knows(&mut self, id: Id) {
        let epoch = Some(self.store.epoch);
        if std::mem::replace(&mut self.nodes[id].known, epoch) != epoch && !self.without(Broken::Epoch) {
            self.trace(|| format!("n{id} knows {epoch:?}"));
            self.room(id, |room, s| room.epoch_is(s, epoch));
        }
    }

    pub(super) fn disbelieve(&mut self, id: Id, epoch: Epoch) {
        self.trace(|| format!("n{id} disbelieves {}", epoch.ms));
        let time = self.now + secs(self.dice.between(0.01, 0.06));
        let job = move |w: &mut Self| {
            if w.nodes[id].cut || !w.store.up || !w.store.exists {
                return w.look(id);
            }
            if w.store.epoch == epoch {
                if w.store.life == 0 {
                    w.bad("E1 disbelieved without a reason");
                }
                w.bump(id);
            }
            w.nodes[id].witness = None;
            w.knows(id);
        };
        self.at_node(time, id, Box::new(job));
    }
}

/// A publication with nothing in it but who it is.
pub(super) fn publication(id: usize) -> Publication {
    Publication { ts: id as u64, event: None, ..crate::actors::publication("") }
}
