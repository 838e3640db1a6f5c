//! The frames that wait for one socket, in their order: a plain value that counts their bytes.
//!
//! Each stands at a *place*, a number that stays the same while others come, go or are taken out of the middle; only
//! [`close_up`](Row::close_up) gives them new ones. A place out of which the frame was taken is empty.

use std::collections::VecDeque;

use crate::frame::Frame;

/// Frames that a row has space for from its first one on.
const FEW: usize = 8;

#[derive(Debug)]
pub(super) struct Row {
    /// `None`: an empty place.
    slots: VecDeque<Option<Frame>>,
    /// The place of the front slot.
    first: u64,
    /// Slots that are empty.
    empty: usize,
    /// Bytes of the front frame that have gone.
    written: usize,
    /// Bytes of all frames that have not.
    bytes: usize,
}

impl Default for Row {
    fn default() -> Row {
        // Not 0, so that one more can be put in front.
        Row { slots: VecDeque::new(), first: 1, empty: 0, written: 0, bytes: 0 }
    }
}

impl Row {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn frames(&self) -> usize {
        self.slots.len() - self.empty
    }

    /// Places without a frame.
    pub(super) fn empty(&self) -> usize {
        self.empty
    }

    /// Bytes that haven't gone.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the front frame that have gone.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The front place.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The first place whose frame has lost no byte yet.
    pub(super) fn first_unbegun(&self) -> u64 {
        self.first + u64::from(self.written > 0)
    }

    /// The place behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn at(&self, place: u64) -> Option<&Frame> {
        self.slots.get(self.index(place)).and_then(Option::as_ref)
    }

    /// The frames of the first `places` places.
    pub(super) fn iter(&self, places: usize) -> impl Iterator<Item = &Frame> {
        self.slots.iter().take(places).filter_map(Option::as_ref)
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        if self.slots.capacity() == 0 {
            // Seldom more than that wait, and growing to it would cost as much as the push.
            self.slots.reserve(FEW);
        }
        self.slots.push_back(Some(frame));
    }

    /// Adds an empty place at the end.
    pub(super) fn push_empty(&mut self) -> u64 {
        self.slots.push_back(None);
        self.empty += 1;
        self.end() - 1
    }

    /// Puts a frame of which `written` bytes have gone before all others. None may have been begun.
    pub(super) fn push_begun(&mut self, frame: Frame, written: usize) {
        debug_assert!(self.written == 0 && written < frame.len());
        self.bytes += frame.len() - written;
        self.written = written;
        self.first -= 1;
        self.slots.push_front(Some(frame));
    }

    /// Takes the frame out of a place, which mustn't be that of a begun one.
    pub(super) fn take(&mut self, place: u64) -> Option<Frame> {
        debug_assert!(place >= self.first_unbegun());
        let index = self.index(place);
        let frame = self.slots.get_mut(index)?.take()?;
        self.bytes -= frame.len();
        self.empty += 1;
        Some(frame)
    }

    /// Fills the front place, which is empty.
    pub(super) fn fill_front(&mut self, frame: Frame) {
        debug_assert!(matches!(self.slots.front(), Some(None)));
        if let Some(slot) = self.slots.front_mut() {
            self.bytes += frame.len();
            self.empty -= 1;
            *slot = Some(frame);
        }
    }

    /// Removes the front place if it is empty.
    pub(super) fn drop_empty_front(&mut self) -> bool {
        let empty = matches!(self.slots.front(), Some(None));
        if empty {
            self.slots.pop_front();
            self.first += 1;
            self.empty -= 1;
        }
        empty
    }

    /// At most `gone` bytes of the front frame have gone. Returns how many of them were another's.
    pub(super) fn advance(&mut self, gone: usize) -> usize {
        let left = self.slots.front().and_then(Option::as_ref).map_or(0, Frame::len) - self.written;
        let step = gone.min(left);
        self.bytes -= step;
        if step == left {
            self.slots.pop_front();
            self.first += 1;
            self.written = 0;
        } else {
            self.written += step;
        }
        gone - step
    }

    /// Gives back the memory of a row that is empty.
    pub(super) fn give_back(&mut self) {
        debug_assert!(self.slots.is_empty());
        self.slots = VecDeque::new();
    }

    /// Removes the empty places that `keeps` doesn't want: what stands behind them moves up.
    pub(super) fn close_up(&mut self, keeps: impl Fn(u64) -> bool) -> Moved {
        let old = std::mem::take(&mut self.slots);
        self.slots.reserve(old.len() - self.empty + FEW);
        self.empty = 0;
        let mut places = Vec::with_capacity(old.len());
        for (place, slot) in (self.first..).zip(old) {
            places.push(self.end());
            if slot.is_some() || keeps(place) {
                self.empty += usize::from(slot.is_none());
                self.slots.push_back(slot);
            }
        }
        Moved { first: self.first, places, end: self.end() }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn index(&self, place: u64) -> usize {
        place.wrapping_sub(self.first) as usize
    }
}

/// Where the places of a row have gone.
#[derive(Debug)]
pub(super) struct Moved {
    first: u64,
    places: Vec<u64>,
    end: u64,
}

impl Moved {
    /// Where that place is now; of one that was removed, where the next one behind it is.
    pub(super) fn to(&self, old: u64) -> u64 {
        let index = old.saturating_sub(self.first) as usize;
        self.places.get(index).copied().unwrap_or(self.end)
    }
}
