//! What comes live: the next goes to the members, what is odd or comes too early waits until the store was asked, and what
//! should have come is asked for a little later.

use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::{ConnId, Key};

use super::chain::{Spot, Verdict};
use super::fetch::Fetch;
use super::limits::{AHEAD, AHEAD_BYTES, CHECKED, REPAIR_AFTER};
use super::members::At;
use super::mend::What;
use super::surroundings::{Entry, Gap, GapReason, Surroundings, Timer};
use super::{Durable, Live};
use crate::room::{Handles, weight};

impl<H: Handles> Durable<H> {
    pub(super) fn heard(&mut self, s: &mut impl Surroundings<H>, live: Live) {
        self.part_if_unattended(s);
        if self.is_apart() {
            return;
        }
        self.heard = s.now();
        if let Some(epoch) = live.epoch
            && self.is_ours(s, epoch)
        {
            if self.chain.is_none() || self.mend.is_some() {
                self.put_ahead(epoch, live.entry);
            } else {
                self.take(s, live.entry);
            }
        } else {
            if live.epoch.is_none() {
                s.look_again();
            }
            self.look_soon(s);
        }
    }

    /// Whether an epoch is the one that the room is in, or, where it is in none yet, may be.
    fn is_ours(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch) -> bool {
        if self.epoch.is_some_and(|own| own != epoch) {
            self.meet(s);
        }
        self.epoch.is_none_or(|own| own == epoch)
    }

    fn put_ahead(&mut self, epoch: Epoch, entry: Entry) {
        let weight = weight(&entry.publication);
        if self.ahead.len() >= AHEAD || self.ahead_bytes + weight > AHEAD_BYTES {
            self.look = true;
        } else if let Some((_, before)) = self.ahead.insert(entry.offset, (epoch, entry)) {
            self.ahead_bytes = self.ahead_bytes + weight - crate::room::weight(&before.publication);
        } else {
            self.ahead_bytes += weight;
        }
    }

    pub(super) fn drop_ahead(&mut self) {
        self.ahead = std::collections::BTreeMap::new();
        self.ahead_bytes = 0;
    }

    /// Nothing is being mended any more: what came meanwhile is taken, and what should have come is looked for.
    pub(super) fn go_on(&mut self, s: &mut impl Surroundings<H>) {
        while self.mend.is_none()
            && self.chain.is_some()
            && let Some((_, (epoch, entry))) = self.ahead.pop_first()
        {
            self.ahead_bytes -= weight(&entry.publication);
            if self.epoch == Some(epoch) {
                self.take(s, entry);
            }
        }
        if self.mend.is_none() && self.chain.as_ref().is_some_and(|chain| self.wanted > chain.head.offset) {
            self.repair_soon(s);
        }
        if self.look || !self.lacking.is_empty() {
            self.repair_soon(s);
        }
    }

    fn take(&mut self, s: &mut impl Surroundings<H>, entry: Entry) {
        let Some(chain) = &self.chain else { return };
        let (verdict, head) = (chain.verdict(&entry), chain.head);
        if !matches!(verdict, Verdict::Next | Verdict::Repeat) && self.members.is_empty() {
            // Nobody needs to know.
            return self.part();
        }
        match verdict {
            Verdict::Next => self.deliver(s, entry),
            Verdict::Repeat => {}
            Verdict::Odd => {
                if self.is_news(s, head, (entry.offset, entry.ts)) {
                    self.start(s, What::check(head, false));
                }
            }
            Verdict::Unlinked => {
                self.hold(entry);
                self.start(s, What::check(head, true));
            }
            Verdict::After(prev) => {
                self.hold(entry);
                self.start(s, What::Fetch(Fetch::new(head, prev, true, false)));
            }
        }
    }

    /// Whether that wasn't a reason to look at the head already, some moments ago.
    fn is_news(&mut self, s: &impl Surroundings<H>, head: Spot, why: (u64, u64)) -> bool {
        let before = self.checked.replace((head.offset, why, s.now()));
        before.is_none_or(|(of, was, at)| of != head.offset || was != why || s.now() >= at + CHECKED)
    }

    fn hold(&mut self, entry: Entry) {
        if let Some(epoch) = self.epoch {
            self.put_ahead(epoch, entry);
        }
    }

