//! One connection to NATS as a party of the cluster: the trait over it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use ringway_protocol::code::Code;
use ringway_protocol::name::GroupId;
use ringway_ring::{Announcement, NodeId, Slot};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::Feed;
use super::lanes::Lanes;
use super::link::LinkState;
use super::live::Live;
use super::outgoing::{self, Outbound, Outgoing};
use super::questions::Questions;
use super::settings::NatsSettings;
use super::stores::Stores;
use super::trace::{headers, traceparent};
use super::{ConnectError, MINIMUM, reach, version_of};
use crate::codec::{self, Garbage};
use crate::message::{Answer, ClusterEvent, Direct, LiveMessage, Request, STATE_LIMIT};
use crate::subject::{self, Subjects};
use crate::{
    Backplane, Closed, Counters, Inbox, IncomingRequest, Interest, Link, LiveSinks, Refused, Replier,
    RequestError, Scope, Subscription,
};

/// How long a departure, or the end, waits for the server to have taken everything.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How long a message may be under way within the server that it took for one subscription alone, though another was made
/// meanwhile: it looks who is interested, and only then queues. Microseconds, and a server's pause.
const UNDER_WAY: Duration = Duration::from_millis(50);

/// A connection and what hangs on it. Dropped, everything ends.
pub(super) struct Party {
    client: Client,
    subjects: Subjects,
    link: Arc<LinkState>,
    counters: Arc<Counters>,
    /// Live, direct and cluster messages.
    messages: Outgoing,
    /// Answers, beside the messages: a flood of publications mustn't leave askers without an answer.
    answers: Outgoing,
    questions: Arc<Questions>,
    stores: Arc<Stores>,
    /// What this party itself serves and watches: the server doesn't give us our own words.
    served: Arc<Mutex<HashMap<Inbox, mpsc::Sender<IncomingRequest>>>>,
    watchers: Arc<Mutex<Vec<mpsc::Sender<ClusterEvent>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Party {
    pub(super) async fn connect(settings: &NatsSettings, subjects: Subjects) -> Result<Self, ConnectError> {
        let counters = Arc::<Counters>::default();
        let link = Arc::new(LinkState::new(Arc::clone(&counters)));
        let client = reach(settings, &link).await?;
        let version = client.server_info().version;
        if version_of(&version).is_none_or(|version| version < MINIMUM) {
            return Err(ConnectError::TooOld { found: version });
        }
        link.refresh(&client);

        let (messages, send_messages) = outgoing::queue(&link);
        let (answers, send_answers) = outgoing::queue(&link);
        let questions = Arc::new(Questions::new(&client, &link));
        let stores = Stores::new(
            client.clone(),
            subjects.clone(),
            Arc::clone(&questions),
            Arc::clone(&link),
            Arc::clone(&counters),
        );
        let party = Self {
            questions,
            stores: Arc::new(stores),
            client,
            subjects,
            link,
            counters,
            messages,
            answers,
            served: Arc::default(),
            watchers: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let (link, client, stop) = (Arc::clone(&party.link), party.client.clone(), party.stop.clone());
        party.tasks.spawn(async move { link.keep(&client, &stop).await });
        for drain in [send_messages, send_answers] {
            let (client, stop) = (party.client.clone(), party.stop.clone());
            party.tasks.spawn(async move { drain.run(&client, &stop).await });
        }
        let listening = party.stores.listen().await.map_err(|Closed| ConnectError::Ended)?;
        let (stores, stop) = (Arc::clone(&party.stores), party.stop.clone());
        party.tasks.spawn(async move { stores.run(listening, &stop).await });
        party.listen_for_answers().await.map_err(|Closed| ConnectError::Ended)?;
        Ok(party)
    }

    async fn listen_for_answers(&self) -> Result<(), Closed> {
        let mut answers = self.client.subscribe(self.questions.subject()).await.map_err(|_| Closed)?;
        let (questions, stop) = (Arc::clone(&self.questions), self.stop.clone());
        self.tasks.spawn(async move {
            let listening = async {
                while let Some(message) = answers.next().await {
                    questions.answer(message);
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = listening => {}
            }
        });
        Ok(())
    }

    fn push(&self, message: Outbound) -> Result<(), Refused> {
        let pushed = if self.stop.is_cancelled() { Err(Refused::Away) } else { self.messages.push(message) };
        match pushed {
            Ok(()) => self.counters.sent.add(1),
            Err(_) => self.counters.refused.add(1),
        }
        pushed
    }

    /// Sends something about the cluster, and lets this party's own watchers hear it.
    fn tell_cluster(&self, event: &ClusterEvent) -> Result<(), Refused> {
        // A watcher that is behind misses one of many announcements, as it may any other's.
        for watcher in self.watchers.lock().iter() {
            let _ = watcher.try_send(event.clone());
        }
        self.push(Outbound {
            subject: self.subjects.cluster(),
            headers: None,
            payload: codec::write_cluster(event),
        })
    }

    /// Waits until the server has taken everything that was sent before.
    async fn flushed(&self) -> Result<(), Refused> {
        let flushing = async {
            if self.messages.drained().await && self.answers.drained().await {
                // The server takes things in order: what comes back from it was behind all the rest.
                self.round_trip(FLUSH_LIMIT).await.map(drop).map_err(|_| Refused::Away)
            } else {
                Err(Refused::Away)
            }
        };
        tokio::time::timeout(FLUSH_LIMIT, flushing).await.unwrap_or(Err(Refused::Away))
    }

    /// Subscribes, and feeds a sink with what `read` makes of each message. Calls `ended` before the
    /// subscription counts as closed.
    async fn receive<T: Send + 'static>(
        &self,
        subject: String,
        sink: mpsc::Sender<T>,
        mut read: impl FnMut(Message) -> Result<T, Garbage> + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Subscription, Closed> {
        let read = move |message| read(message).map(|item| Some((0, item)));
        self.receive_in_lanes(subject, &[sink], None, read, ended).await
    }

    /// As [`receive`](Self::receive), where `read` also says into which of the sinks, or that it goes nowhere. Nothing comes
    /// before `after`.
    async fn receive_in_lanes<T: Send + 'static>(
        &self,
        subject: String,
        sinks: &[mpsc::Sender<T>],
        after: Option<CancellationToken>,
        read: impl FnMut(Message) -> Result<Option<(usize, T)>, Garbage> + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Subscription, Closed> {
        if self.stop.is_cancelled() {
            return Err(Closed);
        }
        let (subscription, reception) = Subscription::of_task(&self.stop);
        let (ready, subscribed) = oneshot::channel();
        let mut feed = Feed {
            client: self.client.clone(),
            link: Arc::clone(&self.link),
            counters: Arc::clone(&self.counters),
            reception,
        };
        let lanes = Lanes::into(sinks);
        self.tasks.spawn(async move {
            feed.run(subject, ready, after, lanes, read).await;
            ended();
            drop(feed);
        });
        tokio::select! {
            subscribed = subscribed => subscribed.map_err(|_| Closed)?,
            // It is made before the link is up again: the client keeps what it is asked in order.
            () = self.link.down() => {}
        }
        Ok(subscription)
    }

    /// Asks an inbox that this party serves itself.
    async fn ask_self(
        &self,
        sink: mpsc::Sender<IncomingRequest>,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, RequestError> {
        let (reply, answer) = Replier::channel();
        let incoming = IncomingRequest { request: request.clone(), reply };
        let asking = async {
            sink.send(incoming).await.map_err(|_| RequestError::NoResponders)?;
            match answer.await {
                Ok(answer) => Ok(answer.limited(STATE_LIMIT)),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(RequestError::Timeout))
    }
}

#[async_trait]
impl Backplane for Party {
    fn publish_live(&self, group: &GroupId, slot: Slot, message: &LiveMessage) -> Result<(), Refused> {
        let subject = self.subjects.live(group, slot, &message.tenant, &message.room);
        self.push(Outbound {
            subject: subject.map_err(|_| Refused::TooLarge)?,
            headers: headers(message.traceparent.as_deref()),
            payload: codec::write_live(message),
        })
    }

    fn publish_direct(&self, group: &GroupId, direct: &Direct) -> Result<(), Refused> {
        self.push(Outbound {
            subject: self.subjects.direct(group, &direct.tenant),
            headers: headers(direct.traceparent.as_deref()),
            payload: codec::write_direct(direct),
        })
    }

    async fn request(&self, to: &Inbox, request: &Request, limit: Duration) -> Result<Answer, RequestError> {
        if self.stop.is_cancelled() || !self.link.is_up() {
            self.counters.refused.add(1);
            return Err(RequestError::Away);
        }
        self.counters.sent.add(1);
        let own = self.served.lock().get(to).cloned();
        if let Some(sink) = own {
            return self.ask_self(sink, request, limit).await;
        }
        let subject = self.subjects.inbox(to).map_err(|_| RequestError::TooLarge)?;
        let headers = headers(request.traceparent.as_deref());
        let payload = codec::write_request(request);
        let message = self.questions.ask(&self.client, subject, headers, payload, limit).await?;
        codec::read_answer(&message.payload).inspect(|_| self.counters.received.add(1)).map_err(|garbage| {
            self.counters.garbage.add(1);
            tracing::debug!(%garbage, "an answer that can't be read");
            RequestError::BadAnswer
        })
    }

    async fn serve(
        &self,
        inbox: &Inbox,
        sink: mpsc::Sender<IncomingRequest>,
    ) -> Result<Subscription, Closed> {
        let subject = self.subjects.inbox(inbox).map_err(|_| Closed)?;
        let (answers, counters) = (self.answers.clone(), Arc::clone(&self.counters));
        let read = move |message: Message| {
            let Some(asker) = message.reply else {
                return Err(Garbage::Malformed("a question without an asker"));
            };
            let answering = (answers.clone(), Arc::clone(&counters));
            let reply = Replier::new(move |answer| {
                answer_to(&answering.0, &answering.1, asker.into_string(), answer);
            });
            match codec::read_request(&message.payload, traceparent(message.headers.as_ref())) {
                Ok(request) => Ok(IncomingRequest { request, reply }),
                Err(garbage) => {
                    // An asker of another release is better told at once than left to wait.
                    reply.send(Answer::Refused { code: Code::BadRequest });
                    Err(garbage)
                }
            }
        };
        self.served.lock().insert(inbox.clone(), sink.clone());
        let (served, inbox, own) = (Arc::clone(&self.served), inbox.clone(), sink.downgrade());
        self.receive(subject, sink, read, move || {
            let mut served = served.lock();
            // Served anew meanwhile, it is another's.
            let same = |sink: &mpsc::Sender<_>| own.upgrade().is_none_or(|own| own.same_channel(sink));
            if served.get(&inbox).is_some_and(same) {
                served.remove(&inbox);
            }
        })
        .await
    }

    async fn listen(
        &self,
        interest: &Interest,
        sinks: &LiveSinks,
        after: Option<CancellationToken>,
    ) -> Result<Subscription, Closed> {
        let subject = self.subjects.interest(interest).map_err(|_| Closed)?;
        let sinks = match &interest.scope {
            Scope::Room { slot, .. } | Scope::Slot(slot) | Scope::TenantSlot { slot, .. } => sinks.of(*slot),
            Scope::Tenant(_) | Scope::Group => sinks.clone(),
        };
        let mut live = Live::new(&interest.scope, sinks.all().len());
        let read = move |message: Message| live.read(&message);
        self.receive_in_lanes(subject, sinks.all(), after, read, || {}).await
    }

    async fn retire(&self, former: Vec<Subscription>) {
        if former.is_empty() {
            return;
        }
        let generation = |link: &Link| link.up.then_some(link.generation);
        let before = generation(&self.link.watch().borrow());
        // Once the server has seen the new ones it gives everything to both; what it gave before has come when it answers.
        // A dead link is noticed within some seconds, a slow one is waited for.
        while before.is_some() && generation(&self.link.watch().borrow()) == before {
            if self.round_trip(FLUSH_LIMIT).await.is_ok() {
                tokio::time::sleep(UNDER_WAY).await;
                break;
            }
        }
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
        let read = |message: Message| {
            let tenant = subject::direct_tenant(&message.subject);
            let tenant = tenant.ok_or(Garbage::Malformed("not a tenant's subject"))?;
            codec::read_direct(&message.payload, tenant, traceparent(message.headers.as_ref()))
        };
        self.receive(self.subjects.all_direct(group), sink, read, || {}).await
    }

    async fn watch_cluster(&self, sink: mpsc::Sender<ClusterEvent>) -> Result<Subscription, Closed> {
        self.watchers.lock().push(sink.clone());
        let (watchers, own) = (Arc::clone(&self.watchers), sink.clone());
        let read = |message: Message| codec::read_cluster(&message.payload);
        let ended = move || watchers.lock().retain(|watcher| !watcher.same_channel(&own));
        self.receive(self.subjects.cluster(), sink, read, ended).await
    }

    fn announce(&self, announcement: &Announcement) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Announced(Box::new(announcement.clone())))
    }

    fn hello(&self) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Hello)
    }

    async fn depart(&self, id: &NodeId, incarnation: u64) -> Result<(), Refused> {
        self.tell_cluster(&ClusterEvent::Departed { id: id.clone(), incarnation })?;
        self.flushed().await
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.watch()
    }

    async fn round_trip(&self, limit: Duration) -> Result<Duration, RequestError> {
        let start = Instant::now();
        // Nobody listens there, so the server itself answers, and says so.
        let asked = self.questions.ask(&self.client, self.subjects.nobody(), None, Bytes::new(), limit).await;
        match asked {
            Ok(_) | Err(RequestError::NoResponders) => Ok(start.elapsed()),
            Err(error) => Err(error),
        }
    }

    fn stores(&self) -> Option<Arc<Stores>> {
        Some(Arc::clone(&self.stores))
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn close(&self) {
        if self.stop.is_cancelled() {
            return;
        }
        // What can't be sent within the limit is lost, as it would be with the process.
        let _ = self.flushed().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let _ = tokio::time::timeout(FLUSH_LIMIT, self.client.drain()).await;
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("nats::Party").field("link", &*self.link.watch().borrow()).finish_non_exhaustive()
    }
}

fn answer_to(answers: &Outgoing, counters: &Counters, asker: String, answer: Answer) {
    let payload = codec::write_answer(&answer.limited(STATE_LIMIT));
    match answers.push(Outbound { subject: asker, headers: None, payload }) {
        Ok(()) => counters.sent.add(1),
        Err(refused) => {
            counters.refused.add(1);
            tracing::debug!(%refused, "an answer wasn't sent");
        }
    }
}
