//! What is around a room on a real node: sockets, the backplane, timers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringway_auth::Right;
use ringway_backplane::message::{Answer, Ask, Epoch, LiveBody, LiveMessage, Publication, Question, Request};
use ringway_backplane::{Inbox, Replier};
use ringway_config::Class;
use ringway_edge::{Label, Policy};
use ringway_protocol::frame::{JoinResult, Msg, Position, ServerFrame};
use ringway_protocol::name::Key;
use ringway_ring::{KeyHash, NodeId, Slot};

use super::answers::{self, No};
use super::command::RoomKey;
use super::core::{Core, Wake};
use super::feed::RoomFeed;
use super::guests::Asked;
use super::machine::KeptIn;
use super::questions;
use super::relayed::{Casting, Relayed};
use crate::conn::ConnRef;
use crate::encode::{Shared, finished, labelled};
use crate::placement::AtHome;
use crate::room::{AskId, Entry, Gap, GapReason, Handles, Joined, Outcome, Place, Surroundings, Timer};
use crate::tenant::{TenantHere, TooMuch};
use crate::trace;

/// When a publication whose outcome is unknown is best repeated: an owner that died has left the view by then.
const REPEAT_AFTER: Duration = Duration::from_millis(1_500);

/// The handles that rooms of a real node keep.
#[derive(Debug)]
pub(crate) struct Real;

impl Handles for Real {
    type Conn = ConnRef;
    type Asker = Asker;
    type Publisher = Publisher;
}

/// A connection that waits to hear what became of what it published.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) conn: ConnRef,
    /// One for each publication.
    pub(crate) waits: Vec<Waits>,
    /// Where it goes if the room ends before it tells.
    unanswered: Unanswered,
}

/// Connections that were never told what became of their publications, since another room took their room's place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unanswered(Arc<Mutex<Vec<Untold>>>);

/// One of them, and what it waits for.
type Untold = (ConnRef, Vec<Waits>);

impl Unanswered {
    pub(super) fn take(&self) -> Vec<Untold> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Publisher {
    pub(super) fn new(conn: ConnRef, waits: Vec<Waits>, unanswered: Unanswered) -> Self {
        Self { conn, waits, unanswered }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Whoever was told waits no more.
        if !self.waits.is_empty() {
            let waits = std::mem::take(&mut self.waits);
            self.unanswered.0.lock().push((self.conn.clone(), waits));
        }
    }
}

/// A publication whose outcome somebody waits for.
#[derive(Debug)]
pub(crate) struct Waits {
    pub(crate) id: Option<u64>,
    /// Ends with the outcome.
    pub(crate) _span: tracing::Span,
}

/// Another node, or a gateway, that waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) reply: Replier,
    /// End with the answer: one for each publication that belongs to a trace.
    pub(crate) spans: Vec<tracing::Span>,
    /// Of what it asked to publish only the first were let through: why the next wasn't.
    pub(crate) over: Option<TooMuch>,
}

impl Asker {
    pub(super) fn reply(self, answer: Answer) {
        let Asker { reply, spans, over } = self;
        let answer = match (answer, over) {
            (Answer::Published(published), Some(over)) => over.answer(published),
            (Answer::Fates(mut fates), Some(over)) => {
                fates.push(over.fate());
                Answer::Fates(fates)
            }
            (answer, _) => answer,
        };
        // Before the answer is on its way: the asker's span ends with that, and ours lies within it.
        drop(spans);
        reply.send(answer);
    }
}

/// A room's surroundings, for the length of one call.
pub(crate) struct Around<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) key: &'a RoomKey,
    pub(crate) slot: Slot,
    /// What the room is placed by, and whether that makes this node one of its homes.
    pub(crate) home: KeyHash,
    pub(crate) at_home: &'a mut AtHome,
    pub(crate) tenant: &'a Arc<TenantHere>,
    pub(crate) class: &'a Class,
    /// Where its publications are kept, if it is durable.
    pub(crate) kept_in: Option<&'a KeptIn>,
    /// What may become of the room's publications where a member is behind.
    pub(crate) policy: Option<Policy>,
    pub(crate) feed: &'a mut Option<Arc<RoomFeed>>,
    /// How many members have sockets here, those among them whose join isn't answered.
    pub(super) sockets: &'a mut u32,
    pub(super) relayed: &'a mut Option<Box<Relayed>>,
}

