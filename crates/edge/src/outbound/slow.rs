//! What becomes of a peer that doesn't keep up, and of what waits for it.

use ringway_protocol::CloseCode;
use ringway_protocol::close::{SEND_TIMEOUT, SLOW_CONSUMER};

use super::Pushed;
use super::lossy::{KEYS_LIMIT, Room};
use super::state::State;
use super::wire::Wire;
use crate::ended::{By, Ended};
use crate::frame::Frame;

impl State {
    /// Takes a frame that waits for the task, unless there is no room and it may not be left out.
    #[cold]
    pub(super) fn push_behind(&mut self, frame: &Frame, wire: &Wire) -> Pushed {
        let room = Room { bytes: wire.queue_limit as usize, frames: wire.frames_limit(), keys: KEYS_LIMIT };
        if self.backlog().queue.push_behind(frame, room) {
            return Pushed::Waits;
        }
        self.give_up(SLOW_CONSUMER, By::Slow);
        Pushed::Refused
    }

    /// Leaves out whatever may be of what waits for a peer that is behind; where nothing may, gives it up. Returns the
    /// bytes that no longer wait.
    pub(super) fn shed(&mut self) -> usize {
        if !self.is_behind() {
            // What waits for a flush is gone in a moment.
            return 0;
        }
        let before = self.queued_bytes();
        let queue = &mut self.backlog().queue;
        if queue.shed() == 0 {
            self.give_up(SLOW_CONSUMER, By::Shed);
        } else if queue.is_empty() {
            self.catch_up();
        }
        before.saturating_sub(self.queued_bytes())
    }

    /// Closes the connection if its socket, which has taken nothing for too long, takes nothing now either. True if it
    /// did so.
    pub(super) fn give_up_unless_it_takes(&mut self, wire: &Wire) -> bool {
        // The kernel doesn't say that there is room before a third of its buffer is empty; a peer that empties it slowly
        // has taken something long before.
        let takes = self.write_by(wire, |slices| wire.write_regardless(slices));
        if takes {
            wire.alive();
        }
        !takes && self.give_up(SEND_TIMEOUT, By::Stalled)
    }

    /// The peer doesn't keep up: drops what waits and says so. The connection's task writes it.
    /// False if the end had begun already.
    fn give_up(&mut self, reason: &str, by: By) -> bool {
        let open = self.begin_to_end(Ended { by, code: Some(CloseCode::POLICY) });
        if open {
            let queue = &mut self.backlog().queue;
            queue.drop_unbegun();
            queue.push(Frame::close(CloseCode::POLICY, reason));
        }
        open
    }
}
