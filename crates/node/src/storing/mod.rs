//! What is published to durable rooms goes into their stores: in order, acknowledged, repeated only where nothing later is
//! on its way.
//!
//! | file | what |
//! |---|---|
//! | `batch` | what became of each of some publications, and which may be tried again: a value |
//! | `id` | what a repeat is recognised by |
//! | `metrics` | what is counted |
//!
//! A batch is sent whole, without waiting in between, and costs no task: the last acknowledgement tells its end. Only what is
//! to be tried again has one, for some seconds.

mod batch;
mod id;
mod metrics;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ringway_backplane::message::{Fate, Publication};
use ringway_backplane::nats::{MessageId, Stores, ToStore};
use ringway_backplane::store::{NotStored, Placed, RoomAt};
use ringway_ring::NodeId;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use batch::Batch;
pub(crate) use metrics::StoringMetrics;

/// How long a publication is tried: a stream without a leader mostly has one again by then, and who publishes waits no
/// longer than that for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long an acknowledgement is waited for before it is asked for by a repeat: a leader that died says nothing.
const TRY_LIMIT: Duration = Duration::from_millis(1_500);

/// The shortest time that a last try gets.
const LAST_TRY: Duration = Duration::from_millis(300);

/// The first wait before another try, doubled each time, with half of it chance.
const FIRST_WAIT: Duration = Duration::from_millis(40);

/// The longest.
const LONGEST_WAIT: Duration = Duration::from_millis(400);

/// By how much clocks of servers and nodes may differ when something is looked for by its time.
const CLOCKS: Duration = Duration::from_secs(5);

/// How many look at once whether what they don't know of was stored: after a leader's death thousands want to.
const LOOKS: usize = 64;

/// Publications on their way into a store; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StoreId(pub(crate) u64);

/// Stores for all rooms of a node.
#[derive(Debug, Clone)]
pub(crate) struct Storing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stores: Arc<Stores>,
    me: NodeId,
    metrics: StoringMetrics,
    looks: Semaphore,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// A batch on its way.
struct Job {
    inner: Arc<Inner>,
    at: RoomAt,
    publications: Vec<(MessageId, Publication)>,
    /// When it began.
    begun: Instant,
    /// The same by the clock on the wall, milliseconds since 1970.
    since: u64,
    progress: Mutex<Progress>,
}

struct Progress {
    batch: Batch,
    tries: u32,
    done: Option<Box<dyn FnOnce(Vec<Fate>) + Send>>,
}

impl Storing {
    pub(crate) fn counting(stores: Arc<Stores>, me: NodeId, metrics: StoringMetrics) -> Self {
        metrics.show(&stores);
        let (looks, tasks, end) = (Semaphore::new(LOOKS), TaskTracker::new(), CancellationToken::new());
        Self(Arc::new(Inner { stores, me, metrics, looks, tasks, end }))
    }

    /// Has one connection's (or one asker's) publications to one room stored, in this order; what is given later goes
    /// behind them. `done` is called once, from another task, within some five seconds, with what became of each.
    pub(crate) fn store(
        &self,
        at: RoomAt,
        publications: Vec<Publication>,
        done: impl FnOnce(Vec<Fate>) + Send + 'static,
    ) {
        let inner = Arc::clone(&self.0);
        if publications.is_empty() {
            self.0.tasks.spawn(async move { done(Vec::new()) });
            return;
        }
        let batch = Batch::new(publications.len());
        let progress = Progress { batch, tries: 0, done: Some(Box::new(done)) };
        let publications: Vec<_> = publications
            .into_iter()
            .map(|publication| (id::message_id(&at, &publication), publication))
            .collect();
        let count = publications.len();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let job = Arc::new(Job {
            inner,
            at,
            publications,
            begun: Instant::now(),
            since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            progress: Mutex::new(progress),
        });
        for index in 0..count {
            job.send(index);
        }
    }

