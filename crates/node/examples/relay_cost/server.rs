//! The node that is measured, at a port of its own.

use std::net::SocketAddr;

use ringway_backplane::memory::Hub;
use ringway_node::Node;
use tokio::net::TcpListener;

use crate::measured;

pub(crate) async fn start() -> (Node, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (measured::node(Hub::new().attach("measured"), "", Some(listener)).await, address)
}
