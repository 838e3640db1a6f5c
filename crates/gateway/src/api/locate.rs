//! `GET /v1/locate`: where a room, or a user's connection without a home room, lives.
//!
//! Where the node has a public URL, a client gets one with a ticket in it: the direct path, without a gateway in
//! between. Where the room is spread over several nodes, it is the one of the client's session, which the ticket goes on
//! with. An application's server, which asks with an API key, is told where, and gets no ticket: it is nobody.

use ringway_auth::Mode;
use ringway_edge::upgrade::SESSION_HEADER;
use ringway_protocol::{Format, RoomName, UserId};
use ringway_ring::KeyHash;
use serde::Serialize;

use super::Call;
use crate::accept::{Parameters, Problem};

/// Where something lives, by the gateway's view.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<RoomName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    slot: u16,
    pool: String,
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

pub(super) fn get(call: &Call<'_>) -> Result<Place, Problem> {
    let parameters = Parameters::read(&call.query)?;
    let tenant = call.caller.tenant();
    let user = call.caller.user();
    let key = match (&parameters.room, user) {
        (Some(room), _) => KeyHash::of_room(&tenant.id, room),
        (None, Some(user)) => KeyHash::of_user(&tenant.id, user),
        (None, None) => {
            return Err(Problem::bad_request("give `room`: whoever asks has no user to be placed by"));
        }
    };
    let ticket = call.caller.client().map(|client| {
        let session = call.head.headers.get(SESSION_HEADER).and_then(|session| session.to_str().ok());
        // The form of its frames is what the client then offers the node.
        let ways = (Format::Json, Mode::Direct);
        call.gateway.tickets.issue(client, parameters.clone(), session, ways, call.peer)
    });
    let spread = call.gateway.directory().spread(parameters.room.as_ref());
    // Who is nobody is told the first of several: the slot's owner.
    let node = match &ticket {
        Some(ticket) => call.view.home(&tenant.pool, key, spread, ticket.session.as_str()),
        None => call.view.owner(&tenant.pool, key.slot()),
    };
    let node = node
        .and_then(|node| call.view.node(node))
        .ok_or_else(|| Problem::unavailable("no node serves this tenant at the moment"))?;
    let url = node.public_url.as_ref().zip(ticket).map(|(url, ticket)| {
        let ticket = call.gateway.tickets.seal(&ticket);
        format!("{}/v1/ws?ticket={ticket}", url.trim_end_matches('/'))
    });
    Ok(Place {
        tenant: tenant.id.to_string(),
        user: user.filter(|_| parameters.room.is_none()).cloned(),
        room: parameters.room,
        slot: key.slot().number(),
        pool: tenant.pool.to_string(),
        node: node.id.to_string(),
        url,
    })
}
