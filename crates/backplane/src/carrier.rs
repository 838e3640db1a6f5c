//! The trait that both carriers keep, and what it speaks in.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ringway_protocol::name::{GroupId, RoomName, TenantId};
use ringway_ring::{Announcement, NodeId, Slot};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::message::{Answer, ClusterEvent, Direct, LiveMessage, Request};
use crate::nats::Stores;

/// The largest message that is sent, bytes of its body: a NATS server's default limit, less room for headers.
pub(crate) const MESSAGE_LIMIT: usize = 1024 * 1024 - 4 * 1024;

/// What carries publications, questions and announcements between processes.
///
/// One handle is one party: it never hears the live and direct messages that it published itself, so a node and
/// a gateway in one process each have their own. What one sender sends arrives at one subscription in the order
/// sent; between kinds of message (live, direct, cluster, questions, answers) there is no order. Anything may be
/// lost, and nothing comes twice to one subscription, but to each of two that overlap.
#[async_trait]
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// Sends to a room's live subject, by order of call, without waiting.
    ///
    /// `Ok` means accepted, not delivered: what is under way when the link breaks is lost without a word.
    ///
    /// # Errors
    /// [`Refused`]; the message wasn't sent.
    fn publish_live(&self, group: &GroupId, slot: Slot, message: &LiveMessage) -> Result<(), Refused>;

    /// Sends to every node of the group, as [`publish_live`](Self::publish_live).
    ///
    /// # Errors
    /// [`Refused`]; the message wasn't sent.
    fn publish_direct(&self, group: &GroupId, direct: &Direct) -> Result<(), Refused>;

    /// Asks one node, and waits at most `limit` for its answer. A caller that also wants a late answer gives a
    /// longer limit and keeps its own time. An inbox that this handle serves itself can be asked too.
    ///
    /// # Errors
    /// [`RequestError`], each saying whether the question may have been heard.
    async fn request(&self, to: &Inbox, request: &Request, limit: Duration) -> Result<Answer, RequestError>;

    /// Receives the questions to an inbox. Waits when `sink` is full.
    ///
    /// # Errors
    /// [`Closed`].
    async fn serve(&self, inbox: &Inbox, sink: mpsc::Sender<IncomingRequest>)
    -> Result<Subscription, Closed>;

    /// Receives live messages. Returns once the subscription is on its way before any later request of this
    /// handle, or, while the link is away, at once: then it is made before the link is up again.
    ///
    /// Waits when `sink` is full; what then overflows behind it is dropped, and seen in [`Link::slow`].
    ///
    /// # Errors
    /// [`Closed`].
    async fn subscribe(
        &self,
        interest: &Interest,
        sink: mpsc::Sender<LiveMessage>,
    ) -> Result<Subscription, Closed> {
        self.listen(interest, &LiveSinks::from(sink), None).await
    }

    /// As [`subscribe`](Self::subscribe), each message into the sink of its slot. A full sink holds the others up only
    /// when very much waits for it.
    ///
    /// `after`: this takes the place of subscriptions that go on until they are [retired](Self::retire). Where it could
    /// overtake them, nothing comes by it before `after` is cancelled; what should have come by then waits.
    ///
    /// # Errors
    /// [`Closed`].
    async fn listen(
        &self,
        interest: &Interest,
        sinks: &LiveSinks,
        after: Option<CancellationToken>,
    ) -> Result<Subscription, Closed>;

    /// Ends live subscriptions in whose place this handle has made others, so that nothing is missed between them:
    /// returns when everything that came by the former ones alone is in their sinks. What came by both comes twice.
    ///
    /// While the link is away they just end: what is lost then is lost to the others too.
    async fn retire(&self, former: Vec<Subscription>);

    /// Receives the direct messages of a group, otherwise as [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    /// [`Closed`].
    async fn subscribe_direct(
        &self,
        group: &GroupId,
        sink: mpsc::Sender<Direct>,
    ) -> Result<Subscription, Closed>;

    /// Receives what is said about the cluster, this handle's own words among it.
    ///
    /// # Errors
    /// [`Closed`].
    async fn watch_cluster(&self, sink: mpsc::Sender<ClusterEvent>) -> Result<Subscription, Closed>;

    /// Says that a node lives. This handle's own watchers hear it even while the link is away.
    ///
    /// # Errors
    /// [`Refused`]; no other process hears it.
    fn announce(&self, announcement: &Announcement) -> Result<(), Refused>;

    /// Asks all nodes to announce themselves.
    ///
    /// # Errors
    /// [`Refused`]; no other process hears it.
    fn hello(&self) -> Result<(), Refused>;

    /// Says that a node leaves. Returns when everything sent before, and this, has reached the carrier.
    ///
    /// # Errors
    /// [`Refused`]; no other process may have heard it.
    async fn depart(&self, id: &NodeId, incarnation: u64) -> Result<(), Refused>;

    /// The state of the link, and its changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// Sends something round through the carrier, and tells how long it took.
    ///
    /// # Errors
    /// [`RequestError::Away`] or [`RequestError::Timeout`].
    async fn round_trip(&self, limit: Duration) -> Result<Duration, RequestError>;

    /// Whether other processes can be heard through it. Nobody is waited for where they can't.
    fn reaches_others(&self) -> bool {
        true
    }

    /// What keeps durable rooms' publications; none where nothing can be kept (inside one process).
    fn stores(&self) -> Option<Arc<Stores>> {
        None
    }

    /// What has been counted since the handle was made.
    fn counters(&self) -> &Counters;

    /// Sends what was accepted, ends all subscriptions and the link, and waits for that end, a few seconds at
    /// most. Afterwards everything is refused as away.
    async fn close(&self);
}

