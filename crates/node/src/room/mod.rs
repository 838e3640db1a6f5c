//! One room on one node: who is in it, where each of them is, and the numbers of its publications.
//!
//! A room is a value: it has no clock, no socket and no network of its own. What happens to it comes in by the methods
//! of [`Room`], what it wants done goes out through [`Surroundings`]. It refuses to know whether members may do what
//! they do, what frames look like, and how messages travel; and it never waits.
//!
//! The protocol, told in `docs/decisions/0001-ephemeral-rooms.md`: publications are numbered by the room's *holder*
//! (`number`), which the owner of the slot becomes by *taking* the room (`take`); nodes with members *follow* the
//! greatest epoch they heard of (`follow`, `deliver`), *marks* (`mark`) reveal what was lost last, and what is missing
//! the owner is asked for (`ask`). `enter` brings to the holder what members publish here; `join` answers members;
//! `log` and `members` hold what these work on. `simulation` runs it all, in time of its own, through faults that are
//! drawn from a seed.

mod ask;
#[cfg(test)]
mod by_key;
mod deliver;
mod enter;
mod follow;
mod join;
mod limits;
mod log;
mod mark;
mod members;
mod number;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod simulation;
mod surroundings;
mod take;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use log::Log;
pub(crate) use log::{Entry, Replay, weight};
use mark::Marks;
#[cfg(not(feature = "bench"))]
use members::Members;
#[cfg(feature = "bench")]
pub(crate) use members::{At, Members};
pub(crate) use surroundings::{
    AskError, AskId, FORMER_FOR, Gap, GapReason, Handles, Joined, Member, Outcome, Place, Surroundings,
    TAKE_COUNTS_LATE, Timer,
};

use ringway_backplane::message::{Answer, Ask, Epoch, Known, LiveBody, Publication};
use ringway_protocol::code::Code;
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;
use ringway_ring::NodeId;

use crate::entrance::Entrance;

/// What this node is to the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has no part in it: of an epoch it may know, not of what was published.
    Apart,
    /// It delivers what the holder numbers.
    Following,
    /// It numbered, and may again once it has asked whether somebody took over meanwhile (back from a cut). Until
    /// then it still has the one copy of the number, and gives it to who takes.
    Keeping,
    /// It numbers.
    Holding,
}

/// One room on one node. What is rarely there is boxed: there may be as many rooms as connections.
///
/// The node must be subscribed to the room's live subject before it calls the first [`Room::join`], and stay so until
/// the last member left. A room is made by [`Room::join`], [`Room::enter`] and [`Room::asked`]; what comes for a room
/// that isn't there needs none.
pub(crate) struct Room<H: Handles> {
    members: Members<H::Conn>,
    standing: Standing,
    /// The greatest epoch heard of.
    epoch: Option<Epoch>,
    /// Who was last heard to number it, and which of that node's lives it was.
    holder: Option<NodeId>,
    holder_life: Option<u64>,
    /// Where the followed epoch has come, and its newest publications.
    log: Log,
    /// What came before its predecessors; the greatest number heard of is `wanted`.
    ahead: BTreeMap<u64, Arc<Publication>>,
    ahead_bytes: usize,
    wanted: u64,
    /// How far each lesser epoch is settled with the members: delivered, or told as a gap.
    former: BTreeMap<Epoch, u64>,
    /// Who comes with less than this isn't resumed: something of a lesser epoch was lost when the room was below it, and
    /// whoever wasn't here then couldn't be told.
    resumes_from: u64,
    /// This node numbered in a lesser epoch, which others may not have delivered: until it has the greater's state.
    numbered_lesser: bool,
    marks: Marks,
    taking: Option<Box<take::Taking>>,
    /// What waits for the room to be held here.
    queue: VecDeque<number::Queued<H>>,
    queue_bytes: usize,
    late_takes: Vec<(AskId, Duration)>,
    /// When this node gave the room away, if it hasn't held it since.
    gave: Option<Duration>,
    /// The owner, in one of its lives, that was told that this node holds the room.
    told_owner: Option<(NodeId, u64)>,
    /// The question to the owner where the room is, and what should follow it.
    asking: Option<Box<ask::Asking>>,
    ask_again: bool,
    /// How often in a row it was asked in vain.
    asked_in_vain: u8,
    ask_again_timer: bool,
    /// How many questions in a row were sent round; after each they pause for a moment.
    sent_round: u8,
    /// How many such questions there were: a join is answered for sure by one that was asked after it.
    asked: u64,
    waiting: Vec<join::Waiting>,
    notes: Vec<(AskId, NodeId)>,
    entrance: Entrance<H::Publisher>,
    flight: Option<Box<enter::Flight<H>>>,
    /// When anyone last used it.
    used: Duration,
    /// How many publications with a number came by, to be compared with an earlier look.
    passed: u32,
}

