//! A room on a stage: its tests move the world by hand, and read what it did.

use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Known, LiveBody, Publication};
use ringway_protocol::frame::Position;
use ringway_ring::NodeId;

use crate::actors::WALL;
pub(super) use crate::actors::{Actor, Hand, actor, by, conn, epoch, keyed, node, publication};

use super::{AskError, AskId, Entry, Gap, GapReason, Joined, Outcome, Replay, Room, Surroundings, Timer};

/// What the room did, in short: `a: msg 3`, `ask n2: take`, `outcome 1: local` …
#[derive(Default)]
pub(super) struct Stage {
    pub(super) done: Vec<String>,
    pub(super) asks: Vec<(AskId, NodeId, Ask)>,
    pub(super) timers: Vec<(Duration, Timer)>,
    pub(super) joins: Vec<Joined>,
    pub(super) gaps: Vec<Gap>,
    pub(super) answers: Vec<(u32, Answer)>,
    pub(super) outcomes: Vec<(u32, Outcome)>,
    pub(super) now: Duration,
    pub(super) owner: Option<NodeId>,
    pub(super) next: Option<NodeId>,
    pub(super) former: Option<NodeId>,
    /// Whether it has only just begun.
    pub(super) new: bool,
    /// Nodes of the view, with their incarnations.
    pub(super) view: Vec<(NodeId, u64)>,
    pub(super) away: bool,
    me: Option<NodeId>,
    asked: u64,
}

pub(super) fn known(epoch: Epoch, holder: &str, offset: u64) -> Known {
    Known { epoch, holder: Some(node(holder)), offset }
}

pub(super) fn position(epoch: Epoch, offset: u64) -> Position {
    Position { epoch: epoch.to_string().parse().expect("an epoch's name"), offset, ts: None }
}

pub(super) fn live(epoch: Epoch, offset: u64) -> LiveBody {
    LiveBody::Publication { epoch, offset, publication: publication(&format!("p{offset}")).into() }
}

/// A state with everything from `base` on.
pub(super) fn state(epoch: Epoch, base: u64, offset: u64) -> Answer {
    let entries =
        (base + 1..=offset).map(|offset| (offset, publication(&format!("p{offset}")).into())).collect();
    Answer::State { epoch, offset, base, entries }
}

/// A room on node `n1`, which sees `n1`, `n2` and `n3`; `owner` owns its slot, `n2` would without `n1`.
pub(super) fn stage(owner: &str) -> (Room<Hand>, Stage) {
    let stage = Stage {
        now: Duration::from_secs(1_000),
        owner: Some(node(owner)),
        next: Some(node("n2")),
        view: ["n1", "n2", "n3"].map(|name| (node(name), 1)).to_vec(),
        me: Some(node("n1")),
        ..Stage::default()
    };
    (Room::new(Replay { messages: 100, age: Duration::from_secs(30), by_key: false }), stage)
}

/// A state that reaches from `base` to the last of these.
pub(super) fn state_by_key(epoch: Epoch, base: u64, entries: &[(u64, &str)]) -> Answer {
    let offset = entries.last().map_or(base, |last| last.0);
    let entries = entries.iter().map(|(offset, word)| (*offset, keyed(word).into())).collect();
    Answer::State { epoch, offset, base, entries }
}

/// As [`stage`], of a room that keeps the newest of each of 100 keys for an hour.
pub(super) fn stage_by_key(owner: &str) -> (Room<Hand>, Stage) {
    let (_, stage) = self::stage(owner);
    (Room::new(Replay { messages: 100, age: Duration::from_secs(3600), by_key: true }), stage)
}

/// As [`holding`], by key.
pub(super) fn holding_by_key() -> (Room<Hand>, Stage, Epoch) {
    let (mut room, mut stage) = stage_by_key("n1");
    stage.next = None;
    room.asked(&mut stage, &node("n3"), 99, Ask::Sync { known: None });
    stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
    let epoch = room.epoch.expect("an epoch");
    stage.clear();
    (room, stage, epoch)
}

/// As [`following`], by key, with what a state brought.
pub(super) fn following_by_key(base: u64, entries: &[(u64, &str)]) -> (Room<Hand>, Stage) {
    let (mut room, mut stage) = stage_by_key("n2");
    room.join(&mut stage, actor("a"), None, None);
    stage.reply(&mut room, Ok(state_by_key(epoch(1), base, entries)));
    stage.clear();
    (room, stage)
}

/// The same, and it holds the room, in an epoch of its own.
pub(super) fn holding() -> (Room<Hand>, Stage, Epoch) {
    let (mut room, mut stage) = stage("n1");
    room.asked(&mut stage, &node("n3"), 99, Ask::Sync { known: None });
    stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
    stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
    let epoch = room.epoch.expect("an epoch");
    stage.clear();
    (room, stage, epoch)
}

