//! Memberships that go on elsewhere, or come from there.

use ringway_link::{Exit, OpenAs};
use ringway_protocol::frame::Position;

use crate::gateway::{Gateway, Said, position, relayed};
use crate::world::{World, publish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_membership_goes_on_from_where_its_client_is() {
    let world = World::start("").await;
    let node = world.node();
    let mut publisher = node.connect(None).await;
    let mut gateway = Gateway::link(node).await;
    let ticket = relayed(None);
    gateway.client(1, &ticket).await;
    let began = position(&gateway.join(1, "r").await);
    // The link breaks, and meanwhile something is published.
    gateway.cut();
    for id in 1..=3 {
        assert_eq!(publisher.ask(id, &publish("r", id)).await["t"], "ok");
    }
    let mut gateway = Gateway::link(node).await;
    gateway.open(5, OpenAs::HomeAgain, &ticket);
    gateway.rejoin(5, "r", Some(began.clone()));
    assert!(matches!(gateway.next().await, Said::Opened { conn: 5, .. }));
    let Said::Room(declared) = gateway.next().await else { panic!("a room") };
    let Said::Enter { conn: 5, room, at: Some(at), by_server: false } = gateway.next().await else {
        panic!("entered")
    };
    assert_eq!((room, at.offset), (declared.number.0, began.offset));
    for number in 1..=3 {
        let Said::Send { conn: 5, at: Some(at), frame } = gateway.next().await else { panic!("a replay") };
        assert_eq!((&frame["t"], &frame["data"]), (&"msg".into(), &number.into()));
        assert_eq!(at.offset, began.offset + number);
    }
    assert_eq!(publisher.ask(4, &publish("r", 4)).await["t"], "ok");
    let Said::Cast { frame, .. } = gateway.next().await else { panic!("what comes live") };
    assert_eq!(frame["data"], 4);
    gateway.closed(5);
    gateway.ended(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_cannot_go_on_a_gap_says_so() {
    let world = World::start("").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    gateway.open(1, OpenAs::Further, &relayed(None));
    let other = Position { epoch: "1-2-3".parse().unwrap(), offset: 9, ts: None };
    gateway.rejoin(1, "r", Some(other));
    let gap = gateway.sent(1).await;
    assert_eq!((&gap["t"], &gap["reason"]), (&"gap".into(), &"epoch".into()));
    let entered = gateway.until(|said| matches!(said, Said::Enter { .. })).await;
    assert!(matches!(entered, Said::Enter { conn: 1, at: Some(_), .. }), "{entered:?}");
    gateway.frame(1, &publish("r", 1));
    gateway.until(|said| matches!(said, Said::Cast { .. })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_before_a_move_is_answered_before_it() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(1, &relayed(None)).await;
    gateway.frame(1, r#"{"t":"join","room":"r","id":1}"#);
    for id in 2..=9 {
        gateway.frame(1, &publish("r", id));
    }
    gateway.move_away(1, "r");
    let mut answered = 0;
    loop {
        match gateway.next().await {
            Said::Send { conn: 1, frame, .. } if frame["t"] == "ok" => answered += 1,
            Said::Exit { conn: 1, room, why: Exit::Moved } => {
                assert_eq!(room, "r");
                break;
            }
            Said::Room(_) | Said::Enter { .. } | Said::Cast { .. } => {}
            said => panic!("{said:?}"),
        }
    }
    assert_eq!(answered, 9);
    // Who isn't there is told to be elsewhere, too: whoever asked waits for it.
    gateway.move_away(1, "r");
    assert_eq!(gateway.next().await, Said::Exit { conn: 1, room: "r".into(), why: Exit::Moved });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_by_two_links_is_the_later_ones() {
    let world = World::start("").await;
    let node = world.node();
    let mut old = Gateway::link(node).await;
    let ticket = relayed(Some("ann"));
    old.client(1, &ticket).await;
    let began = position(&old.join(1, "r").await);
    // The gateway has noticed that its link is broken, the node hasn't.
    let mut new = Gateway::link(node).await;
    new.open(2, OpenAs::HomeAgain, &ticket);
    new.rejoin(2, "r", Some(began));
    let entered = new.until(|said| matches!(said, Said::Enter { .. })).await;
    assert!(matches!(entered, Said::Enter { conn: 2, .. }));
    old.end().await;
    crate::world::until("one is left", || {
        (node.metric("ringway_connections"), node.metric("ringway_members")) == (1, 1)
    })
    .await;
    world.direct("ann", 3).await;
    assert_eq!(new.sent(2).await["data"], 3);
    new.frame(2, &publish("r", 1));
    new.until(|said| matches!(said, Said::Cast { .. })).await;
    new.closed(2);
    new.ended(2).await;
    node.until_nobody_is_here().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_moves_is_bound_by_no_limit_of_rooms_or_seats() {
    let config = "[tenants.acme.limits]\nrooms = 1\n[[classes]]\nrooms = \"**\"\nlimits.members = 1\n";
    let world = World::start(config).await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.open(1, OpenAs::Further, &relayed(None));
    for room in ["a", "b"] {
        gateway.rejoin(1, room, None);
        gateway.until(|said| matches!(said, Said::Enter { .. })).await;
    }
    gateway.open(2, OpenAs::Further, &relayed(None));
    gateway.rejoin(2, "a", None);
    gateway.until(|said| matches!(said, Said::Enter { conn: 2, .. })).await;
}