    /// The next: to the members, and into the window.
    pub(super) fn deliver(&mut self, s: &mut impl Surroundings<H>, entry: Entry) {
        let (Some(chain), Some(epoch)) = (&mut self.chain, self.epoch) else { return };
        let further = chain.advance(&entry, s.now());
        self.passed = self.passed.wrapping_add(1);
        if !self.members.is_empty() {
            s.deliver(&entry, epoch, self.members.due(entry.offset, !further, not_to(&entry.publication)));
            self.members.caught_up(chain.head.offset);
        }
        self.window.push(entry, s.wall_ms());
    }

    /// Tells those who are level that nothing up to there will come any more.
    pub(super) fn tell_gap(&mut self, s: &mut impl Surroundings<H>, reason: GapReason, to: Spot) {
        let Some(epoch) = self.epoch else { return };
        let gap = Gap { reason, epoch, offset: to.offset, ts: to.ts };
        self.members.each(|conn, at| match at {
            At::Level => {
                s.gap(conn, gap);
                at
            }
            At::Beyond(has) if has < to.offset => {
                s.gap(conn, gap);
                At::Level
            }
            _ => at,
        });
    }

    /// A signal: to those who are here.
    pub(super) fn pass(&self, s: &mut impl Surroundings<H>, publication: &Publication) {
        if !self.members.is_empty() {
            s.pass(publication, self.members.here(not_to(publication)));
        }
    }

    pub(super) fn heard_mark(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        self.part_if_unattended(s);
        if self.is_apart() {
        } else if self.is_ours(s, epoch) {
            self.beyond(s, None, offset, false);
        } else {
            self.look_soon(s);
        }
    }

    pub(super) fn heard_keys(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        keys: Vec<(Option<Key>, u64)>,
    ) {
        self.part_if_unattended(s);
        if self.is_apart() {
        } else if self.is_ours(s, epoch) {
            for (key, offset) in keys {
                self.beyond(s, Some(&key), offset, false);
            }
        } else {
            self.look_soon(s);
        }
    }

    /// All up to there was deleted on purpose: it isn't given any more, and that it is missing says nothing. Members are told,
    /// though they had it: whoever shows a history shows one that isn't there any more.
    pub(super) fn heard_forgotten(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        if self.is_apart() || !self.is_ours(s, epoch) {
            return;
        }
        self.window.forget(offset);
        let Some(chain) = &mut self.chain else { return };
        chain.forgotten = chain.forgotten.max(offset);
        let head = chain.head;
        if head.offset >= offset {
            self.tell_gap(s, GapReason::Truncated, head);
        } else if !self.by_key {
            self.beyond(s, None, offset, true);
        }
    }

    /// So far the room has come, by somebody's word: what isn't here by then is read soon. `real`: it is surely stored, or was.
    pub(super) fn beyond(
        &mut self,
        s: &mut impl Surroundings<H>,
        key: Option<&Option<Key>>,
        offset: u64,
        real: bool,
    ) {
        if self.by_key
            && let Some(key) = key
            && let Some(chain) = &self.chain
        {
            if chain.lacks(key, offset) {
                if self.lacking.len() < AHEAD {
                    self.lacking.push((key.clone(), offset));
                } else {
                    self.look = true;
                }
                self.repair_soon(s);
            }
            return;
        }
        let head = self.chain.as_ref().map_or(0, |chain| chain.head.offset);
        if offset > head.max(self.wanted) {
            (self.wanted, self.wanted_real) = (offset, real);
        }
        if offset > head {
            self.repair_soon(s);
        }
    }

    /// Something was given that number just now. If the room is beyond it, that must have come by lately, or the number was
    /// given a second time.
    pub(super) fn suspect(&mut self, s: &mut impl Surroundings<H>, offset: u64) {
        let Some(chain) = self.chain.as_ref().filter(|_| !self.by_key && self.mend.is_none()) else { return };
        let head = chain.head;
        let beyond = offset <= head.offset && !self.window.is_empty();
        let known = !self.window.reaches(offset) || self.window.spot(offset).is_some();
        if beyond && !known && self.is_news(s, head, (offset, 0)) {
            self.start(s, What::check(head, false));
        }
    }

    /// Something may be missing: the store is asked soon.
    pub(super) fn look_soon(&mut self, s: &mut impl Surroundings<H>) {
        self.look = true;
        self.repair_soon(s);
    }

