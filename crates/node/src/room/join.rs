//! Joining: each join is answered once, with where the member begins; then comes what it missed or asked for.

use super::limits::WAITING;
use super::members::{At, Since};
use super::surroundings::{Handles, Joined, Member, Place, Surroundings};
use super::{Room, Standing};
use ringway_backplane::message::Epoch;
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;

/// A join that waits for the owner's word.
#[derive(Debug)]
pub(super) struct Waiting {
    conn: ConnId,
    wish: Wish,
    /// How often the owner had been asked when it came: only a later question's answer surely knows what this
    /// client may know.
    asked: u64,
}

/// What a joining client wants to have.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// It came with a position, though perhaps not with one of a room like this.
    came: bool,
    since: Option<Since>,
    ts: Option<u64>,
    last: Option<u32>,
}

impl<H: Handles> Room<H> {
    pub(super) fn seat(
        &mut self,
        s: &mut impl Surroundings<H>,
        conn: H::Conn,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        let mut wish = Wish { came: since.is_some(), since: None, ts: None, last };
        if let Some(Position { epoch, offset, ts }) = since {
            wish.since = epoch.as_str().parse::<Epoch>().ok().map(|epoch| (epoch, offset));
            wish.ts = ts;
        }
        if self.members.is_waiting(conn.id()) {
            self.waiting.retain(|waiting| waiting.conn != *conn.id());
        }
        let seated = conn.clone();
        self.members.seat_waiting(conn, wish.since);
        let holding = self.standing == Standing::Holding;
        let greater = wish.since.is_some_and(|since| Some(since.0) > self.epoch);
        if holding && greater && s.away() {
            // Cut off, it can't know whether others have taken over: who comes from there isn't put back.
            self.answer_nowhere(s, &seated, &wish);
        } else if holding || (self.follows() && !self.is_behind(&wish)) {
            self.answer_join(s, &seated, &wish, holding);
        } else if self.waiting.len() >= WAITING {
            self.answer_nowhere(s, &seated, &wish);
        } else {
            self.waiting.push(Waiting { conn: seated.id().clone(), wish, asked: self.asked });
            self.ask_owner(s);
        }
    }

    pub(super) fn unseat(&mut self, s: &mut impl Surroundings<H>, conn: &ConnId) -> bool {
        if let Some(handle) = self.members.conn(conn).filter(|_| self.members.is_waiting(conn)).cloned()
            && let Some(index) = self.waiting.iter().position(|waiting| waiting.conn == *conn)
        {
            let waiting = self.waiting.remove(index);
            self.answer_nowhere(s, &handle, &waiting.wish);
        }
        let was = self.members.remove(conn).is_some();
        self.part_if_empty();
        was
    }

    /// The client knows more than this node does, or says so; or it wants what was before, of which this node knows that it hasn't all.
    fn is_behind(&self, wish: &Wish) -> bool {
        let ahead = |since| Some(since) > self.epoch.map(|epoch| (epoch, self.log.number()));
        let too_far_back =
            |since: Since| self.epoch.is_some_and(|epoch| since.0 == epoch && since.1 < self.log.base());
        wish.since.is_some_and(ahead)
            || (self.log.is_short() && (wish.last > Some(0) || wish.since.is_some_and(too_far_back)))
    }

    /// The owner was asked for the `number`th time.
    pub(super) fn answer_waiting(&mut self, s: &mut impl Surroundings<H>, number: u64, found: bool) {
        for waiting in std::mem::take(&mut self.waiting) {
            let sure = found && waiting.asked < number;
            if found && !sure && self.is_behind(&waiting.wish) {
                self.ask_again = true;
                self.waiting.push(waiting);
            } else if let Some(conn) = self.members.conn(&waiting.conn).cloned() {
                self.answer_join(s, &conn, &waiting.wish, sure);
            }
        }
    }

