//! What waits to be written to one socket: a pure value, without the socket.
//!
//! It owns the order. Frames leave in the order they came, whole; a frame of which a byte has
//! gone is finished before anything else. The only thing that may pass waiting frames is the
//! latest pong, at a frame's border: it isn't part of any message (RFC 6455 §5.5.3 allows
//! answering only the newest ping).

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::frame::Frame;

/// Frames handed to one write. A `writev` of 64 short frames costs little more than one of eight,
/// and the array of them (1 KiB) fits the stack.
pub(crate) const BATCH: usize = 64;

/// Frames that a queue has space for from its first one on.
const FEW: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    frames: VecDeque<Frame>,
    /// Bytes of the front frame that have gone.
    written: usize,
    /// Bytes of `frames` that have not.
    bytes: usize,
    /// The answer to the newest ping, where it waits apart.
    pong: Option<Frame>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pong.is_none()
    }

    /// Frames waiting, the latest pong apart.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes waiting, the latest pong apart.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        if self.frames.capacity() == 0 {
            // Seldom more than that wait, and growing to it would cost as much as the push.
            self.frames.reserve(FEW);
        }
        self.frames.push_back(frame);
    }

    /// Takes a frame of which `written` bytes went directly. The queue must be empty.
    pub(crate) fn push_begun(&mut self, frame: Frame, written: usize) {
        debug_assert!(self.is_empty() && written < frame.len());
        self.push(frame);
        self.written = written;
        self.bytes -= written;
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
        let begun = if self.written > 0 { self.frames.pop_front() } else { None };
        let written = self.written;
        *self = Queue::default();
        if let Some(frame) = begun {
            self.push_begun(frame, written);
        }
    }

    /// Fills `slices` with what goes next. Returns how many were filled, and their bytes.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; BATCH]) -> (usize, usize) {
        let begun = usize::from(self.written > 0);
        let front = self.frames.iter().take(begun).map(|frame| &frame.encoded()[self.written..]);
        let pong = self.pong.iter().map(Frame::encoded);
        let rest = self.frames.iter().skip(begun).map(Frame::encoded);
        let (mut count, mut bytes) = (0, 0);
        for (slot, piece) in slices.iter_mut().zip(front.chain(pong).chain(rest)) {
            *slot = IoSlice::new(piece);
            count += 1;
            bytes += piece.len();
        }
        (count, bytes)
    }

    /// Records that `gone` bytes of what [`slices`](Self::slices) showed were written.
    pub(crate) fn advance(&mut self, gone: usize) {
        let mut gone = if self.written > 0 { self.advance_front(gone) } else { gone };
        if gone > 0
            && let Some(pong) = self.pong.take()
        {
            if gone < pong.len() {
                // Begun: from here on it is the front frame.
                self.written = gone;
                self.bytes += pong.len() - gone;
                self.frames.push_front(pong);
                return;
            }
            gone -= pong.len();
        }
        while gone > 0 && !self.frames.is_empty() {
            gone = self.advance_front(gone);
        }
        debug_assert_eq!(gone, 0, "no more can have gone than waited");
        if self.frames.is_empty() {
            // Most connections never wait again: give the buffer back.
            self.frames = VecDeque::new();
        }
    }

    fn advance_front(&mut self, gone: usize) -> usize {
        let left = self.frames.front().map_or(0, Frame::len) - self.written;
        let step = gone.min(left);
        self.bytes -= step;
        if step == left {
            self.frames.pop_front();
            self.written = 0;
        } else {
            self.written += step;
        }
        gone - step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes at most `room` bytes of the queue to `wire`, as a socket would.
    fn write(queue: &mut Queue, room: usize, wire: &mut Vec<u8>) {
        let mut slices = [IoSlice::new(&[]); BATCH];
        let (count, bytes) = queue.slices(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(all.len(), bytes);
        let gone = room.min(bytes);
        wire.extend_from_slice(&all[..gone]);
        queue.advance(gone);
    }

    fn payloads(wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        let mut rest = wire;
        while let [first, length, tail @ ..] = rest {
            let (payload, after) = tail.split_at(usize::from(*length));
            found.push((*first, payload.to_vec()));
            rest = after;
        }
        found
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Pong,
        Write(usize),
        DropUnbegun,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..120_u8).prop_map(Step::Push),
            1 => Just(Step::Pong),
            4 => (0..400_usize).prop_map(Step::Write),
            1 => Just(Step::DropUnbegun),
        ]
    }

    proptest! {
        #[test]
        fn frames_leave_whole_and_in_order(steps in proptest::collection::vec(step(), 0..200)) {
            let mut queue = Queue::default();
            let mut wire = Vec::new();
            let mut number = 0_u32;
            for step in steps {
                match step {
                    Step::Push(extra) => {
                        number += 1;
                        let mut payload = number.to_be_bytes().to_vec();
                        payload.resize(4 + usize::from(extra), 0xAA);
                        queue.push(Frame::binary(&payload));
                    }
                    Step::Pong => {
                        number += 1;
                        queue.set_pong(Frame::pong(&number.to_be_bytes()));
                    }
                    Step::Write(room) => write(&mut queue, room, &mut wire),
                    Step::DropUnbegun => {
                        queue.drop_unbegun();
                        prop_assert!(queue.len() <= 1 && !queue.has_pong());
                    }
                }
            }
            while !queue.is_empty() {
                write(&mut queue, usize::MAX, &mut wire);
            }
            prop_assert_eq!((queue.bytes(), queue.frames.capacity()), (0, 0));
            let mut last = [0_u32; 2];
            for (first, payload) in payloads(&wire) {
                let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
                let last = &mut last[usize::from(first == 0x8A)];
                prop_assert!(number > *last, "{number} after {last}");
                *last = number;
                prop_assert!(payload[4..].iter().all(|&byte| byte == 0xAA));
            }
        }

        #[test]
        fn nothing_is_lost_where_nothing_is_dropped(
            sizes in proptest::collection::vec(0..300_usize, 0..100),
            rooms in proptest::collection::vec(1..500_usize, 1..50),
        ) {
            let frames: Vec<Frame> = sizes.iter().map(|&size| Frame::binary(&vec![size as u8; size])).collect();
            let mut queue = Queue::default();
            let mut wire = Vec::new();
            let mut rooms = rooms.iter().cycle();
            for frame in &frames {
                queue.push(frame.clone());
                write(&mut queue, *rooms.next().unwrap(), &mut wire);
            }
            while !queue.is_empty() {
                write(&mut queue, *rooms.next().unwrap(), &mut wire);
            }
            let expected: Vec<u8> = frames.iter().flat_map(|frame| frame.encoded().to_vec()).collect();
            prop_assert_eq!(wire, expected);
        }
    }

    #[test]
    fn a_begun_frame_is_finished_before_anything_else() {
        let mut queue = Queue::default();
        queue.push(Frame::binary(&[1; 10]));
        queue.push(Frame::binary(&[2; 10]));
        let mut wire = Vec::new();
        write(&mut queue, 5, &mut wire);
        queue.set_pong(Frame::pong(b"p"));
        queue.drop_unbegun();
        queue.push(Frame::close_empty());
        while !queue.is_empty() {
            write(&mut queue, 3, &mut wire);
        }
        assert_eq!(payloads(&wire), [(0x82, vec![1; 10]), (0x88, vec![])]);
    }
}
