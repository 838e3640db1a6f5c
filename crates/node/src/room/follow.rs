//! Following: a node with members delivers what is numbered in the greatest epoch it heard of, from anyone, and tells
//! who numbers in a lesser one.

use ringway_backplane::message::{Ask, Epoch, Known, LiveBody};
use ringway_ring::NodeId;

use super::limits::{FORMER_EPOCHS, NOTE_WAIT};
use super::surroundings::{GapReason, Handles, Surroundings};
use super::{Room, Standing};

impl<H: Handles> Room<H> {
    pub(super) fn heard(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, body: LiveBody) {
        let (epoch, offset, numbers, publication) = match body {
            LiveBody::Publication { epoch, offset, publication } => (epoch, offset, true, Some(publication)),
            LiveBody::Unread { epoch, offset, .. } => (epoch, offset, true, None),
            LiveBody::Mark { epoch, offset } => (epoch, offset, false, None),
            // What belongs to durable rooms: by another configuration, for a moment, this room is one elsewhere.
            LiveBody::Stored(_)
            | LiveBody::Signal(_)
            | LiveBody::Forgotten { .. }
            | LiveBody::MarkKeys { .. } => return,
        };
        if self.epoch.is_some_and(|known| epoch < known) {
            return self.heard_lesser(s, from, epoch, offset);
        }
        if !(self.follows() && self.epoch == Some(epoch)) {
            let before = if numbers { offset.saturating_sub(1) } else { offset };
            // Who marks needn't hold the room any more, and what is old says nothing new.
            let news = numbers && offset > self.log.number();
            let holder = self.holder.clone().filter(|_| self.epoch == Some(epoch) && !news);
            self.learn(s, epoch, holder.or_else(|| Some(from.clone())), before);
        }
        if !self.follows() || offset <= self.log.number() {
            return;
        }
        if self.has_number() {
            // Two holders of one epoch can't be, by all we know; if they are, one of them is better than two.
            self.standing = Standing::Following;
        }
        self.wanted = self.wanted.max(offset);
        if let Some(publication) = publication {
            self.set_holder(s, Some(from.clone()));
            self.put_ahead(offset, publication);
            self.drain(s);
        }
        // When the question under way is settled, what is still missing is asked for anew.
        if self.wanted > self.log.number() && self.asking.is_none() {
            self.ask_owner(s);
        }
    }

    /// Something of an epoch that has lost: its members here won't get it, and its sender must know.
    fn heard_lesser(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, lesser: Epoch, offset: u64) {
        let Some(epoch) = self.epoch else { return };
        self.lost_in(s, lesser, offset);
        self.note(s, from, epoch, self.holder.clone());
    }

    /// Says to a node what the greatest epoch is, and who holds it; one such word at a time.
    pub(super) fn note(
        &mut self,
        s: &mut impl Surroundings<H>,
        to: &NodeId,
        epoch: Epoch,
        holder: Option<NodeId>,
    ) {
        if self.notes.iter().all(|(_, noted)| noted != to) {
            let id = s.ask(to, Ask::Greater { epoch, holder, offset: self.log.number() }, NOTE_WAIT);
            self.notes.push((id, to.clone()));
        }
    }

    /// A node says who holds the epoch that is known here too.
    pub(super) fn told_holder(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, holder: Option<NodeId>) {
        if self.epoch == Some(epoch)
            && !self.has_number()
            && holder.as_ref().is_some_and(|holder| holder != s.me())
        {
            self.set_holder(s, holder);
        }
    }

    /// A lesser epoch came to `offset`, and members here may not have all of it.
    fn lost_in(&mut self, s: &mut impl Surroundings<H>, lesser: Epoch, offset: u64) {
        if self.follows() && offset > self.former.get(&lesser).copied().unwrap_or(0) {
            self.settle(lesser, offset);
            self.resumes_from = self.log.number() + 1;
            self.tell_gap(s, GapReason::Backplane, self.log.number(), None);
        }
    }

    pub(super) fn settle(&mut self, epoch: Epoch, offset: u64) {
        self.former.insert(epoch, offset);
        while self.former.len() > FORMER_EPOCHS {
            self.former.pop_first();
        }
    }

