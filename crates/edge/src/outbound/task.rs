//! What the connection's own task does with its [`Outbound`]: it writes while the peer is behind,
//! answers what the protocol asks to be answered, and learns of the end.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use ringway_protocol::CloseCode;
use tokio::net::TcpStream;

use super::Outbound;
use super::state::{Phase, State};
use crate::ended::{By, Ended};
use crate::frame::Frame;

impl Outbound {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.wire.stream
    }

    pub(crate) fn note_received(&self) {
        self.received.store(self.wire.now(), Ordering::Relaxed);
        self.wire.alive();
    }

    /// Answers a ping: at once where that costs nothing, else only the newest is answered.
    pub(crate) fn pong(&self, payload: &[u8]) {
        self.change(|state| state.pong(Frame::pong(payload)));
    }

    /// Answers the peer's close frame with its own code, unless it is itself the answer to ours.
    pub(crate) fn answer_close(&self, code: Option<CloseCode>) {
        let answer = code.map_or_else(Frame::close_empty, |code| Frame::close(code, ""));
        self.change(|state| state.close(answer, Ended { by: By::Peer, code }, &self.wire));
    }

    /// The peer's stream ended without a close frame. It may still read: what waits is written.
    pub(crate) fn hang_up(&self) {
        self.change(|state| state.begin_to_end(Ended::LOST));
    }

    /// The stream broke, or nobody reads it any more: nothing more is written.
    pub(crate) fn die(&self) {
        self.change(State::die);
    }

    /// The task is gone: nothing more is written, and nobody is woken.
    pub(crate) fn abandon(&self) {
        self.die();
        // Dropped only after the lock: it may be the last that holds a task.
        let waker = self.state.lock().waker.take();
        drop(waker);
    }

    /// How the connection ended, once it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.state.lock().ended
    }

    /// Bytes that wait because the socket is behind, not for a flush.
    pub(crate) fn backlog(&self) -> usize {
        let state = self.state.lock();
        if state.is_behind() { state.queued_bytes() } else { 0 }
    }

    pub(crate) fn reset_when_dropped(&self) {
        self.wire.reset_when_dropped();
    }

    /// Writes what waits while the socket takes it, and has the task woken when there is more to
    /// do. An error once the connection has ended.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let mut state = self.state.lock();
        if state.is_behind() {
            self.drain(&mut state, cx);
        }
        state.watch(cx);
        state.ended.map_or(Ok(()), Err)
    }

    /// Ready when nothing waits any more: true if all of it was written.
    pub(crate) fn poll_emptied(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.state.lock();
        self.drain(&mut state, cx);
        state.watch(cx);
        if state.waits() { Poll::Pending } else { Poll::Ready(state.phase != Phase::Dead) }
    }

    fn drain(&self, state: &mut State, cx: &mut Context<'_>) {
        while state.waits() {
            match self.wire.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {
                    if state.write(&self.wire) {
                        // A peer that takes something is there, even if its pongs are far behind.
                        self.wire.alive();
                    }
                }
                Poll::Ready(Err(_)) => state.die(),
                Poll::Pending => break,
            }
        }
        self.wire.publish(state.phase);
    }
}
