//! A room's position by the resume rule, and what is new to the application: a value that is told
//! what was received.

use ringway_protocol::frame::{Gap, GapReason, JoinResult, Msg, Position};

/// Where a client is in one room.
///
/// The position is that of the join's result, then of each message without an id that has an
/// offset above it, then of a gap. A result without one leaves it as it was. What isn't above the
/// greatest offset that was handed on in this epoch before the room's join was answered is a
/// duplicate: a new connection, during a hand-over, repeats what the old one brought meanwhile.
/// Within a connection nothing comes twice, but in a durable room that keeps the newest of each key
/// a value may come behind a greater offset of another key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    position: Option<Position>,
    /// The greatest offset that was handed on.
    seen: Option<u64>,
    /// What that was when the join was answered.
    floor: Option<u64>,
}

impl Track {
    /// Begins at a position that was kept from before, or nowhere.
    pub fn at(position: Option<Position>) -> Self {
        Self { position, ..Self::default() }
    }

    /// What a join's `since` asks with.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// A join was answered.
    pub fn answered(&mut self, result: &JoinResult) {
        self.place(result);
        self.floor = self.seen;
    }

    fn place(&mut self, result: &JoinResult) {
        let (Some(epoch), Some(offset)) = (&result.epoch, result.offset) else { return };
        if let Some(ours) = self.position.as_ref().filter(|ours| ours.epoch == *epoch) {
            if result.resumed == Some(true) && offset <= ours.offset {
                return; // the old connection brought us further meanwhile
            }
            if matches!((result.newest, self.seen), (Some(newest), Some(seen)) if newest < seen) {
                self.seen = None; // the same epoch put back: its offsets come anew
            }
        } else {
            self.seen = None;
        }
        self.position = Some(Position { epoch: epoch.clone(), offset, ts: result.ts });
    }

    /// A message of the room came. Whether it is new.
    #[must_use]
    pub fn message(&mut self, msg: &Msg) -> bool {
        let (Some(offset), None, Some(position)) = (msg.offset, msg.id, &mut self.position) else {
            return true;
        };
        if self.floor.is_some_and(|floor| offset <= floor) {
            return false;
        }
        self.seen = self.seen.max(Some(offset));
        if offset > position.offset {
            (position.offset, position.ts) = (offset, msg.ts);
        }
        true
    }

    /// A gap was told. Whether it is one to us.
    #[must_use]
    pub fn gap(&mut self, gap: &Gap) -> bool {
        match &self.position {
            // It tells of nothing that we miss, but maybe that what we had was forgotten.
            Some(ours) if ours.epoch == gap.epoch && gap.offset <= ours.offset => {
                return gap.reason == GapReason::Truncated;
            }
            Some(ours) if ours.epoch == gap.epoch => {}
            _ => (self.seen, self.floor) = (None, None),
        }
        self.position = Some(Position { epoch: gap.epoch.clone(), offset: gap.offset, ts: gap.ts });
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use ringway_protocol::Payload;

    use super::*;

    fn position(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.parse().unwrap(), offset, ts: Some(offset * 10) }
    }

    fn answer(epoch: &str, offset: u64, newest: u64, resumed: Option<bool>) -> JoinResult {
        JoinResult {
            epoch: Some(epoch.parse().unwrap()),
            offset: Some(offset),
            ts: Some(offset * 10),
            newest: Some(newest),
            resumed,
            ..JoinResult::default()
        }
    }

    fn msg(offset: Option<u64>) -> Msg {
        Msg {
            id: None,
            room: Some("a".parse().unwrap()),
            data: Payload::null(),
            offset,
            ts: offset.map(|offset| offset * 10),
            user: None,
            event: None,
            key: None,
            mid: None,
            prev: None,
            trace: None,
        }
    }

    fn gap(reason: GapReason, epoch: &str, offset: u64) -> Gap {
        Gap {
            room: "a".parse().unwrap(),
            reason,
            epoch: epoch.parse().unwrap(),
            offset,
            ts: Some(offset * 10),
            lost: None,
        }
    }

    #[test]
    fn the_position_is_the_joins_then_each_messages_then_a_gaps() {
        let mut track = Track::default();
        track.answered(&answer("e", 10, 12, None));
        assert_eq!(track.position(), Some(&position("e", 10)));
        assert!(track.message(&msg(Some(11))));
        assert_eq!(track.position(), Some(&position("e", 11)));
        assert!(track.message(&msg(None)));
        assert!(track.message(&Msg { id: Some(7), ..msg(Some(99)) }), "a line of a history page");
        assert_eq!(track.position(), Some(&position("e", 11)));
        assert!(track.gap(&gap(GapReason::Slow, "e", 20)));
        assert_eq!(track.position(), Some(&position("e", 20)));
        assert!(track.gap(&gap(GapReason::Epoch, "f", 3)));
        assert!(track.message(&msg(Some(4))));
        assert_eq!(track.position(), Some(&position("f", 4)));
    }

