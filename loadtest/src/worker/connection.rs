//! One connection: small while it idles, 19,000 of them fit into a process.

use std::io::{self, Write as _};

use mio::net::TcpStream;

use crate::control::Silence;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until the socket can be written to.
    Connecting,
    /// Until the upgrade was answered.
    Upgrading,
    /// Until the dialect's answers have come.
    Greeting,
    /// Ready.
    Open,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    /// Tells it from those that had its place before.
    pub(crate) birth: u32,
    /// One more than the number of the message that came last, where messages must come in order.
    pub(crate) before: u32,
    /// What came since the last reset, in its order, as a hash.
    pub(crate) order: u32,
    /// When the last of it came (0: nothing did), and how long nothing came at most.
    heard: u64,
    silence: Silence,
    pub(crate) phase: Phase,
    /// Answers until it is ready.
    pub(crate) waiting: u8,
    /// It reads nothing, on purpose.
    pub(crate) stalled: bool,
    /// What idle connections don't have.
    kept: Option<Box<Kept>>,
}

/// What is between two reads or writes.
#[derive(Debug, Default)]
struct Kept {
    /// When it was to begin opening. Only while it opens.
    started: u64,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// The fragments so far of a message.
    fragments: Vec<u8>,
    /// What the socket didn't take.
    unsent: Vec<u8>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.fragments.is_empty() && self.unsent.is_empty()
    }
}

impl Connection {
    /// One that opens, and was to do so from `started`.
    pub(crate) fn new(socket: TcpStream, birth: u32, started: u64) -> Connection {
        let kept = Some(Box::new(Kept { started, ..Kept::default() }));
        let phase = Phase::Connecting;
        Connection {
            socket,
            birth,
            before: 0,
            order: 0,
            heard: 0,
            silence: Silence::default(),
            phase,
            waiting: 0,
            stalled: false,
            kept,
        }
    }

    /// Forgets what came.
    pub(crate) fn reset(&mut self) {
        (self.before, self.order, self.heard, self.silence) = (0, 0, 0, Silence::default());
    }

    /// A delivery came at `now`.
    #[inline]
    pub(crate) fn heard(&mut self, now: u64) {
        let length = now.saturating_sub(self.heard) / 1_000;
        if length > self.silence.length && self.heard > 0 {
            self.silence = Silence { until: now, length };
        }
        self.heard = now;
    }

    /// The longest silence until `now`.
    pub(crate) fn silence(&self, now: u64) -> Silence {
        let length = now.saturating_sub(self.heard) / 1_000;
        if length > self.silence.length { Silence { until: now, length } } else { self.silence }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// When it was to begin opening; only told while it opens.
    pub(crate) fn started(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.started)
    }

    /// What is to be sent as soon as it is connected.
    pub(crate) fn prepare(&mut self, request: String) {
        self.kept.get_or_insert_default().unsent = request.into_bytes();
    }

    /// It is ready.
    pub(crate) fn opened(&mut self) {
        self.phase = Phase::Open;
        self.tidy();
    }

    /// The beginning of a frame, from reads before.
    pub(crate) fn partial(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.partial)
    }

    /// Keeps the beginning of a frame in place of what was kept before.
    #[inline]
    pub(crate) fn keep(&mut self, partial: &[u8]) {
        if partial.is_empty() && self.kept.is_none() {
            return;
        }
        let kept = self.kept.get_or_insert_default();
        kept.partial.clear();
        kept.partial.extend_from_slice(partial);
        if partial.is_empty() {
            self.tidy();
        }
    }

    /// Adds a fragment to its message.
    pub(crate) fn fragment(&mut self, payload: &[u8]) {
        self.kept.get_or_insert_default().fragments.extend_from_slice(payload);
    }

    /// The message whose last fragment came.
    pub(crate) fn assembled(&mut self) -> Vec<u8> {
        self.kept.as_mut().map(|kept| std::mem::take(&mut kept.fragments)).unwrap_or_default()
    }

    /// Whether the socket has yet to take some of what was sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.unsent.is_empty())
    }

    /// Sends, behind what is unsent; what the socket doesn't take now is kept.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.has_unsent() { 0 } else { write(&mut self.socket, bytes)? };
        if taken < bytes.len() {
            self.kept.get_or_insert_default().unsent.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Sends what is unsent, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(kept) = self.kept.as_mut().filter(|kept| !kept.unsent.is_empty()) {
            let taken = write(&mut self.socket, &kept.unsent)?;
            kept.unsent.drain(..taken);
            self.tidy();
        }
        Ok(())
    }

    fn tidy(&mut self) {
        if self.phase == Phase::Open && self.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
            self.kept = None;
        }
    }
}

/// Writes until the socket takes no more: only then does it tell when it does again.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match socket.write(&bytes[taken..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => taken += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
