//! What a client does, across its connections: a value without I/O, clock or chance of its own.
//!
//! It owns the rooms and where we are in each, the requests without an answer, which of at most two
//! connections counts for what, and when to come back. It is told what happened and what time it
//! is, and says what is to be done ([`Action`]); `driver` does it.
//!
//! The life of a connection: `dial` → [`Machine::opened`] → [`Machine::frame`] … →
//! [`Machine::closed`] → `dial`. After a `goaway` a second one is dialled beside the first, rooms
//! move one by one as they are answered there, and `adopt` ends the first.

mod links;
mod receive;
mod requests;
mod rooms;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use ringway_protocol::frame::{Answer, Leave, Msg};
use ringway_protocol::{ClientFrame, CloseCode, Format, RoomName, encode_client};

use crate::backoff::Backoff;
use crate::connection::Closed;
use crate::event::{Event, RequestError, State};
use links::Link;
use requests::Waiting;
use rooms::Room;

/// From dialling to `hello`: longer than a handshake may take, so that this one notices last.
const HELLO_WITHIN: Duration = Duration::from_secs(15);
/// Silence beyond `hello.ping` until a connection is dead; also how long a hand-over may take.
const GRACE: Duration = Duration::from_secs(10);
/// A frame's limit until `hello` gives it, in bytes.
const FRAME_LIMIT: u64 = 64 * 1024;

/// An answer, and the lines of a history page that came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) lines: Vec<Msg>,
}

/// What is to be done. `R` is whoever waits for an answer.
#[derive(Debug)]
pub(crate) enum Action<R> {
    /// Open a connection; tell by `opened`, or `closed`.
    Dial { link: u64, home: Option<RoomName>, session: Option<Arc<str>>, new_token: bool },
    /// Send a frame, in the order of these actions.
    Send { link: u64, bytes: Bytes },
    /// Close it, and tell nothing of it any more.
    End { link: u64 },
    /// Tell the application.
    Event(Event),
    /// Tell who asked.
    Reply { to: R, answer: Result<Answered, RequestError> },
}

/// What a machine is made with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// The home room; none: the first one joined.
    pub(crate) home: Option<RoomName>,
    pub(crate) session: Option<Arc<str>>,
    /// Whether there may be a new token after a refused one.
    pub(crate) renewable: bool,
    /// What publications' ids begin with: never used before.
    pub(crate) prefix: String,
    pub(crate) seed: u64,
    /// How many requests may wait for an answer.
    pub(crate) most_waiting: usize,
}

/// What may be due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Dial,
    Heartbeat { link: u64 },
    HandOver { link: u64 },
    Answer { id: u64 },
    Again { id: u64 },
    Rejoin { link: u64, room: RoomName, membership: u64 },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine<R> {
    settings: Settings,
    rooms: BTreeMap<RoomName, Room<R>>,
    waiting: BTreeMap<u64, Waiting<R>>,
    /// The connection that requests go to.
    current: Option<Link>,
    /// The one that is being opened.
    next: Option<Link>,
    /// The one whose messages to the user count.
    personal: Option<u64>,
    new_token: bool,
    frame_limit: u64,
    backoff: Backoff,
    random: SmallRng,
    last_id: u64,
    last_link: u64,
    dial_at: Option<Duration>,
    timers: BTreeSet<(Duration, Timer)>,
    actions: VecDeque<Action<R>>,
    closed: bool,
}

impl<R> Machine<R> {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            rooms: BTreeMap::new(),
            waiting: BTreeMap::new(),
            current: None,
            next: None,
            personal: None,
            new_token: false,
            frame_limit: FRAME_LIMIT,
            backoff: Backoff::default(),
            random: SmallRng::seed_from_u64(settings.seed),
            last_id: 0,
            last_link: 0,
            dial_at: None,
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            closed: false,
            settings,
        }
    }

    /// The next thing to do.
    pub(crate) fn action(&mut self) -> Option<Action<R>> {
        self.actions.pop_front()
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Time has come.
    pub(crate) fn tick(&mut self, now: Duration) {
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, timer)) = self.timers.pop_first() else { return };
            match timer {
                Timer::Dial => {
                    self.dial_at = None;
                    self.dial(now);
                }
                Timer::Heartbeat { link } => self.heartbeat(link, now),
                Timer::HandOver { link } => self.adopt(link, now),
                Timer::Answer { id } => self.settle(id, Err(RequestError::Timeout)),
                Timer::Again { id } => {
                    if let Some(bytes) = self.waiting.get(&id).map(|waiting| waiting.bytes.clone()) {
                        self.send_current(bytes);
                    }
                }
                Timer::Rejoin { link, room, membership } => {
                    if self.rooms.get(&room).is_some_and(|room| room.membership == membership) {
                        self.send_join(link, &room);
                    }
                }
            }
        }
    }

    /// The application closes.
    pub(crate) fn close(&mut self) {
        self.finish(Closed { code: CloseCode::NORMAL, reason: "closed by the application".to_owned() });
    }

    /// Ends for good.
    pub(crate) fn finish(&mut self, closed: Closed) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.timers.clear();
        for link in [self.current.take(), self.next.take()].into_iter().flatten() {
            self.actions.push_back(Action::End { link: link.number });
        }
        for to in std::mem::take(&mut self.rooms).into_values().flat_map(|room| room.asking) {
            self.actions.push_back(Action::Reply { to, answer: Err(RequestError::Closed) });
        }
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            self.actions.push_back(Action::Reply { to: waiting.to, answer: Err(RequestError::Closed) });
        }
        self.event(Event::State(State::Closed(closed)));
    }

    fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn encode(&self, frame: &ClientFrame) -> Bytes {
        let mut bytes = Vec::new();
        encode_client(self.settings.format, frame, &mut bytes);
        bytes.into()
    }

    fn send_current(&mut self, bytes: Bytes) {
        if let Some(link) = self.current.as_ref().map(|link| link.number) {
            self.actions.push_back(Action::Send { link, bytes });
        }
    }

    fn send_leave(&mut self, link: u64, room: &RoomName) {
        let frame = ClientFrame::Leave(Leave { id: Some(self.fresh_id()), room: room.clone() });
        let bytes = self.encode(&frame);
        self.actions.push_back(Action::Send { link, bytes });
    }
}
