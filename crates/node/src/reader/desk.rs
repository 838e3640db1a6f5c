//! Where rooms put their questions: they are gathered, asked together, and answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringway_backplane::message::{Epoch, HistoryPage, PageOf};
use ringway_backplane::store::{Newest, ReadError, RoomAt, StoreKey};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::asking::Asking;
use super::counts::ReadCounts;
use super::job::{Done, Job};
use super::library::Library;
use super::queue::{Queue, Running, Work};
use super::{Read, ReadResult};

/// How long questions are gathered while others are under way; a single one in a quiet store doesn't wait.
const GATHER: Duration = Duration::from_millis(3);

/// How long a question may take in all.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// Questions that wait or are under way, over all stores.
const WAITING: usize = 65_536;

/// Pages of history that are read at a time, for each store; with what rooms ask that makes 16.
const PAGES_AT_ONCE: usize = 4;

/// The questions of a node's rooms. Ends what is under way when it is dropped.
pub(super) struct Desk<L: Library> {
    inner: Arc<Inner<L>>,
}

/// What its tasks have, too: see `work`.
pub(super) struct Inner<L: Library> {
    pub(super) ask: Asking<L>,
    pub(super) state: Mutex<State>,
    end: CancellationToken,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queues: HashMap<StoreKey, Queue>,
    /// Pages of history under way, for each store that was ever asked for one.
    pages: HashMap<StoreKey, Arc<Semaphore>>,
    waiting: usize,
}

/// One of those that wait, or are under way.
struct Counted<L: Library>(Arc<Inner<L>>);

impl<L: Library> Drop for Counted<L> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

/// A read under way; the next may begin when it is dropped.
struct Slot<L: Library> {
    inner: Arc<Inner<L>>,
    key: StoreKey,
    what: Running,
}

impl<L: Library> Drop for Slot<L> {
    fn drop(&mut self) {
        if let Some(queue) = self.inner.state.lock().queues.get_mut(&self.key) {
            queue.ended(&self.what);
        }
        self.inner.pump(&self.key);
    }
}

impl<L: Library> Drop for Desk<L> {
    fn drop(&mut self) {
        self.inner.end.cancel();
        // What waits holds what it waits in. Whoever asked is told outside the lock.
        let waiting = std::mem::take(&mut self.inner.state.lock().queues);
        drop(waiting);
    }
}

impl<L: Library> Desk<L> {
    pub(super) fn new(library: Arc<L>, counts: ReadCounts) -> Self {
        let ask = Asking { library, counts };
        Self { inner: Arc::new(Inner { ask, state: Mutex::default(), end: CancellationToken::new() }) }
    }

    /// See [`super::Reader::read`].
    pub(super) fn read(&self, at: RoomAt, read: Read, done: impl FnOnce(ReadResult) + Send + 'static) {
        let done = Done::new(done);
        let inner = &self.inner;
        let (stream, epoch) = match inner.stream(&at) {
            Ok(found) => found,
            Err(error) => return inner.spawn(async move { done.tell(Err(error)) }),
        };
        let Ok(counted) = inner.count() else {
            return inner.spawn(async move { done.tell(Err(ReadError::Busy)) });
        };
        let done = Done::new(move |result| {
            drop(counted);
            done.tell(result);
        });
        let until = Instant::now() + PATIENCE;
        inner.put(Job { at, read, done, stream, epoch, until, newest: None, again: 0 });
    }

    /// See [`super::Reader::history`].
    pub(super) async fn history(&self, at: &RoomAt, page: PageOf) -> Result<HistoryPage, ReadError> {
        self.by_itself(at, async |ask, epoch| ask.history(at, epoch, page).await).await
    }

    /// See [`super::Reader::forget`].
    pub(super) async fn forget(&self, at: &RoomAt) -> Result<Option<(Epoch, Newest)>, ReadError> {
        let forgetting = async |ask: &Asking<L>, epoch| {
            let Some(newest) = ask.newest_by_leader(at).await? else { return Ok(None) };
            ask.forget(at, newest.offset).await?;
            Ok(Some((epoch, newest)))
        };
        self.by_itself(at, forgetting).await
    }

