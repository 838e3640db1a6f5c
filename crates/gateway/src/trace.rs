//! Spans of the gateway's part, while traces are wanted at all; else nothing.
//!
//! Names and attributes are OpenTelemetry's where it has some. What a client sent goes into a span only where it was
//! checked to be a name or plain text: never a token, never bytes as they came.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::USER_AGENT;
use ringway_auth::Ticket;
use ringway_protocol::{RoomName, TenantId};
use ringway_ring::Announcement;
use ringway_telemetry::{set_parent, span};
use tracing::Span;
use tracing::field::Empty;

/// From a client's upgrade until it was answered.
pub(crate) fn upgrade(headers: &HeaderMap, peer: SocketAddr) -> Span {
    let span = span!(
        "upgrade",
        otel.kind = "server",
        http.request.method = "GET",
        http.route = "/v1/ws",
        http.response.status_code = Empty,
        client.address = %peer.ip(),
        user_agent.original = Empty,
        error.r#type = Empty,
        ringway.tenant = Empty,
        ringway.room = Empty,
    );
    if !span.is_none() {
        if let Some(agent) = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            span.record("user_agent.original", agent);
        }
        from_headers(&span, headers);
    }
    span
}

/// Fills in who was let in.
pub(crate) fn admitted(span: &Span, ticket: &Ticket) {
    span.record("ringway.tenant", ticket.tenant.as_str());
    if let Some(room) = &ticket.room {
        span.record("ringway.room", room.as_str());
    }
}

/// One attempt to hand an upgrade to a node; a child of the upgrade.
pub(crate) fn route(node: &Announcement) -> Span {
    let (host, port) = node.advertise.rsplit_once(':').unwrap_or((&node.advertise, ""));
    span!(
        "route",
        otel.kind = "client",
        server.address = host,
        server.port = port,
        error.r#type = Empty,
        ringway.node = node.id.as_str(),
    )
}

/// From a publication by HTTP until it was answered.
pub(crate) fn publish(headers: &HeaderMap, tenant: &TenantId, room: Option<&RoomName>) -> Span {
    let span = span!(
        "publish",
        otel.kind = "producer",
        messaging.system = "ringway",
        messaging.operation.r#type = "send",
        messaging.destination.name = room.map(RoomName::as_str),
        error.r#type = Empty,
        ringway.tenant = tenant.as_str(),
    );
    if !span.is_none() {
        from_headers(&span, headers);
    }
    span
}

fn from_headers(span: &Span, headers: &HeaderMap) {
    if let Some(parent) = headers.get("traceparent").and_then(|parent| parent.to_str().ok()) {
        set_parent(span, parent);
    }
}
