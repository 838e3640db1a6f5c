//! A message as a stream keeps it: its number, its time, whose it is, and what was published.

use std::sync::Arc;

use async_nats::header::{NATS_SEQUENCE, NATS_SUBJECT, NATS_TIME_STAMP};
use async_nats::{HeaderMap, HeaderName, Message};

use super::batches::number;
use super::stamp;
use crate::Counters;
use crate::codec;
use crate::store::{Kept, Newest, ReadError};

/// Headers of messages that stand for something that isn't there any more: nobody published them.
const MARKERS: [HeaderName; 2] =
    [HeaderName::from_static("Nats-Marker-Reason"), HeaderName::from_static("KV-Operation")];

/// Whether it stands for what was deleted or has expired.
pub(in crate::nats) fn is_marker(headers: &HeaderMap) -> bool {
    MARKERS.iter().any(|marker| headers.get(marker.clone()).is_some())
}

/// Number and time that the server gives with a message, read or sent on.
pub(in crate::nats) fn place(headers: &HeaderMap) -> Option<Newest> {
    let offset = number(Some(headers), &NATS_SEQUENCE)?;
    let ts = stamp::millis(headers.get_last(NATS_TIME_STAMP)?.as_str())?;
    Some(Newest { offset, ts })
}

/// Number, time and subject of a message that was read.
pub(super) fn read_place(message: &Message) -> Result<(Newest, &str), ReadError> {
    let headers = message.headers.as_ref().ok_or(ReadError::BadAnswer)?;
    let place = place(headers).ok_or(ReadError::BadAnswer)?;
    let subject = headers.get_last(NATS_SUBJECT).ok_or(ReadError::BadAnswer)?;
    Ok((place, subject.as_str()))
}

/// What was published; none: it is a marker, or no publication, which counts as garbage.
pub(super) fn read(message: &Message, at: Newest, counters: &Counters) -> Option<Kept> {
    if message.headers.as_ref().is_some_and(is_marker) {
        return None;
    }
    let read = codec::read_stored(&message.payload)
        .and_then(|publication| codec::read_unread(&publication.0))
        .inspect_err(|garbage| {
            counters.garbage.add(1);
            tracing::debug!(%garbage, offset = at.offset, "what a store keeps can't be read, and was ignored");
        });
    Some(Kept { offset: at.offset, ts: at.ts, publication: Arc::new(read.ok()?) })
}
