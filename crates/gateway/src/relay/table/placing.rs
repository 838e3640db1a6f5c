//! At which node it goes on, for what has none.

use ringway_link::{ConnNo, OpenAs, Rejoin, Up};
use ringway_protocol::Code;
use ringway_protocol::close::CloseCode;
use ringway_protocol::frame::{JoinResult, Joined, Left, ServerFrame};

use super::around::{Around, For, NodeNo};
use super::client::{Client, NOWHERE, Phase, Standing};
use super::frame::{No, RETRY, refuse, say};
use super::seat::Mark;
use super::{Rule, Table};

/// For so many seconds a node is looked for for what has none.
const TRIES: u8 = 10;

impl<R> Table<R> {
    /// [`work`](Self::work) will see to a client.
    pub(super) fn queue(&mut self, conn: ConnNo, client: &mut Client) {
        if !client.queued && matches!(client.phase, Phase::Begun | Phase::Live) {
            client.queued = true;
            self.queue.push_back(conn);
        }
    }

    /// Finds nodes for what of a client has none.
    pub(super) fn place<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, client: &mut Client) {
        client.queued = false;
        if !matches!(client.phase, Phase::Begun | Phase::Live) {
            return;
        }
        let not = client.not();
        let mut all = client.home != NOWHERE || self.place_home(around, conn, client, &not);
        for seat in (0..client.seats.len()).rev() {
            if client.seats[seat].node == NOWHERE {
                all &= self.place_seat(around, conn, client, seat, &not);
            }
        }
        if !all && !client.waiting {
            client.waiting = true;
            self.waiting.push(conn);
        }
        if all && let Some(more) = client.any_more_mut() {
            more.tries = 0;
        }
    }

    fn place_home<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        not: &[NodeNo],
    ) -> bool {
        let Some(node) = around.node_for(conn, For::Home, not) else { return false };
        match client.place(node).map(|place| place.standing) {
            Some(Standing::Closing) => false,
            Some(_) => {
                client.home = node;
                self.mend_roles(around, conn, client);
                true
            }
            None if client.phase == Phase::Begun => {
                self.open_at(around, conn, client, node, OpenAs::Home);
                client.home = node;
                around.up(node, &Up::Begin { conn });
                true
            }
            None => {
                let role = if self.keeps(Rule::Hello) { OpenAs::HomeAgain } else { OpenAs::Home };
                self.open_at(around, conn, client, node, role);
                client.home = node;
                if role == OpenAs::Home {
                    around.up(node, &Up::Begin { conn });
                }
                true
            }
        }
    }

    fn place_seat<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        seat: usize,
        not: &[NodeNo],
    ) -> bool {
        let name = client.seats[seat].room;
        if client.seats[seat].is(Mark::ServerAsked) {
            if client.phase == Phase::Begun {
                // The home does that, as it begins.
                client.seats[seat].node = client.home;
                return client.home != NOWHERE;
            }
            // It began at a node that is lost, and won't begin again. A `gap` will say where it is.
            let (room, result) = (self.rooms.get(name).clone(), JoinResult::default());
            around.say(conn, ServerFrame::Joined(Joined { room, result }));
            client.seats[seat].set(Mark::ServerAsked, false);
            client.seats[seat].set(Mark::Member, true);
            client.seats[seat].set(Mark::ByServer, true);
        }
        let member = client.seats[seat].is(Mark::Member);
        if !member {
            self.drop_if_unused(client, seat);
            if client.seat(name).is_none_or(|seat| client.seats[seat].node != NOWHERE) {
                return true;
            }
        }
        let room = self.rooms.get(name).clone();
        let Some(node) = around.node_for(conn, For::Room(&room), not) else { return false };
        if !self.is_open_at(around, conn, client, node) {
            return false;
        }
        client.seats[seat].node = node;
        if member {
            let by_server = client.seats[seat].is(Mark::ByServer);
            let since = client.own.get(name).cloned().filter(|_| self.keeps(Rule::Since));
            around.up(node, &Up::Rejoin(Rejoin { conn, room, by_server, since }));
        }
        let mut index = 0;
        while let Some(asked) = client.any_more_mut().and_then(|more| more.asked.get_mut(index)) {
            index += 1;
            if asked.room != name || asked.node != NOWHERE {
                continue;
            }
            (asked.node, asked.age) = (node, 0);
            let Some(join) = asked.join.take() else { continue };
            say(around, conn, client, node, join.text, &join.message);
            client.more().asked[index - 1].join = Some(join);
            self.watch(conn, client);
        }
        true
    }

    /// No node was found for too long.
    fn give_up<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, client: &mut Client) {
        client.more().tries = 0;
        for seat in (0..client.seats.len()).rev() {
            let name = client.seats[seat].room;
            if client.seats[seat].node != NOWHERE {
                continue;
            }
            let room = self.rooms.get(name).clone();
            client.more().asked.retain(|asked| {
                let again = asked.room == name && asked.node == NOWHERE;
                if again {
                    refuse(around, conn, asked.id, Some(&room), No::node());
                }
                !again
            });
            if client.seats[seat].is(Mark::Member) || client.seats[seat].is(Mark::ServerAsked) {
                let message = Some("no node could be reached".into());
                let left = Left { room, code: Code::Unavailable, message, retry: Some(RETRY) };
                around.say(conn, ServerFrame::Left(left));
            }
            client.end_membership(seat);
            self.drop_if_unused(client, seat);
        }
        if client.home == NOWHERE {
            around.close(conn, CloseCode::TRY_LATER.0, "no node could be reached");
        }
    }

    /// Looks again for nodes for those that found none.
    pub(super) fn try_again<A: Around<Room = R>>(&mut self, around: &mut A) {
        for conn in std::mem::take(&mut self.waiting) {
            let Some(mut client) = self.clients.take(conn) else { continue };
            if std::mem::take(&mut client.waiting) && client.phase != Phase::Gone && client.is_homeless() {
                let more = client.more();
                more.not.clear();
                more.tries += 1;
                self.place(around, conn, &mut client);
                if client.waiting && client.more().tries >= TRIES {
                    self.give_up(around, conn, &mut client);
                }
            }
            self.settle(around, conn, client);
        }
    }
}
