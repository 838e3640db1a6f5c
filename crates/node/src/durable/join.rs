//! Joining: each join is answered once, with where the member begins; then comes what it missed or asked for. From the
//! window where that has it, else the store is asked.

use std::time::Duration;

use ringway_backplane::message::Epoch;
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;

use super::Durable;
use super::chain::Spot;
use super::fetch::Fetched;
use super::limits::{JOIN_PATIENCE, JOIN_RETRY, WAITING};
use super::members::At;
use super::mend::What;
use super::replay::{feed, page_of};
use super::surroundings::{Joined, NotJoined, Surroundings};
use crate::reader::{Found, Read, ReadId, ReadResult};
use crate::room::{Handles, Member};

/// What a joining client wants to have.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// Epoch, offset and time that it came back with; an epoch that can't be read is none that ever was.
    since: Option<(Epoch, u64, Option<u64>)>,
    last: u32,
}

/// A join that waits for the store.
#[derive(Debug)]
pub(super) struct Waiting {
    conn: ConnId,
    wish: Wish,
    read: Read,
    until: Duration,
    /// It can't be resumed, and waits for the newest: the oldest that there is.
    refused: Option<Option<u64>>,
}

/// What the store is asked for joins: one question for all who want the same.
#[derive(Debug)]
pub(super) struct Joining {
    read: Read,
    /// None: it couldn't be read, and will be again.
    pub(super) id: Option<ReadId>,
}

impl Waiting {
    pub(super) fn is_of(&self, conn: &ConnId) -> bool {
        self.conn == *conn
    }
}

const NO_EPOCH: Epoch = Epoch { ms: 0, node: 0, random: 0 };

impl Wish {
    fn new(since: Option<Position>, last: Option<u32>) -> Self {
        let since = since.map(|Position { epoch, offset, ts }| {
            // An empty stream has no time.
            (epoch.as_str().parse::<Epoch>().unwrap_or(NO_EPOCH), offset, ts.filter(|ts| *ts > 0))
        });
        Self { since, last: last.unwrap_or(0) }
    }

    fn read(&self) -> Read {
        match (self.since, self.last) {
            (Some((epoch, offset, ts)), _) => Read::Since { epoch, offset, ts },
            (None, 0) => Read::Newest,
            (None, count) => Read::Last { count },
        }
    }
}

impl<H: Handles> Durable<H> {
    pub(super) fn seat(
        &mut self,
        s: &mut impl Surroundings<H>,
        conn: H::Conn,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        self.part_if_unattended(s);
        self.unattended = None;
        let wish = Wish::new(since, last);
        self.waiting.retain(|waiting| waiting.conn != *conn.id());
        let seated = conn.clone();
        self.members.seat_waiting(conn);
        if self.answer_at_once(s, &seated, &wish) {
            return;
        }
        if self.waiting.len() >= WAITING {
            return self.refuse(s, &seated);
        }
        let until = s.now() + JOIN_PATIENCE;
        self.waiting.push(Waiting {
            conn: seated.id().clone(),
            wish,
            read: wish.read(),
            until,
            refused: None,
        });
        self.again_after(s, JOIN_PATIENCE);
        self.ask_joins(s);
    }

    pub(super) fn unseat(&mut self, s: &mut impl Surroundings<H>, conn: &ConnId) -> bool {
        let waits = self.waiting.iter().position(|waiting| waiting.conn == *conn);
        if let Some(at) = waits {
            self.waiting.remove(at);
            if let Some(conn) = self.members.conn(conn).cloned() {
                self.refuse(s, &conn);
                self.left(s);
                return true;
            }
        }
        let was = self.members.remove(conn).is_some();
        self.left(s);
        was
    }

    fn refuse(&mut self, s: &mut impl Surroundings<H>, conn: &H::Conn) {
        self.members.remove(conn.id());
        s.not_joined(conn, NotJoined { retry: JOIN_RETRY });
    }

    /// Somebody is gone: where it was the last, the window stays a while for who comes back.
    fn left(&mut self, s: &mut impl Surroundings<H>) {
        if !self.members.is_empty() {
            return;
        }
        self.joining = Vec::new();
        (self.waiting, self.replay) = (Vec::new(), None);
        if self.chain.is_none() || self.mend.is_some() {
            self.part();
        } else if self.unattended.is_none() {
            self.unattended = Some(s.now());
        }
    }

