//! The loop: commands, moments and sockets, in that order.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use anyhow::Context as _;
use memchr::memmem::Finder;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::clock::{self, Alarm};
use super::connection::{Connection, Phase};
use super::frame::Outgoing;
use super::inbox::Line;
use super::job::{Arrivals, Job};
use super::leaving::{self, Leaving};
use super::locate::Locator;
use super::membership::Rooms;
use super::open::Deadlines;
use super::tally::Tally;
use super::trickle::Trickle;
use super::upgrade::Nonce;
use crate::control::{Command, Event, Membership};
use crate::dialect::{Speak, stamp};

const WAKE: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);

/// Read at a time. Most reads bring little; the rest of it isn't touched then.
const BUFFER: usize = 128 * 1024;

/// Events taken at a time. Moments that come meanwhile are looked at between two of them.
const EVENTS: usize = 1024;

/// Connections begun, or messages sent, before sockets are looked at again.
pub(super) const AT_A_TIME: usize = 64;

/// Says what came of things.
pub(crate) type Sink = Box<dyn FnMut(&Event) -> anyhow::Result<()>>;

/// A worker.
pub(crate) struct Engine {
    poll: Option<Poll>,
    pub(super) registry: Registry,
    alarm: Alarm,
    commands: Receiver<Line>,
    sink: Sink,
    pub(super) setup: Option<Setup>,
    pub(super) rooms: Rooms,
    /// By their number, less this worker's first. None: failed, or closed by the server.
    pub(super) places: Vec<Option<Connection>>,
    pub(super) leaving: Leaving,
    pub(super) deadlines: Deadlines,
    pub(super) arrivals: Arrivals,
    pub(super) tally: Tally,
    pub(super) trickle: Trickle,
    /// `SO_RCVBUF` of those that are opened; none: as the kernel has it.
    pub(super) receive_buffer: Option<usize>,
    pub(super) job: Option<Job>,
    /// When the next message is to be sent: looked at between any two events.
    pub(super) next_send: u64,
    pub(super) next_number: u32,
    /// When the last message was sent.
    pub(super) last_sent: u64,
    /// Ready connections.
    pub(super) open: usize,
    pub(super) births: u32,
    /// The place that churn empties next.
    pub(super) oldest: usize,
    pub(super) buffer: Vec<u8>,
    pub(super) outgoing: Outgoing,
    pub(super) mark: Finder<'static>,
    /// How long it doesn't sleep after an event, and when the last one was.
    pub(super) spin: u64,
    last_event: u64,
    next_progress: u64,
    ended: bool,
}

/// What a worker is configured to.
pub(super) struct Setup {
    pub(super) speak: Box<dyn Speak>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sources: Vec<IpAddr>,
    pub(super) first: usize,
    pub(super) total: usize,
    pub(super) nonce: Nonce,
    /// Made when the first connection asks where to go.
    pub(super) locator: Option<Locator>,
}

/// Wakes the loop when there is a command.
pub(crate) fn waker(poll: &Poll) -> anyhow::Result<Waker> {
    Waker::new(poll.registry(), WAKE).context("a waker")
}

impl Engine {
    pub(crate) fn new(poll: Poll, commands: Receiver<Line>, sink: Sink) -> anyhow::Result<Engine> {
        let registry = poll.registry().try_clone().context("a second handle of the poll")?;
        let alarm = Alarm::new().context("a timer")?;
        let fd = alarm.as_raw_fd();
        registry.register(&mut SourceFd(&fd), ALARM, Interest::READABLE).context("the timer's events")?;
        let now = clock::now();
        Ok(Engine {
            poll: Some(poll),
            registry,
            alarm,
            commands,
            sink,
            setup: None,
            rooms: Rooms::new(&Membership::One),
            places: Vec::new(),
            leaving: Leaving::default(),
            deadlines: Deadlines::default(),
            arrivals: Arrivals::new(now),
            tally: Tally::new(now),
            trickle: Trickle::default(),
            receive_buffer: None,
            job: None,
            next_send: u64::MAX,
            next_number: 0,
            last_sent: 0,
            open: 0,
            births: 0,
            oldest: 0,
            buffer: vec![0; BUFFER],
            outgoing: Outgoing::new(rand::random()),
            mark: Finder::new(stamp::MARK),
            spin: 0,
            last_event: now,
            next_progress: now + clock::SECOND,
            ended: false,
        })
    }

