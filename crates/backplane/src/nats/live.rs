//! What comes on live subjects: from other nodes, and from the server that sends on what a store keeps.

use std::sync::Arc;

use async_nats::header::{NATS_LAST_SEQUENCE, NATS_STREAM};
use async_nats::{HeaderMap, Message};
use ringway_protocol::name::{RoomName, TenantId};

use super::places::Places;
use super::stores::kept;
use super::trace::traceparent;
use crate::Scope;
use crate::codec::{Garbage, LiveReader};
use crate::message::{LiveBody, LiveMessage, Stored};

/// Reads one subscription's messages.
pub(super) struct Live {
    /// Where only one room is listened to, every message is that room's.
    only: Option<(TenantId, RoomName)>,
    /// How many ways there are, by slot.
    lanes: usize,
    reader: LiveReader,
    places: Places,
    /// The stream that was heard last: mostly it is the same.
    stream: Option<Arc<str>>,
}

impl Live {
    pub(super) fn new(scope: &Scope, lanes: usize) -> Self {
        let only = match scope {
            Scope::Room { tenant, room, .. } => Some((tenant.clone(), room.clone())),
            _ => None,
        };
        let (reader, places) = (LiveReader::default(), Places::default());
        Self { only, lanes: lanes.max(1), reader, places, stream: None }
    }

    /// Which way it goes, and what it says; none: nothing that was published.
    pub(super) fn read(&mut self, message: &Message) -> Result<Option<(usize, LiveMessage)>, Garbage> {
        let headers = message.headers.as_ref();
        if headers.is_some_and(kept::is_marker) {
            return Ok(None);
        }
        let (lane, place) = match &self.only {
            Some(only) => (0, only.clone()),
            None => {
                let place = self.places.of(&message.subject);
                let (slot, place) = place.ok_or(Garbage::Malformed("not a room's subject"))?;
                (usize::from(slot.number()) % self.lanes, place)
            }
        };
        let span = traceparent(headers);
        let stream = headers.and_then(|headers| Some((headers, headers.get_last(NATS_STREAM)?.as_str())));
        let live = match stream {
            None => self.reader.read(&message.payload, place, span)?,
            Some((headers, stream)) => {
                let (from, publication) = self.reader.read_stored(&message.payload)?;
                let (at, prev) = chain(headers).ok_or(Garbage::Malformed("headers of no store"))?;
                let stream = self.stream(stream);
                let stored = Stored { stream, offset: at.offset, prev, ts: at.ts, publication };
                let (tenant, room) = place;
                // Its number in its stream tells a repeat.
                let body = LiveBody::Stored(stored);
                LiveMessage { from, count: 0, tenant, room, body, traceparent: span }
            }
        };
        Ok(Some((lane, live)))
    }

    fn stream(&mut self, name: &str) -> Arc<str> {
        match &self.stream {
            Some(stream) if **stream == *name => Arc::clone(stream),
            _ => Arc::clone(self.stream.insert(name.into())),
        }
    }
}

/// Its place, and the number of the one before it on its subject.
fn chain(headers: &HeaderMap) -> Option<(crate::store::Newest, u64)> {
    let at = kept::place(headers)?;
    let prev = headers.get_last(NATS_LAST_SEQUENCE)?.as_str().parse().ok()?;
    (at.offset > 0 && prev < at.offset).then_some((at, prev))
}