impl Around<'_> {
    /// What a publication's frame says for the case that a member is behind; nothing where it may not be left out.
    /// `offset`: none where its loss can't be told as a gap.
    pub(super) fn label(
        &mut self,
        epoch: Option<Epoch>,
        offset: Option<u64>,
        ts: u64,
        key: Option<&Key>,
    ) -> Option<Arc<Label>> {
        // Links have labels of their own.
        let policy = self.policy.filter(|_| *self.sockets > 0)?;
        let feed = RoomFeed::of(self.feed, epoch, &self.key.room, self.tenant);
        Some(feed.label(policy, offset, ts, key))
    }

    /// `prev`: the one before it, where that is told.
    pub(super) fn msg(
        &self,
        publication: &Publication,
        offset: Option<u64>,
        ts: u64,
        prev: Option<u64>,
    ) -> ServerFrame {
        let p = publication;
        ServerFrame::Msg(Msg {
            id: None,
            room: Some(self.key.room.clone()),
            data: p.data.clone(),
            offset,
            ts: Some(ts),
            user: p.user.clone(),
            event: p.event.clone(),
            key: p.key.clone(),
            mid: p.mid.clone(),
            prev,
            trace: p.trace.clone(),
        })
    }

    /// Writes a publication to these members.
    pub(super) fn cast<'a>(
        &mut self,
        casting: &Casting<'_>,
        frame: &ServerFrame,
        label: Option<Arc<Label>>,
        to: impl Iterator<Item = &'a ConnRef> + Clone,
    ) {
        let span = trace::fanout(casting.publication.span.as_deref(), self.key);
        let mut shared = Shared::labelled(frame, label);
        let mut delivered = self.cast_by_links(casting, &mut shared, to.clone());
        if *self.sockets > 0 {
            delivered += self.core.cast(&mut shared, self.class.flush_window, to);
        }
        span.record("ringway.members", delivered);
        let at_least = self.class.spread_at_least();
        let at_home = self.at_home.by(&self.core.placement, &self.key.tenant, self.home, at_least);
        self.core.metrics.delivered(at_home, delivered);
    }

    fn numbered(&mut self, entry: &Entry, epoch: Option<Epoch>) -> (ServerFrame, Option<Arc<Label>>) {
        let (publication, offset) = (&entry.publication, epoch.map(|_| entry.offset));
        let frame = self.msg(publication, offset, publication.ts, None);
        (frame, self.label(epoch, offset, publication.ts, publication.key.as_ref()))
    }

    pub(super) fn send_live(&mut self, body: LiveBody) {
        let span = match &body {
            LiveBody::Publication { publication, .. } | LiveBody::Signal(publication) => {
                trace::send(publication.span.as_deref(), self.key)
            }
            _ => tracing::Span::none(),
        };
        let message = LiveMessage {
            from: self.core.placement.me.clone(),
            count: self.core.count_live(),
            tenant: self.key.tenant.clone(),
            room: self.key.room.clone(),
            body,
            traceparent: trace::traceparent_of(&span),
        };
        // What can't be sent is lost: a mark, or the next number, reveals it.
        if self.core.backplane.publish_live(&self.tenant.group, self.slot, &message).is_err() {
            self.core.metrics.live_refused.inc();
        }
    }

    pub(super) fn ask_node(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId {
        let id = AskId(self.core.next_number());
        // Each publication has a span of its own; the headers tell who looks at NATS of the first.
        let traceparent = match &ask {
            Ask::Publish { publications } => publications.first().and_then(|first| first.span.clone()),
            _ => None,
        };
        let request = Request {
            from: self.core.placement.me.clone(),
            body: Question::Room { tenant: self.key.tenant.clone(), room: self.key.room.clone(), ask },
            traceparent,
        };
        let inbox = Inbox { group: self.tenant.group.clone(), node: to.clone() };
        questions::ask_room(self.core, self.key.clone(), id, inbox, request, within);
        id
    }

    pub(super) fn tell_gap(
        &mut self,
        to: &ConnRef,
        reason: ringway_protocol::frame::GapReason,
        place: Place,
        lost: Option<u64>,
    ) {
        let frame = answers::gap(self.key.room.clone(), reason, place, lost);
        let at = self.stands(to, Some(place));
        self.core.push_at(to, &finished(to.format, &frame), at);
        self.core.metrics.gaps.inc();
    }

    /// Whether the room is another since this connection was last told where it is: from now on it isn't.
    fn has_moved(&mut self, conn: &ConnRef) -> bool {
        self.core.guests.take_moved(&conn.id, self.key)
    }

    /// A membership goes on here, and not from where the client was.
    fn tell_not_resumed(&mut self, to: &ConnRef, since: Option<&Position>, place: Place) {
        use ringway_protocol::frame::GapReason;
        let epoch = answers::epoch_name(place.epoch);
        let before = since.filter(|since| since.epoch == epoch && since.offset <= place.offset);
        let (reason, lost) = match (since, before) {
            (_, Some(_)) if self.kept_in.is_some() => (GapReason::Truncated, None),
            (_, Some(since)) => (GapReason::Backplane, Some(place.offset - since.offset)),
            // It was never told where it is.
            (None, _) => (GapReason::Backplane, None),
            (Some(_), None) => (GapReason::Epoch, None),
        };
        self.tell_gap(to, reason, place, lost);
    }

    /// A membership that was to go on here can't yet: it is tried again. False: it was no such.
    pub(super) fn joins_again_later(&mut self, to: &ConnRef, after: Duration) -> bool {
        let standing = self.core.guests.standing(&to.id, self.key);
        let since = match standing.and_then(|standing| standing.answer.as_ref()).map(|answer| &answer.to) {
            Some(Asked::Again { since }) => since.as_deref().cloned(),
            _ => return false,
        };
        let now = tokio::time::Instant::now();
        let wake = Wake::Join { conn: to.clone(), room: self.key.clone(), since, last: None, until: now };
        self.core.timers.add(now + after, wake);
        true
    }

    /// Answers a join, by what `result` makes of the rights in the room. `place`: where the connection is then.
    pub(super) fn tell_joined(
        &mut self,
        to: &ConnRef,
        place: Option<Place>,
        result: impl FnOnce(Vec<&'static str>) -> JoinResult,
    ) {
        let standing = self.core.guests.standing(&to.id, self.key);
        let Some(standing) = standing else { return };
        let Some(answer) = standing.answer.take() else {
            // It didn't ask: the room is another now. Without a place it is told one later, in the same way.
            if let Some(place) = place.filter(|_| std::mem::take(&mut standing.moved)) {
                self.tell_gap(to, ringway_protocol::frame::GapReason::Epoch, place, None);
            }
            return;
        };
        standing.moved = false;
        let by_server = standing.by_server;
        if self.policy == Some(Policy::Conflate) {
            to.way.keep_fresh();
        }
        let rights = to.grants.lock().rights(&self.key.room, to.user.as_ref());
        // `manage` is a server's right: no frame needs it.
        let rights = rights.iter().filter(|right| *right != Right::Manage).map(Right::as_str).collect();
        let result = result(rights);
        let room = self.key.room.clone();
        let frame = match answer.to {
            Asked::ByServer => Some(answers::joined_by_server(room, result)),
            Asked::ByClient { id } => {
                answers::ok(id, room, Some(ringway_protocol::frame::OkResult::Join(result)))
            }
            Asked::Again { since } => {
                if let Some(place) = place.filter(|_| result.resumed != Some(true)) {
                    self.tell_not_resumed(to, since.as_deref(), place);
                }
                None
            }
        };
        let at = self.stands(to, place);
        if let Some(frame) = frame {
            self.core.push_at(to, &finished(to.format, &frame), at);
        }
        self.enter(to, at, by_server);
        self.core.done.push_back((to.id.clone(), self.key.clone()));
    }
}

impl Surroundings<Real> for Around<'_> {
    fn me(&self) -> &NodeId {
        &self.core.placement.me
    }

    fn now(&self) -> Duration {
        self.core.started.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        crate::clock::wall_ms()
    }

    fn random(&mut self) -> u32 {
        rand::random()
    }

    fn owner(&self) -> Option<NodeId> {
        self.core.placement.owner(&self.key.tenant, self.slot).cloned()
    }

    fn owner_without(&self, node: &NodeId) -> Option<NodeId> {
        self.core.placement.owner_without(&self.key.tenant, self.slot, node)
    }

    fn former_owner(&self) -> Option<NodeId> {
        let (tenant, placement) = (&self.key.tenant, &self.core.placement);
        let owner = self.core.formers.owner(placement, tenant, self.slot);
        owner.cloned().or_else(|| placement.former_owner(tenant, self.slot))
    }

    fn incarnation(&self, node: &NodeId) -> Option<u64> {
        self.core.placement.incarnation(node)
    }

    fn is_new(&self) -> bool {
        self.core.new
    }

    fn away(&self) -> bool {
        self.core.away
    }

    fn live(&mut self, body: LiveBody) {
        self.send_live(body);
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId {
        self.ask_node(to, ask, within)
    }

    fn answer(&mut self, to: Asker, answer: Answer) {
        to.reply(answer);
    }

    fn outcome(&mut self, mut to: Publisher, outcome: Outcome) {
        let room = &self.key.room;
        for (index, Waits { id, .. }) in std::mem::take(&mut to.waits).iter().enumerate() {
            let ok = |one| answers::ok(*id, room.clone(), Some(answers::published(one)));
            let frame = match &outcome {
                Outcome::Published(all) => all.get(index).and_then(ok),
                Outcome::Limited { published, retry } => match published.get(index) {
                    Some(one) => ok(one),
                    None => {
                        self.core.metrics.refused_frames.inc();
                        to.conn.count_refusal();
                        Some(No::too_much(&TooMuch::in_room(*retry)).err(*id, Some(room.clone())))
                    }
                },
                Outcome::Local => answers::ok(*id, room.clone(), Some(answers::passed(true))),
                Outcome::Unavailable { retry } => Some(No::unavailable(*retry).err(*id, Some(room.clone()))),
                Outcome::Unknown => Some(
                    No::for_now(
                        ringway_protocol::Code::OutcomeUnknown,
                        "no answer in time: it may have been published; repeat it with the same `mid`",
                        REPEAT_AFTER,
                    )
                    .err(*id, Some(room.clone())),
                ),
            };
            if let Some(frame) = frame {
                self.core.push(&to.conn, &finished(to.conn.format, &frame));
            }
        }
        self.core.done.push_back((to.conn.id.clone(), self.key.clone()));
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        let wake = Wake::Room { room: self.key.clone(), timer };
        self.core.timers.add(tokio::time::Instant::now() + after, wake);
    }

    fn deliver<'a>(
        &mut self,
        entry: &Entry,
        epoch: Option<Epoch>,
        to: impl Iterator<Item = &'a ConnRef> + Clone,
    ) {
        let (frame, label) = self.numbered(entry, epoch);
        let publication = &entry.publication;
        let number = epoch.map(|epoch| (epoch, entry.offset));
        let casting = Casting { publication, number, late: false, ts: publication.ts };
        self.cast(&casting, &frame, label, to);
    }

    fn replay(&mut self, to: &ConnRef, entry: &Entry, epoch: Epoch) {
        let (frame, label) = self.numbered(entry, Some(epoch));
        let at = self.stands(to, Some(Place { epoch, offset: entry.offset, ts: Some(entry.publication.ts) }));
        self.core.push_at(to, &labelled(finished(to.format, &frame), label.as_ref()), at);
        self.core.metrics.replayed.inc();
    }

    fn gap(&mut self, to: &ConnRef, gap: Gap) {
        let Gap { reason, place, lost } = gap;
        let reason = match reason {
            // Nobody could say at first where it is.
            GapReason::Backplane if self.has_moved(to) => ringway_protocol::frame::GapReason::Epoch,
            GapReason::Backplane => ringway_protocol::frame::GapReason::Backplane,
            GapReason::Epoch => ringway_protocol::frame::GapReason::Epoch,
        };
        self.tell_gap(to, reason, place, lost);
    }

    fn joined(&mut self, to: &ConnRef, joined: Joined) {
        self.tell_joined(to, joined.place, |rights| answers::join_result(&joined, rights));
    }
}
