use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::pipe::STALLED;
use super::*;
use crate::metrics::Metrics;

const FAR: Duration = Duration::from_secs(10);
const HELLO: &[u8] = b"\x81\x05hello";
const CLOSE_NODE: &[u8] = b"\x88\x02\x03\xe8";
const LOST: &[u8] = b"\x88\x06\x03\xf4lost";
const STOPPING: &[u8] = b"\x88\x06\x03\xf4stop";
const GOAWAY: &[u8] = b"\x81\x06goaway\x88\x06\x03\xf4stop";

/// A tunnel, with the client's and the node's other ends.
struct Bench {
    client: TcpStream,
    node: TcpStream,
    tunnels: Arc<Tunnels>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (outer, inner) = tokio::join!(TcpStream::connect(address), listener.accept());
    (outer.expect("connected"), inner.expect("accepted").0)
}

fn tunnels() -> Arc<Tunnels> {
    let words = LastWords {
        node_lost: Bytes::from_static(LOST),
        stopping: Bytes::from_static(STOPPING),
        stopping_json: Bytes::from_static(GOAWAY),
        stopping_msgpack: Bytes::from_static(b"unused"),
    };
    Tunnels::new(words, Metrics::register(&mut Registry::default(), Arc::default()).tunnels)
}

async fn bench(from_client: &'static [u8], from_node: &'static [u8]) -> Bench {
    let (client, inner_client) = pair().await;
    let (node, inner_node) = pair().await;
    let tunnels = tunnels();
    tunnels.start(Ends {
        client: inner_client,
        from_client: Bytes::from_static(from_client),
        node: inner_node,
        from_node: Bytes::from_static(from_node),
        format: Format::Json,
    });
    Bench { client, node, tunnels }
}

async fn expect(from: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    timeout(FAR, from.read_exact(&mut got)).await.expect("in time").expect("that much");
    assert_eq!(got, wanted);
}

/// Everything up to the end of the stream.
async fn rest(from: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    timeout(FAR, from.read_to_end(&mut got)).await.expect("in time").expect("a clean end");
    got
}

