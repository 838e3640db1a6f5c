//! Half-open connections: peers that vanished without a word.
//!
//! There is no timer per connection. Whoever keeps the connections calls [`Outbound::beat`] on each of them once per
//! ping interval and, when an answer to that should have come, [`Outbound::cut_unless_alive`]; or only the former.

use crate::frame::Frame;
use crate::outbound::Outbound;

/// Beats that may stay without any sign of life before the peer counts as gone, where nobody asks sooner.
pub const MISSED_BEATS: u8 = 2;

/// What a beat found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The frames were sent, or wait to be.
    Sent,
    /// Closed already; nothing was sent.
    Closed,
    /// [`MISSED_BEATS`] beats brought no sign of life. The connection was cut.
    HalfOpen,
}

impl Outbound {
    /// One beat: sends `frames` (a ping and whatever goes with it, as one write), or cuts the
    /// connection if the beats before weren't answered. Any bytes from the peer are a sign of
    /// life, and so is that its socket, being behind, took some.
    pub fn beat(&self, frames: &[Frame]) -> Beat {
        if self.is_closed() {
            return Beat::Closed;
        }
        if self.count_beat() > MISSED_BEATS {
            self.cut();
            return Beat::HalfOpen;
        }
        if self.send_all(frames) { Beat::Sent } else { Beat::Closed }
    }

    /// Cuts the connection if there was no sign of life since the last [`beat`](Self::beat), which should be as long ago
    /// as a living peer may take to answer. To be called once between two beats. True if it was cut now.
    pub fn cut_unless_alive(&self) -> bool {
        // Counts as half a beat would: one that stands alone says nothing about who was opened only now.
        let gone = !self.is_closed() && self.count_beat() > 1;
        if gone {
            self.cut();
        }
        gone
    }
}
