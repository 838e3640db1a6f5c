//! What is behind an [`Outbound`](super::Outbound)'s lock, and the writes that happen under it.
//!
//! The lock is held over a non-blocking write, so that two writers can't interleave, and never
//! over an await.

use std::io::{self, IoSlice};
use std::task::{Context, Waker};

use super::queue::{BATCH, Queue};
use super::wire::Wire;
use super::{Due, Pushed};
use crate::ended::Ended;
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

/// Who writes what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flusher {
    /// Nobody has promised to. Nothing waits, or what does is the business of who put it there.
    #[default]
    Nobody,
    /// Whoever promised the soonest flush.
    Promised(Due),
    /// Only the connection's task, until nothing waits: the connection is behind, its socket took less than it was
    /// offered.
    Task,
}

#[derive(Default)]
pub(super) struct State {
    /// A frame that waits alone for its flush: the usual case, for which nothing is allocated. Only where there is no
    /// backlog.
    only: Option<Frame>,
    /// What waits; never an empty queue.
    backlog: Option<Box<Backlog>>,
    /// The connection's task, while it waits.
    pub(super) waker: Option<Waker>,
    pub(super) ended: Option<Ended>,
    pub(super) phase: Phase,
    flusher: Flusher,
}

#[derive(Default)]
pub(super) struct Backlog {
    pub(super) queue: Queue,
    /// When the socket last took something while behind, in milliseconds since the opening.
    progress: u64,
    pongs: u8,
}

impl State {
    /// Whether anything waits.
    pub(super) fn waits(&self) -> bool {
        self.only.is_some() || self.backlog.is_some()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        let only = self.only.as_ref().map_or(0, Frame::len);
        self.backlog.as_ref().map_or(only, |backlog| backlog.queue.bytes())
    }

    pub(super) fn stalled_since(&self) -> Option<u64> {
        self.backlog.as_ref().filter(|_| self.is_behind()).map(|backlog| backlog.progress)
    }

    /// Whether the socket takes no more for now.
    pub(super) fn is_behind(&self) -> bool {
        self.flusher == Flusher::Task
    }

    /// What the connection's task has to do: something, once this is more than it was.
    pub(super) fn calling(&self) -> (bool, Phase) {
        (self.is_behind(), self.phase)
    }

    /// Takes a frame, and notes by when it is to be flushed, unless that is the task's business.
    pub(super) fn push(&mut self, frame: &Frame, due: Due, wire: &Wire) -> Pushed {
        // Frames that only wait for a flush are no sign of a slow peer.
        if !self.is_behind() && self.is_batch_or_full_for(frame, wire) {
            self.flush(wire);
        }
        if self.phase != Phase::Open {
            return Pushed::Refused;
        }
        if self.is_behind() {
            return self.push_behind(frame, wire);
        }
        if self.waits() {
            self.backlog().queue.push(frame.clone());
        } else {
            self.only = Some(frame.clone());
        }
        if self.flusher >= Flusher::Promised(due) {
            return Pushed::Waits;
        }
        self.flusher = Flusher::Promised(due);
        Pushed::Promised
    }

    /// False if not all of the frames were taken.
    pub(super) fn send_all(&mut self, frames: &[Frame], wire: &Wire) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let rest = if self.waits() { frames } else { self.write_past_queue(frames, wire) };
        let taken = rest.iter().all(|frame| self.push(frame, Due::Now, wire) != Pushed::Refused);
        self.flush(wire);
        taken && self.phase == Phase::Open
    }

    /// Writes what waits, unless that is the task's business.
    pub(super) fn flush(&mut self, wire: &Wire) {
        if self.is_behind() {
            return;
        }
        self.flusher = Flusher::Nobody;
        if let Some(only) = self.only.take() {
            self.write_past_queue(std::slice::from_ref(&only), wire);
            return;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.queue.settle_pong();
        }
        while self.waits() && !self.is_behind() {
            self.write(wire);
        }
    }

    /// Writes frames where none waits. Returns those that are still to be pushed.
    fn write_past_queue<'a>(&mut self, frames: &'a [Frame], wire: &Wire) -> &'a [Frame] {
        let Some((whole, cut)) = write_whole(frames, wire) else {
            self.die();
            return &[];
        };
        let Some((begun, others)) = frames[whole..].split_first() else { return &[] };
        self.backlog().queue.push_begun(begun.clone(), cut);
        self.fall_behind(wire);
        others
    }

    /// One write of what waits. True if the socket took something.
    pub(super) fn write(&mut self, wire: &Wire) -> bool {
        self.write_by(wire, |slices| match slices {
            [one] => wire.stream.try_write(one),
            many => wire.stream.try_write_vectored(many),
        })
    }

    /// One write of what waits, by `write`. True if the socket took something.
    pub(super) fn write_by(
        &mut self,
        wire: &Wire,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> bool {
        if self.only.is_some() {
            self.backlog();
        }
        let Some(backlog) = &mut self.backlog else { return false };
        backlog.queue.tell_gap();
        let mut slices = [IoSlice::new(&[]); BATCH];
        let (count, offered) = backlog.queue.slices(&mut slices);
        match write(&slices[..count]) {
            Ok(gone) if gone > 0 => {
                backlog.queue.advance(gone);
                if backlog.queue.is_empty() {
                    self.catch_up();
                } else if self.flusher == Flusher::Task {
                    backlog.progress = wire.now();
                } else if gone < offered {
                    self.fall_behind(wire);
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
        let behind = self.is_behind();
        let backlog = self.backlog();
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
            let queue = &mut self.backlog().queue;
            queue.drop_pong();
            queue.push(close);
            self.flush(wire);
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
        self.only = None;
        self.backlog = None;
        self.flusher = Flusher::Nobody;
    }

    /// Remembers the task, if it isn't the one remembered.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// The backlog, for something to be put in.
    pub(super) fn backlog(&mut self) -> &mut Backlog {
        let only = self.only.take();
        let backlog = self.backlog.get_or_insert_default();
        if let Some(only) = only {
            backlog.queue.push(only);
        }
        backlog
    }

    fn fall_behind(&mut self, wire: &Wire) {
        if !self.is_behind() {
            self.flusher = Flusher::Task;
            let backlog = self.backlog();
            backlog.progress = wire.now();
            backlog.queue.fall_behind();
        }
    }

    /// Nothing waits any more. Most connections never wait again.
    pub(super) fn catch_up(&mut self) {
        self.backlog = None;
        self.flusher = Flusher::Nobody;
    }

    fn is_batch_or_full_for(&self, frame: &Frame, wire: &Wire) -> bool {
        self.is_full_for(frame, wire)
            || self.backlog.as_ref().is_some_and(|backlog| backlog.queue.len() >= BATCH)
    }

    /// Whether one more frame would be one too many. A single frame never is, however big.
    fn is_full_for(&self, frame: &Frame, wire: &Wire) -> bool {
        let frames = self.backlog.as_ref().map_or(usize::from(self.only.is_some()), |b| b.queue.len());
        let bytes = self.queued_bytes() + frame.len();
        frames > 0 && (bytes > wire.queue_limit as usize || frames >= wire.frames_limit())
    }
}

/// Writes frames. Returns how many went whole, and how many bytes of the next one
/// went: if there is a next one, the socket is full. None: it is dead.
fn write_whole(frames: &[Frame], wire: &Wire) -> Option<(usize, usize)> {
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