    fn answer_nowhere(&mut self, s: &mut impl Surroundings<H>, conn: &H::Conn, wish: &Wish) {
        self.members.put(conn.id(), At::Nowhere, true);
        let resumed = wish.came.then_some(false);
        s.joined(conn, Joined { place: None, newest: None, resumed, oldest: None });
    }

    /// `sure`: nobody has more of the room than this node, nor knows of a greater epoch.
    fn answer_join(&mut self, s: &mut impl Surroundings<H>, conn: &H::Conn, wish: &Wish, sure: bool) {
        let Some(epoch) = self.epoch.filter(|_| self.follows()) else {
            return self.answer_nowhere(s, conn, wish);
        };
        if !sure && wish.since.is_some_and(|since| since.0 > epoch) {
            return self.answer_nowhere(s, conn, wish);
        }
        self.log.trim(s.wall_ms());
        let (base, number) = (self.log.base(), self.log.number());
        let resumes_from = if self.numbered_lesser { u64::MAX } else { base.max(self.resumes_from) };
        let resumed = wish
            .since
            .filter(|since| since.0 == epoch && since.1 >= resumes_from && !(sure && since.1 > number))
            .map(|since| since.1);
        let begin = resumed.unwrap_or_else(|| wish.last.map_or(number, |last| self.log.before_newest(last)));
        let at = if begin > number { At::Beyond(begin) } else { At::Level };
        self.members.put(conn.id(), at, wish.since.is_some_and(|since| since.0 > epoch));
        let ts = self.log.ts(begin).or(wish.ts.filter(|_| resumed.is_some()));
        let oldest = (wish.came && resumed.is_none() && base < number).then_some(base + 1);
        s.joined(
            conn,
            Joined {
                place: Some(Place { epoch, offset: begin, ts }),
                newest: Some(number.max(begin)),
                resumed: wish.came.then_some(resumed.is_some()),
                oldest,
            },
        );
        for entry in self.log.after(begin) {
            s.replay(conn, entry, epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{
        actor, by, conn, epoch, following, holding, live, node, position, publication, stage, state,
    };
    use crate::room::{AskError, Outcome};
    use ringway_backplane::message::LiveBody;

    #[test]
    fn from_the_owners_answer_a_join_begins_at_the_newest() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 3)));
        assert_eq!(stage.done(), ["ask n2: sync", "a: joined at 3"]);
        assert_eq!(stage.joins[0].newest, Some(3));
    }

    #[test]
    fn since_brings_what_was_missed() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 3)), Some(1));
        assert_eq!(stage.done(), ["b: joined at 3, resumed", "b: replay 4 p4", "b: replay 5 p5"]);
        room.live(&mut stage, &node("n2"), live(epoch(1), 6));
        assert_eq!(stage.done(), ["a: msg 6 p6", "b: msg 6 p6"]);
    }

    #[test]
    fn last_brings_the_newest_where_since_isnt_given_or_fails() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), None, Some(2));
        assert_eq!(stage.done(), ["b: joined at 3", "b: replay 4 p4", "b: replay 5 p5"]);
        room.join(&mut stage, actor("c"), Some(position(epoch(0), 4)), Some(1));
        assert_eq!(stage.done(), ["c: joined at 4, not resumed", "c: replay 5 p5"]);
        assert_eq!(stage.joins.last().map(|joined| (joined.newest, joined.oldest)), Some((Some(5), Some(1))));
        room.join(&mut stage, actor("d"), None, Some(1_000));
        assert_eq!(stage.done().len(), 6);
    }

    #[test]
    fn what_the_buffer_lacks_isnt_resumed() {
        let (mut room, mut stage, epoch) = holding();
        let publications = (0..200).map(|_| publication("x")).collect();
        room.enter(&mut stage, 1, publications);
        stage.clear();
        room.join(&mut stage, actor("a"), Some(position(epoch, 99)), None);
        assert_eq!(stage.done(), ["a: joined at 200, not resumed"]);
        assert_eq!(stage.joins[0].oldest, Some(101));
        room.join(&mut stage, actor("b"), Some(position(epoch, 100)), None);
        assert_eq!(stage.done().len(), 101);
    }

    #[test]
    fn a_holder_refuses_a_since_from_the_future_or_of_another_room() {
        let (mut room, mut stage, epoch) = holding();
        room.enter(&mut stage, 1, vec![publication("x")]);
        stage.clear();
        let greater = crate::room::scene::epoch(9_000_000_000_000);
        for since in [position(epoch, 2), position(greater, 1), position(crate::room::scene::epoch(3), 1)] {
            room.join(&mut stage, actor("a"), Some(since), None);
            assert_eq!(stage.done(), ["a: joined at 1, not resumed"]);
        }
        let durable = Position { epoch: "k3J".parse().expect("an epoch's name"), offset: 1, ts: None };
        room.join(&mut stage, actor("a"), Some(durable), None);
        assert_eq!(stage.done(), ["a: joined at 1, not resumed"]);
    }

    #[test]
    fn a_holder_that_is_cut_off_puts_nobody_back_who_comes_from_a_greater_epoch() {
        let (mut room, mut stage, epoch) = holding();
        room.enter(&mut stage, 1, vec![publication("x")]);
        stage.away = true;
        room.link_lost(&mut stage);
        stage.clear();
        // Others may have taken over while it was silent.
        let greater = crate::room::scene::epoch(9_000_000_000_000);
        room.join(&mut stage, actor("a"), Some(position(greater, 4)), None);
        assert_eq!(stage.done(), ["a: joined nowhere, not resumed"]);
        room.join(&mut stage, actor("b"), Some(position(epoch, 1)), None);
        room.join(&mut stage, actor("c"), None, None);
        assert_eq!(stage.done(), ["b: joined at 1, resumed", "c: joined at 1"]);
        stage.away = false;
        room.back_from_cut(&mut stage);
        stage.clear();
        room.live(&mut stage, &node("n3"), live(greater, 5));
        let done = stage.done();
        let of = |who: &str| done.iter().filter(|word| word.starts_with(who)).cloned().collect::<Vec<_>>();
        assert_eq!(of("a:"), ["a: gap backplane 4", "a: msg 5 p5"], "it is where it was");
        assert_eq!(of("b:"), ["b: gap epoch 4", "b: msg 5 p5"]);
    }

    #[test]
    fn a_follower_asks_whether_a_since_from_the_future_is_from_a_faster_node() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 7)), None);
        assert_eq!(stage.done(), ["ask n2: sync"]);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 8)));
        let done = stage.done();
        assert_eq!(done[..3], ["a: msg 6 p6", "a: msg 7 p7", "a: msg 8 p8"]);
        assert_eq!(done[3..], ["b: joined at 7, resumed", "b: replay 8 p8"]);
        room.join(&mut stage, actor("c"), Some(position(epoch(1), 99)), None);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 8)));
        assert_eq!(stage.done(), ["ask n2: sync", "c: joined at 8, not resumed"]);
    }

    #[test]
    fn who_is_further_than_its_node_gets_nothing_twice() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 7)), None);
        stage.reply(&mut room, Err(AskError::Timeout));
        assert_eq!(stage.done(), ["ask n2: sync", "b: joined at 7, resumed"]);
        for offset in 6..=8 {
            room.live(&mut stage, &node("n2"), live(epoch(1), offset));
        }
        assert_eq!(stage.done(), ["a: msg 6 p6", "a: msg 7 p7", "a: msg 8 p8", "b: msg 8 p8"]);
    }

    #[test]
    fn an_answer_to_an_earlier_question_doesnt_refuse_a_later_since() {
        let (mut room, mut stage) = following(5);
        room.back_from_cut(&mut stage);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 7)), None);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 6)));
        assert_eq!(stage.done(), ["ask n2: sync", "a: msg 6 p6", "ask n2: sync"]);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 7)));
        assert_eq!(stage.done(), ["a: msg 7 p7", "b: joined at 7, resumed"]);
    }

    #[test]
    fn who_comes_before_the_owner_has_answered_is_resumed_from_its_answer() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        // From here on the room is followed; of what was before this node knows nothing yet.
        room.live(&mut stage, &node("n2"), live(epoch(1), 6));
        stage.clear();
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 3)), None);
        room.join(&mut stage, actor("c"), None, Some(2));
        room.join(&mut stage, actor("d"), Some(position(epoch(1), 6)), None);
        assert_eq!(stage.done(), ["d: joined at 6, resumed"], "for that one it knows enough");
        stage.reply(&mut room, Ok(state(epoch(1), 0, 6)));
        let done = stage.done();
        let of = |who: &str| done.iter().filter(|word| word.starts_with(who)).cloned().collect::<Vec<_>>();
        let replayed = ["b: joined at 3, resumed", "b: replay 4 p4", "b: replay 5 p5", "b: replay 6 p6"];
        assert_eq!(of("b:"), replayed);
        assert_eq!(of("c:"), ["c: joined at 4", "c: replay 5 p5", "c: replay 6 p6"]);
    }

    #[test]
    fn who_had_a_position_of_another_epoch_is_told_so_with_the_new_one() {
        for (since, reason) in [(Some(position(epoch(1), 7)), "epoch"), (None, "backplane")] {
            let (mut room, mut stage) = stage("n2");
            room.join(&mut stage, actor("a"), since.clone(), None);
            stage.reply(&mut room, Err(AskError::NoResponders));
            stage.clear();
            room.live(&mut stage, &node("n3"), live(epoch(2), 4));
            assert_eq!(stage.done(), [format!("a: gap {reason} 3"), "a: msg 4 p4".to_owned()]);
            // By the answer of whoever has it, too.
            let (mut room, mut stage) = self::stage("n2");
            room.join(&mut stage, actor("a"), since, None);
            stage.reply(&mut room, Err(AskError::NoResponders));
            stage.clear();
            let due = stage.timers[0].0 - stage.now;
            stage.pass(&mut room, due);
            stage.clear();
            stage.reply(&mut room, Ok(state(epoch(2), 0, 3)));
            assert_eq!(stage.done(), [format!("a: gap {reason} 3")]);
        }
    }

    #[test]
    fn without_an_owner_a_join_has_no_position_and_a_gap_gives_it_later() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position(epoch(1), 7)), None);
        stage.reply(&mut room, Err(AskError::NoResponders));
        assert_eq!(stage.done(), ["ask n2: sync", "a: joined nowhere, not resumed"]);
        room.live(&mut stage, &node("n2"), live(epoch(1), 4));
        assert_eq!(stage.done(), ["a: gap backplane 7"], "never below what it came with");
        for offset in 5..=8 {
            room.live(&mut stage, &node("n2"), live(epoch(1), offset));
        }
        assert_eq!(stage.done(), ["a: msg 8 p8"]);
    }

    #[test]
    fn the_owner_is_asked_again_until_it_answers() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        let mut waits = Vec::new();
        for _ in 0..4 {
            stage.reply(&mut room, Err(AskError::NoResponders));
            let asked = stage.now;
            let (due, _) = stage.timers[0];
            stage.pass(&mut room, due - asked);
            waits.push((due - asked).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 4]);
        stage.clear();
        stage.reply(&mut room, Ok(state(epoch(1), 0, 3)));
        assert_eq!(stage.done(), ["a: gap backplane 3"]);
    }

    #[test]
    fn a_leave_answers_the_join_that_waits_first() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        assert!(room.leave(&mut stage, &conn("a")));
        assert!(!room.leave(&mut stage, &conn("a")));
        room.join(&mut stage, actor("a"), None, None);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 3)));
        assert_eq!(stage.done()[..3], ["ask n2: sync", "a: joined nowhere", "a: joined at 3"]);
        room.live(&mut stage, &node("n2"), live(epoch(1), 4));
        assert_eq!(stage.done(), ["a: msg 4 p4"]);
    }

    #[test]
    fn who_joins_and_publishes_gets_its_own() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        room.enter(&mut stage, 1, vec![by("x", "a")]);
        room.enter(&mut stage, 2, vec![by("y", "b")]);
        assert_eq!(
            stage.done(),
            ["ask n2: sync", "ask n2: publish y"],
            "another's needn't wait for that join"
        );
        stage.reply(&mut room, Ok(state(epoch(1), 0, 3)));
        assert_eq!(stage.done(), ["a: joined at 3"]);
        stage.reply(&mut room, Err(AskError::NoResponders));
        assert_eq!(stage.done(), ["ask n2: publish x"]);
    }

    #[test]
    fn who_joins_a_second_time_is_answered_a_second_time() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("a"), Some(position(epoch(1), 4)), None);
        assert_eq!(stage.done(), ["a: joined at 4, resumed", "a: replay 5 p5"]);
        assert_eq!(room.members(), 1);
    }

    #[test]
    fn joins_that_wait_are_bounded() {
        let (mut room, mut stage) = stage("n2");
        for number in 0..WAITING + 3 {
            room.join(&mut stage, actor(&format!("c{number}")), None, None);
        }
        assert_eq!(stage.joins.len(), 3);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 3)));
        assert_eq!(stage.joins.len(), WAITING + 3);
        assert_eq!(stage.gaps.len(), 3, "for those who were answered without a position");
        room.live(&mut stage, &node("n2"), LiveBody::Mark { epoch: epoch(2), offset: 9 });
        assert_eq!(stage.gaps.len(), 3 + WAITING + 3);
    }

    #[test]
    fn away_members_hear_each_other_without_numbers() {
        let (mut room, mut stage) = following(5);
        stage.away = true;
        room.link_lost(&mut stage);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 4)), None);
        room.enter(&mut stage, 1, vec![by("x", "a")]);
        assert_eq!(stage.done(), ["b: joined at 4, resumed", "b: replay 5 p5", "a: msg - x", "b: msg - x"]);
        assert_eq!(stage.outcomes, [(1, Outcome::Local)]);
        stage.away = false;
        room.back_from_cut(&mut stage);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 6)));
        assert_eq!(stage.done(), ["ask n2: sync", "a: msg 6 p6", "b: msg 6 p6"]);
    }

    #[test]
    fn away_a_join_of_an_unfollowed_room_is_answered_at_once() {
        let (mut room, mut stage) = stage("n2");
        stage.away = true;
        room.join(&mut stage, actor("a"), None, None);
        room.enter(&mut stage, 1, vec![by("x", "a")]);
        assert_eq!(stage.done(), ["a: joined nowhere", "a: msg - x"]);
        assert!(stage.timers.is_empty(), "nothing is asked while the backplane is away");
    }

    #[test]
    fn who_wasnt_here_when_something_was_lost_isnt_resumed() {
        let (mut room, mut stage) = following(3);
        room.live(&mut stage, &node("n3"), live(epoch(2), 5));
        room.live(&mut stage, &node("n2"), live(epoch(1), 4));
        assert_eq!(
            stage.done()[2..],
            ["a: gap backplane 5", "ask n2: greater"],
            "a loss in the lesser epoch"
        );
        room.join(&mut stage, actor("b"), Some(position(epoch(2), 5)), None);
        assert_eq!(stage.done(), ["b: joined at 5, not resumed"]);
        room.live(&mut stage, &node("n3"), live(epoch(2), 6));
        room.join(&mut stage, actor("c"), Some(position(epoch(2), 6)), None);
        assert_eq!(stage.done().last().map(String::as_str), Some("c: joined at 6, resumed"));
    }
}
