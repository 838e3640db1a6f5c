//! Connections come home: who belongs to another node is told to move, and who has stood for long enough.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_auth::Ticket;
use ringway_config::Placement;
use ringway_protocol::{RoomName, TenantId, UserId};
use ringway_ring::{KeyHash, NodeId, Slot, SlotTable};
use serde_json::Value;
use world::{Client, Here, World, soon, ticket, until};

const ACME: &str = "[tenants.acme]\n";

const MOVED: &str = "ringway_goaways_total{reason=\"moved\"}";
const LIFETIME: &str = "ringway_goaways_total{reason=\"lifetime\"}";
const MISPLACED: &str = "ringway_misplaced";

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A ticket with this home room; the room is joined with it.
fn at_home_in(room: &str, user: Option<&str>) -> Ticket {
    Ticket { room: Some(room.parse().unwrap()), ..ticket(user) }
}

/// A room that this one of n1 and n2 owns.
fn room_of(node: &str) -> String {
    let table = SlotTable::build(&["n1", "n2"].map(|node| (node.parse().unwrap(), 1)));
    let owner = |room: &String| table.owner(Slot::of_room(&acme(), &room.parse().unwrap())).unwrap().clone();
    (0..).map(|number| format!("r{number}")).find(|room| owner(room).as_str() == node).unwrap()
}

/// The owner of this key in the first node's view.
fn owner(world: &World, key: KeyHash) -> NodeId {
    let view = world.node().node.view().borrow().clone();
    view.owner(&"shared".parse().unwrap(), key.slot()).unwrap().clone()
}

/// Changes how connections come to where their rooms are, on all nodes.
fn place(world: &World, change: impl Fn(&mut Placement)) {
    for here in &world.nodes {
        here.configured.send_modify(|configured| change(&mut Arc::make_mut(configured).placement));
    }
}

async fn sees(here: &Here, nodes: usize) {
    soon("the others", here.node.view().wait_for(|view| view.nodes().len() == nodes)).await.unwrap();
}

/// The next frame of this type.
async fn next(client: &mut Client, kind: &str) -> Value {
    loop {
        let frame = client.next().await;
        if frame["t"] == kind {
            return frame;
        }
    }
}

#[tokio::test]
async fn whose_home_is_a_node_that_came_is_told_so_and_nobody_else() {
    let mut world = World::start(ACME).await;
    let mut clients = Vec::new();
    for number in 0..30 {
        // By room, by user, and by nothing that lasts.
        let (room, user) = (format!("r{number}"), format!("u{number}"));
        let by_room = KeyHash::of_room(&acme(), &room.parse::<RoomName>().unwrap());
        let by_user = KeyHash::of_user(&acme(), &user.parse::<UserId>().unwrap());
        let tickets = [
            (Some(by_room), at_home_in(&room, Some(&user))),
            (Some(by_user), ticket(Some(&user))),
            (None, ticket(None)),
        ];
        for (key, ticket) in tickets {
            clients.push((key, world.node().try_connect_with(&ticket).await.unwrap()));
        }
    }
    world.add(ACME, "n2", "shared").await;
    sees(world.node(), 2).await;
    let n2: NodeId = "n2".parse().unwrap();
    let (away, home): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|(key, _)| key.is_some_and(|key| owner(&world, key) == n2));
    assert!(!away.is_empty() && home.len() > 30, "{} of 90 move", away.len());
    let told = away.len() as i64;
    until("the misplaced are counted", || world.node().metric(MISPLACED) == told).await;
    for (_, mut client) in away {
        let goaway = next(&mut client, "goaway").await;
        assert_eq!((&goaway["after"], goaway["reason"].is_string()), (&0.into(), true), "{goaway}");
        client.reset();
    }
    until("nobody is misplaced", || world.node().metric(MISPLACED) == 0).await;
    assert_eq!(world.node().metric(MOVED), told);
    assert_eq!(world.nodes[1].metric(MOVED), 0);
    drop(home);
}

