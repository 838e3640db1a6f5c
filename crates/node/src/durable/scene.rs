//! A durable room on a stage: its tests move the world by hand, and read what it did.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, LiveBody, Publication, Published};
use ringway_backplane::store::{Kept, Newest, ReadError};
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;
use ringway_ring::NodeId;

use super::{Durable, Entry, Gap, GapReason, Joined, Live, NotJoined, Surroundings, Timer};
use crate::actors::Actor;
pub(super) use crate::actors::{Hand, actor, by, conn, epoch, keyed, node, publication};
use crate::reader::{Found, Read, ReadId};
use crate::room::{AskError, AskId};
use crate::storing::StoreId;

/// What the room did, in short: `a: msg 3 p3`, `read after 3`, `store p` …
#[derive(Default)]
pub(super) struct Stage {
    pub(super) done: Vec<String>,
    pub(super) reads: Vec<(ReadId, Read)>,
    pub(super) stores: Vec<(StoreId, Vec<Publication>)>,
    pub(super) asks: Vec<AskId>,
    pub(super) timers: Vec<(Duration, Timer)>,
    pub(super) joins: Vec<Joined>,
    pub(super) gaps: Vec<Gap>,
    pub(super) answers: Vec<(u32, Answer)>,
    pub(super) outcomes: Vec<(u32, Vec<Fate>)>,
    pub(super) behind: Vec<ConnId>,
    /// Becomes behind once so many replays were sent to it.
    pub(super) takes: Option<usize>,
    pub(super) now: Duration,
    pub(super) owner: Option<NodeId>,
    pub(super) epoch: Option<Epoch>,
    pub(super) away: bool,
    me: Option<NodeId>,
    count: u64,
}

/// When the publication with that number was stored.
pub(super) fn ts(offset: u64) -> u64 {
    1_000 + offset
}

pub(super) fn position(offset: u64) -> Position {
    position_in(epoch(1), offset)
}

pub(super) fn position_in(epoch: Epoch, offset: u64) -> Position {
    Position { epoch: epoch.to_string().parse().expect("an epoch's name"), offset, ts: Some(ts(offset)) }
}

pub(super) fn signal(word: &str) -> Publication {
    Publication { signal: true, ..publication(word) }
}

pub(super) fn live_of(offset: u64, prev: u64, publication: Publication) -> Live {
    let entry = Entry { offset, prev: Some(prev), ts: ts(offset), publication: Arc::new(publication) };
    Live { epoch: Some(epoch(1)), entry }
}

pub(super) fn live(offset: u64, prev: u64) -> Live {
    live_of(offset, prev, publication(&format!("p{offset}")))
}

pub(super) fn kept(offset: u64) -> Kept {
    Kept { offset, ts: ts(offset), publication: Arc::new(publication(&format!("p{offset}"))) }
}

pub(super) fn newest(offset: u64) -> Newest {
    Newest { offset, ts: ts(offset) }
}

/// All that is kept after a spot.
pub(super) fn page(offsets: &[u64]) -> Found {
    page_to(offsets, offsets.last().copied().unwrap_or(0), false)
}

pub(super) fn page_to(offsets: &[u64], last: u64, more: bool) -> Found {
    let kept = offsets.iter().map(|offset| kept(*offset)).collect();
    Found::Page { epoch: epoch(1), kept, more, newest: newest(last) }
}

pub(super) fn at(offset: u64, has: bool) -> Found {
    Found::Newest { epoch: epoch(1), at: newest(offset), has }
}

pub(super) fn stored(offset: u64) -> Fate {
    Fate::Stored(Published { epoch: epoch(1), offset, duplicate: false })
}

/// A room on node `n1`; `owner` owns its slot.
pub(super) fn stage(owner: &str) -> (Durable<Hand>, Stage) {
    let stage = Stage {
        now: Duration::from_secs(1_000),
        owner: Some(node(owner)),
        epoch: Some(epoch(1)),
        me: Some(node("n1")),
        ..Stage::default()
    };
    (Durable::new(false), stage)
}

/// The same, with the member `a`, at that offset.
pub(super) fn following(offset: u64) -> (Durable<Hand>, Stage) {
    follow(stage("n2"), offset)
}

pub(super) fn following_by_key(offset: u64) -> (Durable<Hand>, Stage) {
    follow((Durable::new(true), stage("n2").1), offset)
}