/// The same, but it follows `n2`, which owns the room, at `epoch(1)` and `offset`; `a` is a member.
pub(super) fn following(offset: u64) -> (Room<Hand>, Stage) {
    let (mut room, mut stage) = stage("n2");
    room.join(&mut stage, actor("a"), None, None);
    stage.reply(&mut room, Ok(state(epoch(1), 0, offset)));
    stage.clear();
    (room, stage)
}

impl Stage {
    /// What was done since this was asked last.
    pub(super) fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    pub(super) fn clear(&mut self) {
        self.done.clear();
        self.joins.clear();
        self.gaps.clear();
        self.answers.clear();
        self.outcomes.clear();
    }

    /// Answers the oldest question that isn't answered.
    pub(super) fn reply(&mut self, room: &mut Room<Hand>, answer: Result<Answer, AskError>) -> AskId {
        let (id, _, _) = self.asks.remove(0);
        room.answered(self, id, answer);
        id
    }

    /// Lets time pass, and timers come.
    pub(super) fn pass(&mut self, room: &mut Room<Hand>, time: Duration) {
        let until = self.now + time;
        while let Some(first) = (0..self.timers.len()).min_by_key(|at| self.timers[*at].0)
            && self.timers[first].0 <= until
        {
            let (at, timer) = self.timers.remove(first);
            self.now = at;
            room.timer(self, timer);
        }
        self.now = until;
    }
}

impl Surroundings<Hand> for Stage {
    fn me(&self) -> &NodeId {
        self.me.as_ref().expect("a stage has a node")
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn wall_ms(&self) -> u64 {
        WALL + u64::try_from(self.now.as_millis()).expect("not that long") - 1_000_000
    }

    fn random(&mut self) -> u32 {
        7
    }

    fn owner(&self) -> Option<NodeId> {
        self.owner.clone()
    }

    fn owner_without(&self, node: &NodeId) -> Option<NodeId> {
        if self.owner.as_ref() == Some(node) { self.next.clone() } else { self.owner.clone() }
    }

    fn former_owner(&self) -> Option<NodeId> {
        self.former.clone()
    }

    fn incarnation(&self, node: &NodeId) -> Option<u64> {
        self.view.iter().find(|(id, _)| id == node).map(|(_, incarnation)| *incarnation)
    }

    fn is_new(&self) -> bool {
        self.new
    }

    fn away(&self) -> bool {
        self.away
    }

    fn live(&mut self, body: LiveBody) {
        self.done.push(match body {
            LiveBody::Publication { offset, publication, .. } => {
                format!("live {offset} {}", word(&publication))
            }
            LiveBody::Unread { offset, .. } => format!("live {offset} unread"),
            LiveBody::Mark { offset, .. } => format!("mark {offset}"),
            body => unreachable!("an ephemeral room never says {body:?}"),
        });
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, _: Duration) -> AskId {
        self.done.push(match &ask {
            Ask::Publish { publications } => {
                format!("ask {to}: publish {}", publications.iter().map(word).collect::<Vec<_>>().join(" "))
            }
            Ask::Sync { .. } => format!("ask {to}: sync"),
            Ask::Take { .. } => format!("ask {to}: take"),
            Ask::Greater { .. } => format!("ask {to}: greater"),
            Ask::Members => format!("ask {to}: members"),
            ask => unreachable!("an ephemeral room never asks {ask:?}"),
        });
        self.asked += 1;
        let id = AskId(self.asked);
        self.asks.push((id, to.clone(), ask));
        id
    }

    fn answer(&mut self, to: u32, answer: Answer) {
        self.answers.push((to, answer));
    }

    fn outcome(&mut self, to: u32, outcome: Outcome) {
        self.outcomes.push((to, outcome));
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        self.timers.push((self.now + after, timer));
    }

    fn deliver<'a>(&mut self, entry: &Entry, epoch: Option<Epoch>, to: impl Iterator<Item = &'a Actor>) {
        for actor in to {
            let offset = epoch.map_or("-".to_owned(), |_| entry.offset.to_string());
            self.done.push(format!("{}: msg {offset} {}", actor.0, word(&entry.publication)));
        }
    }

    fn replay(&mut self, to: &Actor, entry: &Entry, _: Epoch) {
        self.done.push(format!("{}: replay {} {}", to.0, entry.offset, word(&entry.publication)));
    }

    fn gap(&mut self, to: &Actor, gap: Gap) {
        let reason = if gap.reason == GapReason::Epoch { "epoch" } else { "backplane" };
        self.done.push(format!("{}: gap {reason} {}", to.0, gap.place.offset));
        self.gaps.push(gap);
    }

    fn joined(&mut self, to: &Actor, answer: Joined) {
        let place = answer.place.map_or("nowhere".to_owned(), |place| format!("at {}", place.offset));
        let resumed =
            answer.resumed.map_or("", |resumed| if resumed { ", resumed" } else { ", not resumed" });
        self.done.push(format!("{}: joined {place}{resumed}", to.0));
        self.joins.push(answer);
    }
}

fn word(publication: &Publication) -> &str {
    publication.event.as_deref().unwrap_or("")
}
