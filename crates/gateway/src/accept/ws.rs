//! `GET /v1/ws`: from a request to a connection at its node, or to a refusal that its client can see.
//!
//! Everything is checked, and the node has taken the connection, before the client is answered 101: until then its
//! early bytes stay where hyper has them, and reach nobody.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_auth::{Mode, Ticket};
use ringway_edge::refuse;
use ringway_edge::serve::Takeover;
use ringway_edge::upgrade::{self, Upgrade};
use ringway_protocol::{Code, Format, close};
use tracing::{Instrument as _, Span};

use super::problem::RETRY;
use super::{Page, Parameters, Problem, Query};
use crate::auth::Client;
use crate::clock::now_s;
use crate::gateway::Gateway;
use crate::limits;
use crate::route::Way;
use crate::trace;
use crate::tunnel::Ends;

pub(super) async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    // Before any work, whoever asks: who is turned away for load, or because this gateway ends, must cost nothing.
    let _place = match gateway.handshakes.try_acquire() {
        Ok(place) if !gateway.is_refusing() => place,
        _ => return turn_away(&gateway),
    };
    let _counted = gateway.metrics.handshake();
    let (head, body) = request.into_parts();
    let upgrade = match upgrade::check(&head) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            gateway.metrics.refused(&Code::BadRequest);
            let mut response = Problem::bad_request(error.detail).with_status(error.status).response();
            error.add_headers(response.headers_mut());
            return response;
        }
    };
    let span = trace::upgrade(&head.headers, peer);
    let admitted = admit(&gateway, &head, &upgrade, peer, &span).instrument(span.clone()).await;
    let request = Request::from_parts(head, body);
    let response = match admitted {
        Ok((ticket, way)) => {
            match way {
                Way::Tunnel(_) => gateway.metrics.tunnelled(),
                Way::Relay(_) => gateway.metrics.relayed(),
                Way::Local(_) => gateway.metrics.local(),
            }
            upgraded(&upgrade, hand_over(&gateway, request, ticket.format, way, span.clone()))
        }
        Err(problem) => {
            gateway.metrics.refused(&problem.code);
            span.record("error.type", problem.code.as_str());
            // A browser's code sees no status of a failed upgrade, but a close code. What is malformed is refused
            // plainly all the same: no page that works sends it.
            if upgrade.offered_ours && problem.status != StatusCode::BAD_REQUEST {
                upgraded(&upgrade, tell(&gateway, request, &problem))
            } else {
                closing(&problem)
            }
        }
    };
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// Who it is, where it belongs, and a node that takes it.
async fn admit(
    gateway: &Gateway,
    head: &Parts,
    upgrade: &Upgrade,
    peer: SocketAddr,
    span: &Span,
) -> Result<(Ticket, Way), Problem> {
    if gateway.is_full() {
        let detail = "this gateway holds as many connections as it may";
        return Err(Problem::new(Code::LimitConnections, detail).again_after(RETRY));
    }
    let query = Query::parse(head.uri.query()).map_err(|error| Problem::bad_request(error.to_string()))?;
    let parameters = Parameters::read(&query)?;
    let client = gateway.directory().client(token(gateway, upgrade, &query)?, &query, now_s())?;
    if !Page::of(&head.headers).is_admitted(&client.tenant.origins) {
        return Err(Problem::new(Code::BadOrigin, "the tenant does not admit pages of this origin"));
    }
    let admitted = take_place(gateway, &client, parameters, upgrade, peer, span).await;
    admitted.inspect_err(|problem| gateway.metrics.limited(&client.tenant.id, &problem.code))
}

/// A place for a client that is known: within the limits of its tenant and user, and at a node that takes it.
async fn take_place(
    gateway: &Gateway,
    client: &Client,
    parameters: Parameters,
    upgrade: &Upgrade,
    peer: SocketAddr,
    span: &Span,
) -> Result<(Ticket, Way), Problem> {
    let Client { tenant, identity } = client;
    // Before any work that others would notice.
    gateway.rates.connect(tenant, identity.user.as_ref())?;
    limits::place(tenant, || gateway.router.view().connections_of(&tenant.id))?;
    let session = upgrade.session.as_deref();
    let relay = gateway.relay.as_ref();
    let mode = if relay.is_some() { Mode::Relay } else { Mode::Tunnel };
    let ticket = gateway.tickets.issue(client, parameters, session, (upgrade.format, mode), peer);
    trace::admitted(span, &ticket);
    let spread = gateway.directory().spread(ticket.room.as_ref());
    let way = gateway.router.find(&tenant.pool, spread, &ticket, &gateway.tickets, relay).await?;
    Ok((ticket, way))
}

fn token<'a>(gateway: &Gateway, upgrade: &'a Upgrade, query: &'a Query) -> Result<Option<&'a str>, Problem> {
    match (upgrade.bearer.as_deref(), query.get("token").filter(|_| gateway.token_in_query)) {
        (Some(_), Some(_)) => Err(Problem::bad_request("the token is given twice")),
        (token, in_query) => Ok(token.or(in_query)),
    }
}

/// The 101, and what becomes of the socket then.
fn upgraded(upgrade: &Upgrade, takeover: Takeover) -> Response<Full<Bytes>> {
    let mut response = upgrade.response();
    response.extensions_mut().insert(takeover);
    response
}

/// Once the client has its 101: the socket goes to its node. `span` is entered meanwhile, so that a node of this process
/// can tell whose child its own is. If the client goes away before, so does what was opened for it.
fn hand_over(
    gateway: &Gateway,
    mut request: Request<Incoming>,
    format: Format,
    way: Way,
    span: Span,
) -> Takeover {
    let (tunnels, coming) = (Arc::clone(&gateway.tunnels), gateway.upgrades.token());
    Takeover::new(&mut request, move |client, from_client| {
        match way {
            Way::Local(place) => span.in_scope(|| place.take(client, from_client)),
            Way::Relay(opening) => opening.take(client, &from_client),
            Way::Tunnel(hop) => {
                let (node, from_node) = (hop.socket, hop.early);
                tunnels.start(Ends { client, from_client, node, from_node, format });
            }
        }
        // A gateway that ends waits for this before it tells its tunnels.
        drop(coming);
    })
}

/// Once the client has its 101: a close frame that says why it may not stay.
fn tell(gateway: &Gateway, mut request: Request<Incoming>, problem: &Problem) -> Takeover {
    let code = close::for_code(&problem.code);
    let reason = close::reason(problem.code.as_str(), problem.retry_ms());
    let (upgrades, coming) = (gateway.upgrades.clone(), gateway.upgrades.token());
    Takeover::new(&mut request, move |client, _| {
        upgrades.spawn(async move { refuse(client, code, &reason).await });
        drop(coming);
    })
}

fn turn_away(gateway: &Gateway) -> Response<Full<Bytes>> {
    gateway.metrics.shed();
    closing(&Problem::unavailable("this gateway takes no connections at the moment"))
}

/// A refusal that ends the connection: what its client sent behind the request was meant for a WebSocket, and mustn't be
/// read as another request.
fn closing(problem: &Problem) -> Response<Full<Bytes>> {
    let mut response = problem.response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
