//! The way out to a client: its own socket, or the link to the gateway that holds its socket.
//!
//! Whoever has something for a connection needn't know which. A frame is pushed, which makes the order, and flushed, which
//! writes; what is pushed for a connection behind a link becomes a record of that link, and leaves when the link is flushed.
//! What concerns sockets alone, such as pings, stalls, and queues that are shed, the gateway sees to where the socket is.

mod link;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use ringway_edge::{Due, Frame, Outbound, Pushed};
use ringway_link::{At, ConnNo, Down};
use ringway_protocol::CloseCode;

pub(crate) use self::link::{Link, RoomOnLink, framed};

/// What the ages of connections behind links are counted in: more than eight months of it fit.
const STEP: Duration = Duration::from_millis(10);

/// How what a connection is sent gets to its client.
#[derive(Debug)]
pub(crate) enum Way {
    /// By a socket of this node.
    Socket(Arc<Outbound>),
    /// By a gateway that holds the socket.
    // Boxed, so that connections with sockets of their own stay small.
    Link(Box<Linked>),
}

/// A connection whose socket a gateway holds.
#[derive(Debug)]
pub(crate) struct Linked {
    link: Arc<Link>,
    number: ConnNo,
    /// When its client's connection to the gateway was opened, in steps since the link was; mostly before it.
    opened: i32,
    /// Bytes of frames that were sent to it alone, and that the gateway hasn't said to have left.
    unanswered: AtomicU32,
    /// Its client was told to go, here or by another node: when its socket is closed is settled.
    told_to_go: AtomicBool,
    /// Nothing more is sent to it. Held while something is: what comes last on a link is known to.
    ended: Mutex<bool>,
}

