//! Gateways' links: connections whose sockets gateways hold, as this node has them.
//!
//! One task a link. It reads the gateway's records and does what each says about a connection at once, as a connection's own
//! task would (`desk`, `here`; the session itself is [`crate::session`]'s). What must wait waits beside, in the order said
//! (`queue`), so that no connection waits for another. What becomes of it comes back from shards through the same
//! [`Way`](crate::way::Way) as to a socket. At the end of a connection its gateway hears that the number is free once
//! nothing of it is left in any shard (`known`). `admit` checks tickets and takes places.

mod admit;
mod desk;
mod here;
mod known;
mod queue;
mod task;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::conn::ConnRef;
use crate::way::Link;
use known::Known;
pub(crate) use known::LastWord;
pub(crate) use task::serve;

/// What a node has of all its links.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    known: Arc<Known>,
    links: Mutex<Vec<Arc<Link>>>,
    /// The node leaves service: gateways are told.
    pub(crate) leaving: CancellationToken,
    /// All links are to end.
    pub(crate) end: CancellationToken,
}

/// A link among the node's, until this is dropped.
struct Entered<'a> {
    relay: &'a Relay,
    link: Arc<Link>,
}

impl Relay {
    /// How many connections there are by links.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The links that stand.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().clone()
    }

    /// For whoever still has something of a connection that has ended.
    pub(crate) fn last_word(&self, conn: &ConnRef) -> Arc<LastWord> {
        LastWord::new(&self.known, conn)
    }

    fn take(&self, conn: &ConnRef) -> known::Taken {
        self.known.take(conn)
    }

    fn enter(&self, link: &Arc<Link>) -> Entered<'_> {
        self.links.lock().push(link.clone());
        Entered { relay: self, link: link.clone() }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.relay.links.lock().retain(|link| !Arc::ptr_eq(link, &self.link));
    }
}