    fn repair_soon(&mut self, s: &mut impl Surroundings<H>) {
        if self.repair.is_none() {
            self.repair = Some(self.wanted);
            s.wake(REPAIR_AFTER, Timer::Repair);
        }
    }

    pub(super) fn repair_due(&mut self, s: &mut impl Surroundings<H>) {
        let Some(upto) = self.repair.take() else { return };
        // What is being mended is looked at again afterwards.
        let (None, Some(chain)) = (&self.mend, &self.chain) else { return };
        let (head, sure) = (chain.head, chain.sure());
        self.lacking.retain(|(key, offset)| chain.lacks(key, *offset));
        if !self.look && upto <= head.offset && self.lacking.is_empty() {
            // What is newer than the question may still be on its way.
            if self.wanted > head.offset {
                self.repair_soon(s);
            }
            return;
        }
        if self.members.is_empty() {
            return self.part();
        }
        let by_key = self.by_key;
        let least = self.lacking.iter().map(|lacking| lacking.1).min();
        let from = match least {
            Some(least) if !self.look => Spot::bare(least - 1, None),
            _ => sure,
        };
        let most = self.lacking.iter().map(|lacking| lacking.1).max().unwrap_or(0);
        let wanted = if self.wanted > head.offset { self.wanted } else { 0 };
        let real = wanted > 0 && self.wanted_real;
        self.look = false;
        self.start(s, What::Fetch(Fetch::new(from, wanted.max(most), real, by_key)));
    }
}

