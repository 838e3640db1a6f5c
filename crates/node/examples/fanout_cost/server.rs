//! The node that is measured: alone in its cluster, its connections handed in after the handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ringway_auth::{Grants, Mode, Ticket};
use ringway_backplane::Backplane;
use ringway_config::{Config, Environment};
use ringway_node::{Configured, Node, NodeMetrics, NodeParts, NodeSettings};
use ringway_protocol::codec::Format;
use tokio::net::TcpListener;
use tokio::sync::watch;

const CONFIG: &str = "gateway.auth = \"off\"\n[[classes]]\nrooms = \"windowed\"\nflush_window = \"10ms\"\n";

pub(crate) struct Server {
    address: SocketAddr,
    _node: Node,
}

impl Server {
    pub(crate) async fn start(backplane: Arc<dyn Backplane>) -> Server {
        let config = Config::from_text(CONFIG, "measured.toml".as_ref(), &Environment::new()).unwrap();
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
        let configured = watch::channel(Arc::new(configured)).1;
        let parts = NodeParts {
            backplane,
            configured,
            secret: b"a secret for measuring, long enough".as_slice().into(),
            metrics: NodeMetrics::register(&mut prometheus_client::registry::Registry::default()),
            listener: None,
        };
        let node = Node::start(settings, parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = node.door();
        tokio::spawn(async move {
            for number in 0_u64.. {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                if let Ok(entry) = door.admit(ticket(number)) {
                    entry.take(socket, Bytes::new(), None);
                }
            }
        });
        Server { address, _node: node }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn ticket(number: u64) -> Ticket {
    Ticket {
        tenant: "default".parse().unwrap(),
        user: None,
        grants: Grants::all(),
        info: None,
        join: Vec::new(),
        session: format!("s{number}").parse().unwrap(),
        room: None,
        since: None,
        conn: format!("c{number}").parse().unwrap(),
        gateway: "none".to_owned(),
        peer: String::new(),
        client: None,
        format: Format::Json,
        mode: Mode::Direct,
        expires: None,
        exp: u64::MAX,
    }
}
