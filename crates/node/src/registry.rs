//! All connections of the node: on the spokes of a wheel, for whoever goes through them in turn, and by user.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use ringway_protocol::name::{ConnId, TenantId, UserId};

use crate::conn::ConnRef;

// One as large as another: who looks at one part at a time holds no lock for long, and does nothing to all at once.
pub(crate) use ringway_edge::SPOKES;

/// A connection whose token ends within so many seconds is watched by the second. Longer than any connection waits to
/// be looked at.
pub(crate) const SOON: u64 = 8;

/// Who is connected to this node.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Each connection is on the one that its id falls on, so wherever it was opened in a herd.
    spokes: Box<[Mutex<Vec<ConnRef>>]>,
    /// Found by the hash of tenant and user, which no entry repeats: there are as many as connections.
    by_user: RwLock<HashTable<ConnRef>>,
    count: AtomicUsize,
    /// Those whose tokens end soon.
    ending: Mutex<Vec<ConnRef>>,
    hasher: RandomState,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            spokes: (0..SPOKES).map(|_| Mutex::default()).collect(),
            by_user: RwLock::default(),
            count: AtomicUsize::new(0),
            ending: Mutex::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Registry {
    /// `now`: seconds since 1970.
    pub(crate) fn insert(&self, conn: &ConnRef, now: u64) {
        self.spoke_of(&conn.id).lock().push(conn.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(hash) = self.hash_of(conn) {
            let rehash = |conn: &ConnRef| self.hash_of(conn).expect("only who has a user is in the table");
            self.by_user.write().insert_unique(hash, conn.clone(), rehash);
        }
        self.watch_end(conn, now);
    }

    /// Of one that was inserted, once.
    pub(crate) fn remove(&self, conn: &ConnRef) {
        let mut spoke = self.spoke_of(&conn.id).lock();
        if let Some(place) = spoke.iter().position(|other| Arc::ptr_eq(other, conn)) {
            spoke.swap_remove(place);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        drop(spoke);
        let Some(hash) = self.hash_of(conn) else { return };
        let mut by_user = self.by_user.write();
        if let Ok(entry) = by_user.find_entry(hash, |other| Arc::ptr_eq(other, conn)) {
            entry.remove();
        }
        if by_user.is_empty() {
            *by_user = HashTable::new();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Everyone, as of now.
    pub(crate) fn all(&self) -> Vec<ConnRef> {
        let mut all = Vec::with_capacity(self.len());
        for spoke in &self.spokes {
            all.extend_from_slice(&spoke.lock());
        }
        all
    }

    /// Adds those on one spoke, counted round and round.
    pub(crate) fn on_spoke(&self, number: u64, into: &mut Vec<ConnRef>) {
        let spoke = &self.spokes[(number % SPOKES as u64) as usize];
        into.extend_from_slice(&spoke.lock());
    }

    /// A user's connections or, without a user, all of the tenant's.
    pub(crate) fn of(&self, tenant: &TenantId, user: Option<&UserId>) -> Vec<ConnRef> {
        let Some(user) = user else {
            let mut all = self.all();
            all.retain(|conn| conn.tenant.id == *tenant);
            return all;
        };
        let hash = self.hasher.hash_one((tenant, user));
        let by_user = self.by_user.read();
        let found =
            by_user.iter_hash(hash).filter(|c| c.user.as_ref() == Some(user) && c.tenant.id == *tenant);
        found.cloned().collect()
    }

    /// Watches a connection by the second if its token ends soon. To be called when it comes, when it has a new token,
    /// and every few seconds between. `now`: seconds since 1970.
    pub(crate) fn watch_end(&self, conn: &ConnRef, now: u64) {
        if conn.expires() <= now + SOON && !conn.way.is_closed() {
            self.ending.lock().push(conn.clone());
        }
    }

    /// Those whose token has ended by `now`; who has a new one meanwhile isn't watched any more.
    pub(crate) fn take_ended(&self, now: u64) -> Vec<ConnRef> {
        let mut ended = Vec::new();
        self.ending.lock().retain(|conn| {
            let over = conn.expires() <= now;
            if over {
                ended.push(conn.clone());
            }
            !over && conn.expires() <= now + SOON && !conn.way.is_closed()
        });
        ended
    }

    fn spoke_of(&self, conn: &ConnId) -> &Mutex<Vec<ConnRef>> {
        &self.spokes[(self.hasher.hash_one(conn) % SPOKES as u64) as usize]
    }

    fn hash_of(&self, conn: &ConnRef) -> Option<u64> {
        conn.user.as_ref().map(|user| self.hasher.hash_one((&conn.tenant.id, user)))
    }
}

// Whose token ends before it is looked at again is seen by the look before.
const _: () = assert!(SOON > ringway_edge::LOOK_INTERVAL.as_secs() + 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Who;
    use ringway_auth::Grants;
    use ringway_protocol::codec::Format;
    use tokio::net::{TcpListener, TcpStream};

    /// What keeps the connections open: the other ends, and the reading halves of these.
    struct Peers(TcpListener, Vec<(TcpStream, ringway_edge::Reader)>);

    impl Peers {
        async fn new() -> Peers {
            Peers(TcpListener::bind("127.0.0.1:0").await.unwrap(), Vec::new())
        }

        async fn conn(&mut self, number: u64, user: Option<&str>, expires: Option<u64>) -> ConnRef {
            let client = TcpStream::connect(self.0.local_addr().unwrap()).await.unwrap();
            let (socket, _) = self.0.accept().await.unwrap();
            let (outbound, reader) = ringway_edge::open(socket, &bytes::Bytes::new(), Default::default());
            self.1.push((client, reader));
            let who = Who {
                id: format!("c{number}").parse().unwrap(),
                tenant: crate::tenant::TenantHere::for_test("acme"),
                user: user.map(|user| user.parse().unwrap()),
                session: "s".parse().unwrap(),
                format: Format::Json,
                grants: Grants::none(),
                expires,
                home: crate::moves::Home::nowhere(),
            };
            crate::conn::Conn::new(who, outbound)
        }
    }

    #[test]
    fn a_herd_is_spread_evenly() {
        let registry = Registry::default();
        let mut on = [0_u32; SPOKES];
        for number in 0..100_000 {
            let id = format!("c{number:021}").parse().unwrap();
            let spoke = std::ptr::from_ref(registry.spoke_of(&id));
            on[registry.spokes.iter().position(|other| std::ptr::eq(other, spoke)).unwrap()] += 1;
        }
        // 417 each: six standard deviations of chance on either side.
        assert!(on.iter().all(|n| (295..=540).contains(n)), "{on:?}");
    }

    #[tokio::test]
    async fn each_is_found_on_one_spoke_and_by_its_user_until_it_goes() {
        let registry = Registry::default();
        let mut peers = Peers::new().await;
        let mut conns = Vec::new();
        for number in 0..30 {
            let user = [None, Some("ann"), Some("bob")][number as usize % 3];
            conns.push(peers.conn(number, user, None).await);
            registry.insert(&conns[number as usize], 0);
        }
        let (tenant, ann) = ("acme".parse().unwrap(), "ann".parse().unwrap());
        assert_eq!((registry.len(), registry.all().len()), (30, 30));
        assert_eq!(registry.of(&tenant, None).len(), 30);
        assert_eq!(registry.of(&tenant, Some(&ann)).len(), 10);
        assert!(registry.of(&"other".parse().unwrap(), Some(&ann)).is_empty());
        let mut turn = Vec::new();
        (1_000..1_000 + SPOKES as u64).for_each(|number| registry.on_spoke(number, &mut turn));
        turn.sort_by_key(Arc::as_ptr);
        turn.dedup_by_key(|conn| Arc::as_ptr(conn));
        assert_eq!(turn.len(), 30);
        for conn in &conns {
            registry.remove(conn);
            registry.remove(conn);
        }
        assert!(registry.len() == 0 && registry.all().is_empty());
        assert!(registry.of(&tenant, Some(&ann)).is_empty());
    }

    #[tokio::test]
    async fn whose_token_ends_is_told_in_that_second() {
        let registry = Registry::default();
        let mut peers = Peers::new().await;
        let (soon, late) = (peers.conn(1, None, Some(1_003)).await, peers.conn(2, None, Some(1_100)).await);
        let renewed = peers.conn(3, None, Some(1_003)).await;
        for conn in [&soon, &late, &renewed] {
            registry.insert(conn, 1_000);
        }
        renewed.renew(Grants::none(), Some(1_100));
        assert!(registry.take_ended(1_002).is_empty());
        assert_eq!(registry.take_ended(1_003).iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["c1"]);
        registry.watch_end(&late, 1_100 - SOON);
        assert_eq!(registry.take_ended(1_100).len(), 1);
        assert!(registry.ending.lock().is_empty());
    }
}
