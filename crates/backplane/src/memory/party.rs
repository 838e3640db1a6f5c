//! One party of a hub: its link, and the trait over it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ringway_protocol::name::GroupId;
use ringway_ring::{Announcement, NodeId, Slot};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchange::{Exchange, Part};
use crate::carrier::MESSAGE_LIMIT;
use crate::message::{
    Answer, Ask, ClusterEvent, Direct, LiveBody, LiveMessage, Question, Request, STATE_LIMIT,
};
use crate::{
    Backplane, Closed, Counters, Inbox, IncomingRequest, Interest, Link, LiveSinks, Refused, Replier,
    RequestError, Scope, Subscription,
};

/// What others of the hub see of a party.
pub(super) struct Party {
    exchange: Arc<Exchange>,
    link: watch::Sender<Link>,
    closed: AtomicBool,
    /// Live messages still to be lost on their way here.
    to_lose: AtomicU64,
    counters: Counters,
    /// What feeds its sinks when they are full.
    tasks: TaskTracker,
}

impl Party {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange,
            link: watch::Sender::new(Link { up: true, generation: 1, slow: 0 }),
            closed: AtomicBool::new(false),
            to_lose: AtomicU64::new(0),
            counters: Counters::default(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn received(&self) {
        self.counters.received.add(1);
    }

    pub(super) fn link_is_up(&self) -> bool {
        self.link.borrow().up
    }

    pub(super) fn was_slow(&self) {
        self.counters.slow.add(1);
        self.link.send_modify(|link| link.slow += 1);
    }

    pub(super) fn cut(&self, cut: bool) {
        let heals = !cut && !self.is_closed();
        let changed = self.link.send_if_modified(|link| {
            let changes = link.up == cut && (cut || heals);
            if changes {
                link.up = !cut;
                link.generation += u64::from(!cut);
            }
            changes
        });
        if changed && !cut {
            self.counters.reconnects.add(1);
        }
    }

    pub(super) fn lose_live(&self, messages: u64) {
        self.to_lose.fetch_add(messages, Ordering::Relaxed);
    }

    fn loses(&self) -> bool {
        self.to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn close(self: &Arc<Self>) {
        self.closed.store(true, Ordering::Release);
        self.cut(true);
        self.exchange.leave(self);
    }

    /// Whether something of that size can be sent now; if not it counts as refused.
    fn may_send(&self, size: usize) -> Result<(), Refused> {
        let refused = if !self.link_is_up() {
            Refused::Away
        } else if size > MESSAGE_LIMIT {
            Refused::TooLarge
        } else {
            self.counters.sent.add(1);
            return Ok(());
        };
        self.counters.refused.add(1);
        Err(refused)
    }
}

/// A party's own end. Dropped, its subscriptions end.
pub(super) struct Handle {
    party: Arc<Party>,
}

impl Handle {
    pub(super) fn new(party: Arc<Party>) -> Self {
        Self { party }
    }

    /// Says something about the cluster: to this party's own watchers in any case, to others over the link.
    fn tell_cluster(&self, event: &ClusterEvent) -> Result<(), Refused> {
        let sent = self.party.may_send(0);
        self.party.exchange.cluster.to_all(&[()], 0, event, |other| {
            Arc::ptr_eq(other, &self.party) || (sent.is_ok() && other.link_is_up())
        });
        sent
    }
}

#[async_trait]
impl Backplane for Handle {
    fn publish_live(&self, group: &GroupId, slot: Slot, message: &LiveMessage) -> Result<(), Refused> {
        let size = match &message.body {
            LiveBody::Publication { publication, .. } => publication.wire_bound(),
            LiveBody::Unread { publication, .. } => publication.wire_bound(),
            LiveBody::Signal(publication) => publication.wire_bound(),
            LiveBody::Mark { .. }
            | LiveBody::MarkKeys { .. }
            | LiveBody::Stored(_)
            | LiveBody::Forgotten { .. } => 0,
        };
        self.party.may_send(size)?;
        let (tenant, room) = (message.tenant.clone(), message.room.clone());
        let interests = [
            Scope::Room { slot, tenant: tenant.clone(), room },
            Scope::Slot(slot),
            Scope::TenantSlot { slot, tenant: tenant.clone() },
            Scope::Tenant(tenant),
            Scope::Group,
        ]
        .map(|scope| Interest { group: group.clone(), scope });
        self.party.exchange.live.to_all(&interests, slot.number(), message, |other| {
            !Arc::ptr_eq(other, &self.party) && other.link_is_up() && !other.loses()
        });
        Ok(())
    }

    fn publish_direct(&self, group: &GroupId, direct: &Direct) -> Result<(), Refused> {
        self.party.may_send(direct.publication.wire_bound())?;
        self.party.exchange.direct.to_all(std::slice::from_ref(group), 0, direct, |other| {
            !Arc::ptr_eq(other, &self.party) && other.link_is_up()
        });
        Ok(())
    }

    async fn request(&self, to: &Inbox, request: &Request, limit: Duration) -> Result<Answer, RequestError> {
        let deadline = tokio::time::Instant::now() + limit;
        let size = match &request.body {
            Question::Room { ask: Ask::Publish { publications }, .. } => {
                publications.iter().map(|publication| publication.wire_bound()).sum()
            }
            Question::Tally(tallies) => tallies
                .iter()
                .map(|tally| 320 + tally.users.as_ref().map_or(0, |users| 9 * users.len()))
                .sum(),
            _ => 0,
        };
        self.party.may_send(size)?;

        let mut link = self.party.link.subscribe();
        let (sender, answer) = oneshot::channel();
        let asker = Arc::clone(&self.party);
        let heard = self.party.exchange.inboxes.to_one(to, |answerer| {
            let answerer = Arc::clone(answerer);
            let reply = Replier::new(move |answer: Answer| {
                if answerer.link_is_up() && asker.link_is_up() {
                    answerer.counters.sent.add(1);
                    asker.counters.received.add(1);
                    // An asker that waits no more needs no answer.
                    drop(sender.send(answer.limited(STATE_LIMIT)));
                }
            });
            IncomingRequest { request: request.clone(), reply }
        });
        if !heard {
            return Err(RequestError::NoResponders);
        }
        let answered = async {
            match answer.await {
                Ok(answer) => Ok(answer),
                // Whoever had the question will never answer: as over a network, nobody says so.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            _ = link.wait_for(|link| !link.up) => Err(RequestError::Timeout),
            () = tokio::time::sleep_until(deadline) => Err(RequestError::Timeout),
        }
    }

    async fn serve(
        &self,
        inbox: &Inbox,
        sink: mpsc::Sender<IncomingRequest>,
    ) -> Result<Subscription, Closed> {
        self.party
            .exchange
            .inboxes
            .add(inbox.clone(), &self.party, sink, Part::ALL)
            .map(Subscription::of_place)
    }

    /// Nothing waits for `after`: whoever publishes puts a message on all lines into one sink in one go.
    async fn listen(
        &self,
        interest: &Interest,
        sinks: &LiveSinks,
        _after: Option<CancellationToken>,
    ) -> Result<Subscription, Closed> {
        let sinks = match &interest.scope {
            Scope::Room { slot, .. } | Scope::Slot(slot) | Scope::TenantSlot { slot, .. } => sinks.of(*slot),
            Scope::Tenant(_) | Scope::Group => sinks.clone(),
        };
        let mut places = Vec::with_capacity(sinks.all().len());
        for (index, sink) in (0..).zip(sinks.all()) {
            let part = Part { index, of: u16::try_from(sinks.all().len()).unwrap_or(u16::MAX) };
            let place = self.party.exchange.live.add(interest.clone(), &self.party, sink.clone(), part);
            match place {
                Ok(place) => places.push(place),
                Err(Closed) => {
                    drop(Subscription::of_places(places));
                    return Err(Closed);
                }
            }
        }
        Ok(Subscription::of_places(places))
    }

    async fn retire(&self, former: Vec<Subscription>) {
        let finishing: Vec<_> = former.into_iter().map(Subscription::finish).collect();
        for finished in finishing {
            finished.await;
        }
    }

    async fn subscribe_direct(
        &self,
        group: &GroupId,
        sink: mpsc::Sender<Direct>,
    ) -> Result<Subscription, Closed> {
        self.party
            .exchange
            .direct
            .add(group.clone(), &self.party, sink, Part::ALL)
            .map(Subscription::of_place)
    }

    async fn watch_cluster(&self, sink: mpsc::Sender<ClusterEvent>) -> Result<Subscription, Closed> {
        self.party.exchange.cluster.add((), &self.party, sink, Part::ALL).map(Subscription::of_place)
    }

    fn announce(&self, announcement: &Announcement) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Announced(Box::new(announcement.clone())))
    }

    fn hello(&self) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Hello)
    }

    async fn depart(&self, id: &NodeId, incarnation: u64) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Departed { id: id.clone(), incarnation })
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.party.link.subscribe()
    }

    async fn round_trip(&self, _limit: Duration) -> Result<Duration, RequestError> {
        let start = Instant::now();
        tokio::task::yield_now().await;
        if self.party.link_is_up() { Ok(start.elapsed()) } else { Err(RequestError::Away) }
    }

    fn reaches_others(&self) -> bool {
        false
    }

    fn counters(&self) -> &Counters {
        &self.party.counters
    }

    async fn close(&self) {
        self.party.close();
        self.party.tasks.close();
        self.party.tasks.wait().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.party.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("memory::Handle").field("link", &*self.party.link.borrow()).finish_non_exhaustive()
    }
}