    /// What an asker knows. If its epoch is greater than ours, ours is over; if ours is, and its epoch was followed
    /// here, it tells how far that came in the end.
    pub(super) fn learn_from(&mut self, s: &mut impl Surroundings<H>, known: Option<Known>) {
        let Some(Known { epoch, holder, offset }) = known else { return };
        if self.epoch < Some(epoch) {
            let holder = holder.filter(|holder| holder != s.me());
            self.learn(s, epoch, holder, offset);
            if !self.members.is_empty() {
                self.ask_owner(s);
            }
        } else if self.epoch > Some(epoch) && self.former.contains_key(&epoch) {
            self.lost_in(s, epoch, offset);
        }
    }

    pub(super) fn learn(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        holder: Option<NodeId>,
        number: u64,
    ) {
        if !self.members.is_empty() {
            return self.meet(s, epoch, holder, number);
        }
        let number = if self.epoch == Some(epoch) { number.max(self.log.number()) } else { number };
        self.enter_epoch(s, epoch);
        self.set_holder(s, holder);
        self.standing = Standing::Apart;
        self.restart(number);
    }

    /// From here on the room follows `epoch`, after `number`.
    pub(super) fn meet(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        holder: Option<NodeId>,
        number: u64,
    ) {
        if self.follows() {
            if self.epoch == Some(epoch) {
                return;
            }
            if let Some(former) = self.epoch {
                self.settle(former, self.log.number());
            }
        }
        self.enter_epoch(s, epoch);
        self.set_holder(s, holder);
        self.standing = Standing::Following;
        self.restart(number);
        self.tell_gap(s, GapReason::Epoch, number, None);
    }

    fn enter_epoch(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch) {
        self.mark_lost(s, epoch);
        if self.epoch != Some(epoch) {
            self.resumes_from = 0;
        }
        self.epoch = Some(epoch);
    }

    pub(super) fn restart(&mut self, number: u64) {
        self.log.restart(number);
        self.wanted = number;
        self.drop_ahead();
    }

    /// Nobody here needs the room any more.
    pub(super) fn part_if_empty(&mut self) {
        if self.members.is_empty() && self.standing == Standing::Following {
            self.standing = Standing::Apart;
            self.restart(self.log.number());
        }
    }

    pub(super) fn set_holder(&mut self, s: &mut impl Surroundings<H>, holder: Option<NodeId>) {
        if self.holder != holder {
            self.holder_life = holder.as_ref().and_then(|holder| s.incarnation(holder));
            self.holder = holder;
        }
    }

    /// The holder left the view, or lives anew: what it sent last may be lost, and no mark of it will come.
    pub(super) fn look_for_holder(&mut self, s: &mut impl Surroundings<H>) {
        let Some(holder) = self.holder.as_ref().filter(|holder| *holder != s.me()) else { return };
        let now = s.incarnation(holder);
        let before = std::mem::replace(&mut self.holder_life, now);
        if before.is_some() && now != before && !self.members.is_empty() {
            self.ask_owner(s);
        }
    }