/// Who doesn't want this publication back.
pub(super) fn not_to(publication: &Publication) -> Option<&ConnId> {
    publication.conn.as_ref().filter(|_| !publication.echo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::scene::{
        actor, at, epoch, following, following_by_key, keyed, live, live_of, page, page_to, publication,
        signal, stored, ts,
    };
    use crate::reader::Found;
    use std::time::Duration;

    #[test]
    fn the_next_is_delivered_and_a_repeat_isnt() {
        let (mut room, mut stage) = following(5);
        assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
        assert_eq!(stage.hear(&mut room, live(9, 5)), [""; 0]);
        assert_eq!(stage.hear(&mut room, live(5, 3)), [""; 0]);
        assert_eq!(stage.hear(&mut room, live(12, 9)), ["a: msg 12 p12"]);
    }

    #[test]
    fn a_hole_is_filled_before_anything_later_is_delivered() {
        let (mut room, mut stage) = following(5);
        assert_eq!(stage.hear(&mut room, live(12, 9)), ["read after 5 to 9"]);
        assert_eq!(stage.hear(&mut room, live(13, 12)), [""; 0]);
        stage.reply(&mut room, Ok(page(&[7, 9])));
        assert_eq!(stage.done(), ["check 5"], "that nothing fell out before them");
        stage.reply(&mut room, Ok(Found::Same));
        assert_eq!(stage.done(), ["a: msg 7 p7", "a: msg 9 p9", "a: msg 12 p12", "a: msg 13 p13"]);
    }

    #[test]
    fn what_fell_out_of_a_hole_is_a_gap() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(12, 9));
        stage.reply(&mut room, Ok(page(&[8, 9])));
        stage.reply(&mut room, Ok(Found::Gone));
        let found =
            Found::NotResumed { epoch: epoch(1), newest: crate::durable::scene::newest(12), oldest: Some(8) };
        stage.reply(&mut room, Ok(found));
        stage.reply(&mut room, Ok(Found::Same));
        let done = stage.done();
        assert_eq!(done[..3], ["check 5", "read since 5", "check 8"]);
        assert_eq!(done[3..], ["a: gap truncated 7", "a: msg 8 p8", "a: msg 9 p9", "a: msg 12 p12"]);
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(12, 9));
        stage.reply(&mut room, Ok(page(&[])));
        stage.reply(&mut room, Ok(Found::Gone));
        assert_eq!(stage.done(), ["check 9", "a: gap truncated 9", "a: msg 12 p12"], "nothing is left of it");
    }

    #[test]
    fn where_the_last_is_gone_by_age_it_is_looked_at_and_life_goes_on() {
        let (mut room, mut stage) = following(5);
        assert_eq!(stage.hear(&mut room, live(9, 0)), ["check 5"]);
        stage.reply(&mut room, Ok(Found::Gone));
        assert_eq!(stage.done(), ["a: msg 9 p9"]);
    }

    #[test]
    fn an_empty_rooms_first_needs_no_look() {
        let (mut room, mut stage) = crate::durable::scene::stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        stage.reply(&mut room, Ok(at(400, false)));
        stage.clear();
        assert_eq!(stage.hear(&mut room, live(412, 0)), ["a: msg 412 p412"]);
    }

    #[test]
    fn another_history_is_disbelieved_until_its_epoch_comes() {
        let (mut room, mut stage) = following(9);
        let mut odd = live(7, 3);
        odd.entry.ts = ts(9) + 50;
        assert_eq!(stage.hear(&mut room, odd), ["check 9"]);
        stage.reply(&mut room, Ok(Found::Other));
        assert_eq!(stage.done(), ["disbelieve 1"]);
        assert_eq!(stage.hear(&mut room, live(10, 9)), [""; 0]);
        stage.epoch = Some(epoch(2));
        room.epoch_is(&mut stage, Some(epoch(2)));
        assert_eq!(stage.done(), ["read newest"]);
        stage.reply(
            &mut room,
            Ok(Found::Newest { epoch: epoch(2), at: crate::durable::scene::newest(7), has: true }),
        );
        assert_eq!(stage.done(), ["a: gap epoch 7"]);
        let next = super::super::Live { epoch: Some(epoch(2)), ..live(11, 7) };
        assert_eq!(stage.hear(&mut room, next), ["a: msg 11 p11"]);
    }

    #[test]
    fn where_no_other_epoch_comes_it_is_looked_at_again() {
        let (mut room, mut stage) = following(9);
        stage.hear(&mut room, live(12, 7));
        stage.reply(&mut room, Ok(Found::Other));
        stage.pass_ms(&mut room, 300);
        assert_eq!(stage.done(), ["disbelieve 1", "check 9"]);
        stage.reply(&mut room, Ok(Found::Same));
        assert_eq!(stage.done(), ["a: msg 12 p12"]);
    }

    #[test]
    fn a_repeat_with_a_later_time_is_followed_up_once() {
        let (mut room, mut stage) = following(9);
        for expected in [&["check 9"][..], &[]] {
            let mut odd = live(7, 3);
            odd.entry.ts = ts(9) + 50;
            assert_eq!(stage.hear(&mut room, odd), expected);
            if !expected.is_empty() {
                stage.reply(&mut room, Ok(Found::Same));
            }
        }
    }

    #[test]
    fn what_is_marked_or_acknowledged_and_doesnt_come_is_read() {
        let (mut room, mut stage) = following(5);
        room.mark(&mut stage, epoch(1), 9);
        stage.hear(&mut room, live(9, 5));
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), [""; 0], "it came");
        room.mark(&mut stage, epoch(1), 12);
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), ["read after 9 to 12"]);
        stage.reply(&mut room, Ok(page(&[12])));
        stage.reply(&mut room, Ok(Found::Same));
        assert_eq!(stage.done(), ["check 9", "a: msg 12 p12"]);
        stage.owner = Some(crate::durable::scene::node("n1"));
        room.enter(&mut stage, 1, vec![publication("x")]);
        stage.acknowledge(&mut room, &[stored(20)]);
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), ["store x", "read after 12 to 20"]);
    }

    #[test]
    fn a_mark_of_nothing_moves_nobody() {
        let (mut room, mut stage) = following(5);
        room.mark(&mut stage, epoch(1), 1 << 60);
        stage.pass_ms(&mut room, 200);
        stage.reply(&mut room, Ok(page(&[])));
        stage.reply(&mut room, Ok(page_to(&[], 5, false)));
        assert_eq!(stage.done(), ["read after 5 to 1152921504606846976", "read since 5"]);
        assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
    }

    #[test]
    fn what_names_a_number_that_was_never_given_moves_nobody() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(1_001, 1_000));
        stage.reply(&mut room, Ok(page(&[])));
        stage.reply(&mut room, Ok(Found::Other));
        assert_eq!(stage.done(), ["check 1000"]);
        assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
    }

    #[test]
    fn of_an_unknown_stream_nothing_is_believed_but_the_store_is_looked_at() {
        let (mut room, mut stage) = following(5);
        let unknown = super::super::Live { epoch: None, ..live(9, 5) };
        assert_eq!(stage.hear(&mut room, unknown), ["look again"]);
        let other = super::super::Live { epoch: Some(epoch(3)), ..live(9, 5) };
        assert_eq!(stage.hear(&mut room, other), [""; 0]);
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), ["read since 5"]);
        stage.reply(&mut room, Ok(page(&[])));
        assert_eq!(stage.done(), [""; 0]);
    }

    #[test]
    fn what_was_forgotten_isnt_given_any_more() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(9, 5));
        room.forgotten(&mut stage, epoch(1), 9, ts(9));
        assert_eq!(stage.done(), ["a: gap truncated 9"], "told, though it had it all");
        assert_eq!(stage.hear(&mut room, live(12, 0)), ["a: msg 12 p12"], "that it is gone says nothing");
        room.join(&mut stage, actor("b"), Some(crate::durable::scene::position(5)), None);
        assert_eq!(stage.done(), ["read since 5"]);
    }

    #[test]
    fn a_doubt_is_one_read() {
        let (mut room, mut stage) = following(5);
        room.doubt(&mut stage);
        room.doubt(&mut stage);
        assert_eq!(stage.hear(&mut room, live(9, 5)), ["read since 5"]);
        stage.reply(&mut room, Ok(page(&[])));
        assert_eq!(stage.done(), ["a: msg 9 p9"]);
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), ["read since 9"], "for the second");
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_read() {
        let (mut room, mut stage) = following(5);
        for offset in 10..2_000 {
            room.stored_live(&mut stage, live(offset, offset - 1));
        }
        assert_eq!(room.ahead.len(), AHEAD);
        stage.reply(&mut room, Ok(page(&[9])));
        stage.reply(&mut room, Ok(Found::Same));
        stage.done();
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), [format!("read since {}", 9 + AHEAD)]);
    }

    #[test]
    fn signals_go_to_who_is_here_but_not_back() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), None, None);
        stage.clear();
        let quiet = Publication { echo: false, conn: Some("a".parse().expect("an id")), ..signal("s") };
        room.signal(&mut stage, &quiet);
        assert_eq!(stage.done(), ["b: signal s"]);
    }

    #[test]
    fn by_key_values_cross_but_none_is_older_than_the_one_before() {
        let (mut room, mut stage) = following_by_key(5);
        assert_eq!(stage.hear(&mut room, live_of(9, 0, keyed("a2"))), ["a: msg 9 a2"]);
        assert_eq!(stage.hear(&mut room, live_of(8, 0, keyed("b1"))), ["a: msg 8 b1"]);
        assert_eq!(stage.hear(&mut room, live_of(7, 0, keyed("a1"))), [""; 0]);
        assert_eq!(stage.hear(&mut room, live_of(12, 11, keyed("a4"))), ["a: msg 12 a4"], "a3 is replaced");
    }

    #[test]
    fn by_key_a_mark_reveals_what_a_later_value_of_another_hides() {
        let (mut room, mut stage) = following_by_key(5);
        stage.hear(&mut room, live_of(9, 0, keyed("b1")));
        room.mark_keys(&mut stage, epoch(1), vec![(keyed("a1").key, 7), (keyed("b1").key, 9)]);
        stage.pass_ms(&mut room, 200);
        assert_eq!(stage.done(), ["read after 6 to 7"]);
        let of = |offset, word| ringway_backplane::store::Kept {
            offset,
            ts: ts(offset),
            publication: keyed(word).into(),
        };
        let kept = vec![of(7, "a1"), of(9, "b1"), of(11, "c1")];
        let newest = crate::durable::scene::newest(11);
        stage.reply(&mut room, Ok(Found::Page { epoch: epoch(1), kept, more: false, newest }));
        assert_eq!(stage.done(), ["a: msg 7 a1", "a: msg 11 c1"]);
        room.mark_keys(&mut stage, epoch(1), vec![(keyed("a1").key, 7)]);
        stage.pass(&mut room, Duration::from_secs(1));
        assert_eq!(stage.done(), [""; 0]);
    }

    #[test]
    fn by_key_memory_is_bounded() {
        let (mut room, mut stage) = following_by_key(5);
        for offset in 10..10_000 {
            let publication =
                Publication { key: Some(format!("k{offset}").parse().expect("a key")), ..publication("x") };
            room.stored_live(&mut stage, live_of(offset, 0, publication));
        }
        assert_eq!(stage.done().len(), 9_990);
        assert_eq!(stage.hear(&mut room, live_of(20, 0, keyed("z1"))), [""; 0], "all so far back is settled");
    }
}