fn follow((mut room, mut stage): (Durable<Hand>, Stage), offset: u64) -> (Durable<Hand>, Stage) {
    room.join(&mut stage, actor("a"), None, None);
    stage.reply(&mut room, Ok(at(offset, offset > 0)));
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

    /// Answers the oldest read that isn't answered.
    pub(super) fn reply(&mut self, room: &mut Durable<Hand>, found: Result<Found, ReadError>) {
        let (id, _) = self.reads.remove(0);
        room.read(self, id, found);
    }

    /// Tells what became of the oldest that was handed over to be stored.
    pub(super) fn acknowledge(&mut self, room: &mut Durable<Hand>, fates: &[Fate]) {
        let (id, _) = self.stores.remove(0);
        room.stored(self, id, fates.to_vec());
    }

    pub(super) fn answer_ask(&mut self, room: &mut Durable<Hand>, answer: Result<Answer, AskError>) {
        let id = self.asks.remove(0);
        room.answered(self, id, answer);
    }

    pub(super) fn hear(&mut self, room: &mut Durable<Hand>, live: Live) -> Vec<String> {
        room.stored_live(self, live);
        self.done()
    }

    /// Lets time pass, and timers come.
    pub(super) fn pass(&mut self, room: &mut Durable<Hand>, time: Duration) {
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

    pub(super) fn pass_ms(&mut self, room: &mut Durable<Hand>, ms: u64) {
        self.pass(room, Duration::from_millis(ms));
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
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
        u64::try_from(self.now.as_millis()).expect("not that long")
    }

    fn owner(&self) -> Option<NodeId> {
        self.owner.clone()
    }

    fn away(&self) -> bool {
        self.away
    }

    fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    fn live(&mut self, body: LiveBody) {
        self.done.push(match body {
            LiveBody::Mark { offset, .. } => format!("mark {offset}"),
            LiveBody::MarkKeys { keys, .. } => {
                let key = |(key, offset): &(Option<ringway_protocol::name::Key>, u64)| {
                    format!(" {}{offset}", key.as_ref().map_or("-", |key| key.as_str()))
                };
                format!("mark{}", keys.iter().map(key).collect::<String>())
            }
            LiveBody::Signal(publication) => format!("send {}", word(&publication)),
            body => unreachable!("a durable room never says {body:?}"),
        });
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, _: Duration) -> AskId {
        let Ask::Publish { publications } = ask else { unreachable!("a durable room never asks {ask:?}") };
        self.done.push(format!("ask {to}: publish {}", words(&publications)));
        let id = AskId(self.next());
        self.asks.push(id);
        id
    }

    fn answer(&mut self, to: u32, answer: Answer) {
        self.answers.push((to, answer));
    }

    fn outcome(&mut self, to: u32, fates: Vec<Fate>) {
        self.outcomes.push((to, fates));
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        self.timers.push((self.now + after, timer));
    }

    fn store(&mut self, publications: Vec<Publication>) -> StoreId {
        self.done.push(format!("store {}", words(&publications)));
        let id = StoreId(self.next());
        self.stores.push((id, publications));
        id
    }

    fn read(&mut self, read: Read) -> ReadId {
        self.done.push(match read {
            Read::Newest => "read newest".to_owned(),
            Read::Since { offset, .. } => format!("read since {offset}"),
            Read::After { offset, upto: 0 } => format!("read after {offset}"),
            Read::After { offset, upto } => format!("read after {offset} to {upto}"),
            Read::Last { count } => format!("read last {count}"),
            Read::Check { offset, .. } => format!("check {offset}"),
        });
        let id = ReadId(self.next());
        self.reads.push((id, read));
        id
    }

    fn disbelieve(&mut self, epoch: Epoch) {
        self.done.push(format!("disbelieve {}", epoch.ms));
    }

    fn look_again(&mut self) {
        self.done.push("look again".to_owned());
    }

    fn deliver<'a>(&mut self, entry: &Entry, _: Epoch, _: bool, to: impl Iterator<Item = &'a Actor>) {
        for actor in to {
            self.done.push(format!("{}: msg {} {}", actor.0, entry.offset, word(&entry.publication)));
        }
    }

    fn pass<'a>(&mut self, publication: &Publication, to: impl Iterator<Item = &'a Actor>) {
        for actor in to {
            self.done.push(format!("{}: signal {}", actor.0, word(publication)));
        }
    }

    fn replay(&mut self, to: &Actor, entry: &Entry, _: Epoch) {
        self.done.push(format!("{}: replay {} {}", to.0, entry.offset, word(&entry.publication)));
        if let Some(takes) = &mut self.takes {
            *takes = takes.saturating_sub(1);
            if *takes == 0 {
                self.takes = None;
                self.behind.push(to.0.clone());
            }
        }
    }

    fn is_behind(&self, to: &Actor) -> bool {
        self.behind.contains(&to.0)
    }

    fn gap(&mut self, to: &Actor, gap: Gap) {
        let reason = if gap.reason == GapReason::Epoch { "epoch" } else { "truncated" };
        self.done.push(format!("{}: gap {reason} {}", to.0, gap.offset));
        self.gaps.push(gap);
    }

    fn joined(&mut self, to: &Actor, answer: Joined) {
        let resumed =
            answer.resumed.map_or("", |resumed| if resumed { ", resumed" } else { ", not resumed" });
        self.done.push(format!("{}: joined at {}{resumed}", to.0, answer.offset));
        self.joins.push(answer);
    }

    fn not_joined(&mut self, to: &Actor, _: NotJoined) {
        self.done.push(format!("{}: not joined", to.0));
    }
}

fn words(publications: &[Publication]) -> String {
    publications.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn word(publication: &Publication) -> &str {
    publication.event.as_deref().unwrap_or("")
}
