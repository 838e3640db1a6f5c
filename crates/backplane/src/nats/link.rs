//! Whether the link stands: what the client knows, as a value to watch.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{MINIMUM, version_of};
use crate::{Counters, Link};

/// How often the client's state is looked at besides its events: those come through a queue of its own that
/// drops when full, the state doesn't.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The link's state, and who changes it.
#[derive(Debug)]
pub(super) struct LinkState {
    link: watch::Sender<Link>,
    /// An event came: look now.
    look: Notify,
    counters: Arc<Counters>,
}

impl LinkState {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { link: watch::Sender::default(), look: Notify::new(), counters }
    }

    /// Takes an event in. It may be late, so but for slow receivers it only says when to look.
    pub(super) fn event(&self, event: &Event) {
        if let Event::SlowConsumer(_) = event {
            self.counters.slow.add(1);
            self.link.send_modify(|link| link.slow += 1);
        } else {
            tracing::debug!(%event, "nats");
            self.look.notify_one();
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.link.borrow().up
    }

    pub(super) fn now(&self) -> Link {
        *self.link.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Returns when the link is down, be it now.
    pub(super) async fn down(&self) {
        // The sender lives as long as `self`.
        let _ = self.link.subscribe().wait_for(|link| !link.up).await;
    }

    /// Returns when the link is up, be it now.
    pub(super) async fn up(&self) {
        let _ = self.link.subscribe().wait_for(|link| link.up).await;
    }

    #[cfg(test)]
    pub(super) fn force_up(&self) {
        self.link.send_modify(|link| link.up = true);
    }

    pub(super) fn closed(&self) {
        self.link.send_modify(|link| link.up = false);
    }

    /// Takes over what the client knows now.
    pub(super) fn refresh(&self, client: &Client) {
        let statistics = client.statistics();
        let generation = statistics.connects.load(std::sync::atomic::Ordering::Relaxed);
        let up = client.connection_state() == State::Connected;
        let before = *self.link.borrow();
        let changed = self.link.send_if_modified(|link| {
            let changes = (link.up, link.generation) != (up, generation);
            (link.up, link.generation) = (up, generation);
            changes
        });
        if !changed {
            return;
        }
        self.counters.reconnects.raise_to(generation.saturating_sub(1));
        if before.up && !up {
            tracing::warn!("the link to NATS is lost");
        } else if up && before.generation > 0 {
            tracing::info!(generation, "the link to NATS is back");
            let version = client.server_info().version;
            if version_of(&version).is_none_or(|version| version < MINIMUM) {
                tracing::error!(version, "came back to a NATS server that is too old");
            }
        }
    }

    /// Keeps the state current until stopped.
    pub(super) async fn keep(&self, client: &Client, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.closed(),
                () = self.look.notified() => {}
                _ = tick.tick() => {}
            }
            self.refresh(client);
        }
    }
}
