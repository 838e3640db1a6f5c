//! A connection from its opening to its end.

use ringway_auth::{Grants, Ticket};
use ringway_link::{Exclude, Exit, OpenAs};

use crate::gateway::{Gateway, Said, relayed};
use crate::world::{World, publish, soon, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_greeted_joined_and_heard() {
    let world = World::start("").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    let ticket = Ticket { room: Some("home".parse().unwrap()), ..relayed(Some("ann")) };
    gateway.open(7, OpenAs::Home, &ticket);
    assert_eq!(gateway.next().await, Said::Opened { conn: 7 });
    assert_eq!(gateway.so_far().await, [], "nothing before its client is there");
    assert_eq!(node.metric("ringway_connections"), 0);
    gateway.begin(7);
    let hello = gateway.sent(7).await;
    assert_eq!((&hello["t"], &hello["conn"]), (&"hello".into(), &ticket.conn.as_str().into()));
    assert_eq!((&hello["room"], &hello["user"]), (&"home".into(), &"ann".into()));
    let Said::Room(declared) = gateway.next().await else { panic!("a room") };
    assert_eq!(declared.room.as_str(), "home");
    let Said::Send { conn: 7, frame: joined, at } = gateway.next().await else { panic!("joined") };
    assert_eq!((&joined["t"], &joined["room"]), (&"joined".into(), &"home".into()));
    let entered = gateway.next().await;
    assert_eq!(entered, Said::Enter { conn: 7, room: declared.number.0, at, by_server: true });
    assert_eq!(node.metric("ringway_connections"), 1);

    gateway.frame(7, &publish("home", 1));
    let (mut cast, mut answered) = (None, None);
    while cast.is_none() || answered.is_none() {
        match gateway.next().await {
            Said::Cast { room, offset, but, frame } => {
                assert_eq!((room, but), (declared.number.0, Exclude::Nobody));
                assert_eq!((&frame["t"], &frame["data"]), (&"msg".into(), &1.into()));
                cast = offset;
            }
            Said::Send { conn: 7, frame, .. } => {
                assert_eq!((&frame["t"], &frame["id"]), (&"ok".into(), &1.into()));
                answered = frame["result"]["offset"].as_u64();
            }
            said => panic!("{said:?}"),
        }
    }
    assert_eq!(cast, answered);
    assert_eq!(gateway.ask(7, r#"{"t":"ping","id":2}"#).await["t"], "ok");

    gateway.closed(7);
    gateway.ended(7).await;
    node.until_nobody_is_here().await;
    assert_eq!(gateway.so_far().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_gets_nothing_more_and_who_echoes_not_is_left_out() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    for conn in [1, 2] {
        gateway.client(conn, &relayed(None)).await;
        assert_eq!(gateway.join(conn, "r").await["t"], "ok");
    }
    gateway.frame(1, r#"{"t":"pub","room":"r","data":1,"echo":false}"#);
    let is_cast = |said: &Said| matches!(said, Said::Cast { .. });
    let Said::Cast { but, .. } = gateway.until(is_cast).await else { unreachable!() };
    assert!(but != Exclude::Nobody, "{but:?}");
    gateway.frame(2, r#"{"t":"leave","room":"r","id":9}"#);
    let is_exit = |said: &Said| matches!(said, Said::Exit { .. });
    let exit = gateway.until(is_exit).await;
    assert_eq!(exit, Said::Exit { conn: 2, room: "r".into(), why: Exit::Left });
    assert_eq!(gateway.sent(2).await["id"], 9);
    gateway.frame(1, r#"{"t":"pub","room":"r","data":2}"#);
    let Said::Cast { but, .. } = gateway.until(is_cast).await else { unreachable!() };
    assert_eq!(but, Exclude::Nobody);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_on_another_nodes_account_is_no_connection_of_this_one() {
    let world = World::start("[tenants.acme.limits]\nconnections = 1\n").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    gateway.client(1, &relayed(None)).await;
    gateway.open(2, OpenAs::Home, &relayed(None));
    let no = gateway.next().await;
    assert!(matches!(&no, Said::Refused { conn: 2, code, retry: Some(_) } if code == "limit_connections"));
    // What was on its way to it, before the gateway heard of that, is nothing to anybody.
    gateway.frame(2, &publish("r", 1));
    gateway.closed(2);
    let further = relayed(None);
    gateway.open(3, OpenAs::Further, &further);
    assert!(matches!(gateway.next().await, Said::Opened { conn: 3, .. }));
    assert_eq!(gateway.join(3, "r").await["t"], "ok", "and no hello before");
    assert_eq!(node.metric("ringway_connections"), 1);
    // One that moves is let in whatever the limit is.
    gateway.open(3, OpenAs::HomeAgain, &further);
    gateway.until(|said| matches!(said, Said::Opened { conn: 3, .. })).await;
    assert_eq!(node.metric("ringway_connections"), 2);
    gateway.open(3, OpenAs::Further, &further);
    gateway.until(|said| matches!(said, Said::Opened { conn: 3, .. })).await;
    assert_eq!(node.metric("ringway_connections"), 1);
    gateway.closed(1);
    gateway.ended(1).await;
    gateway.client(2, &relayed(None)).await;
    gateway.closed(2);
    gateway.closed(3);
    gateway.ended(3).await;
    node.until_nobody_is_here().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_a_user_come_once_by_its_home() {
    let world = World::of("", &["n1", "n2"]).await;
    let (one, other) = (&world.nodes[0], &world.nodes[1]);
    let (mut home, mut further) = (Gateway::link(one).await, Gateway::link(other).await);
    let ticket = relayed(Some("ann"));
    home.client(1, &ticket).await;
    further.open(1, OpenAs::Further, &ticket);
    assert!(matches!(further.next().await, Said::Opened { .. }));
    world.direct("ann", 5).await;
    let message = home.sent(1).await;
    assert_eq!((&message["t"], &message["data"]), (&"msg".into(), &5.into()));
    assert_eq!(further.so_far().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_ends_takes_its_connections_with_it() {
    let world = World::start("").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    for conn in 1..=50 {
        gateway.client(conn, &relayed(Some("ann"))).await;
        gateway.join(conn, "r").await;
    }
    assert_eq!((node.metric("ringway_connections"), node.metric("ringway_members")), (50, 50));
    assert_eq!((node.metric("ringway_node_links"), node.metric("ringway_node_linked_connections")), (1, 50));
    gateway.cut();
    node.until_nobody_is_here().await;
    until("the link is gone", || node.metric("ringway_node_links") == 0).await;
    until("and forgotten", || node.metric("ringway_node_linked_connections") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_refusals_wait_holds_up_nobody_else() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let nothing = Ticket { grants: Grants::none(), ..relayed(None) };
    gateway.client(1, &nothing).await;
    gateway.client(2, &relayed(None)).await;
    for id in 0..40 {
        gateway.frame(1, &format!(r#"{{"t":"join","room":"r","id":{id}}}"#));
    }
    gateway.closed(1);
    gateway.frame(2, r#"{"t":"ping","id":1}"#);
    let mut refused = 0;
    loop {
        match gateway.next().await {
            Said::Send { conn: 1, frame, .. } => {
                assert_eq!(frame["code"], "forbidden");
                refused += 1;
            }
            Said::Send { conn: 2, frame, .. } => {
                assert_eq!(frame["t"], "ok");
                break;
            }
            said => panic!("{said:?}"),
        }
    }
    assert!(refused < 40, "it waits for its refusals");
    gateway.ended(1).await;
}

/// The next credit for its first client.
async fn credit(gateway: &mut Gateway) -> u32 {
    let credit = gateway.until(|said| matches!(said, Said::Credit { .. })).await;
    let Said::Credit { conn: 1, bytes } = credit else { panic!("{credit:?}") };
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_credited_before_the_window_is_used() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(1, &relayed(None)).await;
    let frame = format!(r#"{{"t":"pub","room":"r","data":"{}"}}"#, "x".repeat(30_000));
    let mut unanswered = 0;
    for _ in 0..40 {
        gateway.frame(1, &frame);
        unanswered += frame.len() as u32;
        while unanswered > 64 * 1024 {
            unanswered -= credit(&mut gateway).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_to_wait_is_credited_once_it_is_done() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let nothing = Ticket { grants: Grants::none(), ..relayed(None) };
    gateway.client(1, &nothing).await;
    // From some of these on what follows waits.
    let refused = r#"{"t":"join","room":"r","id":1}"#;
    let ping = format!(r#"{{"t":"ping","x":"{}"}}"#, "x".repeat(30_000));
    let frames = std::iter::repeat_n(refused, 24).chain(std::iter::repeat_n(&*ping, 4));
    let mut unanswered = 0;
    for frame in frames {
        gateway.frame(1, frame);
        unanswered += frame.len() as u32;
    }
    while unanswered > 64 * 1024 {
        unanswered -= credit(&mut gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_frame_ends_its_connection_and_not_the_link() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(1, &relayed(None)).await;
    gateway.frame(1, r#"{"t":"what","id":1}"#);
    assert_eq!(gateway.sent(1).await["code"], "unknown_frame");
    gateway.frame(1, "{");
    gateway.frame(1, r#"{"t":"ping","id":2}"#);
    let close = gateway.next().await;
    assert!(matches!(close, Said::Close { conn: 1, code: 4000, .. }), "{close:?}");
    assert_eq!(gateway.so_far().await, []);
    gateway.closed(1);
    gateway.ended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_says_so_and_waits_for_its_gateways() {
    let mut world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(1, &relayed(None)).await;
    gateway.join(1, "r").await;
    let here = world.nodes.remove(0);
    let leaving = tokio::spawn(here.node.shutdown());
    gateway.until(|said| *said == Said::Leaving).await;
    gateway.open(2, OpenAs::Home, &relayed(None));
    let no = gateway.next().await;
    assert!(matches!(&no, Said::Refused { conn: 2, code, .. } if code == "unavailable"), "{no:?}");
    gateway.move_away(1, "r");
    let moved = gateway.next().await;
    assert_eq!(moved, Said::Exit { conn: 1, room: "r".into(), why: Exit::Moved });
    gateway.closed(1);
    gateway.ended(1).await;
    assert_eq!(gateway.end().await, Some(1012));
    soon("the node's end", leaving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_closes_while_it_is_opened_leaves_nothing() {
    let world = World::start("").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    for number in 0..20 {
        gateway.open(number, OpenAs::Home, &relayed(None));
        if number % 2 == 0 {
            gateway.begin(number);
        }
        gateway.closed(number);
    }
    for number in 0..20 {
        gateway.ended(number).await;
    }
    until("nobody is here", || node.metric("ringway_connections") == 0).await;
}
