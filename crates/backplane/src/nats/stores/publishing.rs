//! A publication is stored: sent with its id, acknowledged by the stream's leader, and what that says is told apart.

use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use ringway_ring::NodeId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Stores;
use super::underway::Parcel;
use crate::carrier::MESSAGE_LIMIT;
use crate::codec;
use crate::message::Publication;
use crate::nats::trace;
use crate::store::{NotStored, Placed, RoomAt};

/// What a repeat is recognised by: 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(pub u128);

/// A publication to store.
#[derive(Clone, Copy, Debug)]
pub struct ToStore<'a> {
    /// Where.
    pub at: &'a RoomAt,
    /// What a repeat of it is recognised by.
    pub id: MessageId,
    /// The node that stores it.
    pub from: &'a NodeId,
    /// What is published.
    pub publication: &'a Publication,
}

impl MessageId {
    /// As it stands in a header.
    pub(super) fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl Stores {
    /// Stores a publication. Publications leave in the order in which these futures are first polled. Waits for the
    /// acknowledgement at most `limit`.
    ///
    /// # Errors
    /// [`NotStored`], which says whether it may have been stored all the same.
    pub async fn publish(
        &self,
        at: &RoomAt,
        id: MessageId,
        from: &NodeId,
        publication: &Publication,
        limit: Duration,
    ) -> Result<Placed, NotStored> {
        let (told, outcome) = oneshot::channel();
        // Who waited may be gone.
        let what = ToStore { at, id, from, publication };
        self.submit(what, limit, move |outcome| drop(told.send(outcome)));
        outcome.await.unwrap_or(Err(NotStored::Unknown))
    }

    /// As [`publish`](Self::publish), without waiting: publications leave in the order of call, and `done` is called once,
    /// from another task, within `limit` and a little. It mustn't block.
    pub fn submit(
        &self,
        what: ToStore<'_>,
        limit: Duration,
        done: impl FnOnce(Result<Placed, NotStored>) + Send + 'static,
    ) {
        let ToStore { at, id, from, publication } = what;
        let stream = self.known.borrow().stream_of(at).map(|stream| stream.name.clone());
        let Some(stream) = stream else {
            self.look_again(&at.key());
            return self.under_way.refuse(Box::new(done), NotStored::Away);
        };
        let key = publication.key.as_ref().filter(|_| at.latest_per_key);
        let payload = codec::write_stored(from, publication);
        let Ok(subject) = self.subjects.stored(at, key) else {
            return self.under_way.refuse(Box::new(done), NotStored::TooLarge);
        };
        if payload.len() > MESSAGE_LIMIT {
            return self.under_way.refuse(Box::new(done), NotStored::TooLarge);
        }
        let mut headers = trace::headers(publication.span.as_deref()).unwrap_or_default();
        headers.insert(NATS_MESSAGE_ID, id.text());
        let (store, limit) = (at.key(), Instant::now() + limit);
        let parcel = Parcel { store, subject, headers, payload, limit, done: Box::new(done) };
        self.under_way.put(&stream, parcel);
    }

    /// How many publications wait to be sent, or for their acknowledgement.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.under_way.waiting()
    }
}
