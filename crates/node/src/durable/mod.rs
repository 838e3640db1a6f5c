//! One durable room on one node: who is in it, where each member is, and what was delivered last.
//!
//! A value, like an ephemeral [`Room`](crate::room::Room): no clock, no socket, no network of its own. Its numbers are
//! the store's; the room sees to it that each member gets every stored publication once and in order, or is told plainly
//! what it doesn't get.
//!
//! Data: the epoch and the place of the last delivered publication (by key where the store keeps the newest of each), a
//! **window** of what was delivered lately, and members: level with the room, or on their way to it (a replay). Who owns
//! what: the store numbers and keeps; the room remembers; the [`Reader`](crate::reader::Reader) asks the store for
//! many rooms together. Which way: published → store → sent on live by its server → window and members; what is
//! missing is read back and goes the same way before anything later.

mod chain;
mod enter;
mod fetch;
mod hear;
mod join;
mod limits;
mod mark;
mod members;
mod mend;
mod replay;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod simulation;
mod surroundings;
mod turn;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, Publication};
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, Key};
use ringway_ring::NodeId;

pub(crate) use surroundings::{Entry, Gap, GapReason, Joined, NotJoined, Surroundings, Timer};

use crate::entrance::Entrance;
use crate::reader::{ReadId, ReadResult};
use crate::room::{AskError, AskId, Handles};
use crate::storing::StoreId;
use chain::{Chain, Spot};
use fetch::Fetch;
use mark::Marks;
use members::Members;
use mend::{Mend, What};
use replay::Replay;
use window::Window;

/// What came on the room's live subject from its store.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// The epoch of the stream that sent it; none: that stream isn't known here yet.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) entry: Entry,
}

/// One durable room on one node. See the module. What is rarely there is boxed: there may be as many rooms as connections.
///
/// The node must be subscribed to the room's live subject before it calls the first [`Durable::join`], and stay so until ten
/// seconds after the last member left.
pub(crate) struct Durable<H: Handles> {
    /// The store keeps the newest of each key.
    by_key: bool,
    members: Members<H::Conn>,
    /// When the last member left, if none came since.
    unattended: Option<Duration>,
    /// What the numbers below belong to.
    epoch: Option<Epoch>,
    /// What was delivered last; none: the room isn't followed (yet).
    chain: Option<Chain>,
    window: Window,
    /// What came live while it couldn't be delivered.
    ahead: BTreeMap<u64, (Epoch, Entry)>,
    ahead_bytes: usize,
    /// The greatest number heard of, where that is beyond what was delivered; `wanted_real`: it was surely stored.
    wanted: u64,
    wanted_real: bool,
    /// By key: values heard of that didn't come.
    lacking: Vec<hear::Lacking>,
    /// Something may be missing, and what isn't known.
    look: bool,
    /// A look is due soon: what was wanted when it was put off.
    repair: Option<u64>,
    mend: Option<Box<Mend>>,
    replay: Option<Box<Replay>>,
    replay_armed: bool,
    waiting: Vec<join::Waiting>,
    joining: Vec<join::Joining>,
    /// When what couldn't be read is read again, and how long the next time.
    again: Option<Duration>,
    again_wait: Duration,
    /// Why what was delivered last was looked at, and when: that number, because of this one, stored then.
    checked: Option<(u64, (u64, u64), Duration)>,
    /// When something last came live.
    heard: Duration,
    marks: Marks,
    entrance: Entrance<H::Publisher>,
    flight: Option<Box<enter::Flight<H>>>,
    asked: Vec<enter::Asked<H>>,
    /// When anyone last used it.
    used: Duration,
    passed: u32,
}

impl<H: Handles> Durable<H> {
    /// A room that nothing is known of. `by_key`: its store keeps the newest of each key.
    pub(crate) fn new(by_key: bool) -> Self {
        Self {
            by_key,
            members: Members::new(),
            unattended: None,
            epoch: None,
            chain: None,
            window: Window::new(Spot::bare(0, None)),
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            wanted: 0,
            wanted_real: false,
            lacking: Vec::new(),
            look: false,
            repair: None,
            mend: None,
            replay: None,
            replay_armed: false,
            waiting: Vec::new(),
            joining: Vec::new(),
            again: None,
            again_wait: limits::READ_AGAIN,
            checked: None,
            heard: Duration::ZERO,
            marks: Marks::default(),
            entrance: Entrance::new(),
            flight: None,
            asked: Vec::new(),
            used: Duration::ZERO,
            passed: 0,
        }
    }

