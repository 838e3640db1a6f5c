//! An upgrade reaches the node that owns its room, or the next, and nothing of the client's goes anywhere before.

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ringway_auth::{Mode, SessionKey, SessionToken};
use ringway_gateway::LocalNode;
use ringway_protocol::{Format, RoomName};
use ringway_ring::{NodeState, Slot};
use support::http::{ACCEPT, Wire, ask, upgrade};
use support::node::Node;
use support::{
    CLUSTER_SECRET, Inside, OPEN, World, announcement, black_hole, closed_port, now, soon, tenant_id, until,
};

#[tokio::test]
async fn a_client_reaches_the_owner_of_its_room_and_early_frames_follow() {
    let mut world = World::start(OPEN).await;
    let nodes = [Node::start().await, Node::start().await, Node::start().await];
    let ids = [
        world.node("a", nodes[0].address()),
        world.node("b", nodes[1].address()),
        world.node("c", nodes[2].address()),
    ];
    for (node, id) in nodes.iter().zip(&ids) {
        let room = world.room_of("acme", id);
        let mut client = Wire::open(world.address()).await;
        let target = format!("/v1/ws?tenant=acme&user=ann&client=test/1&room={room}&since=e:7:9");
        client.send(upgrade(&target, &["Sec-WebSocket-Protocol: ringway.v1.msgpack"]) + "early").await;
        let arrival = node.arrival().await;
        let ticket = arrival.ticket();
        assert_eq!(ticket.room.as_ref(), Some(&room));
        assert_eq!(ticket.user.as_ref().map(|user| user.as_str()), Some("ann"));
        assert_eq!(
            (ticket.format, ticket.mode, ticket.gateway.as_str()),
            (Format::Msgpack, Mode::Tunnel, "gateway-1")
        );
        assert_eq!(ticket.client.as_deref(), Some("test/1"));
        assert_eq!(ticket.since.as_ref().map(|since| (since.offset, since.ts)), Some((7, Some(9))));
        assert_eq!(ticket.peer, client.stream.local_addr().expect("an address").to_string());
        assert!(ticket.exp > now() && ticket.exp <= now() + 30);
        let names: Vec<_> =
            arrival.head.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        let ours = [
            "Host",
            "Connection",
            "Upgrade",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Key",
            "Ringway-Hop",
            "Ringway-Ticket",
            "Sec-WebSocket-Protocol",
        ];
        assert_eq!(names, ours, "no header of the client's goes on");
        assert_eq!(arrival.header("ringway-hop"), Some("1; tunnel"));
        assert_eq!(arrival.header("sec-websocket-protocol"), Some("ringway.v1.msgpack"));
        let mut inside = arrival.accept().await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(answer.header("sec-websocket-protocol"), Some("ringway.v1.msgpack"));
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        assert_eq!(inside.take(5).await, b"early");
        inside.send("hello").await;
        assert_eq!(client.take(5).await, b"hello");
    }
}

#[tokio::test]
async fn without_a_room_a_client_is_placed_by_its_user_else_anywhere() {
    let mut world = World::start(OPEN).await;
    let (a, b) = (Node::start().await, Node::start().await);
    let ids = [world.node("a", a.address()), world.node("b", b.address())];
    let (tenant, view) = (tenant_id("default"), world.view.borrow().clone());
    for n in 0..10 {
        let user = format!("u{n}");
        let slot = Slot::of_user(&tenant, &user.parse().expect("a user"));
        let owner = view.owner(&"shared".parse().expect("a pool"), slot).expect("an owner");
        let node = if *owner == ids[0] { &a } else { &b };
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade(&format!("/v1/ws?user={user}"), &[])).await;
        let (ticket, _inside) = node.take().await;
        assert_eq!(ticket.user.map(|user| user.as_str().to_owned()), Some(user));
        assert_eq!(ticket.room, None);
        assert_eq!(client.answer().await.status, 101);
    }
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade("/v1/ws", &[])).await;
    let (ticket, _inside) = tokio::select! { taken = a.take() => taken, taken = b.take() => taken };
    let owner = view.owner(&"shared".parse().expect("a pool"), Slot::of(&tenant, ticket.conn.as_str()));
    assert!(owner.is_some() && ticket.user.is_none());
}

