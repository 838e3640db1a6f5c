//! Who is in the room, and where each member is. Nearly all are level with the room and cost nothing when it moves on.

use ringway_protocol::name::ConnId;

use super::chain::Spot;
use crate::room::Member;
use crate::seats::{Seated, Seats};

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Where the room is.
    Level,
    /// Further: another node, or the store, was faster. It gets nothing up to there a second time.
    Beyond(u64),
    /// Behind: what comes after that spot it gets at its own pace.
    OnWay(Spot),
    /// Its join isn't answered yet. It hears nothing.
    Waiting,
}

/// A member and what the room keeps of it.
#[derive(Debug)]
pub(super) struct Seat<C> {
    pub(super) conn: C,
    /// None for nearly all: level, and with no floor. Very many are in many rooms each.
    odd: Option<Box<Odd>>,
}

/// A member that isn't level, or has a floor.
#[derive(Debug, Clone, Copy)]
struct Odd {
    at: At,
    /// Where keys are kept: up to here it has all that there was when it came, or wants none of it.
    floor: u64,
}

impl<C> Seat<C> {
    fn at(&self) -> At {
        self.odd.as_ref().map_or(At::Level, |odd| odd.at)
    }

    fn floor(&self) -> u64 {
        self.odd.as_ref().map_or(0, |odd| odd.floor)
    }

    fn set(&mut self, at: At, floor: u64) {
        let odd = Odd { at, floor };
        if at == At::Level && floor == 0 {
            self.odd = None;
        } else if let Some(before) = &mut self.odd {
            **before = odd;
        } else {
            self.odd = Some(Box::new(odd));
        }
    }
}

impl<C: Member> Seated for Seat<C> {
    fn id(&self) -> &ConnId {
        self.conn.id()
    }
}

#[derive(Debug)]
pub(super) struct Members<C> {
    seats: Seats<Seat<C>>,
    /// How many aren't level.
    odd: usize,
    /// How many are on their way.
    on_way: usize,
}

impl<C: Member> Members<C> {
    pub(super) fn new() -> Self {
        Self { seats: Seats::new(), odd: 0, on_way: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.all().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.all().is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &C> {
        self.seats.all().iter().map(|seat| &seat.conn)
    }

    pub(super) fn conn(&self, id: &ConnId) -> Option<&C> {
        self.seats.find(id).map(|found| &self.seats.all()[found].conn)
    }

    pub(super) fn at(&self, id: &ConnId) -> Option<At> {
        self.seats.find(id).map(|found| self.seats.all()[found].at())
    }

    /// Seats a connection that waits for its answer; one that has a seat waits anew.
    pub(super) fn seat_waiting(&mut self, conn: C) {
        if let Some(found) = self.seats.find(conn.id()) {
            self.place(found, At::Waiting);
            self.seats.all_mut()[found].conn = conn;
            return;
        }
        let mut seat = Seat { conn, odd: None };
        seat.set(At::Waiting, 0);
        self.seats.push(seat);
        self.odd += 1;
    }

    pub(super) fn remove(&mut self, conn: &ConnId) -> Option<Seat<C>> {
        let seat = self.seats.remove(conn)?;
        self.odd -= usize::from(seat.at() != At::Level);
        self.on_way -= usize::from(matches!(seat.at(), At::OnWay(_)));
        Some(seat)
    }

    fn place(&mut self, found: usize, at: At) {
        let seat = &mut self.seats.all_mut()[found];
        let before = seat.at();
        seat.set(at, seat.floor());
        self.count(before, at);
    }

    fn count(&mut self, before: At, at: At) {
        self.odd -= usize::from(before != At::Level);
        self.odd += usize::from(at != At::Level);
        self.on_way -= usize::from(matches!(before, At::OnWay(_)));
        self.on_way += usize::from(matches!(at, At::OnWay(_)));
    }

    /// Says where a member is now.
    pub(super) fn put(&mut self, conn: &ConnId, at: At) {
        if let Some(found) = self.seats.find(conn) {
            self.place(found, at);
        }
    }

    /// Up to there it has all that there was when it came: said where keys are kept.
    pub(super) fn has_all(&mut self, conn: &ConnId, floor: u64) {
        if let Some(found) = self.seats.find(conn) {
            let seat = &mut self.seats.all_mut()[found];
            seat.set(seat.at(), floor);
        }
    }

    /// Those who get the publication `offset`, which has just come to the room; `but` is its publisher where it doesn't want
    /// it back. `late`: it comes after greater ones of other keys, which concerns those on their way who are beyond it too.
    pub(super) fn due(
        &self,
        offset: u64,
        late: bool,
        but: Option<&ConnId>,
    ) -> impl Iterator<Item = &C> + Clone {
        let plain = self.odd == 0;
        // Looked up once: to compare everyone's id would mean to fetch it from memory.
        let but = but.and_then(|conn| self.seats.find(conn));
        self.seats.all().iter().enumerate().filter_map(move |(index, seat)| {
            let due = (!late || seat.floor() < offset)
                && (plain
                    || match seat.at() {
                        At::Level => true,
                        At::Beyond(has) => has < offset,
                        At::OnWay(spot) => late && spot.offset > offset,
                        At::Waiting => false,
                    })
                && but != Some(index);
            due.then_some(&seat.conn)
        })
    }

    /// Everyone whose join is answered, but one.
    pub(super) fn here(&self, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        let here = move |seat: &&Seat<C>| seat.at() != At::Waiting && but != Some(seat.conn.id());
        self.seats.all().iter().filter(here).map(|seat| &seat.conn)
    }

    /// The room has come to `offset`: who was just so far ahead is level now.
    pub(super) fn caught_up(&mut self, offset: u64) {
        if self.odd > 0 {
            self.each(|_, at| if matches!(at, At::Beyond(has) if has <= offset) { At::Level } else { at });
        }
    }

    /// Goes through everyone whose join is answered, to place them anew.
    pub(super) fn each(&mut self, mut place: impl FnMut(&C, At) -> At) {
        let (mut odd, mut on_way) = (0, 0);
        for seat in self.seats.all_mut() {
            if seat.at() != At::Waiting {
                let at = place(&seat.conn, seat.at());
                seat.set(at, seat.floor());
            }
            odd += usize::from(seat.at() != At::Level);
            on_way += usize::from(matches!(seat.at(), At::OnWay(_)));
        }
        (self.odd, self.on_way) = (odd, on_way);
    }

    /// Whether any is on its way.
    pub(super) fn any_on_way(&self) -> bool {
        self.on_way > 0
    }

    /// Whether any is level or further.
    pub(super) fn any_there(&self) -> bool {
        let there = |seat: &Seat<C>| matches!(seat.at(), At::Level | At::Beyond(_));
        if self.odd == 0 { !self.is_empty() } else { self.seats.all().iter().any(there) }
    }
}
