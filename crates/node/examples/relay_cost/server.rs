//! The node that is measured: alone in its cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use ringway_backplane::memory::Hub;
use ringway_config::{Config, Environment};
use ringway_node::{Configured, Node, NodeMetrics, NodeParts, NodeSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const SECRET: &[u8] = b"a secret for measuring, long enough";

pub(crate) async fn start() -> (Node, SocketAddr) {
    let config = "gateway.auth = \"off\"\n";
    let config = Config::from_text(config, "measured.toml".as_ref(), &Environment::new()).unwrap();
    let settings = NodeSettings {
        id: "measured".parse().unwrap(),
        pool: "shared".parse().unwrap(),
        advertise: None,
        public_url: None,
        weight: 1,
        max_connections: 100_000,
        buffers: 1 << 30,
        open: true,
    };
    let configured =
        Configured { tenants: config.tenants(), keys: Arc::default(), placement: config.placement };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let parts = NodeParts {
        backplane: Hub::new().attach("measured"),
        configured: watch::channel(Arc::new(configured)).1,
        secret: SECRET.into(),
        metrics: NodeMetrics::register(&mut prometheus_client::registry::Registry::default()),
        listener: Some(listener),
    };
    (Node::start(settings, parts).await.unwrap(), address)
}
