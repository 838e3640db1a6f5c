//! What the queue should do, said as plainly as can be: one list, searched from the front whenever something is asked.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Room;
use crate::frame::Frame;
use crate::label::{Feed, Label, Lost, Policy};
use crate::outbound::queue::BATCH;

/// A feed whose gap frames say what they tell.
#[derive(Default)]
pub(super) struct Named {
    pub(super) name: u8,
    pub(super) dropped: AtomicU64,
    pub(super) conflated: AtomicU64,
}

impl Named {
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.dropped.load(Ordering::Relaxed), self.conflated.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "feed {}", self.name)
    }
}

impl Feed for Named {
    fn gap(&self, lost: Lost) -> Frame {
        gap_frame(self.name, lost)
    }

    fn dropped(&self, frames: u64) {
        self.dropped.fetch_add(frames, Ordering::Relaxed);
    }

    fn conflated(&self, frames: u64) {
        self.conflated.fetch_add(frames, Ordering::Relaxed);
    }
}

fn gap_frame(feed: u8, lost: Lost) -> Frame {
    let said = format!("gap {feed} {} {} {}", lost.offset, lost.ts, lost.frames);
    if lost.text { Frame::text(said.as_bytes()) } else { Frame::binary(said.as_bytes()) }
}

#[derive(Clone, Debug)]
enum Item {
    Frame(Frame),
    Gap(u8, Lost),
}

#[derive(Debug, Default)]
pub(super) struct Model {
    items: Vec<Item>,
    pong: Option<Frame>,
    written: usize,
    pub(super) behind: bool,
}

/// Whose frame it is, its policy, its key, and whether it has a number.
type Same<'a> = (u8, Policy, Option<&'a str>, bool);

fn feed_of(label: &Label) -> u8 {
    // Feeds of the tests show their name.
    let shown = format!("{:?}", label.feed);
    shown.trim_start_matches("feed ").parse().expect("a feed of the tests")
}

fn same_of(label: &Label) -> Same<'_> {
    (feed_of(label), label.policy, label.key.as_ref().map(|key| key.as_str()), label.offset.is_some())
}

impl Model {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.pong.is_none()
    }

    pub(super) fn frames(&self) -> usize {
        self.items.iter().filter(|item| matches!(item, Item::Frame(_))).count()
    }

    pub(super) fn bytes(&self) -> usize {
        let whole: usize =
            self.items.iter().map(|item| if let Item::Frame(frame) = item { frame.len() } else { 0 }).sum();
        whole - self.written
    }

    pub(super) fn set_pong(&mut self, pong: Frame) {
        self.pong = Some(pong);
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.items.push(Item::Frame(frame));
    }

    pub(super) fn fall_behind(&mut self) {
        self.behind = true;
        let mut index = usize::from(self.written > 0);
        while index < self.items.len() {
            let newer = self.items[index + 1..].iter().any(|item| {
                matches!((label(item), label(&self.items[index])), (Some(other), Some(this))
                    if this.policy == Policy::Conflate && same_of(other) == same_of(this))
            });
            if newer {
                self.items.remove(index);
            } else {
                index += 1;
            }
        }
    }

    pub(super) fn push_behind(&mut self, frame: &Frame, room: Room) -> bool {
        if let Some(this) = frame.label().filter(|label| label.policy == Policy::Conflate) {
            let older =
                self.unbegun().find(|&i| label(&self.items[i]).is_some_and(|l| same_of(l) == same_of(this)));
            if let Some(older) = older {
                self.items.remove(older);
            } else {
                let of_feed =
                    |item: &Item| label(item).filter(|l| feed_of(l) == feed_of(this)).map(|l| l.policy);
                let keys = |model: &Self| {
                    model.unbegun().filter(|&i| of_feed(&model.items[i]) == Some(Policy::Conflate)).count()
                };
                while keys(self) >= room.keys {
                    let oldest = self.unbegun().find(|&i| of_feed(&self.items[i]).is_some());
                    self.leave_out(oldest.expect("one of its keys at least"));
                }
            }
        }
        while !(self.frames() == 0
            || (self.bytes() + frame.len() <= room.bytes && self.frames() < room.frames))
        {
            if !self.leave_out_oldest() {
                if frame.label().is_none() {
                    return false;
                }
                self.push(frame.clone());
                self.leave_out(self.items.len() - 1);
                return true;
            }
        }
        self.push(frame.clone());
        true
    }

    pub(super) fn shed(&mut self) -> usize {
        let before = self.bytes();
        while self.leave_out_oldest() {}
        before - self.bytes()
    }

    /// Writes at most `room` bytes, and says how many it would have.
    pub(super) fn write(&mut self, room: usize, wire: &mut Vec<u8>) -> usize {
        if self.written == 0
            && let Some(Item::Gap(feed, lost)) = self.items.first()
        {
            self.items[0] = Item::Frame(gap_frame(*feed, *lost));
        }
        let mut pieces: Vec<Frame> = self
            .items
            .iter()
            .map_while(|item| if let Item::Frame(f) = item { Some(f.clone()) } else { None })
            .collect();
        if let Some(pong) = &self.pong {
            pieces.insert(usize::from(self.written > 0), pong.clone());
        }
        pieces.truncate(BATCH);
        let all: Vec<u8> = pieces.iter().flat_map(|f| f.encoded().to_vec()).skip(self.written).collect();
        let mut gone = room.min(all.len());
        wire.extend_from_slice(&all[..gone]);
        // The pong takes its place once it is begun.
        if let Some(pong) = &self.pong {
            let front = if self.written > 0 { pieces[0].len() - self.written } else { 0 };
            if gone > front {
                self.items.insert(usize::from(self.written > 0), Item::Frame(pong.clone()));
                self.pong = None;
            }
        }
        while gone > 0 {
            let Item::Frame(front) = &self.items[0] else { unreachable!("gaps aren't written") };
            let step = gone.min(front.len() - self.written);
            gone -= step;
            self.written += step;
            if self.written == front.len() {
                self.items.remove(0);
                self.written = 0;
            }
        }
        all.len()
    }

    fn unbegun(&self) -> std::ops::Range<usize> {
        usize::from(self.written > 0).min(self.items.len())..self.items.len()
    }

    fn leave_out_oldest(&mut self) -> bool {
        let oldest = self.unbegun().find(|&index| label(&self.items[index]).is_some());
        oldest.inspect(|&index| self.leave_out(index)).is_some()
    }

    fn leave_out(&mut self, index: usize) {
        let Item::Frame(frame) = self.items.remove(index) else { unreachable!("a gap can't be lost") };
        let label = frame.label().expect("a label");
        let Some(offset) = label.offset else { return };
        let feed = feed_of(label);
        let mut lost = Lost { offset, ts: label.ts, frames: 1, text: frame.is_text() };
        let mut index = index;
        if let Some(before) =
            self.items.iter().position(|item| matches!(item, Item::Gap(of, _) if *of == feed))
        {
            let Item::Gap(_, told) = self.items.remove(before) else { unreachable!() };
            lost.frames += told.frames;
            index -= usize::from(before < index);
        }
        self.items.insert(index, Item::Gap(feed, lost));
    }
}

fn label(item: &Item) -> Option<&Arc<Label>> {
    if let Item::Frame(frame) = item { frame.label() } else { None }
}