    /// Back from a cut: what this node holds it must take again, and what it follows it must ask for.
    pub(super) fn doubt(&mut self, s: &mut impl Surroundings<H>) {
        self.mark_again(s);
        if self.standing == Standing::Holding {
            self.standing = Standing::Keeping;
        }
        if !self.members.is_empty() {
            self.ask_owner(s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{Hand, Stage, actor, epoch, following, live, node, publication, stage, state};
    use ringway_backplane::message::Answer;

    fn hear(room: &mut Room<Hand>, stage: &mut Stage, from: &str, body: LiveBody) -> Vec<String> {
        room.live(stage, &node(from), body);
        stage.done()
    }

    #[test]
    fn it_delivers_in_order_and_nothing_twice() {
        let (mut room, mut stage) = following(3);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 4)), ["a: msg 4 p4"]);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 4)), [""; 0]);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 2)), [""; 0]);
        assert_eq!(hear(&mut room, &mut stage, "n1", live(epoch(1), 5)), [""; 0], "its own words come back");
    }

    #[test]
    fn a_mark_reveals_the_loss_of_the_last() {
        let (mut room, mut stage) = following(3);
        let mark = |offset| LiveBody::Mark { epoch: epoch(1), offset };
        assert_eq!(hear(&mut room, &mut stage, "n2", mark(3)), [""; 0]);
        assert_eq!(hear(&mut room, &mut stage, "n2", mark(4)), ["ask n2: sync"]);
    }

    #[test]
    fn the_greatest_epoch_wins_and_is_told_once() {
        let (mut room, mut stage) = following(3);
        assert_eq!(hear(&mut room, &mut stage, "n3", live(epoch(2), 5)), ["a: gap epoch 4", "a: msg 5 p5"]);
        assert_eq!(hear(&mut room, &mut stage, "n3", live(epoch(2), 6)), ["a: msg 6 p6"]);
    }

    #[test]
    fn of_a_lesser_epoch_comes_a_gap_and_its_sender_is_told() {
        let (mut room, mut stage) = following(3);
        hear(&mut room, &mut stage, "n3", live(epoch(2), 5));
        let said = hear(&mut room, &mut stage, "n2", live(epoch(1), 3));
        assert_eq!(said, ["ask n2: greater"], "the third was delivered when it was current");
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 4)), ["a: gap backplane 5"]);
        assert_eq!(hear(&mut room, &mut stage, "n2", live(epoch(1), 4)), [""; 0]);
        stage.reply(&mut room, Ok(Answer::Done));
        assert_eq!(
            hear(&mut room, &mut stage, "n2", live(epoch(1), 5)),
            ["a: gap backplane 5", "ask n2: greater"]
        );
    }

    #[test]
    fn former_epochs_are_remembered_within_a_bound() {
        let (mut room, mut stage) = following(3);
        for ms in 2..100 {
            hear(&mut room, &mut stage, "n3", live(epoch(ms), 1));
        }
        assert_eq!(room.former.len(), FORMER_EPOCHS);
    }

    #[test]
    fn a_holder_gone_from_the_view_or_alive_anew_is_asked_after() {
        for change in [Some(2), None] {
            let (mut room, mut stage) = following(3);
            room.live(&mut stage, &node("n3"), live(epoch(1), 4));
            room.view_changed(&mut stage);
            assert_eq!(stage.done(), ["a: msg 4 p4"]);
            stage.view.retain(|(id, _)| *id != node("n3"));
            stage.view.extend(change.map(|life| (node("n3"), life)));
            room.view_changed(&mut stage);
            assert_eq!(stage.done(), ["ask n2: sync"], "{change:?}");
        }
    }

    #[test]
    fn an_owner_without_members_hears_who_holds_the_room() {
        let (mut room, mut stage) = stage("n1");
        hear(&mut room, &mut stage, "n3", live(epoch(5), 4));
        room.enter(&mut stage, 1, vec![publication("a")]);
        assert_eq!(stage.done(), ["ask n3: take"]);
        stage.reply(&mut room, Ok(state(epoch(5), 0, 4)));
        assert_eq!(stage.done(), ["live 5 a"]);
    }

    fn unread(epoch: Epoch, offset: u64) -> LiveBody {
        LiveBody::Unread { epoch, offset, publication: bytes::Bytes::from_static(b"anything").into() }
    }

    #[test]
    fn where_nobody_follows_a_number_says_as_much_unread() {
        for body in [live, unread] {
            let (mut room, mut stage) = stage("n1");
            for (ms, offset) in [(5, 4), (5, 5), (4, 9), (6, 1), (6, 3)] {
                assert!(!room.looks_into_publications());
                let lesser = if ms == 4 { &["ask n3: greater"][..] } else { &[] };
                assert_eq!(hear(&mut room, &mut stage, "n3", body(epoch(ms), offset)), lesser);
            }
            assert_eq!((room.epoch, room.log.number()), (Some(epoch(6)), 2));
            assert_eq!(room.holder, Some(node("n3")));
        }
    }

    #[test]
    fn who_follows_or_holds_looks_into_publications() {
        let (mut room, mut stage) = following(3);
        assert!(room.looks_into_publications());
        assert_eq!(hear(&mut room, &mut stage, "n2", unread(epoch(1), 4)), ["ask n2: sync"], "as if lost");
        assert!(room.leave(&mut stage, &"a".parse().expect("an id")));
        assert!(!room.looks_into_publications());
        let (room, ..) = crate::room::scene::holding();
        assert!(room.members() == 0 && room.looks_into_publications());
    }

    #[test]
    fn when_all_have_left_nothing_is_followed() {
        let (mut room, mut stage) = following(3);
        assert!(room.leave(&mut stage, &"a".parse().expect("an id")));
        hear(&mut room, &mut stage, "n2", live(epoch(1), 4));
        hear(&mut room, &mut stage, "n2", live(epoch(1), 9));
        room.join(&mut stage, actor("b"), None, None);
        assert_eq!(stage.done(), ["ask n2: sync"], "what it heard meanwhile may have had holes");
    }
}