    /// A connection joins. [`Surroundings::joined`] or [`Surroundings::not_joined`] answers, now or within some seconds,
    /// then comes what it missed (`since`) or asked for (`last`: the newest so many, where `since` isn't given or fails). One
    /// that is a member already is answered again and starts from there.
    pub(crate) fn join(
        &mut self,
        s: &mut impl Surroundings<H>,
        conn: H::Conn,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        self.used = s.now();
        self.seat(s, conn, since, last);
        self.pump(s);
    }

    /// A connection leaves, or is gone. A join of it that still waits is answered first, by [`Surroundings::not_joined`].
    /// `false`: it was no member.
    pub(crate) fn leave(&mut self, s: &mut impl Surroundings<H>, conn: &ConnId) -> bool {
        self.used = s.now();
        let was = self.unseat(s, conn);
        self.pump(s);
        was
    }

    /// Publications of one of this node's connections, or of the node itself, in order. [`Surroundings::outcome`] tells what
    /// became of them, now or within some seconds; all that enter keep their order.
    pub(crate) fn enter(
        &mut self,
        s: &mut impl Surroundings<H>,
        publisher: H::Publisher,
        publications: Vec<Publication>,
    ) {
        self.used = s.now();
        self.admit(s, publisher, publications);
        self.pump(s);
    }

    /// What the room's store sent on.
    pub(crate) fn stored_live(&mut self, s: &mut impl Surroundings<H>, live: Live) {
        if !self.members.is_empty() {
            self.used = s.now();
        }
        self.heard(s, live);
    }

    /// A signal came from another node: to those who are here.
    pub(crate) fn signal(&mut self, s: &mut impl Surroundings<H>, publication: &Publication) {
        self.pass(s, publication);
    }

    /// Another node's mark: so far the room has come.
    pub(crate) fn mark(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64) {
        self.heard_mark(s, epoch, offset);
    }

    /// Another node's mark in a store that keeps the newest of each key: of these keys so far.
    pub(crate) fn mark_keys(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        keys: Vec<(Option<Key>, u64)>,
    ) {
        self.heard_keys(s, epoch, keys);
    }

    /// All up to there was deleted on purpose.
    pub(crate) fn forgotten(&mut self, s: &mut impl Surroundings<H>, epoch: Epoch, offset: u64, _ts: u64) {
        self.heard_forgotten(s, epoch, offset);
    }

    /// A question of another node or a gateway; [`Ask::Publish`] only, all else is refused. Answered once, by
    /// [`Answer::Fates`], now or within some seconds.
    pub(crate) fn asked(&mut self, s: &mut impl Surroundings<H>, _from: &NodeId, asker: H::Asker, ask: Ask) {
        self.used = s.now();
        self.was_asked(s, asker, ask);
    }

    /// The answer to a question that the room asked.
    pub(crate) fn answered(
        &mut self,
        s: &mut impl Surroundings<H>,
        id: AskId,
        answer: Result<Answer, AskError>,
    ) {
        self.landed(s, id, answer);
        self.pump(s);
    }

    /// What became of what was handed to [`Surroundings::store`], in its order.
    pub(crate) fn stored(&mut self, s: &mut impl Surroundings<H>, id: StoreId, fates: Vec<Fate>) {
        self.has_stored(s, id, fates);
        self.pump(s);
    }

    /// What came of [`Surroundings::read`]. What the room has no use for any more it ignores.
    pub(crate) fn read(&mut self, s: &mut impl Surroundings<H>, id: ReadId, result: ReadResult) {
        if self.mend.as_ref().is_some_and(|mend| mend.id == Some(id)) {
            self.mend_read(s, result);
        } else if self.replay.as_ref().is_some_and(|replay| replay.id == Some(id)) {
            self.replay_read(s, result);
        } else if let Some(at) = self.joining.iter().position(|joining| joining.id == Some(id)) {
            self.join_read(s, at, result);
        }
        self.pump(s);
    }

