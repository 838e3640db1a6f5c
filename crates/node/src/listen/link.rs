//! Upgrades to a link: from gateways, which speak over it for the clients whose sockets they hold.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_auth::LinkTicket;
use ringway_edge::serve::Takeover;
use ringway_edge::upgrade;
use ringway_link::hello;
use ringway_protocol::Code;

use super::{HOP_HEADER, No, TICKET_HEADER, refusal, refused, unavailable};
use crate::node::Inner;
use crate::{clock, relay};

/// Answers a request at the links' path: with a 101, after which the link is [`relay`]'s, or a refusal.
pub(super) fn answer(node: &Arc<Inner>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if node.is_leaving() {
        return refusal(&unavailable("the node is leaving"));
    }
    let (head, body) = request.into_parts();
    if let Err(error) = upgrade::check_other(&head, hello::UPGRADE) {
        return told(refusal(&No::new(error.status, Code::BadRequest, error.detail)));
    }
    match admit(node, &head.headers) {
        Ok(LinkTicket { gateway, .. }) => take(node, Request::from_parts(head, body), gateway),
        Err(no) => {
            node.metrics.tickets_refused.inc();
            told(refusal(&no))
        }
    }
}

fn admit(node: &Inner, headers: &HeaderMap) -> Result<LinkTicket, No> {
    // First: of another version, nothing else may mean what it says.
    let hop = only(headers, hello::HOP_HEADER);
    if hop != Some(hello::HOP) {
        let detail = format!("this node speaks links {:?}, not {hop:?}", hello::HOP);
        return Err(No::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, detail));
    }
    let ticket = only(headers, TICKET_HEADER).unwrap_or_default();
    node.link_key.open(ticket, clock::wall_seconds()).map_err(|error| refused(&error))
}

/// The value of a header that is there once, as text.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

fn take(node: &Arc<Inner>, mut request: Request<Incoming>, gateway: String) -> Response<Full<Bytes>> {
    // The node's end waits for those in the middle of their upgrade too.
    let (inner, coming) = (node.clone(), node.connections.token());
    let takeover = Takeover::new(&mut request, move |socket, early| {
        let connections = inner.connections.clone();
        connections.spawn(relay::serve(inner, socket, early, gateway));
        drop(coming);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(hello::UPGRADE));
    response.headers_mut().insert(HOP_HEADER, HeaderValue::from_static(hello::HOP));
    response.extensions_mut().insert(takeover);
    response
}

/// What is spoken here stands in each refusal that asks for another protocol or version (RFC 9110 §15.5.22).
fn told(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(hello::UPGRADE));
        headers.insert(HOP_HEADER, HeaderValue::from_static(hello::HOP));
    }
    response
}
