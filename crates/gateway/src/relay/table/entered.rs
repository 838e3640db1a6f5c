//! Rooms as a link's node has declared them: who has entered, and where everybody is.
//!
//! Those that are where the room is are **level**, and stand first in its list; the others are **apart**, each with a
//! position of its own, or none. So a cast for all who are level moves one position, whoever they are. What is true at any
//! time: the position of who is level is the room's, and no position is beyond what was handed to `Around` for its client.

use std::collections::HashMap;

use ringway_link::{ConnNo, RoomDeclared};
use ringway_names::NameNo;
use ringway_protocol::frame::Position;

use super::around::NodeNo;
use super::client::Client;
use super::seat::{Mark, Seat};
use super::{Rule, Table};

/// A room by its number on one link.
#[derive(Debug)]
pub(super) struct Declared<R> {
    pub(super) said: RoomDeclared,
    pub(super) kept: R,
    pub(super) room: NameNo,
    pub(super) tenant: NameNo,
    /// Where those are who are level.
    pub(super) at: Option<Position>,
    pub(super) entered: Vec<ConnNo>,
    /// So many of them, the first, are level.
    pub(super) level: u32,
}

/// Who isn't moved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left<'a> {
    /// These aren't.
    But(&'a [ConnNo]),
    /// Only these are.
    AllBut(&'a [ConnNo]),
}

impl Left<'_> {
    fn out(&self, conn: ConnNo) -> bool {
        match self {
            Self::But(list) => list.binary_search(&conn).is_ok(),
            Self::AllBut(list) => list.binary_search(&conn).is_err(),
        }
    }
}

impl<R> Declared<R> {
    pub(super) fn new(said: RoomDeclared, kept: R, room: NameNo, tenant: NameNo) -> Self {
        Self { said, kept, room, tenant, at: None, entered: Vec::new(), level: 0 }
    }
}

/// The rooms of a node's link, by their numbers.
#[derive(Debug)]
pub(super) struct Node<R> {
    pub(super) rooms: Vec<Option<Box<Declared<R>>>>,
    /// The number of each tenant's room that somebody has entered: whoever has, has by that one. So no seat needs to say it.
    numbers: HashMap<(NameNo, NameNo), u32>,
    /// How many clients have a place there.
    pub(super) places: u32,
}

impl<R> Default for Node<R> {
    fn default() -> Self {
        Self { rooms: Vec::new(), numbers: HashMap::new(), places: 0 }
    }
}

impl<R> Node<R> {
    pub(super) fn room(&self, number: u32) -> Option<&Declared<R>> {
        self.rooms.get(number as usize)?.as_deref()
    }

    pub(super) fn room_mut(&mut self, number: u32) -> Option<&mut Declared<R>> {
        self.rooms.get_mut(number as usize)?.as_deref_mut()
    }

    /// By which number those have entered a tenant's room who are in it.
    pub(super) fn number_of(&self, tenant: NameNo, room: NameNo) -> Option<u32> {
        self.numbers.get(&(tenant, room)).copied()
    }
}

/// A seat's room is there while it has entered.
const DECLARED: &str = "who has entered a room is in one that is declared";

impl<R> Table<R> {
    fn room_of(&mut self, client: &Client, seat: usize) -> &mut Declared<R> {
        let seat = &client.seats[seat];
        let node = &mut self.nodes[usize::from(seat.node.0)];
        node.number_of(client.tenant, seat.room).and_then(|number| node.room_mut(number)).expect(DECLARED)
    }

    /// Exchanges two places of a room's list; `client` is the one that is taken out of the table.
    fn exchange(&mut self, client: &mut Client, seat: usize, with: u32) {
        let own = client.seats[seat].index;
        if own == with {
            return;
        }
        let room = self.room_of(client, seat);
        room.entered.swap(own as usize, with as usize);
        let (other, name) = (room.entered[own as usize], room.room);
        client.seats[seat].index = with;
        self.set_index(other, name, own);
    }

    fn set_index(&mut self, conn: ConnNo, room: NameNo, index: u32) {
        let client =
            self.clients.get_mut(conn).expect("who has entered has a number, and isn't taken out twice");
        let seat = client.seat(room).expect("who has entered has a seat");
        client.seats[seat].index = index;
    }

    /// Where a client is in a room: what `Rejoin` says.
    pub(super) fn position_of(&self, client: &Client, seat: usize) -> Option<Position> {
        let seat = &client.seats[seat];
        let own = client.own.get(seat.room);
        if own.is_none() && seat.is(Mark::Entered) {
            let node = &self.nodes[usize::from(seat.node.0)];
            let room = node
                .number_of(client.tenant, seat.room)
                .and_then(|number| node.room(number))
                .expect(DECLARED);
            return if seat.index < room.level { room.at.clone() } else { None };
        }
        own.cloned()
    }

    /// A client enters, where its seat says that it is. Nobody may be in the room by another number.
    pub(super) fn put_in(&mut self, conn: ConnNo, client: &mut Client, seat: usize, number: u32) {
        let Seat { room, node, .. } = client.seats[seat];
        self.node(node).numbers.insert((client.tenant, room), number);
        client.seats[seat].set(Mark::Entered, true);
        let room = self.room_of(client, seat);
        let last = u32::try_from(room.entered.len()).expect("fewer members than numbers");
        if room.entered.len() == room.entered.capacity() {
            room.entered.reserve_exact(room.entered.len() / 4 + 1);
        }
        room.entered.push(conn);
        client.seats[seat].index = last;
        if let Some(own) = client.own.take(client.seats[seat].room) {
            self.stand_at(client, seat, own);
        }
    }