#[tokio::test]
async fn a_node_that_refuses_tcp_is_passed_over_and_then_left_alone() {
    let mut world = World::start(OPEN).await;
    let good = Node::start().await;
    let dead = closed_port();
    let bad_id = world.node("bad", dead);
    world.node("good", good.address());
    let room = world.room_of("default", &bad_id);
    for _ in 0..3 {
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
        let (ticket, _inside) = good.take().await;
        assert_eq!(ticket.room.as_ref(), Some(&room));
        assert_eq!(client.answer().await.status, 101);
    }
    let metrics = world.metrics();
    let attempts = |outcome| format!("ringway_gateway_route_attempts_total{{outcome=\"{outcome}\"}}");
    assert!(metrics.contains(&format!("{} 1\n", attempts("unreachable"))), "tried once only: {metrics}");
    assert!(metrics.contains(&format!("{} 3\n", attempts("ok"))), "{metrics}");
    // It comes back at the same address, and is found without a client having had to wait for it.
    let back = tokio::net::TcpListener::bind(dead).await.expect("its port again");
    let found = async {
        loop {
            let (mut stream, _) = back.accept().await.expect("accepted");
            let answer = b"HTTP/1.1 404 Not Found\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.expect("written");
            drop(stream);
            let mut client = Wire::open(world.address()).await;
            client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
            let asked = tokio::select! {
                accepted = back.accept() => { drop(accepted); true }
                _ = good.take() => false,
            };
            if asked {
                break;
            }
        }
    };
    soon("the owner is asked again", found).await;
}

#[tokio::test]
async fn a_node_that_swallows_connections_costs_one_client_less_than_a_second() {
    let mut world = World::start(OPEN).await;
    let (good, hole) = (Node::start().await, black_hole().await);
    let bad_id = world.node("bad", hole.address);
    let good_id = world.node("good", good.address());
    let (lost, well) = (world.room_of("default", &bad_id), world.room_of("default", &good_id));
    let mut first = Wire::open(world.address()).await;
    let begun = Instant::now();
    first.send(upgrade(&format!("/v1/ws?room={lost}"), &[])).await;
    // Others aren't delayed meanwhile.
    let mut other = Wire::open(world.address()).await;
    other.send(upgrade(&format!("/v1/ws?room={well}"), &[])).await;
    let (ticket, _inside) = good.take().await;
    assert_eq!(ticket.room, Some(well));
    assert_eq!(other.answer().await.status, 101);
    let (ticket, _inside) = good.take().await;
    assert_eq!(ticket.room.as_ref(), Some(&lost));
    assert_eq!(first.answer().await.status, 101);
    assert!(begun.elapsed() >= Duration::from_millis(900), "the owner was tried");
    // The next client of that room doesn't try it any more.
    let mut next = Wire::open(world.address()).await;
    next.send(upgrade(&format!("/v1/ws?room={lost}"), &[])).await;
    let (_, _inside) = good.take().await;
    assert_eq!(next.answer().await.status, 101);
    assert!(world.metrics().contains("route_attempts_total{outcome=\"timeout\"} 1\n"), "{}", world.metrics());
}

#[tokio::test]
async fn a_name_that_vanished_is_passed_over() {
    let mut world = World::start(OPEN).await;
    let good = Node::start().await;
    let bad_id = world.node("bad", "no-such-host.invalid:7001");
    world.node("good", good.address());
    let room = world.room_of("default", &bad_id);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
    let (_, _inside) = good.take().await;
    assert_eq!(client.answer().await.status, 101);
}

