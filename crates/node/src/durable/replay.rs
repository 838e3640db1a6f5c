//! Replays: members that are behind the room get what they lack at their own pace, from the window or, together, from the
//! store.

use ringway_backplane::message::Epoch;
use ringway_backplane::store::Newest;

use super::Durable;
use super::chain::Spot;
use super::fetch::{Fetch, Fetched, Next, entry_of};
use super::hear::not_to;
use super::limits::{REPLAY_AGAIN, SLICE, SLICE_BYTES};
use super::members::At;
use super::surroundings::{Entry, Gap, GapReason, Surroundings, Timer};
use crate::reader::{ReadId, ReadResult};
use crate::room::{Handles, Member, weight};

/// What those who are on their way are waiting for.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) fetch: Fetch,
    /// None: it couldn't be read, and will be again.
    pub(super) id: Option<ReadId>,
}

/// Sends a member what comes after where it is, as far as it keeps up. Where it is then, and whether that was all.
pub(super) fn feed<'a, H: Handles>(
    s: &mut impl Surroundings<H>,
    epoch: Epoch,
    conn: &H::Conn,
    mut at: Spot,
    entries: impl Iterator<Item = &'a Entry>,
) -> (Spot, bool) {
    let (mut count, mut bytes) = (SLICE, 0);
    for entry in entries {
        if entry.offset <= at.offset {
            continue;
        }
        if count >= SLICE || bytes >= SLICE_BYTES {
            if s.is_behind(conn) {
                return (at, false);
            }
            (count, bytes) = (0, 0);
        }
        if not_to(&entry.publication) != Some(conn.id()) {
            s.replay(conn, entry, epoch);
        }
        (count, bytes) = (count + 1, bytes + weight(&entry.publication));
        at = Spot::of(entry.offset, entry.ts);
    }
    (at, true)
}

impl<H: Handles> Durable<H> {
    /// Brings those who are on their way as far as they can come now.
    pub(super) fn replays(&mut self, s: &mut impl Surroundings<H>) {
        let (Some(chain), Some(epoch)) = (&self.chain, self.epoch) else { return };
        if !self.members.any_on_way() {
            return;
        }
        let (window, head) = (&self.window, chain.head);
        let (mut behind, mut lowest) = (false, None::<Spot>);
        self.members.each(|conn, at| {
            let At::OnWay(spot) = at else { return at };
            if !window.reaches(spot.offset) {
                if s.is_behind(conn) {
                    behind = true;
                } else if lowest.is_none_or(|lowest| spot.offset < lowest.offset) {
                    lowest = Some(spot);
                }
                return at;
            }
            let (spot, all) = feed(s, epoch, conn, spot, window.after(spot.offset));
            if !all {
                behind = true;
                At::OnWay(spot)
            } else if spot.offset > head.offset {
                At::Beyond(spot.offset)
            } else {
                At::Level
            }
        });
        if behind {
            self.replay_later(s);
        }
        if let Some(lowest) = lowest
            && self.replay.is_none()
        {
            let base = self.window.base();
            let fetch = Fetch::new(lowest, base.offset, base.solid, self.by_key);
            self.replay = Some(Box::new(Replay { fetch, id: None }));
            self.ask_replay(s);
        }
    }

    pub(super) fn replay_later(&mut self, s: &mut impl Surroundings<H>) {
        if !std::mem::replace(&mut self.replay_armed, true) {
            s.wake(REPLAY_AGAIN, Timer::Replay);
        }
    }

    pub(super) fn replay_due(&mut self, s: &mut impl Surroundings<H>) {
        if std::mem::take(&mut self.replay_armed) {
            self.replays(s);
        }
    }

    pub(super) fn ask_replay(&mut self, s: &mut impl Surroundings<H>) {
        if let (Some(replay), Some(epoch)) = (&mut self.replay, self.epoch) {
            replay.id = Some(s.read(replay.fetch.read(epoch)));
        }
    }

