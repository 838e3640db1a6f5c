//! What should be elsewhere, and what only time tells.

use ringway_link::{ConnNo, OpenAs, Up};

use super::around::{Around, For};
use super::client::{Client, NOWHERE, Phase, Standing};
use super::opens::{close, is_used};
use super::seat::Mark;
use super::{Rule, Table, Work};

/// For so many seconds a room stays where it was asked for, without a membership: as long as something that was asked without an
/// id may be under way there. After these that is over, whatever came of it.
const VISIT: u8 = 10;

/// For so many seconds a client stays open at a further node that it has nothing to do with.
const IDLE: u8 = 30;

/// After so many seconds the word that belongs to an `Exit` has come, whatever it was: longer than any link that is lost is silent.
const TOLD: u8 = 5;

/// For so many seconds a node that refused a client isn't asked to take it again, but where there is no other.
const REFUSED: u8 = 10;

impl<R> Table<R> {
    /// `Around::node_for` may say something else from here on: [`work`](Self::work) moves all that should be elsewhere.
    pub(crate) fn look_again(&mut self) {
        self.look.1 = self.clients.end();
    }

    /// Places what has no node, and moves what should be elsewhere: about `budget` memberships.
    pub(crate) fn work<A: Around<Room = R>>(&mut self, around: &mut A, budget: usize) -> Work {
        let mut left = budget;
        while left > 0
            && let Some(conn) = self.next()
        {
            let Some(mut client) = self.clients.take(conn) else { continue };
            if client.phase == Phase::Begun || client.phase == Phase::Live {
                left = left.saturating_sub(1 + client.seats.len());
                self.place(around, conn, &mut client);
                self.look_at(around, conn, &mut client);
            }
            self.settle(around, conn, client);
        }
        if self.queue.is_empty() && self.look.1 == 0 { Work::Done } else { Work::More }
    }

    /// Who has no node first; then one after the other.
    fn next(&mut self) -> Option<ConnNo> {
        while let Some(conn) = self.queue.pop_front() {
            if self.clients.get(conn).is_some_and(|client| client.queued) {
                return Some(conn);
            }
        }
        if self.queue.capacity() > 0 {
            self.queue.shrink_to_fit();
        }
        self.look.1 = self.look.1.checked_sub(1)?;
        let conn = if self.look.0 < self.clients.end() { self.look.0 } else { 0 };
        self.look.0 = conn + 1;
        Some(ConnNo(conn))
    }

    /// Moves what of a client should be elsewhere.
    pub(super) fn look_at<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, client: &mut Client) {
        if client.phase != Phase::Live {
            return;
        }
        let not = client.not();
        if client.home != NOWHERE
            && let Some(home) = around.node_for(conn, For::Home, &not)
            && home != client.home
        {
            match client.place(home).map(|place| place.standing) {
                // It is looked at again when it has ended there.
                Some(Standing::Closing) => {}
                Some(_) => {
                    client.home = home;
                    self.mend_roles(around, conn, client);
                }
                None => {
                    self.open_at(around, conn, client, home, OpenAs::HomeAgain);
                    client.home = home;
                }
            }
        }
        for seat in (0..client.seats.len()).rev() {
            let (name, node) = (client.seats[seat].room, client.seats[seat].node);
            if node == NOWHERE || client.seats[seat].is(Mark::Moving) {
                continue;
            }
            let room = self.rooms.get(name);
            let Some(home) = around.node_for(conn, For::Room(room), &not).filter(|home| *home != node) else {
                continue;
            };
            let of_it = client.asked().any(|asked| asked.room == name);
            let is_visitor = client.seats[seat].is_visitor();
            if !of_it && is_visitor && !client.seats[seat].is(Mark::Unsure) {
                self.remove_seat(client, seat);
            } else if is_visitor && !self.keeps(Rule::Barrier) {
                if self.is_open_at(around, conn, client, home) {
                    client.seats[seat].node = home;
                }
            } else {
                self.move_seat(around, conn, client, seat);
            }
        }
        Self::leave_former(around, conn, client);
    }

    pub(super) fn move_seat<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        seat: usize,
    ) {
        let room = self.rooms.get(client.seats[seat].room).clone();
        client.seats[seat].set(Mark::Moving, true);
        around.up(client.seats[seat].node, &Up::Move { conn, room });
    }

    /// A second has passed: what couldn't be placed is tried again, and given up after ten; further nodes that a client has
    /// had nothing to do with for 30 are closed to it.
    pub(crate) fn tick<A: Around<Room = R>>(&mut self, around: &mut A) {
        self.try_again(around);
        for conn in std::mem::take(&mut self.watched) {
            let Some(mut client) = self.clients.take(conn) else { continue };
            if std::mem::take(&mut client.watched) && client.phase != Phase::Gone {
                self.age(around, conn, &mut client);
                if client.queued {
                    self.place(around, conn, &mut client);
                    self.look_at(around, conn, &mut client);
                }
            }
            self.settle(around, conn, client);
        }
    }

    fn age<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, client: &mut Client) {
        let mut watch = false;
        if let Some(more) = client.any_more_mut() {
            more.untold.retain_mut(|untold| {
                untold.age += 1;
                untold.age < TOLD
            });
            more.refused += u8::from(!more.not.is_empty());
            watch = !more.untold.is_empty() || !more.not.is_empty();
            // What was refused before it came to its room is answered without an id, and nothing else follows.
            more.asked.retain_mut(|asked| {
                if asked.id.is_some() || asked.node == NOWHERE {
                    return true;
                }
                asked.age += 1;
                watch |= asked.age < VISIT;
                asked.age < VISIT
            });
            if more.refused >= REFUSED {
                (more.not, more.refused) = (Vec::new(), 0);
                self.queue(conn, client);
            }
        }
        let asked = client.asked_rooms();
        for seat in (0..client.seats.len()).rev() {
            if !client.seats[seat].is_visitor() {
                continue;
            }
            client.seats[seat].age = client.seats[seat].age.saturating_add(1);
            if client.seats[seat].age >= VISIT && asked.binary_search(&client.seats[seat].room).is_err() {
                self.remove_seat(client, seat);
            } else {
                watch = true;
            }
        }
        if !watch {
            // Nothing more comes, for all that is known.
            client.seats.shrink_to_fit();
        }
        for index in 0..client.places.len() {
            let node = client.places[index].node;
            let idle = node != client.home && !client.places[index].as_home && !is_used(client, node);
            let place = &mut client.places[index];
            place.idle = if idle { place.idle.saturating_add(1) } else { 0 };
            if idle && (place.idle >= IDLE || place.former) {
                close(around, conn, place);
            }
        }
        if watch || client.places.len() > 1 {
            self.watch(conn, client);
        }
    }
}
