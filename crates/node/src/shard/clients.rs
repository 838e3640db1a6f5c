//! What connections want of rooms.

use std::sync::Arc;
use std::time::Duration;

use ringway_auth::{Grants, Right};
use ringway_backplane::message::Publication;
use ringway_edge::STALL_LIMIT;
use ringway_link::Exit;
use ringway_protocol::Code;
use ringway_protocol::frame::Position;
use ringway_ring::NodeId;
use tokio::time::Instant;

use super::answers::{self, No};
use super::around::{Publisher, Waits};
use super::command::{Join, Rejoin};
use super::core::Wake;
use super::guests::{Asked, Entry, JoinAnswer, Membership};
use super::rooms::{Hosted, Waiting};
use super::{Op, RoomKey, Shard, quotas, relayed};
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::relay::LastWord;
use crate::tenant::TooMuch;

/// Bytes that may wait for a connection when a join is done: with the most that a room replays (512 KiB) they stay
/// below the bound of its queue.
pub(super) const JOIN_BEHIND: usize = 256 * 1024;

/// How long a join of a connection that is behind waits before it is looked at again.
pub(super) const JOIN_AGAIN: Duration = Duration::from_millis(20);

/// How long it waits at most: as long as a socket may take nothing. A connection that takes something, but stays behind,
/// is one for which publications are left out: those that still wait then give way to what the join replays.
pub(super) const JOIN_PATIENCE: Duration = STALL_LIMIT;

/// When it is worth asking a full room again.
const SEAT_AGAIN: Duration = Duration::from_secs(5);

impl Shard {
    /// A request comes in: it is done at once, or waits behind others of its connection and room.
    pub(super) fn client(&mut self, conn: &ConnRef, room: &RoomKey, op: Op) {
        if matches!(&op, Op::Join(join) if join.by_server) {
            self.core.take_over_flush(conn);
        }
        match self.core.guests.enter(conn, room, op) {
            Entry::Now(op) => self.start(conn, room, vec![op]),
            Entry::Waits => {}
            Entry::Full(op) => {
                let no = No::for_now(
                    Code::LimitRate,
                    "too many requests about this room wait to be done",
                    Duration::from_secs(1),
                );
                self.refuse(conn, room, op.id(), &no);
            }
        }
    }

    pub(super) fn start(&mut self, conn: &ConnRef, room: &RoomKey, ops: Vec<Op>) {
        let mut ops = ops.into_iter();
        match ops.next() {
            None => {}
            Some(first @ Op::Publish { .. }) => self.publish(conn, room, std::iter::once(first).chain(ops)),
            Some(Op::Join(join)) => self.join(conn, room, join),
            Some(Op::Leave { id }) => self.leave(conn, room, id),
            Some(Op::Members { id }) => self.members(conn, room, id),
            Some(Op::History { id, page }) => self.history(conn, room, id, page),
            Some(Op::Rejoin(again)) => self.rejoin(conn, room, again),
            Some(Op::Move) => self.move_away(conn, room),
        }
    }

    pub(super) fn publish(&mut self, conn: &ConnRef, room: &RoomKey, ops: impl Iterator<Item = Op>) {
        let (mut waits, mut publications) = (Vec::new(), Vec::new());
        for op in ops {
            if let Op::Publish { id, publication, span } = op {
                waits.push(Waits { id, _span: span });
                publications.push(*publication);
            }
        }
        let over = self.let_through(room, None, &mut publications);
        let refused = waits.split_off(publications.len());
        self.core.metrics.published.inc_by(publications.len() as u64);
        if publications.is_empty() {
            self.finish(conn, room);
        } else {
            let publisher = Publisher::new(conn.clone(), waits, self.core.unanswered.clone());
            self.with_room(room, |machine, around| machine.enter(around, publisher, publications));
        }
        if let Some(over) = over {
            let no = No::too_much(&over);
            for Waits { id, .. } in refused {
                self.refuse(conn, room, id, &no);
            }
        }
    }

