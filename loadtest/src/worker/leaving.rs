//! Connections that were closed from here, until the server has ended them, too, or a second has passed.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::clock;
use super::connection::Connection;
use super::frame::{CLOSE, Outgoing};

/// Their tokens begin here; those of places are below.
pub(crate) const FIRST: usize = 1 << 40;

/// How long a server has for its own end.
const PATIENCE: u64 = clock::SECOND;

/// Those that leave.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    sockets: HashMap<usize, TcpStream>,
    deadlines: VecDeque<(u64, usize)>,
    next: usize,
}

impl Leaving {
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Sends a close frame and waits for the end. What is still unsent is given up.
    pub(crate) fn take(
        &mut self,
        mut connection: Connection,
        registry: &Registry,
        out: &mut Outgoing,
        now: u64,
    ) {
        out.clear();
        out.frame(CLOSE, &1000_u16.to_be_bytes());
        let told = !connection.has_unsent() && connection.send(out.bytes()).is_ok();
        out.clear();
        let token = FIRST + self.next;
        self.next += 1;
        let stalled = connection.stalled;
        let mut socket = connection.socket;
        let registered = if stalled {
            registry.register(&mut socket, Token(token), Interest::READABLE)
        } else {
            registry.reregister(&mut socket, Token(token), Interest::READABLE)
        };
        if told && registered.is_ok() {
            self.sockets.insert(token, socket);
            self.deadlines.push_back((now + PATIENCE, token));
        }
    }

    /// Something came for one of them: it is of no interest but for its end.
    pub(crate) fn happened(&mut self, token: usize, buffer: &mut [u8]) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        loop {
            match socket.read(buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.sockets.remove(&token);
    }

    /// Drops those whose time is over.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some((deadline, token)) = self.deadlines.front() {
            if *deadline > now && self.sockets.contains_key(token) {
                return;
            }
            self.sockets.remove(token);
            self.deadlines.pop_front();
        }
    }

    /// When the next one's time is over.
    pub(crate) fn due(&self) -> Option<u64> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }
}