    /// From here on the client gets nothing of its rooms at this node.
    pub(super) fn take_out_at(&mut self, client: &mut Client, node: NodeNo) {
        for seat in 0..client.seats.len() {
            if client.seats[seat].node == node {
                self.take_out(client, seat);
            }
        }
    }

    /// It leaves the list, and keeps its position as its own.
    pub(super) fn take_out(&mut self, client: &mut Client, seat: usize) {
        if !client.seats[seat].is(Mark::Entered) {
            return;
        }
        let at = self.position_of(client, seat);
        client.own.set(client.seats[seat].room, at);
        self.go_apart(client, seat);
        let room = self.room_of(client, seat);
        let last = u32::try_from(room.entered.len() - 1).expect("fewer members than numbers");
        self.exchange(client, seat, last);
        let room = self.room_of(client, seat);
        room.entered.pop();
        if room.entered.is_empty() {
            room.at = None;
            room.entered = Vec::new();
            let Seat { room, node, .. } = client.seats[seat];
            self.node(node).numbers.remove(&(client.tenant, room));
        } else if room.entered.len() < room.entered.capacity() / 4 {
            room.entered.shrink_to(room.entered.len() * 2);
        }
        client.seats[seat].set(Mark::Entered, false);
    }

    fn go_apart(&mut self, client: &mut Client, seat: usize) {
        let index = client.seats[seat].index;
        let room = self.room_of(client, seat);
        if index < room.level {
            room.level -= 1;
            let level = room.level;
            self.exchange(client, seat, level);
        }
    }

    fn go_level(&mut self, client: &mut Client, seat: usize) {
        client.own.set(client.seats[seat].room, None);
        let index = client.seats[seat].index;
        let room = self.room_of(client, seat);
        if index >= room.level {
            let level = room.level;
            room.level += 1;
            self.exchange(client, seat, level);
        }
    }

    /// A client is here now, by what was sent to it alone.
    pub(super) fn stand_at(&mut self, client: &mut Client, seat: usize, at: Position) {
        if !self.keeps(Rule::Own) {
            return;
        }
        if !client.seats[seat].is(Mark::Entered) {
            client.own.set(client.seats[seat].room, Some(at));
            return;
        }
        let index = client.seats[seat].index;
        let room = self.room_of(client, seat);
        let alone = room.level == 0 || (room.level == 1 && index == 0);
        if alone {
            room.at = Some(at);
            self.go_level(client, seat);
        } else if room.at.as_ref() == Some(&at) {
            self.go_level(client, seat);
        } else {
            self.go_apart(client, seat);
            client.own.set(client.seats[seat].room, Some(at));
        }
    }

    /// All who are in the room but those that are left out are here now.
    pub(super) fn advance(&mut self, node: usize, number: u32, at: Position, left: Left<'_>) {
        let left = if self.keeps(Rule::Apart) { left } else { Left::But(&[]) };
        let nobody = matches!(left, Left::But([]));
        let Some(room) = self.nodes[node].room_mut(number) else { return };
        if nobody && room.level as usize == room.entered.len() {
            // As nearly always.
            room.at = Some(at);
            return;
        }
        let before = room.at.replace(at);
        let name = room.room;
        // From behind, so that what is exchanged has been looked at.
        let apart = room.entered[room.level as usize..].to_vec();
        if !nobody {
            let leave: Vec<ConnNo> = match left {
                Left::But(list) => {
                    list.iter().copied().filter(|conn| self.is_level(node, number, name, *conn)).collect()
                }
                Left::AllBut(_) => {
                    let room = self.nodes[node].room(number).expect(DECLARED);
                    let level = &room.entered[..room.level as usize];
                    level.iter().copied().filter(|conn| left.out(*conn)).collect()
                }
            };
            for conn in leave {
                self.with_seat(conn, name, |table, client, seat| {
                    table.go_apart(client, seat);
                    client.own.set(name, before.clone());
                });
            }
        }
        for conn in apart {
            if !left.out(conn) {
                self.with_seat(conn, name, Self::go_level);
            }
        }
    }

    fn is_level(&self, node: usize, number: u32, room: NameNo, conn: ConnNo) -> bool {
        let Some(client) = self.clients.get(conn) else { return false };
        let Some(seat) = client.seat(room).map(|seat| &client.seats[seat]) else { return false };
        let level = self.nodes[node].room(number).map_or(0, |room| room.level);
        seat.is(Mark::Entered) && usize::from(seat.node.0) == node && seat.index < level
    }

    fn with_seat(&mut self, conn: ConnNo, room: NameNo, act: impl FnOnce(&mut Self, &mut Client, usize)) {
        let mut client = self.clients.take(conn).expect("who has entered has a number");
        let seat = client.seat(room).expect("who has entered has a seat");
        act(self, &mut client, seat);
        self.clients.put(conn, client);
    }
}