    /// Where this node owns the room, leaves those that its limits let through, which are the first; why the next isn't.
    /// `from`: who asks, if it isn't one of this node's connections.
    pub(super) fn let_through(
        &mut self,
        room: &RoomKey,
        from: Option<&NodeId>,
        publications: &mut Vec<Publication>,
    ) -> Option<TooMuch> {
        if from.is_none() && !self.core.tenants.limits_rooms() {
            return None;
        }
        self.host(room);
        let hosted =
            self.rooms.get(room).filter(|hosted| self.core.placement.is_mine(&room.tenant, hosted.slot))?;
        // Nodes have held them against the tenant's limits where they entered; a gateway, which is in no view, hasn't.
        let outside = from.filter(|from| self.core.placement.view.node(from).is_none());
        let outside = outside.and_then(|_| self.core.here.get(&room.tenant));
        quotas::let_through(hosted.quotas.as_deref(), outside.as_deref(), publications)
    }

    fn join(&mut self, conn: &ConnRef, room: &RoomKey, join: Join) {
        if self.core.guests.is_gone(&conn.id) {
            return self.finish(conn, room);
        }
        let Join { id, since, last, by_server, span } = join;
        let to = if by_server { Asked::ByServer } else { Asked::ByClient { id } };
        let answer = Some(JoinAnswer { to, _span: span });
        if let Some(membership) = self.core.guests.standing(&conn.id, room) {
            if by_server {
                return self.finish(conn, room);
            }
            if !membership.by_server {
                let no = No::new(Code::AlreadyJoined, "this connection is in that room already");
                self.refuse(conn, room, id, &no);
                return self.finish(conn, room);
            }
            // The client's own join of a room that the server put it in: answered like any, from the beginning.
            *membership = Membership { by_server, moved: false, answer };
            let member = conn.clone();
            return self.with_room(room, |machine, around| machine.join(around, member, since, last));
        }
        if let Err(no) = self.admit(conn, room, false) {
            self.exit(conn, room, Exit::Left);
            if by_server {
                self.core.push(conn, &finished(conn.format, &no.left(room.room.clone())));
            } else {
                self.refuse(conn, room, id, &no);
            }
            return self.finish(conn, room);
        }
        self.core.guests.seat(&conn.id, room, Membership { by_server, moved: false, answer });
        self.count_socket(conn, room, true);
        self.enter_listened_room(conn, room, since, last, Instant::now() + JOIN_PATIENCE);
    }

    /// Makes a connection a member once the room is listened to. `until`: see
    /// [`enter_room_by`](Self::enter_room_by).
    pub(super) fn enter_listened_room(
        &mut self,
        conn: &ConnRef,
        room: &RoomKey,
        since: Option<Position>,
        last: Option<u32>,
        until: Instant,
    ) {
        // Where nobody else was in it, it may have been forgotten while the join waited.
        self.host(room);
        self.listen(room);
        let Some(hosted) = self.rooms.get_mut(room) else { return };
        if hosted.listening.is_yes() {
            self.enter_room_by(conn, room, since, last, until);
        } else {
            hosted.waiting.push(Waiting { conn: conn.clone(), since, last });
        }
    }

    /// Makes sure that there is the room, and takes a place in it. `again`: it had one elsewhere.
    fn admit(&mut self, conn: &ConnRef, room: &RoomKey, again: bool) -> Result<(), No> {
        // Another token may have come while the join waited behind others.
        if !conn.grants.lock().allows(Right::Join, &room.room, conn.user.as_ref()) {
            return Err(No::new(Code::Forbidden, "the new token doesn't allow this room"));
        }
        if !self.host(room) {
            return Err(No::new(Code::UnknownTenant, "there is no such tenant any more"));
        }
        if let Some(no) = self.no_store(room) {
            return Err(no);
        }
        if again {
            conn.take_room_again();
            return Ok(());
        }
        if let Some(no) = self.no_seat(room) {
            return Err(no);
        }
        if !conn.take_room() {
            return Err(No::new(Code::LimitRooms, "this connection is in as many rooms as it may be"));
        }
        Ok(())
    }

