//! What a node says of a room, and to all who are in it.

use ringway_link::{Cast, ConnNo, Exclude, RoomDeclared, RoomNo};

use super::Table;
use super::around::{Around, Lost, NodeNo, To};
use super::broken::Broken;
use super::client::Standing;
use super::entered::{Declared, Left};
use super::seat::{Mark, position};

/// The highest number of a room that a link may have: a row is kept for each up to it.
const ROOMS: u32 = 1 << 22;

impl<R> Table<R> {
    pub(super) fn declared<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        said: &RoomDeclared,
    ) -> Result<(), Broken> {
        let number = said.number.0;
        if number > ROOMS {
            return Err(Broken::RoomNumber);
        }
        let rooms = &mut self.node(node).rooms;
        if rooms.len() <= number as usize {
            rooms.resize_with(number as usize + 1, || None);
        }
        let mut before = rooms[number as usize].take();
        if let Some(room) = &mut before
            && (room.said.room != said.room || room.said.tenant != said.tenant)
        {
            if !room.entered.is_empty() {
                self.node(node).rooms[number as usize] = before;
                return Err(Broken::NumberInUse);
            }
            let (room, tenant) = (room.room, room.tenant);
            self.rooms.release(room);
            self.tenants.release(tenant);
            before = None;
        }
        let declared = match before {
            Some(before) => {
                let kept = around.declared(node, said, Some(before.kept));
                Declared { said: said.clone(), kept, ..*before }
            }
            None => {
                let kept = around.declared(node, said, None);
                let (room, tenant) = (self.rooms.hold(&said.room), self.tenants.hold(&said.tenant));
                Declared::new(said.clone(), kept, room, tenant)
            }
        };
        self.node(node).rooms[number as usize] = Some(Box::new(declared));
        Ok(())
    }

    pub(super) fn cast<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        cast: &Cast<'_>,
    ) -> Result<(), Broken> {
        let (index, number) = (usize::from(node.0), cast.room.0);
        let mut list = std::mem::take(&mut self.scratch);
        list.clear();
        let only = match &cast.but {
            Exclude::Nobody => false,
            Exclude::These(these) => {
                list.extend_from_slice(these);
                false
            }
            Exclude::AllBut(these) => {
                for conn in these {
                    if self.has_entered(node, number, *conn)? {
                        list.push(*conn);
                    }
                }
                true
            }
        };
        list.sort_unstable();
        list.dedup();
        let room = self.nodes.get_mut(index).and_then(|node| node.room_mut(number));
        let room = room.ok_or(Broken::UndeclaredRoom)?;
        let at = match (cast.offset, &room.said.epoch) {
            (None, _) => None,
            (Some(_), None) => return Err(Broken::NoEpoch),
            (Some(offset), Some(epoch)) => Some(position(epoch, offset, cast.ts)),
        };
        let to =
            if only { To { entered: &list, but: &[] } } else { To { entered: &room.entered, but: &list } };
        if !to.entered.is_empty() {
            around.cast(&room.said, &mut room.kept, cast, to);
        }
        if let Some(at) = at {
            let left = if only { Left::AllBut(&list) } else { Left::But(&list) };
            self.advance(index, number, at, left);
        }
        self.scratch = list;
        Ok(())
    }

    /// Whether somebody is in a room, by the word of its node, which may not know yet that it has gone.
    fn has_entered(&self, node: NodeNo, number: u32, conn: ConnNo) -> Result<bool, Broken> {
        let client = self.clients.get(conn).ok_or(Broken::UnknownConnection)?;
        let place = client.places.iter().find(|place| place.node == node).ok_or(Broken::UnknownConnection)?;
        if place.standing == Standing::Closing || place.closed {
            return Ok(false);
        }
        let here = self.nodes.get(usize::from(node.0)).ok_or(Broken::UndeclaredRoom)?;
        let room = here.room(number).ok_or(Broken::UndeclaredRoom)?.room;
        let seat = client.seat(room).map(|seat| &client.seats[seat]);
        let seat = seat.filter(|seat| seat.node == node && seat.is(Mark::Entered));
        let seat = seat.filter(|_| here.number_of(client.tenant, room) == Some(number));
        seat.map(|_| true).ok_or(Broken::NotEntered)
    }

    pub(super) fn lost<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        node: NodeNo,
        room: RoomNo,
        lost: Lost,
    ) -> Result<(), Broken> {
        let index = usize::from(node.0);
        let declared =
            self.nodes.get(index).and_then(|node| node.room(room.0)).ok_or(Broken::UndeclaredRoom)?;
        let epoch = declared.said.epoch.clone().ok_or(Broken::NoEpoch)?;
        // Who resumed from beyond has what was lost.
        let mut ahead = Vec::new();
        for conn in &declared.entered {
            let Some(client) = self.clients.get(*conn) else { continue };
            let at = client.seat(declared.room).and_then(|seat| self.position_of(client, seat));
            if at.is_some_and(|at| at.epoch == epoch && at.offset >= lost.offset) {
                ahead.push(*conn);
            }
        }
        ahead.sort_unstable();
        let declared = self.nodes[index].room_mut(room.0).ok_or(Broken::UndeclaredRoom)?;
        if !declared.entered.is_empty() {
            let to = To { entered: &declared.entered, but: &ahead };
            around.lost(&declared.said, &mut declared.kept, lost, to);
        }
        self.advance(index, room.0, position(&epoch, lost.offset, lost.ts), Left::But(&ahead));
        Ok(())
    }
}
