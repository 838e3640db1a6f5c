//! What connections want of rooms.

use std::sync::Arc;
use std::time::Duration;

use ringway_auth::{Grants, Right};
use ringway_protocol::Code;
use ringway_protocol::frame::Position;
use tokio::time::Instant;

use super::answers::{self, No};
use super::around::{Publisher, Waits};
use super::command::Join;
use super::core::Wake;
use super::guests::{Entry, JoinAnswer, Membership};
use super::rooms::Waiting;
use super::{Op, RoomKey, Shard};
use crate::conn::ConnRef;
use crate::encode::finished;

/// Bytes that may wait for a connection when a join is done: with the most that a room replays (512 KiB) they stay
/// below the bound of its queue.
const JOIN_BEHIND: usize = 256 * 1024;

/// How long a join of a connection that is behind waits before it is looked at again.
const JOIN_AGAIN: Duration = Duration::from_millis(20);

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
        self.core.metrics.published.inc_by(publications.len() as u64);
        let publisher = Publisher { conn: conn.clone(), waits };
        self.with_room(room, |machine, around| machine.enter(around, publisher, publications));
    }

    fn join(&mut self, conn: &ConnRef, room: &RoomKey, join: Join) {
        if self.core.guests.is_gone(&conn.id) {
            return self.finish(conn, room);
        }
        let Join { id, since, last, by_server, span } = join;
        let standing = self.core.guests.get_mut(&conn.id).and_then(|g| g.rooms.get_mut(room));
        if let Some(membership) = standing {
            if by_server {
                return self.finish(conn, room);
            }
            if !membership.by_server {
                let no = No::new(Code::AlreadyJoined, "this connection is in that room already");
                self.refuse(conn, room, id, &no);
                return self.finish(conn, room);
            }
            // The client's own join of a room that the server put it in: answered like any, from the beginning.
            *membership = Membership { by_server, answer: Some(JoinAnswer { id, by_server, _span: span }) };
            let member = conn.clone();
            return self.with_room(room, |machine, around| machine.join(around, member, since, last));
        }
        if let Err(no) = self.admit(conn, room) {
            if by_server {
                self.core.push(conn, &finished(conn.format, &no.left(room.room.clone())));
            } else {
                self.refuse(conn, room, id, &no);
            }
            return self.finish(conn, room);
        }
        if let Some(guest) = self.core.guests.get_mut(&conn.id) {
            let answer = Some(JoinAnswer { id, by_server, _span: span });
            guest.rooms.insert(room.clone(), Membership { by_server, answer });
        }
        let Some(hosted) = self.rooms.get_mut(room) else { return };
        if hosted.listening.is_yes() {
            self.enter_room(conn, room, since, last);
        } else {
            hosted.waiting.push(Waiting { conn: conn.clone(), since, last });
            self.listen(room);
        }
    }

    /// Makes sure that there is the room, and takes a place in it.
    fn admit(&mut self, conn: &ConnRef, room: &RoomKey) -> Result<(), No> {
        // Another token may have come while the join waited behind others.
        if !conn.grants.read().allows(Right::Join, &room.room, conn.user.as_ref()) {
            return Err(No::new(Code::Forbidden, "the new token doesn't allow this room"));
        }
        if !self.host(room) {
            return Err(No::new(Code::UnknownTenant, "there is no such tenant any more"));
        }
        if !conn.take_room() {
            return Err(No::new(Code::LimitRooms, "this connection is in as many rooms as it may be"));
        }
        Ok(())
    }

    /// Makes a connection a member. A connection that is behind waits: what a join replays must find room in its
    /// queue, whose bound would end it.
    pub(super) fn enter_room(
        &mut self,
        conn: &ConnRef,
        room: &RoomKey,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        if conn.outbound.queued_bytes() > JOIN_BEHIND {
            let wake = Wake::Join { conn: conn.clone(), room: room.clone(), since, last };
            return self.core.timers.add(Instant::now() + JOIN_AGAIN, wake);
        }
        let member = conn.clone();
        let mut before = 0;
        self.with_room(room, |machine, around| {
            before = machine.members();
            machine.join(around, member, since, last);
        });
        // A connection that was made to leave while it waited, and joined again, may come here twice.
        if self.rooms.get(room).is_some_and(|hosted| hosted.machine.members() > before) {
            self.core.metrics.members.inc();
            self.core.metrics.rooms.inc_by(i64::from(before == 0));
        }
        self.core.tallies.changed(room.clone());
    }

    pub(super) fn leave(&mut self, conn: &ConnRef, room: &RoomKey, id: Option<u64>) {
        let is_member = self.core.guests.get_mut(&conn.id).is_some_and(|g| g.rooms.contains_key(room));
        if is_member {
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

    /// Takes a connection out of a room that it is in. What it was there.
    pub(super) fn drop_member(&mut self, conn: &ConnRef, room: &RoomKey) -> Option<Membership> {
        let was = self.core.guests.get_mut(&conn.id).and_then(|guest| guest.rooms.remove(room));
        self.leave_room(conn, room);
        was
    }

    pub(super) fn leave_room(&mut self, conn: &ConnRef, room: &RoomKey) {
        conn.give_room_back();
        let Some(hosted) = self.rooms.get_mut(room) else { return };
        let before = hosted.waiting.len();
        hosted.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.conn, conn));
        if hosted.waiting.len() < before {
            return;
        }
        let mut was_member = false;
        self.with_room(room, |machine, around| was_member = machine.leave(around, &conn.id));
        if !was_member {
            return;
        }
        self.core.metrics.members.dec();
        if self.rooms.get(room).is_some_and(|h| h.machine.members() == 0) {
            self.core.metrics.rooms.dec();
            self.rooms.quiet(room);
        }
        self.core.tallies.changed(room.clone());
    }

    pub(super) fn gone(&mut self, conn: &ConnRef) {
        for (room, membership) in self.core.guests.gone(&conn.id) {
            self.leave_room(conn, &room);
            if membership.answer.is_some() {
                // Nobody answers this join any more: what waits behind it goes on, or its lane would stay for ever.
                self.finish(conn, &room);
            }
        }
    }

    pub(super) fn regranted(&mut self, conn: &ConnRef, grants: &Grants) {
        let Some(guest) = self.core.guests.get_mut(&conn.id) else { return };
        let lost: Vec<RoomKey> = guest
            .rooms
            .keys()
            .filter(|key| !grants.allows(Right::Join, &key.room, conn.user.as_ref()))
            .cloned()
            .collect();
        for room in lost {
            let Some(membership) = self.drop_member(conn, &room) else { continue };
            let no = No::new(Code::Forbidden, "the new token doesn't allow this room");
            let asked = membership.answer.as_ref().filter(|answer| !answer.by_server);
            if let Some(answer) = asked {
                self.refuse(conn, &room, answer.id, &no);
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
        let frame = no.err(id, Some(room.room.clone()));
        self.core.push(conn, &finished(conn.format, &frame));
    }

    /// The request under way in this lane is over.
    pub(super) fn finish(&mut self, conn: &ConnRef, room: &RoomKey) {
        self.core.done.push_back((conn.id.clone(), room.clone()));
    }
}
