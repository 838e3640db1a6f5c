//! What of a connection is used without its lock, or only read under it.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::state::Phase;

/// What the kernel may hold unsent, in bytes, of a connection whose values are to be fresh: a few segments, so that the
/// line never waits for this process, and no more.
const FRESH_UNSENT: u32 = 16 * 1024;

/// More frames than any queue's bytes allow.
const MOST_FRAMES: usize = 1 << 31;

/// What openings are counted from: half as large as an [`Instant`] of each.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// In milliseconds since the start.
    opened: u64,
    /// The most bytes that may wait once the socket is behind.
    pub(super) queue_limit: u32,
    /// The most frames that may, as a power of two: one byte, of those that there are anyway.
    frames_limit: u8,
    /// Beats since the peer last gave a sign of life.
    pub(super) unanswered: AtomicU8,
    /// Whether the phase is no longer [`Phase::Open`], readable without the lock.
    pub(super) closed: AtomicBool,
    /// Whether the kernel was told to take little that it can't send yet.
    fresh: AtomicBool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, queue_limit: usize, frames: usize) -> Wire {
        Wire {
            stream,
            opened: START.elapsed().as_millis() as u64,
            queue_limit: u32::try_from(queue_limit).unwrap_or(u32::MAX),
            frames_limit: frames.clamp(1, MOST_FRAMES).next_power_of_two().ilog2() as u8,
            unanswered: AtomicU8::new(0),
            closed: AtomicBool::new(false),
            fresh: AtomicBool::new(false),
        }
    }

    /// The most frames that may wait once the socket is behind.
    pub(super) fn frames_limit(&self) -> usize {
        1 << self.frames_limit
    }

    /// Milliseconds since the opening.
    pub(super) fn now(&self) -> u64 {
        START.elapsed().as_millis() as u64 - self.opened
    }

    /// The moment so many milliseconds after the opening.
    pub(super) fn moment(&self, since_opening: u64) -> Instant {
        *START + Duration::from_millis(self.opened + since_opening)
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

    /// Has the kernel take little that it can't send yet, so that it isn't the kernel's buffer that holds old values.
    pub(super) fn keep_fresh(&self) {
        // Read first: it may be asked for each frame.
        if !self.fresh.load(Ordering::Relaxed) && !self.fresh.swap(true, Ordering::Relaxed) {
            crate::unsent::limit(&SockRef::from(&self.stream), FRESH_UNSENT);
        }
    }

    /// Writes whether or not the kernel has said that there is room.
    pub(super) fn write_regardless(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(&self.stream).send_vectored(slices)
    }

    pub(super) fn shut_down(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}
