//! Spans of the way of an upgrade and of a publication, while traces are wanted at all; else nothing.

use std::sync::Arc;

use ringway_auth::Ticket;
use ringway_backplane::message::Publication;
use ringway_protocol::name::{RoomName, TenantId};
use ringway_telemetry::{enabled, set_parent};
use tracing::Span;

use crate::shard::RoomKey;

/// From a ticketed upgrade until the rooms that the server joins have answered.
pub(crate) fn join(ticket: &Ticket, parent: Option<&str>) -> Span {
    let span = ringway_telemetry::span!(
        "join",
        otel.kind = "server",
        ringway.tenant = ticket.tenant.as_str(),
        ringway.room = ticket.room.as_ref().map(RoomName::as_str),
    );
    if let Some(parent) = parent {
        set_parent(&span, parent);
    }
    span
}

/// A gateway opens one of its connections here that has had its home elsewhere. `home`: this node is that from now on.
pub(crate) fn open(ticket: &Ticket, parent: Option<&str>, home: bool) -> Span {
    child(parent, || {
        ringway_telemetry::span!(
            "open",
            otel.kind = "server",
            ringway.tenant = ticket.tenant.as_str(),
            ringway.home = home,
        )
    })
}

/// From a client's `pub` until it was answered.
pub(crate) fn publish(tenant: &TenantId, room: &RoomName, parent: Option<&str>) -> Span {
    let span = ringway_telemetry::span!(
        "publish",
        otel.kind = "producer",
        messaging.system = "ringway",
        messaging.operation.type = "send",
        messaging.destination.name = room.as_str(),
        ringway.tenant = tenant.as_str(),
    );
    if let Some(parent) = parent {
        set_parent(&span, parent);
    }
    span
}

/// From another node's, or a gateway's, question to publish until it was answered.
pub(crate) fn number(parent: Option<&str>, key: &RoomKey) -> Span {
    child(parent, || {
        ringway_telemetry::span!(
            "number",
            otel.kind = "server",
            messaging.destination.name = key.room.as_str(),
            ringway.tenant = key.tenant.as_str(),
        )
    })
}

/// Handing a publication to NATS.
pub(crate) fn send(parent: Option<&str>, key: &RoomKey) -> Span {
    child(parent, || {
        ringway_telemetry::span!(
            "send",
            otel.kind = "producer",
            messaging.system = "nats",
            messaging.operation.type = "send",
            messaging.destination.name = key.room.as_str(),
            ringway.tenant = key.tenant.as_str(),
        )
    })
}

/// A publication that came over NATS; without a room it is for a user or the whole tenant.
pub(crate) fn receive(parent: Option<&str>, tenant: &TenantId, room: Option<&RoomName>) -> Span {
    child(parent, || {
        ringway_telemetry::span!(
            "receive",
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.operation.type = "receive",
            messaging.destination.name = room.map(RoomName::as_str),
            ringway.tenant = tenant.as_str(),
        )
    })
}

/// Writing a publication to the members here.
pub(crate) fn fanout(parent: Option<&str>, key: &RoomKey) -> Span {
    child(parent, || {
        ringway_telemetry::span!(
            "fanout",
            messaging.destination.name = key.room.as_str(),
            ringway.members = tracing::field::Empty,
        )
    })
}

/// Only for what belongs to a trace: the rest is too much.
fn child(parent: Option<&str>, make: impl FnOnce() -> Span) -> Span {
    let Some(parent) = parent.filter(|_| enabled()) else { return Span::none() };
    let span = make();
    set_parent(&span, parent);
    span
}

/// What is done with a publication next is a child of this span.
pub(crate) fn belongs_to(publication: &mut Arc<Publication>, span: &Span) {
    if publication.span.is_some() || !span.is_none() {
        Arc::make_mut(publication).span = traceparent_of(span);
    }
}

/// A span that is held until something has happened: a box of nothing while nobody traces.
pub(crate) type Kept = Option<Box<Span>>;

/// See [`Kept`].
pub(crate) fn kept(span: Span) -> Kept {
    (!span.is_none()).then(|| Box::new(span))
}

/// The span as others refer to it; none where there is nothing to refer to.
pub(crate) fn traceparent_of(span: &Span) -> Option<Arc<str>> {
    ringway_telemetry::traceparent_of(span).map(Into::into)
}