impl<H: Handles> Room<H> {
    pub(crate) fn new(replay: Replay) -> Room<H> {
        Room {
            members: Members::new(),
            standing: Standing::Apart,
            epoch: None,
            holder: None,
            holder_life: None,
            log: Log::new(replay),
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            wanted: 0,
            former: BTreeMap::new(),
            resumes_from: 0,
            numbered_lesser: false,
            marks: Marks::default(),
            taking: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            late_takes: Vec::new(),
            gave: None,
            told_owner: None,
            asking: None,
            ask_again: false,
            asked_in_vain: 0,
            ask_again_timer: false,
            sent_round: 0,
            asked: 0,
            waiting: Vec::new(),
            notes: Vec::new(),
            entrance: Entrance::new(),
            flight: None,
            used: Duration::ZERO,
            passed: 0,
        }
    }

    /// How many publications were numbered, or came by with a number, since it was made; begins anew beyond `u32::MAX`.
    pub(crate) fn passed(&self) -> u32 {
        self.passed
    }

    /// A connection joins. [`Surroundings::joined`] answers, now or within some seconds, then comes what it missed
    /// (`since`) or asked for (`last`: the newest so many, where `since` isn't given or fails). One that is a member
    /// already is answered again and starts from there.
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

    /// A connection leaves, or is gone. A join of it that still waits is answered first. `false`: it was no member.
    pub(crate) fn leave(&mut self, s: &mut impl Surroundings<H>, conn: &ConnId) -> bool {
        self.used = s.now();
        let was = self.unseat(s, conn);
        self.pump(s);
        was
    }

    /// Publications of one of this node's connections, or of the node itself, in order. [`Surroundings::outcome`]
    /// tells what became of them, now or within some seconds; all that enter keep their order.
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

    /// Something on the room's live subject. What this node sent itself is ignored. What is published may come unread
    /// unless the room [looks into it](Self::looks_into_publications); then it counts as lost on its way.
    pub(crate) fn live(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, body: LiveBody) {
        if from != s.me() {
            // Where nobody is, only the owner has to know: another node would hear a busy room for ever.
            if !self.members.is_empty() || self.has_number() || s.owner().as_ref() == Some(s.me()) {
                self.used = s.now();
            }
            self.heard(s, from, body);
        }
    }

    /// A question of another node (or of a gateway: only `Publish`). Answered once, now or within some seconds.
    /// [`Ask::Members`] isn't for the room, which doesn't know users: it is refused.
    pub(crate) fn asked(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, asker: H::Asker, ask: Ask) {
        self.used = s.now();
        match ask {
            Ask::Publish { publications } => self.asked_to_publish(s, from, asker, publications),
            Ask::Sync { known } => {
                self.learn_from(s, known);
                self.asked_to_sync(s, from, asker);
            }
            Ask::Take { known } => {
                self.learn_from(s, known.map(|known| Known { holder: Some(from.clone()), ..known }));
                self.asked_to_give(s, from, asker);
            }
            Ask::Greater { epoch, holder, offset } => {
                self.told_holder(s, epoch, holder.clone());
                self.learn_from(s, Some(Known { epoch, holder, offset }));
                s.answer(asker, Answer::Done);
            }
            _ => s.answer(asker, Answer::Refused { code: Code::BadRequest }),
        }
        self.pump(s);
    }

