//! How a target is spoken to: from the upgrade to a message that everyone in a room gets.
//!
//! A message's body is ASCII of a chosen length that begins with a [`Stamp`](stamp): whatever a server wraps around it, the
//! stamp is found again in what arrives, so a delivery costs the generator a search and no decoding.

mod centrifugo;
mod plain;
pub(crate) mod ringway;
mod socketio;
pub(crate) mod stamp;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::worker::frame::Outgoing;
use crate::worker::membership::{Room, Rooms};

/// Which dialect, with what it needs. Goes from the conductor to its workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "dialect", rename_all = "snake_case")]
pub(crate) enum Spec {
    /// Every message that a connection sends goes to all connections as it is (`/`), or back to its sender alone (`/echo`,
    /// where [`Membership::Own`](crate::control::Membership::Own) is asked for): the floor, and what tutorials build.
    Plain,
    /// Ringway.
    Ringway {
        format: Format,
        /// Of the rooms.
        policy: Policy,
        /// Who lets a connection in.
        pass: Pass,
    },
    /// Socket.IO v4 over Engine.IO, WebSocket from the start; the server sends `message` events on to everyone.
    SocketIo,
    /// Centrifugo's JSON protocol; channels by room number, publishing by clients allowed, no token.
    Centrifugo,
}

/// What becomes of a member of a room that doesn't keep up; the room's name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// What the server does where nothing is said.
    Disconnect,
    DropOldest,
    Conflate,
}

impl Policy {
    /// What the names of its rooms begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Policy::Disconnect => "",
            Policy::DropOldest => "drop_oldest.",
            Policy::Conflate => "conflate.",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Msgpack,
}

/// What a Ringway connection shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "pass", rename_all = "snake_case")]
pub(crate) enum Pass {
    /// A token of its own for each user (`u0`, `u1` …), signed by HS256 with this secret: `/v1/ws` of a gateway or `serve`.
    Token { secret: String, tenant: String },
    /// A ticket, as `/v1/locate` gives it, sealed with the cluster's secret by the generator itself: a node's own port.
    Ticket { secret: String, tenant: String },
    /// A token, shown to a gateway's `/v1/locate`; then the URL that this gives, with a ticket: a node's own port.
    Located { secret: String, tenant: String },
    /// None: authentication is off.
    Open,
}

/// A connection, as far as its dialect must know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// Counted over all workers.
    pub(crate) number: usize,
    /// Where it comes from, where that is chosen.
    pub(crate) source: Option<IpAddr>,
    /// What it joins: one room at least, the home room first.
    pub(crate) rooms: &'a [Room],
    /// The plan that these are from.
    pub(crate) plan: &'a Rooms,
}

/// What a connection asks for in its upgrade.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// Path and query.
    pub(crate) target: String,
    /// Further headers, each with its line end.
    pub(crate) headers: String,
}

/// What came of a message that was no delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing to tell: the connection goes on.
    Fine,
    /// The server refused something. While a connection opens it has failed then.
    Refused(String),
    /// So many messages won't come, the server says.
    Missed(u64),
}

/// A dialect. It keeps nothing of a connection but a byte while that opens: the answers that are still to come.
pub(crate) trait Speak {
    fn upgrade(&self, who: &Who<'_>) -> Upgrade;

    /// Some: [`upgrade`](Self::upgrade) asks where the connection is to go, by a URL in the answer, and these are the headers
    /// of the upgrade there.
    fn located(&self) -> Option<String> {
        None
    }

    /// What follows the 101, into `out`; and how many answers make the connection ready.
    fn greet(&self, who: &Who<'_>, out: &mut Outgoing) -> u8;

    /// A whole message that isn't a delivery alone. Answers go into `out`; `waiting` counts those that the connection
    /// waits for until it is ready.
    fn hear(&self, waiting: &mut u8, message: &[u8], out: &mut Outgoing) -> Heard;

    /// The payload that publishes an ASCII body (which needs no escapes) to a room, as the newest value of a key where the
    /// dialect has keys.
    fn publication(&self, room: Room, body: &[u8], key: Option<u32>) -> Vec<u8>;

    /// Of the frames that carry publications.
    fn opcode(&self) -> u8;

    /// Whether one WebSocket message may carry several deliveries.
    fn batches(&self) -> bool {
        false
    }
}

impl Spec {
    /// The same for the clients of another tenant, whose tokens are signed by the same secret. Only Ringway has tenants.
    pub(crate) fn of_tenant(&self, name: &str) -> Spec {
        let mut spec = self.clone();
        if let Spec::Ringway { pass, .. } = &mut spec {
            match pass {
                Pass::Token { tenant, .. } | Pass::Ticket { tenant, .. } | Pass::Located { tenant, .. } => {
                    name.clone_into(tenant);
                }
                Pass::Open => {}
            }
        }
        spec
    }

    /// The dialect, ready to be spoken.
    ///
    /// # Errors
    /// A tenant's name isn't one.
    pub(crate) fn speak(&self) -> anyhow::Result<Box<dyn Speak>> {
        Ok(match self {
            Spec::Plain => Box::new(plain::Plain),
            Spec::Ringway { format, policy, pass } => {
                Box::new(ringway::Ringway::new(*format, *policy, pass)?)
            }
            Spec::SocketIo => Box::new(socketio::SocketIo),
            Spec::Centrifugo => Box::new(centrifugo::Centrifugo),
        })
    }
}
