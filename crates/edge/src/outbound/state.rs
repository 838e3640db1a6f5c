//! What is behind an [`Outbound`](super::Outbound)'s lock, and the writes that happen under it.
//!
//! The lock is held over a non-blocking write, so that two writers can't interleave, and never
//! over an await.

use std::io::{self, IoSlice};
use std::task::{Context, Waker};

use ringway_protocol::CloseCode;
use ringway_protocol::close::SLOW_CONSUMER;

use super::QUEUED_FRAMES_LIMIT;
use super::queue::{BATCH, Queue};
use super::wire::Wire;
use crate::ended::{By, Ended};
use crate::frame::Frame;

/// Pongs that may stand among the waiting frames; beyond, only the newest ping is answered.
const PONGS_QUEUED: u8 = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    /// The last frame is queued or sent; nothing may follow it.
    Closing,
    /// Nothing is written any more.
    Dead,
}

#[derive(Default)]
pub(super) struct State {
    /// What waits; never an empty queue.
    backlog: Option<Box<Backlog>>,
    /// The connection's task, while it waits.
    pub(super) waker: Option<Waker>,
    pub(super) ended: Option<Ended>,
    pub(super) phase: Phase,
    /// The socket took less than it was offered: only the connection's task writes, until nothing
    /// waits.
    pub(super) behind: bool,
}

#[derive(Default)]
struct Backlog {
    queue: Queue,
    /// When the socket last took something while behind, in milliseconds since the opening.
    progress: u64,
    pongs: u8,
}