impl Linked {
    /// The connection of that number on a link; `age`: for how long its client has had it.
    pub(crate) fn new(link: Arc<Link>, number: ConnNo, age: Duration) -> Self {
        link.came();
        let steps = |time: Duration| i32::try_from(time.as_millis() / STEP.as_millis()).unwrap_or(i32::MAX);
        let opened = steps(link.outbound().opened().elapsed()).saturating_sub(steps(age));
        Self {
            link,
            number,
            opened,
            unanswered: AtomicU32::new(0),
            told_to_go: AtomicBool::new(false),
            ended: Mutex::new(false),
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn number(&self) -> ConnNo {
        self.number
    }

    /// So many bytes of what was sent to it alone have left the gateway. A gateway that says more than it was sent is
    /// believed no more than that.
    pub(crate) fn credit(&self, bytes: u32) {
        let less = |unanswered: u32| Some(unanswered.saturating_sub(bytes));
        let _ = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Its client was told to go, by whomever.
    pub(crate) fn is_told_to_go(&self) -> bool {
        self.told_to_go.load(Ordering::Relaxed)
    }

    /// It was, elsewhere.
    pub(crate) fn was_told_to_go(&self) {
        self.told_to_go.store(true, Ordering::Relaxed);
    }

    /// It was just now: the gateway closes it after so long, whichever node is its home by then.
    pub(crate) fn close_later(&self, after: Duration, code: CloseCode, reason: &str) {
        self.was_told_to_go();
        let after = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        let (conn, code, reason) = (self.number, code.0, reason.into());
        self.link.push_for_task(&Down::CloseLater { conn, after, code, reason });
    }

    /// Nothing more is sent to it: its client has gone, or its link has.
    pub(crate) fn end(&self) {
        *self.ended.lock() = true;
    }

    /// Whether nothing is sent to it any more.
    pub(crate) fn is_ended(&self) -> bool {
        *self.ended.lock() || self.link.is_closed()
    }

    /// The gateway hears that its number is free here.
    pub(crate) fn say_ended(&self) {
        self.end();
        self.link.push_for_task(&Down::Ended { conn: self.number });
        self.link.went();
    }

    fn push(&self, frame: &Frame, at: Option<At>, due: Due) -> Pushed {
        let ended = self.ended.lock();
        if *ended || self.link.is_closed() {
            return Pushed::Refused;
        }
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        // Before it is on its way: it can't be answered sooner.
        self.unanswered.fetch_add(bytes, Ordering::Relaxed);
        self.link.push(&Down::Send { conn: self.number, at, frame: frame.encoded() }, due)
    }

    fn close(&self, code: CloseCode, reason: &str) -> bool {
        let mut ended = self.ended.lock();
        let first = !std::mem::replace(&mut *ended, true);
        if first {
            self.link.push_for_task(&Down::Close { conn: self.number, code: code.0, reason: reason.into() });
        }
        first
    }
}

/// Nodes that may be sending answers to one connection by links at the same time without one too many waiting for it.
const LINKED_SHARE: usize = 4;

impl Way {
    /// The link that it goes by, if it does.
    pub(crate) fn linked(&self) -> Option<&Linked> {
        match self {
            Way::Socket(_) => None,
            Way::Link(linked) => Some(linked),
        }
    }

    /// What is to be flushed for what was pushed to leave.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        match self {
            Way::Socket(outbound) => outbound,
            Way::Link(linked) => linked.link.outbound(),
        }
    }

    /// Adds a frame to what waits; [`flush`](Self::flush) of [`outbound`](Self::outbound) follows where that is promised.
    pub(crate) fn push_for(&self, frame: &Frame, due: Due) -> Pushed {
        self.push_at(frame, None, due)
    }

    /// Like [`push_for`](Self::push_for). `at`: where the client is in a room once it has it.
    pub(crate) fn push_at(&self, frame: &Frame, at: Option<At>, due: Due) -> Pushed {
        match self {
            Way::Socket(outbound) => outbound.push_for(frame, due),
            Way::Link(linked) => linked.push(frame, at, due),
        }
    }

    /// Sends a frame at once; by a link as soon as its task comes to it, with what else there is by then.
    pub(crate) fn send(&self, frame: &Frame) {
        match self {
            Way::Socket(outbound) => {
                outbound.send(frame);
            }
            Way::Link(linked) => {
                if linked.push(frame, None, Due::Now) == Pushed::Promised {
                    linked.link.flush_soon();
                }
            }
        }
    }

    /// Writes what was pushed.
    pub(crate) fn flush(&self) {
        self.outbound().flush();
    }

    /// Whether more than so many bytes wait for it: who answers at length waits then. By a link it is a quarter of that: others may be
    /// answering it at the same time, and its queue, at the gateway, is one.
    pub(crate) fn waits_beyond(&self, bytes: usize) -> bool {
        let share = if self.linked().is_some() { bytes / LINKED_SHARE } else { bytes };
        self.queued_bytes() > share
    }

    /// Bytes that wait for the client, as far as this node knows; of what goes to many at once, behind a link, nothing.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Way::Socket(outbound) => outbound.queued_bytes(),
            Way::Link(linked) => linked.unanswered.load(Ordering::Relaxed) as usize,
        }
    }

    /// Whether nothing is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Way::Socket(outbound) => outbound.is_closed(),
            Way::Link(linked) => linked.is_ended(),
        }
    }

    /// Closes the client's socket after what was sent before. Only the first call does anything; false if it wasn't this
    /// one.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> bool {
        match self {
            Way::Socket(outbound) => outbound.close(code, reason),
            Way::Link(linked) => linked.close(code, reason),
        }
    }

    /// Ends it at once, without a word. Behind a link the client isn't told at all: its gateway is, by the link's end.
    pub(crate) fn cut(&self) {
        match self {
            Way::Socket(outbound) => outbound.cut(),
            Way::Link(linked) => linked.end(),
        }
    }

    /// When the connection was opened: the client's, be it to a gateway.
    pub(crate) fn opened(&self) -> Instant {
        match self {
            Way::Socket(outbound) => outbound.opened(),
            Way::Link(linked) => {
                let (link, steps) = (linked.link.outbound().opened(), STEP * linked.opened.unsigned_abs());
                if linked.opened < 0 { link.checked_sub(steps).unwrap_or(link) } else { link + steps }
            }
        }
    }

    /// See [`Outbound::keep_fresh`].
    pub(crate) fn keep_fresh(&self) {
        if let Way::Socket(outbound) = self {
            outbound.keep_fresh();
        }
    }

    /// See [`Outbound::is_behind`].
    pub(crate) fn is_behind(&self) -> bool {
        matches!(self, Way::Socket(outbound) if outbound.is_behind())
    }

    /// See [`Outbound::shed`].
    pub(crate) fn shed(&self) -> u64 {
        match self {
            Way::Socket(outbound) => outbound.shed(),
            Way::Link(_) => 0,
        }
    }

    /// See [`Outbound::check_stalled`].
    pub(crate) fn check_stalled(&self, now: Instant) {
        if let Way::Socket(outbound) = self {
            outbound.check_stalled(now);
        }
    }

    /// See [`Outbound::cut_unless_alive`].
    pub(crate) fn cut_unless_alive(&self) {
        if let Way::Socket(outbound) = self {
            outbound.cut_unless_alive();
        }
    }

    /// See [`Outbound::beat`].
    pub(crate) fn beat(&self, frames: &[Frame]) {
        if let Way::Socket(outbound) = self {
            outbound.beat(frames);
        }
    }
}

impl From<Arc<Outbound>> for Way {
    fn from(outbound: Arc<Outbound>) -> Self {
        Way::Socket(outbound)
    }
}

impl From<Linked> for Way {
    fn from(linked: Linked) -> Self {
        Way::Link(Box::new(linked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_two_words_and_what_is_behind_a_link_small() {
        assert!(size_of::<Way>() <= 16 && size_of::<Linked>() <= 24, "{}", size_of::<Linked>());
    }
}