    /// Until [`Command::End`], or nobody listens.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let mut poll = self.poll.take().expect("an engine runs once");
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = clock::now();
            self.advance(now)?;
            if self.ended {
                return Ok(());
            }
            let due = self.due(now);
            let later = clock::now();
            let wait = if due <= later || later < self.last_event + self.spin {
                Some(Duration::ZERO)
            } else {
                self.alarm.set(due, now).context("the timer")?;
                None
            };
            match poll.poll(&mut events, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("the poll")?,
            }
            if !events.is_empty() {
                self.last_event = clock::now();
            }
            for event in &events {
                match event.token() {
                    WAKE | ALARM => {}
                    Token(token @ leaving::FIRST..) => self.leaving.happened(token, &mut self.buffer),
                    Token(place) => {
                        let now = self.happened(place, event);
                        if now >= self.next_send {
                            self.publish(now);
                        }
                    }
                }
            }
        }
    }

    /// What time asks for.
    fn advance(&mut self, now: u64) -> anyhow::Result<()> {
        self.expire(now);
        self.leaving.expire(now);
        self.trickle.look(now);
        for place in self.trickle.reads(now) {
            self.sip(place);
        }
        if now >= self.next_progress {
            self.next_progress = now + clock::SECOND - (now - self.next_progress) % clock::SECOND;
            let standing = self.standing();
            (self.sink)(&Event::Progress(standing))?;
        }
        loop {
            if self.job.is_some() {
                let Some(event) = self.pursue(now) else { return Ok(()) };
                self.job = None;
                (self.sink)(&event)?;
            }
            match self.commands.try_recv() {
                Ok(Ok(Command::End)) | Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(Ok(command)) => match self.begin(command, clock::now()) {
                    Ok(Some(event)) => (self.sink)(&event)?,
                    Ok(None) => {}
                    Err(why) => (self.sink)(&Event::Failed { why: format!("{why:#}") })?,
                },
                Ok(Err(why)) => (self.sink)(&Event::Failed { why })?,
                Err(TryRecvError::Empty) => return Ok(()),
            }
        }
    }

    /// When time next asks for something.
    fn due(&self, now: u64) -> u64 {
        let mut due = self.next_progress.min(self.next_send).min(self.trickle.due());
        due = due.min(self.deadlines.due().unwrap_or(u64::MAX));
        due = due.min(self.leaving.due().unwrap_or(u64::MAX));
        let job = match &self.job {
            Some(Job::Open(opening)) => match &opening.pace {
                Some(pace) => pace.due().unwrap_or(u64::MAX),
                None if opening.left > 0 && self.arrivals.pending < opening.in_flight => now,
                None => u64::MAX,
            },
            Some(Job::Publish(publishing)) => publishing.due(),
            Some(Job::Collect(collecting)) => collecting.due(self.tally.newest),
            Some(Job::Churn(pace)) => pace.due().unwrap_or(u64::MAX),
            Some(Job::Close) | None => u64::MAX,
        };
        due.min(job)
    }

    /// A connection is gone, and how: it failed to open, or the server closed it.
    pub(super) fn gone(&mut self, place: usize, how: String) {
        let Some(connection) = self.places.get_mut(place).and_then(Option::take) else { return };
        match connection.phase {
            Phase::Open => {
                self.open -= 1;
                match self.trickle.reader(place) {
                    Some((reader, ..)) => reader.closed(how),
                    None => self.tally.close(how),
                }
            }
            Phase::Connecting | Phase::Upgrading | Phase::Greeting => self.arrivals.failed(how),
        }
    }
}