    /// Joins that have waited too long.
    pub(super) fn give_up_joins(&mut self, s: &mut impl Surroundings<H>) {
        let now = s.now();
        let late: Vec<_> = self.waiting.extract_if(.., |waiting| waiting.until <= now).collect();
        for waiting in &late {
            if let Some(conn) = self.members.conn(&waiting.conn).cloned() {
                self.refuse(s, &conn);
            }
        }
        if let Some(next) = self.waiting.iter().map(|waiting| waiting.until).min() {
            self.again_after(s, next - now);
        }
        if !late.is_empty() {
            self.left(s);
        }
    }

    /// What is known here answers it.
    fn answer_at_once(&mut self, s: &mut impl Surroundings<H>, conn: &H::Conn, wish: &Wish) -> bool {
        let (Some(chain), Some(epoch)) = (&self.chain, self.epoch) else { return false };
        // While what was delivered last is in doubt nothing is answered by it.
        if self.mend.as_ref().is_some_and(|mend| !matches!(mend.what, What::Fetch(_))) {
            return false;
        }
        let head = chain.head;
        self.window.trim(s.wall_ms());
        let begin = match (wish.since, wish.last) {
            (Some((of, offset, ts)), _) => {
                let has = of == epoch && self.window.reaches(offset) && offset <= head.offset;
                (has && !self.window.contradicts(offset, ts))
                    .then(|| self.window.spot(offset).unwrap_or(Spot::bare(offset, ts)))
            }
            (None, 0) => Some(head),
            (None, count) if !self.by_key => self.window.before_newest(count as usize),
            _ => None,
        };
        let Some(begin) = begin else { return false };
        let ts = begin.ts.or(wish.since.and_then(|since| since.2));
        let resumed = wish.since.map(|_| true);
        let newest = head.offset;
        s.joined(conn, Joined { epoch, offset: begin.offset, ts, newest, resumed, oldest: None });
        let (spot, all) = feed(s, epoch, conn, begin, self.window.after(begin.offset));
        self.members.put(conn.id(), if all { At::Level } else { At::OnWay(spot) });
        if self.by_key {
            self.members.has_all(conn.id(), begin.offset);
        }
        if !all {
            self.replay_later(s);
        }
        true
    }

    /// Another epoch has begun: what was asked in the former says nothing.
    pub(super) fn joins_anew(&mut self, s: &mut impl Surroundings<H>) {
        for joining in &mut self.joining {
            joining.id = None;
        }
        self.ask_joins(s);
    }

    /// Asks the store what joins are waiting for.
    pub(super) fn ask_joins(&mut self, s: &mut impl Surroundings<H>) {
        self.joining.retain(|joining| self.waiting.iter().any(|waiting| waiting.read == joining.read));
        for waiting in &self.waiting {
            // Mostly few different ones; many where a crowd comes back, each with its own position.
            if !self.joining.iter().any(|joining| joining.read == waiting.read) {
                self.joining.push(Joining { read: waiting.read, id: None });
            }
        }
        for joining in &mut self.joining {
            if joining.id.is_none() {
                joining.id = Some(s.read(joining.read));
            }
        }
    }

    pub(super) fn join_read(&mut self, s: &mut impl Surroundings<H>, at: usize, result: ReadResult) {
        let read = self.joining[at].read;
        self.joining[at].id = None;
        let Ok(found) = result else { return self.read_failed(s) };
        if !self.is_of_this_epoch(s, &found) {
            return;
        }
        self.read_went_well();
        self.joining.retain(|joining| joining.read != read);
        let mut told: Vec<_> = self.waiting.extract_if(.., |waiting| waiting.read == read).collect();
        told.retain(|waiting| self.members.at(&waiting.conn) == Some(At::Waiting));
        match found {
            Found::Newest { at: newest, has, .. } => {
                let at = Spot::newest(newest, has);
                self.answer(s, &told, at, &page_of(at, Vec::new(), false, newest), at);
            }
            Found::Page { kept, more, newest, .. } => {
                let first = kept.first().map(|first| first.offset);
                let begin = match read {
                    Read::Since { offset, ts, .. } => Spot::bare(offset, ts),
                    _ => first.map_or(Spot::newest(newest, false), |first| Spot::bare(first - 1, None)),
                };
                let last = kept.last().map(|last| Spot::of(last.offset, last.ts));
                let page = page_of(begin, kept, more, newest);
                let head = match last {
                    Some(last) if last.offset >= newest.offset => last,
                    Some(_) => Spot::newest(newest, page.more),
                    None if page.end == newest.offset => Spot::newest(newest, false),
                    None => Spot::bare(page.end, None),
                };
                self.answer(s, &told, begin, &page, head);
            }
            Found::NotResumed { newest: at, oldest, .. } => {
                let newest = Spot::newest(at, oldest.is_some());
                let mut none = Vec::new();
                for mut waiting in told {
                    waiting.refused = Some(oldest);
                    if waiting.wish.last > 0 {
                        waiting.read = Read::Last { count: waiting.wish.last };
                        self.waiting.push(waiting);
                    } else {
                        none.push(waiting);
                    }
                }
                let page = page_of(newest, Vec::new(), false, at);
                self.answer(s, &none, newest, &page, newest);
            }
            Found::Same | Found::Gone | Found::Other => {
                self.waiting.append(&mut told);
                self.read_failed(s);
            }
        }
        if !self.waiting.is_empty() {
            self.ask_joins(s);
        }
        // Who is level already gets what came meanwhile like everyone.
        self.replays(s);
        self.go_on(s);
        self.replays(s);
    }

