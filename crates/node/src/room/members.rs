//! Who is in the room, and where each member is. Positions are kept by connection, cheaply: nearly all are level with
//! the room and cost nothing when it moves on.

use super::surroundings::Member;
use crate::seats::Seats;
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

/// A member that isn't level, or may have something to say yet: few are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Odd {
    pub(crate) at: At,
    /// What it came with, while the room may yet come to that epoch: there it has everything up to that offset.
    since: Option<Since>,
}

impl Odd {
    /// What is true of all others.
    const PLAIN: Odd = Odd { at: At::Level, since: None };

    /// What has to be kept of it.
    fn kept(self) -> Option<Odd> {
        (self != Self::PLAIN).then_some(self)
    }

    /// What the client has of `epoch` by its own word.
    pub(crate) fn has(&self, epoch: Epoch) -> u64 {
        self.since.map_or(0, |since| if since.0 == epoch { since.1 } else { 0 })
    }

    /// The client came with a position in another epoch than this, by its own word.
    pub(crate) fn came_of_another(&self, epoch: Epoch) -> bool {
        self.since.is_some_and(|since| since.0 != epoch)
    }

    /// The member has a position in `epoch`: what it came with matters only in a greater one.
    pub(crate) fn forget_since(&mut self, epoch: Epoch) {
        self.since = self.since.filter(|since| since.0 > epoch);
    }
}

fn at(odd: Option<&Odd>) -> At {
    odd.map_or(At::Level, |odd| odd.at)
}

#[derive(Debug)]
pub(crate) struct Members<C> {
    seats: Seats<C, Odd>,
}

impl<C: Member> Members<C> {
    pub(crate) fn new() -> Members<C> {
        Members { seats: Seats::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.all().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.all().is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &C> {
        self.seats.all().iter()
    }

    pub(crate) fn conn(&self, id: &ConnId) -> Option<&C> {
        self.seats.find(id).map(|found| &self.seats.all()[found])
    }

    pub(crate) fn at(&self, id: &ConnId) -> Option<At> {
        self.seats.find(id).map(|found| at(self.seats.odd_at(found)))
    }

    /// Whether its join isn't answered yet.
    pub(crate) fn is_waiting(&self, conn: &ConnId) -> bool {
        self.at(conn) == Some(At::Waiting)
    }

    /// Seats a connection that waits for its answer; one that has a seat waits anew.
    pub(crate) fn seat_waiting(&mut self, conn: C, since: Option<Since>) {
        let odd = Odd { at: At::Waiting, since };
        if let Some(found) = self.seats.find(conn.id()) {
            self.seats.replace(found, conn);
            self.seats.set(found, Some(odd));
        } else {
            self.seats.push(conn, odd);
        }
    }

    pub(crate) fn remove(&mut self, conn: &ConnId) -> Option<C> {
        self.seats.remove(conn).map(|(conn, _)| conn)
    }

    /// Says where a member is now. What it came with is kept only while `keep_since`.
    pub(crate) fn put(&mut self, conn: &ConnId, at: At, keep_since: bool) {
        if let Some(found) = self.seats.find(conn) {
            let since = self.seats.odd_at(found).and_then(|odd| odd.since).filter(|_| keep_since);
            self.seats.set(found, Odd { at, since }.kept());
        }
    }

    /// Those who get the publication `offset` of the room, which has just come to it; `but` is its publisher where it
    /// doesn't want it back. Everyone is level afterwards, or further, or waits, or nowhere.
    pub(crate) fn due(&self, offset: u64, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        // Looked up once: to compare everyone's id would mean to fetch it from memory.
        let but = but.and_then(|conn| self.seats.find(conn));
        self.seats.each().enumerate().filter_map(move |(index, (conn, odd))| {
            let due = match at(odd) {
                At::Level => true,
                At::Beyond(has) => has < offset,
                At::Nowhere | At::Waiting => false,
            };
            (due && but != Some(index)).then_some(conn)
        })
    }

    /// Everyone whose join is answered, but one.
    pub(crate) fn here(&self, but: Option<&ConnId>) -> impl Iterator<Item = &C> + Clone {
        let here = move |(conn, odd): &(&C, Option<&Odd>)| at(*odd) != At::Waiting && but != Some(conn.id());
        self.seats.each().filter(here).map(|(conn, _)| conn)
    }

    /// The room has come to `offset`: who was just so far ahead is level now.
    pub(crate) fn caught_up(&mut self, offset: u64) {
        self.replace(false, |_, odd| {
            if matches!(odd.at, At::Beyond(has) if has <= offset) {
                odd.at = At::Level;
            }
        });
    }

    /// Goes through all whose join is answered and who aren't level (`all`: everyone answered), to place them anew.
    pub(crate) fn replace(&mut self, all: bool, mut place: impl FnMut(&C, &mut Odd)) {
        self.seats.revise(all, |conn, odd| {
            let mut odd = odd.copied().unwrap_or(Odd::PLAIN);
            if odd.at != At::Waiting && (all || odd.at != At::Level) {
                place(conn, &mut odd);
            }
            odd.kept()
        });
    }

    #[cfg(test)]
    pub(super) fn forget_all_since(&mut self) {
        self.seats.revise(false, |_, odd| Odd { at: at(odd), since: None }.kept());
    }

    /// Whether some member has no position.
    pub(crate) fn any_nowhere(&self) -> bool {
        self.seats.odd().any(|odd| odd.at == At::Nowhere)
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
        assert_eq!(members.at(&conn("c1")), Some(At::Level));
        members.remove(&conn("c2"));
        members.remove(&conn("c3"));
        assert_eq!((members.seats.odd().count(), due(&members, 8, None)), (0, 18));
    }

    #[test]
    fn who_sits_down_again_waits_again() {
        let mut members = seated(2);
        members.seat_waiting(actor("c0"), None);
        assert_eq!((members.len(), members.seats.odd().count()), (2, 1));
        assert!(members.is_waiting(&conn("c0")));
    }
}
