//! Publications on their way into streams: in the order of call, a bounded number of each stream's at a time, each told what
//! became of it within its limit.
//!
//! One lock, one task. A publication waits here only while as many of its stream's as may aren't acknowledged yet; where the
//! link is away nothing waits. Nothing is sent twice: who wants that does it himself, with the same id.

mod state;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::state::{Letter, Next, Sent, State, Stranger, Told};
use super::{Stores, acknowledgement};
use crate::Link;
use crate::nats::link::LinkState;
use crate::store::{Known, NotStored, Placed, StoreKey};

/// How many of a stream's publications wait for their acknowledgement at most: the server's rate is the same with 500, and at
/// 20,000 a second it is a tenth of a second's.
pub(super) const UNDER_WAY: usize = 2_000;

/// How many more of a stream's wait to be sent.
pub(super) const WAITING: usize = 4_096;

/// How many bytes of all streams' wait to be sent.
pub(super) const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// How often it is looked for those whose time is up.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long an acknowledgement of a stream that isn't known waits for it to be.
const STRANGER_LIMIT: Duration = Duration::from_secs(1);

/// Told once, what became of a publication. Mustn't block.
pub(super) type Done = Box<dyn FnOnce(Result<Placed, NotStored>) + Send>;

/// A publication, ready to be sent.
pub(super) struct Parcel {
    pub(super) store: StoreKey,
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// Until when.
    pub(super) limit: Instant,
    pub(super) done: Done,
}

/// All that are on their way.
pub(super) struct UnderWay {
    inbox: String,
    state: Mutex<State>,
    /// There is something to send or to tell.
    more: Notify,
    link: Arc<LinkState>,
    known: watch::Receiver<Arc<Known>>,
}

impl UnderWay {
    pub(super) fn new(client: &Client, link: &Arc<LinkState>, known: watch::Receiver<Arc<Known>>) -> Self {
        Self {
            inbox: client.new_inbox(),
            state: Mutex::default(),
            more: Notify::new(),
            link: Arc::clone(link),
            known,
        }
    }

    /// Sends a publication to a stream, behind all that were put before.
    pub(super) fn put(&self, stream: &Arc<str>, parcel: Parcel) {
        let admitted = if self.link.is_up() {
            self.state.lock().admit(stream, parcel)
        } else {
            Err((parcel.done, NotStored::Away))
        };
        match admitted {
            Ok(()) => self.more.notify_one(),
            Err((done, why)) => self.refuse(done, why),
        }
    }

    /// Tells that it surely wasn't stored, from the task while there is one.
    pub(super) fn refuse(&self, done: Done, why: NotStored) {
        let untold = self.state.lock().refuse(done, why);
        match untold {
            Some(done) => done(Err(why)),
            None => self.more.notify_one(),
        }
    }

    /// How many wait to be sent, and for their acknowledgement.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting()
    }

    /// What to subscribe to for the acknowledgements.
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Sends and tells until stopped. Then all that are on their way are told.
    pub(super) async fn run(&self, stores: &Stores, acknowledgements: Subscriber, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.receive(stores, acknowledgements) => {}
            () = self.send_all(&stores.client) => {}
            () = self.look() => {}
        }
        let told = {
            let mut state = self.state.lock();
            state.close();
            state.lost(Link::default())
        };
        tell(told);
    }

    async fn receive(&self, stores: &Stores, mut acknowledgements: Subscriber) {
        while let Some(message) = acknowledgements.next().await {
            self.answered(stores, &message);
        }
    }

    async fn send_all(&self, client: &Client) {
        loop {
            let next = self.state.lock().next(self.link.now().generation);
            match next {
                None => self.more.notified().await,
                Some(Next::Refused(done, why)) => done(Err(why)),
                Some(Next::Letter(letter)) => {
                    let token = letter.token;
                    if let Err(why) = self.send(client, letter).await {
                        self.unsent(token, why);
                    }
                }
            }
        }
    }

    async fn send(&self, client: &Client, letter: Letter) -> Result<(), NotStored> {
        let Letter { token, subject, headers, payload, limit } = letter;
        if limit <= Instant::now() {
            return Err(NotStored::Busy);
        }
        let reply = format!("{}.{token}", self.inbox);
        let sending = client.publish_with_reply_and_headers(subject, reply, headers, payload);
        tokio::select! {
            biased;
            sent = sending => sent.map_err(|error| match error.kind() {
                async_nats::PublishErrorKind::MaxPayloadExceeded
                | async_nats::PublishErrorKind::InvalidSubject => NotStored::TooLarge,
                async_nats::PublishErrorKind::Send => NotStored::Away,
            }),
            // It isn't in the client's queue, and won't be.
            () = self.link.down() => Err(NotStored::Away),
            () = tokio::time::sleep_until(limit) => Err(NotStored::Busy),
        }
    }

    fn answered(&self, stores: &Stores, message: &Message) {
        let Some(token) = message.subject.rsplit('.').next().and_then(|token| token.parse().ok()) else {
            return;
        };
        let taken = self.state.lock().take(token, &self.more);
        let Some(Sent { store, lane, done, .. }) = taken else { return };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            // Perhaps the stream is gone.
            stores.look_again(&store);
            return done(Err(NotStored::Away));
        }
        let said = match acknowledgement::read(&message.payload) {
            Ok(said) => said,
            Err(why) => return done(Err(why)),
        };
        let stream = if *lane == *said.stream { lane } else { Arc::from(said.stream) };
        let (offset, duplicate) = (said.offset, said.duplicate);
        let known = self.known.borrow().epoch_of(&store, &stream);
        if let Some(epoch) = known {
            return done(Ok(Placed { stream, epoch, offset, duplicate }));
        }
        stores.look_again(&store);
        let limit = Instant::now() + STRANGER_LIMIT;
        self.state.lock().put_stranger(Stranger { store, stream, offset, duplicate, limit, done });
    }

    /// One that couldn't be sent.
    fn unsent(&self, token: u64, why: NotStored) {
        let sent = self.state.lock().take(token, &self.more);
        if let Some(sent) = sent {
            (sent.done)(Err(why));
        }
    }

    /// Sees to those that nobody else will tell: time is up, the link broke, a stream has become known.
    async fn look(&self) {
        let mut link = self.link.watch();
        let mut known = self.known.clone();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = link.changed() => if changed.is_err() { return },
                changed = known.changed() => if changed.is_err() { return },
                _ = tick.tick() => {}
            }
            let now = *link.borrow_and_update();
            let lost = self.state.lock().lost(now);
            tell(lost);
            let told = self.state.lock().overdue(Instant::now(), &self.known.borrow());
            tell(told);
        }
    }
}

fn tell(told: Told) {
    for (done, outcome) in told {
        done(outcome);
    }
}
