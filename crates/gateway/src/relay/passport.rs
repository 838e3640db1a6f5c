//! Who a client is, kept for as long as it stays: small, since every client has one, and read only when a node is to be
//! told of it, which is seldom.

use std::fmt;

use ringway_auth::{Grants, Mode, TICKET_SECONDS, Ticket};
use ringway_protocol::Format;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, EpochName, RoomName, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};

/// A client's identity, packed: all that its ticket says but when that ends.
#[derive(Clone)]
pub(crate) struct Passport(Box<[u8]>);

#[derive(Serialize, Deserialize)]
struct Packed {
    tenant: TenantId,
    user: Option<UserId>,
    grants: Grants,
    /// As JSON.
    info: Option<String>,
    join: Vec<RoomName>,
    session: SessionId,
    room: Option<RoomName>,
    since: Option<(EpochName, u64, Option<u64>)>,
    conn: ConnId,
    peer: String,
    client: Option<String>,
    text: bool,
    expires: Option<u64>,
}

impl Passport {
    /// Of who has this ticket.
    pub(crate) fn of(ticket: &Ticket) -> Self {
        let packed = Packed {
            tenant: ticket.tenant.clone(),
            user: ticket.user.clone(),
            grants: ticket.grants.clone(),
            info: ticket.info.as_ref().map(ToString::to_string),
            join: ticket.join.clone(),
            session: ticket.session.clone(),
            room: ticket.room.clone(),
            since: ticket.since.clone().map(|Position { epoch, offset, ts }| (epoch, offset, ts)),
            conn: ticket.conn.clone(),
            peer: ticket.peer.clone(),
            client: ticket.client.clone(),
            text: ticket.format == Format::Json,
            expires: ticket.expires,
        };
        Self(rmp_serde::to_vec(&packed).expect("a Vec takes everything, and names are text").into())
    }

    /// A ticket for another node, good from `now` on (seconds since 1970): from `gateway`, which vouches.
    pub(crate) fn ticket(&self, gateway: &str, now: u64) -> Ticket {
        let packed = self.unpack();
        Ticket {
            tenant: packed.tenant,
            user: packed.user,
            grants: packed.grants,
            info: packed.info.and_then(|info| serde_json::from_str(&info).ok()),
            join: packed.join,
            session: packed.session,
            room: packed.room,
            since: packed.since.map(|(epoch, offset, ts)| Position { epoch, offset, ts }),
            conn: packed.conn,
            gateway: gateway.to_owned(),
            peer: packed.peer,
            client: packed.client,
            format: if packed.text { Format::Json } else { Format::Msgpack },
            mode: Mode::Relay,
            expires: packed.expires,
            exp: now + TICKET_SECONDS,
        }
    }

    /// The same client with the rights, the end and the user's data of another ticket.
    pub(crate) fn renewed(&self, by: &Ticket) -> Self {
        let mut ticket = self.ticket("", 0);
        ticket.grants = by.grants.clone();
        ticket.info = by.info.clone();
        ticket.expires = by.expires;
        Self::of(&ticket)
    }

    /// Its home room.
    pub(crate) fn room(&self) -> Option<RoomName> {
        self.unpack().room
    }

    /// Its session.
    pub(crate) fn session(&self) -> SessionId {
        self.unpack().session
    }

    fn unpack(&self) -> Packed {
        rmp_serde::from_slice(&self.0).expect("this process wrote it")
    }
}

impl fmt::Debug for Passport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passport")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_auth::{Grant, Right};
    use ringway_protocol::Pattern;

    fn ticket() -> Ticket {
        let grant = Grant {
            rooms: Pattern::parse("$user.**").expect("a pattern"),
            rights: [Right::Join, Right::Publish].into_iter().collect(),
        };
        Ticket {
            tenant: "acme".parse().expect("a tenant"),
            user: Some("ann".parse().expect("a user")),
            grants: vec![grant].into(),
            info: Some(serde_json::json!({"name": "Ann", "n": [1, 2.5, null]})),
            join: vec!["ann.news".parse().expect("a room")],
            session: "s".parse().expect("a session"),
            room: Some("r".parse().expect("a room")),
            since: Some(Position { epoch: "e".parse().expect("an epoch"), offset: 7, ts: Some(9) }),
            conn: "c".parse().expect("an id"),
            gateway: "gateway-1".to_owned(),
            peer: "10.0.0.1:9".to_owned(),
            client: Some("js/1".to_owned()),
            format: Format::Msgpack,
            mode: Mode::Relay,
            expires: Some(99),
            exp: 40 + TICKET_SECONDS,
        }
    }

    #[test]
    fn a_ticket_comes_back_with_another_end() {
        let bare = Ticket {
            user: None,
            info: None,
            join: Vec::new(),
            room: None,
            since: None,
            client: None,
            expires: None,
            format: Format::Json,
            ..ticket()
        };
        for ticket in [ticket(), bare] {
            let passport = Passport::of(&Ticket { exp: 1, ..ticket.clone() });
            assert_eq!(passport.ticket("gateway-1", 40), ticket);
            assert_eq!((passport.room(), passport.session()), (ticket.room, ticket.session));
        }
    }

    #[test]
    fn other_rights_hold_and_the_rest_stays() {
        let by = Ticket {
            grants: Grants::none(),
            info: None,
            expires: Some(5),
            join: Vec::new(),
            room: None,
            since: None,
            peer: "elsewhere".to_owned(),
            ..ticket()
        };
        let renewed = Passport::of(&ticket()).renewed(&by).ticket("gateway-1", 40);
        assert_eq!(renewed, Ticket { grants: Grants::none(), info: None, expires: Some(5), ..ticket() });
    }

    #[test]
    fn a_client_without_data_of_its_own_is_small() {
        let grant = Grant {
            rooms: Pattern::parse("**").expect("a pattern"),
            rights: Right::ALL.into_iter().collect(),
        };
        let ticket = Ticket {
            grants: vec![grant].into(),
            info: None,
            join: Vec::new(),
            since: None,
            client: None,
            session: "0123456789abcdefghijkl".parse().expect("a session"),
            conn: "0123456789abcdefghijkl".parse().expect("an id"),
            ..ticket()
        };
        let size = Passport::of(&ticket).0.len();
        assert!(size <= 128, "{size}");
    }
}
