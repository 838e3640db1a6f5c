//! Who is in the room, and where each member is. Nearly all are level with the room and cost nothing when it moves on.

use ringway_protocol::name::ConnId;

use super::chain::Spot;
use crate::room::Member;
use crate::seats::Seats;

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

/// A member that isn't level, or has a floor: few are, but where keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Odd {
    at: At,
    /// Where keys are kept: up to here it has all that there was when it came, or wants none of it.
    floor: u64,
}

impl Odd {
    /// What is true of all others.
    const PLAIN: Odd = Odd { at: At::Level, floor: 0 };

    fn of(odd: Option<&Odd>) -> Odd {
        odd.copied().unwrap_or(Self::PLAIN)
    }

    /// What has to be kept of it.
    fn kept(self) -> Option<Odd> {
        (self != Self::PLAIN).then_some(self)
    }
}

#[derive(Debug)]
pub(super) struct Members<C> {
    seats: Seats<C, Odd>,
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
        self.seats.all().iter()
    }

    pub(super) fn conn(&self, id: &ConnId) -> Option<&C> {
        self.seats.find(id).map(|found| &self.seats.all()[found])
    }

    pub(super) fn at(&self, id: &ConnId) -> Option<At> {
        self.seats.find(id).map(|found| self.odd(found).at)
    }

    fn odd(&self, found: usize) -> Odd {
        Odd::of(self.seats.odd_at(found))
    }

    /// Seats a connection that waits for its answer; one that has a seat waits anew.
    pub(super) fn seat_waiting(&mut self, conn: C) {
        if let Some(found) = self.seats.find(conn.id()) {
            self.seats.replace(found, conn);
            self.place(found, At::Waiting);
            return;
        }
        self.seats.push(conn, Odd { at: At::Waiting, floor: 0 });
        self.odd += 1;
    }

    pub(super) fn remove(&mut self, conn: &ConnId) -> Option<C> {
        let (conn, odd) = self.seats.remove(conn)?;
        self.count(Odd::of(odd.as_ref()).at, At::Level);
        Some(conn)
    }

    fn place(&mut self, found: usize, at: At) {
        let before = self.odd(found);
        self.seats.set(found, Odd { at, ..before }.kept());
        self.count(before.at, at);
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
            let odd = self.odd(found);
            self.seats.set(found, Odd { floor, ..odd }.kept());
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
        // Looked up once: to compare everyone's id would mean to fetch it from memory.
        let but = but.and_then(|conn| self.seats.find(conn));
        self.seats.each().enumerate().filter_map(move |(index, (conn, odd))| {
            let Odd { at, floor } = Odd::of(odd);
            let due = match at {
                At::Level => true,
                At::Beyond(has) => has < offset,
                At::OnWay(spot) => late && spot.offset > offset,
                At::Waiting => false,
            };
            (due && (!late || floor < offset) && but != Some(index)).then_some(conn)
        })
    }

    /// Everyone whose join is answered, but one.
    pub(super) fn here(&self, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        let here =
            move |(conn, odd): &(&C, Option<&Odd>)| Odd::of(*odd).at != At::Waiting && but != Some(conn.id());
        self.seats.each().filter(here).map(|(conn, _)| conn)
    }

    /// The room has come to `offset`: who was just so far ahead is level now.
    pub(super) fn caught_up(&mut self, offset: u64) {
        if self.odd > 0 {
            let place =
                |_: &C, at| if matches!(at, At::Beyond(has) if has <= offset) { At::Level } else { at };
            self.revise(false, place);
        }
    }

    /// Goes through everyone whose join is answered, to place them anew.
    pub(super) fn each(&mut self, place: impl FnMut(&C, At) -> At) {
        self.revise(true, place);
    }

    /// As [`each`](Self::each), unless `all` only of those that are odd.
    fn revise(&mut self, all: bool, mut place: impl FnMut(&C, At) -> At) {
        let (mut odd, mut on_way) = (0, 0);
        self.seats.revise(all, |conn, was| {
            let was = Odd::of(was);
            let at = if was.at == At::Waiting { was.at } else { place(conn, was.at) };
            odd += usize::from(at != At::Level);
            on_way += usize::from(matches!(at, At::OnWay(_)));
            Odd { at, ..was }.kept()
        });
        (self.odd, self.on_way) = (odd, on_way);
    }

    /// Whether any is on its way.
    pub(super) fn any_on_way(&self) -> bool {
        self.on_way > 0
    }

    /// Whether any is level or further.
    pub(super) fn any_there(&self) -> bool {
        let there = |(_, odd): (&C, _)| matches!(Odd::of(odd).at, At::Level | At::Beyond(_));
        if self.odd == 0 { !self.is_empty() } else { self.seats.each().any(there) }
    }
}
