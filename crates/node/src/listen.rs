//! The node's own port: upgrades with a ticket, from gateways (a header) and from clients directly (the query).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_auth::{Ticket, TicketError};
use ringway_config::Origins;
use ringway_edge::Query;
use ringway_edge::serve::Takeover;
use ringway_edge::upgrade::{self, Upgrade};
use ringway_protocol::{Code, close};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::Inner;
use crate::{clock, session, trace};

/// Where a gateway puts the ticket.
const TICKET_HEADER: &str = "ringway-ticket";

/// The version and the mode of the hop between a gateway and this node.
const HOP_HEADER: &str = "ringway-hop";

/// The only hop that is spoken: version 1, bytes as the client sent them.
const HOP: &str = "1; tunnel";

/// After which a gateway or client that finds no place here may come again.
const RETRY: Duration = Duration::from_secs(1);

/// Accepts until `stop`, then sees to the requests under way.
pub(crate) async fn run(node: Arc<Inner>, listener: TcpListener, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let handler = move |request, peer| answer(node.clone(), request, peer);
    ringway_edge::serve::serve(
        listener,
        handler,
        ringway_edge::serve::Settings::default(),
        stop,
        tasks.clone(),
    )
    .await;
    tasks.close();
    tasks.wait().await;
}

/// Why an upgrade isn't taken.
struct No {
    status: StatusCode,
    code: Code,
    detail: String,
}

impl No {
    /// When asking again may help.
    fn retry(&self) -> Option<Duration> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY)
    }
}

async fn answer(node: Arc<Inner>, request: Request<Incoming>, _peer: SocketAddr) -> Response<Full<Bytes>> {
    if request.uri().path() != "/v1/ws" {
        let detail = "a node answers /v1/ws alone; its metrics are on the admin port".to_owned();
        return problem(&No { status: StatusCode::NOT_FOUND, code: Code::NotFound, detail });
    }
    if node.is_leaving() {
        // Plainly, whoever asks: a client that is to go elsewhere shouldn't find an open connection first.
        return refusal(&unavailable("the node is leaving"));
    }
    let (head, body) = request.into_parts();
    let upgrade = match upgrade::check(&head) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            let no = No { status: error.status, code: Code::BadRequest, detail: error.detail.to_owned() };
            let mut response = problem(&no);
            error.add_headers(response.headers_mut());
            return response;
        }
    };
    let is_hop = head.headers.contains_key(TICKET_HEADER);
    let admitted = admit(&node, &head.headers, head.uri.query(), &upgrade);
    let parent = head.headers.get("traceparent").and_then(|h| h.to_str().ok()).map(str::to_owned);
    let request = Request::from_parts(head, body);
    match admitted {
        Ok(ticket) => {
            let span = trace::join(&ticket, parent.as_deref());
            let takeover = take_when_upgraded(&node, request, ticket, span);
            upgraded(&upgrade, takeover)
        }
        Err(no) => {
            node.metrics.tickets_refused.inc();
            if is_hop || !upgrade.offered_ours || no.status == StatusCode::BAD_REQUEST {
                return refusal(&no);
            }
            // A browser sees no status of a refused upgrade, but a close code.
            let takeover = refuse_when_upgraded(&node, request, &no);
            upgraded(&upgrade, takeover)
        }
    }
}