    pub(super) fn replay_read(&mut self, s: &mut impl Surroundings<H>, result: ReadResult) {
        let Some(replay) = &mut self.replay else { return };
        replay.id = None;
        if !self.members.any_on_way() {
            self.replay = None;
            return;
        }
        let Ok(found) = result else { return self.read_failed(s) };
        if !self.is_of_this_epoch(s, &found) {
            return;
        }
        self.read_went_well();
        let Some(replay) = &mut self.replay else { return };
        match replay.fetch.found(found) {
            Next::Ask => self.ask_replay(s),
            Next::Done(fetched) => {
                self.replay = None;
                self.replay_page(s, &fetched);
                self.replays(s);
            }
            Next::Other => {
                self.replay = None;
                if self.chain.is_some() && self.mend.is_none() {
                    self.disbelieve(s);
                } else {
                    self.read_failed(s);
                }
            }
            Next::Wrong => self.read_failed(s),
        }
    }

    /// By key: what a page has that didn't come goes to everyone at once, so that who gets the page gets nothing of it again.
    pub(super) fn take_values(&mut self, s: &mut impl Surroundings<H>, page: &Fetched) {
        if !self.by_key {
            return;
        }
        for entry in &page.kept {
            if self.is_missing(entry) {
                self.deliver(s, entry.clone());
            }
        }
    }

    /// A page for all who are on their way and not before its beginning.
    pub(super) fn replay_page(&mut self, s: &mut impl Surroundings<H>, page: &Fetched) {
        let Some(epoch) = self.epoch else { return };
        let told = |offset| Gap { reason: GapReason::Truncated, epoch, offset, ts: None };
        let mut behind = false;
        self.take_values(s, page);
        self.members.each(|conn, at| {
            let At::OnWay(mut spot) = at else { return at };
            if spot.offset < page.from.offset || s.is_behind(conn) {
                behind = true;
                return at;
            }
            if let Some(gap) = page.gap.filter(|gap| *gap > spot.offset) {
                s.gap(conn, told(gap));
                spot = Spot::bare(gap, None);
            }
            let (mut spot, all) = feed(s, epoch, conn, spot, page.kept.iter());
            if !all {
                behind = true;
            } else if !page.more {
                if let Some(gap) = page.tail_gap.filter(|gap| *gap > spot.offset) {
                    s.gap(conn, told(gap));
                }
                if spot.offset < page.end {
                    spot = Spot::bare(page.end, None);
                }
            }
            At::OnWay(spot)
        });
        if behind {
            self.replay_later(s);
        }
        // The store was faster than what comes live, or that was lost.
        if let Some(last) = page.kept.last().filter(|_| !self.by_key) {
            let (key, offset) = (last.publication.key.clone(), last.offset);
            self.beyond(s, Some(&key), offset, true);
        }
    }
}