async fn gone(tunnels: &Tunnels) {
    timeout(FAR, async {
        while tunnels.count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the tunnel ends in time");
}

#[tokio::test]
async fn bytes_go_both_ways_early_ones_first() {
    let mut bench = bench(b"early", HELLO).await;
    expect(&mut bench.node, b"early").await;
    expect(&mut bench.client, HELLO).await;
    for round in 0..100_u8 {
        bench.client.write_all(&[round; 33]).await.expect("written");
        expect(&mut bench.node, &[round; 33]).await;
        bench.node.write_all(&[round; 55]).await.expect("written");
        expect(&mut bench.client, &[round; 55]).await;
    }
    drop(bench.client);
    assert_eq!(rest(&mut bench.node).await, b"");
}

#[tokio::test]
async fn a_slow_side_slows_the_other_and_loses_nothing() {
    let Bench { client, mut node, tunnels } = bench(b"", b"").await;
    let bytes: Vec<u8> = (0..48_000_000_u32).map(|n| (n % 251) as u8).collect();
    let wanted = bytes.clone();
    let send = tokio::spawn(async move {
        node.write_all(&bytes).await.expect("written");
        drop(node);
    });
    // Nothing is read until the sender stands still: what is under way is bounded by sockets and one buffer.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!send.is_finished(), "48 MB don't fit in between");
    let mut client = client;
    let got = rest(&mut client).await;
    assert!(got == wanted, "every byte, in order, {} of {}", got.len(), wanted.len());
    send.await.expect("sent");
    drop(client);
    timeout(FAR, tunnels.close()).await.expect("ended");
}

#[tokio::test]
async fn a_clients_half_close_reaches_the_node_which_may_still_answer() {
    let mut bench = bench(b"", HELLO).await;
    expect(&mut bench.client, HELLO).await;
    bench.client.write_all(b"last").await.expect("written");
    bench.client.shutdown().await.expect("half closed");
    assert_eq!(rest(&mut bench.node).await, b"last");
    bench.node.write_all(CLOSE_NODE).await.expect("written");
    drop(bench.node);
    assert_eq!(rest(&mut bench.client).await, CLOSE_NODE);
}

#[tokio::test]
async fn who_has_left_is_not_told_that_the_node_is_gone() {
    let mut bench = bench(b"", HELLO).await;
    expect(&mut bench.client, HELLO).await;
    bench.client.shutdown().await.expect("half closed");
    assert_eq!(rest(&mut bench.node).await, b"");
    drop(bench.node);
    assert_eq!(rest(&mut bench.client).await, b"");
    gone(&bench.tunnels).await;
}

/// The clock stands still while anything can be read or written, and jumps to the limit once nothing can.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_let_go() {
    let Bench { client, mut node, tunnels } = bench(b"", HELLO).await;
    let begun = tokio::time::Instant::now();
    let written = node.write_all(&vec![0; 48_000_000]).await;
    assert!(written.is_err(), "48 MB don't fit in between");
    assert!(begun.elapsed() >= STALLED, "{:?}", begun.elapsed());
    gone(&tunnels).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_nothing_is_taken_for_lost() {
    let Bench { mut client, node, tunnels } = bench(b"", HELLO).await;
    let begun = tokio::time::Instant::now();
    let (mut read, mut write) = client.split();
    let (bytes, mut came) = (vec![0; 48_000_000], Vec::new());
    // Once the node is given up the rest is read and thrown away, so that the client hears why.
    let (written, read) = tokio::join!(write.write_all(&bytes), read.read_to_end(&mut came));
    written.and(read).expect("no reset");
    assert_eq!(came, [HELLO, LOST].concat());
    assert!(begun.elapsed() >= STALLED, "{:?}", begun.elapsed());
    drop(client);
    gone(&tunnels).await;
    drop(node);
}

#[tokio::test]
async fn a_close_frame_of_the_nodes_is_the_last_word() {
    let mut bench = bench(b"", HELLO).await;
    bench.node.write_all(CLOSE_NODE).await.expect("written");
    bench.node.shutdown().await.expect("half closed");
    assert_eq!(rest(&mut bench.client).await, [HELLO, CLOSE_NODE].concat());
    bench.client.shutdown().await.expect("half closed");
    gone(&bench.tunnels).await;
}

#[tokio::test]
async fn a_dead_node_is_told_between_two_frames() {
    let mut bench = bench(b"", HELLO).await;
    expect(&mut bench.client, HELLO).await;
    // Unread bytes of the client's make this a reset.
    bench.client.write_all(b"unread").await.expect("written");
    bench.node.peek(&mut [0]).await.expect("there");
    drop(bench.node);
    assert_eq!(rest(&mut bench.client).await, LOST);
}

#[tokio::test]
async fn within_a_frame_a_dead_node_is_only_an_end() {
    let mut bench = bench(b"", b"\x81\x05hel").await;
    expect(&mut bench.client, b"\x81\x05hel").await;
    drop(bench.node);
    assert_eq!(rest(&mut bench.client).await, b"");
}

#[tokio::test]
async fn a_stopping_gateway_says_goodbye_once_the_frame_at_hand_is_whole() {
    let Bench { mut client, mut node, tunnels } = bench(b"", b"\x81\x05he").await;
    expect(&mut client, b"\x81\x05he").await;
    let closing = tokio::spawn(async move { timeout(FAR, tunnels.close()).await });
    // In one segment: the rest of the frame, and a frame that must not pass any more.
    node.write_all(&[b"llo", HELLO].concat()).await.expect("written");
    assert_eq!(rest(&mut client).await, [b"llo", GOAWAY].concat());
    assert_eq!(rest(&mut node).await, b"", "the node is told by an end");
    drop(client);
    closing.await.expect("no panic").expect("in time");
}

#[tokio::test]
async fn a_client_that_has_just_come_in_gets_its_hello_and_then_the_goodbye() {
    let Bench { mut client, mut node, tunnels } = bench(b"", b"").await;
    let closing = tokio::spawn(async move { timeout(FAR, tunnels.close()).await });
    tokio::task::yield_now().await;
    node.write_all(&[HELLO, b"\x81\x04more"].concat()).await.expect("written");
    assert_eq!(rest(&mut client).await, [HELLO, GOAWAY].concat());
    drop(client);
    closing.await.expect("no panic").expect("in time");
}

#[tokio::test(start_paused = true)]
async fn without_a_hello_a_stopping_gateway_only_closes() {
    let Bench { mut client, node, tunnels } = bench(b"", b"").await;
    let closing = tokio::spawn(async move { timeout(FAR, tunnels.close()).await });
    assert_eq!(rest(&mut client).await, STOPPING);
    drop(client);
    closing.await.expect("no panic").expect("in time");
    drop(node);
}

#[tokio::test]
async fn a_tunnel_that_begins_while_the_gateway_stops_ends_at_once() {
    let (mut client, inner_client) = pair().await;
    let (_node, inner_node) = pair().await;
    let tunnels = tunnels();
    timeout(FAR, tunnels.close()).await.expect("none there");
    let (from_client, from_node) = (Bytes::new(), Bytes::from_static(HELLO));
    tunnels.start(Ends {
        client: inner_client,
        from_client,
        node: inner_node,
        from_node,
        format: Format::Json,
    });
    assert_eq!(rest(&mut client).await, [HELLO, GOAWAY].concat());
}

#[tokio::test]
async fn stopping_is_bounded_whatever_the_two_sides_do() {
    // A node in mid-frame that says no more, a client that reads nothing.
    let Bench { client, node, tunnels } = bench(b"", b"\x81\x05he").await;
    timeout(FRAME_END + LINGER + Duration::from_secs(1), tunnels.close()).await.expect("bounded");
    drop((client, node));
}

/// The runtime puts a task into multiples of 128 bytes, 96 of them its own; with the tracker's pointer this makes two.
#[test]
fn a_tunnel_at_rest_is_small() {
    assert!(size_of::<Tunnel>() <= 152, "a tunnel takes {} bytes", size_of::<Tunnel>());
}