/// Where a node receives questions: it has one inbox in every group of its pool's tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inbox {
    /// The group.
    pub group: GroupId,
    /// The node.
    pub node: NodeId,
}

/// Which live messages are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interest {
    /// The group whose messages they are.
    pub group: GroupId,
    /// How much of it.
    pub scope: Scope,
}

/// How much of a group is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One room.
    Room {
        /// The room's slot.
        slot: Slot,
        /// The room's tenant.
        tenant: TenantId,
        /// The room.
        room: RoomName,
    },
    /// A slot, all tenants.
    Slot(Slot),
    /// A slot's rooms of one tenant.
    TenantSlot {
        /// The slot.
        slot: Slot,
        /// The tenant.
        tenant: TenantId,
    },
    /// All rooms of one tenant.
    Tenant(TenantId),
    /// Everything.
    Group,
}

/// Where live messages go: each into the queue of its slot.
#[derive(Clone, Debug)]
pub struct LiveSinks(Arc<[mpsc::Sender<LiveMessage>]>);

impl LiveSinks {
    /// A slot's messages go to the one at its number modulo how many they are. None: what comes is dropped.
    #[must_use]
    pub fn by_slot(sinks: Vec<mpsc::Sender<LiveMessage>>) -> Self {
        Self(sinks.into())
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> &[mpsc::Sender<LiveMessage>] {
        &self.0
    }

    /// The one of a slot alone.
    pub(crate) fn of(&self, slot: Slot) -> Self {
        if self.0.len() < 2 {
            return self.clone();
        }
        Self::from(self.0[usize::from(slot.number()) % self.0.len()].clone())
    }
}

impl From<mpsc::Sender<LiveMessage>> for LiveSinks {
    fn from(sink: mpsc::Sender<LiveMessage>) -> Self {
        Self(Arc::new([sink]))
    }
}

/// The state of the link to the other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// Whether it stands, as far as is known: a dead peer is noticed within 5 s.
    pub up: bool,
    /// How many times it has been made: 1 at first, and one more whenever it comes back. Between two
    /// generations anything may have been lost.
    pub generation: u64,
    /// Rises when incoming messages were dropped because their receiver was behind.
    pub slow: u64,
}

/// Why something wasn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More waits to be sent than the bound allows. Later it may go.
    #[error("too much is waiting to be sent")]
    Full,
    /// The link is away. When it is back, it may go.
    #[error("the backplane is away")]
    Away,
    /// The message, or its subject, is larger than the carrier takes. It never goes.
    #[error("the message is too large for the backplane")]
    TooLarge,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens there. Not done; another may be asked.
    #[error("nobody listens at that inbox")]
    NoResponders,
    /// No answer in time, or the link broke meanwhile. It may have been done.
    #[error("no answer in time")]
    Timeout,
    /// The link was away. Not done.
    #[error("the backplane is away")]
    Away,
    /// The question is larger than the carrier takes. Not done.
    #[error("the question is too large for the backplane")]
    TooLarge,
    /// What came back is not an answer that this release can read. It may have been done.
    #[error("the answer can't be read")]
    BadAnswer,
}