    /// The answer to a question that the room asked; for [`Ask::Take`] a late one too, after its time-out.
    pub(crate) fn answered(
        &mut self,
        s: &mut impl Surroundings<H>,
        id: AskId,
        answer: Result<Answer, AskError>,
    ) {
        if self.notes.iter().any(|(note, _)| *note == id) {
            self.notes.retain(|(note, _)| *note != id);
        } else if self.asking.as_ref().is_some_and(|asking| asking.id == Some(id)) {
            self.owner_said(s, answer);
        } else if self.flight.as_ref().is_some_and(|flight| flight.is(id)) {
            self.landed(s, answer);
        } else {
            self.take_answered(s, id, answer);
        }
        self.pump(s);
    }

    /// A timer that the room asked for. A stale one does nothing.
    pub(crate) fn timer(&mut self, s: &mut impl Surroundings<H>, timer: Timer) {
        match timer {
            Timer::MarkSoon | Timer::MarkLate => self.mark_due(s, timer),
            Timer::AskAgain => self.ask_again_due(s),
            Timer::TakeAgain => self.take_again(s),
        }
        self.pump(s);
    }

    /// The node's view of the cluster changed.
    pub(crate) fn view_changed(&mut self, s: &mut impl Surroundings<H>) {
        self.look_for_holder(s);
        self.tell_owner(s);
        self.pump(s);
    }

    /// The backplane is known to be away: [`Surroundings::away`] is true from now on.
    pub(crate) fn link_lost(&mut self, s: &mut impl Surroundings<H>) {
        self.give_up_asking(s);
        self.give_up_taking(s);
        self.give_up_flight(s);
        self.pump(s);
    }

    /// Back from a cut ([`Surroundings::away`] is false again: to be called before anything else then), from a pause
    /// of over 1.5 s, or after a slow-consumer event: things may have been missed in either direction.
    pub(crate) fn back_from_cut(&mut self, s: &mut impl Surroundings<H>) {
        self.doubt(s);
        self.pump(s);
    }

    /// To be called every half minute or so: drops what is too old from the replay buffer. `true`: nobody needs the
    /// room, it may be dropped.
    pub(crate) fn idle(&mut self, s: &mut impl Surroundings<H>) -> bool {
        self.log.trim(s.wall_ms());
        let now = s.now();
        self.late_takes.retain(|(_, until)| *until > now);
        // What was busy once keeps no room for more.
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        self.entrance.rest();
        // What is kept may be younger than the last use is old.
        self.is_at_rest() && !self.keeps_publications() && now >= self.used + limits::FORGET_AFTER
    }

