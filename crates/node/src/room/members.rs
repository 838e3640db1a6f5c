//! Who is in the room, and where each member is. Positions are kept by connection, cheaply: nearly all are level with
//! the room and cost nothing when it moves on.

use super::surroundings::Member;
use crate::seats::{Seated, Seats};
use ringway_backplane::message::Epoch;
use ringway_protocol::name::ConnId;

/// Where a member is, in the epoch that the room follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Where the room is.
    Level,
    /// Further: another node was faster. It gets nothing up to there a second time.
    Beyond(u64),
    /// It was told no position: the holder wasn't reached. A gap will give it one.
    Nowhere,
    /// Its join isn't answered yet. It hears nothing.
    Waiting,
}

/// An epoch and an offset that a client came back with.
pub(crate) type Since = (Epoch, u64);

/// A member and what the room keeps of it.
#[derive(Debug)]
pub(crate) struct Seat<C> {
    pub(crate) conn: C,
    /// None for nearly all: level, and nothing is left of what it came with. Very many are in many rooms each.
    odd: Option<Box<Odd>>,
}

/// A member that isn't level, or may have something to say yet.
#[derive(Debug, Clone, Copy)]
struct Odd {
    at: At,
    /// What it came with, while the room may yet come to that epoch: there it has everything up to that offset.
    since: Option<Since>,
}

impl<C> Seat<C> {
    fn new(conn: C, at: At, since: Option<Since>) -> Self {
        let mut seat = Self { conn, odd: None };
        seat.set(at, since);
        seat
    }

    pub(crate) fn at(&self) -> At {
        self.odd.as_ref().map_or(At::Level, |odd| odd.at)
    }

    pub(crate) fn set_at(&mut self, at: At) {
        self.set(at, self.since());
    }

    fn since(&self) -> Option<Since> {
        self.odd.as_ref().and_then(|odd| odd.since)
    }

    fn set(&mut self, at: At, since: Option<Since>) {
        let odd = Odd { at, since };
        if at == At::Level && since.is_none() {
            self.odd = None;
        } else if let Some(before) = &mut self.odd {
            **before = odd;
        } else {
            self.odd = Some(Box::new(odd));
        }
    }

    /// What the client has of `epoch` by its own word.
    pub(crate) fn has(&self, epoch: Epoch) -> u64 {
        self.since().map_or(0, |since| if since.0 == epoch { since.1 } else { 0 })
    }

    /// The client came with a position in another epoch than this, by its own word.
    pub(crate) fn came_of_another(&self, epoch: Epoch) -> bool {
        self.since().is_some_and(|since| since.0 != epoch)
    }

    /// The member has a position in `epoch`: what it came with matters only in a greater one.
    pub(crate) fn forget_since(&mut self, epoch: Epoch) {
        if self.since().is_some_and(|since| since.0 <= epoch) {
            self.set(self.at(), None);
        }
    }
}

impl<C: Member> Seated for Seat<C> {
    fn id(&self) -> &ConnId {
        self.conn.id()
    }
}

#[derive(Debug)]
pub(crate) struct Members<C> {
    seats: Seats<Seat<C>>,
    /// How many aren't level.
    odd: usize,
}

