//! The world of one schedule: nodes with a room each, a gateway, and a network between them that keeps the order of
//! each sender's live messages, questions and answers, and may lose or delay any of them. Time is a number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::{ConnId, Key};
use ringway_ring::NodeId;

use super::super::{AskId, FORMER_FOR, Handles, Member, Replay, Room, Standing};
use super::around::Around;
use super::checks::{Ledger, Session};
use super::network::Asked;
use super::pools::Pools;
use super::{Broken, Variant};
use crate::dice::{Dice, mix};

/// Microseconds since the schedule began.
pub(super) type Time = u64;
/// A node's place in [`World::parties`]; 0 is the gateway.
pub(super) type Id = usize;
pub(super) const GATEWAY: Id = 0;
/// A node may come, up to so many.
const MOST_NODES: usize = 8;
/// How long a node is new, in seconds: by then it has heard of all who are there.
pub(super) const NEW: f64 = 0.7;
/// How long the processes have run when the schedule begins.
pub(super) const BEGUN: Duration = Duration::from_secs(1_000);
/// When that is, for clocks that show milliseconds since 1970.
pub(super) const WALL: u64 = 1_700_000_000_000;

pub(super) fn secs(seconds: f64) -> Time {
    (seconds * 1e6) as Time
}

pub(super) type Job = Box<dyn FnOnce(&mut World)>;

/// Kinds of messages; each keeps its order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    Live,
    Question,
    Answer,
}

/// Nodes as bits.
pub(super) type Set = u32;

pub(super) fn owner_of(view: Set) -> Option<Id> {
    (1..=MOST_NODES).filter(|id| view & (1 << id) != 0).max_by_key(|id| mix(*id as u64 + 77))
}

/// A node, or the gateway (which has no room, and no faults but a wrong view).
pub(super) struct Party {
    pub(super) name: NodeId,
    /// Which of its lives.
    pub(super) life: u64,
    /// When it began, if that was after the schedule did.
    pub(super) began: Option<Time>,
    pub(super) up: bool,
    pub(super) hung: bool,
    /// What comes while it hangs waits for it; else it is lost.
    pub(super) hang_keeps: bool,
    pub(super) cut: bool,
    /// What it sends while it is cut off waits; else it is lost.
    pub(super) cut_keeps: bool,
    /// Who asks it while it is cut off hears at once that nobody listens.
    pub(super) cut_shows: bool,
    pub(super) knows: bool,
    pub(super) lossy: bool,
    pub(super) leaving: bool,
    pub(super) view: Set,
    /// What it saw before, and until when.
    pub(super) formers: Vec<(Set, Time)>,
    pub(super) lives: [u64; MOST_NODES + 1],
    pub(super) inbox: Vec<Job>,
    pub(super) outbox: Vec<(u64, Id, Kind, Job)>,
    pub(super) conns: Vec<usize>,
    /// How far its clock is ahead, ms.
    pub(super) skew: u64,
    pub(super) room: Option<Box<Room<Sim>>>,
    pub(super) pools: Pools,
}

/// The handles of the simulation.
pub(super) struct Sim;

#[derive(Clone, Debug)]
pub(super) struct SimConn(pub(super) Arc<(ConnId, usize)>);

impl Member for SimConn {
    fn id(&self) -> &ConnId {
        &self.0.0
    }
}

/// Who asked: the answer goes back to it.
#[derive(Clone, Copy)]
pub(super) struct SimAsker {
    pub(super) by: Id,
    pub(super) life: u64,
    pub(super) of: Id,
    pub(super) id: AskId,
}

impl Handles for Sim {
    type Conn = SimConn;
    type Asker = SimAsker;
    type Publisher = Vec<usize>;
}

/// A connection of a session to a node.
pub(super) struct Conn {
    pub(super) handle: SimConn,
    pub(super) session: usize,
    pub(super) node: Id,
    pub(super) alive: bool,
    pub(super) joined: bool,
    /// Something live came: from then on nothing is replayed.
    pub(super) live: bool,
    /// The node knows that it left.
    pub(super) gone: bool,
    pub(super) since: Option<(Epoch, u64)>,
    pub(super) last: Option<u32>,
}

