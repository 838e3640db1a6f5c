//! One link's way out, as all see it who have records for it, and the numbers that rooms have on it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use ringway_edge::{Due, Frame, Label, Outbound, Pushed};
use ringway_link::{Down, RoomNo, codec};
use tokio::sync::Notify;

thread_local! {
    /// Grows to the largest record this thread has made; shared by all links.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The way out of one link. Shared by its task, by its connections, and by the shards that hold rooms of theirs.
#[derive(Debug)]
pub(crate) struct Link {
    outbound: Arc<Outbound>,
    numbers: Mutex<Numbers>,
    /// Connections of which its gateway hasn't heard that they are gone.
    conns: AtomicUsize,
    /// There are none of them any more.
    emptied: Notify,
    /// Its task is to flush it.
    flush: Notify,
}

/// The numbers of rooms on one link.
#[derive(Debug, Default)]
struct Numbers {
    /// Those that were given back.
    free: Vec<u32>,
    next: u32,
}

/// A room's number on a link, as long as anything there may still speak of it.
#[derive(Debug)]
pub(crate) struct RoomOnLink {
    link: Arc<Link>,
    number: RoomNo,
}

impl Link {
    pub(crate) fn new(outbound: Arc<Outbound>) -> Arc<Self> {
        let (numbers, conns) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { outbound, numbers, conns, emptied: Notify::new(), flush: Notify::new() })
    }

    /// A connection has come.
    pub(super) fn came(&self) {
        self.conns.fetch_add(1, Ordering::Relaxed);
    }

    /// Its gateway was told that one is gone.
    pub(super) fn went(&self) {
        if self.conns.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.emptied.notify_one();
        }
    }

    /// Adds a record, which the link's task writes as soon as it comes to it, with whatever else waits by then.
    pub(crate) fn push_for_task(&self, record: &Down<'_>) {
        if self.push(record, Due::Now) == Pushed::Promised {
            self.flush_soon();
        }
    }

    /// What was pushed is written by the link's task.
    pub(crate) fn flush_soon(&self) {
        self.flush.notify_one();
    }

    /// Waits for that, for the link's task alone.
    pub(crate) async fn is_to_be_flushed(&self) {
        self.flush.notified().await;
    }

    /// Waits until there is no connection, for the link's task alone.
    pub(crate) async fn emptied(&self) {
        while self.conns.load(Ordering::Acquire) > 0 {
            self.emptied.notified().await;
        }
    }

    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// Whether nothing is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.outbound.is_closed()
    }

    /// Adds a record to what waits. The caller sees to the flush that it has promised.
    pub(crate) fn push(&self, record: &Down<'_>, due: Due) -> Pushed {
        self.outbound.push_for(&framed(record), due)
    }

    /// Like [`push`](Self::push) for one that may be left out where the link is behind.
    pub(crate) fn push_labelled(&self, record: &Down<'_>, label: Option<Arc<Label>>, due: Due) -> Pushed {
        let frame = framed(record);
        match label {
            Some(label) => self.outbound.push_for(&frame.labelled(label), due),
            None => self.outbound.push_for(&frame, due),
        }
    }

    /// A number for a room that has none on this link.
    pub(crate) fn number_room(self: &Arc<Self>) -> RoomOnLink {
        let mut numbers = self.numbers.lock();
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        RoomOnLink { link: self.clone(), number: RoomNo(number) }
    }
}

/// A record as it goes to the link.
pub(crate) fn framed(record: &Down<'_>) -> Frame {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        codec::encode_down(record, scratch);
        Frame::record(scratch)
    })
}

impl RoomOnLink {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn number(&self) -> RoomNo {
        self.number
    }
}

impl Drop for RoomOnLink {
    fn drop(&mut self) {
        let mut numbers = self.link.numbers.lock();
        numbers.free.push(self.number.0);
    }
}
