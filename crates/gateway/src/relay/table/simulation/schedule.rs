//! What happens when.

use ringway_link::ConnNo;

use super::super::ask::{Ask, Kind};
use super::super::{Flow, NodeNo, Rule, Table, Work};
use super::client::{Actor, Stage};
use super::dice::Dice;
use super::node::Link;
use super::world::{BIG, Message, NODES, ROOMS, Room, Word, World, record};

/// So many things happen before faults stop.
const STEPS: usize = 260;
/// As many clients at most.
const ACTORS: usize = 6;

/// What was seen, so that it can be told whether anything was.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    steps: usize,
    faults: usize,
    clients: usize,
    frames: usize,
    cuts: usize,
    moved: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.faults += other.faults;
        self.clients += other.clients;
        self.frames += other.frames;
        self.cuts += other.cuts;
        self.moved += other.moved;
    }
}

pub(super) struct Schedule {
    pub(super) table: Table<u32>,
    pub(super) world: World,
    counts: Counts,
    ticks: usize,
    /// Nothing goes wrong.
    pub(super) calm: bool,
    /// So many of a hundred messages are big.
    big: u64,
}

/// Runs one schedule; what broke, if anything did.
pub(super) fn run(seed: u64, without: Option<Rule>, trace: bool) -> (Counts, Option<String>) {
    let mut schedule = Schedule::new(seed, without, trace);
    for _ in 0..STEPS {
        schedule.step();
        if schedule.world.broken.is_some() {
            break;
        }
    }
    if schedule.world.broken.is_none() {
        schedule.end();
    }
    (schedule.counts, schedule.world.broken)
}

impl Schedule {
    fn new(seed: u64, without: Option<Rule>, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut rooms = Vec::new();
        for number in 0..ROOMS {
            let homes = homes(&mut dice);
            rooms.push(Room::new(number % 2 == 0, number % 2 == 1, homes));
        }
        let names = (0..ROOMS).map(|room| format!("r{room}").parse().expect("a room")).collect();
        let links = (0..NODES).map(|_| Link::new()).collect();
        let world = World {
            dice,
            links,
            rooms,
            names,
            tenants: vec!["t".parse().expect("a tenant")],
            actors: Vec::new(),
            by_conn: Vec::new(),
            messages: Vec::new(),
            frames: Vec::new(),
            granted: Vec::new(),
            mids: 0,
            broken: None,
            trace,
        };
        let table = Table { without, ..Table::default() };
        let big = if seed.is_multiple_of(7) { 40 } else { 2 };
        Self { table, world, counts: Counts::default(), ticks: 0, calm: seed.is_multiple_of(10), big }
    }

    fn step(&mut self) {
        self.counts.steps += 1;
        let node = self.world.dice.below(NODES);
        match self.world.dice.below(100) {
            0..20 => self.world.node_takes(node),
            20..42 => self.hear(node),
            42..54 => self.node_does(node),
            54..62 => {
                let room = self.world.dice.below(ROOMS);
                self.world.node_hears(node, room);
            }
            62..66 => self.node_catches_up(node),
            66..69 => self.credit(node),
            69..90 => self.client_does(),
            90..94 => {
                let _: Work = self.table.work(&mut self.world, 2);
            }
            _ if self.calm => {}
            _ => self.fault(node),
        }
    }

    pub(super) fn hear(&mut self, node: usize) {
        let Some(word) = self.world.links[node].down.pop_front() else { return };
        if self.world.trace {
            println!("from {node}: {word:?}");
        }
        if let Word::Renewed { version, auth, .. } = &word {
            self.world.granted.push((*auth, *version));
        }
        if let Word::Exit { why: ringway_link::Exit::Moved, .. } = &word {
            self.counts.moved += 1;
        }
        let leaving = matches!(word, Word::Leaving);
        let number = number(node);
        let heard = record(word, &self.world.names.clone(), |record| {
            self.table.heard(&mut self.world, number, record)
        });
        if let Err(error) = heard {
            self.world.fail(&format!("C12 a record that breaks the rules: {error}"));
        }
        if leaving {
            self.table.look_again();
        }
    }

    fn node_does(&mut self, node: usize) {
        let lanes = self.world.links[node].lanes();
        if !lanes.is_empty() {
            let (conn, room) = lanes[self.world.dice.below(lanes.len())];
            self.world.node_works(node, conn, room);
        }
    }

    fn node_catches_up(&mut self, node: usize) {
        let behind = self.world.links[node].behind();
        if !behind.is_empty() {
            let (room, conn) = behind[self.world.dice.below(behind.len())];
            self.world.node_goes_on(node, room, conn);
        }
    }

