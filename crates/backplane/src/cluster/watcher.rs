//! Keeps the view of the cluster, and hands it to whoever wants it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ringway_ring::{Draft, Membership, NodeId, View};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::telling::{self, Telling};
use crate::message::ClusterEvent;
use crate::{Backplane, Closed, Subscription};

/// How often it is looked who has fallen silent.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often something is sent round through the carrier: while nothing comes back, silence proves nothing.
const PROVE_EVERY: Duration = Duration::from_millis(250);

/// How long such a proof may take.
const PROVE_LIMIT: Duration = Duration::from_millis(700);

/// A proof counts for so long. Two proofs further apart: in between nobody could be heard, be it that the link
/// was dead or that this process stood still, and nobody is called silent for that time.
const PROOF_COUNTS: Duration = Duration::from_millis(1_000);

/// Without a proof for so long, the process isn't ready: two may be late on a busy machine, eight are not.
const READY_PROOF: Duration = Duration::from_secs(2);

/// How many words about the cluster wait to be read.
const WORDS: usize = 4_096;

/// Watches the cluster. Dropped, the view stays as it was last.
#[derive(Debug)]
pub struct Watcher {
    view: watch::Receiver<Arc<View>>,
    proven: watch::Receiver<Instant>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Watcher {
    /// Begins to watch, and asks all nodes to announce themselves.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn start(backplane: Arc<dyn Backplane>) -> Result<Self, Closed> {
        Self::begin(backplane, None).await
    }

    /// As [`start`](Self::start), for a node: its views come with who would own its slots without it already worked out.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn of_node(backplane: Arc<dyn Backplane>, id: NodeId) -> Result<Self, Closed> {
        Self::begin(backplane, Some(id)).await
    }

    async fn begin(backplane: Arc<dyn Backplane>, me: Option<NodeId>) -> Result<Self, Closed> {
        let (words, heard) = mpsc::channel(WORDS);
        let subscription = backplane.watch_cluster(words).await?;
        // Away, the nodes announce themselves anyway once the link is there.
        let _ = backplane.hello();
        let (view, watched) = watch::channel(Arc::default());
        let (proven, seen) = watch::channel(Instant::now());
        let stop = CancellationToken::new();
        let watch = Watch {
            backplane,
            heard,
            membership: Membership::new(),
            me,
            changed: false,
            making: None,
            telling: Telling::default(),
            view,
            began: Instant::now(),
            proven,
            _subscription: subscription,
        };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = watch.run() => {}
            }
        });
        Ok(Self { view: watched, proven: seen, task, stop: stop.drop_guard() })
    }

    /// The view, and word of each change of more than loads; loads are in it as of the last half second.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Whether messages come round through the carrier, as of now: for `/readyz`. A link that is up proves less.
    pub fn round_trips(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let proven = self.proven.clone();
        move || match proven.borrow().elapsed() {
            since if since <= READY_PROOF => Ok(()),
            since => {
                Err(format!("nothing came round through the backplane for {:.1} s", since.as_secs_f64()))
            }
        }
    }

    /// Ends watching, and waits for that end.
    pub async fn stop(self) {
        drop(self.stop);
        // It doesn't panic, and nobody aborts it.
        let _ = self.task.await;
    }
}

/// The watching task.
struct Watch {
    backplane: Arc<dyn Backplane>,
    heard: mpsc::Receiver<ClusterEvent>,
    membership: Membership,
    /// The node that this is for.
    me: Option<NodeId>,
    /// More than loads changed since the last view was begun.
    changed: bool,
    /// A view in the making: one at a time, and what comes meanwhile is in the next.
    making: Option<Making>,
    telling: Telling,
    view: watch::Sender<Arc<View>>,
    began: Instant,
    /// When something last came back through the carrier.
    proven: watch::Sender<Instant>,
    _subscription: Subscription,
}

/// A view is made on a thread of its own: with 1,000 nodes it takes tens of milliseconds, in which a thread of those that
/// serve would serve nobody.
struct Making {
    view: JoinHandle<Arc<View>>,
    /// It has more in it than new loads.
    changed: bool,
}

