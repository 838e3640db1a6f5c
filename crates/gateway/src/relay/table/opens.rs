//! Numbers, openings, beginnings and ends.

use ringway_link::{ConnNo, OpenAs, Up};
use ringway_names::NameNo;
use ringway_protocol::Code;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{RoomName, TenantId};

use super::around::{Around, NodeNo, NotOpened};
use super::broken::Broken;
use super::client::{Client, NOWHERE, Phase, Place, Standing};
use super::lost::Loss;
use super::seat::{Mark, Seat};
use super::{Rule, Table};

impl<R> Table<R> {
    /// Gives a client a number, which is its own at least until [`gone`](Self::gone). `home`: the room of its upgrade, which
    /// is meant where a frame names none.
    pub(crate) fn add(&mut self, tenant: &TenantId, home: Option<&RoomName>) -> ConnNo {
        let tenant = self.tenants.hold(tenant);
        let home = home.map_or(NameNo::NONE, |home| self.rooms.hold(home));
        self.clients.add(Client::new(tenant, home))
    }

    /// Opens a client that hasn't begun at this node, as its home; if it was open, or being opened, at another, it is closed
    /// there. What comes of it is told by `Around::opened`, once. Time-outs are the caller's: open it at another, or say that
    /// it is gone.
    pub(crate) fn open<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, node: NodeNo) {
        let Some(mut client) = self.clients.take(conn) else { return };
        if client.phase > Phase::Opened {
            self.clients.put(conn, client);
            return;
        }
        client.phase = Phase::Opening;
        for place in &mut client.places {
            close(around, conn, place);
        }
        client.home = NOWHERE;
        if client.place(node).is_some() {
            // It is still being closed there.
            let code = Code::Unavailable;
            let detail = String::from("the node hasn't forgotten the connection yet");
            around.opened(conn, Err(NotOpened::Refused { code, detail, retry: None }));
        } else {
            self.open_at(around, conn, &mut client, node, OpenAs::Home);
            client.home = node;
        }
        self.clients.put(conn, client);
    }

    /// Opens a client at a node that it has no place at.
    pub(super) fn open_at<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        node: NodeNo,
        role: OpenAs,
    ) {
        around.open(node, conn, role);
        self.node(node).places += 1;
        if client.places.len() == client.places.capacity() {
            client.places.reserve_exact(1);
        }
        client.places.push(Place {
            node,
            standing: Standing::Opening,
            as_home: role != OpenAs::Further,
            former: false,
            closed: false,
            idle: 0,
            in_flight: 0,
            owed: 0,
        });
        if client.places.len() > 1 {
            self.watch(conn, client);
        }
    }

    pub(super) fn watch(&mut self, conn: ConnNo, client: &mut Client) {
        if !client.watched {
            client.watched = true;
            self.watched.push(conn);
        }
    }

    /// The client that was opened is there, its socket attached. `joins`: the rooms that the server joins, its home room first;
    /// `since`: where the client was in its home room. From here on nothing that happens to nodes needs the caller.
    pub(crate) fn begin<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        joins: impl IntoIterator<Item = RoomName>,
        since: Option<Position>,
    ) {
        let Some(mut client) = self.clients.take(conn) else { return };
        if client.phase != Phase::Opened {
            self.clients.put(conn, client);
            return;
        }
        client.phase = Phase::Begun;
        for room in joins {
            self.add_server_seat(&mut client, &room);
        }
        if client.seat(client.home_room).is_some() {
            client.own.set(client.home_room, since);
        }
        if client.home == NOWHERE {
            // Its link was lost meanwhile, and that was seen to already.
            self.place(around, conn, &mut client);
        } else {
            around.up(client.home, &Up::Begin { conn });
        }
        self.settle(around, conn, client);
    }

    fn add_server_seat(&mut self, client: &mut Client, room: &RoomName) {
        let name = self.rooms.hold(room);
        if client.seat(name).is_some() {
            self.rooms.release(name);
            return;
        }
        let mut seat = Seat::new(name, client.home);
        seat.set(Mark::ServerAsked, true);
        client.add_seat(seat);
    }

    /// The client is gone, or its opening was given up. It is never named to `Around` again; the number is given again once
    /// all nodes have forgotten it.
    pub(crate) fn gone<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo) {
        let Some(mut client) = self.clients.take(conn) else { return };
        client.phase = Phase::Gone;
        client.home = NOWHERE;
        client.forget_more();
        while let Some(last) = client.seats.len().checked_sub(1) {
            self.remove_seat(&mut client, last);
        }
        for place in &mut client.places {
            close(around, conn, place);
        }
        self.settle(around, conn, client);
    }

    /// A seat of whatever kind goes.
    pub(super) fn remove_seat(&mut self, client: &mut Client, seat: usize) {
        self.take_out(client, seat);
        let seat = client.remove_seat(seat);
        self.rooms.release(seat.room);
    }

    /// A node takes the client, or goes on holding it in another role.
    pub(super) fn opened<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        conn: ConnNo,
        client: &mut Client,
    ) -> Result<(), Broken> {
        let is_home = client.home == node;
        let place = client.place(node).ok_or(Broken::UnknownConnection)?;
        if place.standing != Standing::Opening {
            return Err(Broken::NotOpening);
        }
        place.standing = Standing::Open;
        if client.phase == Phase::Opening && is_home {
            client.phase = Phase::Opened;
            around.opened(conn, Ok(()));
        }
        self.mend_roles(around, conn, client);
        Ok(())
    }

    /// Tells nodes what they are to the client, where they think otherwise. Its new home first: until that has answered, the
    /// one before goes on as such, lest what is for its user finds it nowhere.
    pub(super) fn mend_roles<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
    ) {
        let home = client.home;
        let Some(place) = client.place(home) else { return };
        if place.standing != Standing::Open {
            return;
        }
        if !place.as_home {
            (place.as_home, place.standing) = (true, Standing::Opening);
            around.open(home, conn, OpenAs::HomeAgain);
            return;
        }
        for index in 0..client.places.len() {
            let place = &client.places[index];
            let (node, is_former) = (place.node, place.node != home && place.as_home);
            if !is_former || place.standing != Standing::Open {
                continue;
            }
            client.places[index].former = true;
            if !self.keeps(Rule::Former) {
                continue;
            }
            if is_used(client, node) {
                (client.places[index].as_home, client.places[index].standing) = (false, Standing::Opening);
                around.open(node, conn, OpenAs::Further);
            } else {
                close(around, conn, &mut client.places[index]);
            }
        }
    }

    /// Closes what was the client's home where nothing of it is any more.
    pub(super) fn leave_former<A: Around<Room = R>>(around: &mut A, conn: ConnNo, client: &mut Client) {
        for index in 0..client.places.len() {
            let place = &client.places[index];
            // What goes on as its home until another has taken over isn't former yet.
            if place.former && !place.as_home && client.home != place.node && !is_used(client, place.node) {
                close(around, conn, &mut client.places[index]);
            }
        }
    }

    /// A node doesn't take the client, or not in another role, and has forgotten it.
    pub(super) fn refused<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        conn: ConnNo,
        client: &mut Client,
        refused: NotOpened,
    ) -> Result<(), Broken> {
        let place = client.place(node).ok_or(Broken::UnknownConnection)?;
        match place.standing {
            Standing::Open => return Err(Broken::NotOpening),
            Standing::Closing => self.forget_place(conn, client, node),
            Standing::Opening => {
                if client.phase >= Phase::Begun {
                    let more = client.more();
                    more.refused = 0;
                    if !more.not.contains(&node) {
                        more.not.push(node);
                    }
                    self.watch(conn, client);
                }
                self.place_lost(around, conn, client, node, &Loss::Refused(refused));
            }
        }
        Ok(())
    }

    /// A node has forgotten the client.
    pub(super) fn ended(&mut self, node: NodeNo, conn: ConnNo, client: &mut Client) -> Result<(), Broken> {
        let place = client.place(node).ok_or(Broken::UnknownConnection)?;
        if place.standing != Standing::Closing {
            return Err(Broken::NotClosing);
        }
        self.forget_place(conn, client, node);
        Ok(())
    }

    /// A place goes that nothing is at. Something may have waited for that.
    pub(super) fn forget_place(&mut self, conn: ConnNo, client: &mut Client, node: NodeNo) {
        let Some(index) = client.places.iter().position(|place| place.node == node) else { return };
        client.places.swap_remove(index);
        self.node(node).places -= 1;
        self.queue(conn, client);
    }
}

/// Whether a client has a seat at a node, or waits for a word from there.
pub(super) fn is_used(client: &Client, node: NodeNo) -> bool {
    let waits = client.any_more().is_some_and(|more| {
        more.auth.as_ref().is_some_and(|auth| auth.node == node)
            || more.untold.iter().any(|untold| untold.node == node)
            || more.asked.iter().any(|asked| asked.node == node)
    });
    waits || client.seats.iter().any(|seat| seat.node == node)
}

/// A client has nothing at a node any more.
pub(super) fn close<A: Around>(around: &mut A, conn: ConnNo, place: &mut Place) {
    if place.standing != Standing::Closing {
        place.standing = Standing::Closing;
        around.up(place.node, &Up::Closed { conn });
    }
}
