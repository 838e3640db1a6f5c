//! What one client writes down, from what the Rust client tells it.

use std::collections::BTreeMap;
use std::time::Instant;

use ringway_client::{Closed, Event, State};
use ringway_protocol::frame::{Gap, JoinResult, Msg};
use ringway_protocol::{EpochName, RoomName};
use ringway_testkit::transcript::{self, Name, Place};

use crate::peer;

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) rooms: BTreeMap<RoomName, Heard>,
    /// Connections that got as far as `hello`, and on which node.
    pub(crate) opened: Vec<(Instant, String)>,
    /// Connections that were lost while there was no other yet.
    pub(crate) lost: Vec<(Instant, Closed)>,
    /// It has given up.
    pub(crate) ended: Option<Closed>,
    /// What it should never have got.
    pub(crate) strange: Vec<String>,
    pub(crate) sent: Vec<Sent>,
}

/// One room, from a client's seat.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Where the client is.
    pub(crate) place: Option<Place>,
    pub(crate) events: Vec<(Instant, transcript::Event)>,
    /// The gaps told, by their reason.
    pub(crate) gaps: Vec<(Instant, String)>,
    /// Resumes that were refused: where the client was, and what it was told.
    pub(crate) not_resumed: Vec<String>,
}

/// A publication of the client's own.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) room: RoomName,
    pub(crate) name: Name,
    pub(crate) asked: Instant,
    pub(crate) answered: Option<(Instant, Outcome)>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// No place: the backplane was away.
    Accepted(Option<Place>),
    /// Refused, or nobody knows: why, for the message of a failed test.
    Not(#[expect(dead_code, reason = "shown by `Debug`")] String),
}

impl Record {
    pub(crate) fn of(rooms: &[RoomName]) -> Self {
        let rooms = rooms.iter().map(|room| (room.clone(), Heard::default())).collect();
        Self { rooms, ..Self::default() }
    }

    /// The node that holds it, or held it last.
    pub(crate) fn node(&self) -> &str {
        self.opened.last().map_or("", |(_, node)| node)
    }

    /// Whether everything that it asked for has an outcome.
    pub(crate) fn is_answered(&self) -> bool {
        self.sent.iter().all(|sent| sent.answered.is_some())
    }

    pub(crate) fn event(&mut self, tenant: &str, event: Event) {
        match event {
            Event::State(State::Open { node, .. }) => {
                self.opened.push((Instant::now(), node.as_deref().unwrap_or_default().to_owned()));
            }
            Event::State(State::Reconnecting { closed, .. }) => self.lost.push((Instant::now(), closed)),
            Event::State(State::Closed(closed)) => self.ended = Some(closed),
            Event::Joined { room, result } => self.joined(&room, &result),
            Event::Msg(msg) => self.msg(tenant, &msg),
            Event::Gap(gap) => self.gap(&gap),
            Event::State(State::Connecting) | Event::Hello(_) | Event::Presence(_) => {}
            other @ (Event::Left { .. } | Event::Refused(_)) => self.strange.push(format!("{other:?}")),
        }
    }

    fn joined(&mut self, room: &RoomName, result: &JoinResult) {
        let Some(heard) = self.rooms.get_mut(room) else {
            return self.strange.push(format!("joined to {room}"));
        };
        let mut place =
            result.epoch.as_ref().zip(result.offset).map(|(epoch, offset)| place_of(epoch, offset));
        if result.resumed == Some(false) {
            heard.not_resumed.push(format!("at {:?}: {result:?}, {:?}", heard.place, self.opened));
        }
        if let (Some(true), Some(at), Some(ours)) = (result.resumed, &place, &heard.place)
            && at.epoch == ours.epoch
            && at.offset < ours.offset
        {
            // On a move the old connection brought more after the new one had asked; the client goes on from there.
            place = Some(ours.clone());
        }
        heard.note(transcript::Event::Joined { place: place.clone(), resumed: result.resumed });
        heard.place = place.or(heard.place.take());
    }

    fn msg(&mut self, tenant: &str, msg: &Msg) {
        let heard = msg.room.as_ref().and_then(|room| self.rooms.get_mut(room));
        let (Some(heard), Some(name)) = (heard, peer::name_in(msg, tenant)) else {
            return self.strange.push(format!("{msg:?}"));
        };
        heard.note(transcript::Event::Heard { offset: msg.offset, name });
        if let (Some(place), Some(offset)) = (&mut heard.place, msg.offset) {
            place.offset = offset;
        }
    }

    fn gap(&mut self, gap: &Gap) {
        let Some(heard) = self.rooms.get_mut(&gap.room) else {
            return self.strange.push(format!("{gap:?}"));
        };
        let place = place_of(&gap.epoch, gap.offset);
        heard.gaps.push((Instant::now(), gap.reason.as_str().to_owned()));
        heard.note(transcript::Event::Gap(place.clone()));
        heard.place = Some(place);
    }
}

impl Heard {
    fn note(&mut self, event: transcript::Event) {
        self.events.push((Instant::now(), event));
    }

    /// No gap came, and every resume was a success.
    pub(crate) fn assert_told_nothing(&self, who: &str) {
        assert!(
            self.gaps.is_empty() && self.not_resumed.is_empty(),
            "{who}: gaps {:?}, refused {:?}",
            self.gaps,
            self.not_resumed
        );
    }

    /// How many publications came.
    pub(crate) fn count(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, transcript::Event::Heard { .. })).count()
    }
}

pub(crate) fn place_of(epoch: &EpochName, offset: u64) -> Place {
    Place { epoch: epoch.as_str().into(), offset }
}