fn admit(node: &Inner, headers: &HeaderMap, query: Option<&str>, upgrade: &Upgrade) -> Result<Ticket, No> {
    let query = Query::parse(query).map_err(|error| No {
        status: StatusCode::BAD_REQUEST,
        code: Code::BadRequest,
        detail: error.to_string(),
    })?;
    if node.is_full() {
        return Err(No {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: Code::LimitConnections,
            detail: "the node holds as many connections as it may".to_owned(),
        });
    }
    let (sealed, direct) = match headers.get(TICKET_HEADER) {
        Some(ticket) => {
            let hop = headers.get(HOP_HEADER).and_then(|h| h.to_str().ok());
            if hop != Some(HOP) {
                let detail = format!("this node speaks the hop {HOP:?}, not {hop:?}");
                return Err(No { status: StatusCode::NOT_IMPLEMENTED, code: Code::BadRequest, detail });
            }
            (ticket.to_str().unwrap_or_default().to_owned(), false)
        }
        None => (query.get("ticket").unwrap_or_default().to_owned(), true),
    };
    let now = clock::wall_seconds();
    let mut ticket = node.ticket_key.open(&sealed, now).map_err(|error| refused(&error))?;
    let tenant = node.tenants.get(&ticket.tenant).ok_or_else(|| No {
        status: StatusCode::NOT_FOUND,
        code: Code::UnknownTenant,
        detail: "this node doesn't know the ticket's tenant".to_owned(),
    })?;
    if direct && !origin_allowed(&tenant.origins, headers) {
        return Err(No {
            status: StatusCode::FORBIDDEN,
            code: Code::BadOrigin,
            detail: "the tenant doesn't allow this origin".to_owned(),
        });
    }
    if !node.used_tickets.first_use(&ticket.conn, now) {
        return Err(No {
            status: StatusCode::UNAUTHORIZED,
            code: Code::TokenInvalid,
            detail: "the ticket has been used".to_owned(),
        });
    }
    ticket.format = upgrade.format;
    Ok(ticket)
}

/// As a gateway does it. No `Origin`: no browser. Two: nobody to believe. One that isn't text is none of a list.
fn origin_allowed(origins: &Origins, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(ORIGIN).iter();
    match (all.next(), all.next()) {
        (None, _) => true,
        (Some(one), None) => {
            one.to_str().map_or(matches!(origins, Origins::Every), |origin| origins.allows(origin))
        }
        _ => false,
    }
}

/// The 101, and what becomes of the socket then.
fn upgraded(upgrade: &Upgrade, takeover: Takeover) -> Response<Full<Bytes>> {
    let mut response = upgrade.response();
    response.extensions_mut().insert(takeover);
    response
}

fn take_when_upgraded(
    node: &Arc<Inner>,
    mut request: Request<Incoming>,
    ticket: Ticket,
    span: tracing::Span,
) -> Takeover {
    // The node's end waits for those in the middle of their upgrade too.
    let (node, coming) = (node.clone(), node.connections.token());
    Takeover::new(&mut request, move |socket, early| {
        let connections = node.connections.clone();
        connections.spawn(session::run(node, socket, early, ticket, span));
        drop(coming);
    })
}

fn refuse_when_upgraded(node: &Arc<Inner>, mut request: Request<Incoming>, no: &No) -> Takeover {
    let code = close::for_code(&no.code);
    let reason = close::reason(no.code.as_str(), no.retry().map(|retry| retry.as_millis() as u64));
    let (connections, coming) = (node.connections.clone(), node.connections.token());
    Takeover::new(&mut request, move |socket, _| {
        connections.spawn(async move { ringway_edge::refuse(socket, code, &reason).await });
        drop(coming);
    })
}

fn refused(error: &TicketError) -> No {
    No { status: StatusCode::UNAUTHORIZED, code: error.code(), detail: error.to_string() }
}

fn unavailable(detail: &str) -> No {
    No { status: StatusCode::SERVICE_UNAVAILABLE, code: Code::Unavailable, detail: detail.to_owned() }
}

/// Refuses an upgrade. What follows it on that connection may be frames: nothing more is read.
fn refusal(no: &No) -> Response<Full<Bytes>> {
    let mut response = problem(no);
    response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
    response
}

/// A refusal as RFC 9457 has it.
fn problem(no: &No) -> Response<Full<Bytes>> {
    let body =
        serde_json::json!({ "status": no.status.as_u16(), "code": no.code.as_str(), "detail": no.detail });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = no.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
    if let Some(retry) = no.retry() {
        headers.insert(RETRY_AFTER, http::HeaderValue::from(retry.as_secs()));
    }
    response
}
