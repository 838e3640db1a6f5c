//! What servers send: frames, the messages in them, and the deliveries in those.

use std::io::{ErrorKind, Read as _};

use memchr::memmem::Finder;
use mio::event::Event;

use super::clock;
use super::connection::{Connection, Phase};
use super::engine::Engine;
use super::frame::{self, BINARY, CLOSE, CONTINUATION, Outgoing, PING, PONG, TEXT};
use super::open::{rooms, told};
use super::tally::Tally;
use super::trickle::Trickle;
use super::upgrade::Answer;
use crate::dialect::stamp::{self, Stamp};
use crate::dialect::{Heard, Speak, Who};

/// What a read came to.
enum Outcome {
    /// The connection goes on as it was.
    Nothing,
    /// It is ready now.
    Ready,
    /// It is at an end.
    Gone(String),
}

/// Whether a read has left something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Maybe,
    Unlikely,
    No,
}

/// What messages are taken with.
struct Taking<'a> {
    speak: &'a dyn Speak,
    tally: &'a mut Tally,
    trickle: &'a mut Trickle,
    place: usize,
    /// Bytes that were read from the beginning of the frame at hand.
    from: usize,
    outgoing: &'a mut Outgoing,
    mark: &'a Finder<'static>,
    now: u64,
}

impl Engine {
    /// Something happened to a connection. Gives back what time it is then.
    pub(super) fn happened(&mut self, place: usize, event: &Event) -> u64 {
        let Some(Some(connection)) = self.places.get_mut(place) else { return 0 };
        if event.is_writable() {
            if connection.phase == Phase::Connecting {
                self.upgrade(place);
            } else if let Err(error) = connection.flush() {
                self.gone(place, told(&error));
            }
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(place, event.is_read_closed() || event.is_error())
        } else {
            clock::now()
        }
    }

    /// Reads what there is. `to_the_end`: there is an end to be read.
    fn read(&mut self, place: usize, to_the_end: bool) -> u64 {
        loop {
            let (more, now) = self.read_once(place, usize::MAX);
            // What isn't filled to the brim has taken all there was, and the next that comes is an event.
            let more = more == More::Maybe || (more == More::Unlikely && to_the_end);
            if !more {
                return now;
            }
        }
    }

    /// Reads a little of what there is, for a slow reader.
    pub(super) fn sip(&mut self, place: usize) {
        self.read_once(place, self.trickle.bytes);
    }

    /// Reads once, at most so many bytes. Whether there may be more, and what time it is then.
    fn read_once(&mut self, place: usize, most: usize) -> (More, u64) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return (More::No, clock::now()) };
        if connection.phase == Phase::Connecting {
            // An error; writing the upgrade would have told it, too.
            let error = connection.socket.take_error().ok().flatten();
            self.gone(place, error.map_or("not connected".to_owned(), |error| error.to_string()));
            return (More::No, clock::now());
        }
        let partial = connection.partial().len();
        if self.buffer.len() < 2 * partial {
            self.buffer.resize(4 * partial, 0);
        }
        self.buffer[..partial].copy_from_slice(connection.partial());
        let end = partial.saturating_add(most).min(self.buffer.len());
        let read = connection.socket.read(&mut self.buffer[partial..end]);
        let now = clock::now();
        match read {
            Ok(0) => self.gone(place, "an end without a close frame".to_owned()),
            Ok(read) => {
                if let Some((reader, ..)) = self.trickle.reader(place) {
                    reader.took(read);
                }
                let filled = partial + read;
                match self.take(place, filled, now) {
                    Outcome::Nothing => {}
                    Outcome::Ready => self.ready(place, now),
                    Outcome::Gone(how) => {
                        self.answer(place);
                        self.gone(place, how);
                    }
                }
                self.answer(place);
                return (if filled < end { More::Unlikely } else { More::Maybe }, now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (More::No, now),
            Err(error) if error.kind() == ErrorKind::Interrupted => return (More::Maybe, now),
            Err(error) => self.gone(place, told(&error)),
        }
        (More::No, now)
    }

    /// Sends what a connection has to answer.
    fn answer(&mut self, place: usize) {
        if self.outgoing.is_empty() {
            return;
        }
        if let Some(Some(connection)) = self.places.get_mut(place)
            && let Err(error) = connection.send(self.outgoing.bytes())
        {
            self.gone(place, told(&error));
        }
        self.outgoing.clear();
    }

    /// Takes what is in the buffer.
    fn take(&mut self, place: usize, filled: usize, now: u64) -> Outcome {
        let Self { buffer, places, setup, tally, trickle, outgoing, mark, rooms: plan, .. } = self;
        let (Some(Some(connection)), Some(setup)) = (places.get_mut(place), setup) else {
            return Outcome::Nothing;
        };
        let bytes = &buffer[..filled];
        let mut at = 0;
        if connection.phase == Phase::Upgrading {
            match setup.nonce.answer(bytes) {
                Answer::Incomplete => {
                    connection.keep(bytes);
                    return Outcome::Nothing;
                }
                Answer::Refused(why) => return Outcome::Gone(why),
                Answer::Taken(end) => at = end,
            }
            let number = setup.first + place;
            let rooms = rooms(plan, number);
            let who = Who { number, source: setup.source(number), rooms: &rooms, plan };
            connection.phase = Phase::Greeting;
            connection.waiting = setup.speak.greet(&who, outgoing);
        }
        let deliveries = tally.deliveries;
        let mut taking = Taking { speak: &*setup.speak, tally, trickle, place, from: 0, outgoing, mark, now };
        let ended = loop {
            match frame::head(&bytes[at..]) {
                Ok(Some(head)) if at + head.end <= filled => {
                    let payload = &bytes[at + head.at..at + head.end];
                    taking.from = filled - at;
                    at += head.end;
                    if let Some(how) = taking.frame(connection, head.fin, head.opcode, payload) {
                        break Some(how);
                    }
                }
                Ok(_) => break None,
                Err(why) => break Some(why.to_owned()),
            }
        };
        tally.reads += u64::from(tally.deliveries > deliveries);
        if let Some(how) = ended {
            return Outcome::Gone(how);
        }
        connection.keep(&bytes[at..]);
        if connection.phase == Phase::Greeting && connection.waiting == 0 {
            return Outcome::Ready;
        }
        Outcome::Nothing
    }
}

