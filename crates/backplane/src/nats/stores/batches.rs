//! Reads of which the answer is many messages: all to one reply subject, up to one that says that this was the end.
//!
//! Answers can be lost like any message where their receiver is behind; each says which number came before it, so a hole
//! is seen, and what came before it is still right.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE};
use async_nats::{Client, HeaderMap, HeaderName, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::nats::link::LinkState;
use crate::store::ReadError;

const NUM_PENDING: HeaderName = HeaderName::from_static("Nats-Num-Pending");

/// The last number that who answers had when it was asked for what is newest.
const UPTO: HeaderName = HeaderName::from_static("Nats-UpTo-Sequence");

/// The reads under way.
pub(super) struct Batches {
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    link: Arc<LinkState>,
}

/// How many messages come is bounded by what was asked for.
type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

/// Forgets a read when nobody waits for it any more.
struct UnderWay {
    token: u64,
    waiting: Waiting,
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order sent.
    pub(super) messages: Vec<Message>,
    /// How many more there were that weren't sent for the bounds of the question, as far as the server knew; 1 where it
    /// isn't known, but that there may be some.
    pub(super) pending: u64,
    /// Whoever answered had everything up to this number, where it says so.
    pub(super) upto: Option<u64>,
}

/// How a batch ends.
enum End {
    Not,
    /// Of all that was asked for, with so many left.
    Whole(u64),
    Nothing,
    Error(ReadError),
}

impl Batches {
    pub(super) fn new(client: &Client, link: &Arc<LinkState>) -> Self {
        Self {
            inbox: client.new_inbox(),
            next: AtomicU64::new(0),
            waiting: Arc::default(),
            link: Arc::clone(link),
        }
    }

    /// What to subscribe to for the answers.
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Receives answers until stopped.
    pub(super) async fn run(&self, mut answers: Subscriber, stop: &CancellationToken) {
        let receiving = async {
            while let Some(message) = answers.next().await {
                let token = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
                let reader = token.and_then(|token| self.waiting.lock().get(&token).cloned());
                if let Some(reader) = reader {
                    // Who asked may have given up this moment.
                    let _ = reader.send(message);
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = receiving => {}
        }
    }

    /// Asks, and collects what comes, for at most `limit`. What has come by then, or before a hole, counts.
    pub(super) async fn ask(
        &self,
        client: &Client,
        subject: String,
        payload: Bytes,
        limit: Duration,
    ) -> Result<Batch, ReadError> {
        if !self.link.is_up() {
            return Err(ReadError::Away);
        }
        let (sender, mut answers) = mpsc::unbounded_channel();
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(token, sender);
        let _under_way = UnderWay { token, waiting: Arc::clone(&self.waiting) };
        let mut batch = Batch::default();
        let asking = async {
            let reply = format!("{}.{token}", self.inbox);
            client.publish_with_reply(subject, reply, payload).await.map_err(|_| ReadError::Away)?;
            let mut last = 0;
            while let Some(message) = answers.recv().await {
                match end_of(&message) {
                    End::Not => {}
                    End::Whole(pending) => {
                        // The last before it may be what was lost.
                        let whole = number(message.headers.as_ref(), &NATS_LAST_SEQUENCE) == Some(last);
                        batch.pending = if whole { pending } else { pending.max(1) };
                        batch.upto = number(message.headers.as_ref(), &UPTO);
                        return Ok(());
                    }
                    End::Nothing => return Ok(()),
                    End::Error(error) => return Err(error),
                }
                let headers = message.headers.as_ref();
                let before = number(headers, &NATS_LAST_SEQUENCE);
                let Some(sequence) = number(headers, &NATS_SEQUENCE) else {
                    return Err(ReadError::BadAnswer);
                };
                if before.is_some_and(|before| before != last) {
                    tracing::debug!(sequence, "a part of an answer was lost");
                    batch.pending = 1;
                    return Ok(());
                }
                last = sequence;
                batch.messages.push(message);
                // A question for one alone has no end but itself.
                if before.is_none() {
                    return Ok(());
                }
            }
            // Nobody answers any more.
            Err(ReadError::Away)
        };
        let outcome = tokio::select! {
            biased;
            outcome = asking => outcome,
            () = self.link.down() => Err(ReadError::Away),
            () = tokio::time::sleep(limit) => Err(ReadError::Timeout),
        };
        match outcome {
            Err(ReadError::Timeout) if !batch.messages.is_empty() => {
                batch.pending = 1;
                Ok(batch)
            }
            outcome => outcome.map(|()| batch),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}

fn end_of(message: &Message) -> End {
    let Some(status) = message.status else { return End::Not };
    match status.as_u16() {
        // "EOB"
        204 => End::Whole(number(message.headers.as_ref(), &NUM_PENDING).unwrap_or(1)),
        404 => End::Nothing,
        429 => End::Error(ReadError::Busy),
        // Nobody answers for that stream.
        503 => End::Error(ReadError::Away),
        status => {
            tracing::debug!(status, description = message.description.as_deref(), "a read was refused");
            End::Error(ReadError::BadAnswer)
        }
    }
}

/// The server's own word: it puts its headers behind those that a stored message has.
pub(super) fn number(headers: Option<&HeaderMap>, name: &HeaderName) -> Option<u64> {
    headers?.get_last(name.clone())?.as_str().parse().ok()
}
