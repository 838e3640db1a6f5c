//! Questions that wait for their answers, over one reply subject of this process.
//!
//! The client's own requests would do, but keep every question that is never answered for ever, and can't tell
//! one that the link broke under.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::link::LinkState;
use crate::RequestError;

/// The questions under way.
#[derive(Debug)]
pub(super) struct Questions {
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    link: Arc<LinkState>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Message>>>>;

/// Forgets a question when its asker waits no more, for whatever reason.
struct Question {
    token: u64,
    waiting: Waiting,
}

impl Questions {
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

    /// Takes an answer in. One that nobody waits for any more is left alone.
    pub(super) fn answer(&self, message: Message) {
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let waiting = token.and_then(|token: u64| self.waiting.lock().remove(&token));
        if let Some(waiting) = waiting {
            let _ = waiting.send(message);
        }
    }

    /// Asks, and waits for the answer, the limit, or the link's end.
    pub(super) async fn ask(
        &self,
        client: &Client,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        limit: Duration,
    ) -> Result<Message, RequestError> {
        if !self.link.is_up() {
            return Err(RequestError::Away);
        }
        let (sender, receiver) = oneshot::channel();
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(token, sender);
        let _question = Question { token, waiting: Arc::clone(&self.waiting) };
        let reply = format!("{}.{token}", self.inbox);

        let asking = async {
            let sent = match headers {
                None => client.publish_with_reply(subject, reply, payload).await,
                Some(headers) => {
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
            };
            match sent {
                Ok(()) => receiver.await.map_err(|_| RequestError::Timeout),
                Err(error) => Err(match error.kind() {
                    async_nats::PublishErrorKind::MaxPayloadExceeded
                    | async_nats::PublishErrorKind::InvalidSubject => RequestError::TooLarge,
                    async_nats::PublishErrorKind::Send => RequestError::Away,
                }),
            }
        };
        let message = tokio::select! {
            biased;
            message = asking => message?,
            () = self.link.down() => return Err(RequestError::Timeout),
            () = tokio::time::sleep(limit) => return Err(RequestError::Timeout),
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(RequestError::NoResponders);
        }
        Ok(message)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}
