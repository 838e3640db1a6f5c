//! Requests as they come: which call is it, and is it one at all.

mod origin;
mod parameters;
mod problem;
mod routes;
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_protocol::Code;

pub(crate) use origin::Page;
pub(crate) use parameters::{Parameters, number, room, room_name, tenant, user};
pub(crate) use problem::Problem;
pub(crate) use ringway_edge::Query;
pub(crate) use routes::{Call, Route};

use crate::api;
use crate::gateway::Gateway;

/// Answers one request.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let _unanswered = gateway.requests.token();
    let route = Route::of(request.uri().path());
    let label = route.label();
    let response = match route {
        // Its own future holds a handshake's state; boxed, it weighs on nothing else.
        Route::Upgrade => Box::pin(ws::answer(Arc::clone(&gateway), request, peer)).await,
        Route::Api(calls) if request.method() == Method::OPTIONS => {
            options(&gateway, Page::of(request.headers()), request.headers(), calls.allow)
        }
        Route::Api(calls) => match calls.find(request.method()) {
            Ok(call) => Box::pin(api::answer(&gateway, call, request, peer)).await,
            Err(problem) => problem.response(),
        },
        Route::Other => other(&gateway, request.method(), request.uri().path()).await,
    };
    gateway.metrics.request(label, response.status());
    response
}

/// A browser's preflight, or somebody curious. The tenant isn't known yet: a page that any tenant admits may ask, and
/// hears in the answer to its request whether that tenant admits it.
fn options(
    gateway: &Gateway,
    page: Page<'_>,
    headers: &HeaderMap,
    allow: &'static str,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    if headers.contains_key("access-control-request-method") && gateway.directory().admits(page) {
        page.allow_preflight(response.headers_mut(), allow);
    }
    response
}

/// A path that isn't the API's.
async fn other(gateway: &Gateway, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let extra = match &gateway.extra {
        Some(extra) => extra(method.clone(), path.to_owned()).await,
        None => None,
    };
    match extra {
        Some(response) => response.map(Full::new),
        None => Problem::new(Code::NotFound, "there is nothing at this path").response(),
    }
}
