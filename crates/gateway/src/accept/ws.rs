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
use hyper::upgrade::OnUpgrade;
use ringway_auth::{Mode, Ticket};
use ringway_edge::upgrade::{self, Upgrade};
use ringway_edge::{refuse, serve};
use ringway_protocol::{Code, close};
use tracing::{Instrument as _, Span};

use super::{Page, Parameters, Problem, Query};
use crate::clock::now_s;
use crate::gateway::Gateway;
use crate::route::Way;
use crate::trace;
use crate::tunnel::Ends;

pub(super) async fn answer(
    gateway: Arc<Gateway>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    // Before any work, whoever asks: who is turned away for load, or because this gateway ends, must cost nothing.
    let _place = match gateway.handshakes.try_acquire() {
        Ok(place) if !gateway.is_refusing() => place,
        _ => return turn_away(&gateway),
    };
    let _counted = gateway.metrics.handshake();
    let upgrading = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
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
    let response = match admitted {
        Ok((ticket, way)) => {
            gateway.metrics.upgrade(match way {
                Way::Tunnel(_) => "tunnel",
                Way::Local(_) => "local",
            });
            hand_over(&gateway, upgrading, ticket, way, span.clone());
            upgrade.response()
        }
        Err(problem) => {
            gateway.metrics.refused(&problem.code);
            span.record("error.type", problem.code.as_str());
            // A browser's code sees no status of a failed upgrade, but a close code. What is malformed is refused
            // plainly all the same: no page that works sends it.
            if upgrade.offered_ours && problem.status != StatusCode::BAD_REQUEST {
                tell(&gateway, upgrading, &problem);
                upgrade.response()
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
    let query = Query::parse(head.uri.query()).map_err(|error| Problem::bad_request(error.to_string()))?;
    let parameters = Parameters::read(&query)?;
    let client = gateway.directory().client(token(gateway, upgrade, &query)?, &query, now_s())?;
    if !Page::of(&head.headers).is_admitted(&client.tenant.origins) {
        return Err(Problem::new(Code::BadOrigin, "the tenant does not admit pages of this origin"));
    }
    let session = upgrade.session.as_deref();
    let ticket = gateway.tickets.issue(&client, parameters, session, (upgrade.format, Mode::Tunnel), peer);
    trace::admitted(span, &ticket);
    let way = gateway.router.find(&client.tenant.pool, &ticket, &gateway.tickets).await?;
    Ok((ticket, way))
}

fn token<'a>(gateway: &Gateway, upgrade: &'a Upgrade, query: &'a Query) -> Result<Option<&'a str>, Problem> {
    match (upgrade.bearer.as_deref(), query.get("token").filter(|_| gateway.token_in_query)) {
        (Some(_), Some(_)) => Err(Problem::bad_request("the token is given twice")),
        (token, in_query) => Ok(token.or(in_query)),
    }
}

/// Once the client has its 101: the socket goes to its node. `span` is entered meanwhile, so that a node of this process
/// can tell whose child its own is.
fn hand_over(gateway: &Arc<Gateway>, upgrading: OnUpgrade, ticket: Ticket, way: Way, span: Span) {
    let tunnels = Arc::clone(&gateway.tunnels);
    let handing = async move {
        // The client went away meanwhile: so does what was opened for it.
        let Some((client, from_client)) = upgrading.await.ok().and_then(serve::into_socket) else { return };
        match way {
            Way::Local(node) => node.take(client, from_client, ticket),
            Way::Tunnel(hop) => {
                let (node, from_node) = (hop.socket, hop.early);
                tunnels.start(Ends { client, from_client, node, from_node, format: ticket.format });
            }
        }
    };
    gateway.upgrades.spawn(handing.instrument(span));
}

/// Once the client has its 101: a close frame that says why it may not stay.
fn tell(gateway: &Gateway, upgrading: OnUpgrade, problem: &Problem) {
    let code = close::for_code(&problem.code);
    let reason = close::reason(problem.code.as_str(), problem.retry_ms());
    gateway.upgrades.spawn(async move {
        if let Some((client, _)) = upgrading.await.ok().and_then(serve::into_socket) {
            refuse(client, code, &reason).await;
        }
    });
}

fn turn_away(gateway: &Gateway) -> Response<Full<Bytes>> {
    gateway.metrics.upgrade("shed");
    closing(&Problem::unavailable("this gateway takes no connections at the moment"))
}

/// A refusal that ends the connection: what its client sent behind the request was meant for a WebSocket, and mustn't be
/// read as another request.
fn closing(problem: &Problem) -> Response<Full<Bytes>> {
    let mut response = problem.response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
