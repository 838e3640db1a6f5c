//! The writing half of a connection: what anyone in the process may do to one WebSocket.
//!
//! It owns the socket, the order of what is written to it, and the decision when a peer is too
//! slow. While the peer keeps up, frames are written by whoever has them, straight to the socket,
//! without waking a task. Once the socket takes no more, the connection is *behind*: frames wait
//! in a bounded queue, and only the connection's own task, in [`Reader`](crate::Reader), writes,
//! until nothing waits. So no frame overtakes another, whichever way each of them went. Only there, too,
//! it matters what a frame's [`Label`](crate::Label) says: what may be left out if there is no room for more.
//!
//! Frames that are to leave together are pushed first and flushed later, by whoever pushed them
//! ([`Due`] says how soon). The queue itself remembers the soonest flush that was promised, so that
//! among many who push, nobody promises what another has promised already.
//!
//! It starts no task and holds no timer: stalls and silence are noticed by whoever sweeps over
//! all connections (see [`check_stalled`](Outbound::check_stalled) and
//! [`beat`](Outbound::beat)).

mod lossy;
mod queue;
mod row;
mod slow;
mod state;
mod task;
mod wire;

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ringway_protocol::CloseCode;
use tokio::net::TcpStream;

use crate::ended::{By, Ended};
use crate::frame::Frame;
pub use lossy::KEYS_LIMIT;
use state::State;
use wire::Wire;

/// How long a socket that is behind may take nothing before its peer counts as stuck: longer than
/// a phone's change of network, far shorter than TCP's own patience of minutes.
pub const STALL_LIMIT: Duration = Duration::from_secs(5);

/// Frames that may wait for one client's socket, whatever their size: each costs some 32 bytes beside its
/// shared payload, so that tiny ones would otherwise cost more than they count.
pub const QUEUED_FRAMES_LIMIT: usize = 16_384;

/// How soon a flush is to follow: each sooner than the one before. What that is in milliseconds is up to who pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// When other frames have come together with it.
    Later,
    /// When it is its turn among many.
    Soon,
    /// When what is under way is done.
    Now,
}

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It isn't taken: the connection is closed, or was so by this frame.
    Refused,
    /// It waits for a flush that another has promised, or for the connection's own task; or its label said that it may
    /// be left out, and it was.
    Waits,
    /// It waits for the flush that the caller has promised herewith.
    Promised,
}

/// The writing half of one WebSocket. Shared by `Arc`; every method may be called from anywhere,
/// and none waits.
// In this order, so that a direct write touches as few cache lines as may be.
#[repr(C)]
pub struct Outbound {
    state: Mutex<State>,
    wire: Wire,
    /// When bytes last came from the peer, in milliseconds since the opening.
    received: AtomicU64,
}

impl Outbound {
    /// The most bytes and frames that may wait once the socket is behind.
    pub(crate) fn new(stream: TcpStream, queue_limit: usize, frames: usize) -> Outbound {
        Outbound {
            state: Mutex::default(),
            wire: Wire::new(stream, queue_limit, frames),
            received: AtomicU64::new(0),
        }
    }

    /// Appends a frame without writing it, unless very many wait already; [`flush`](Self::flush)
    /// follows. For frames that are to leave together. False once the connection is closed, or if
    /// this frame was one too many and closed it (1008 "Slow consumer").
    pub fn push(&self, frame: &Frame) -> bool {
        self.push_for(frame, Due::Now) != Pushed::Refused
    }

    /// Like [`push`](Self::push), for who keeps lists of connections that are to be flushed. Where it returns
    /// [`Pushed::Promised`], the caller has promised a [`flush`](Self::flush) as soon as `due` means to it; else
    /// another has promised one at least as soon, or none is needed.
    pub fn push_for(&self, frame: &Frame, due: Due) -> Pushed {
        self.change(|state| state.push(frame, due, &self.wire))
    }

    /// Writes what was pushed, if the socket isn't behind; else the connection's task will.
    pub fn flush(&self) {
        self.change(|state| state.flush(&self.wire));
    }

    /// Reads a little of what a push or a flush is going to need. Who goes through very many connections does it for
    /// some of them before each is dealt with: then the processor fetches them from memory all at once, not one by one.
    pub fn warm(&self) {
        black_box((self.state.is_locked(), self.wire.closed.load(Ordering::Relaxed)));
    }

