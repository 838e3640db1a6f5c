//! What becomes of what was at a node that is lost, or refuses.

use ringway_link::ConnNo;
use ringway_protocol::Code;
use ringway_protocol::frame::{Left, ServerFrame};

use super::around::{Around, NodeNo, NotOpened};
use super::ask::Kind;
use super::client::{Asked, Auth, Client, NOWHERE, Phase, Standing};
use super::frame::{No, done, refuse};
use super::{Rule, Table};

/// After which time, in milliseconds, a publication whose fate is unknown may be sent again, with the same `mid`: as nodes say.
const UNKNOWN_RETRY: u64 = 1_500;

/// Why a client has nothing at a node any more.
#[derive(Debug)]
pub(super) enum Loss {
    /// The link is gone: what was asked may have been done.
    Link,
    /// The node doesn't take the client: nothing was done.
    Refused(NotOpened),
}

impl<R> Table<R> {
    /// The link to a node is gone, or couldn't be made, with all that was said to the node and isn't answered. What is said to
    /// it from here on goes over another link. Call [`look_again`](Self::look_again) where the node is to be passed over from
    /// here on, before anything else. Clients whose requests were outstanding are told at once; their rooms are asked for at
    /// other nodes by [`work`](Self::work). Also where a link that nothing [`uses`](Self::uses) was closed: its rooms are forgotten.
    pub(crate) fn link_lost<A: Around<Room = R>>(&mut self, around: &mut A, node: NodeNo) {
        if usize::from(node.0) >= self.nodes.len() {
            return;
        }
        // A link that nothing uses costs no look at all clients.
        let end = if self.uses(node) { self.clients.end() } else { 0 };
        for number in 0..end {
            let conn = ConnNo(number);
            let Some(mut client) = self.clients.take(conn) else { continue };
            match client.place(node).map(|place| place.standing) {
                None => {}
                Some(Standing::Closing) => self.forget_place(conn, &mut client, node),
                Some(_) => self.place_lost(around, conn, &mut client, node, &Loss::Link),
            }
            // What waits goes on when `work` has looked where.
            self.put_back(conn, client);
        }
        for room in std::mem::take(&mut self.node(node).rooms).into_iter().flatten() {
            self.rooms.release(room.room);
            self.tenants.release(room.tenant);
        }
    }

    /// A client has nothing at a node any more where it had something.
    pub(super) fn place_lost<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        node: NodeNo,
        loss: &Loss,
    ) {
        self.take_out_at(client, node);
        self.answer_for(around, conn, client, node, loss);
        for seat in (0..client.seats.len()).rev() {
            if client.seats[seat].node != node {
                continue;
            }
            client.seats[seat].uproot();
            self.drop_if_unused(client, seat);
        }
        let was_home = client.home == node;
        if was_home {
            client.home = NOWHERE;
        }
        self.forget_place(conn, client, node);
        if was_home && client.phase == Phase::Opening {
            let why = match loss {
                Loss::Link => NotOpened::Lost,
                Loss::Refused(why) => why.clone(),
            };
            around.opened(conn, Err(why));
        }
    }

    /// A seat that has no node goes, where nothing of it needs one.
    pub(super) fn drop_if_unused(&mut self, client: &mut Client, seat: usize) {
        let (room, is_visitor) = (client.seats[seat].room, client.seats[seat].is_visitor());
        if !is_visitor {
            return;
        }
        let first = client.asked().find(|asked| asked.room == room).map(|asked| asked.node);
        let again = client.asked().any(|asked| asked.room == room && asked.node == NOWHERE);
        match first {
            None => self.remove_seat(client, seat),
            // It is asked for again.
            Some(_) if again => {}
            // Only the answers are still to come.
            Some(node) => client.seats[seat].node = node,
        }
    }

    /// Answers what was asked of a node, where it isn't to be asked again.
    fn answer_for<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        node: NodeNo,
        loss: &Loss,
    ) {
        let Some(more) = client.any_more_mut() else { return };
        let mut no = No::unavailable("the node was lost");
        if let Loss::Refused(NotOpened::Refused { retry, .. }) = loss {
            no = No { retry: retry.or(no.retry), ..No::unavailable("the room's node takes no connections") };
        }
        if let Some(Auth { id, .. }) = more.auth.take_if(|auth| auth.node == node)
            && id.is_none()
        {
            refuse(around, conn, None, None, no.clone());
        }
        more.untold.retain(|untold| {
            if untold.node == node {
                let (room, message) = (untold.room.clone(), Some(no.message.into()));
                let left = Left { room, code: Code::Unavailable, message, retry: no.retry };
                around.say(conn, ServerFrame::Left(left));
            }
            untold.node != node
        });
        let mut asked = std::mem::take(&mut more.asked);
        let mut kept = std::collections::VecDeque::new();
        while let Some(mut ask) = asked.pop_front() {
            if ask.node != node {
                kept.push_back(ask);
                continue;
            }
            if !self.keeps(Rule::Answers) {
                continue;
            }
            let room = (ask.kind.is_about_room()).then(|| self.rooms.get(ask.room));
            let follows =
                |later: &Asked| later.room == ask.room && later.node == node && later.kind == Kind::Leave;
            let can_ask = ask.join.as_ref().is_some_and(|join| !join.message.is_empty());
            let left = self.keeps(Rule::Leaves) && asked.iter().any(follows);
            match (ask.kind, ask.id, loss) {
                (Kind::Publish, id, Loss::Link) => {
                    let message = "the node was lost: it may have been published or not";
                    let retry = Some(UNKNOWN_RETRY);
                    refuse(around, conn, id, room, No { code: Code::OutcomeUnknown, message, retry });
                }
                (Kind::Leave, id, _) => {
                    if let (Some(id), Some(room)) = (id, room) {
                        done(around, conn, id, room);
                    }
                    if let Some(seat) = client.seat(ask.room).filter(|seat| client.seats[*seat].node == node)
                    {
                        client.end_membership(seat);
                    }
                }
                (Kind::Join, None, _) if left => {}
                (Kind::Join, _, Loss::Link) if !left && can_ask => {
                    if self.keeps(Rule::Again) {
                        ask.node = NOWHERE;
                        kept.push_back(ask);
                    }
                }
                (_, id, _) => refuse(around, conn, id, room, no.clone()),
            }
        }
        if kept.capacity() > 4 * kept.len() {
            kept.shrink_to_fit();
        }
        client.more().asked = kept;
    }
}
