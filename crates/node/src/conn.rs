//! A connection as the node's parts see it: who it is, and the way out to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use parking_lot::Mutex;
use ringway_auth::Grants;
use ringway_edge::Frame;
use ringway_protocol::codec::Format;
use ringway_protocol::name::{ConnId, SessionId, UserId};
use ringway_ring::KeyHash;

use crate::moves::Home;
use crate::room::Member;
use crate::tenant::TenantHere;
use crate::way::Way;

/// One client connection. Rooms hold it as a member, the registry by user; its session owns its life.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) user: Option<UserId>,
    pub(crate) session: SessionId,
    pub(crate) format: Format,
    pub(crate) way: Way,
    /// What it may do, replaced by an `auth` frame.
    // A mutex takes a byte, where a lock for readers takes eight; it is held for a look.
    pub(crate) grants: Mutex<Grants>,
    /// Rooms it is in or about to be in, over all shards: what the room limit is held against. The configuration allows fewer
    /// than a u16 holds.
    rooms: AtomicU16,
    /// What shards have refused it, and its session hasn't counted yet.
    refusals: AtomicU16,
    /// By what it was placed: the two parts of a [`Home`], which together would have padding.
    home_key: KeyHash,
    home_spread: u8,
    /// When its token ends, seconds since 1970; `u32::MAX`, which is in 2106, or later: never.
    expires: AtomicU32,
}

/// Shared by everyone who may have something for this connection.
pub(crate) type ConnRef = Arc<Conn>;

/// Who a connection is, as its ticket says.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) id: ConnId,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) user: Option<UserId>,
    pub(crate) session: SessionId,
    pub(crate) format: Format,
    pub(crate) grants: Grants,
    pub(crate) expires: Option<u64>,
    pub(crate) home: Home,
}

impl Conn {
    pub(crate) fn new(who: Who, way: impl Into<Way>) -> ConnRef {
        Arc::new(Self {
            id: who.id,
            tenant: who.tenant,
            user: who.user,
            session: who.session,
            format: who.format,
            way: way.into(),
            grants: Mutex::new(who.grants),
            rooms: AtomicU16::new(0),
            refusals: AtomicU16::new(0),
            home_key: who.home.key,
            home_spread: who.home.at_least,
            expires: AtomicU32::new(seconds(who.expires)),
        })
    }

    /// Takes a place for a room; `false` where none is left.
    pub(crate) fn take_room(&self) -> bool {
        let limit = self.rooms_limit();
        self.rooms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (u32::from(n) < limit).then_some(n + 1))
            .is_ok()
    }

    /// Takes one that it had elsewhere, whatever the limit is by now.
    pub(crate) fn take_room_again(&self) {
        self.rooms.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_room_back(&self) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
    }

    /// A shard has refused it something: see [`ringway_limits::Patience`].
    pub(crate) fn count_refusal(&self) {
        let more = |refusals: u16| Some(refusals.saturating_add(1));
        let _ = self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// How many there were since this was asked last.
    pub(crate) fn take_refusals(&self) -> u32 {
        // Asked for each frame, and nearly always none.
        if self.refusals.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        u32::from(self.refusals.swap(0, Ordering::Relaxed))
    }

    /// How many rooms it may be in at a time, as of now. Where there are fewer than it is in it leaves none.
    pub(crate) fn rooms_limit(&self) -> u32 {
        self.tenant.usage.limits().rooms
    }

    /// By what it was placed.
    pub(crate) fn home(&self) -> Home {
        Home { key: self.home_key, at_least: self.home_spread }
    }

    /// When its token ends, seconds since 1970; `u64::MAX`: never.
    pub(crate) fn expires(&self) -> u64 {
        match self.expires.load(Ordering::Relaxed) {
            u32::MAX => u64::MAX,
            seconds => u64::from(seconds),
        }
    }

    pub(crate) fn renew(&self, grants: Grants, expires: Option<u64>) {
        *self.grants.lock() = grants;
        self.expires.store(seconds(expires), Ordering::Relaxed);
    }

    /// Sends one finished frame at once.
    pub(crate) fn send(&self, frame: &Frame) {
        self.way.send(frame);
    }
}

fn seconds(expires: Option<u64>) -> u32 {
    expires.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
}

impl Member for ConnRef {
    fn id(&self) -> &ConnId {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        // With the two counts of its `Arc`, two cache lines.
        assert!(size_of::<Conn>() <= 112, "{}", size_of::<Conn>());
    }
}