    /// Ends what is being tried again, and waits for that: each is told what is known of it by then.
    pub(crate) async fn end(&self) {
        self.0.end.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Job {
    /// Sends one, or sends it again.
    fn send(self: &Arc<Self>, index: usize) {
        let (id, publication) = &self.publications[index];
        let what = ToStore { at: &self.at, id: *id, from: &self.inner.me, publication };
        let job = Arc::clone(self);
        self.inner
            .stores
            .submit(what, self.left().min(TRY_LIMIT), move |outcome| job.settled(index, outcome));
    }

    fn settled(self: &Arc<Self>, index: usize, outcome: Result<Placed, NotStored>) {
        let again = {
            let mut progress = self.progress.lock();
            if !progress.batch.settle(index, outcome) {
                return;
            }
            let again = progress.batch.again();
            progress.tries += 1;
            // Whoever publishes is told at last: before those who asked for it wait no longer (5 s).
            if self.begun.elapsed() >= PATIENCE - LONGEST_WAIT || self.inner.end.is_cancelled() {
                Vec::new()
            } else {
                again
            }
        };
        if again.is_empty() {
            return self.tell();
        }
        let job = Arc::clone(self);
        self.inner.tasks.spawn(async move { job.try_again(again).await });
    }

    /// Waits a little, and sends these again.
    async fn try_again(self: Arc<Self>, again: Vec<usize>) {
        let tries = self.progress.lock().tries;
        let longest = FIRST_WAIT.saturating_mul(1 << tries.min(8)).min(LONGEST_WAIT);
        let wait = longest.mul_f64(rand::random_range(0.5..=1.0));
        let ended = tokio::select! {
            biased;
            () = self.inner.end.cancelled() => true,
            () = tokio::time::sleep(wait) => false,
        };
        if ended {
            return self.tell();
        }
        let mut again = &again[..];
        // Only the first of them can be one that is perhaps stored.
        let first = again[0];
        if self.progress.lock().batch.perhaps(first) {
            match self.look_for(first).await {
                Looked::Stored(placed) => {
                    let mut progress = self.progress.lock();
                    progress.batch.retry(first);
                    let last = progress.batch.settle(first, Ok(placed));
                    debug_assert!(last, "nothing is on its way");
                    again = &again[1..];
                }
                Looked::NotThere => {}
                // What can't be read can't be written either; then again, while there is time.
                Looked::CantSay => {
                    let mut progress = self.progress.lock();
                    progress.batch.retry(first);
                    drop(progress);
                    return self.settled(first, Err(NotStored::Away));
                }
            }
        }
        if again.is_empty() {
            return self.tell();
        }
        {
            let mut progress = self.progress.lock();
            // All at once, so that the first isn't the last while others are to come.
            again.iter().for_each(|index| progress.batch.retry(*index));
        }
        self.inner.metrics.repeated.inc_by(again.len() as u64);
        again.iter().for_each(|index| self.send(*index));
    }

    /// How long is left to try, and at least a last time.
    fn left(&self) -> Duration {
        PATIENCE.saturating_sub(self.begun.elapsed()).max(LAST_TRY)
    }

    async fn look_for(&self, index: usize) -> Looked {
        let since = self.since.saturating_sub(u64::try_from(CLOCKS.as_millis()).unwrap_or(u64::MAX));
        let (id, _) = self.publications[index];
        let looking = async {
            let Ok(_permit) = self.inner.looks.acquire().await else { return Looked::CantSay };
            match self.inner.stores.find(&self.at, id, since).await {
                Ok(Some(placed)) => Looked::Stored(placed),
                Ok(None) => Looked::NotThere,
                Err(_) => Looked::CantSay,
            }
        };
        tokio::time::timeout(self.left(), looking).await.unwrap_or(Looked::CantSay)
    }

    fn tell(&self) {
        let (fates, done) = {
            let mut progress = self.progress.lock();
            (progress.batch.fates(), progress.done.take())
        };
        let after = self.begun.elapsed();
        fates.iter().for_each(|fate| self.inner.metrics.settled(fate, after));
        if let Some(done) = done {
            done(fates);
        }
    }
}

/// Whether something was stored.
enum Looked {
    Stored(Placed),
    NotThere,
    CantSay,
}
