//! The way into one sink: at once while it has room, else through a bounded queue that a task empties.
//!
//! All lines of one party into one sink share it. A node has a line for each of its rooms, into few sinks: so a line
//! costs its place in a table, and neither a queue nor a task.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::party::Party;

/// A party's way into one sink. It and its task end with the last line that holds it.
pub(super) struct Feeder<T> {
    party: Arc<Party>,
    sink: mpsc::Sender<T>,
    /// What the sink had no room for, oldest first, each with the line it came by.
    behind: Mutex<VecDeque<(u64, T)>>,
    capacity: usize,
    /// Told when something is behind that was empty before.
    some_behind: Arc<Notify>,
    /// Told when something that was behind is so no more.
    some_gone: Notify,
    _task: DropGuard,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is in the sink, or will be.
    Taken,
    /// Too many wait already: it is lost, and the party's link says so.
    Lost,
    /// Nobody reads the sink any more.
    Closed,
}

impl<T: Send + 'static> Feeder<T> {
    /// A feeder and its task. At most `capacity` messages wait behind the full sink.
    pub(super) fn start(party: &Arc<Party>, sink: mpsc::Sender<T>, capacity: usize) -> Arc<Self> {
        let (stop, some_behind) = (CancellationToken::new(), Arc::new(Notify::new()));
        let feeder = Arc::new(Self {
            party: Arc::clone(party),
            sink: sink.clone(),
            behind: Mutex::default(),
            capacity,
            some_behind: Arc::clone(&some_behind),
            some_gone: Notify::new(),
            _task: stop.clone().drop_guard(),
        });
        let catching_up = catch_up(Arc::downgrade(&feeder), sink, some_behind);
        party.tasks().spawn(async move { stop.run_until_cancelled(catching_up).await });
        feeder
    }

    pub(super) fn party(&self) -> &Arc<Party> {
        &self.party
    }

    pub(super) fn is_of(&self, party: &Arc<Party>) -> bool {
        Arc::ptr_eq(&self.party, party)
    }

    pub(super) fn feeds(&self, party: &Arc<Party>, sink: &mpsc::Sender<T>) -> bool {
        self.is_of(party) && self.sink.same_channel(sink)
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.party.link_is_up() && !self.sink.is_closed()
    }

    /// Puts a message on its way, behind all that were put before.
    pub(super) fn put(&self, line: u64, message: T) -> Put {
        let mut behind = self.behind.lock();
        if self.sink.is_closed() {
            return Put::Closed;
        }
        if behind.is_empty() {
            match self.sink.try_reserve() {
                Ok(place) => {
                    self.hand_on(place, message);
                    return Put::Taken;
                }
                Err(mpsc::error::TrySendError::Closed(())) => return Put::Closed,
                Err(mpsc::error::TrySendError::Full(())) => self.some_behind.notify_one(),
            }
        }
        if behind.len() < self.capacity {
            behind.push_back((line, message));
            return Put::Taken;
        }
        drop(behind);
        self.party.was_slow();
        Put::Lost
    }

    /// Nothing of an ended line comes into the sink after this; it must be in no table any more.
    pub(super) fn forget(&self, line: u64) {
        if self.sink.is_closed() {
            self.forget_all();
        } else {
            self.behind.lock().retain(|(of, _)| *of != line);
        }
    }

    /// As [`forget`](Self::forget), of all lines.
    pub(super) fn forget_all(&self) {
        self.behind.lock().clear();
        self.some_gone.notify_waiters();
    }

    /// Returns when nothing of a line that has ended is behind any more.
    pub(super) async fn has_handed_on(&self, line: u64) {
        loop {
            let gone = self.some_gone.notified();
            tokio::pin!(gone);
            // From here on none of it is missed.
            gone.as_mut().enable();
            if self.sink.is_closed() || self.behind.lock().iter().all(|(of, _)| *of != line) {
                return;
            }
            gone.await;
        }
    }

    /// Hands on the oldest that is behind. False: it was the last, or there was none.
    fn hand_on_next(&self, place: mpsc::Permit<'_, T>) -> bool {
        let mut behind = self.behind.lock();
        // Handed on under the lock: what is put now comes behind it.
        if let Some((_, message)) = behind.pop_front() {
            self.hand_on(place, message);
            self.some_gone.notify_waiters();
        }
        !behind.is_empty()
    }

    fn hand_on(&self, place: mpsc::Permit<'_, T>, message: T) {
        self.party.received();
        place.send(message);
    }
}

/// Moves what is behind into the sink as it gets room, until nobody reads it or the feeder is gone.
async fn catch_up<T: Send + 'static>(
    feeder: Weak<Feeder<T>>,
    sink: mpsc::Sender<T>,
    some_behind: Arc<Notify>,
) {
    loop {
        some_behind.notified().await;
        let mut more = true;
        while more {
            let place = sink.reserve().await;
            let Some(feeder) = feeder.upgrade() else { return };
            let Ok(place) = place else { return feeder.forget_all() };
            more = feeder.hand_on_next(place);
        }
    }
}
