//! What examples that measure a node share: the node, alone in its cluster, and who comes to it.

use std::sync::Arc;

use ringway_auth::{Grants, Mode, Ticket};
use ringway_backplane::Backplane;
use ringway_config::{Config, Environment};
use ringway_node::{Configured, Node, NodeMetrics, NodeParts, NodeSettings};
use ringway_protocol::codec::Format;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const SECRET: &[u8] = b"a secret for measuring, long enough";

/// A node where anybody may come. `config`: what else is configured.
pub(crate) async fn node(backplane: Arc<dyn Backplane>, config: &str, listener: Option<TcpListener>) -> Node {
    let config = format!("gateway.auth = \"off\"\n{config}");
    let config = Config::from_text(&config, "measured.toml".as_ref(), &Environment::new()).unwrap();
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
    let parts = NodeParts {
        backplane,
        configured: watch::channel(Arc::new(configured)).1,
        secret: SECRET.into(),
        metrics: NodeMetrics::register(&mut prometheus_client::registry::Registry::default()),
        listener,
    };
    let node = Node::start(settings, parts).await.unwrap();
    // Until it knows itself, nobody owns the rooms that it is asked for.
    let id = node.id().clone();
    node.view().wait_for(|view| view.node(&id).is_some()).await.unwrap();
    node
}

/// The ticket of one of many.
pub(crate) fn ticket(number: u64, mode: Mode) -> Ticket {
    Ticket {
        tenant: "default".parse().unwrap(),
        user: None,
        grants: Grants::all(),
        info: None,
        join: Vec::new(),
        session: format!("s{number}").parse().unwrap(),
        room: None,
        since: None,
        conn: format!("connection-{number:010}").parse().unwrap(),
        gateway: "gateway".to_owned(),
        peer: String::new(),
        client: None,
        format: Format::Json,
        mode,
        expires: None,
        exp: u64::MAX,
    }
}