#[tokio::test]
async fn whatever_is_no_checked_101_sends_the_client_on_and_gets_none_of_its_bytes() {
    for change in [
        |_: &str| "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        |_: &str| "HTTP/1.1 426 Upgrade Required\r\n\r\n".to_owned(),
        |_: &str| "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        |_: &str| String::new(),
        |_: &str| "nonsense\r\n\r\n".to_owned(),
        |right: &str| right.replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"),
        |right: &str| {
            right.lines().filter(|line| !line.contains("Accept")).map(|line| format!("{line}\r\n")).collect()
        },
        |right: &str| right.replace("ringway.v1.json", "ringway.v1.msgpack"),
        |right: &str| right.replace("Upgrade: websocket", "Upgrade: h2c"),
        |right: &str| {
            right.replace("Connection:", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection:")
        },
    ] {
        let mut world = World::start(OPEN).await;
        let (bad, good) = (Node::start().await, Node::start().await);
        let bad_id = world.node("bad", bad.address());
        world.node("good", good.address());
        let room = world.room_of("default", &bad_id);
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade(&format!("/v1/ws?room={room}"), &[]) + "early").await;
        let arrival = bad.arrival().await;
        let answer = change(&arrival.answer());
        let mut wrong = arrival.wire;
        wrong.send(&answer).await;
        if answer.is_empty() {
            drop(wrong);
        } else {
            assert_eq!(wrong.until_end().await, b"", "after {answer}");
        }
        let (_, mut inside) = good.take().await;
        assert_eq!(client.answer().await.status, 101, "after {answer}");
        assert_eq!(inside.take(5).await, b"early");
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_given_up_after_two_seconds() {
    let mut world = World::start(OPEN).await;
    let (hung, good) = (Node::start().await, Node::start().await);
    let hung_id = world.node("hung", hung.address());
    world.node("good", good.address());
    let room = world.room_of("default", &hung_id);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
    let arrival = hung.arrival().await;
    let (_, _inside) = good.take().await;
    assert_eq!(client.answer().await.status, 101);
    drop(arrival);
}

#[tokio::test]
async fn a_process_that_stands_still_is_left_alone_until_it_answers() {
    let mut world = World::start(OPEN).await;
    let (still, good) = (Node::start().await, Node::start().await);
    let still_id = world.node("still", still.address());
    world.node("good", good.address());
    let room = world.room_of("default", &still_id);
    let target = format!("/v1/ws?room={room}");
    let mut first = Wire::open(world.address()).await;
    first.send(upgrade(&target, &[])).await;
    let asked = still.arrival().await;
    let (_, _inside) = good.take().await;
    assert_eq!(first.answer().await.status, 101);
    drop(asked);
    // Its kernel goes on accepting, which proves nothing.
    for _ in 0..2 {
        let probe = still.arrival().await;
        assert!(probe.head.starts_with("GET / HTTP/1.1\r\n"), "{}", probe.head);
        let mut next = Wire::open(world.address()).await;
        next.send(upgrade(&target, &[])).await;
        let (_, _inside) = good.take().await;
        assert_eq!(next.answer().await.status, 101);
    }
    let attempts = "ringway_gateway_route_attempts_total{outcome=\"timeout\"} 1\n";
    assert!(world.metrics().contains(attempts), "tried once only: {}", world.metrics());
    // It goes on, and answers; then it gets its clients again.
    let found = async {
        loop {
            let mut arrival = still.arrival().await;
            if arrival.header("ringway-ticket").is_some() {
                return arrival.accept().await;
            }
            arrival.wire.send("HTTP/1.1 404 Not Found\r\n\r\n").await;
        }
    };
    let come = async {
        loop {
            let mut next = Wire::open(world.address()).await;
            next.send(upgrade(&target, &[])).await;
            let elsewhere = async {
                let (_, inside) = good.take().await;
                assert_eq!(next.answer().await.status, 101);
                inside
            };
            // A little is enough where it is asked for: it isn't accepted here then.
            let _ = tokio::time::timeout(Duration::from_millis(200), elsewhere).await;
        }
    };
    tokio::select! {
        _inside = soon("the node is asked again", found) => {}
        () = come => {}
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_a_time_to_come_back() {
    let mut world = World::start(OPEN).await;
    let refused = ask(world.address(), upgrade("/v1/ws?room=r", &[])).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"), "an empty view");
    assert_eq!(refused.header("retry-after"), Some("3"));
    for id in ["a", "b", "c", "d"] {
        world.node(id, closed_port());
    }
    let refused = ask(world.address(), upgrade("/v1/ws?room=r", &[])).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("3")));
    assert!(world.metrics().contains("route_attempts_total{outcome=\"unreachable\"} 3\n"), "three tries");
    let mut browser = Wire::open(world.address()).await;
    browser.send(upgrade("/v1/ws?room=r", &["Sec-WebSocket-Protocol: ringway.v1.json"])).await;
    assert_eq!(browser.answer().await.status, 101);
    assert_eq!(browser.close_frame().await, (1013, "unavailable retry=3000".to_owned()));
}

#[tokio::test]
async fn a_gateway_that_hears_nothing_more_keeps_its_last_view() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    world.hub.cut("gateway-1", true);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade("/v1/ws?room=r", &[])).await;
    let (_, _inside) = node.take().await;
    assert_eq!(client.answer().await.status, 101);
}