impl Conn {
    pub(super) fn id(&self) -> &ConnId {
        &self.handle.0.0
    }
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: Time,
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    jobs: HashMap<u64, Job>,
    pub(super) counter: u64,
    pub(super) last_arrival: HashMap<(Id, Id, Kind), Time>,
    pub(super) parties: Vec<Party>,
    pub(super) conns: Vec<Conn>,
    pub(super) sessions: Vec<Session>,
    pub(super) asks: HashMap<AskId, Asked>,
    pub(super) ledger: Ledger,
    /// Whose join was answered since it was looked at.
    pub(super) fresh: Vec<usize>,
    /// Which nodes' replay buffers were cut for want of memory.
    pub(super) shed: Set,
    pub(super) variant: Variant,
    pub(super) replay: Replay,
    /// The pool that the tenant is in, by the configuration.
    pub(super) pool: usize,
    /// The part of messages that are slow.
    pub(super) slow: f64,
    /// The network is well.
    pub(super) calm: bool,
    pub(super) faults: usize,
    /// How many were asked.
    pub(super) questions: usize,
    pub(super) print: bool,
    pub(super) broken: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, variant: Variant, print: bool) -> World {
        let mut dice = Dice::new(seed);
        let messages =
            dice.of(if variant.by_key { &[2, 1_000, 1_000, 3, 1_000] } else { &[3, 100, 100, 100, 0] });
        let ages = if variant.by_key {
            [3_600_000, 3_600_000, 30_000, 1_000]
        } else {
            [30_000, 30_000, 30_000, 1_000]
        };
        let age = Duration::from_millis(dice.of(&ages));
        let replay = Replay { messages, age, by_key: variant.by_key };
        let slow = if variant.harsh { 0.1 } else { dice.of(&[0.0, 0.0, 0.05]) };
        let nodes = dice.whole(3, 5);
        let mut world = World {
            dice,
            now: 0,
            heap: BinaryHeap::new(),
            jobs: HashMap::new(),
            counter: 0,
            last_arrival: HashMap::new(),
            parties: Vec::new(),
            conns: Vec::new(),
            sessions: Vec::new(),
            asks: HashMap::new(),
            ledger: Ledger::default(),
            fresh: Vec::new(),
            shed: 0,
            variant,
            replay,
            pool: 0,
            slow,
            calm: false,
            faults: 0,
            questions: 0,
            print,
            broken: None,
        };
        let all = (1..=nodes).fold(0, |set, id| set | 1 << id);
        for _ in 0..=nodes {
            world.add_party(all);
        }
        world
    }

    /// A new node; the first party is the gateway.
    pub(super) fn add_party(&mut self, view: Set) -> Id {
        let id = self.parties.len();
        let name = if id == GATEWAY { "gateway".to_owned() } else { format!("n{id}") };
        let skew = self.dice.between(0.0, 1000.0) as u64;
        let mut party = Party {
            name: name.parse().expect("a name"),
            life: 0,
            began: None,
            up: true,
            hung: false,
            hang_keeps: false,
            cut: false,
            cut_keeps: false,
            cut_shows: false,
            knows: false,
            lossy: false,
            leaving: false,
            view: 0,
            formers: Vec::new(),
            lives: [u64::MAX; MOST_NODES + 1],
            inbox: Vec::new(),
            outbox: Vec::new(),
            conns: Vec::new(),
            skew,
            room: None,
            pools: Pools::default(),
        };
        party.view = if id == GATEWAY { view } else { view | 1 << id };
        for (other, life) in party.lives.iter_mut().enumerate() {
            if party.view & (1 << other) != 0 {
                *life = self.parties.get(other).map_or(0, |other| other.life);
            }
        }
        self.parties.push(party);
        self.read_first(id);
        id
    }

    pub(super) fn nodes(&self) -> std::ops::Range<Id> {
        1..self.parties.len()
    }

    pub(super) fn can_grow(&self) -> bool {
        self.parties.len() <= MOST_NODES
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

    // -- time

    pub(super) fn at(&mut self, time: Time, job: Job) {
        self.counter += 1;
        self.heap.push(Reverse((time.max(self.now), self.counter)));
        self.jobs.insert(self.counter, job);
    }

    /// Something that a party does later, if it still lives then; if it hangs, when it hangs no more.
    pub(super) fn at_party(&mut self, time: Time, id: Id, job: Job) {
        let life = self.parties[id].life;
        self.at(
            time,
            Box::new(move |w| {
                let party = &mut w.parties[id];
                if !party.up || party.life != life {
                    return;
                }
                if party.hung { party.inbox.push(job) } else { job(w) }
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

    pub(super) fn ensure_room(&mut self, id: Id) {
        if self.parties[id].room.is_none() {
            self.parties[id].room = Some(Box::new(Room::new(self.replay)));
        }
    }

    /// Lets a node's room do something, if there is one.
    pub(super) fn room(&mut self, id: Id, act: impl FnOnce(&mut Room<Sim>, &mut Around<'_>)) {
        if let Some(mut room) = self.parties[id].room.take() {
            if self.variant.without == Some(Broken::Hint) {
                room.holder = None;
            }
            act(&mut room, &mut Around { world: self, id });
            if self.replay.by_key {
                if self.variant.without == Some(Broken::Short) {
                    room.log.now_whole();
                }
                self.look_at_values(&room);
            }
            self.parties[id].room = Some(room);
        }
    }

    /// What a room by key keeps, and what who has just joined got of it.
    fn look_at_values(&mut self, room: &Room<Sim>) {
        let log = &room.log;
        let kept: Vec<u64> = log.after(log.base()).map(|entry| entry.offset).collect();
        let verdict = room.epoch.map_or(Ok(()), |epoch| {
            self.ledger.newest_are_kept(epoch, log.base(), log.number(), &kept)?;
            for conn in std::mem::take(&mut self.fresh) {
                let Conn { session, last, since, alive, .. } = self.conns[conn];
                let session = &self.sessions[session];
                if alive && session.conn == Some(conn) {
                    session.has_values(&self.ledger, epoch, &kept, since, last)?;
                }
            }
            Ok(())
        });
        if let Err(what) = verdict {
            self.bad(what);
        }
    }

    pub(super) fn set_view(&mut self, id: Id, view: Set) {
        let me = if id != GATEWAY && !self.parties[id].leaving { 1 << id } else { 0 };
        let view = view | me;
        let mut lives = [u64::MAX; MOST_NODES + 1];
        for other in self.nodes() {
            if view & (1 << other) != 0 {
                lives[other] = self.parties[other].life;
            }
        }
        let now = self.now;
        let party = &mut self.parties[id];
        if party.view != view || party.lives != lives {
            party.formers.retain(|(_, until)| now < *until);
            party.formers.push((party.view, now + FORMER_FOR.as_micros() as Time));
            party.view = view;
            party.lives = lives;
            self.room(id, |room, s| room.view_changed(s));
        }
    }

    /// Cut off, paused or overrun, and back.
    pub(super) fn back(&mut self, id: Id) {
        if self.variant.without == Some(Broken::Resync) {
            return;
        }
        self.room(id, |room, s| room.back_from_cut(s));
        if self.variant.without == Some(Broken::Keep)
            && let Some(room) = &mut self.parties[id].room
            && room.standing == Standing::Keeping
        {
            room.standing = Standing::Following;
        }
    }
}

/// A publication with nothing in it but who it is.
pub(super) fn publication(id: usize, ts: Time) -> Publication {
    Publication { ts: WALL + ts / 1000, ..crate::actors::publication(&id.to_string()) }
}

/// One of a few keys, or none.
pub(super) fn key(number: usize) -> Option<Key> {
    (number > 0).then(|| number.to_string().parse().expect("a key"))
}
