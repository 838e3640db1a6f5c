//! The entrance of a room: what members of this node publish waits here for what is before it, and leaves in batches.

use std::collections::VecDeque;

use ringway_backplane::message::Publication;
use ringway_protocol::name::ConnId;

use crate::room::weight;

/// Publications that wait: count and bytes; over it they are refused.
pub(crate) const ENTERING: usize = 4_096;
/// See [`ENTERING`].
pub(crate) const ENTERING_BYTES: usize = 4 << 20;
/// What leaves together at most.
pub(crate) const BATCH: usize = 256;
/// See [`BATCH`]: a publication is at most 64 KiB, so a request stays well below what NATS carries.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// What entered together, and is told one outcome.
#[derive(Debug)]
struct Entering<P> {
    publisher: P,
    publications: Vec<Publication>,
    bytes: usize,
}

/// What leaves together.
#[derive(Debug)]
pub(crate) struct Batch<P>(Vec<Entering<P>>);

impl<P> Batch<P> {
    /// Who is told, and of how many publications each; and the publications, in order.
    pub(crate) fn apart(self) -> (Vec<(P, usize)>, Vec<Publication>) {
        let mut publishers = Vec::with_capacity(self.0.len());
        let mut publications = Vec::new();
        for entering in self.0 {
            publishers.push((entering.publisher, entering.publications.len()));
            publications.extend(entering.publications);
        }
        (publishers, publications)
    }

    /// All of them, in order.
    pub(crate) fn publications(&self) -> Vec<Publication> {
        self.0.iter().flat_map(|entering| entering.publications.iter().cloned()).collect()
    }
}

/// What waits, in the order it came.
#[derive(Debug)]
pub(crate) struct Entrance<P> {
    queue: VecDeque<Entering<P>>,
    count: usize,
    bytes: usize,
}

impl<P> Entrance<P> {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new(), count: 0, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many publications wait.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What was busy once keeps no memory for more.
    pub(crate) fn rest(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Lets publications in. `Err`: too much waits.
    pub(crate) fn admit(&mut self, publisher: P, publications: Vec<Publication>) -> Result<(), P> {
        let bytes = publications.iter().map(weight).sum();
        if self.count + publications.len() > ENTERING || self.bytes + bytes > ENTERING_BYTES {
            return Err(publisher);
        }
        self.count += publications.len();
        self.bytes += bytes;
        self.queue.push_back(Entering { publisher, publications, bytes });
        Ok(())
    }

    /// The next to go; none: nothing can. `joins`: whose join isn't answered yet. Who joined before it published is
    /// answered first, so that it gets its own publication.
    pub(crate) fn next_batch(&mut self, joins: impl Fn(&ConnId) -> bool) -> Option<Batch<P>> {
        let mut batch = Vec::new();
        let (mut count, mut bytes, mut at) = (0, 0, 0);
        while let Some(next) = self.queue.get(at) {
            let conn = next.publications.first().and_then(|first| first.conn.as_ref());
            if conn.is_some_and(&joins) {
                at += 1;
                continue;
            }
            let fits = count + next.publications.len() <= BATCH && bytes + next.bytes <= BATCH_BYTES;
            if !batch.is_empty() && !fits {
                break;
            }
            count += next.publications.len();
            bytes += next.bytes;
            batch.extend(self.queue.remove(at));
        }
        self.count -= count;
        self.bytes -= bytes;
        (!batch.is_empty()).then_some(Batch(batch))
    }
}
