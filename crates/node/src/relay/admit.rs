//! Whether a node takes a connection whose socket a gateway holds.

use std::borrow::Cow;
use std::time::Duration;

use ringway_auth::{Mode, Ticket};
use ringway_link::{Open, OpenAs};
use ringway_protocol::Code;

use crate::clock;
use crate::door::NotNow;
use crate::node::Inner;
use crate::session::{Admitted, CameBy};
use crate::tenant::Place;

/// After which a gateway that finds no place here may come again.
const RETRY: Duration = Duration::from_secs(1);

/// Connections of gateways on one node, as a multiple of `max_connections`: beside those whose home it is, those that
/// have some of their rooms here.
const LINKED: usize = 4;

/// Why a connection isn't taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct No {
    pub(super) code: Code,
    pub(super) detail: Cow<'static, str>,
    /// When asking again may help.
    pub(super) retry: Option<Duration>,
}

impl No {
    fn new(code: Code, detail: &'static str, retry: Option<Duration>) -> No {
        No { code, detail: detail.into(), retry }
    }
}

/// Checks a ticket of a gateway's, and takes a place for its connection.
pub(super) fn admit(node: &Inner, gateway: &str, open: &Open<'_>) -> Result<CameBy, No> {
    if node.is_leaving() {
        return Err(No::new(Code::Unavailable, "the node is leaving", Some(RETRY)));
    }
    let ticket = read(node, open.ticket)?;
    if ticket.gateway != gateway {
        return Err(No::new(Code::TokenInvalid, "the ticket is of another gateway", None));
    }
    let full = match open.role {
        OpenAs::Home => node.is_full(),
        OpenAs::HomeAgain | OpenAs::Further => false,
    };
    if full || node.relay.len() >= node.settings.max_connections.saturating_mul(LINKED) {
        let detail = "the node holds as many connections as it may";
        // Another node may take it: a gateway asks no other where it is a limit of the tenant's or user's.
        return Err(No::new(Code::Unavailable, detail, Some(RETRY)));
    }
    let conn = ticket.conn.clone();
    // It may move here as often as it has to, but begin once.
    if open.role == OpenAs::Home {
        let Admitted { ticket, place } = node.admit(ticket).map_err(|not| match not {
            NotNow::Unknown => unknown(),
            NotNow::Full(full) => No::new(Code::LimitConnections, full.whose, full.retry),
        })?;
        if !node.used_tickets.first_use(&conn, clock::wall_seconds()) {
            return Err(No::new(Code::TokenInvalid, "the ticket has been used", None));
        }
        return Ok(CameBy { ticket, tenant: place.tenant().clone(), place: Some(place) });
    }
    let tenant = node.here.get(&ticket.tenant).ok_or_else(unknown)?;
    let at_home = open.role == OpenAs::HomeAgain;
    let place = at_home.then(|| Place::again(&tenant, ticket.user.as_ref()));
    Ok(CameBy { ticket, tenant, place })
}

/// A ticket that is good, and for a connection of a gateway's.
pub(super) fn read(node: &Inner, sealed: &str) -> Result<Ticket, No> {
    let no = |code, detail: String| No { code, detail: detail.into(), retry: None };
    let ticket = node.ticket_key.open(sealed, clock::wall_seconds());
    let ticket = ticket.map_err(|error| no(error.code(), error.to_string()))?;
    match ticket.mode {
        Mode::Relay => Ok(ticket),
        Mode::Tunnel | Mode::Direct => {
            Err(no(Code::TokenInvalid, "a ticket of another way to a node".into()))
        }
    }
}

fn unknown() -> No {
    No::new(Code::Unavailable, NotNow::UNKNOWN, Some(NotNow::UNKNOWN_RETRY))
}