impl Taking<'_> {
    /// Takes a frame; some: it ends the connection, and how.
    #[inline]
    fn frame(
        &mut self,
        connection: &mut Connection,
        fin: bool,
        opcode: u8,
        payload: &[u8],
    ) -> Option<String> {
        match opcode {
            TEXT | BINARY if fin => self.message(connection, payload),
            TEXT | BINARY | CONTINUATION => {
                connection.fragment(payload);
                if fin {
                    let message = connection.assembled();
                    return self.message(connection, &message);
                }
                None
            }
            CLOSE => {
                // Answered by the same code, as the standard has it.
                self.outgoing.frame(CLOSE, payload.get(..2).unwrap_or_default());
                Some(frame::close_reason(payload))
            }
            PING => {
                self.outgoing.frame(PONG, payload);
                None
            }
            _ => None,
        }
    }

    #[inline]
    fn message(&mut self, connection: &mut Connection, message: &[u8]) -> Option<String> {
        let Some(at) = self.mark.find(message) else { return self.aside(connection, message) };
        let Some(stamp) = Stamp::read(&message[at..]) else { return self.aside(connection, message) };
        self.tally.delivered_bytes += message.len() as u64;
        self.delivery(connection, &stamp);
        if !self.speak.batches() {
            return None;
        }
        let mut rest = &message[at + stamp::LEN..];
        while let Some(at) = self.mark.find(rest) {
            if let Some(stamp) = Stamp::read(&rest[at..]) {
                self.delivery(connection, &stamp);
            }
            rest = &rest[(at + stamp::LEN).min(rest.len())..];
        }
        if memchr::memchr(b'\n', message).is_some() { self.aside(connection, message) } else { None }
    }

    #[inline]
    fn delivery(&mut self, connection: &mut Connection, stamp: &Stamp) {
        if connection.stalled
            && let Some((reader, newest, keys)) = self.trickle.reader(self.place)
        {
            reader.delivery(stamp, self.from, self.now, newest, keys);
            return;
        }
        if !self.trickle.is_empty() {
            self.trickle.out(stamp.number);
        }
        if self.tally.delivery(stamp, self.now, &mut connection.before) {
            connection.order = stamp.after(connection.order);
            connection.heard(self.now);
        }
    }

    /// What isn't a delivery, or not alone.
    #[cold]
    fn aside(&mut self, connection: &mut Connection, message: &[u8]) -> Option<String> {
        match self.speak.hear(&mut connection.waiting, message, self.outgoing) {
            Heard::Fine => None,
            Heard::Missed(messages) => {
                match self.trickle.reader(self.place) {
                    Some((reader, ..)) => reader.gap(messages),
                    None => self.tally.gap(messages),
                }
                None
            }
            Heard::Refused(why) if connection.is_open() => {
                self.tally.refusal(why);
                None
            }
            Heard::Refused(why) => Some(why),
        }
    }
}