    /// Whether the room is durable, and there is nothing that could keep it.
    fn no_store(&self, room: &RoomKey) -> Option<No> {
        let durable = self.rooms.get(room).is_some_and(|hosted| hosted.machine.is_durable());
        let no = || No::new(Code::Unavailable, "the room is durable, and there is no NATS here to keep it");
        (durable && self.core.keeping.is_none()).then(no)
    }

    /// Whether the room has as many members as it may, as far as this node knows: its owner hears of those elsewhere.
    fn no_seat(&self, room: &RoomKey) -> Option<No> {
        let hosted = self.rooms.get(room)?;
        let limit = hosted.quotas.as_ref()?.members()?;
        let here = (hosted.machine.members() + hosted.waiting.len()) as u64;
        if here + self.core.tallies.elsewhere(room) < limit {
            return None;
        }
        let no = No::new(Code::LimitConnections, "the room has as many members as it may");
        // Somebody may leave, where anybody may come.
        Some(No { retry: (limit > 0).then_some(SEAT_AGAIN), ..no })
    }

    /// Makes a connection a member. A connection that is behind waits: what a join replays must find room in its
    /// queue, whose bound would end it, unless what is replayed may be left out.
    pub(super) fn enter_room(
        &mut self,
        conn: &ConnRef,
        room: &RoomKey,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        self.enter_room_by(conn, room, since, last, Instant::now() + JOIN_PATIENCE);
    }

    /// See [`enter_room`](Self::enter_room). `until`: when it is made a member however much waits for it.
    fn enter_room_by(
        &mut self,
        conn: &ConnRef,
        room: &RoomKey,
        since: Option<Position>,
        last: Option<u32>,
        until: Instant,
    ) {
        // A durable room sends what was missed as fast as the connection takes it.
        let paced = |hosted: &Hosted| hosted.leaves_out() || hosted.machine.is_durable();
        if !self.rooms.get(room).is_some_and(paced)
            && conn.way.waits_beyond(JOIN_BEHIND)
            && Instant::now() < until
        {
            let wake = Wake::Join { conn: conn.clone(), room: room.clone(), since, last, until };
            return self.core.timers.add(Instant::now() + JOIN_AGAIN, wake);
        }
        let member = conn.clone();
        // A connection that was made to leave while it waited, and joined again, may come here twice.
        self.with_room(room, |machine, around| machine.join(around, member, since, last));
    }

    pub(super) fn leave(&mut self, conn: &ConnRef, room: &RoomKey, id: Option<u64>) {
        if self.core.guests.member(&conn.id, room).is_some() {
            self.drop_member(conn, room);
            if let Some(frame) = answers::ok(id, room.room.clone(), None) {
                self.core.push(conn, &finished(conn.format, &frame));
            }
        } else {
            let no = No::new(Code::NotJoined, "this connection isn't in that room");
            self.refuse(conn, room, id, &no);
        }
        self.finish(conn, room);
    }

    /// A membership of another node, or of an earlier link, goes on here.
    fn rejoin(&mut self, conn: &ConnRef, room: &RoomKey, again: Rejoin) {
        if self.core.guests.is_gone(&conn.id) || self.core.guests.is_in(conn, room) {
            return self.finish(conn, room);
        }
        let Rejoin { by_server, since } = again;
        if let Err(no) = self.admit(conn, room, true) {
            self.exit(conn, room, Exit::Left);
            self.core.push(conn, &finished(conn.format, &no.left(room.room.clone())));
            return self.finish(conn, room);
        }
        let to = Asked::Again { since: since.clone().map(Box::new) };
        let answer = Some(JoinAnswer { to, _span: None });
        self.core.guests.seat(&conn.id, room, Membership { by_server, moved: false, answer });
        self.enter_listened_room(conn, room, since, None, Instant::now() + JOIN_PATIENCE);
    }