    fn credit(&mut self, node: usize) {
        let conns: Vec<u32> = self.world.links[node].conns.keys().copied().collect();
        if conns.is_empty() {
            return;
        }
        let conn = conns[self.world.dice.below(conns.len())];
        self.world.give_credit(node, conn);
        if self.world.by_conn.get(conn as usize).copied().flatten().is_some() {
            let waiting = self.world.dice.below(8);
            self.table.credit(&mut self.world, ConnNo(conn), waiting);
        }
    }

    fn client_does(&mut self) {
        if self.world.actors.len() < ACTORS && self.world.dice.percent(12) {
            return self.arrive();
        }
        if self.world.actors.is_empty() {
            return;
        }
        let who = self.world.dice.below(self.world.actors.len());
        match self.world.actors[who].stage {
            Stage::Opening if !self.calm && self.world.dice.percent(4) => self.open_elsewhere(who),
            Stage::Refused => self.open_elsewhere(who),
            Stage::Opened => self.begin(who),
            Stage::Live if self.world.dice.percent(2) => self.leave(who),
            Stage::Live if !self.world.actors[who].stopped || self.world.dice.percent(self.big + 8) => {
                self.ask(who);
            }
            _ => {}
        }
    }

    fn arrive(&mut self) {
        self.counts.clients += 1;
        let home = self.world.dice.below(ROOMS);
        let mut joins = vec![home];
        let other = self.world.dice.below(ROOMS);
        if other != home && self.world.dice.percent(50) {
            joins.push(other);
        }
        if self.world.dice.percent(40) {
            joins.clear();
        }
        let mut actor = Actor::new(home, joins);
        for had in &mut actor.rooms {
            had.loose = self.world.dice.percent(15);
        }
        let name = self.world.names[home].clone();
        let conn = self.table.add(&self.world.tenants[0], Some(&name));
        actor.conn = conn.0;
        actor.stage = Stage::Opening;
        self.world.actors.push(actor);
        let who = self.world.actors.len() - 1;
        if self.world.by_conn.len() <= conn.0 as usize {
            self.world.by_conn.resize(conn.0 as usize + 1, None);
        }
        self.world.by_conn[conn.0 as usize] = Some(who);
        let homes = self.world.rooms[home].homes;
        match self.world.home(homes, &[]) {
            Some(node) => self.table.open(&mut self.world, conn, node),
            None => self.leave(who),
        }
    }

    fn open_elsewhere(&mut self, who: usize) {
        let actor = &mut self.world.actors[who];
        actor.tries += 1;
        if actor.tries > 3 {
            return self.leave(who);
        }
        actor.stage = Stage::Opening;
        let (conn, node) = (ConnNo(actor.conn), self.world.dice.below(NODES));
        self.table.open(&mut self.world, conn, number(node));
    }

    pub(super) fn begin(&mut self, who: usize) {
        let (home, joins) = (self.world.actors[who].home, self.world.actors[who].joins.clone());
        let since =
            if joins.contains(&home) && self.world.dice.percent(40) { self.since(home) } else { None };
        let names: Vec<_> = joins.iter().map(|room| self.world.names[*room].clone()).collect();
        let actor = &mut self.world.actors[who];
        (actor.stage, actor.since) = (Stage::Live, since);
        actor.rooms[home].at = since;
        let conn = ConnNo(actor.conn);
        self.table.begin(&mut self.world, conn, names, since.map(World::position));
    }

    pub(super) fn leave(&mut self, who: usize) {
        let actor = &mut self.world.actors[who];
        actor.stage = Stage::Gone;
        let conn = actor.conn;
        self.world.by_conn[conn as usize] = None;
        if self.world.trace {
            println!("client {who} goes");
        }
        self.table.gone(&mut self.world, ConnNo(conn));
    }

    fn since(&mut self, room: usize) -> Option<(u32, u64)> {
        let newest = self.world.rooms[room].newest();
        let back = self.world.dice.below(4) as u64;
        Some((self.world.rooms[room].epoch, newest.saturating_sub(back)))
    }

    fn ask(&mut self, who: usize) {
        let room = self.world.dice.below(ROOMS);
        let kind = match self.world.dice.below(100) {
            0..30 => Kind::Join,
            30..42 => Kind::Leave,
            42..84 => Kind::Publish,
            84..90 => Kind::AboutRoom,
            90..95 => Kind::Other,
            _ => Kind::Auth,
        };
        let quiet = !matches!(kind, Kind::Join | Kind::Leave) || self.world.actors[who].rooms[room].loose;
        let known = !quiet || self.world.dice.percent(60);
        let since = if kind == Kind::Join && self.world.dice.percent(40) { self.since(room) } else { None };
        let unnamed = kind == Kind::Publish && room == self.world.actors[who].home;
        let id = self.world.asks(who, kind, room, known, since);
        self.world.mids += 1;
        let after = self.world.actors[who].auth;
        let message = Message {
            kind,
            id,
            room,
            since,
            mid: self.world.mids,
            echo: self.world.dice.percent(70),
            store: self.world.dice.percent(90),
            after,
        };
        if self.world.trace {
            println!("client {who} asks {message:?}");
        }
        let index = self.world.messages.len();
        self.world.messages.push(message);
        if kind == Kind::Auth {
            self.world.actors[who].auth = Some(index);
        }
        let mut bytes = u32::try_from(index).expect("few").to_le_bytes().to_vec();
        if self.world.dice.percent(self.big) {
            bytes.resize(BIG as usize, 0);
        }
        let about = kind.is_about_room() && !unnamed;
        let name = about.then(|| self.world.names[room].clone());
        let ask = Ask { kind, id, room: name, since: since.map(World::position) };
        let conn = ConnNo(self.world.actors[who].conn);
        self.counts.frames += 1;
        let flow = self.table.frame(&mut self.world, conn, true, &bytes, ask);
        self.world.actors[who].stopped = flow == Flow::Stop;
    }

