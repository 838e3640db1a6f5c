//! The relay's links, over real sockets: what a gateway says to a node that the test plays, and how it makes links and leaves them.

mod support;

use ringway_link::{Down, Exit, OpenAs, hello};
use ringway_protocol::Code;
use support::client::Client;
use support::linked::{Link, LinkNode, ROOM, Said, Seated, at, world};
use support::{announcement, closed_port, soon};

#[tokio::test]
async fn a_client_is_opened_at_its_home_and_hears_what_that_sends() {
    let (mut seated, mut link) = Seated::new().await;
    let conn = seated.conn;
    link.cast(ROOM, 6, r#"{"t":"msg","n":6}"#);
    assert_eq!(seated.client.hear_text().await, r#"{"t":"msg","n":6}"#);
    let asked = r#"{"t":"pub","id":1,"data":1}"#;
    seated.client.say(asked).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: asked.into() });
    link.send(conn, None, r#"{"t":"ok","id":1}"#);
    assert_eq!(seated.client.hear_text().await, r#"{"t":"ok","id":1}"#);
    let metrics = seated.world.metrics();
    for line in ["ringway_link_open 1", "ringway_link_queue_bytes 0"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    seated.client.close().await;
    assert_eq!(link.next().await, Said::Closed(conn));
    link.say(&Down::Ended { conn });
    soon("the end", seated.world.gateway.shutdown()).await;
    assert_eq!(link.ended().await, []);
}

#[tokio::test]
async fn a_node_that_refuses_leaves_the_client_to_the_next_and_a_limit_to_nobody() {
    let mut world = world().await;
    let (a, b) = (LinkNode::start().await, LinkNode::start().await);
    let owner = world.node("a", a.address());
    world.node("b", b.address());
    let target = format!("/v1/ws?room={}", world.room_of("default", &owner));
    let mut client = Client::ask(&world, &target).await;
    let mut at_a = a.link().await;
    let Said::Open { conn, .. } = at_a.next().await else { panic!("no open") };
    let refused = |code| Down::Refused { conn, code, detail: "no".into(), retry: Some(1_000) };
    at_a.say(&refused(Code::Unavailable));
    let mut at_b = b.link().await;
    let (at, _) = at_b.take(OpenAs::Home).await;
    client.is_in().await;
    assert_eq!((at, at_b.next().await), (conn, Said::Begin(conn)));
    // The next one is over a limit that holds at every node.
    let mut other = Client::ask(&world, &target).await;
    let Said::Open { conn, .. } = at_a.next().await else { panic!("no open") };
    at_a.say(&Down::Refused { conn, code: Code::LimitConnections, detail: "no".into(), retry: None });
    other.is_in().await;
    assert_eq!(other.closed().await.1, "limit_connections");
    drop(client);
    assert_eq!(at_b.next().await, Said::Closed(at));
}

#[tokio::test]
async fn a_node_that_is_not_there_or_speaks_another_version_is_passed_over() {
    let answers = [
        "HTTP/1.1 426 Upgrade Required\r\nRingway-Hop: 2; relay\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringway-link\r\nRingway-Hop: 2; relay\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "SSH-2.0-x\r\n",
        "",
    ];
    for answer in answers {
        let mut world = world().await;
        let (a, b) = (LinkNode::start().await, LinkNode::start().await);
        let owner = world.node("a", a.address());
        world.node("b", b.address());
        let target = format!("/v1/ws?room={}", world.room_of("default", &owner));
        let mut client = Client::ask(&world, &target).await;
        let (mut wire, head) = a.knock().await;
        assert!(head.contains(hello::HOP), "{head}");
        wire.send(answer).await;
        drop(wire);
        let mut at_b = b.link().await;
        at_b.take(OpenAs::Home).await;
        client.is_in().await;
    }
    let mut world = world().await;
    let (gone, b) = (closed_port(), LinkNode::start().await);
    let owner = world.node("a", gone);
    world.node("b", b.address());
    let target = format!("/v1/ws?room={}", world.room_of("default", &owner));
    let mut client = Client::ask(&world, &target).await;
    b.link().await.take(OpenAs::Home).await;
    client.is_in().await;
}

#[tokio::test]
async fn one_link_serves_all_clients_of_a_node() {
    let (seated, mut link) = Seated::new().await;
    let target = format!("/v1/ws?room={}", seated.room);
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut client = Client::ask(&seated.world, &target).await;
        let (conn, _) = link.take(OpenAs::Home).await;
        client.is_in().await;
        assert_eq!(link.next().await, Said::Begin(conn));
        others.push((client, conn));
    }
    let numbers: std::collections::BTreeSet<_> = others.iter().map(|(_, conn)| *conn).collect();
    assert!(numbers.len() == 3 && !numbers.contains(&seated.conn));
}

#[tokio::test]
async fn who_goes_while_it_is_opened_is_closed_and_its_number_waits_for_the_nodes_word() {
    let mut world = world().await;
    let a = LinkNode::start().await;
    world.node("a", a.address());
    let client = Client::ask(&world, "/v1/ws?room=r").await;
    let mut link = a.link().await;
    let Said::Open { conn, .. } = link.next().await else { panic!("no open") };
    drop(client);
    assert_eq!(link.next().await, Said::Closed(conn));
    // Both were on their way.
    link.say(&Down::Opened { conn });
    let mut second = Client::ask(&world, "/v1/ws?room=r").await;
    let (number, _) = link.take(OpenAs::Home).await;
    assert_ne!(number, conn);
    second.is_in().await;
    assert_eq!(link.next().await, Said::Begin(number));
    link.say(&Down::Ended { conn });
    // As soon as the gateway has read that, the number is free again.
    for _ in 0..1_000 {
        let mut next = Client::ask(&world, "/v1/ws?room=r").await;
        let Said::Open { conn: number, .. } = next_open(&mut link).await else { unreachable!() };
        link.say(&Down::Opened { conn: number });
        next.is_in().await;
        if number == conn {
            return;
        }
    }
    panic!("it is never given again");
}

#[tokio::test]
async fn a_room_whose_home_is_elsewhere_is_asked_for_there_and_left_when_that_moves() {
    let (mut seated, mut link) = Seated::new().await;
    let owner = "b".parse().expect("a node");
    let room = seated.world.room_of("default", &owner);
    let join = format!(r#"{{"t":"join","id":7,"room":"{room}"}}"#);
    seated.client.say(&join).await;
    let mut at_b = seated.b.link().await;
    let (conn, ticket) = at_b.take(OpenAs::Further).await;
    assert_eq!((conn, ticket.since), (seated.conn, None));
    assert_eq!(at_b.next().await, Said::Frame { conn, message: join });
    at_b.declare(ROOM, &room, "f1");
    at_b.send(conn, Some(at(ROOM, 2)), r#"{"t":"ok","id":7}"#);
    at_b.say(&Down::Enter { conn, room: ROOM, at: Some(at(ROOM, 2)), by_server: false });
    assert_eq!(seated.client.hear_text().await, r#"{"t":"ok","id":7}"#);
    // Its home leaves: it is asked to let go, and only then another is asked.
    let mut leaves = announcement("b", seated.b.address());
    leaves.state = ringway_ring::NodeState::Draining;
    seated.world.announce(leaves);
    assert_eq!(at_b.next().await, Said::Move(conn, room.clone()));
    at_b.cast(ROOM, 3, r#"{"t":"msg","n":3}"#);
    assert_eq!(seated.client.hear_text().await, r#"{"t":"msg","n":3}"#);
    at_b.exit(conn, &room, Exit::Moved);
    let Said::Rejoin(rejoin) = link.next().await else { panic!("not asked for at a") };
    assert_eq!((rejoin.conn, &rejoin.room, rejoin.by_server), (conn, &room, false));
    assert_eq!(rejoin.since.map(|since| (since.epoch.to_string(), since.offset)), Some(("f1".into(), 3)));
}

#[tokio::test]
async fn a_node_that_says_it_leaves_is_left_before_the_view_tells_of_it() {
    let (mut seated, mut link) = Seated::new().await;
    link.say(&Down::Leaving);
    let mut at_b = seated.b.link().await;
    let (conn, _) = at_b.take(OpenAs::HomeAgain).await;
    assert_eq!(link.next().await, Said::Move(conn, seated.room.clone()));
    // Its home is b now; a is only where the room still is.
    link.take(OpenAs::Further).await;
    link.exit(conn, &seated.room, Exit::Moved);
    let Said::Rejoin(rejoin) = at_b.next().await else { panic!("not asked for at b") };
    assert_eq!(rejoin.since, Some(seated.position(5)));
    assert_eq!(link.next().await, Said::Closed(conn));
    link.say(&Down::Ended { conn });
    at_b.declare(ROOM, &seated.room, "e1");
    seated.enters(&at_b, 5);
    seated.hears(&at_b, 6).await;
}

#[tokio::test]
async fn at_a_gateways_end_nodes_hear_of_every_client_and_links_are_closed() {
    let (mut seated, mut link) = Seated::new().await;
    let ending = tokio::spawn(seated.world.gateway.shutdown());
    assert!(seated.client.hear_text().await.contains("goaway"));
    assert_eq!(seated.client.closed().await.0, 1012);
    drop(seated.client);
    assert_eq!(link.ended().await, [Said::Closed(seated.conn)]);
    drop(link);
    soon("the end", ending).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_worker_has_a_link_and_one_that_breaks_is_no_matter_of_the_others() {
    let mut world = world().await;
    let a = LinkNode::start().await;
    world.node("a", a.address());
    // By turns.
    let mut clients = Vec::new();
    let mut links = Vec::new();
    for turn in 0..4 {
        let mut client = Client::ask(&world, "/v1/ws?room=r").await;
        if turn < 2 {
            links.push(a.link().await);
        }
        let link = &mut links[turn % 2];
        let (conn, _) = link.take(OpenAs::Home).await;
        client.is_in().await;
        assert_eq!(link.next().await, Said::Begin(conn));
        link.send(conn, None, r#"{"t":"hello"}"#);
        assert_eq!(client.hear_text().await, r#"{"t":"hello"}"#);
        clients.push((client, conn));
    }
    links.remove(0).cut().await;
    let mut again = a.link().await;
    for _ in 0..2 {
        next_open(&mut again).await;
    }
    let (client, conn) = &mut clients[1];
    links[0].send(*conn, None, r#"{"t":"pong"}"#);
    assert_eq!(client.hear_text().await, r#"{"t":"pong"}"#);
}

/// The next open, whatever comes before it.
async fn next_open(link: &mut Link) -> Said {
    loop {
        let said = link.next().await;
        if matches!(said, Said::Open { .. }) {
            return said;
        }
    }
}