    /// Appends a frame and writes it at once, if the socket isn't behind. False as for
    /// [`push`](Self::push).
    pub fn send(&self, frame: &Frame) -> bool {
        self.send_all(std::slice::from_ref(frame))
    }

    /// Like [`send`](Self::send) for frames that leave as one write. The cheapest way to give a
    /// connection several frames: nothing is cloned or allocated while the socket keeps up.
    pub fn send_all(&self, frames: &[Frame]) -> bool {
        self.change(|state| state.send_all(frames, &self.wire))
    }

    /// Closes the connection: what waits is still sent, then the close frame, and nothing after
    /// it. [`Reader::read`](crate::Reader::read) ends, and [`Reader::finish`](crate::Reader::finish)
    /// sees to the rest. Only the first call does anything; false if it wasn't this one.
    pub fn close(&self, code: CloseCode, reason: &str) -> bool {
        let ended = Ended { by: By::Us, code: Some(code) };
        self.change(|state| state.close(Frame::close(code, reason), ended, &self.wire))
    }

    /// Ends the connection at once, without a word: for a peer that is no longer there.
    pub fn cut(&self) {
        self.change(State::die);
        self.wire.reset_when_dropped();
        self.wire.shut_down();
    }

    /// Whether closing has begun, by either side. Nothing is accepted any more.
    pub fn is_closed(&self) -> bool {
        self.wire.closed.load(Ordering::Acquire)
    }

    /// Whether the socket takes no more for now: what is pushed waits, and may be left out if its label says so.
    pub fn is_behind(&self) -> bool {
        self.state.lock().is_behind()
    }

    /// Memory runs short: of what waits for a peer that is behind, everything with a label is left out; where nothing
    /// had one, the connection is closed (1008 "Slow consumer", [`By::Shed`]). Returns the bytes that no longer wait for
    /// it, which aren't free before all others are done with them; 0 for a peer that keeps up.
    pub fn shed(&self) -> u64 {
        self.change(State::shed) as u64
    }

    /// From now on the kernel takes little that it can't send yet, so that what is replaced by something newer is
    /// replaced here, and not written long before the peer can get it. Costs a system call, the first time only. For
    /// connections on which newer frames replace older ones: they fall behind sooner.
    pub fn keep_fresh(&self) {
        self.wire.keep_fresh();
    }

    /// Bytes that wait for the socket.
    pub fn queued_bytes(&self) -> usize {
        self.state.lock().queued_bytes()
    }

    /// Since when the socket, being behind, has taken nothing; `None` while it keeps up.
    pub fn stalled_since(&self) -> Option<Instant> {
        let progress = self.state.lock().stalled_since()?;
        Some(self.wire.moment(progress))
    }

    /// Closes the connection (1008 "Send timeout", [`By::Stalled`]) if its socket has taken nothing for
    /// [`STALL_LIMIT`] and takes nothing now. True if it did so.
    pub fn check_stalled(&self, now: Instant) -> bool {
        self.change(|state| {
            let stalled = state
                .stalled_since()
                .is_some_and(|since| now.saturating_duration_since(self.wire.moment(since)) >= STALL_LIMIT);
            stalled && state.give_up_unless_it_takes(&self.wire)
        })
    }

    /// When the connection was opened.
    pub fn opened(&self) -> Instant {
        self.wire.moment(0)
    }

    /// When bytes last came from the peer, of whatever kind; at first when it was opened.
    pub fn last_received(&self) -> Instant {
        self.wire.moment(self.received.load(Ordering::Relaxed))
    }

    /// Beats since the peer's last sign of life, this one included.
    pub(crate) fn count_beat(&self) -> u8 {
        self.wire.unanswered.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Changes the state, and wakes the connection's task if that gave it something to do.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let before = state.calling();
        let result = change(&mut state);
        let after = state.calling();
        let waker = if after != before { state.waker.take() } else { None };
        self.wire.publish(state.phase);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("peer", &self.wire.stream.peer_addr().ok())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the two counts of its `Arc`, two cache lines.
        assert!(size_of::<Outbound>() <= 112, "{}", size_of::<Outbound>());
    }
}
