//! A client that reads slowly isn't seconds behind in buffers of the kernel's on the way, nor does it fill them.

mod support;

use std::time::Duration;

use socket2::SockRef;
use support::http::{Wire, upgrade};
use support::node::Node;
use support::{OPEN, World, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A tunnel: the client's end, then the node's.
async fn tunnel() -> (World, TcpStream, TcpStream) {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade("/v1/ws?room=r", &[])).await;
    let (_, inside) = node.take().await;
    assert_eq!(client.answer().await.status, 101);
    // What is asked after are the gateway's buffers, not these.
    SockRef::from(&client.stream).set_recv_buffer_size(64 << 10).expect("set");
    SockRef::from(&inside.stream).set_send_buffer_size(64 << 10).expect("set");
    (world, client.stream, inside.stream)
}

/// Writes until nothing has been taken for a while; gives how much was.
async fn fill(node: &mut TcpStream) -> usize {
    let bytes = vec![0; 64 * 1024];
    let mut taken = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), node.write(&bytes)).await {
        taken += written.expect("written");
    }
    taken
}

/// Lets so many bytes through, read as fast as they come.
async fn stream(client: &mut TcpStream, node: &mut TcpStream, bytes: usize) {
    let piece = vec![0; 64 * 1024];
    let write = async {
        for _ in 0..bytes / piece.len() {
            soon("written", node.write_all(&piece)).await.expect("written");
        }
    };
    let read = async {
        let (mut read, mut buffer) = (0, vec![0; 256 * 1024]);
        while read < bytes {
            read += soon("bytes", client.read(&mut buffer)).await.expect("readable");
        }
    };
    tokio::join!(write, read);
}

/// What a client that reads nothing may have waiting on the way: the buffers of this test's own ends, and the tunnel's.
const MOST: usize = 1_500 * 1024;

#[tokio::test]
async fn little_waits_on_the_way_to_who_reads_nothing() {
    let (_world, _client, mut node) = tunnel().await;
    let waits = fill(&mut node).await;
    assert!(waits < MOST, "{} KiB", waits / 1024);
}

#[tokio::test]
async fn nor_to_who_stops_in_the_middle_of_a_fast_stream() {
    let (_world, mut client, mut node) = tunnel().await;
    stream(&mut client, &mut node, 32 << 20).await;
    let waits = fill(&mut node).await;
    assert!(waits < MOST, "{} KiB", waits / 1024);
    // And what waited comes.
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    while read < waits {
        read += soon("bytes", client.read(&mut buffer)).await.expect("readable");
    }
    assert_eq!(read, waits);
}