    /// Ends a membership that goes on elsewhere, without a word to the client.
    fn move_away(&mut self, conn: &ConnRef, room: &RoomKey) {
        if self.core.guests.is_in(conn, room) {
            self.drop_member_as(conn, room, Exit::Moved);
        } else {
            self.exit(conn, room, Exit::Moved);
        }
        self.finish(conn, room);
    }

    /// Takes a connection out of a room that it is in. What it was there.
    pub(super) fn drop_member(&mut self, conn: &ConnRef, room: &RoomKey) -> Option<Membership> {
        self.drop_member_as(conn, room, Exit::Left)
    }

    /// See [`drop_member`](Self::drop_member). `why`: what its link is told, if it is behind one.
    pub(super) fn drop_member_as(&mut self, conn: &ConnRef, room: &RoomKey, why: Exit) -> Option<Membership> {
        let was = self.core.guests.unseat(&conn.id, room);
        self.leave_room(conn, room, why);
        was
    }

    /// Tells a connection's link that it gets nothing of a room from here on.
    pub(super) fn exit(&mut self, conn: &ConnRef, room: &RoomKey, why: Exit) {
        let relayed = self.rooms.get_mut(room).map(|hosted| &mut hosted.relayed);
        relayed::exit(&mut self.core, relayed.unwrap_or(&mut None), room, conn, why);
    }

    /// A connection has become a member of a room, or is none any more.
    fn count_socket(&mut self, conn: &ConnRef, room: &RoomKey, came: bool) {
        if conn.way.linked().is_none()
            && let Some(hosted) = self.rooms.get_mut(room)
        {
            hosted.sockets = if came { hosted.sockets + 1 } else { hosted.sockets - 1 };
        }
    }

    fn leave_room(&mut self, conn: &ConnRef, room: &RoomKey, why: Exit) {
        conn.give_room_back();
        self.exit(conn, room, why);
        self.count_socket(conn, room, false);
        let Some(hosted) = self.rooms.get_mut(room) else { return };
        let before = hosted.waiting.len();
        hosted.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.conn, conn));
        if hosted.waiting.len() < before {
            return;
        }
        self.in_room(room, |machine, around| {
            machine.leave(around, &conn.id);
        });
    }

    pub(super) fn gone(&mut self, conn: &ConnRef, last_word: Option<Arc<LastWord>>) {
        for (room, membership) in self.core.guests.gone(conn, last_word) {
            self.leave_room(conn, &room, Exit::Left);
            if membership.answer.is_some() {
                // Nobody answers this join any more: what waits behind it goes on, or its lane would stay for ever.
                self.finish(conn, &room);
            }
        }
    }

    pub(super) fn regranted(&mut self, conn: &ConnRef, grants: &Grants) {
        let rooms = self.core.guests.rooms_of(conn);
        let lost = rooms.filter(|key| !grants.allows(Right::Join, &key.room, conn.user.as_ref()));
        let lost: Vec<RoomKey> = lost.cloned().collect();
        for room in lost {
            let Some(membership) = self.drop_member(conn, &room) else { continue };
            let no = No::new(Code::Forbidden, "the new token doesn't allow this room");
            let asked = membership.answer.as_ref().and_then(JoinAnswer::by_client);
            if let Some(id) = asked {
                self.refuse(conn, &room, id, &no);
            }
            // A member, or about to be one by the server's doing.
            if asked.is_none() || membership.by_server {
                self.core.push(conn, &finished(conn.format, &no.left(room.room.clone())));
            }
            if membership.answer.is_some() {
                self.finish(conn, &room);
            }
        }
        self.core.guests.tidy(&conn.id);
    }

    pub(super) fn refuse(&mut self, conn: &ConnRef, room: &RoomKey, id: Option<u64>, no: &No) {
        self.core.metrics.refused_frames.inc();
        conn.count_refusal();
        let frame = no.err(id, Some(room.room.clone()));
        self.core.push(conn, &finished(conn.format, &frame));
    }

    /// The request under way in this lane is over.
    pub(super) fn finish(&mut self, conn: &ConnRef, room: &RoomKey) {
        self.core.done.push_back((conn.id.clone(), room.clone()));
    }
}
