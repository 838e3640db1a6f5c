//! Sending at fixed times.

use hdrhistogram::Histogram;
use memchr::memmem;

use super::clock;
use super::engine::{AT_A_TIME, Engine};
use super::job::Job;
use super::membership::Rooms;
use super::open::told;
use super::pace::Pace;
use crate::control::{Aim, Event, Membership, Published};
use crate::dialect::Speak;
use crate::dialect::stamp::{self, Stamp};
use crate::histogram;

/// What is published, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
    /// Messages at once, one at least.
    pub(crate) burst: usize,
    /// Bytes of a body.
    pub(crate) body: usize,
    /// So many connections in turn.
    pub(crate) publishers: usize,
    pub(crate) to: Aim,
    /// Message `n` has key `n` modulo so many.
    pub(crate) keys: Option<u32>,
    /// How long the sockets have for what they didn't take at once, after the last message, seconds.
    pub(crate) patience: f64,
}

/// Publishing, under way.
pub(crate) struct Publishing {
    pace: Pace,
    load: Load,
    /// Whether receivers must see the numbers grow.
    ordered: bool,
    body: Vec<u8>,
    /// Of one room, by key.
    templates: Vec<Template>,
    /// Members of each room, where that can be told.
    members: Option<Members>,
    sent: u64,
    unsent: u64,
    due: u64,
    began: u64,
    /// When the last was sent.
    end: u64,
    lateness: Histogram<u64>,
}

/// The payload for a room, but for the stamp.
struct Template {
    room: u32,
    key: Option<u32>,
    payload: Vec<u8>,
    stamp_at: usize,
}

/// How many connections are in a room.
enum Members {
    /// The same in every room.
    Each(u64),
    Of(Vec<u32>),
}

/// The number of a room in which nobody is while everyone is in room 0.
const NOBODY: u32 = 1;

impl Members {
    fn new(plan: &Rooms, total: usize) -> Option<Members> {
        match plan.plan() {
            // A room of its own has its publisher at least.
            Membership::Own => Some(Members::Each(1)),
            _ if total == 0 => None,
            Membership::One | Membership::Windowed => Some(Members::Each(total as u64)),
            Membership::Zipf { .. } | Membership::Listed { .. } => Some(Members::Of(plan.sizes(total))),
        }
    }

    fn of(&self, room: u32) -> u64 {
        match self {
            Members::Each(members) => *members,
            Members::Of(sizes) => sizes.get(room as usize).copied().map_or(0, u64::from),
        }
    }
}

impl Publishing {
    pub(super) fn new(load: Load, rooms: &Rooms, total: usize) -> Publishing {
        let members = Members::new(rooms, total);
        let ordered = match rooms.plan() {
            Membership::One | Membership::Windowed => load.publishers == 1,
            Membership::Own => load.to == Aim::Own || load.publishers == 1,
            // One publisher a room at most: the first connections are in as many rooms.
            Membership::Listed { numbers } => load.to == Aim::Own && load.publishers <= numbers.len(),
            Membership::Zipf { .. } => false,
        };
        // Only now: counting members takes its time, and none of that is to be late.
        let began = clock::now();
        let pace = Pace::lasting(began, load.per_second, load.seconds);
        Publishing {
            pace,
            load,
            ordered,
            body: stamp::body(load.body),
            templates: Vec::new(),
            members,
            sent: 0,
            unsent: 0,
            due: 0,
            began,
            end: began,
            lateness: histogram::empty(),
        }
    }

    /// The first moment of its schedule.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// When something is to be done, sending apart.
    pub(super) fn due(&self) -> u64 {
        if self.pace.due().is_some() { u64::MAX } else { self.patient_until() }
    }

    fn patient_until(&self) -> u64 {
        self.end.saturating_add(clock::nanoseconds(self.load.patience))
    }

