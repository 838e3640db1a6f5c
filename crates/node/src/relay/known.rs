//! The connections of this node whose sockets gateways hold, by their ids; and how the last trace of one is known to be gone.
//!
//! A client keeps its connection's id for as long as its socket stands, but the node may be told of it a second time: by a
//! new link, where the gateway has noticed sooner than the node that the former is broken. What rooms and lanes have of a
//! connection they know by its id, so the second waits until nothing of the first is left.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::Mutex;
use ringway_protocol::name::ConnId;
use tokio::sync::oneshot;

use crate::conn::ConnRef;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_id: HashTable<ConnRef>,
    /// Who waits until a connection is gone: nearly never anybody.
    waiting: HashMap<ConnId, Vec<oneshot::Sender<()>>>,
    hasher: RandomState,
}

/// Whether a connection is the only one of its id.
#[derive(Debug)]
pub(super) enum Taken {
    Yes,
    /// This one has it still; word comes once it is gone.
    By(ConnRef, oneshot::Receiver<()>),
}

impl Known {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// Adds a connection, if no other has its id.
    pub(super) fn take(&self, conn: &ConnRef) -> Taken {
        let Table { by_id, waiting, hasher } = &mut *self.0.lock();
        let hash = hasher.hash_one(&conn.id);
        if let Some(other) = by_id.find(hash, |other| other.id == conn.id) {
            let (gone, when_gone) = oneshot::channel();
            waiting.entry(conn.id.clone()).or_default().push(gone);
            return Taken::By(other.clone(), when_gone);
        }
        by_id.insert_unique(hash, conn.clone(), |conn| hasher.hash_one(&conn.id));
        Taken::Yes
    }

    fn remove(&self, conn: &ConnRef) {
        let Table { by_id, waiting, hasher } = &mut *self.0.lock();
        let hash = hasher.hash_one(&conn.id);
        let Ok(found) = by_id.find_entry(hash, |other| Arc::ptr_eq(other, conn)) else { return };
        found.remove();
        if by_id.is_empty() {
            *by_id = HashTable::new();
        }
        // Who waits looks again.
        drop(waiting.remove(&conn.id));
    }
}

/// Held by whoever may still have something of a connection that has ended: dropped by the last of them, its gateway hears
/// that the number is free, and the id is.
#[derive(Debug)]
pub(crate) struct LastWord {
    known: Arc<Known>,
    conn: ConnRef,
}

impl LastWord {
    /// Of a connection that was taken.
    pub(super) fn new(known: &Arc<Known>, conn: &ConnRef) -> Arc<LastWord> {
        Arc::new(LastWord { known: known.clone(), conn: conn.clone() })
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        // One that waited for another of its id until its own end was never among them.
        self.known.remove(&self.conn);
        if let Some(linked) = self.conn.way.linked() {
            linked.say_ended();
        }
    }
}
