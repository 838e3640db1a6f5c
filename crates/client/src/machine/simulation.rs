//! A server that keeps everything, a network that cuts at any moment, and hand-overs: whatever
//! happens, the application hears every publication once and in order, and what it publishes is
//! published once and in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use ringway_protocol::ClientFrame;
use ringway_protocol::ServerFrame;
use ringway_protocol::frame::{Answer, OkResult, PubResult};

use super::Settings;
use super::stage::{Stage, at, goaway, hello, joined, message, settings};

const SCHEDULES: u64 = 500;
const STEPS: usize = 400;

/// A connection as the server sees it: frames on their way in both directions, in order.
#[derive(Default)]
struct Wire {
    /// How much of what the client sent the server has carried out.
    carried_out: usize,
    to_client: VecDeque<ServerFrame>,
    open: bool,
    member: bool,
}

struct World {
    stage: Stage,
    wires: BTreeMap<u64, Wire>,
    /// The room: its publications, and the place of each `mid`.
    log: Vec<String>,
    mids: HashMap<String, u64>,
    random: SmallRng,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::new(Settings { seed, ..settings() });
        stage.answer_within = Duration::from_secs(1_000_000); // nobody gives up
        stage.join("a");
        stage.machine.dial(stage.now);
        stage.act();
        let random = SmallRng::seed_from_u64(seed);
        Self { stage, wires: BTreeMap::new(), log: Vec::new(), mids: HashMap::new(), random }
    }

    fn msg(&self, offset: usize) -> ServerFrame {
        message(Some("a"), Some(offset as u64), &self.log[offset - 1])
    }

    fn publish(&mut self, text: String) -> u64 {
        self.log.push(text);
        let frame = self.msg(self.log.len());
        for wire in self.wires.values_mut().filter(|wire| wire.member) {
            wire.to_client.push_back(frame.clone());
        }
        self.log.len() as u64
    }

    /// The server carries out the next frame of a connection.
    fn carry_out(&mut self, link: u64) {
        let Some(wire) = self.wires.get_mut(&link).filter(|wire| wire.open) else { return };
        let Some(frame) = self.stage.sockets[&link].sent.get(wire.carried_out).cloned() else { return };
        wire.carried_out += 1;
        let ok = |id, result| ServerFrame::Ok(Answer { id, room: None, data: None, result: Some(result) });
        match frame {
            ClientFrame::Join(join) => {
                let newest = self.log.len();
                let since = join
                    .since
                    .map_or(newest, |since| usize::try_from(since.offset).expect("a test is short"));
                let result = at("e", since as u64, newest as u64, Some(true));
                let missed: Vec<_> = (since + 1..=newest).map(|offset| self.msg(offset)).collect();
                if let Some(wire) = self.wires.get_mut(&link) {
                    wire.member = true;
                    wire.to_client.push_back(ok(join.id, OkResult::Join(result)));
                    wire.to_client.extend(missed);
                }
            }
            ClientFrame::Pub(publication) => {
                let mid = publication.mid.expect("the client gives one").to_string();
                let mut json = Vec::new();
                publication.data.write_json(&mut json);
                let text = String::from_utf8(json).expect("JSON is UTF-8").trim_matches('"').to_owned();
                let offset = match self.mids.get(&mid) {
                    Some(offset) => *offset,
                    None => {
                        let offset = self.publish(text);
                        self.mids.insert(mid, offset);
                        offset
                    }
                };
                let result = OkResult::Pub(PubResult { offset: Some(offset), ..PubResult::default() });
                if let Some(wire) = self.wires.get_mut(&link) {
                    wire.to_client.push_back(ok(publication.id, result));
                }
            }
            _ => {}
        }
    }

    fn deliver(&mut self, link: u64) {
        if let Some(frame) = self.wires.get_mut(&link).and_then(|wire| wire.to_client.pop_front()) {
            self.stage.say(link, frame);
        }
    }

    /// Connections that were dialled and haven't ended.
    fn alive(&self) -> Vec<u64> {
        self.stage.sockets.iter().filter(|(_, socket)| !socket.ended).map(|(link, _)| *link).collect()
    }

    fn accept(&mut self, link: u64) {
        let wire = self.wires.entry(link).or_default();
        if wire.open {
            return;
        }
        wire.open = true;
        wire.to_client.push_back(hello("s"));
        if self.random.random_bool(0.5) {
            // The server joins the home room itself; our own join counts all the same.
            wire.member = true;
            let newest = self.log.len() as u64;
            wire.to_client.push_back(joined("a", at("e", newest, newest, None)));
        }
        self.stage.open(link);
    }

    fn cut(&mut self, link: u64) {
        self.wires.remove(&link);
        self.stage.drop(link, [1001, 1006, 1008, 1012][self.random.random_range(0..4)], "");
    }

    fn step(&mut self, own: &mut usize) {
        let alive = self.alive();
        let any = (!alive.is_empty()).then(|| alive[self.random.random_range(0..alive.len())]);
        match (self.random.random_range(0..100), any) {
            (0..20, _) => {
                let text = format!("other {}", self.log.len());
                self.publish(text);
            }
            (20..30, _) => {
                *own += 1;
                self.stage.publish("a", &format!("own {own}"), "own");
            }
            (30..55, Some(link)) => self.carry_out(link),
            (55..85, Some(link)) => (0..self.random.random_range(1..8)).for_each(|_| self.deliver(link)),
            (85..90, Some(link)) => self.accept(link),
            (90..92, Some(link)) => self.cut(link),
            (92..94, Some(link)) if self.wires.get(&link).is_some_and(|wire| wire.open) => {
                let after = self.random.random_range(0..2_000);
                self.wires.entry(link).or_default().to_client.push_back(goaway(after));
            }
            _ => self.stage.pass(self.random.random_range(0..3_000)),
        }
    }

    /// Nothing is in the way any more, until all has been said.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            for link in self.alive() {
                self.accept(link);
                (0..self.stage.sockets[&link].sent.len() + 1).for_each(|_| self.carry_out(link));
                while self.wires.get(&link).is_some_and(|wire| !wire.to_client.is_empty()) {
                    self.deliver(link);
                }
            }
            self.stage.pass(100);
        }
    }
}

#[test]
fn whatever_is_cut_everything_is_heard_once_and_published_once_in_order() {
    for seed in 0..SCHEDULES {
        let mut world = World::new(seed);
        let mut own = 0;
        // The first answer says where the room begins for us.
        world.accept(1);
        world.carry_out(1);
        while world.wires.get(&1).is_some_and(|wire| !wire.to_client.is_empty()) {
            world.deliver(1);
        }
        for _ in 0..STEPS {
            world.step(&mut own);
        }
        world.settle();

        let heard: Vec<_> =
            world.stage.heard.iter().filter(|word| !word.starts_with("joined")).cloned().collect();
        assert_eq!(heard, world.log, "seed {seed}: what was heard");
        let published: Vec<_> = world.log.iter().filter(|text| text.starts_with("own")).cloned().collect();
        let expected: Vec<_> = (1..=own).map(|n| format!("own {n}")).collect();
        assert_eq!(published, expected, "seed {seed}: what was published");
        let acknowledged =
            world.stage.replies.iter().filter(|(to, reply)| *to == "own" && reply.is_ok()).count();
        assert_eq!(acknowledged, own, "seed {seed}: what was acknowledged");
    }
}
