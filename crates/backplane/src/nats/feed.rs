//! One subscription's task: what comes from the server goes into its sinks, to the end of what was sent before it ended.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::lanes::{Lanes, SinkClosed};
use super::link::LinkState;
use crate::Counters;
use crate::carrier::Reception;
use crate::codec::Garbage;

/// How long an unsubscription may take to be handed over; afterwards it is left to the client.
const UNSUBSCRIBE_LIMIT: Duration = Duration::from_millis(500);

/// One subscription's task.
pub(super) struct Feed {
    pub(super) client: Client,
    pub(super) link: Arc<LinkState>,
    pub(super) counters: Arc<Counters>,
    pub(super) reception: Reception,
}

impl Feed {
    /// Subscribes, says so by `ready`, and feeds the lanes, from `after` on, until the subscription is ended.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        subject: String,
        ready: oneshot::Sender<()>,
        after: Option<CancellationToken>,
        mut lanes: Lanes<T>,
        mut read: impl FnMut(Message) -> Result<Option<(usize, T)>, Garbage>,
    ) {
        let Self { client, link, counters, reception } = self;
        let stopped = reception.stop.cancelled();
        tokio::pin!(stopped);
        let subscribing = client.subscribe(subject);
        let mut subscriber = tokio::select! {
            biased;
            () = &mut stopped => return,
            subscriber = subscribing => match subscriber {
                Ok(subscriber) => subscriber,
                Err(error) => {
                    tracing::warn!(%error, "not subscribed");
                    return;
                }
            },
        };
        // Who waited may be content already, with the link away.
        let _ = ready.send(());

        let feeding = async {
            if let Some(after) = after {
                after.cancelled().await;
            }
            feed(&mut subscriber, &mut lanes, &mut read, counters).await;
        };
        let finishing = tokio::select! {
            biased;
            () = &mut stopped => false,
            // Dropped without a word: then it is stopped, too.
            finish = &mut reception.finish => finish.is_ok(),
            () = feeding => false,
        };
        if link.is_up() {
            let _ = tokio::time::timeout(UNSUBSCRIBE_LIMIT, subscriber.unsubscribe()).await;
        }
        // Else, or if it took too long: dropped, the client unsubscribes when it can.
        if finishing {
            let rest = async {
                // What came before is still read; with the link away it may be that no end of it is in sight.
                if link.is_up() {
                    feed(&mut subscriber, &mut lanes, &mut read, counters).await;
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => {}
                () = link.down() => {}
                () = rest => {}
            }
        }
    }
}

/// Feeds sinks with what `read` makes of each message, until there are no more, or a sink isn't read any more.
async fn feed<T: Send + 'static>(
    subscriber: &mut Subscriber,
    lanes: &mut Lanes<T>,
    read: &mut impl FnMut(Message) -> Result<Option<(usize, T)>, Garbage>,
    counters: &Counters,
) {
    loop {
        let message = match lanes.is_behind() {
            (false, _) => subscriber.next().await,
            (true, more) => tokio::select! {
                moved = lanes.move_on() => match moved {
                    Ok(()) => continue,
                    Err(SinkClosed) => return,
                },
                message = subscriber.next(), if more => message,
            },
        };
        let Some(message) = message else { break };
        match read(message) {
            Ok(None) => {}
            Ok(Some((lane, item))) => {
                counters.received.add(1);
                if lanes.put(lane, item).is_err() {
                    return;
                }
            }
            Err(garbage) => {
                counters.garbage.add(1);
                tracing::debug!(%garbage, "a message that can't be read was ignored");
            }
        }
    }
    while lanes.is_behind().0 {
        if lanes.move_on().await.is_err() {
            return;
        }
    }
}
