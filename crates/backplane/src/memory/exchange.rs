//! Who wants what: the lines that messages leave the hub by.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use ringway_protocol::name::GroupId;
use tokio::sync::mpsc;

use super::party::Party;
use crate::message::{ClusterEvent, Direct, LiveMessage};
use crate::{Inbox, IncomingRequest, Interest};

/// Everything that is subscribed to at a hub.
pub(super) struct Exchange {
    pub(super) live: Board<Interest, LiveMessage>,
    pub(super) direct: Board<GroupId, Direct>,
    pub(super) inboxes: Board<Inbox, IncomingRequest>,
    pub(super) cluster: Board<(), ClusterEvent>,
}

/// The lines of one kind of message, by what they are for.
pub(super) struct Board<K, T> {
    lines: RwLock<HashMap<K, Vec<Line<T>>>>,
    next: AtomicU64,
    capacity: usize,
}

/// One subscription: a bounded way to the task that feeds its sink.
struct Line<T> {
    id: u64,
    party: Arc<Party>,
    sender: mpsc::Sender<T>,
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
}

impl<K: Eq + Hash + Clone, T> Board<K, T> {
    fn new(capacity: usize) -> Self {
        Self { lines: RwLock::default(), next: AtomicU64::new(0), capacity }
    }

    /// A new line; its number is what [`remove`](Self::remove) wants.
    pub(super) fn add(&self, key: K, party: &Arc<Party>) -> (u64, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(self.capacity);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = Line { id, party: Arc::clone(party), sender };
        self.lines.write().entry(key).or_default().push(line);
        (id, receiver)
    }

    pub(super) fn remove(&self, key: &K, id: u64) {
        let mut lines = self.lines.write();
        if let Some(of_key) = lines.get_mut(key) {
            of_key.retain(|line| line.id != id);
            if of_key.is_empty() {
                lines.remove(key);
            }
        }
    }

    /// Puts a copy on each line of a key whose party is wanted.
    pub(super) fn to_all(&self, key: &K, message: &T, wanted: impl Fn(&Arc<Party>) -> bool)
    where
        T: Clone,
    {
        if let Some(of_key) = self.lines.read().get(key) {
            for line in of_key.iter().filter(|line| wanted(&line.party)) {
                line.put(message.clone());
            }
        }
    }

    /// Puts a message, made for its party, on the newest line of a key that can be reached. False: there is none.
    pub(super) fn to_one(&self, key: &K, message: impl FnOnce(&Arc<Party>) -> T) -> bool {
        let lines = self.lines.read();
        let reachable = |line: &&Line<T>| line.party.link_is_up() && !line.sender.is_closed();
        let line = lines.get(key).and_then(|of_key| of_key.iter().rev().find(reachable));
        if let Some(line) = line {
            line.put(message(&line.party));
        }
        line.is_some()
    }
}

impl<T> Line<T> {
    /// Puts a message on its way. Where its party is behind, it is dropped, and that party's link says so.
    fn put(&self, message: T) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(message) {
            self.party.was_slow();
        }
    }
}
