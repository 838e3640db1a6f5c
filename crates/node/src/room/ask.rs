//! Asking the owner where the room is: after a hole or a mark ahead, for a join, when the holder is gone, and back from
//! a cut. One question at a time; what it hasn't, nobody has.

use ringway_backplane::message::{Answer, Ask};
use ringway_ring::NodeId;

use super::limits::{ASK_AGAIN, ASK_AGAIN_MOST, SYNC_WAIT, VIEWS_DIFFER, VIEWS_PAUSE};
use super::number::Queued;
use super::surroundings::{AskError, AskId, Handles, Surroundings, Timer};
use super::take::entries_of;
use super::{Room, Standing};

/// The owner is being asked where the room is.
#[derive(Debug)]
pub(super) struct Asking {
    /// `None`: this node is the owner, and takes the room.
    pub(super) id: Option<AskId>,
    to: NodeId,
    redirected: bool,
    /// Which question this is: see `Room::asked`.
    pub(super) number: u64,
    /// The greatest number heard of when it was asked: the owner has that, or nobody has.
    wanted: u64,
}

impl<H: Handles> Room<H> {
    /// Asks the owner where the room is.
    pub(super) fn ask_owner(&mut self, s: &mut impl Surroundings<H>) {
        let pauses = self.sent_round > 0 && self.ask_again_timer;
        if self.asking.is_some() || pauses {
            self.ask_again = true;
            return;
        }
        self.ask_again = false;
        self.asked += 1;
        let owner = s.owner();
        let to = owner.clone().unwrap_or_else(|| s.me().clone());
        let asking = Asking { id: None, to, redirected: false, number: self.asked, wanted: self.wanted };
        self.asking = Some(Box::new(asking));
        match owner {
            Some(owner) if owner == *s.me() => self.when_held(s, Queued::Asking),
            Some(owner) if !s.away() => self.ask_this_one(s, owner),
            _ => self.asked_owner(s, false),
        }
    }

    fn ask_this_one(&mut self, s: &mut impl Surroundings<H>, to: NodeId) {
        let id = s.ask(&to, Ask::Sync { known: self.known() }, SYNC_WAIT);
        if let Some(asking) = &mut self.asking {
            asking.id = Some(id);
            asking.to = to;
        }
    }

    /// The owner's answer, or another's whom we took for it.
    pub(super) fn owner_said(&mut self, s: &mut impl Surroundings<H>, answer: Result<Answer, AskError>) {
        let Some(asking) = &mut self.asking else { return };
        match answer {
            Ok(Answer::Redirect { to: Some(to) }) if !asking.redirected && to != *s.me() => {
                asking.redirected = true;
                self.ask_this_one(s, to);
            }
            Ok(Answer::State { epoch, offset, base, entries }) if self.epoch <= Some(epoch) => {
                let from = asking.to.clone();
                self.meet(s, epoch, Some(from.clone()), offset);
                // It answered so because it holds the room.
                self.set_holder(s, Some(from));
                self.fill(s, offset, base, entries_of(entries));
                self.asked_owner(s, true);
                // Who asked may have left meanwhile, and then nothing keeps this up to date.
                self.part_if_empty();
            }
            Ok(Answer::Redirect { .. }) => self.sent_round(s),
            _ => self.asked_owner(s, false),
        }
    }

    /// Nodes differ on who the owner is. That passes, and who waits would be told of a loss where there is none.
    fn sent_round(&mut self, s: &mut impl Surroundings<H>) {
        let hole = self.standing == Standing::Following && self.wanted > self.log.number();
        if (self.waiting.is_empty() && !hole) || self.sent_round == VIEWS_DIFFER {
            return self.asked_owner(s, false);
        }
        self.sent_round += 1;
        (self.asking, self.ask_again, self.ask_again_timer) = (None, true, true);
        s.wake(VIEWS_PAUSE, Timer::AskAgain);
    }

    /// The question is settled: what the owner hasn't (or no owner was found to have) is lost, who waits is answered.
    pub(super) fn asked_owner(&mut self, s: &mut impl Surroundings<H>, found: bool) {
        let Some(asking) = self.asking.take() else { return };
        self.sent_round = 0;
        let wanted = if found { asking.wanted } else { self.wanted };
        if self.standing == Standing::Following
            && self.wanted > self.log.number()
            && wanted > self.log.number()
        {
            let next = self.ahead.keys().next().map_or(wanted, |first| first - 1);
            self.skip(s, next);
            self.drain(s);
        }
        self.answer_waiting(s, asking.number, found);
        if found {
            self.asked_in_vain = 0;
            if self.ask_again || self.wanted > self.log.number() {
                self.ask_owner(s);
            }
        } else if !self.members.is_empty() {
            self.ask_again_later(s);
        }
    }

    pub(super) fn ask_again_later(&mut self, s: &mut impl Surroundings<H>) {
        self.ask_again = true;
        // Back from a cut it is asked anyhow.
        if !self.ask_again_timer && !s.away() {
            self.ask_again_timer = true;
            let doubled = 2_u32.saturating_pow(u32::from(self.asked_in_vain));
            self.asked_in_vain = self.asked_in_vain.saturating_add(1);
            s.wake(ASK_AGAIN.saturating_mul(doubled).min(ASK_AGAIN_MOST), Timer::AskAgain);
        }
    }

    pub(super) fn ask_again_due(&mut self, s: &mut impl Surroundings<H>) {
        let needed = !self.members.is_empty() || s.owner().as_ref() == Some(s.me());
        if std::mem::take(&mut self.ask_again_timer) && self.ask_again && needed {
            self.ask_owner(s);
        }
    }

