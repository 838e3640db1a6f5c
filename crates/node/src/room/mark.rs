//! Marks: word of how far the room has come, some time after the last publication. A lost publication is revealed by
//! the next one; only marks reveal the loss of the last.

use std::time::Duration;

use super::limits::{MARK_LATE, MARK_SOON};
use super::surroundings::{Handles, Surroundings, Timer};
use super::{Room, Standing};
use ringway_backplane::message::{Epoch, LiveBody};

/// What there is to mark. One timer of each kind is under way at most, however busy the room: it is set again for the
/// rest when it comes too early.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The newest number that this node gave, and when.
    last: Option<(Epoch, u64, Duration)>,
    soon: bool,
    late: bool,
}

impl Marks {
    pub(crate) fn quiet(&self) -> bool {
        !self.soon && !self.late
    }
}

impl<H: Handles> Room<H> {
    /// This node has just numbered `offset`, or begun the epoch (0).
    pub(super) fn mark_later(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        self.marks.last = Some((epoch, offset, s.now()));
        if !self.marks.soon {
            self.marks.soon = true;
            s.wake(MARK_SOON, Timer::MarkSoon);
        }
        if !self.marks.late {
            self.marks.late = true;
            s.wake(MARK_LATE, Timer::MarkLate);
        }
    }

    /// A greater epoch is about to be followed: what this node numbered in the lost one, perhaps while it was cut off,
    /// others must be told of as lost.
    pub(super) fn mark_lost(&mut self, s: &mut impl Surroundings<H>, greater: Epoch) {
        if let Some((epoch, offset, _)) = self.marks.last
            && offset > 0
            && self.epoch == Some(epoch)
            && epoch < greater
        {
            self.numbered_lesser = true;
            s.live(LiveBody::Mark { epoch, offset });
            self.mark_later(s, epoch, offset);
        }
    }

    /// Back from a cut: what this node holds, or numbered last and has given since, perhaps into the cut.
    pub(super) fn mark_again(&mut self, s: &mut impl Surroundings<H>) {
        let Some(epoch) = self.epoch else { return };
        let offset = if self.standing == Standing::Holding {
            self.log.number()
        } else if let Some((_, offset, _)) = self.marks.last.filter(|(last, _, _)| *last == epoch) {
            offset
        } else {
            return;
        };
        s.live(LiveBody::Mark { epoch, offset });
        self.mark_later(s, epoch, offset);
    }

    pub(super) fn mark_due(&mut self, s: &mut impl Surroundings<H>, timer: Timer) {
        let marks = &mut self.marks;
        let (waiting, after) = if timer == Timer::MarkSoon {
            (&mut marks.soon, MARK_SOON)
        } else {
            (&mut marks.late, MARK_LATE)
        };
        let Some((epoch, offset, at)) = marks.last.filter(|_| *waiting) else { return };
        let due = at + after;
        if s.now() < due {
            s.wake(due - s.now(), timer);
            return;
        }
        *waiting = false;
        s.live(LiveBody::Mark { epoch, offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{holding, publication};

    #[test]
    fn a_mark_comes_half_a_second_and_four_seconds_after_the_last_publication() {
        let (mut room, mut stage, _) = holding();
        stage.pass(&mut room, Duration::from_secs(10));
        assert_eq!(stage.done(), ["mark 0", "mark 0"], "of the new epoch");
        for word in ["p1", "p2", "p3"] {
            room.enter(&mut stage, 1, vec![publication(word)]);
            stage.pass(&mut room, Duration::from_millis(300));
        }
        assert_eq!(stage.done(), ["live 1 p1", "live 2 p2", "live 3 p3"]);
        assert_eq!(stage.timers.len(), 2, "one timer of each kind, however busy the room");
        stage.pass(&mut room, Duration::from_millis(199));
        assert_eq!(stage.done(), [""; 0]);
        stage.pass(&mut room, Duration::from_millis(1));
        assert_eq!(stage.done(), ["mark 3"]);
        stage.pass(&mut room, Duration::from_millis(3_499));
        assert_eq!(stage.done(), [""; 0]);
        stage.pass(&mut room, Duration::from_millis(1));
        assert_eq!(stage.done(), ["mark 3"]);
        assert!(stage.timers.is_empty());
    }

    #[test]
    fn a_stale_timer_marks_nothing() {
        let (mut room, mut stage, _) = holding();
        stage.pass(&mut room, Duration::from_secs(10));
        stage.clear();
        room.timer(&mut stage, Timer::MarkSoon);
        room.timer(&mut stage, Timer::MarkLate);
        assert_eq!(stage.done(), [""; 0]);
    }
}