impl Watch {
    async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let proof = prove(Arc::clone(&self.backplane));
        tokio::pin!(proof);
        // One at a time: the carrier may make it wait, and nothing else here.
        let mut told = None;
        loop {
            tokio::select! {
                // What was heard counts before the time that has passed.
                biased;
                event = self.heard.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                (view, changed) = made(&mut self.making) => self.publish(view, changed),
                came_back = &mut proof => {
                    if came_back {
                        self.proven_now();
                    }
                    proof.set(prove(Arc::clone(&self.backplane)));
                }
                () = of(&mut told) => told = None,
                _ = look.tick() => {
                    self.look();
                    if told.is_none() && let Some(next) = self.telling.next() {
                        told = Some(Box::pin(telling::tell(Arc::clone(&self.backplane), next)));
                    }
                }
            }
        }
    }

    fn take(&mut self, event: ClusterEvent) {
        let now = self.now_ms();
        self.changed |= match event {
            ClusterEvent::Announced(announcement) => {
                if let Some(ended) = self.membership.outlived(&announcement) {
                    self.telling.outlived(announcement.id.clone(), ended);
                }
                self.membership.heard(*announcement, now)
            }
            ClusterEvent::Departed { id, incarnation } => {
                self.telling.said(&id);
                self.membership.departed(&id, incarnation)
            }
            ClusterEvent::Hello => false,
        };
        // New loads wait for the next look.
        if self.changed {
            self.make();
        }
    }

    fn proven_now(&mut self) {
        if self.proven.borrow().elapsed() > PROOF_COUNTS {
            self.membership.excuse(self.now_ms());
        }
        self.proven.send_replace(Instant::now());
    }

    fn look(&mut self) {
        let now = self.now_ms();
        self.changed |= self.proven.borrow().elapsed() <= PROOF_COUNTS && self.membership.expire(now);
        self.make();
    }

    /// Begins to make the next view, unless one is in the making.
    fn make(&mut self) {
        if self.making.is_some() {
            return;
        }
        let Some(draft) = self.membership.draft() else { return };
        let me = self.me.clone();
        let view = tokio::task::spawn_blocking(move || finish(draft, me.as_ref()));
        self.making = Some(Making { view, changed: std::mem::take(&mut self.changed) });
    }

    /// Hands out a view. A change of loads alone wakes nobody.
    fn publish(&mut self, view: Arc<View>, changed: bool) {
        self.membership.made(Arc::clone(&view));
        if changed {
            tell_of_held(&self.view.borrow(), &view);
        }
        self.view.send_if_modified(|current| {
            *current = view;
            changed
        });
        if self.changed {
            self.make();
        }
    }

    fn now_ms(&self) -> u64 {
        // Half a billion years fit.
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Says who is held back now, and who no longer.
fn tell_of_held(before: &View, now: &View) {
    for node in now.nodes() {
        match (before.is_held(&node.id), now.is_held(&node.id)) {
            (false, true) => {
                tracing::warn!(node = %node.id, "a node comes and goes too often: it is given nothing until it has stood for 10 s");
            }
            (true, false) => tracing::info!(node = %node.id, "a node stands, and is given its share again"),
            _ => {}
        }
    }
}

fn finish(draft: Draft, me: Option<&NodeId>) -> Arc<View> {
    let view = draft.make();
    if let Some(me) = me {
        view.prepare_without(me);
    }
    view
}

/// The view in the making, once it is there.
async fn made(making: &mut Option<Making>) -> (Arc<View>, bool) {
    let Some(under_way) = making else { return std::future::pending().await };
    let view = (&mut under_way.view).await.expect("a view can be made of anything");
    let changed = under_way.changed;
    *making = None;
    (view, changed)
}

/// What is under way, if anything is.
async fn of(work: &mut Option<Pin<Box<impl Future<Output = ()>>>>) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Waits a little, then sends something round. True: it came back.
async fn prove(backplane: Arc<dyn Backplane>) -> bool {
    tokio::time::sleep(PROVE_EVERY).await;
    backplane.round_trip(PROVE_LIMIT).await.is_ok()
}
