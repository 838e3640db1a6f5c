//! What waits to be sent: a bounded queue, and the one task that hands it to the client in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::link::LinkState;
use crate::Refused;
use crate::carrier::MESSAGE_LIMIT;

/// How many messages wait at most: at 50,000 a second a sixth of a second, far longer than a healthy link stalls.
pub(super) const QUEUE_MESSAGES: usize = 8_192;

/// How many bytes wait at most.
pub(super) const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// How many are taken from the queue at a time.
const BATCH: usize = 64;

/// A message to send.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) subject: String,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

enum Item {
    Message(Outbound),
    /// Told when everything before it was handed to the client.
    Mark(oneshot::Sender<()>),
}

/// The end of the queue that is written to.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Item>,
    bytes: Arc<AtomicUsize>,
    link: Arc<LinkState>,
}

/// The end that is read, for [`Drain::run`].
pub(super) struct Drain {
    queue: mpsc::Receiver<Item>,
    bytes: Arc<AtomicUsize>,
    link: Arc<LinkState>,
}

/// A new queue.
pub(super) fn queue(link: &Arc<LinkState>) -> (Outgoing, Drain) {
    let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES);
    let bytes = Arc::<AtomicUsize>::default();
    let outgoing = Outgoing { queue: sender, bytes: Arc::clone(&bytes), link: Arc::clone(link) };
    (outgoing, Drain { queue: receiver, bytes, link: Arc::clone(link) })
}

impl Outgoing {
    /// Queues a message without waiting.
    pub(super) fn push(&self, message: Outbound) -> Result<(), Refused> {
        if message.payload.len() > MESSAGE_LIMIT {
            return Err(Refused::TooLarge);
        }
        if !self.link.is_up() {
            return Err(Refused::Away);
        }
        let size = message.size();
        // Counted before it is queued, so that the task never takes off what isn't on yet.
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        self.queue.try_send(Item::Message(message)).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Refused::Full,
                mpsc::error::TrySendError::Closed(_) => Refused::Away,
            }
        })
    }

    /// Waits until everything queued before was handed to the client. False: it never will be.
    pub(super) async fn drained(&self) -> bool {
        let (mark, passed) = oneshot::channel();
        self.queue.send(Item::Mark(mark)).await.is_ok() && passed.await.is_ok()
    }
}

impl Outbound {
    fn size(&self) -> usize {
        self.subject.len() + self.payload.len()
    }
}

impl Drain {
    /// Hands on what is queued until stopped. While the link is away it waits with the rest: the client's own
    /// queue must stay free for subscriptions.
    pub(super) async fn run(mut self, client: &Client, stop: &CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let draining = async {
            while self.queue.recv_many(&mut batch, BATCH).await > 0 {
                for item in batch.drain(..) {
                    match item {
                        Item::Message(message) => {
                            self.bytes.fetch_sub(message.size(), Ordering::Relaxed);
                            if !self.link.is_up() {
                                self.link.up().await;
                            }
                            send(client, message).await;
                        }
                        // Who waited may have given up.
                        Item::Mark(mark) => drop(mark.send(())),
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = draining => {}
        }
    }
}

async fn send(client: &Client, Outbound { subject, headers, payload }: Outbound) {
    let sent = match headers {
        None => client.publish(subject, payload).await,
        Some(headers) => client.publish_with_headers(subject, headers, payload).await,
    };
    // Only a server with an unusually small limit, or a closed client, comes to this.
    if let Err(error) = sent {
        tracing::warn!(%error, "a message wasn't taken by the NATS client");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counters;

    fn message(bytes: usize) -> Outbound {
        Outbound { subject: String::new(), headers: None, payload: vec![0; bytes].into() }
    }

    fn up() -> Arc<LinkState> {
        let link = Arc::new(LinkState::new(Arc::new(Counters::default())));
        link.force_up();
        link
    }

    #[test]
    fn more_messages_than_the_bound_are_refused() {
        let (outgoing, _drain) = queue(&up());
        for _ in 0..QUEUE_MESSAGES {
            assert_eq!(outgoing.push(message(1)), Ok(()));
        }
        assert_eq!(outgoing.push(message(1)), Err(Refused::Full));
    }

    #[tokio::test]
    async fn more_bytes_than_the_bound_are_refused_until_some_have_left() {
        let (outgoing, mut drain) = queue(&up());
        let large = QUEUE_BYTES / 32;
        for _ in 0..32 {
            assert_eq!(outgoing.push(message(large)), Ok(()));
        }
        assert_eq!(outgoing.push(message(1)), Err(Refused::Full));
        let Some(Item::Message(first)) = drain.queue.recv().await else { panic!("a message") };
        drain.bytes.fetch_sub(first.size(), Ordering::Relaxed);
        assert_eq!(outgoing.push(message(large)), Ok(()));
    }

    #[test]
    fn away_and_too_large_are_told_apart() {
        let link = Arc::new(LinkState::new(Arc::new(Counters::default())));
        let (outgoing, _drain) = queue(&link);
        assert_eq!(outgoing.push(message(1)), Err(Refused::Away));
        assert_eq!(outgoing.push(message(MESSAGE_LIMIT + 1)), Err(Refused::TooLarge));
    }
}
