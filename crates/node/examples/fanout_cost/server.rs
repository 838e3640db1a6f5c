//! The node that is measured: alone in its cluster, its connections handed in after the handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ringway_auth::Mode;
use ringway_backplane::Backplane;
use ringway_node::Node;
use tokio::net::TcpListener;

use crate::measured;

const CONFIG: &str = "[[classes]]\nrooms = \"windowed\"\nflush_window = \"10ms\"\n";

pub(crate) struct Server {
    address: SocketAddr,
    _node: Node,
}

impl Server {
    pub(crate) async fn start(backplane: Arc<dyn Backplane>) -> Server {
        let node = measured::node(backplane, CONFIG, None).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = node.door();
        tokio::spawn(async move {
            for number in 0_u64.. {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                if let Ok(entry) = door.admit(measured::ticket(number, Mode::Direct)) {
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
