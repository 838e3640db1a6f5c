//! What a connection may do, over all of its nodes.

use ringway_auth::{Grant, Grants, Right, Ticket};
use ringway_link::{ConnNo, Exit, OpenAs, Up};

use crate::gateway::{Gateway, Said, relayed, seal};
use crate::world::{World, publish};

fn only(room: &str) -> Grants {
    let grant =
        Grant { rooms: room.parse().unwrap(), rights: [Right::Join, Right::Publish].into_iter().collect() };
    [grant].into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rights_hold_on_further_nodes_too() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let ticket = relayed(Some("ann"));
    gateway.open(1, OpenAs::Further, &ticket);
    for room in ["a", "b"] {
        gateway.join(1, room).await;
    }
    let fewer = seal(&Ticket { grants: only("b"), ..ticket.clone() });
    gateway.say(&Up::Renew { conn: ConnNo(1), ticket: &fewer });
    let exit = gateway.until(|said| matches!(said, Said::Exit { .. })).await;
    assert_eq!(exit, Said::Exit { conn: 1, room: "a".into(), why: Exit::Left });
    let left = gateway.sent(1).await;
    assert_eq!((&left["t"], &left["code"]), (&"left".into(), &"forbidden".into()));
    gateway.frame(1, &publish("a", 1));
    assert_eq!(gateway.sent(1).await["code"], "forbidden");
    gateway.frame(1, &publish("b", 2));
    assert_eq!(gateway.sent(1).await["t"], "ok");
    // A membership isn't made where its client may not be by now.
    gateway.rejoin(1, "a", None);
    let exit = gateway.until(|said| matches!(said, Said::Exit { .. })).await;
    assert_eq!(exit, Said::Exit { conn: 1, room: "a".into(), why: Exit::Left });
    assert_eq!(gateway.sent(1).await["t"], "left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_of_another_end_the_link() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(1, &relayed(Some("ann"))).await;
    let other = seal(&relayed(Some("ann")));
    gateway.say(&Up::Renew { conn: ConnNo(1), ticket: &other });
    assert_eq!(gateway.end().await, Some(1002));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_token_ends_is_closed_at_home() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ticket = Ticket { expires: Some(now + 2), ..relayed(None) };
    gateway.client(1, &ticket).await;
    let close = gateway.until(|said| matches!(said, Said::Close { .. })).await;
    assert_eq!(close, Said::Close { conn: 1, code: 4401, reason: "expired".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_join_that_its_token_does_not_allow_is_told_the_link_first() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let join = vec!["r".parse().unwrap()];
    gateway.client(1, &Ticket { grants: Grants::none(), join, ..relayed(None) }).await;
    assert_eq!(gateway.next().await, Said::Exit { conn: 1, room: "r".into(), why: Exit::Left });
    let left = gateway.sent(1).await;
    assert_eq!((&left["t"], &left["code"]), (&"left".into(), &"forbidden".into()));
}

/// As by a client that has its rights changed at its home again and again, while a further node lets it wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_change_very_often_while_a_client_waits_end_no_link() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    gateway.client(2, &relayed(None)).await;
    let ticket = Ticket { grants: Grants::none(), ..relayed(Some("ann")) };
    gateway.open(1, OpenAs::Further, &ticket);
    // Who is refused so much is heard more slowly.
    for id in 0..200 {
        gateway.frame(1, &publish("a", id));
    }
    let (none, some) = (seal(&ticket), seal(&Ticket { grants: only("b"), ..ticket.clone() }));
    let conn = ConnNo(1);
    for _ in 0..40 {
        for _ in 0..500 {
            gateway.say(&Up::Renew { conn, ticket: &none });
            gateway.say(&Up::Renew { conn, ticket: &some });
        }
        gateway.so_far().await;
    }
    gateway.frame(1, &publish("b", 1_000));
    let answer =
        gateway.until(|said| matches!(said, Said::Send { conn: 1, frame, .. } if frame["id"] == 1_000));
    let Said::Send { frame, .. } = answer.await else { unreachable!() };
    assert_eq!(frame["t"], "ok", "the last rights hold: {frame}");
    assert_eq!(gateway.ask(2, r#"{"t":"ping","id":1}"#).await["t"], "ok");
}
