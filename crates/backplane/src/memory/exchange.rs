//! Who wants what: the lines that messages leave the hub by.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use ringway_protocol::name::GroupId;
use tokio::sync::mpsc;

use super::feeder::{Feeder, Put};
use super::party::Party;
use crate::carrier::Place;
use crate::message::{ClusterEvent, Direct, LiveMessage};
use crate::{Closed, Inbox, IncomingRequest, Interest};

/// Everything that is subscribed to at a hub.
pub(super) struct Exchange {
    pub(super) live: Arc<Board<Interest, LiveMessage>>,
    pub(super) direct: Arc<Board<GroupId, Direct>>,
    pub(super) inboxes: Arc<Board<Inbox, IncomingRequest>>,
    pub(super) cluster: Arc<Board<(), ClusterEvent>>,
}

/// The lines of one kind of message, by what they are for.
pub(super) struct Board<K, T> {
    lines: RwLock<HashTable<Line<K, T>>>,
    hashing: RandomState,
    next: AtomicU64,
    /// The feeders in use: one of a party and a sink, so there are few where there are many lines.
    feeders: Mutex<Vec<Weak<Feeder<T>>>>,
    /// How many messages wait behind a full sink.
    capacity: usize,
}

/// One subscription. Two pointers: a table has up to twice as many places as lines, and a node has a line for each
/// room that it knows.
struct Line<K, T> {
    ticket: Arc<Ticket<K, T>>,
    /// Here alone: with the last line goes the sink, whoever may still hold a ticket.
    feeder: Arc<Feeder<T>>,
}

/// Which line, and what it is for; its subscription holds the same.
struct Ticket<K, T> {
    /// Higher than that of any older line.
    id: u64,
    key: K,
    part: Part,
    board: Arc<Board<K, T>>,
}

/// Which of a key's messages a line is for: those of the slots that leave this remainder.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) index: u16,
    pub(super) of: u16,
}

impl Part {
    pub(super) const ALL: Part = Part { index: 0, of: 1 };

    fn takes(self, slot: u16) -> bool {
        slot % self.of == self.index
    }
}

impl Exchange {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            live: Board::new(capacity),
            direct: Board::new(capacity),
            inboxes: Board::new(capacity),
            cluster: Board::new(capacity),
        }
    }

    /// Ends all lines of a party, which is closed. Nothing comes into their sinks afterwards.
    pub(super) fn leave(&self, party: &Arc<Party>) {
        self.live.end_all_of(party);
        self.direct.end_all_of(party);
        self.inboxes.end_all_of(party);
        self.cluster.end_all_of(party);
    }
}

impl<K, T> Board<K, T>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + 'static,
{
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            lines: RwLock::default(),
            hashing: RandomState::new(),
            next: AtomicU64::new(0),
            feeders: Mutex::default(),
            capacity,
        })
    }

    /// A new line into a sink. It is there until it leaves, its party is closed, or a message finds the sink closed.
    ///
    /// # Errors
    /// [`Closed`]: its party is.
    pub(super) fn add(
        self: &Arc<Self>,
        key: K,
        party: &Arc<Party>,
        sink: mpsc::Sender<T>,
        part: Part,
    ) -> Result<Arc<dyn Place>, Closed> {
        let hash = self.hashing.hash_one(&key);
        let feeder = self.feeder(party, sink);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ticket = Arc::new(Ticket { id, key, part, board: Arc::clone(self) });
        let line = Line { ticket: Arc::clone(&ticket), feeder };
        let mut lines = self.lines.write();
        // Seen here or, if it is closed later, by who then ends its lines.
        if party.is_closed() {
            drop(lines);
            return Err(Closed);
        }
        lines.insert_unique(hash, line, |line| self.hashing.hash_one(&line.ticket.key));
        Ok(ticket)
    }

    fn feeder(&self, party: &Arc<Party>, sink: mpsc::Sender<T>) -> Arc<Feeder<T>> {
        let mut feeders = self.feeders.lock();
        let known = feeders.iter().rev().filter_map(Weak::upgrade).find(|feeder| feeder.feeds(party, &sink));
        known.unwrap_or_else(|| {
            feeders.retain(|feeder| feeder.strong_count() > 0);
            let feeder = Feeder::start(party, sink, self.capacity);
            feeders.push(Arc::downgrade(&feeder));
            feeder
        })
    }

    /// Ends a line, if it is still there. Nothing comes into the sink by it afterwards.
    fn end(&self, key: &K, id: u64) {
        if let Some(feeder) = self.take_out(key, id) {
            feeder.forget(id);
        }
    }

    fn take_out(&self, key: &K, id: u64) -> Option<Arc<Feeder<T>>> {
        let hash = self.hashing.hash_one(key);
        let mut lines = self.lines.write();
        lines.find_entry(hash, |line| line.ticket.id == id).ok().map(|entry| entry.remove().0.feeder)
    }

    fn end_all_of(&self, party: &Arc<Party>) {
        let of_party = |line: &mut Line<K, T>| line.feeder.is_of(party);
        let ended: Vec<_> = self.lines.write().extract_if(of_party).collect();
        for line in ended {
            line.feeder.forget_all();
        }
    }

    fn of_key<'a>(
        &self,
        lines: &'a HashTable<Line<K, T>>,
        key: &'a K,
    ) -> impl Iterator<Item = &'a Line<K, T>> + use<'a, K, T> {
        lines.iter_hash(self.hashing.hash_one(key)).filter(move |line| line.ticket.key == *key)
    }

    /// Puts a copy on each line of any of the keys that takes the slot, and whose party is wanted. A line that is made
    /// meanwhile is there for all keys, or for none.
    pub(super) fn to_all(&self, keys: &[K], slot: u16, message: &T, wanted: impl Fn(&Arc<Party>) -> bool)
    where
        T: Clone,
    {
        let mut closed = Vec::new();
        let lines = self.lines.read();
        for key in keys {
            let takes = |line: &&Line<K, T>| line.ticket.part.takes(slot) && wanted(line.feeder.party());
            for line in self.of_key(&lines, key).filter(takes) {
                if line.feeder.put(line.ticket.id, message.clone()) == Put::Closed {
                    closed.push((key, line.ticket.id));
                }
            }
        }
        drop(lines);
        for (key, id) in closed {
            self.end(key, id);
        }
    }

    /// Puts a message, made for its party, on the newest line of a key that can be reached. False: there is none.
    pub(super) fn to_one(&self, key: &K, message: impl FnOnce(&Arc<Party>) -> T) -> bool {
        let lines = self.lines.read();
        let reachable = self.of_key(&lines, key).filter(|line| line.feeder.is_reachable());
        let Some(line) = reachable.max_by_key(|line| line.ticket.id) else { return false };
        line.feeder.put(line.ticket.id, message(line.feeder.party())) != Put::Closed
    }

    #[cfg(test)]
    pub(super) fn lines_and_feeders(&self) -> (usize, usize) {
        let feeders = self.feeders.lock().iter().filter(|feeder| feeder.strong_count() > 0).count();
        (self.lines.read().len(), feeders)
    }
}

impl<K, T> Place for Ticket<K, T>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + 'static,
{
    fn leave(&self) {
        self.board.end(&self.key, self.id);
    }

    fn finish(&self) -> BoxFuture<'static, ()> {
        let (feeder, id) = (self.board.take_out(&self.key, self.id), self.id);
        Box::pin(async move {
            if let Some(feeder) = feeder {
                feeder.has_handed_on(id).await;
            }
        })
    }
}