    /// The backplane is away: who waits for the owner's word is answered without it.
    pub(super) fn give_up_asking(&mut self, s: &mut impl Surroundings<H>) {
        self.asked_owner(s, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{Hand, Stage, actor, conn, epoch, following, live, node, position, state};
    use ringway_backplane::message::LiveBody;

    fn hear(room: &mut Room<Hand>, stage: &mut Stage, from: &str, body: LiveBody) -> Vec<String> {
        room.live(stage, &node(from), body);
        stage.done()
    }

    #[test]
    fn a_hole_is_filled_by_the_owner() {
        let (mut room, mut stage) = following(3);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 6)), ["ask n2: sync"]);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 7)), [""; 0], "asked already");
        stage.reply(&mut room, Ok(state(epoch(1), 2, 6)));
        assert_eq!(stage.done(), ["a: msg 4 p4", "a: msg 5 p5", "a: msg 6 p6", "a: msg 7 p7"]);
        assert!(stage.asks.is_empty());
    }

    #[test]
    fn without_an_owner_the_hole_is_a_gap_and_it_asks_again() {
        let (mut room, mut stage) = following(3);
        hear(&mut room, &mut stage, "n2", live(epoch(1), 6));
        stage.reply(&mut room, Err(AskError::Timeout));
        assert_eq!(stage.done(), ["a: gap backplane 5", "a: msg 6 p6"]);
        stage.pass(&mut room, ASK_AGAIN);
        assert_eq!(stage.done(), ["ask n2: sync"]);
    }

    #[test]
    fn while_nodes_differ_on_who_owns_it_who_waits_goes_on_waiting() {
        let (mut room, mut stage) = following(3);
        let round = |room: &mut Room<Hand>, stage: &mut Stage| {
            stage.reply(room, Ok(Answer::Redirect { to: Some(node("n3")) }));
            stage.reply(room, Ok(Answer::Redirect { to: Some(node("n1")) }));
            assert_eq!(stage.done(), ["ask n2: sync", "ask n3: sync"]);
        };
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 5)), None);
        round(&mut room, &mut stage);
        room.join(&mut stage, actor("c"), Some(position(epoch(1), 4)), None);
        assert_eq!(stage.done(), [""; 0], "it is asked again soon");
        stage.pass(&mut room, VIEWS_PAUSE);
        round(&mut room, &mut stage);
        stage.pass(&mut room, VIEWS_PAUSE);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 6)));
        let done = stage.done();
        assert_eq!(done[..4], ["ask n2: sync", "a: msg 4 p4", "a: msg 5 p5", "a: msg 6 p6"]);
        let rest = [
            "b: joined at 5, resumed",
            "b: replay 6 p6",
            "c: joined at 4, resumed",
            "c: replay 5 p5",
            "c: replay 6 p6",
        ];
        assert_eq!(done[4..], rest);
        // And what is missing isn't lost for it; but not for ever.
        hear(&mut room, &mut stage, "n2", live(epoch(1), 9));
        for _ in 0..VIEWS_DIFFER {
            stage.reply(&mut room, Ok(Answer::Redirect { to: None }));
            stage.pass(&mut room, VIEWS_PAUSE);
        }
        assert_eq!(stage.done(), vec!["ask n2: sync"; usize::from(VIEWS_DIFFER)]);
        stage.reply(&mut room, Ok(Answer::Redirect { to: None }));
        let gaps = ["a", "b", "c"].map(|who| [format!("{who}: gap backplane 8"), format!("{who}: msg 9 p9")]);
        let done = stage.done();
        assert!(gaps.iter().flatten().all(|word| done.contains(word)), "{done:?}");
    }

    #[test]
    fn back_from_a_cut_a_follower_asks() {
        let (mut room, mut stage) = following(3);
        room.back_from_cut(&mut stage);
        assert_eq!(stage.done(), ["ask n2: sync"]);
        stage.reply(&mut room, Ok(Answer::Redirect { to: Some(node("n3")) }));
        stage.reply(&mut room, Ok(state(epoch(1), 0, 4)));
        assert_eq!(stage.done(), ["ask n3: sync", "a: msg 4 p4"]);
    }

    #[test]
    fn an_answer_that_comes_when_all_have_left_isnt_taken_for_what_is() {
        let (mut room, mut stage) = following(3);
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 7)), None);
        for name in ["a", "b"] {
            assert!(room.leave(&mut stage, &conn(name)));
        }
        stage.clear();
        stage.reply(&mut room, Ok(state(epoch(1), 0, 8)));
        room.join(&mut stage, actor("b"), Some(position(epoch(1), 7)), None);
        assert_eq!(stage.done(), ["ask n2: sync"]);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 9)));
        assert_eq!(stage.done(), ["b: joined at 7, resumed", "b: replay 8 p8", "b: replay 9 p9"]);
    }

    #[test]
    fn who_asked_for_more_than_the_owner_has_isnt_kept_waiting() {
        let (mut room, mut stage) = following(3);
        let mark = LiveBody::Mark { epoch: epoch(1), offset: 50 };
        hear(&mut room, &mut stage, "n3", mark);
        stage.reply(&mut room, Ok(state(epoch(1), 0, 4)));
        assert_eq!(stage.done(), ["a: msg 4 p4", "a: gap backplane 50"]);
        assert!(stage.asks.is_empty());
    }
}