    fn fault(&mut self, node: usize) {
        let world = &mut self.world;
        let others = (0..NODES).filter(|other| {
            let link = &world.links[*other];
            *other != node && link.alive && link.in_view && !link.leaving && !link.shunned && !link.refuses
        });
        let spare = others.count() > 0;
        self.counts.faults += 1;
        match world.dice.below(12) {
            0..3 if world.links[node].void => self.notice(node),
            0 | 1 => {
                for _ in 0..world.dice.below(4) {
                    world.node_takes(node);
                }
                if world.trace {
                    println!("the link to {node} is cut");
                }
                world.links[node].cut();
                self.counts.cuts += 1;
            }
            2 if spare && world.links[node].alive => {
                for room in 0..ROOMS {
                    if !world.rooms[room].durable
                        && world.rooms[room].homes[0] == node
                        && world.dice.percent(70)
                    {
                        world.rooms[room].begin_anew();
                    }
                }
                world.links[node].cut();
                world.links[node].alive = false;
                world.links[node].refuses = false;
            }
            3 if spare && !world.links[node].leaving && !world.links[node].void => {
                world.links[node].down.push_back(Word::Leaving);
            }
            4 => {
                let room = world.dice.below(ROOMS);
                let homes = homes(&mut world.dice);
                world.rooms[room].homes = homes;
                self.table.look_again();
            }
            5 => self.heal(node),
            6 => {
                let room = 1 + 2 * world.dice.below(ROOMS / 2);
                world.rooms[room].begin_anew();
            }
            7 => {
                let room = 1 + 2 * world.dice.below(ROOMS / 2);
                world.rooms[room].base = world.rooms[room].newest().saturating_sub(2);
            }
            8 if spare => world.links[node].refuses = !world.links[node].refuses,
            9 if spare => {
                world.links[node].in_view = false;
                self.table.look_again();
            }
            10 => {
                let on = world.links[node].void;
                if on {
                    self.notice(node);
                } else {
                    let members: Vec<(usize, u32)> = (0..ROOMS)
                        .flat_map(|room| {
                            world.links[node].rooms[room].iter().flat_map(move |here| {
                                here.members.iter().map(move |member| (room, member.conn))
                            })
                        })
                        .collect();
                    if !members.is_empty() {
                        let (room, conn) = members[world.dice.below(members.len())];
                        world.node_kicks(node, room, conn);
                        if world.dice.percent(25) {
                            // Cut between that it has left and the word that says so.
                            while self.world.links[node].down.len() > 1 {
                                self.hear(node);
                            }
                            self.world.links[node].cut();
                        }
                    }
                }
            }
            11 if self.ticks < 3 => {
                self.ticks += 1;
                self.table.tick(&mut self.world);
            }
            _ => {}
        }
    }

    /// The gateway sees that a link is gone, and passes the node over or not.
    pub(super) fn notice(&mut self, node: usize) {
        let spare = (0..NODES).any(|other| {
            let link = &self.world.links[other];
            other != node && link.in_view && !link.leaving && !link.shunned
        });
        let link = &mut self.world.links[node];
        link.void = !link.alive;
        link.shunned = !link.alive || (spare && self.world.dice.percent(50));
        if self.world.trace {
            println!("the link to {node} is seen to be lost");
        }
        self.table.link_lost(&mut self.world, number(node));
        self.table.look_again();
    }

    pub(super) fn heal(&mut self, node: usize) {
        let link = &mut self.world.links[node];
        (link.alive, link.in_view, link.leaving, link.shunned, link.refuses) =
            (true, true, false, false, false);
        self.table.look_again();
    }
}

fn homes(dice: &mut Dice) -> [usize; NODES] {
    let first = dice.below(NODES);
    let second = (first + 1 + dice.below(NODES - 1)) % NODES;
    [first, second, NODES - first - second]
}

pub(super) fn number(node: usize) -> NodeNo {
    NodeNo(u16::try_from(node).expect("few"))
}
