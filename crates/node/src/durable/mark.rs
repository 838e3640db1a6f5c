//! Marks: word of how far the room has come, some time after the last publication that was stored from here. A lost
//! publication is revealed by the next one; only marks reveal the loss of the last.
//!
//! Where keys are kept the next one of another key reveals nothing: there each value is marked by its key, soon after it and
//! late, however busy the room.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_backplane::message::{Epoch, LiveBody, MARK_KEYS, Published};
use ringway_protocol::name::Key;

use super::Durable;
use super::limits::{KEYS, MARK_LATE, MARK_SOON};
use super::surroundings::{Surroundings, Timer};
use crate::room::Handles;

/// Of each key whether it was more than a repeat, and the greatest number.
type ByKey = BTreeMap<Option<Key>, (bool, u64)>;

/// What there is to mark. One timer of each kind is under way at most, however busy the room: it is set again for the
/// rest when it comes too early.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The newest that was stored from here, and when.
    last: Option<(Epoch, u64, Duration)>,
    /// By key: what isn't marked yet, soon and late; `false`: of repeats only.
    keys: Option<Box<[ByKey; 2]>>,
    armed: [bool; 2],
}

const AFTER: [(Timer, Duration); 2] = [(Timer::MarkSoon, MARK_SOON), (Timer::MarkLate, MARK_LATE)];

impl Marks {
    pub(super) fn quiet(&self) -> bool {
        !self.armed[0] && !self.armed[1]
    }
}

impl<H: Handles> Durable<H> {
    /// This node has just had these stored.
    pub(super) fn mark_later(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        stored: impl Iterator<Item = (Option<Key>, Published)>,
    ) {
        let mut newest = 0;
        if self.marks.last.is_some_and(|last| last.0 != epoch) {
            (self.marks.last, self.marks.keys) = (None, None);
        }
        for (key, Published { offset, duplicate, .. }) in stored {
            newest = offset.max(newest);
            if self.by_key {
                for keys in self.marks.keys.get_or_insert_default().iter_mut() {
                    // A repeat may have another key than the first had: it mustn't hide what this key has.
                    let known = keys.entry(key.clone()).or_insert((!duplicate, offset));
                    *known = (!duplicate, offset).max(*known);
                }
            }
        }
        if newest == 0 {
            return;
        }
        let before = self.marks.last.map_or(0, |last| last.1);
        self.marks.last = Some((epoch, newest.max(before), s.now()));
        for (which, (timer, after)) in AFTER.into_iter().enumerate() {
            if self.marks.keys.as_ref().is_some_and(|keys| keys[which].len() >= KEYS) {
                self.mark_keys_now(s, which, epoch);
            }
            if !std::mem::replace(&mut self.marks.armed[which], true) {
                s.wake(after, timer);
            }
        }
    }

    pub(super) fn mark_due(&mut self, s: &mut impl Surroundings<H>, timer: Timer) {
        let which = usize::from(timer == Timer::MarkLate);
        let Some((epoch, offset, at)) = self.marks.last.filter(|_| self.marks.armed[which]) else { return };
        let due = at + AFTER[which].1;
        if !self.by_key && s.now() < due {
            s.wake(due - s.now(), timer);
            return;
        }
        self.marks.armed[which] = false;
        if self.by_key {
            self.mark_keys_now(s, which, epoch);
        } else {
            s.live(LiveBody::Mark { epoch, offset });
            // What is said to others holds here too.
            self.heard_mark(s, epoch, offset);
        }
    }

    fn mark_keys_now(&mut self, s: &mut impl Surroundings<H>, which: usize, epoch: Epoch) {
        let Some(keys) = &mut self.marks.keys else { return };
        let keys = std::mem::take(&mut keys[which]).into_iter();
        let keys: Vec<_> = keys.map(|(key, (_, offset))| (key, offset)).collect();
        for keys in keys.chunks(MARK_KEYS) {
            s.live(LiveBody::MarkKeys { epoch, keys: keys.to_vec() });
            self.heard_keys(s, epoch, keys.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::scene::{keyed, publication, stage, stored};

    #[test]
    fn a_mark_comes_half_a_second_and_four_seconds_after_the_last_publication() {
        let (mut room, mut stage) = stage("n1");
        for offset in 1..=3 {
            room.enter(&mut stage, 1, vec![publication("p")]);
            stage.acknowledge(&mut room, &[stored(offset)]);
            stage.pass_ms(&mut room, 300);
        }
        stage.done();
        assert_eq!(stage.timers.len(), 2, "one timer of each kind, however busy the room");
        stage.pass_ms(&mut room, 199);
        assert_eq!(stage.done(), [""; 0]);
        stage.pass_ms(&mut room, 1);
        assert_eq!(stage.done(), ["mark 3"]);
        stage.pass_ms(&mut room, 3_500);
        assert_eq!(stage.done(), ["mark 3"]);
        assert!(stage.timers.is_empty() && room.is_at_rest());
    }

    #[test]
    fn by_key_each_value_is_marked_however_busy_the_room() {
        let (_, mut stage) = stage("n1");
        let mut room = Durable::new(true);
        for offset in 1..=20 {
            room.enter(&mut stage, 1, vec![keyed(if offset == 1 { "a" } else { "b" })]);
            stage.acknowledge(&mut room, &[stored(offset)]);
            stage.pass_ms(&mut room, 300);
        }
        let marks: Vec<_> = stage.done().into_iter().filter(|line| line.starts_with("mark")).collect();
        assert_eq!(marks[..2], ["mark a1 b2", "mark b4"]);
        assert!(marks.contains(&"mark a1 b14".to_owned()), "{marks:?}");
    }
}
