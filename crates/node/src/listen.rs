//! The node's own port: upgrades with a ticket, from gateways (a header) and from clients directly (the query).

mod link;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_auth::TicketError;
use ringway_config::Origins;
use ringway_edge::Query;
use ringway_edge::serve::Takeover;
use ringway_edge::upgrade::{self, Upgrade};
use ringway_protocol::{Code, close};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::NotNow;
use crate::node::Inner;
use crate::session::Admitted;
use crate::{clock, session, tenant, trace};

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

/// Why a gateway's request is refused, and when asking again may help: for the gateway, which finds them before it reads
/// any body. Milliseconds; absent: never.
const CODE_HEADER: &str = "ringway-code";
const RETRY_HEADER: &str = "ringway-retry";

/// Why an upgrade isn't taken.
struct No {
    status: StatusCode,
    code: Code,
    detail: String,
    /// When asking again may help.
    retry: Option<Duration>,
}

impl No {
    fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> No {
        No { status, code, detail: detail.into(), retry: None }
    }

    /// Whoever made the ticket knows its tenant, and this node doesn't: see [`NotNow::Unknown`].
    fn unknown() -> No {
        let no = No::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, NotNow::UNKNOWN);
        No { retry: Some(NotNow::UNKNOWN_RETRY), ..no }
    }

    /// A limit of the tenant's or user's: no other node would take it either, which a gateway knows by the status. A
    /// client gets the one that limits of connections have.
    fn no_place(full: tenant::Full, direct: bool) -> No {
        let status = if direct { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
        No { retry: full.retry, ..No::new(status, Code::LimitConnections, full.whose) }
    }
}

async fn answer(node: Arc<Inner>, request: Request<Incoming>, _peer: SocketAddr) -> Response<Full<Bytes>> {
    if request.uri().path() == ringway_link::hello::PATH {
        return link::answer(&node, request);
    }
    if request.uri().path() != "/v1/ws" {
        let detail = "a node answers /v1/ws, and gateways' links; its metrics are on the admin port";
        return problem(&No::new(StatusCode::NOT_FOUND, Code::NotFound, detail));
    }
    if node.is_leaving() {
        // Plainly, whoever asks: a client that is to go elsewhere shouldn't find an open connection first.
        return refusal(&unavailable("the node is leaving"));
    }
    let (head, body) = request.into_parts();
    let upgrade = match upgrade::check(&head) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            let no = No::new(error.status, Code::BadRequest, error.detail);
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
        Ok(admitted) => {
            let span = trace::join(&admitted.ticket, parent.as_deref());
            let takeover = take_when_upgraded(&node, request, admitted, span);
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

fn admit(node: &Inner, headers: &HeaderMap, query: Option<&str>, upgrade: &Upgrade) -> Result<Admitted, No> {
    let query = Query::parse(query)
        .map_err(|error| No::new(StatusCode::BAD_REQUEST, Code::BadRequest, error.to_string()))?;
    if node.is_full() {
        let detail = "the node holds as many connections as it may";
        let no = No::new(StatusCode::SERVICE_UNAVAILABLE, Code::LimitConnections, detail);
        return Err(No { retry: Some(RETRY), ..no });
    }
    let (sealed, direct) = match headers.get(TICKET_HEADER) {
        Some(ticket) => {
            let hop = headers.get(HOP_HEADER).and_then(|h| h.to_str().ok());
            if hop != Some(HOP) {
                let detail = format!("this node speaks the hop {HOP:?}, not {hop:?}");
                return Err(No::new(StatusCode::NOT_IMPLEMENTED, Code::BadRequest, detail));
            }
            (ticket.to_str().unwrap_or_default().to_owned(), false)
        }
        None => (query.get("ticket").unwrap_or_default().to_owned(), true),
    };
    let now = clock::wall_seconds();
    let mut ticket = node.ticket_key.open(&sealed, now).map_err(|error| refused(&error))?;
    let tenant = node.configured.borrow().tenants.get(&ticket.tenant).ok_or_else(No::unknown)?;
    if direct && !origin_allowed(&tenant.origins, headers) {
        let detail = "the tenant doesn't allow this origin";
        return Err(No::new(StatusCode::FORBIDDEN, Code::BadOrigin, detail));
    }
    ticket.format = upgrade.format;
    // Before the ticket is used up: where there is no place now, there may be one while it is good.
    let admitted = node.admit(ticket).map_err(|not| match not {
        NotNow::Unknown => No::unknown(),
        NotNow::Full(full) => No::no_place(full, direct),
    })?;
    if !node.used_tickets.first_use(&admitted.ticket.conn, now) {
        let detail = "the ticket has been used";
        return Err(No::new(StatusCode::UNAUTHORIZED, Code::TokenInvalid, detail));
    }
    Ok(admitted)
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
    admitted: Admitted,
    span: tracing::Span,
) -> Takeover {
    // The node's end waits for those in the middle of their upgrade too.
    let (node, coming) = (node.clone(), node.connections.token());
    Takeover::new(&mut request, move |socket, early| {
        let connections = node.connections.clone();
        connections.spawn(session::run(node, socket, early, admitted, span));
        drop(coming);
    })
}

fn refuse_when_upgraded(node: &Arc<Inner>, mut request: Request<Incoming>, no: &No) -> Takeover {
    let code = close::for_code(&no.code);
    let reason = close::reason(no.code.as_str(), no.retry.map(|retry| retry.as_millis() as u64));
    let (connections, coming) = (node.connections.clone(), node.connections.token());
    Takeover::new(&mut request, move |socket, _| {
        connections.spawn(async move { ringway_edge::refuse(socket, code, &reason).await });
        drop(coming);
    })
}

fn refused(error: &TicketError) -> No {
    No::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string())
}

fn unavailable(detail: &str) -> No {
    let no = No::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail);
    No { retry: Some(RETRY), ..no }
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
    if let Ok(code) = http::HeaderValue::from_str(no.code.as_str()) {
        headers.insert(CODE_HEADER, code);
    }
    if let Some(retry) = no.retry {
        headers.insert(RETRY_AFTER, http::HeaderValue::from(retry.as_secs().max(1)));
        headers.insert(RETRY_HEADER, http::HeaderValue::from(retry.as_millis() as u64));
    }
    response
}