impl<C: Member> Members<C> {
    pub(crate) fn new() -> Members<C> {
        Members { seats: Seats::new(), odd: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.all().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.all().is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &C> {
        self.seats.all().iter().map(|seat| &seat.conn)
    }

    pub(crate) fn seat(&self, conn: &ConnId) -> Option<&Seat<C>> {
        self.seats.find(conn).map(|found| &self.seats.all()[found])
    }

    /// Whether its join isn't answered yet.
    pub(crate) fn is_waiting(&self, conn: &ConnId) -> bool {
        self.seat(conn).is_some_and(|seat| seat.at() == At::Waiting)
    }

    /// Seats a connection that waits for its answer; one that has a seat waits anew.
    pub(crate) fn seat_waiting(&mut self, conn: C, since: Option<Since>) {
        if let Some(found) = self.seats.find(conn.id()) {
            self.place(found, At::Waiting);
            self.seats.all_mut()[found] = Seat::new(conn, At::Waiting, since);
            return;
        }
        self.seats.push(Seat::new(conn, At::Waiting, since));
        self.odd += 1;
    }

    pub(crate) fn remove(&mut self, conn: &ConnId) -> Option<Seat<C>> {
        let seat = self.seats.remove(conn)?;
        self.odd -= usize::from(seat.at() != At::Level);
        Some(seat)
    }

    fn place(&mut self, found: usize, at: At) {
        let seat = &mut self.seats.all_mut()[found];
        self.odd -= usize::from(seat.at() != At::Level);
        seat.set_at(at);
        self.odd += usize::from(at != At::Level);
    }

    /// Says where a member is now. What it came with is kept only while `keep_since`.
    pub(crate) fn put(&mut self, conn: &ConnId, at: At, keep_since: bool) {
        if let Some(found) = self.seats.find(conn) {
            self.place(found, at);
            if !keep_since {
                self.seats.all_mut()[found].set(at, None);
            }
        }
    }

    /// Those who get the publication `offset` of the room, which has just come to it; `but` is its publisher where it
    /// doesn't want it back. Everyone is level afterwards, or further, or waits, or nowhere.
    pub(crate) fn due(&self, offset: u64, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        let plain = self.odd == 0;
        // Looked up once: to compare everyone's id would mean to fetch it from memory.
        let but = but.and_then(|conn| self.seats.find(conn));
        self.seats.all().iter().enumerate().filter_map(move |(index, seat)| {
            let due = (plain
                || match seat.at() {
                    At::Level => true,
                    At::Beyond(has) => has < offset,
                    At::Nowhere | At::Waiting => false,
                })
                && but != Some(index);
            due.then_some(&seat.conn)
        })
    }

    /// Everyone whose join is answered, but one.
    pub(crate) fn here(&self, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        let here = move |seat: &&Seat<C>| seat.at() != At::Waiting && but != Some(seat.conn.id());
        self.seats.all().iter().filter(here).map(|seat| &seat.conn)
    }

    /// The room has come to `offset`: who was just so far ahead is level now.
    pub(crate) fn caught_up(&mut self, offset: u64) {
        if self.odd == 0 {
            return;
        }
        for seat in self.seats.all_mut() {
            if matches!(seat.at(), At::Beyond(has) if has <= offset) {
                seat.set_at(At::Level);
                self.odd -= 1;
            }
        }
    }

    /// Goes through all whose join is answered and who aren't level (`all`: everyone answered), to place them anew.
    pub(crate) fn replace(&mut self, all: bool, mut place: impl FnMut(&mut Seat<C>)) {
        if self.odd == 0 && !all {
            return;
        }
        for seat in self.seats.all_mut() {
            if seat.at() == At::Waiting || (seat.at() == At::Level && !all) {
                continue;
            }
            let before = seat.at();
            place(seat);
            self.odd -= usize::from(before != At::Level);
            self.odd += usize::from(seat.at() != At::Level);
        }
    }

    #[cfg(test)]
    pub(super) fn forget_all_since(&mut self) {
        self.seats.all_mut().iter_mut().for_each(|seat| seat.set(seat.at(), None));
    }

    /// Whether some member has no position.
    pub(crate) fn any_nowhere(&self) -> bool {
        self.odd > 0 && self.seats.all().iter().any(|seat| seat.at() == At::Nowhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::scene::{Actor, actor, conn};
    use crate::seats::INDEX_FROM;

    fn seated(count: usize) -> Members<Actor> {
        let mut members = Members::new();
        for number in 0..count {
            members.seat_waiting(actor(&format!("c{number}")), None);
            members.put(&conn(&format!("c{number}")), At::Level, false);
        }
        members
    }

    fn due(members: &Members<Actor>, offset: u64, but: Option<&str>) -> usize {
        let but = but.map(conn);
        members.due(offset, but.as_ref()).count()
    }

    #[test]
    fn a_seat_is_two_words() {
        assert_eq!(size_of::<Seat<std::sync::Arc<u8>>>(), 16);
    }

    #[test]
    fn few_or_many_are_found_and_leave() {
        for count in [1, 3, INDEX_FROM, INDEX_FROM + 1, 100] {
            let mut members = seated(count);
            assert_eq!((members.len(), due(&members, 1, None)), (count, count));
            for number in (0..count).step_by(2).chain((1..count).step_by(2)) {
                assert!(members.remove(&conn(&format!("c{number}"))).is_some(), "{number} of {count}");
                assert!(members.remove(&conn(&format!("c{number}"))).is_none());
            }
            assert!(members.is_empty());
        }
    }

    #[test]
    fn each_gets_what_is_after_its_own_position() {
        let mut members = seated(20);
        members.put(&conn("c1"), At::Beyond(7), false);
        members.put(&conn("c2"), At::Nowhere, true);
        members.put(&conn("c3"), At::Waiting, true);
        assert_eq!([6, 7, 8].map(|offset| due(&members, offset, None)), [17, 17, 18]);
        assert_eq!(due(&members, 6, Some("c4")), 16);
        assert_eq!(members.here(None).count(), 19);
        members.caught_up(7);
        assert_eq!(members.seat(&conn("c1")).map(Seat::at), Some(At::Level));
        members.remove(&conn("c2"));
        members.remove(&conn("c3"));
        assert_eq!((members.odd, due(&members, 8, None)), (0, 18));
    }

    #[test]
    fn who_sits_down_again_waits_again() {
        let mut members = seated(2);
        members.seat_waiting(actor("c0"), None);
        assert_eq!((members.len(), members.odd), (2, 1));
        assert!(members.is_waiting(&conn("c0")));
    }
}