    #[test]
    fn a_result_without_a_position_keeps_the_old_one() {
        let mut track = Track::at(Some(position("e", 10)));
        track.answered(&JoinResult { resumed: Some(false), ..JoinResult::default() });
        assert_eq!(track.position(), Some(&position("e", 10)));
        let mut fresh = Track::default();
        fresh.answered(&JoinResult::default());
        assert!(fresh.message(&msg(Some(5))), "of an epoch that we don't know yet");
        assert_eq!(fresh.position(), None);
        assert!(fresh.gap(&gap(GapReason::Epoch, "e", 5)));
        assert_eq!(fresh.position(), Some(&position("e", 5)));
    }

    #[test]
    fn what_the_old_connection_brought_meanwhile_stays_ours() {
        let mut track = Track::at(Some(position("e", 10)));
        for offset in 11..=15 {
            assert!(track.message(&msg(Some(offset))));
        }
        track.answered(&answer("e", 12, 15, Some(true)));
        assert_eq!(track.position(), Some(&position("e", 15)));
        assert!(!track.message(&msg(Some(13))));
        assert!(!track.gap(&gap(GapReason::Backplane, "e", 15)), "what it misses, we have");
        assert!(track.gap(&gap(GapReason::Truncated, "e", 15)), "that it was forgotten is news");
        assert!(track.message(&msg(Some(16))));
    }

    #[test]
    fn a_value_that_was_held_up_is_new_and_moves_nothing() {
        let mut track = Track::default();
        track.answered(&answer("e", 10, 10, None));
        assert!(track.message(&msg(Some(15))));
        assert!(track.message(&msg(Some(12))), "of another key");
        assert_eq!(track.position(), Some(&position("e", 15)));
        track.answered(&answer("e", 15, 17, Some(true)));
        assert!(!track.message(&msg(Some(14))) && track.message(&msg(Some(17))));
        assert!(track.message(&msg(Some(16))));
        assert_eq!(track.position(), Some(&position("e", 17)));
    }

    #[test]
    fn an_epoch_put_back_is_heard_again() {
        let mut track = Track::at(Some(position("e", 10)));
        assert!(track.message(&msg(Some(11))));
        track.answered(&answer("e", 4, 4, Some(false)));
        assert!(track.message(&msg(Some(5))));
    }

    #[test]
    fn the_newest_that_were_asked_for_are_new_wherever_the_answer_puts_the_position() {
        let mut track = Track::default();
        track.answered(&answer("e", 20, 20, None));
        assert!(track.message(&msg(Some(19))));
        assert!(track.message(&msg(Some(20))));
        assert_eq!(track.position(), Some(&position("e", 20)));
    }

    /// What may happen to a member of a room whose server keeps everything.
    #[derive(Debug, Clone)]
    enum Step {
        Publish,
        Deliver(usize),
        Cut,
        /// A second connection, while the first goes on.
        HandOver(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Publish),
            4 => (1_usize..6).prop_map(Step::Deliver),
            1 => Just(Step::Cut),
            1 => (0_usize..6).prop_map(Step::HandOver),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn each_publication_is_new_once_and_in_order(steps in steps()) {
            let mut track = Track::default();
            track.answered(&answer("e", 0, 0, None));
            let (mut newest, mut sent, mut heard) = (0_u64, 0_u64, Vec::new());
            let deliver = |track: &mut Track, heard: &mut Vec<u64>, sent: &mut u64, count: u64, newest: u64| {
                for _ in 0..count.min(newest - *sent) {
                    *sent += 1;
                    if track.message(&msg(Some(*sent))) {
                        heard.push(*sent);
                    }
                }
            };
            for step in steps {
                match step {
                    Step::Publish => newest += 1,
                    Step::Deliver(count) => deliver(&mut track, &mut heard, &mut sent, count as u64, newest),
                    Step::Cut => {
                        let since = track.position().unwrap().offset;
                        track.answered(&answer("e", since, newest, Some(true)));
                        sent = since;
                    }
                    Step::HandOver(meanwhile) => {
                        let since = track.position().unwrap().offset;
                        deliver(&mut track, &mut heard, &mut sent, meanwhile as u64, newest);
                        track.answered(&answer("e", since, newest, Some(true)));
                        sent = since;
                    }
                }
            }
            deliver(&mut track, &mut heard, &mut sent, u64::MAX, newest);
            prop_assert_eq!(heard, (1..=newest).collect::<Vec<_>>());
        }
    }
}
