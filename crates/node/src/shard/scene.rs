//! A shard without a loop, and a connection, for tests that move them by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use ringway_backplane::memory::Hub;
use ringway_config::{Config, Tenants};
use ringway_edge::Reader;
use ringway_protocol::codec::Format;
use ringway_ring::View;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::{RoomKey, Shard, Shared};
use crate::conn::{Conn, ConnRef, Who};
use crate::interest::Interests;
use crate::memory::Kept;
use crate::metrics::NodeMetrics;
use crate::placement::Placement;
use crate::tenant::{TenantHere, TenantsHere};

/// As many as make a shard's share of empty rooms small.
pub(super) const SHARDS: usize = 32;

/// A shard of a node that is alone and not in its own view; what its rooms weigh.
pub(super) fn shard() -> (Shard, Arc<Kept>) {
    let tenants = Config::dev(([127, 0, 0, 1], 0).into(), 1).config.tenants();
    let metrics = NodeMetrics::register(&mut Registry::default());
    let (me, pool) = ("n1".parse().unwrap(), "shared".parse().unwrap());
    let placement = Arc::new(Placement::new(me, pool, Arc::new(View::default()), &tenants));
    let (backplane, metrics, tasks) = (Hub::new().attach("n1"), Arc::new(metrics), TaskTracker::new());
    let interest = Interests::new(backplane.clone(), metrics.clone(), tasks.clone(), placement.clone());
    let shared = Shared {
        backplane,
        here: Arc::new(TenantsHere::new(tenants.clone(), metrics.by_tenant.clone())),
        tenants,
        metrics,
        tasks,
        shards: SHARDS,
        live_count: crate::live_count::LiveCount::default(),
        started: Instant::now(),
        interest: Arc::new(interest),
        keeping: None,
    };
    let kept = Arc::<Kept>::default();
    (Shard::new(shared, placement, false, kept.clone()).0, kept)
}

pub(super) fn room(name: &str) -> RoomKey {
    RoomKey { tenant: "acme".parse().unwrap(), room: name.parse().unwrap() }
}

/// The shard's node is alone, and these are the tenants.
pub(super) fn configure(shard: &mut Shard, tenants: Tenants) {
    let Placement { me, pool, .. } = &*shard.core.placement;
    let mut membership = ringway_ring::Membership::new();
    membership.heard(ringway_ring::Announcement::new(me.clone(), 1, pool.clone(), String::new()), 0);
    let placement = Placement::new(me.clone(), pool.clone(), membership.view(), &tenants);
    shard.configured(tenants, Arc::new(placement));
    shard.settle();
}

/// The shard works until something is so.
pub(super) async fn until(shard: &mut Shard, mut so: impl FnMut(&mut Shard) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !so(shard) {
        let next = shard.core.timers.next().unwrap_or(deadline).min(deadline);
        tokio::select! {
            Some(command) = shard.commands.recv() => shard.carry_out(command),
            Some(message) = shard.live.recv() => shard.live(message),
            () = tokio::time::sleep_until(next) => {
                assert!(next < deadline, "in time");
                shard.wake_due();
            }
        }
        shard.settle();
    }
}

/// Both ends of a connection.
pub(super) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

/// A connection, and its two ends.
pub(super) async fn connection() -> (ConnRef, (TcpStream, Reader)) {
    let (socket, client) = sockets().await;
    let (outbound, reader) = ringway_edge::open(socket, &Bytes::new(), ringway_edge::Limits::default());
    (Conn::new(who("c", Format::Json), outbound), (client, reader))
}

/// The next so many messages that were written to a connection.
pub(super) async fn frames(client: &mut TcpStream, count: usize) -> Vec<String> {
    let reading = async {
        let mut frames = Vec::new();
        while frames.len() < count {
            let mut head = [0; 2];
            client.read_exact(&mut head).await.unwrap();
            let length = match head[1] {
                126 => usize::from(client.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut text = vec![0; length];
            client.read_exact(&mut text).await.unwrap();
            frames.push(String::from_utf8(text).unwrap());
        }
        frames
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("frames in time")
}

/// Who may do everything.
pub(super) fn who(id: &str, format: Format) -> Who {
    Who {
        id: id.parse().unwrap(),
        tenant: TenantHere::for_test("acme"),
        user: None,
        session: "s".parse().unwrap(),
        format,
        grants: ringway_auth::Grants::all(),
        expires: None,
        home: crate::moves::Home::nowhere(),
    }
}