    /// Lets a caller read by itself: some at a time, beside what rooms ask.
    pub(super) async fn by_itself<T>(
        &self,
        at: &RoomAt,
        read: impl AsyncFnOnce(&Asking<L>, Epoch) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let (stream, epoch) = self.inner.stream(at)?;
        let (counted, pages) = self.inner.page(at.key())?;
        let reading = async {
            let _permit = pages.acquire().await.expect("never closed");
            read(&self.inner.ask, epoch).await
        };
        let result = tokio::time::timeout(PATIENCE, reading).await.map_err(|_| ReadError::Timeout)??;
        drop(counted);
        match self.inner.stream(at)? {
            now if now == (stream, epoch) => Ok(result),
            // Whose numbers these are can't be told.
            _ => Err(ReadError::Busy),
        }
    }
}

impl<L: Library> Inner<L> {
    /// The stream that has the room, and its epoch.
    pub(super) fn stream(&self, at: &RoomAt) -> Result<(Arc<str>, Epoch), ReadError> {
        let known = self.ask.library.known();
        let Some(stream) = known.stream_of(at) else {
            self.ask.library.look_again(&at.key());
            return Err(ReadError::Away);
        };
        Ok((Arc::clone(&stream.name), stream.epoch))
    }

    /// One more; as long as not too many are.
    fn count(self: &Arc<Self>) -> Result<Counted<L>, ReadError> {
        let mut state = self.state.lock();
        if state.waiting >= WAITING {
            return Err(ReadError::Busy);
        }
        state.waiting += 1;
        drop(state);
        Ok(Counted(Arc::clone(self)))
    }

    /// One more page of history.
    fn page(self: &Arc<Self>, key: StoreKey) -> Result<(Counted<L>, Arc<Semaphore>), ReadError> {
        let counted = self.count()?;
        let mut state = self.state.lock();
        let pages = state.pages.entry(key).or_insert_with(|| Arc::new(Semaphore::new(PAGES_AT_ONCE)));
        Ok((counted, Arc::clone(pages)))
    }

    /// Every task ends with the desk, and within the patience of what it does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub(super) fn put(self: &Arc<Self>, job: Job) {
        if self.end.is_cancelled() {
            // As it is dropped, whoever asked is told.
            return;
        }
        let key = job.at.key();
        let gather = {
            let mut state = self.state.lock();
            let queue = state.queues.entry(key.clone()).or_default();
            let stream = Arc::clone(&job.stream);
            match job.read {
                Read::Check { .. } => {
                    queue.urgent(job);
                    None
                }
                Read::After { upto: 1.., .. } => {
                    queue.hole(job, Instant::now());
                    None
                }
                Read::Newest | Read::Since { .. } | Read::After { .. } | Read::Last { .. } => {
                    let idle = queue.is_idle();
                    queue.ask(job).then_some((stream, if idle { Duration::ZERO } else { GATHER }))
                }
            }
        };
        let inner = Arc::clone(self);
        match gather {
            None => inner.pump(&key),
            Some((stream, wait)) => self.spawn(async move {
                if wait.is_zero() {
                    // Those that are put in the same breath.
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(wait).await;
                }
                if let Some(queue) = inner.state.lock().queues.get_mut(&key) {
                    queue.gathered(&stream);
                }
                inner.pump(&key);
            }),
        }
    }

    /// Begins what may begin.
    fn pump(self: &Arc<Self>, key: &StoreKey) {
        loop {
            let (work, slot) = {
                let mut state = self.state.lock();
                let Some(queue) = state.queues.get_mut(key) else { return };
                let Some((work, what)) = queue.next(Instant::now()) else {
                    if queue.is_done() {
                        state.queues.remove(key);
                    }
                    return;
                };
                (work, Slot { inner: Arc::clone(self), key: key.clone(), what })
            };
            let inner = Arc::clone(self);
            match work {
                Work::One(job) => self.spawn(async move {
                    inner.one(job).await;
                    drop(slot);
                }),
                Work::Ask(jobs) => self.spawn(async move {
                    inner.ask_newest(jobs).await;
                    drop(slot);
                }),
                Work::Pass(jobs) => self.spawn(async move {
                    inner.pass(jobs).await;
                    drop(slot);
                }),
            }
        }
    }
}
