//! Keeps the view of the cluster, and hands it to whoever wants it.

use std::sync::Arc;
use std::time::Duration;

use ringway_ring::{Membership, View};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

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
    view: watch::Sender<Arc<View>>,
    began: Instant,
    /// When something last came back through the carrier.
    proven: watch::Sender<Instant>,
    _subscription: Subscription,
}

impl Watch {
    async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let proof = prove(Arc::clone(&self.backplane));
        tokio::pin!(proof);
        loop {
            tokio::select! {
                // What was heard counts before the time that has passed.
                biased;
                event = self.heard.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                came_back = &mut proof => {
                    if came_back {
                        self.proven_now();
                    }
                    proof.set(prove(Arc::clone(&self.backplane)));
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    fn take(&mut self, event: ClusterEvent) {
        let now = self.now_ms();
        let changed = match event {
            ClusterEvent::Announced(announcement) => self.membership.heard(announcement, now),
            ClusterEvent::Departed { id, incarnation } => self.membership.departed(&id, incarnation),
            ClusterEvent::Hello => false,
        };
        if changed {
            self.publish(true);
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
        let changed = self.proven.borrow().elapsed() <= PROOF_COUNTS && self.membership.expire(now);
        self.publish(changed);
    }

    /// Hands out the view. A change of loads alone wakes nobody.
    fn publish(&mut self, changed: bool) {
        let view = self.membership.view();
        self.view.send_if_modified(|current| {
            *current = view;
            changed
        });
    }

    fn now_ms(&self) -> u64 {
        // Half a billion years fit.
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Waits a little, then sends something round. True: it came back.
async fn prove(backplane: Arc<dyn Backplane>) -> bool {
    tokio::time::sleep(PROVE_EVERY).await;
    backplane.round_trip(PROVE_LIMIT).await.is_ok()
}