    /// Answers these, who begin at `begin`, and gives them what comes next. Where the room wasn't followed it is from now on,
    /// from `head`.
    fn answer(
        &mut self,
        s: &mut impl Surroundings<H>,
        told: &[Waiting],
        begin: Spot,
        page: &Fetched,
        head: Spot,
    ) {
        let Some(epoch) = self.epoch else { return };
        if self.chain.is_none() {
            self.follow(s, head);
            if !page.more {
                // What they get others may come back to soon.
                self.window.restart(begin);
                let wall = s.wall_ms();
                page.kept.iter().for_each(|entry| self.window.push(entry.clone(), wall));
                self.window.end_at(head);
            }
        }
        self.take_values(s, page);
        let newest = head.offset.max(self.chain.as_ref().map_or(0, |chain| chain.head.offset));
        for waiting in told {
            let Some(conn) = self.members.conn(&waiting.conn).cloned() else { continue };
            let resumed = waiting.wish.since.map(|_| waiting.refused.is_none());
            let oldest = waiting.refused.flatten();
            s.joined(&conn, Joined { epoch, offset: begin.offset, ts: begin.ts, newest, resumed, oldest });
            let (mut spot, all) = feed(s, epoch, &conn, begin, page.kept.iter());
            if all && !page.more && spot.offset < page.end {
                spot = if page.end == head.offset { head } else { Spot::bare(page.end, None) };
            }
            self.members.put(conn.id(), At::OnWay(spot));
            if self.by_key {
                self.members.has_all(conn.id(), begin.offset);
            }
            if !all {
                self.replay_later(s);
            }
        }
        if let Some(last) = page.kept.last() {
            let (key, offset) = (last.publication.key.clone(), last.offset);
            self.beyond(s, Some(&key), offset, true);
        } else if !self.by_key && head.solid {
            self.beyond(s, None, head.offset, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::scene::{
        actor, at, conn, epoch, following, live, newest, page, page_to, position, position_in, stage, ts,
    };
    use ringway_backplane::store::ReadError;

    #[test]
    fn a_join_begins_at_the_newest_and_what_came_live_meanwhile_follows() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        assert_eq!(stage.hear(&mut room, live(9, 5)), ["read newest"]);
        stage.reply(&mut room, Ok(at(5, true)));
        assert_eq!(stage.done(), ["a: joined at 5", "a: msg 9 p9"]);
        assert_eq!((stage.joins[0].ts, stage.joins[0].newest), (Some(ts(5)), 5));
        room.join(&mut stage, actor("b"), None, None);
        assert_eq!(stage.done(), ["b: joined at 9"], "the room knows where it is");
    }

    #[test]
    fn since_brings_what_was_missed_from_the_store_and_then_from_the_window() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position(3)), None);
        stage.reply(&mut room, Ok(page(&[5, 8])));
        assert_eq!(
            stage.done(),
            ["read since 3", "a: joined at 3, resumed", "a: replay 5 p5", "a: replay 8 p8"]
        );
        stage.hear(&mut room, live(9, 8));
        room.join(&mut stage, actor("b"), Some(position(5)), Some(1));
        assert_eq!(stage.done(), ["b: joined at 5, resumed", "b: replay 8 p8", "b: replay 9 p9"]);
        room.join(&mut stage, actor("c"), Some(position(2)), None);
        assert_eq!(stage.done(), ["read since 2"], "that the window hasn't");
    }

    #[test]
    fn a_since_with_another_time_is_looked_at_by_the_store() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(9, 5));
        let other = Position { ts: Some(ts(9) + 1), ..position(9) };
        room.join(&mut stage, actor("b"), Some(other), None);
        assert_eq!(stage.done(), ["read since 9"]);
        let found = Found::NotResumed { epoch: epoch(1), newest: newest(9), oldest: Some(2) };
        stage.reply(&mut room, Ok(found));
        assert_eq!(stage.done(), ["b: joined at 9, not resumed"]);
        assert_eq!(stage.joins[0].oldest, Some(2));
    }

    #[test]
    fn what_cant_be_resumed_begins_at_the_newest_or_with_the_last() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), Some(position_in(epoch(7), 3)), None);
        room.join(&mut stage, actor("b"), Some(position_in(epoch(7), 3)), Some(2));
        assert_eq!(stage.done(), ["read since 3"], "one question for both");
        let found = Found::NotResumed { epoch: epoch(1), newest: newest(9), oldest: Some(2) };
        stage.reply(&mut room, Ok(found));
        assert_eq!(stage.done(), ["a: joined at 9, not resumed", "read last 2"]);
        stage.reply(&mut room, Ok(page(&[7, 9])));
        assert_eq!(stage.done(), ["b: joined at 6, not resumed", "b: replay 7 p7", "b: replay 9 p9"]);
        assert_eq!(stage.joins[1].oldest, Some(2));
        stage.hear(&mut room, live(10, 9));
        room.join(&mut stage, actor("c"), None, Some(1));
        assert_eq!(stage.done(), ["c: joined at 9", "c: replay 10 p10"], "of the window");
        room.join(&mut stage, actor("d"), None, Some(4));
        assert_eq!(stage.done(), ["read last 4"]);
    }

    #[test]
    fn a_position_beyond_what_came_here_gets_nothing_twice() {
        let (mut room, mut stage) = following(5);
        room.join(&mut stage, actor("b"), Some(position(8)), None);
        stage.reply(&mut room, Ok(page_to(&[], 8, false)));
        assert_eq!(stage.done(), ["read since 8", "b: joined at 8, resumed"]);
        for (offset, prev) in [(6, 5), (8, 6), (9, 8)] {
            room.stored_live(&mut stage, live(offset, prev));
        }
        assert_eq!(stage.done(), ["a: msg 6 p6", "a: msg 8 p8", "a: msg 9 p9", "b: msg 9 p9"]);
    }

    #[test]
    fn a_store_that_cant_be_read_is_asked_again_and_after_a_while_the_join_fails() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        stage.reply(&mut room, Err(ReadError::Away));
        stage.pass_ms(&mut room, 300);
        stage.reply(&mut room, Err(ReadError::Away));
        assert_eq!(stage.done(), ["read newest", "read newest"]);
        stage.pass(&mut room, JOIN_PATIENCE);
        assert_eq!(stage.done(), ["read newest", "a: not joined"]);
        assert_eq!(room.members(), 0);
        stage.reply(&mut room, Ok(at(5, true)));
        assert_eq!(stage.done(), [""; 0], "nobody waits for it any more");
        room.join(&mut stage, actor("a"), None, None);
        stage.reply(&mut room, Ok(at(5, true)));
        assert_eq!(stage.done(), ["read newest", "a: joined at 5"]);
    }

    #[test]
    fn a_leave_answers_the_join_that_waits_first() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("a"), None, None);
        assert!(room.leave(&mut stage, &conn("a")));
        assert!(!room.leave(&mut stage, &conn("a")));
        assert_eq!(stage.done(), ["read newest", "a: not joined"]);
    }

    #[test]
    fn who_comes_back_soon_finds_the_window_and_later_asks_the_store() {
        let (mut room, mut stage) = following(5);
        room.leave(&mut stage, &conn("a"));
        stage.hear(&mut room, live(6, 5));
        stage.pass_ms(&mut room, 5_000);
        room.join(&mut stage, actor("a"), Some(position(5)), None);
        assert_eq!(stage.done(), ["a: joined at 5, resumed", "a: replay 6 p6"]);
        room.leave(&mut stage, &conn("a"));
        stage.pass_ms(&mut room, 10_000);
        room.join(&mut stage, actor("a"), Some(position(6)), None);
        assert_eq!(stage.done(), ["read since 6"]);
    }

    #[test]
    fn joins_that_wait_are_bounded() {
        let (mut room, mut stage) = stage("n2");
        for number in 0..WAITING + 3 {
            room.join(&mut stage, actor(&format!("c{number}")), None, None);
        }
        let refused = stage.done().iter().filter(|line| line.ends_with("not joined")).count();
        assert_eq!((refused, room.members()), (3, WAITING));
    }
}