    /// Whether nothing of it is under way, so that it could be forgotten at once. Where nothing was ever published no mark
    /// has anything to reveal, so that those who make rooms by the thousand can't keep them here for a mark's time.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.members.is_empty()
            && self.taking.is_none()
            && self.late_takes.is_empty()
            && self.asking.is_none()
            && self.flight.is_none()
            && self.queue.is_empty()
            && self.entrance.is_empty()
            && self.notes.is_empty()
            && (self.marks.quiet() || self.log.number() == 0)
    }

    /// Other bounds hold for what is kept. Where it is kept in another way than before, by key or in order, the buffer begins
    /// anew: who comes back to what was in it isn't resumed.
    pub(crate) fn set_replay(&mut self, replay: Replay, wall_ms: u64) {
        self.log.set_bounds(replay, wall_ms);
        if self.has_number() {
            // Nobody has more.
            self.log.now_whole();
        }
    }

    /// What the replay buffer weighs, in bytes: payloads, texts, and 128 for the rest of each publication.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// Memory runs short: drops the oldest of the replay buffer until it weighs no more than `to` bytes. Who comes back to
    /// what was dropped isn't resumed.
    pub(crate) fn shed_replay(&mut self, to: usize) {
        self.log.shed(to);
    }

    /// Whether its replay buffer holds anything that grows too old.
    pub(crate) fn keeps_publications(&self) -> bool {
        self.log.base() < self.log.number()
    }

    /// Whether what is published by others is needed here, not only its number.
    pub(crate) fn looks_into_publications(&self) -> bool {
        !self.members.is_empty() || self.follows()
    }

    /// Connections that joined, or wait for their join's answer.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = &H::Conn> {
        self.members.all()
    }

    /// Whether this node numbers the room's publications.
    pub(crate) fn is_holder(&self) -> bool {
        self.standing == Standing::Holding
    }

    /// Whether the node delivers what is numbered in `epoch`, and has all up to the log's number.
    fn follows(&self) -> bool {
        self.standing != Standing::Apart
    }

    fn known(&self) -> Option<Known> {
        self.epoch.map(|epoch| Known { epoch, holder: self.holder.clone(), offset: self.log.number() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{actor, conn, following, holding, publication, stage};

    #[test]
    fn a_room_that_nobody_uses_is_forgotten_after_a_while() {
        let (mut room, mut stage, _) = holding();
        room.enter(&mut stage, 1, vec![publication("a")]);
        assert!(!room.idle(&mut stage));
        stage.pass(&mut room, limits::FORGET_AFTER - Duration::from_secs(1));
        assert!(!room.idle(&mut stage));
        stage.pass(&mut room, Duration::from_secs(1));
        assert!(room.idle(&mut stage));
    }

    #[test]
    fn a_room_with_members_or_questions_isnt_forgotten() {
        let (mut room, mut stage) = following(3);
        stage.now += 2 * limits::FORGET_AFTER;
        assert!(!room.idle(&mut stage));
        assert!(room.leave(&mut stage, &conn("a")));
        stage.now += limits::FORGET_AFTER;
        assert!(room.idle(&mut stage));

        let (mut room, mut stage) = self::stage("n2");
        room.enter(&mut stage, 1, vec![publication("a")]);
        stage.now += 2 * limits::FORGET_AFTER;
        assert!(!room.idle(&mut stage));
        stage.reply(&mut room, Err(AskError::Timeout));
        assert!(room.idle(&mut stage));
    }

    #[test]
    fn a_room_that_its_last_member_left_is_forgotten_though_others_go_on() {
        let (mut room, mut stage) = following(3);
        assert!(room.leave(&mut stage, &conn("a")));
        for offset in 4..=10 {
            stage.now += limits::FORGET_AFTER / 6;
            room.live(&mut stage, &scene::node("n2"), scene::live(scene::epoch(1), offset));
        }
        assert!(room.idle(&mut stage));
    }

    #[test]
    fn an_idle_rooms_buffer_expires() {
        let (mut room, mut stage, _) = holding();
        room.join(&mut stage, actor("a"), None, None);
        room.enter(&mut stage, 1, vec![publication("a")]);
        assert_eq!((room.log.base(), room.log.number()), (0, 1));
        stage.now += Duration::from_secs(40);
        assert!(!room.idle(&mut stage));
        assert_eq!((room.log.base(), room.log.number()), (1, 1));
    }

    #[test]
    fn a_room_is_small() {
        let size = std::mem::size_of::<Room<crate::room::scene::Hand>>();
        assert!(size <= 600, "{size} bytes for every room of every node");
    }

    #[test]
    fn an_unknown_answer_or_timer_does_nothing() {
        let (mut room, mut stage) = following(3);
        room.answered(&mut stage, AskId(77), Ok(scene::state(scene::epoch(9), 0, 9)));
        for timer in [Timer::AskAgain, Timer::TakeAgain, Timer::MarkLate] {
            room.timer(&mut stage, timer);
        }
        assert_eq!(stage.done(), [""; 0]);
    }
}