impl State {
    /// Whether anything waits.
    pub(super) fn waits(&self) -> bool {
        self.backlog.is_some()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.queue.bytes())
    }

    pub(super) fn stalled_since(&self) -> Option<u64> {
        self.backlog.as_ref().filter(|_| self.behind).map(|backlog| backlog.progress)
    }

    /// What the connection's task has to do: something, once this is more than it was.
    pub(super) fn calling(&self) -> (bool, Phase) {
        (self.behind, self.phase)
    }

    /// False if the frame wasn't taken.
    pub(super) fn push(&mut self, frame: &Frame, wire: &Wire) -> bool {
        // Frames that only wait for a flush are no sign of a slow peer.
        if !self.behind && self.is_batch_or_full_for(frame, wire) {
            self.flush(wire);
        }
        if self.phase != Phase::Open {
            return false;
        }
        if self.is_full_for(frame, wire) {
            self.give_up(SLOW_CONSUMER);
            return false;
        }
        self.queue().push(frame.clone());
        true
    }

    /// False if not all of the frames were taken.
    pub(super) fn send_all(&mut self, frames: &[Frame], wire: &Wire) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let mut rest = frames;
        if !self.behind && !self.waits() {
            let Some((whole, cut)) = write_past_queue(frames, wire) else {
                self.die();
                return false;
            };
            rest = &frames[whole..];
            if let Some((begun, others)) = rest.split_first() {
                self.queue().push_begun(begun.clone(), cut);
                self.fall_behind(wire);
                rest = others;
            }
        }
        let taken = rest.iter().all(|frame| self.push(frame, wire));
        self.flush(wire);
        taken && self.phase == Phase::Open
    }

    /// Writes what waits, unless that is the task's business.
    pub(super) fn flush(&mut self, wire: &Wire) {
        if self.behind {
            return;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.queue.settle_pong();
        }
        while self.waits() && !self.behind {
            self.write(wire);
        }
    }

    /// One write of what waits. True if the socket took something.
    pub(super) fn write(&mut self, wire: &Wire) -> bool {
        let Some(backlog) = &mut self.backlog else { return false };
        let mut slices = [IoSlice::new(&[]); BATCH];
        let (count, offered) = backlog.queue.slices(&mut slices);
        let written = match &slices[..count] {
            [one] => wire.stream.try_write(one),
            many => wire.stream.try_write_vectored(many),
        };
        match written {
            Ok(gone) if gone > 0 => {
                backlog.queue.advance(gone);
                if backlog.queue.is_empty() {
                    // Most connections never wait again.
                    self.backlog = None;
                    self.behind = false;
                } else if self.behind || gone < offered {
                    self.behind = true;
                    backlog.progress = wire.now();
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.fall_behind(wire);
                false
            }
            _ => {
                self.die();
                false
            }
        }
    }

    pub(super) fn pong(&mut self, pong: Frame) {
        if self.phase != Phase::Open {
            return;
        }
        let behind = self.behind;
        let backlog = self.backlog.get_or_insert_default();
        if behind || backlog.queue.has_pong() || backlog.pongs == PONGS_QUEUED {
            backlog.queue.set_pong(pong);
        } else {
            backlog.pongs += 1;
            backlog.queue.push(pong);
        }
    }

    /// Begins to close: `close` is the last frame. False if that had begun already.
    pub(super) fn close(&mut self, close: Frame, ended: Ended, wire: &Wire) -> bool {
        let open = self.begin_to_end(ended);
        if open {
            let queue = self.queue();
            queue.drop_pong();
            queue.push(close);
            self.flush(wire);
        }
        open
    }

    /// The peer doesn't keep up: drops what waits and says so. The connection's task writes it.
    /// False if the end had begun already.
    pub(super) fn give_up(&mut self, reason: &str) -> bool {
        let open = self.begin_to_end(Ended { by: By::Us, code: Some(CloseCode::POLICY) });
        if open {
            let queue = self.queue();
            queue.drop_unbegun();
            queue.push(Frame::close(CloseCode::POLICY, reason));
        }
        open
    }

    /// Takes no more frames. False if that was so already.
    pub(super) fn begin_to_end(&mut self, ended: Ended) -> bool {
        let open = self.phase == Phase::Open;
        if open {
            self.phase = Phase::Closing;
            self.ended = Some(ended);
        }
        open
    }

    /// Nothing more is written.
    pub(super) fn die(&mut self) {
        self.phase = Phase::Dead;
        self.ended.get_or_insert(Ended::LOST);
        self.backlog = None;
        self.behind = false;
    }

    /// Remembers the task, if it isn't the one remembered.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// The queue, for something to be put in.
    fn queue(&mut self) -> &mut Queue {
        &mut self.backlog.get_or_insert_default().queue
    }

    fn fall_behind(&mut self, wire: &Wire) {
        if !self.behind {
            self.behind = true;
            self.backlog.get_or_insert_default().progress = wire.now();
        }
    }

    fn is_batch_or_full_for(&self, frame: &Frame, wire: &Wire) -> bool {
        self.is_full_for(frame, wire)
            || self.backlog.as_ref().is_some_and(|backlog| backlog.queue.len() >= BATCH)
    }

    /// Whether one more frame would be one too many. A single frame never is, however big.
    fn is_full_for(&self, frame: &Frame, wire: &Wire) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| {
            let frames = backlog.queue.len();
            let bytes = backlog.queue.bytes() + frame.len();
            frames > 0 && (bytes > wire.queue_limit as usize || frames >= QUEUED_FRAMES_LIMIT)
        })
    }
}

/// Writes frames where none waits. Returns how many went whole, and how many bytes of the next one
/// went: if there is a next one, the socket is full. None: it is dead.
fn write_past_queue(frames: &[Frame], wire: &Wire) -> Option<(usize, usize)> {
    let mut whole = 0;
    while whole < frames.len() {
        let batch = &frames[whole..frames.len().min(whole + BATCH)];
        let written = match batch {
            [frame] => wire.stream.try_write(frame.encoded()),
            batch => {
                let mut slices = [IoSlice::new(&[]); BATCH];
                for (slice, frame) in slices.iter_mut().zip(batch) {
                    *slice = IoSlice::new(frame.encoded());
                }
                wire.stream.try_write_vectored(&slices[..batch.len()])
            }
        };
        let mut gone = match written {
            Ok(gone) => gone,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some((whole, 0)),
            Err(_) => return None,
        };
        for frame in batch {
            if gone < frame.len() {
                return Some((whole, gone));
            }
            gone -= frame.len();
            whole += 1;
        }
    }
    Some((whole, 0))
}