#[tokio::test]
async fn a_rate_of_nought_moves_nobody_until_it_is_changed() {
    let config = format!("{ACME}[placement]\nmoves_per_second = 0\n");
    let mut world = World::start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.node().try_connect_with(&at_home_in(&room_of("n2"), None)).await.unwrap());
    }
    world.add(&config, "n2", "shared").await;
    let view = world.nodes[1].node.view();
    let announced = || view.borrow().node(world.node().node.id()).map_or(0, |n1| n1.load.misplaced);
    until("the others know what is to be moved", || announced() == 20).await;
    assert_eq!(world.node().metric(MOVED), 0);
    let start = Instant::now();
    place(&world, |placement| placement.moves_per_second = 10);
    for client in &mut clients {
        next(client, "goaway").await;
    }
    // What is told in the first second was earned in it.
    assert!(start.elapsed() > Duration::from_millis(1_500), "20 at 10 a second in {:?}", start.elapsed());
    assert_eq!(world.node().metric(MOVED), 20);
    until("nobody is left to be told", || announced() == 0).await;
    assert_eq!(world.node().metric(MISPLACED), 20, "they are still here");
}

#[tokio::test]
async fn who_comes_back_here_since_its_home_cannot_be_reached_is_left_alone_for_a_while() {
    let mut world = World::start(ACME).await;
    let ticket = at_home_in(&room_of("n2"), None);
    let mut first = world.node().try_connect_with(&ticket).await.unwrap();
    world.add(ACME, "n2", "shared").await;
    next(&mut first, "goaway").await;
    let next_one = Ticket { conn: "again".parse().unwrap(), ..ticket };
    let mut again = world.node().try_connect_with(&next_one).await.unwrap();
    // So that all are looked at now, and not each in its turn.
    place(&world, |_| ());
    until("it is misplaced, too", || world.node().metric(MISPLACED) == 2).await;
    first.reset();
    until("it is alone", || world.node().metric(MISPLACED) == 1).await;
    assert_eq!(again.ask(1, r#"{"t":"ping","id":1}"#).await["t"], "ok");
    assert_eq!(world.node().metric(MOVED), 1);
    let view = world.nodes[1].node.view();
    let announced = || view.borrow().node(world.node().node.id()).map(|n1| n1.load.misplaced);
    until("nobody is to be told", || announced() == Some(0)).await;
}

#[tokio::test]
async fn a_tenant_s_connections_follow_it_to_another_pool_even_those_without_a_home() {
    let mut world = World::start(ACME).await;
    let moved = "[tenants.acme]\npool = \"own\"\ngroup = \"shared\"\n";
    world.add(moved, "n2", "own").await;
    sees(world.node(), 2).await;
    let mut clients = Vec::new();
    for number in 0..10 {
        let tickets = [at_home_in(&format!("r{number}"), None), ticket(Some("u")), ticket(None)];
        for ticket in tickets {
            clients.push(world.node().try_connect_with(&ticket).await.unwrap());
        }
    }
    let next_one = world.nodes[1].configured.borrow().clone();
    world.node().configured.send_replace(next_one);
    for client in &mut clients {
        next(client, "goaway").await;
    }
    assert_eq!(world.node().metric(MOVED), 30);
}

#[tokio::test]
async fn a_connection_ends_when_its_time_is_over_and_who_stays_is_closed() {
    let world = World::start(ACME).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.node().connect(None).await);
    }
    let lifetime = Duration::from_secs(4);
    place(&world, |placement| placement.connection_lifetime = Some(lifetime));
    for client in &mut clients {
        let goaway = next(client, "goaway").await;
        assert_eq!(goaway["after"], 0, "{goaway}");
    }
    // Its end was told to each: that a connection may stand for ever again comes too late for those.
    place(&world, |placement| placement.connection_lifetime = None);
    let mut young = world.node().connect(None).await;
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 1012);
    }
    assert_eq!(world.node().metric(LIFETIME), 20);
    assert_eq!(young.ask(1, r#"{"t":"ping","id":1}"#).await["t"], "ok");
}
