//! A gateway's end: said first, then done within five seconds, and no client finds its connection cut.

mod support;

use std::time::{Duration, Instant};

use ringway_backplane::Inbox;
use ringway_backplane::message::{Answer, Epoch, Published};
use ringway_telemetry::admin::Checks;
use support::http::{Wire, ask, request, upgrade};
use support::node::Node;
use support::{OPEN, World, soon, until};

const HELLO: &[u8] = b"\x81\x05hello";

async fn connected(world: &World, node: &Node, offer: &str) -> (Wire, Wire) {
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade("/v1/ws?room=r", &[offer])).await;
    let (_, mut inside) = node.take().await;
    assert_eq!(client.answer().await.status, 101);
    inside.send(HELLO).await;
    assert_eq!(client.take(HELLO.len()).await, HELLO);
    (client, inside)
}

#[tokio::test]
async fn every_client_is_told_to_move_and_closed_with_1012() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let (mut json, mut json_inside) =
        connected(&world, &node, "Sec-WebSocket-Protocol: ringway.v1.json").await;
    let (mut msgpack, _msgpack_inside) =
        connected(&world, &node, "Sec-WebSocket-Protocol: ringway.v1.msgpack").await;
    // One more is in the middle of a frame, and stays there for a while.
    let (mut cut, mut cut_inside) = connected(&world, &node, "X: y").await;
    cut_inside.send(b"\x81\x04he").await;
    assert_eq!(cut.take(4).await, b"\x81\x04he");
    let begun = Instant::now();
    let ending = tokio::spawn(world.gateway.shutdown());
    assert_eq!(json.take(2).await[0], 0x81);
    let goaway = json.take(50).await;
    assert!(String::from_utf8_lossy(&goaway).contains("goaway"), "{}", goaway.escape_ascii());
    let rest = json.until_end().await;
    assert!(rest.windows(2).any(|window| window == 1012_u16.to_be_bytes()), "{}", rest.escape_ascii());
    assert_eq!(json_inside.until_end().await, b"", "the node is told by an end");
    assert_eq!(msgpack.take(1).await[0], 0x82, "a binary frame");
    let rest = msgpack.until_end().await;
    assert!(rest.windows(2).any(|window| window == 1012_u16.to_be_bytes()), "{}", rest.escape_ascii());
    cut_inside.send(b"llo, which must not pass").await;
    assert_eq!(cut.take(2).await, b"ll", "the frame at hand is finished");
    assert_eq!(cut.take(1).await[0], 0x81);
    cut.until_end().await;
    drop((json, msgpack, cut));
    soon("the end", ending).await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_gateway_that_leaves_says_so_and_still_answers() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let checks = Checks::new();
    world.gateway.add_checks(&checks);
    assert!(checks.failures().is_empty());
    let (mut client, mut inside) = connected(&world, &node, "X: y").await;
    world.gateway.refuse_upgrades();
    assert_eq!(checks.failures().iter().map(|failure| failure.check).collect::<Vec<_>>(), ["gateway"]);
    for offer in ["X: y", "Sec-WebSocket-Protocol: ringway.v1.json"] {
        let refused = ask(world.address(), upgrade("/v1/ws?room=r", &[offer])).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("3")));
    }
    assert_eq!(ask(world.address(), request("GET", "/v1/locate?room=r", &[], b"")).await.status, 200);
    inside.send(HELLO).await;
    assert_eq!(client.take(HELLO.len()).await, HELLO, "tunnels stand");
}

#[tokio::test]
async fn readiness_needs_nodes_and_a_backplane() {
    let mut world = World::start(OPEN).await;
    let checks = Checks::new();
    world.gateway.add_checks(&checks);
    let failing = || checks.failures().iter().map(|failure| failure.check).collect::<Vec<_>>();
    assert_eq!(failing(), ["nodes"]);
    world.node("a", "127.0.0.1:1");
    assert!(failing().is_empty());
    world.hub.cut("gateway-1", true);
    until("the cut is seen", || failing() == ["backplane"]).await;
}

#[tokio::test]
async fn handshakes_under_way_at_the_end_get_an_answer() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    // One has sent half a head, one waits for its node, one has its 101 and nothing else.
    let mut half = Wire::open(world.address()).await;
    half.send("GET /v1/ws HTTP/1.1\r\nHost: lo").await;
    let mut waiting = Wire::open(world.address()).await;
    waiting.send(upgrade("/v1/ws?room=r", &[])).await;
    let arrival = node.arrival().await;
    let mut fresh = Wire::open(world.address()).await;
    fresh.send(upgrade("/v1/ws?room=r", &[])).await;
    let (_, _inside) = node.take().await;
    assert_eq!(fresh.answer().await.status, 101);
    let begun = Instant::now();
    let ending = tokio::spawn(world.gateway.shutdown());
    let refused = waiting.answer().await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("3")));
    assert_eq!(fresh.close_frame().await.0, 1012);
    drop(fresh);
    soon("the end", ending).await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(arrival);
}

#[tokio::test]
async fn a_request_under_way_at_the_end_is_answered() {
    let mut world = World::start(OPEN).await;
    let node = world.node("a", "127.0.0.1:1");
    let party = world.party("a");
    let (sink, mut asked) = tokio::sync::mpsc::channel(1);
    let inbox = Inbox { group: "shared".parse().expect("a group"), node };
    let _subscription = party.serve(&inbox, sink).await.expect("served");
    let mut caller = Wire::open(world.address()).await;
    caller.send(request("POST", "/v1/messages?room=r", &["Content-Type: application/json"], b"1")).await;
    let question = soon("the question", asked.recv()).await.expect("open");
    let ending = tokio::spawn(world.gateway.shutdown());
    tokio::task::yield_now().await;
    let epoch = Epoch { ms: 1, node: 2, random: 3 };
    question.reply.send(Answer::Published(vec![Published { epoch, offset: 9, duplicate: false }]));
    let answer = caller.answer().await;
    assert_eq!((answer.status, &answer.json()["offset"]), (200, &serde_json::json!(9)));
    soon("the end", ending).await.expect("no panic");
}
