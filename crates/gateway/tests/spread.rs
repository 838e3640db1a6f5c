//! A room that is spread over several nodes: each client comes to one of them by its session, and comes back to it.

mod support;

use std::collections::BTreeMap;

use ringway_auth::{SessionKey, SessionToken};
use ringway_protocol::{PoolId, RoomName};
use ringway_ring::{KeyHash, NodeId, Spread};
use support::http::{Wire, ask, request, upgrade};
use support::node::Node;
use support::{CLUSTER_SECRET, OPEN, World, announcement, closed_port, now, tenant_id, ticket_key};

const CLIENTS: usize = 60;

/// Nodes `a` to `e`.
async fn five(world: &mut World) -> BTreeMap<NodeId, Node> {
    let mut nodes = BTreeMap::new();
    for name in ["a", "b", "c", "d", "e"] {
        let node = Node::start().await;
        nodes.insert(world.node(name, node.address()), node);
    }
    nodes
}

fn pool() -> PoolId {
    "shared".parse().expect("a pool")
}

fn key(room: &str) -> KeyHash {
    KeyHash::of_room(&tenant_id("default"), &room.parse::<RoomName>().expect("a room"))
}

/// The header of a client that goes on with this session.
fn back(session: &str) -> String {
    let token = SessionToken {
        session: session.parse().expect("an id"),
        tenant: tenant_id("default"),
        user: None,
        grants: ringway_auth::Grants::all(),
        expires: None,
        exp: now() + 600,
    };
    format!("Ringway-Session: {}", SessionKey::new(CLUSTER_SECRET).seal(&token))
}

/// A client comes; its session, and the node that it was brought to.
async fn come(
    world: &World,
    nodes: &BTreeMap<NodeId, Node>,
    room: &str,
    headers: &[&str],
) -> (String, NodeId) {
    let mut client = Wire::open(world.address()).await;
    client.send(upgrade(&format!("/v1/ws?room={room}"), headers)).await;
    let arrivals = nodes.iter().map(|(id, node)| Box::pin(async move { (id.clone(), node.take().await) }));
    let ((id, (ticket, _inside)), ..) = futures_util::future::select_all(arrivals).await;
    assert_eq!(client.answer().await.status, 101);
    (ticket.session.to_string(), id)
}

/// So many clients come; how many to which node. Each to its home, and to the same when it comes back.
async fn all_come(
    world: &World,
    nodes: &BTreeMap<NodeId, Node>,
    room: &str,
    over: u8,
) -> BTreeMap<NodeId, usize> {
    let view = world.view.borrow().clone();
    let mut counts = BTreeMap::new();
    for _ in 0..CLIENTS {
        let (session, node) = come(world, nodes, room, &[]).await;
        assert_eq!(Some(&node), view.home(&pool(), key(room), over, &session));
        let again = come(world, nodes, room, &[&back(&session)]).await;
        assert_eq!(again, (session, node.clone()));
        *counts.entry(node).or_default() += 1;
    }
    let homes: Vec<NodeId> = view.homes(&pool(), key(room), over).cloned().collect();
    assert!(counts.keys().all(|node| homes.contains(node)), "{counts:?} of {homes:?}");
    counts
}

#[tokio::test]
async fn what_its_class_spreads_has_its_clients_on_so_many_nodes() {
    let config = format!("{OPEN}[[classes]]\nrooms = \"stadium.**\"\nspread = 3\n");
    let mut world = World::start(&config).await;
    let nodes = five(&mut world).await;
    let counts = all_come(&world, &nodes, "stadium.1", 3).await;
    assert!(counts.len() == 3 && counts.values().all(|count| *count >= 2), "{counts:?}");
    assert_eq!(all_come(&world, &nodes, "booth.1", 1).await.len(), 1, "of another class");
}

#[tokio::test]
async fn what_its_owner_says_is_too_big_has_its_clients_on_so_many_nodes() {
    let mut world = World::start(OPEN).await;
    let nodes = five(&mut world).await;
    assert_eq!(all_come(&world, &nodes, "stadium", 1).await.len(), 1);
    let view = world.view.borrow().clone();
    let owner = view.owner(&pool(), key("stadium").slot()).expect("an owner").clone();
    let spread = Spread { key: key("stadium"), over: 2 };
    let says = announcement(owner.as_str(), nodes[&owner].address());
    world.announce(ringway_ring::Announcement { spreads: vec![spread], ..says });
    let counts = all_come(&world, &nodes, "stadium", 2).await;
    assert!(counts.len() == 2 && counts.values().all(|count| *count >= 6), "{counts:?}");
    assert!(counts.contains_key(&owner));
}

#[tokio::test]
async fn who_cannot_reach_its_home_comes_to_another_of_the_room_s() {
    let config = format!("{OPEN}[[classes]]\nrooms = \"**\"\nspread = 3\n");
    let mut world = World::start(&config).await;
    let mut nodes = five(&mut world).await;
    let view = world.view.borrow().clone();
    let lost = view.homes(&pool(), key("r"), 3).nth(1).expect("three homes").clone();
    nodes.remove(&lost);
    let gone = announcement(lost.as_str(), closed_port());
    world.announce(gone);
    let mut others = BTreeMap::new();
    for number in 0..40 {
        let session = format!("session-{number}");
        let (_, node) = come(&world, &nodes, "r", &[&back(&session)]).await;
        let homes = view.homes_of(&pool(), key("r"), 3, &session);
        if *homes[0] == lost {
            assert_eq!(node, *homes[1]);
            *others.entry(node).or_insert(0) += 1;
        } else {
            assert_eq!(node, *homes[0]);
        }
    }
    assert_eq!(others.len(), 2, "both have got some: {others:?}");
}

#[tokio::test]
async fn locate_names_the_home_of_the_session_that_its_ticket_goes_on_with() {
    let config = format!("{OPEN}[[classes]]\nrooms = \"**\"\nspread = 3\n");
    let mut world = World::start(&config).await;
    for name in ["a", "b", "c", "d", "e"] {
        let mut node = announcement(name, closed_port());
        node.public_url = Some(format!("ws://{name}.example"));
        world.announce(node);
    }
    let view = world.view.borrow().clone();
    let mut places = BTreeMap::new();
    for number in 0..30 {
        let session = format!("session-{number}");
        for headers in [vec![], vec![back(&session)]] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer =
                ask(world.address(), request("GET", "/v1/locate?room=r", &headers, b"")).await.json();
            let node = answer["node"].as_str().expect("a node").to_owned();
            let url = answer["url"].as_str().expect("a URL").to_owned();
            let ticket =
                url.strip_prefix(&format!("ws://{node}.example/v1/ws?ticket=")).expect("the node's own");
            let ticket = ticket_key().open(ticket, now()).expect("a good ticket");
            assert!(headers.is_empty() || ticket.session.as_str() == session);
            let home = view.home(&pool(), key("r"), 3, ticket.session.as_str());
            assert_eq!(home.map(NodeId::as_str), Some(&*node));
            *places.entry(node).or_insert(0) += 1;
        }
    }
    assert_eq!(places.len(), 3, "{places:?}");
}