    fn template(&mut self, rooms: &Rooms, room: u32, number: u32, speak: &dyn Speak) -> &mut Template {
        if self.templates.first().is_some_and(|template| template.room != room) {
            self.templates.clear();
        }
        let key = self.load.keys.map(|keys| number % keys.max(1));
        let at = self.templates.iter().position(|template| template.key == key).unwrap_or_else(|| {
            let payload = speak.publication(rooms.room(room), &self.body, key);
            let stamp_at = memmem::find(&payload, stamp::MARK).expect("a publication holds its body");
            self.templates.push(Template { room, key, payload, stamp_at });
            self.templates.len() - 1
        });
        &mut self.templates[at]
    }

    fn told(&self) -> Published {
        Published {
            sent: self.sent,
            payload_bytes: self.templates.last().map_or(0, |template| template.payload.len()),
            seconds: clock::seconds(self.end.saturating_sub(self.began)),
            lateness: histogram::pack(&self.lateness),
            due: self.members.as_ref().map(|_| self.due),
            unsent: self.unsent,
        }
    }
}

impl Engine {
    /// Sends what is due. Called between any two events while there is something to send.
    pub(super) fn publish(&mut self, mut now: u64) {
        let Some(Job::Publish(mut publishing)) = self.job.take_if(|job| matches!(job, Job::Publish(_)))
        else {
            return;
        };
        for _ in 0..AT_A_TIME {
            let Some((tick, intended)) = publishing.pace.take(now) else { break };
            now = clock::now();
            self.send(&mut publishing, tick as usize, intended, now);
        }
        self.next_send = publishing.pace.due().unwrap_or(u64::MAX);
        self.job = Some(Job::Publish(publishing));
    }

    /// Sends one burst.
    fn send(&mut self, publishing: &mut Publishing, tick: usize, intended: u64, now: u64) {
        let setup = self.setup.as_ref().expect("nothing is sent before it is configured");
        let place = tick % publishing.load.publishers;
        let Some(connection) = self.places.get_mut(place).and_then(Option::as_mut).filter(|c| c.is_open())
        else {
            publishing.unsent += publishing.load.burst as u64;
            return;
        };
        let room = match publishing.load.to {
            Aim::First => 0,
            Aim::Nobody => NOBODY,
            Aim::Own => {
                let own = self.rooms.of(setup.first + place);
                own[tick / publishing.load.publishers % own.len()]
            }
        };
        let (burst, ordered) = (publishing.load.burst, publishing.ordered);
        for number in self.next_number..self.next_number + burst as u32 {
            let template = publishing.template(&self.rooms, room, number, &*setup.speak);
            let Template { payload, stamp_at, .. } = template;
            let stamp = Stamp { intended, number, origin: setup.first as u16, ordered };
            payload[*stamp_at..*stamp_at + stamp::LEN].copy_from_slice(&stamp.bytes());
            self.outgoing.frame(setup.speak.opcode(), payload);
        }
        self.next_number += burst as u32;
        let sent = connection.send(self.outgoing.bytes());
        self.outgoing.clear();
        let late = (now.saturating_sub(intended) / 1_000).max(1);
        publishing.lateness.saturating_record_n(late, burst as u64);
        publishing.sent += burst as u64;
        self.tally.sent += burst as u64;
        let members = publishing.members.as_ref().filter(|_| publishing.load.to != Aim::Nobody);
        publishing.due += members.map_or(0, |members| members.of(room)) * burst as u64;
        publishing.end = now;
        self.last_sent = now;
        if let Err(error) = sent {
            self.gone(place, told(&error));
        }
    }

    /// What came of it, once all is sent.
    pub(super) fn published(&mut self, now: u64) -> Option<Event> {
        let Some(Job::Publish(publishing)) = &self.job else { return None };
        if publishing.pace.due().is_some() {
            return None;
        }
        let unsent = self.places[..publishing.load.publishers].iter().flatten().any(|c| c.has_unsent());
        (!unsent || now >= publishing.patient_until()).then(|| Event::Published(publishing.told()))
    }
}
