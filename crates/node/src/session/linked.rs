//! The session of a connection whose socket a gateway holds: begun, fed and ended by its link's task.

use std::ops::ControlFlow;
use std::sync::Arc;

use ringway_auth::{Mode, TICKET_SECONDS, Ticket};
use ringway_edge::Message;
use ringway_link::{Down, Exit};
use ringway_protocol::frame::ClientFrame;
use ringway_protocol::name::RoomName;

use super::refusals::Came;
use super::{Beginning, Session, Wait};
use crate::clock;
use crate::conn::ConnRef;
use crate::node::Inner;
use crate::shard::{Command, Op, Rejoin};
use crate::tenant::{Place, TenantHere};
use crate::way::Linked;

/// A connection behind a link that was let in. Without a place it counts on another node.
#[derive(Debug)]
pub(crate) struct CameBy {
    pub(crate) ticket: Ticket,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) place: Option<Place>,
}

/// What came of a message.
pub(crate) struct Heard {
    /// `Break`: nothing that follows it is read.
    pub(crate) flow: ControlFlow<(), Option<Wait>>,
    /// Its gateway holds back what follows until it is done.
    pub(crate) others_wait: bool,
}

impl Session {
    /// A session of which nothing is known yet but who it is, and what it begins with if this node is its home.
    pub(crate) fn of_link(
        node: Arc<Inner>,
        linked: Linked,
        came: CameBy,
        span: &tracing::Span,
    ) -> (Session, Beginning) {
        let CameBy { ticket, tenant, place } = came;
        let (mut session, beginning) = Session::new(node, linked, ticket, tenant, span);
        session.place = place;
        (session, beginning)
    }

    pub(crate) fn conn(&self) -> &ConnRef {
        &self.conn
    }

    /// This node is its home from now on, another's before.
    pub(crate) fn comes_home(&mut self, place: Place) {
        self.place = Some(place);
        self.arrive();
    }

    /// Another node is its home from now on; some of its rooms may be here.
    pub(crate) fn leaves_home(&mut self) {
        self.depart();
    }

    /// A message of its client.
    pub(crate) fn hear(&mut self, text: bool, message: &[u8]) -> Heard {
        let message = if text { Message::Text(message) } else { Message::Binary(message) };
        let came = Came::read(self.conn.format, &message);
        let others_wait = matches!(came.frame, Ok(ClientFrame::Auth(_)));
        Heard { others_wait, flow: self.take_one(came) }
    }

    /// What comes now has come at another time than what was refused before.
    pub(crate) fn rested(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.patience.read();
        }
    }

    /// A membership goes on here.
    pub(crate) fn rejoin(&mut self, room: RoomName, again: Rejoin) -> Option<Wait> {
        self.hand_to_shard(room, Op::Rejoin(again))
    }

    /// A membership goes on elsewhere.
    pub(crate) fn move_away(&mut self, room: RoomName) -> Option<Wait> {
        self.hand_to_shard(room, Op::Move)
    }

    /// It has other rights, by a ticket of the node that is its home.
    pub(crate) fn renew(&mut self, ticket: Ticket) -> Option<Wait> {
        let grants = self.node.grants.same(ticket.grants);
        self.conn.renew(grants.clone(), ticket.expires);
        self.node.registry.watch_end(&self.conn, clock::wall_seconds());
        self.tell_shards(|| Command::Regranted(self.conn.clone(), grants.clone()))
    }

    /// Its client, or its link, has gone. `at_home`: it was one of this node's.
    pub(crate) fn end_by_link(&mut self, at_home: bool) -> Option<Wait> {
        if at_home {
            self.depart();
        }
        self.place = None;
        let conn = &self.conn;
        if let Some(linked) = conn.way.linked() {
            linked.end();
        }
        let last_word = Some(self.node.relay.last_word(conn));
        self.tell_shards(|| Command::Gone(conn.clone(), last_word.clone()))
    }

    /// Tells its gateway that it never was in a room that the server was to join.
    pub(super) fn tell_gateway_of_no(&self, room: &RoomName) {
        if let Some(linked) = self.conn.way.linked() {
            let (conn, room) = (linked.number(), room.clone());
            linked.link().push_for_task(&Down::Exit { conn, room, why: Exit::Left });
        }
    }

    /// Tells its gateway what it may do from now on, for the further nodes.
    pub(super) fn tell_gateway_of_rights(&self) {
        let conn = &self.conn;
        let Some(linked) = conn.way.linked() else { return };
        let ticket = Ticket {
            tenant: conn.tenant.id.clone(),
            user: conn.user.clone(),
            grants: conn.grants.lock().clone(),
            info: None,
            join: Vec::new(),
            session: conn.session.clone(),
            room: self.home.clone(),
            since: None,
            conn: conn.id.clone(),
            gateway: self.node.id.to_string(),
            peer: String::new(),
            client: None,
            format: conn.format,
            mode: Mode::Relay,
            expires: (conn.expires() != u64::MAX).then(|| conn.expires()),
            exp: clock::wall_seconds() + TICKET_SECONDS,
        };
        let ticket = self.node.ticket_key.seal(&ticket);
        linked.link().push_for_task(&Down::Renewed { conn: linked.number(), ticket: &ticket });
    }
}