impl From<Refused> for RequestError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full | Refused::Away => Self::Away,
            Refused::TooLarge => Self::TooLarge,
        }
    }
}

/// The handle was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backplane was closed")]
pub struct Closed;

/// Something being received. Dropping it ends that soon; [`close`](Self::close) waits for it.
#[must_use = "dropped, it ends at once"]
pub struct Subscription(Held);

/// What ends with a [`Subscription`].
enum Held {
    /// A task that receives. It drops the other end of `ended` when it has ended.
    Task {
        stop: CancellationToken,
        finish: Option<oneshot::Sender<()>>,
        ended: oneshot::Receiver<Infallible>,
    },
    /// Places in a table, without a task.
    Places(Box<[Arc<dyn Place>]>),
}

/// A place in a table of who receives.
pub(crate) trait Place: Send + Sync {
    /// Gives it up, if that wasn't done: nothing comes into the sink by it after this returns.
    fn leave(&self);

    /// Gives it up, if that wasn't done; what came before is in the sink when the future is ready.
    fn finish(&self) -> BoxFuture<'static, ()>;
}

/// The other side of a [`Subscription`]: the task that receives holds it.
pub(crate) struct Reception {
    pub(crate) stop: CancellationToken,
    /// Says that nothing more is to come but what is here.
    pub(crate) finish: oneshot::Receiver<()>,
    _alive: oneshot::Sender<Infallible>,
}

impl Subscription {
    /// A subscription and what its task holds. Cancelling `parent` ends it too.
    pub(crate) fn of_task(parent: &CancellationToken) -> (Self, Reception) {
        let stop = parent.child_token();
        let (alive, ended) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        (
            Self(Held::Task { stop: stop.clone(), finish: Some(finish), ended }),
            Reception { stop, finish: finished, _alive: alive },
        )
    }

    /// A subscription that gives up its place.
    pub(crate) fn of_place(place: Arc<dyn Place>) -> Self {
        Self(Held::Places(Box::new([place])))
    }

    /// A subscription that gives up its places.
    pub(crate) fn of_places(places: Vec<Arc<dyn Place>>) -> Self {
        Self(Held::Places(places.into()))
    }

    /// Ends it, and waits until nothing more will come into the sink and the carrier was told.
    pub async fn close(mut self) {
        self.end();
        if let Held::Task { ended, .. } = &mut self.0 {
            // An error is what is waited for: the task dropped its end.
            let Err(_) = ended.await;
        }
    }

    /// Ends it at once, but for what has come already: that is in the sink when the future is ready.
    pub(crate) fn finish(mut self) -> BoxFuture<'static, ()> {
        match &mut self.0 {
            Held::Task { finish, .. } => {
                if let Some(finish) = finish.take() {
                    // A task that has ended has nothing left to finish.
                    let _ = finish.send(());
                }
                Box::pin(async move {
                    if let Held::Task { ended, .. } = &mut self.0 {
                        let Err(_) = ended.await;
                    }
                })
            }
            Held::Places(places) => {
                let finishing: Vec<_> = places.iter().map(|place| place.finish()).collect();
                Box::pin(async move {
                    for place in finishing {
                        place.await;
                    }
                })
            }
        }
    }

    fn end(&self) {
        match &self.0 {
            Held::Task { stop, .. } => stop.cancel(),
            Held::Places(places) => places.iter().for_each(|place| place.leave()),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A question that has come in.
#[derive(Debug)]
pub struct IncomingRequest {
    /// What is asked, and by whom.
    pub request: Request,
    /// How it is answered.
    pub reply: Replier,
}

/// Takes the answer to one question. Dropped without one, the asker waits in vain for its whole limit.
pub struct Replier(Box<dyn FnOnce(Answer) + Send>);

impl Replier {
    /// A replier that hands the answer to `send`, which mustn't block.
    pub fn new(send: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// A replier whose answer comes out of the receiver.
    #[must_use]
    pub fn channel() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        // An asker that is gone needs no answer.
        (Self::new(move |answer| drop(sender.send(answer))), receiver)
    }

    /// Sends the answer, without waiting. A room's state is cut to
    /// [`STATE_LIMIT`](crate::message::STATE_LIMIT).
    pub fn send(self, answer: Answer) {
        (self.0)(answer);
    }
}

impl fmt::Debug for Replier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replier")
    }
}