    /// A timer that the room asked for. A stale one does nothing.
    pub(crate) fn timer(&mut self, s: &mut impl Surroundings<H>, timer: Timer) {
        match timer {
            Timer::MarkSoon | Timer::MarkLate => self.mark_due(s, timer),
            Timer::Repair => self.repair_due(s),
            Timer::ReadAgain => self.again_due(s),
            Timer::Replay => self.replay_due(s),
        }
        self.pump(s);
    }

    /// The epoch of its store, whenever what is known of the stores has changed. None: it isn't known now.
    pub(crate) fn epoch_is(&mut self, s: &mut impl Surroundings<H>, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            self.turn(s, epoch);
            self.read_again(s);
        }
        self.pump(s);
    }

    /// Something may have been missed: the link was away, or messages were dropped on their way here. To be called when the
    /// link is back, before what comes then.
    pub(crate) fn doubt(&mut self, s: &mut impl Surroundings<H>) {
        if self.members.is_empty() {
            self.part();
        } else if self.mend.is_some() || self.chain.is_none() {
            self.look_soon(s);
        } else if let Some(chain) = &self.chain {
            let upto = if self.wanted > chain.head.offset { self.wanted } else { 0 };
            let fetch = Fetch::new(chain.sure(), upto, upto > 0 && self.wanted_real, self.by_key);
            self.start(s, What::Fetch(fetch));
        }
        self.pump(s);
    }

    /// A node left the view without a goodbye: the marks that it owed won't come.
    pub(crate) fn view_changed(&mut self, s: &mut impl Surroundings<H>) {
        if self.chain.is_some() && !self.members.is_empty() && s.now() < self.heard + limits::LATELY {
            self.doubt(s);
        }
    }

    /// To be called every half minute or so: drops what is too old from the window. `true`: nobody needs the room.
    pub(crate) fn idle(&mut self, s: &mut impl Surroundings<H>) -> bool {
        self.part_if_unattended(s);
        self.window.trim(s.wall_ms());
        self.entrance.rest();
        s.now() >= self.used + limits::FORGET_AFTER && self.is_at_rest()
    }

    /// Whether nothing of it is under way, so that it could be forgotten at once.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.members.is_empty()
            && self.flight.is_none()
            && self.asked.is_empty()
            && self.entrance.is_empty()
            && self.marks.quiet()
    }

    /// What the window weighs, in bytes: payloads, texts, and 128 for the rest of each publication.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Memory runs short: drops the oldest of the window until it weighs no more than that.
    pub(crate) fn shed(&mut self, to: usize) {
        self.window.shed(to);
    }

    /// Whether its window holds anything that grows too old.
    pub(crate) fn keeps_publications(&self) -> bool {
        !self.window.is_empty()
    }

    /// Connections that joined, or wait for their join's answer.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = &H::Conn> {
        self.members.all()
    }

    /// How many stored publications came by since it was made; begins anew beyond `u32::MAX`.
    pub(crate) fn passed(&self) -> u32 {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scene::{Hand, actor, conn, following, live, stage};

    #[test]
    fn a_room_that_nobody_uses_is_forgotten_and_its_window_before() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(9, 5));
        assert!(room.kept_bytes() > 0 && room.keeps_publications());
        assert!(room.leave(&mut stage, &conn("a")));
        stage.pass_ms(&mut room, 10_000);
        assert!(!room.idle(&mut stage));
        assert_eq!(room.kept_bytes(), 0);
        stage.pass_ms(&mut room, 20_000);
        assert!(room.idle(&mut stage));
    }

    #[test]
    fn a_window_that_was_shed_asks_the_store() {
        let (mut room, mut stage) = following(5);
        stage.hear(&mut room, live(9, 5));
        room.shed(0);
        room.join(&mut stage, actor("b"), Some(scene::position(5)), None);
        assert_eq!(stage.done(), ["read since 5"]);
    }

    #[test]
    fn an_empty_room_is_small() {
        let (room, _) = stage("n1");
        assert!(size_of_val(&room) <= 800, "{}", size_of::<Durable<Hand>>());
    }
}
