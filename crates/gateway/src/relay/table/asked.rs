//! When what a client asked is over: by an answer, or, where it was asked without an id, by what follows.

use ringway_names::NameNo;
use ringway_protocol::frame::Position;

use super::Table;
use super::around::NodeNo;
use super::ask::Kind;
use super::client::{Auth, Client};
use super::seat::Mark;

impl<R> Table<R> {
    /// A request has its answer. `at`: the room that this said a position in.
    pub(super) fn answered(
        &self,
        client: &mut Client,
        node: NodeNo,
        (id, ok): (u64, bool),
        at: Option<NameNo>,
    ) {
        let asked = &mut client.more().asked;
        let found = asked.iter().position(|asked| asked.node == node && asked.id == Some(id));
        let Some(asked) = found.and_then(|index| asked.remove(index)) else { return };
        match asked.kind {
            Kind::Join if ok => {
                let Some(seat) = client.seat(asked.room).filter(|seat| client.seats[*seat].node == node)
                else {
                    return;
                };
                let place = &mut client.seats[seat];
                if place.is(Mark::ServerAsked) || place.is(Mark::ByServer) {
                    let entered = place.is(Mark::Entered);
                    place.set(Mark::Again, entered);
                }
                let fresh = !place.is(Mark::Member);
                place.set(Mark::Member, true);
                place.set(Mark::ByServer, false);
                place.set(Mark::ServerAsked, false);
                if fresh && at != Some(asked.room) {
                    // It keeps the position that it has.
                    client.own.set(asked.room, asked.join.and_then(|join| join.since));
                }
            }
            Kind::Auth => end_auth(client, |auth| auth.node == node && auth.id == Some(id)),
            _ => {}
        }
    }
}

/// What came after an `auth` goes on, if that one is over.
pub(super) fn end_auth(client: &mut Client, is_over: impl FnOnce(&Auth) -> bool) {
    if let Some(more) = client.any_more_mut()
        && more.auth.as_ref().is_some_and(is_over)
    {
        more.auth = None;
    }
}

/// The client has entered the room: the first join that was asked without an id, if it is that one's turn, is done; those
/// that follow it will be refused. Gives back what that one came with.
pub(super) fn settle_joins(client: &mut Client, room: NameNo, node: NodeNo) -> Option<Position> {
    let more = client.any_more_mut()?;
    let mut since = None;
    let mut first = true;
    let mut leaves = false;
    more.asked.retain_mut(|asked| {
        if asked.room != room || asked.node != node || leaves {
            return true;
        }
        leaves = asked.kind == Kind::Leave;
        if asked.kind != Kind::Join || asked.id.is_some() {
            first &= asked.kind != Kind::Join;
            return true;
        }
        if std::mem::take(&mut first) {
            since = asked.join.take().and_then(|join| join.since);
        }
        false
    });
    since
}

/// The client is no member any more, or its join was refused: that join, if it was asked without an id, is done, and so
/// are leaves without one, up to the next join.
pub(super) fn settle_refused(client: &mut Client, room: NameNo, node: NodeNo, was_member: bool) {
    let Some(more) = client.any_more_mut() else { return };
    let mut refused = !was_member;
    let mut over = false;
    more.asked.retain(|asked| {
        if asked.room != room || asked.node != node || over {
            return true;
        }
        match asked.kind {
            Kind::Join if refused => {
                refused = false;
                asked.id.is_some()
            }
            Kind::Join => {
                over = true;
                true
            }
            Kind::Leave => asked.id.is_some(),
            _ => true,
        }
    });
}
