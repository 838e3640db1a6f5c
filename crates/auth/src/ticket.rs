//! Tickets: what a gateway hands a node with each connection, instead of the client's token.
//!
//! The node believes nothing else. That a ticket is used once is for the node to see to, by its connection id.

use ringway_protocol::code::Code;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, EpochName, RoomName, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::is_for;
use crate::grants::Grants;
use crate::jwt::{Broken, SharedSecret};

/// How long a ticket can be used, in seconds: a way through a busy gateway, not a way back after lunch.
pub const TICKET_SECONDS: u64 = 30;

/// The version of the internal hop that tickets of this release are for.
pub const HOP_VERSION: u16 = 1;

const AUDIENCE: &str = "ringway-ticket";

/// How the client's bytes reach the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Through a gateway that moves bytes.
    Tunnel,
    /// By the client's own connection to the node.
    Direct,
    /// Over a gateway's link, as frames: the gateway holds the socket. The node may be one of several that hold
    /// the connection.
    Relay,
}

/// One connection, as its gateway vouches for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The client's tenant.
    pub tenant: TenantId,
    /// Its user, if it has one.
    pub user: Option<UserId>,
    /// What it may do.
    pub grants: Grants,
    /// What presence shows of it.
    pub info: Option<Value>,
    /// Rooms to join it to without asking.
    pub join: Vec<RoomName>,
    /// Its session.
    pub session: SessionId,
    /// Its home room, if it named one.
    pub room: Option<RoomName>,
    /// Where it wants to resume its home room.
    pub since: Option<Position>,
    /// Its connection's id: new for each ticket, so a node knows a ticket that it has seen.
    pub conn: ConnId,
    /// The gateway that vouches.
    pub gateway: String,
    /// The client's address. For limits and logs only.
    pub peer: String,
    /// What the client calls itself (`NAME/VERSION`).
    pub client: Option<String>,
    /// The form of its frames.
    pub format: Format,
    /// How its bytes come.
    pub mode: Mode,
    /// When its token ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// When the ticket itself ends, in seconds since 1970: [`TICKET_SECONDS`] after it was made.
    pub exp: u64,
}

/// Why a ticket isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not one that the cluster's secret signed, or a signed string of another kind.
    #[error("not a ticket signed with the cluster's secret")]
    NotOurs,
    /// Signed by a release that says more than this one understands.
    #[error("a ticket of hop version {0}; this release knows {HOP_VERSION}")]
    Version(u16),
    /// Signed, but not readable: a release that differs too much.
    #[error("a signed ticket that can't be read; do the releases fit together?")]
    Unreadable,
    /// Too late.
    #[error("the ticket is older than {TICKET_SECONDS} s, or the clocks differ")]
    Expired,
}

impl TicketError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Expired => Code::Expired,
            Self::NotOurs | Self::Version(_) | Self::Unreadable => Code::TokenInvalid,
        }
    }
}

impl From<Broken> for TicketError {
    fn from(_: Broken) -> Self {
        Self::NotOurs
    }
}

/// The cluster's secret, as far as tickets go. The configuration sees to it that it is long enough.
pub struct TicketKey(SharedSecret);

impl TicketKey {
    /// From the cluster's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(SharedSecret::new(secret))
    }

    /// The ticket as a signed string.
    pub fn seal(&self, ticket: &Ticket) -> String {
        self.0.seal(&Sealed::from(ticket.clone()))
    }

    /// The ticket in a signed string. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It isn't one of ours, isn't understood, or is over.
    pub fn open(&self, text: &str, now: u64) -> Result<Ticket, TicketError> {
        let claims = self.0.open(text)?;
        check(&claims, AUDIENCE)?;
        let ticket: Ticket =
            serde_json::from_slice::<Sealed>(&claims).map_err(|_| TicketError::Unreadable)?.into();
        if now < ticket.exp { Ok(ticket) } else { Err(TicketError::Expired) }
    }
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey")
    }
}

/// Whether signed claims are for that audience, and of this release's hop.
pub(crate) fn check(claims: &[u8], audience: &str) -> Result<(), TicketError> {
    #[derive(Deserialize)]
    struct Kind {
        aud: Option<Value>,
        ver: Option<u16>,
    }
    let kind: Kind = serde_json::from_slice(claims).map_err(|_| TicketError::NotOurs)?;
    if !is_for(kind.aud.as_ref(), audience) {
        return Err(TicketError::NotOurs);
    }
    match kind.ver {
        Some(HOP_VERSION) => Ok(()),
        Some(other) => Err(TicketError::Version(other)),
        None => Err(TicketError::Unreadable),
    }
}

/// A ticket as it is written.
#[derive(Serialize, Deserialize)]
struct Sealed {
    aud: String,
    ver: u16,
    exp: u64,
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<UserId>,
    grants: Grants,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    info: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    join: Vec<RoomName>,
    session: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<RoomName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
    conn: ConnId,
    gateway: String,
    peer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    format: Form,
    mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Since {
    epoch: EpochName,
    offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Json,
    Msgpack,
}

impl From<Ticket> for Sealed {
    fn from(ticket: Ticket) -> Self {
        Self {
            aud: AUDIENCE.to_owned(),
            ver: HOP_VERSION,
            exp: ticket.exp,
            tenant: ticket.tenant,
            sub: ticket.user,
            grants: ticket.grants,
            info: ticket.info,
            join: ticket.join,
            session: ticket.session,
            room: ticket.room,
            since: ticket.since.map(|Position { epoch, offset, ts }| Since { epoch, offset, ts }),
            conn: ticket.conn,
            gateway: ticket.gateway,
            peer: ticket.peer,
            client: ticket.client,
            format: match ticket.format {
                Format::Json => Form::Json,
                Format::Msgpack => Form::Msgpack,
            },
            mode: ticket.mode,
            expires: ticket.expires,
        }
    }
}

impl From<Sealed> for Ticket {
    fn from(sealed: Sealed) -> Self {
        Self {
            tenant: sealed.tenant,
            user: sealed.sub,
            grants: sealed.grants,
            info: sealed.info,
            join: sealed.join,
            session: sealed.session,
            room: sealed.room,
            since: sealed.since.map(|Since { epoch, offset, ts }| Position { epoch, offset, ts }),
            conn: sealed.conn,
            gateway: sealed.gateway,
            peer: sealed.peer,
            client: sealed.client,
            format: match sealed.format {
                Form::Json => Format::Json,
                Form::Msgpack => Format::Msgpack,
            },
            mode: sealed.mode,
            expires: sealed.expires,
            exp: sealed.exp,
        }
    }
}
