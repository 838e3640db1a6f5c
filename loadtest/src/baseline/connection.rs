//! One socket of the floor.

use std::io::{ErrorKind, Read as _, Write as _};
use std::mem;

use mio::net::TcpStream;

/// The most bytes that may wait for a socket, as in Ringway: one that is further behind is closed.
const BEHIND_LIMIT: usize = 1024 * 1024;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its request isn't whole yet.
    Upgrading,
    /// `/`.
    Broadcast,
    /// `/echo`.
    Echo,
}

/// A socket, and nothing else while it is idle: empty vectors hold no memory.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    /// What was read and isn't a whole frame yet.
    pub(super) partial: Vec<u8>,
    /// What the socket hasn't taken yet.
    pub(super) behind: Vec<u8>,
}

/// The connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over;

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection { stream, state: State::Upgrading, partial: Vec::new(), behind: Vec::new() }
    }

    /// Reads once; `None`: there is nothing to read.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Over> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Over),
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
    }

    /// One `send`, behind what waits already. Says whether something has begun to wait.
    pub(super) fn send(&mut self, frame: &[u8]) -> Result<bool, Over> {
        if !self.behind.is_empty() {
            return self.wait(frame).map(|()| false);
        }
        match self.stream.write(frame) {
            Ok(n) if n == frame.len() => Ok(false),
            Ok(n) => self.wait(&frame[n..]).map(|()| true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.wait(frame).map(|()| true)
            }
            Err(_) => Err(Over),
        }
    }

    /// Puts bytes behind what waits.
    pub(super) fn wait(&mut self, bytes: &[u8]) -> Result<(), Over> {
        if self.behind.len() + bytes.len() > BEHIND_LIMIT {
            return Err(Over);
        }
        self.behind.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what waits, as far as it goes. Says whether nothing waits any more.
    pub(super) fn catch_up(&mut self) -> Result<bool, Over> {
        let mut sent = 0;
        while sent < self.behind.len() {
            match self.stream.write(&self.behind[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.behind.drain(..sent);
                    return Ok(false);
                }
                Err(_) => return Err(Over),
            }
        }
        self.behind = Vec::new();
        Ok(true)
    }

    /// What was read and not used, with `more` behind it.
    pub(super) fn take_partial(&mut self, more: &[u8]) -> Vec<u8> {
        let mut bytes = mem::take(&mut self.partial);
        bytes.extend_from_slice(more);
        bytes
    }
}
