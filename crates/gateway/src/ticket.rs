//! From a client that was let in to the ticket that a node believes.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringway_auth::{Mode, SessionKey, TICKET_SECONDS, Ticket, TicketError, TicketKey};
use ringway_protocol::{ConnId, Format, SessionId};
use ringway_ring::{KeyHash, NodeId};

use crate::accept::Parameters;
use crate::auth::Client;
use crate::clock::now_s;

/// Makes tickets, and reads the sessions that clients give back.
#[derive(Debug)]
pub(crate) struct Tickets {
    gateway: NodeId,
    tickets: TicketKey,
    sessions: SessionKey,
}

impl Tickets {
    pub(crate) fn new(gateway: NodeId, secret: &[u8]) -> Self {
        Self { gateway, tickets: TicketKey::new(secret), sessions: SessionKey::new(secret) }
    }

    /// A ticket for a new connection of this client.
    ///
    /// `session` is what the client gave back: it goes on with that session if it is one of ours, not over, and of the
    /// same tenant and user; else it begins a new one, without being told off. A session is a convenience of a
    /// client that is let in anyway.
    pub(crate) fn issue(
        &self,
        client: &Client,
        parameters: Parameters,
        session: Option<&str>,
        (format, mode): (Format, Mode),
        peer: SocketAddr,
    ) -> Ticket {
        let identity = client.identity.clone();
        Ticket {
            session: session.and_then(|text| self.session(client, text)).unwrap_or_else(new_session),
            tenant: identity.tenant,
            user: identity.user,
            grants: identity.grants,
            info: identity.info,
            join: identity.join,
            room: parameters.room,
            since: parameters.since,
            conn: new_connection(),
            gateway: self.gateway.to_string(),
            peer: peer.to_string(),
            client: parameters.client,
            format,
            mode,
            expires: identity.expires,
            exp: now_s() + TICKET_SECONDS,
        }
    }

    pub(crate) fn seal(&self, ticket: &Ticket) -> String {
        self.tickets.seal(ticket)
    }

    /// A ticket that a node of this cluster sealed.
    pub(crate) fn open(&self, sealed: &str) -> Result<Ticket, TicketError> {
        self.tickets.open(sealed, now_s())
    }

    fn session(&self, client: &Client, text: &str) -> Option<SessionId> {
        let token = self.sessions.open(text, now_s()).ok()?;
        let same = token.tenant == client.identity.tenant && token.user == client.identity.user;
        same.then_some(token.session)
    }
}

/// What the connection of a ticket is placed by: its home room, else its user, else its own id.
pub(crate) fn key(ticket: &Ticket) -> KeyHash {
    match (&ticket.room, &ticket.user) {
        (Some(room), _) => KeyHash::of_room(&ticket.tenant, room),
        (None, Some(user)) => KeyHash::of_user(&ticket.tenant, user),
        (None, None) => KeyHash::of(&ticket.tenant, ticket.conn.as_str()),
    }
}

/// An id that no connection has had.
pub(crate) fn new_connection() -> ConnId {
    random().parse().expect("base64url of 16 bytes is an id")
}

fn new_session() -> SessionId {
    random().parse().expect("base64url of 16 bytes is an id")
}

/// 128 bits: nobody guesses another's id, and no two are alike.
fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}
