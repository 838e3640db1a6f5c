//! What a node's record means.

use ringway_link::{At, ConnNo, Down, Exit, RoomNo, Up};
use ringway_protocol::close::CloseCode;
use ringway_protocol::name::RoomName;

use super::around::{Around, For, Lost, NodeNo, NotOpened};
use super::ask::Kind;
use super::asked::{end_auth, settle_joins, settle_refused};
use super::broken::Broken;
use super::client::{Client, Phase, Standing, Untold};
use super::seat::{Mark, Seat, position};
use super::{Rule, Table};

/// Whose record it is, and about whom.
#[derive(Clone, Copy)]
struct Of {
    node: NodeNo,
    conn: ConnNo,
}

/// What `Enter` says.
struct Entering<'a> {
    room: RoomNo,
    at: Option<&'a At>,
    by_server: bool,
}

impl<R> Table<R> {
    /// A record from a node.
    ///
    /// # Errors
    /// The node broke the rules: cut the link, and call [`link_lost`](Self::link_lost).
    pub(crate) fn heard<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        record: &Down<'_>,
    ) -> Result<(), Broken> {
        let conn = match record {
            Down::Room(declared) => return self.declared(around, node, declared),
            Down::Cast(cast) => return self.cast(around, node, cast),
            Down::Lost { room, offset, ts, frames } => {
                return self.lost(around, node, *room, Lost { offset: *offset, ts: *ts, frames: *frames });
            }
            Down::Leaving => {
                around.leaving(node);
                return Ok(());
            }
            Down::Pong { number } => {
                around.pong(node, *number);
                return Ok(());
            }
            Down::Opened { conn, .. }
            | Down::Refused { conn, .. }
            | Down::Send { conn, .. }
            | Down::Enter { conn, .. }
            | Down::Exit { conn, .. }
            | Down::Credit { conn, .. }
            | Down::Renewed { conn, .. }
            | Down::Close { conn, .. }
            | Down::CloseLater { conn, .. }
            | Down::Ended { conn } => *conn,
        };
        let mut client = self.clients.take(conn).ok_or(Broken::UnknownConnection)?;
        let heard = self.heard_of(around, Of { node, conn }, &mut client, record);
        if client.queued {
            self.place(around, conn, &mut client);
            self.look_at(around, conn, &mut client);
        }
        self.settle(around, conn, client);
        heard
    }

    fn heard_of<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        of: Of,
        client: &mut Client,
        record: &Down<'_>,
    ) -> Result<(), Broken> {
        let Of { node, conn } = of;
        let place = client.place(node).ok_or(Broken::UnknownConnection)?;
        match record {
            Down::Ended { .. } => return self.ended(node, conn, client),
            Down::Refused { code, detail, retry, .. } => {
                let (code, detail, retry) = (code.clone(), detail.clone().into_owned(), *retry);
                return self.refused(around, node, conn, client, NotOpened::Refused { code, detail, retry });
            }
            // What crosses the word that nothing of it is wanted any more.
            _ if place.standing == Standing::Closing => {
                return if self.keeps(Rule::Closing) { Ok(()) } else { Err(Broken::UnknownConnection) };
            }
            Down::Opened { .. } => return self.opened(around, node, conn, client),
            Down::Send { at, frame, .. } => return self.sent(around, of, client, at.as_ref(), frame),
            Down::Enter { room, at, by_server, .. } => {
                let entering = Entering { room: *room, at: at.as_ref(), by_server: *by_server };
                return self.entered(around, of, client, entering);
            }
            Down::Exit { room, why, .. } => self.exited(around, of, client, room, *why),
            Down::Credit { bytes, .. } => {
                place.in_flight = place.in_flight.saturating_sub(*bytes);
                if place.in_flight == 0 {
                    end_auth(client, |auth| auth.node == node && auth.id.is_none());
                    Self::leave_former(around, conn, client);
                }
            }
            Down::Renewed { ticket, .. } => {
                if !around.renewed(conn, ticket) {
                    // It comes back with its token. Its old rights aren't left standing at some nodes, and a ticket that nobody can read
                    // would end their links.
                    around.close(conn, CloseCode::RESTART.0, "restart");
                    return Ok(());
                }
                for place in client.places.iter().filter(|place| place.node != node) {
                    if place.standing != Standing::Closing && self.keeps(Rule::Renew) {
                        around.up(place.node, &Up::Renew { conn, ticket });
                    }
                }
                end_auth(client, |auth| auth.node == node);
                Self::leave_former(around, conn, client);
            }
            Down::Close { code, reason, .. } => {
                // Nothing more is said of it: its rooms are left without an `Exit`.
                if let Some(place) = client.place(node) {
                    place.closed = true;
                }
                self.take_out_at(client, node);
                around.close(conn, *code, reason);
            }
            Down::CloseLater { after, code, reason, .. } => around.close_later(conn, *after, *code, reason),
            _ => {}
        }
        Ok(())
    }

    fn sent<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        of: Of,
        client: &mut Client,
        at: Option<&At>,
        frame: &[u8],
    ) -> Result<(), Broken> {
        let Of { node, conn } = of;
        if client.phase == Phase::Begun && client.home == node {
            client.phase = Phase::Live;
        }
        if let Some(more) = client.any_more_mut()
            && let Some(told) = more.untold.iter().position(|untold| untold.node == node)
        {
            more.untold.remove(told);
        }
        let mut seat_at = None;
        if let Some(At { room, offset, ts }) = at {
            let declared = self.nodes.get(usize::from(node.0)).and_then(|node| node.room(room.0));
            let declared = declared.ok_or(Broken::UndeclaredRoom)?;
            let epoch = declared.said.epoch.as_ref().ok_or(Broken::NoEpoch)?;
            let at = position(epoch, *offset, *ts);
            let seat = client.seat(declared.room).filter(|seat| client.seats[*seat].node == node);
            if let Some(seat) = seat {
                if client.seats[seat].is(Mark::ServerAsked) {
                    // That is its `joined`.
                    client.seats[seat].set(Mark::ServerAsked, false);
                    client.seats[seat].set(Mark::Member, true);
                    client.seats[seat].set(Mark::ByServer, true);
                }
                self.stand_at(client, seat, at);
                seat_at = Some(client.seats[seat].room);
            }
        }
        if client.asked().any(|asked| asked.node == node)
            && let Some(answered) = around.answered(frame)
            && let Some(id) = answered.id
        {
            self.answered(client, node, (id, answered.ok), seat_at);
            Self::leave_former(around, conn, client);
        }
        if let Some(place) = client.place(node) {
            place.owed = place.owed.saturating_add(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        }
        around.send(conn, frame, client.owed());
        Ok(())
    }

    fn entered<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        of: Of,
        client: &mut Client,
        entering: Entering<'_>,
    ) -> Result<(), Broken> {
        let (Of { node, conn }, Entering { room: number, at, by_server }) = (of, entering);
        let declared = self.nodes.get(usize::from(node.0)).and_then(|node| node.room(number.0));
        let declared = declared.ok_or(Broken::UndeclaredRoom)?;
        if declared.tenant != client.tenant {
            return Err(Broken::OtherTenant);
        }
        if client.place(node).is_some_and(|place| place.closed) {
            return Ok(());
        }
        let name = declared.room;
        let at = match (at, &declared.said.epoch) {
            (None, _) => None,
            (Some(at), _) if at.room != number => return Err(Broken::UndeclaredRoom),
            (Some(_), None) => return Err(Broken::NoEpoch),
            (Some(at), Some(epoch)) => Some(position(epoch, at.offset, at.ts)),
        };
        let seat = match client.seat(name) {
            Some(seat) => seat,
            // The server joined it, or it asked so long ago that nothing is remembered.
            None => {
                self.rooms.hold_again(name);
                client.add_seat(Seat::new(name, node))
            }
        };
        if client.seats[seat].node != node {
            // The client is in that room already, elsewhere.
            let room = self.rooms.get(name).clone();
            around.up(node, &Up::Move { conn, room });
            return Ok(());
        }
        let marks = &client.seats[seat];
        let again = marks.is(Mark::Again);
        if marks.is(Mark::Entered) {
            if !again && !marks.is(Mark::ByServer) {
                return Err(Broken::EnteredTwice);
            }
            self.take_out(client, seat);
        }
        if self.node(node).number_of(client.tenant, name).is_some_and(|other| other != number.0) {
            return Err(Broken::TwoNumbers);
        }
        let fresh = !client.seats[seat].is(Mark::Member);
        for (mark, so) in [
            (Mark::Member, true),
            (Mark::ByServer, by_server),
            (Mark::ServerAsked, false),
            (Mark::Again, false),
        ] {
            client.seats[seat].set(mark, so);
        }
        if !by_server {
            let since = settle_joins(client, name, node);
            if fresh && at.is_none() {
                client.own.set(name, since);
            }
        }
        if let Some(at) = at {
            client.own.set(name, Some(at));
        }
        self.put_in(conn, client, seat, number.0);
        if !client.seats[seat].is(Mark::Moving) && self.keeps(Rule::Strays) {
            // The server joins all where the client is at home, and views have changed since others were asked for.
            let name = self.rooms.get(name).clone();
            if around.node_for(conn, For::Room(&name), &client.not()).is_some_and(|home| home != node) {
                self.move_seat(around, conn, client, seat);
            }
        }
        Ok(())
    }

    fn exited<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        of: Of,
        client: &mut Client,
        room: &RoomName,
        why: Exit,
    ) {
        let Of { node, conn } = of;
        let Some(name) = self.rooms.find(room) else { return };
        let Some(seat) = client.seat(name).filter(|seat| client.seats[*seat].node == node) else { return };
        match why {
            Exit::Left => {
                // What is refused may have been the server's join.
                let was_member =
                    client.seats[seat].is(Mark::Member) || client.seats[seat].is(Mark::ServerAsked);
                if self.keeps(Rule::Exit) {
                    self.take_out(client, seat);
                    client.end_membership(seat);
                }
                client.seats[seat].age = 0;
                let leaving = client.asked().any(|asked| asked.room == name && asked.kind == Kind::Leave);
                if was_member && !leaving && self.keeps(Rule::Untold) {
                    client.more().untold.push(Untold { room: room.clone(), node, age: 0 });
                }
                settle_refused(client, name, node, was_member);
                self.watch(conn, client);
            }
            Exit::Moved if client.seats[seat].is(Mark::Moving) => {
                self.take_out(client, seat);
                client.seats[seat].uproot();
                self.place(around, conn, client);
            }
            Exit::Moved => {}
        }
        Self::leave_former(around, conn, client);
    }

    /// Of what was sent to the client alone no more than so many bytes wait for its socket: what is owed beyond that is given
    /// back to its nodes.
    pub(crate) fn credit<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, waiting: usize) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let mut done = client.owed().saturating_sub(u32::try_from(waiting).unwrap_or(u32::MAX));
        for place in &mut client.places {
            let bytes = place.owed.min(done);
            if bytes > 0 && place.standing != Standing::Closing {
                around.up(place.node, &Up::Credit { conn, bytes });
            }
            place.owed -= bytes;
            done -= bytes;
        }
    }
}
