//! What a member writes down.

use std::collections::BTreeMap;
use std::time::Instant;

use ringway_client::Closed;
use ringway_protocol::frame::{Gap, JoinResult, Msg, Position};
use ringway_protocol::{Code, RoomName};
use ringway_testkit::transcript::{Event, Name, Place};

use crate::peer;

/// All that a member knows.
#[derive(Debug, Default)]
pub struct Record {
    /// The room that it is placed by.
    pub home: Option<RoomName>,
    pub rooms: BTreeMap<RoomName, Heard>,
    /// How many different publications it was asked for.
    pub(super) asked: usize,
    /// What it published, in that order.
    pub sent: Vec<Sent>,
    /// Connections that got as far as `hello`, and on which node.
    pub hellos: Vec<(Instant, String)>,
    /// How they ended.
    pub closes: Vec<Closed>,
    /// Connections that weren't had.
    pub failures: usize,
    pub goaways: usize,
    /// What it should never have got: of rooms that it isn't in, of other tenants, of other rooms.
    pub strange: Vec<String>,
}

/// One room, from a member's seat.
#[derive(Debug, Default)]
pub struct Heard {
    pub position: Option<Position>,
    pub events: Vec<(Instant, Event)>,
}

/// A publication of the member's own.
#[derive(Debug)]
pub struct Sent {
    pub room: RoomName,
    pub name: Name,
    pub key: Option<String>,
    /// False: a signal, where the room is durable.
    pub store: bool,
    /// When it was sent first.
    pub at: Instant,
    /// None: not known yet.
    pub outcome: Option<Outcome>,
    /// When that was told last.
    pub answered: Option<Instant>,
    /// At least once nobody knew whether it was published.
    pub unsure: bool,
}

impl Sent {
    pub(super) fn now(room: RoomName, name: Name, key: Option<String>, store: bool) -> Self {
        Self { room, name, key, store, at: Instant::now(), outcome: None, answered: None, unsure: false }
    }
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No place: the backplane was away.
    Accepted {
        place: Option<Place>,
    },
    Refused(Code),
    /// The connection broke before an answer came.
    Unknown,
}

impl Record {
    pub(super) fn of(rooms: &[RoomName]) -> Self {
        let heard = rooms.iter().map(|room| (room.clone(), Heard::default())).collect();
        Self { home: rooms.first().cloned(), rooms: heard, ..Self::default() }
    }

    /// How many publications have no outcome yet.
    pub fn unanswered(&self) -> usize {
        self.asked - self.sent.iter().filter(|sent| sent.outcome.is_some()).count()
    }

    /// What became of a publication that was sent once more, too: what is known stays known.
    pub(super) fn outcome(&mut self, index: usize, outcome: Outcome) {
        let sent = &mut self.sent[index];
        sent.answered = Some(Instant::now());
        sent.unsure |= matches!(outcome, Outcome::Unknown | Outcome::Refused(Code::OutcomeUnknown));
        if !matches!(sent.outcome, Some(Outcome::Accepted { .. })) {
            sent.outcome = Some(outcome);
        }
    }

    pub(super) fn joined(&mut self, room: &RoomName, result: &JoinResult) {
        let Some(heard) = self.rooms.get_mut(room) else {
            return self.strange.push(format!("joined to {room}"));
        };
        let position = result.epoch.clone().zip(result.offset);
        let position = position.map(|(epoch, offset)| Position { epoch, offset, ts: result.ts });
        heard.note(Event::Joined { place: position.as_ref().map(place_of), resumed: result.resumed });
        heard.position = position.or_else(|| heard.position.take());
    }

    pub(super) fn msg(&mut self, tenant: &str, msg: &Msg) {
        let heard = msg.room.as_ref().and_then(|room| self.rooms.get_mut(room));
        let (Some(heard), Some(name)) = (heard, peer::name_in(msg, tenant)) else {
            return self.strange.push(format!("{msg:?}"));
        };
        heard.note(Event::Heard { offset: msg.offset, name });
        if let (Some(position), Some(offset)) = (&mut heard.position, msg.offset) {
            // Only across keys does an offset come that isn't above the one before it.
            if offset > position.offset {
                (position.offset, position.ts) = (offset, msg.ts);
            }
        }
    }

    pub(super) fn gap(&mut self, gap: &Gap) {
        let Some(heard) = self.rooms.get_mut(&gap.room) else {
            return self.strange.push(format!("{gap:?}"));
        };
        let position = Position { epoch: gap.epoch.clone(), offset: gap.offset, ts: gap.ts };
        heard.note(Event::Gap(place_of(&position)));
        heard.position = Some(position);
    }
}

impl Heard {
    fn note(&mut self, event: Event) {
        self.events.push((Instant::now(), event));
    }

    pub fn place(&self) -> Option<Place> {
        self.position.as_ref().map(place_of)
    }

    /// The publications, in the order in which they came.
    pub fn names(&self) -> Vec<Name> {
        let name = |(_, event): &(Instant, Event)| match event {
            Event::Heard { name, .. } => Some(name.clone()),
            Event::Joined { .. } | Event::Gap(_) => None,
        };
        self.events.iter().filter_map(name).collect()
    }
}

fn place_of(position: &Position) -> Place {
    Place { epoch: position.epoch.as_str().into(), offset: position.offset }
}
