//! A shard without a loop, and a connection, for tests that move them by hand.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use ringway_backplane::memory::Hub;
use ringway_config::Config;
use ringway_edge::Reader;
use ringway_ring::View;
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

/// A connection, and its two ends.
pub(super) async fn connection() -> (ConnRef, (TcpStream, Reader)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let (outbound, reader) = ringway_edge::open(socket, &Bytes::new(), ringway_edge::Limits::default());
    let who = Who {
        id: "c".parse().unwrap(),
        tenant: TenantHere::for_test("acme"),
        user: None,
        session: "s".parse().unwrap(),
        format: ringway_protocol::codec::Format::Json,
        grants: ringway_auth::Grants::all(),
        expires: None,
        home: crate::moves::Home::nowhere(),
    };
    (Conn::new(who, outbound, 10), (client, reader))
}