#[tokio::test]
async fn a_draining_node_gets_nobody() {
    let mut world = World::start(OPEN).await;
    let (leaving, staying) = (Node::start().await, Node::start().await);
    let id = world.node("leaving", leaving.address());
    world.node("staying", staying.address());
    let room = world.room_of("default", &id);
    let mut draining = announcement("leaving", leaving.address());
    draining.state = NodeState::Draining;
    world.announce(draining);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
    let (_, _inside) = staying.take().await;
    assert_eq!(client.answer().await.status, 101);
    leaving.assert_alone().await;
}

#[tokio::test]
async fn a_node_of_this_process_takes_the_socket_itself() {
    let (taken, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let inside = Arc::new(Inside {
        id: "in".parse().expect("an id"),
        accepting: AtomicBool::new(true),
        refusing: Default::default(),
        taken,
    });
    let local: Arc<dyn LocalNode> = Arc::clone(&inside) as _;
    let mut world = World::with(OPEN, |_, parts| parts.local.push(local)).await;
    let outside = Node::start().await;
    let id = world.node("in", closed_port());
    world.node("out", outside.address());
    let room = world.room_of("default", &id);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), &[]) + "early").await;
    let (mut socket, early, ticket) = soon("the socket", arrivals.recv()).await.expect("handed over");
    assert_eq!(client.answer().await.status, 101);
    assert_eq!((&early[..], ticket.room.as_ref()), (&b"early"[..], Some(&room)));
    tokio::io::AsyncWriteExt::write_all(&mut socket, b"hello").await.expect("written");
    assert_eq!(client.take(5).await, b"hello");
    // It takes no more: the next on the ring does.
    inside.accepting.store(false, std::sync::atomic::Ordering::SeqCst);
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), &[])).await;
    let (_, _inside) = outside.take().await;
    assert_eq!(client.answer().await.status, 101);
}

#[tokio::test]
async fn a_session_goes_on_for_its_own_client_only() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let sealed = |user: &str, exp| {
        SessionKey::new(CLUSTER_SECRET).seal(&SessionToken {
            session: "the-session".parse().expect("an id"),
            tenant: tenant_id("default"),
            user: Some(user.parse().expect("a user")),
            grants: ringway_auth::Grants::all(),
            expires: None,
            exp,
        })
    };
    let (good, foreign, over) = (sealed("ann", now() + 60), sealed("bob", now() + 60), sealed("ann", now()));
    for (header, goes_on) in [
        (format!("Ringway-Session: {good}"), true),
        (format!("Sec-WebSocket-Protocol: ringway.v1.json, session.{good}"), true),
        (format!("Ringway-Session: {foreign}"), false),
        (format!("Ringway-Session: {over}"), false),
        ("Ringway-Session: nonsense".to_owned(), false),
        ("X: y".to_owned(), false),
    ] {
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade("/v1/ws?user=ann", &[&header])).await;
        let (ticket, _inside) = node.take().await;
        assert_eq!(ticket.session.as_str() == "the-session", goes_on, "{header}");
        assert_eq!(client.answer().await.status, 101, "a bad session is no reason to refuse");
    }
}

#[tokio::test]
async fn a_client_that_leaves_early_leaves_nothing_behind() {
    let mut world = World::start(OPEN).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade("/v1/ws?room=r", &[])).await;
    let arrival = node.arrival().await;
    drop(client);
    let mut inside = arrival.wire;
    assert_eq!(inside.until_end().await, b"", "the node's side ends too");
    until("no handshake is counted any more", || world.metrics().contains("ringway_gateway_handshakes 0\n"))
        .await;
}

#[tokio::test]
async fn the_same_view_routes_alike_in_every_gateway() {
    let mut worlds = [World::start(OPEN).await, World::start(OPEN).await];
    let nodes = [Node::start().await, Node::start().await];
    for world in &mut worlds {
        world.node("a", nodes[0].address());
        world.node("b", nodes[1].address());
    }
    let room: RoomName = "{team7}.chat".parse().expect("a room");
    let mut owners = Vec::new();
    for (world, target) in [(&worlds[0], "%7Bteam7%7D.chat"), (&worlds[1], "%7Bteam7%7D.cursors")] {
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade(&format!("/v1/ws?room={target}"), &[])).await;
        let (owner, (ticket, _inside)) =
            tokio::select! { taken = nodes[0].take() => (0, taken), taken = nodes[1].take() => (1, taken) };
        owners.push(owner);
        assert_eq!(ticket.room.map(|found| found.placement_key() == room.placement_key()), Some(true));
    }
    assert_eq!(owners[0], owners[1]);
}
