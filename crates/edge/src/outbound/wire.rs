//! What of a connection is used without its lock, or only read under it.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::state::Phase;

pub(super) struct Wire {
    pub(super) stream: TcpStream,
    pub(super) opened: Instant,
    /// The most bytes that may wait once the socket is behind.
    pub(super) queue_limit: u32,
    /// Beats since the peer last gave a sign of life.
    pub(super) unanswered: AtomicU8,
    /// Whether the phase is no longer [`Phase::Open`], readable without the lock.
    pub(super) closed: AtomicBool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, queue_limit: usize) -> Wire {
        Wire {
            stream,
            opened: Instant::now(),
            queue_limit: u32::try_from(queue_limit).unwrap_or(u32::MAX),
            unanswered: AtomicU8::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the opening.
    pub(super) fn now(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64
    }

    pub(super) fn alive(&self) {
        // Read first: writing would take the cache line from those who only look.
        if self.unanswered.load(Ordering::Relaxed) != 0 {
            self.unanswered.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn publish(&self, phase: Phase) {
        if phase != Phase::Open && !self.closed.load(Ordering::Relaxed) {
            self.closed.store(true, Ordering::Release);
        }
    }

    /// Dropping the socket will reset the connection, so that the kernel doesn't go on offering
    /// what it still holds to a peer that takes nothing.
    pub(super) fn reset_when_dropped(&self) {
        let _ = self.stream.set_zero_linger();
    }

    pub(super) fn shut_down(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}