/// A page that the reader has looked at already, as if it had been fetched.
pub(super) fn page_of(
    from: Spot,
    kept: Vec<ringway_backplane::store::Kept>,
    more: bool,
    newest: Newest,
) -> Fetched {
    let kept: Vec<_> = kept.into_iter().map(entry_of).collect();
    let last = kept.last().map_or(from.offset, |last| last.offset);
    let more = more && !kept.is_empty();
    let end = if more { last } else { last.max(newest.offset) };
    Fetched { from, gap: None, kept, tail_gap: None, more, newest, wrong: false, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::scene::{
        actor, conn, epoch, following, live, newest, page, page_to, position, stage,
    };
    use crate::reader::Found;

    fn all(from: u64, to: u64) -> Vec<u64> {
        (from..=to).collect()
    }

    #[test]
    fn a_replay_never_runs_ahead_of_a_slow_member() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position(3)), None);
        stage.takes = Some(1);
        stage.reply(&mut room, Ok(page(&all(4, 900))));
        assert_eq!(stage.done().len(), 2 + SLICE);
        for (from, sent) in [(259, SLICE), (515, SLICE)] {
            stage.pass_ms(&mut room, 100);
            assert_eq!(stage.done(), [""; 0]);
            stage.behind.clear();
            stage.takes = Some(1);
            stage.pass_ms(&mut room, 20);
            assert_eq!(stage.done(), [format!("read after {from} to 644")], "the window has the rest");
            stage.reply(&mut room, Ok(page(&all(from + 1, 900))));
            stage.reply(&mut room, Ok(Found::Same));
            assert_eq!(stage.done().len(), 1 + sent);
        }
        stage.hear(&mut room, live(901, 900));
        stage.behind.clear();
        stage.pass_ms(&mut room, 20);
        assert_eq!(stage.done().len(), 901 - 771, "from the window");
        let last = stage.hear(&mut room, live(902, 901));
        assert_eq!(last, ["a: msg 902 p902"], "it is level");
    }

    #[test]
    fn live_waits_while_a_member_is_on_its_way() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position(3)), None);
        stage.reply(&mut room, Ok(page_to(&[4, 5], 9, true)));
        let done = stage.done();
        assert_eq!(
            done[1..],
            ["a: joined at 3, resumed", "a: replay 4 p4", "a: replay 5 p5", "read after 5 to 9"]
        );
        assert_eq!(stage.hear(&mut room, live(12, 9)), [""; 0]);
        stage.reply(&mut room, Ok(page(&[7, 9])));
        stage.reply(&mut room, Ok(Found::Same));
        assert_eq!(stage.done(), ["check 5", "a: replay 7 p7", "a: replay 9 p9", "a: replay 12 p12"]);
        assert_eq!(stage.hear(&mut room, live(13, 12)), ["a: msg 13 p13"]);
    }

    #[test]
    fn what_falls_out_of_a_replay_is_a_gap() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position(3)), None);
        stage.reply(&mut room, Ok(page_to(&[4, 5], 9, true)));
        stage.reply(&mut room, Ok(page(&[8, 9])));
        stage.reply(&mut room, Ok(Found::Gone));
        stage.reply(&mut room, Ok(Found::NotResumed { epoch: epoch(1), newest: newest(9), oldest: Some(8) }));
        stage.clear();
        stage.reply(&mut room, Ok(Found::Same));
        assert_eq!(stage.done(), ["a: gap truncated 7", "a: replay 8 p8", "a: replay 9 p9"]);
    }

    #[test]
    fn a_great_hole_is_filled_at_each_members_own_pace() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), None, None);
        stage.hear(&mut room, live(2_000, 1_999));
        stage.reply(&mut room, Ok(page_to(&all(6, 1_005), 2_000, true)));
        stage.reply(&mut room, Ok(Found::Same));
        let done = stage.done();
        assert_eq!(done.len(), 2 * 1_000 + 2);
        assert_eq!(done[0], "check 5");
        assert_eq!(done[1 + 2_000], "read after 1005 to 2000");
        stage.behind.push(conn("b"));
        stage.reply(&mut room, Ok(page(&all(1_006, 2_000))));
        stage.reply(&mut room, Ok(Found::Same));
        let done = stage.done();
        assert_eq!(done.len(), 1 + 995, "b isn't ready for more");
        assert_eq!(done.last().map(String::as_str), Some("a: replay 2000 p2000"));
        stage.behind.clear();
        stage.pass_ms(&mut room, 20);
        assert_eq!(stage.done(), ["read after 1005 to 2000"]);
    }

    #[test]
    fn some_who_are_behind_dont_hold_up_the_others() {
        let (mut room, mut stage) = stage("n2");
        for name in ["a", "b"] {
            room.join(&mut stage, actor(name), Some(position(3)), None);
        }
        stage.behind.push(conn("b"));
        stage.reply(&mut room, Ok(page(&[4, 5])));
        let done = stage.done();
        assert_eq!(
            done[1..],
            ["a: joined at 3, resumed", "a: replay 4 p4", "a: replay 5 p5", "b: joined at 3, resumed"]
        );
        assert_eq!(stage.hear(&mut room, live(6, 5)), ["a: msg 6 p6"]);
        stage.behind.clear();
        stage.pass_ms(&mut room, 20);
        assert_eq!(stage.done(), ["b: replay 4 p4", "b: replay 5 p5", "b: replay 6 p6"], "from the window");
    }
}
