//! The public HTTP API beside the upgrade: who calls, may they, and the call itself.

mod ask;
mod body;
mod history;
mod locate;
mod members;
mod messages;
mod publication;
mod publish;
mod sent;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_backplane::message::{Answer, Ask, Publication};
use ringway_protocol::{Code, RoomName};
use ringway_ring::View;
use serde::Serialize;
use tracing::{Instrument as _, Span};

use crate::accept::{self, Page, Problem, Query};
use crate::auth::Caller;
use crate::clock::now_s;
use crate::gateway::Gateway;
use crate::trace;
use ask::Asker;
use sent::Sent;

/// One call of the API, its caller known.
struct Call<'a> {
    gateway: &'a Gateway,
    view: Arc<View>,
    head: &'a Parts,
    query: Query,
    caller: Caller,
    peer: SocketAddr,
    /// For publications; else none.
    span: Span,
    traceparent: Option<String>,
}

impl Call<'_> {
    /// Asks the nodes about a room of the caller's tenant.
    async fn ask(&self, room: &RoomName, ask: Ask) -> Result<Answer, Problem> {
        let is_durable = self.gateway.directory().is_durable(room);
        let asker = Asker {
            backplane: &*self.gateway.backplane,
            view: &self.view,
            name: &self.gateway.name,
            traceparent: self.traceparent.as_deref(),
            limit: if is_durable { ask::DURABLE_LIMIT } else { ask::LIMIT },
        };
        asker.ask(self.caller.tenant(), room, ask).await
    }

    /// Publishes to one room, in this order: as many, from the first on, as limits let through.
    ///
    /// # Errors
    /// None was published, or of none is known that it was.
    async fn publish(&self, room: &RoomName, mut publications: Vec<Publication>) -> Result<Sent, Problem> {
        let tenant = self.caller.tenant();
        let mut refused = None;
        for (index, publication) in publications.iter().enumerate() {
            let bytes = publication.data.msgpack_len();
            if let Err(problem) = self.gateway.rates.publish(tenant, self.caller.user(), bytes) {
                publications.truncate(index);
                refused = Some(problem);
                break;
            }
        }
        let count = publications.len();
        if count == 0 {
            return Ok(Sent::none(refused));
        }
        Sent::read(self.ask(room, Ask::Publish { publications }).await?, count, refused)
    }
}

pub(crate) async fn answer(
    gateway: &Gateway,
    kind: accept::Call,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let page = Page::of(&head.headers);
    let directory = gateway.directory();
    let caller = Query::parse(head.uri.query())
        .map_err(|error| Problem::bad_request(error.to_string()))
        .and_then(|query| Ok((directory.caller(&head.headers, &query, now_s())?, query)));
    let (readable, outcome) = match caller {
        // Nobody known: a page of any tenant may read why.
        Err(problem) => (directory.admits(page), Err(problem)),
        Ok((caller, _)) if !page.is_admitted(&caller.tenant().origins) => {
            (false, Err(Problem::new(Code::BadOrigin, "the tenant does not admit pages of this origin")))
        }
        Ok((caller, query)) => {
            let span = span_of(kind, &head, &query, &caller);
            let traceparent = ringway_telemetry::traceparent_of(&span);
            let view = gateway.router.view();
            let call =
                Call { gateway, view, head: &head, query, caller, peer, span: span.clone(), traceparent };
            let outcome = call.run(kind, body).instrument(span).await;
            if let Err(problem) = &outcome {
                gateway.metrics.limited(&call.caller.tenant().id, &problem.code);
                call.span.record("error.type", problem.code.as_str());
            }
            (true, outcome)
        }
    };
    let mut response = outcome.unwrap_or_else(|problem| problem.response());
    if readable {
        page.allow(response.headers_mut());
    }
    response
}

impl Call<'_> {
    async fn run(&self, kind: accept::Call, body: Incoming) -> Result<Response<Full<Bytes>>, Problem> {
        match kind {
            accept::Call::Locate => json(&locate::get(self)?),
            accept::Call::Message => json(&messages::post(self, body).await?),
            accept::Call::Publish => json(&publish::post(self, body).await?),
            accept::Call::Members => json(&members::get(self).await?),
            accept::Call::History => json(&history::get(self).await?),
            accept::Call::Forget => json(&history::delete(self).await?),
        }
    }
}

fn span_of(kind: accept::Call, head: &Parts, query: &Query, caller: &Caller) -> Span {
    match kind {
        accept::Call::Message | accept::Call::Publish => {
            let room = accept::room(query).ok().flatten();
            trace::publish(&head.headers, &caller.tenant().id, room.as_ref())
        }
        accept::Call::Locate | accept::Call::Members | accept::Call::History | accept::Call::Forget => {
            Span::none()
        }
    }
}

fn json(value: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    let text = serde_json::to_vec(value)
        .map_err(|_| Problem::new(Code::Internal, "the answer could not be written"))?;
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
