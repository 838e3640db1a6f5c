//! The entrance of a room: what members of this node publish waits here for what is before it, and leaves in batches.

use std::collections::VecDeque;

use ringway_backplane::message::Publication;

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
pub(crate) struct Entering<P> {
    pub(crate) publisher: P,
    pub(crate) publications: Vec<Publication>,
    bytes: usize,
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

    /// The next to go, without those that have to wait; empty: none.
    pub(crate) fn next_batch(&mut self, waits: impl Fn(&Entering<P>) -> bool) -> Vec<Entering<P>> {
        let mut batch = Vec::new();
        let (mut count, mut bytes, mut at) = (0, 0, 0);
        while let Some(next) = self.queue.get(at) {
            if waits(next) {
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
        batch
    }
}
