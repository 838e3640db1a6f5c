//! What waits to be written to one socket: a pure value, without the socket.
//!
//! It owns the order. Frames leave in the order they came, whole; a frame of which a byte has
//! gone is finished before anything else. The only thing that may pass waiting frames is the
//! latest pong, at a frame's border: it isn't part of any message (RFC 6455 §5.5.3 allows
//! answering only the newest ping). What may be left out, once the socket takes no more, is up to [`Lossy`].

use std::io::IoSlice;

use super::lossy::{Lossy, Room};
use super::row::Row;
use crate::frame::Frame;

/// Frames handed to one write. A `writev` of 64 short frames costs little more than one of eight,
/// and the array of them (1 KiB) fits the stack.
pub(crate) const BATCH: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    row: Row,
    /// The answer to the newest ping, where it waits apart.
    pong: Option<Frame>,
    /// Only while the socket is behind, and something that may be left out has waited since.
    lossy: Option<Box<Lossy>>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.row.is_empty() && self.pong.is_none()
    }

    /// Frames waiting, the latest pong apart.
    pub(crate) fn len(&self) -> usize {
        self.row.frames()
    }

    /// Bytes waiting, the latest pong apart.
    pub(crate) fn bytes(&self) -> usize {
        self.row.bytes()
    }

    /// Takes a frame, whatever waits.
    pub(crate) fn push(&mut self, frame: Frame) {
        self.row.push(frame);
    }

    /// Takes a frame of which `written` bytes went directly. The queue must be empty.
    pub(crate) fn push_begun(&mut self, frame: Frame, written: usize) {
        debug_assert!(self.is_empty());
        self.row.push_begun(frame, written);
    }

    /// From now on what has a label may be left out, until the queue is empty.
    pub(crate) fn fall_behind(&mut self) {
        if self.lossy.is_none() && self.row.iter(usize::MAX).any(|frame| frame.label().is_some()) {
            self.lossy = Some(Box::new(Lossy::of(&mut self.row)));
        }
    }

    /// Takes a frame for a socket that is behind, and leaves out what may be to make room for it, perhaps the frame
    /// itself. False if it may not be left out and there is no room: it isn't taken.
    pub(crate) fn push_behind(&mut self, frame: &Frame, room: Room) -> bool {
        if self.lossy.is_none() && frame.label().is_some() {
            self.lossy = Some(Box::default());
        }
        if let Some(lossy) = &mut self.lossy {
            return lossy.push(&mut self.row, frame, room);
        }
        let fits = room.fits(&self.row, frame);
        if fits {
            self.row.push(frame.clone());
        }
        fits
    }

    /// Leaves out everything that may be. Returns the bytes given back.
    pub(crate) fn shed(&mut self) -> usize {
        let before = self.row.bytes();
        if let Some(lossy) = &mut self.lossy {
            lossy.leave_out_all(&mut self.row);
        }
        before - self.row.bytes()
    }

    /// Replaces the pong that waits, if one does.
    pub(crate) fn set_pong(&mut self, pong: Frame) {
        self.pong = Some(pong);
    }

    /// Gives the pong that waits apart its place at the end, where the answers to older pings are
    /// before it: for a socket that takes everything anyway.
    pub(crate) fn settle_pong(&mut self) {
        if let Some(pong) = self.pong.take() {
            self.push(pong);
        }
    }

    pub(crate) fn has_pong(&self) -> bool {
        self.pong.is_some()
    }

    pub(crate) fn drop_pong(&mut self) {
        self.pong = None;
    }

    /// Drops everything but the rest of a frame that was begun: without it the peer would read
    /// whatever comes next as that frame's payload.
    pub(crate) fn drop_unbegun(&mut self) {
        let written = self.row.written();
        let begun = if written > 0 { self.row.at(self.row.first()).cloned() } else { None };
        *self = Queue::default();
        if let Some(frame) = begun {
            self.push_begun(frame, written);
        }
    }

    /// Makes of a gap that is next what tells of it. To be called before [`slices`](Self::slices).
    pub(crate) fn tell_gap(&mut self) {
        if let Some(lossy) = &mut self.lossy {
            lossy.tell_front(&mut self.row);
        }
    }

    /// Fills `slices` with what goes next, up to the next gap: what is to be told of that isn't sure before it is next.
    /// Returns how many were filled, and their bytes.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; BATCH]) -> (usize, usize) {
        let gap = self.lossy.as_ref().and_then(|lossy| lossy.first_gap());
        let places = gap.map_or(usize::MAX, |gap| (gap - self.row.first()) as usize);
        let written = self.row.written();
        if written == 0 && self.pong.is_none() {
            return fill(slices, self.row.iter(places).map(Frame::encoded));
        }
        let begun = usize::from(written > 0);
        let front = self.row.iter(begun).map(|frame| &frame.encoded()[written..]);
        let pong = self.pong.iter().map(Frame::encoded);
        let rest = self.row.iter(places).skip(begun).map(Frame::encoded);
        fill(slices, front.chain(pong).chain(rest))
    }

    /// Records that `gone` bytes of what [`slices`](Self::slices) showed were written.
    pub(crate) fn advance(&mut self, gone: usize) {
        if gone == self.row.bytes() && self.pong.is_none() && self.lossy.is_none() {
            // The usual case.
            self.row = Row::default();
            return;
        }
        let mut gone = if self.row.written() > 0 { self.advance_front(gone) } else { gone };
        if gone > 0
            && let Some(pong) = self.pong.take()
        {
            if gone < pong.len() {
                // Begun: from here on it is the front frame.
                self.row.push_begun(pong, gone);
                return;
            }
            gone -= pong.len();
        }
        while gone > 0 && !self.row.is_empty() {
            gone = self.advance_front(gone);
        }
        debug_assert_eq!(gone, 0, "no more can have gone than waited");
        if self.row.is_empty() {
            // Most connections never wait again: give the buffer back.
            self.row.give_back();
        }
    }

    /// Panics if what is kept beside the frames doesn't fit them.
    #[cfg(test)]
    pub(super) fn check(&self) {
        match &self.lossy {
            Some(lossy) => lossy.check(&self.row),
            None => assert_eq!(self.row.empty(), 0),
        }
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        (self.row.end() - self.row.first()) as usize
    }

    fn advance_front(&mut self, gone: usize) -> usize {
        let Some(lossy) = &mut self.lossy else { return self.row.advance(gone) };
        if self.row.written() == 0 {
            lossy.begins(&self.row);
        }
        let rest = self.row.advance(gone);
        lossy.tidy(&mut self.row);
        rest
    }
}

/// Fills slices with pieces. Returns how many, and their bytes.
fn fill<'a>(slices: &mut [IoSlice<'a>; BATCH], pieces: impl Iterator<Item = &'a [u8]>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for (slot, piece) in slices.iter_mut().zip(pieces) {
        *slot = IoSlice::new(piece);
        count += 1;
        bytes += piece.len();
    }
    (count, bytes)
}

#[cfg(test)]
mod tests;
