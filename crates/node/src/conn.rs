//! A connection as the node's parts see it: who it is, and the way out to its socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use ringway_auth::Grants;
use ringway_edge::{Frame, Outbound};
use ringway_protocol::codec::Format;
use ringway_protocol::name::{ConnId, SessionId, TenantId, UserId};

use crate::room::Member;

/// One client connection. Rooms hold it as a member, the registry by user; its session owns its life.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) tenant: TenantId,
    pub(crate) user: Option<UserId>,
    pub(crate) session: SessionId,
    pub(crate) format: Format,
    pub(crate) outbound: Arc<Outbound>,
    /// What it may do, replaced by an `auth` frame.
    pub(crate) grants: RwLock<Grants>,
    rooms_limit: u32,
    /// Rooms it is in or about to be in, over all shards: what the room limit is held against.
    rooms: AtomicU32,
    /// Some shard will flush it at the end of its pass.
    touched: AtomicBool,
    /// Pings sent.
    beats: AtomicU32,
    /// When its token ends, seconds since 1970; `u64::MAX`: never.
    expires: AtomicU64,
}

/// Shared by everyone who may have something for this connection.
pub(crate) type ConnRef = Arc<Conn>;

/// Who a connection is, as its ticket says.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) id: ConnId,
    pub(crate) tenant: TenantId,
    pub(crate) user: Option<UserId>,
    pub(crate) session: SessionId,
    pub(crate) format: Format,
    pub(crate) grants: Grants,
    pub(crate) expires: Option<u64>,
}

impl Conn {
    pub(crate) fn new(who: Who, outbound: Arc<Outbound>, rooms_limit: u32) -> ConnRef {
        Arc::new(Self {
            id: who.id,
            tenant: who.tenant,
            user: who.user,
            session: who.session,
            format: who.format,
            outbound,
            grants: RwLock::new(who.grants),
            rooms_limit,
            rooms: AtomicU32::new(0),
            beats: AtomicU32::new(0),
            touched: AtomicBool::new(false),
            expires: AtomicU64::new(who.expires.unwrap_or(u64::MAX)),
        })
    }

    /// Takes a place for a room; `false` where none is left.
    pub(crate) fn take_room(&self) -> bool {
        let limit = self.rooms_limit;
        self.rooms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1))
            .is_ok()
    }

    pub(crate) fn give_room_back(&self) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many rooms it may be in at a time.
    pub(crate) fn rooms_limit(&self) -> u32 {
        self.rooms_limit
    }

    /// Whether another ping is due; true once for each.
    pub(crate) fn is_ping_due(&self, now: Instant, interval: Duration) -> bool {
        let open = now.saturating_duration_since(self.outbound.opened());
        let due = u32::try_from(open.as_millis() / interval.as_millis()).unwrap_or(u32::MAX);
        self.beats.fetch_max(due, Ordering::Relaxed) < due
    }

    pub(crate) fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    pub(crate) fn renew(&self, grants: Grants, expires: Option<u64>) {
        *self.grants.write() = grants;
        self.expires.store(expires.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something was pushed. True for whoever is to [`flush`](Self::flush) it; others rely on that one.
    pub(crate) fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn flush(&self) {
        // Before the write: who pushes from here on flushes for itself.
        self.touched.store(false, Ordering::Release);
        self.outbound.flush();
    }

    /// Sends one finished frame at once.
    pub(crate) fn send(&self, frame: &Frame) {
        self.outbound.send(frame);
    }
}

impl Member for ConnRef {
    fn id(&self) -> &ConnId {
        &self.id
    }
}
