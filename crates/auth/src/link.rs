//! Link tickets: what a gateway shows a node to open a link, over which it speaks for many connections.
//!
//! It says who the gateway is, and no more: each connection that it opens over the link has a ticket of its own.

use serde::{Deserialize, Serialize};

use crate::jwt::SharedSecret;
use crate::ticket::{HOP_VERSION, TicketError, check};

const AUDIENCE: &str = "ringway-link";

/// A gateway, as it shows itself to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTicket {
    /// The gateway's name. For logs and metrics, and for nodes to tell gateways apart.
    pub gateway: String,
    /// When the ticket ends, in seconds since 1970: [`TICKET_SECONDS`](crate::TICKET_SECONDS) after it was made. A link
    /// that was opened stays.
    pub exp: u64,
}

/// The cluster's secret, as far as links go.
pub struct LinkKey(SharedSecret);

impl LinkKey {
    /// From the cluster's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(SharedSecret::new(secret))
    }

    /// The ticket as a signed string.
    pub fn seal(&self, ticket: &LinkTicket) -> String {
        let LinkTicket { gateway, exp } = ticket.clone();
        self.0.seal(&Sealed { aud: AUDIENCE.to_owned(), ver: HOP_VERSION, exp, gateway })
    }

    /// The ticket in a signed string. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It isn't one of ours, or is over.
    pub fn open(&self, text: &str, now: u64) -> Result<LinkTicket, TicketError> {
        let claims = self.0.open(text)?;
        check(&claims, AUDIENCE)?;
        let Sealed { gateway, exp, .. } =
            serde_json::from_slice(&claims).map_err(|_| TicketError::Unreadable)?;
        if now < exp { Ok(LinkTicket { gateway, exp }) } else { Err(TicketError::Expired) }
    }
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

/// A link ticket as it is written.
#[derive(Serialize, Deserialize)]
struct Sealed {
    aud: String,
    ver: u16,
    exp: u64,
    gateway: String,
}
