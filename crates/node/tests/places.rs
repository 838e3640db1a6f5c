//! Places for connections and members: refused where there is none, and given back on every way out.

mod world;

use tokio::io::AsyncWriteExt;
use world::{Client, Here, World, hop, sealed, soon, ticket, upgrade};

fn acme(limits: &str) -> String {
    format!("[tenants.acme]\nlimits = {{ {limits} }}\n")
}

/// Fills all places, tries one more, and empties them.
async fn all_places_can_be_had(here: &Here, places: usize, user: Option<&str>) {
    let mut clients = Vec::new();
    soon("all places", async {
        while clients.len() < places {
            match here.try_connect(user).await {
                Ok(client) => clients.push(client),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(here.try_connect(user).await.is_err(), "more than {places}");
    clients.into_iter().for_each(Client::reset);
}

#[tokio::test]
async fn a_gateway_hears_that_no_other_node_would_take_it() {
    let world = World::start(&acme("connections = 1")).await;
    let _first = world.node().connect(None).await;
    let refusal = world.node().try_connect(None).await.err().unwrap();
    assert!(refusal.starts_with("HTTP/1.1 429 "), "{refusal}");
    assert!(refusal.contains("ringway-code: limit_connections\r\n"), "{refusal}");
    assert!(refusal.contains("ringway-retry: 5000\r\n"), "{refusal}");

    let world = World::start(&acme("user = { connections = 0 }")).await;
    let refusal = world.node().try_connect(Some("u")).await.err().unwrap();
    assert!(refusal.starts_with("HTTP/1.1 429 ") && !refusal.contains("ringway-retry"), "{refusal}");
    world.node().connect(None).await;
}

#[tokio::test]
async fn a_client_hears_it_by_a_close_code_and_may_use_its_ticket_later() {
    let world = World::start(&acme("connections = 1")).await;
    let first = world.node().connect(None).await;
    let request = |more: &str| upgrade(&format!("/v1/ws?ticket={}", sealed(None)), more);
    let ours = request("Sec-WebSocket-Protocol: ringway.v1.json\r\n");
    let mut client = Client::plain(world.node()).await;
    client.0.write_all(&ours).await.unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.closed().await, (1013, "limit_connections retry=5000".to_owned()));

    let mut plain = Client::plain(world.node()).await;
    plain.0.write_all(&request("")).await.unwrap();
    let head = plain.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: 5\r\n"), "{head}");

    first.reset();
    world.node().until_nobody_is_here().await;
    let mut client = Client::plain(world.node()).await;
    client.0.write_all(&ours).await.unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.next().await["t"], "hello");
}

#[tokio::test]
async fn of_a_tenant_and_of_a_user_each_alone() {
    for limits in ["connections = 3", "user = { connections = 3 }"] {
        let world = World::start(&acme(limits)).await;
        for _ in 0..3 {
            all_places_can_be_had(world.node(), 3, Some("u")).await;
        }
        world.node().until_nobody_is_here().await;
    }
    let world = World::start(&acme("connections = 3, user = { connections = 2 }")).await;
    let _ann = [world.node().connect(Some("ann")).await, world.node().connect(Some("ann")).await];
    assert!(world.node().try_connect(Some("ann")).await.is_err());
    let bob = world.node().connect(Some("bob")).await;
    assert!(world.node().try_connect(Some("eve")).await.is_err());
    bob.reset();
    all_places_can_be_had(world.node(), 1, Some("eve")).await;
}

#[tokio::test]
async fn are_given_back_by_whoever_never_became_a_connection() {
    let world = World::start(&acme("connections = 5")).await;
    for round in 0..200 {
        let mut client = Client::plain(world.node()).await;
        client.0.write_all(&hop(None)).await.unwrap();
        if round % 2 == 0 {
            // Gone before, or while, it is answered.
            client.reset();
        }
    }
    for _ in 0..20 {
        drop(world.node().node.door().admit(ticket(None)));
    }
    all_places_can_be_had(world.node(), 5, None).await;
    world.node().until_nobody_is_here().await;
}

#[tokio::test]
async fn within_the_process_a_place_is_held_until_the_connection_comes() {
    let world = World::start(&acme("connections = 1")).await;
    let door = world.node().node.door();
    let entry = door.admit(ticket(None)).ok().unwrap();
    let full = door.admit(ticket(None)).err().unwrap();
    assert_eq!((full.code.as_str(), full.retry.is_some()), ("limit_connections", true));
    assert!(world.node().try_connect(None).await.is_err());
    drop(entry);
    all_places_can_be_had(world.node(), 1, None).await;
}

#[tokio::test]
async fn all_come_back_after_a_reset_of_everybody_in_the_midst_of_joins() {
    let world = World::start(&acme("connections = 100, user = { connections = 100 }")).await;
    for _ in 0..3 {
        let mut clients = Vec::new();
        while clients.len() < 100 {
            if let Ok(client) = world.node().try_connect(Some("u")).await {
                clients.push(client);
            }
        }
        for client in &mut clients {
            client.say_all((0..20).map(|room| format!(r#"{{"t":"join","room":"r{room}"}}"#))).await;
        }
        clients.into_iter().for_each(Client::reset);
        world.node().until_nobody_is_here().await;
    }
    all_places_can_be_had(world.node(), 100, Some("u")).await;
}

#[tokio::test]
async fn of_members_in_a_room() {
    let class = "[[classes]]\nrooms = \"r\"\nlimits = { members = 2 }\n[tenants.acme]\n";
    let world = World::start(class).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(world.node().connect(None).await);
    }
    let join = r#"{"t":"join","room":"r","id":1}"#;
    for client in &mut clients[..2] {
        assert_eq!(client.ask(1, join).await["t"], "ok");
    }
    let refused = clients[2].ask(1, join).await;
    assert_eq!((&refused["code"], &refused["retry"]), (&"limit_connections".into(), &5_000.into()));
    assert_eq!(clients[2].ask(2, &world::publish("r", 2)).await["t"], "ok", "it needn't be in it to publish");
    assert_eq!(clients[0].ask(3, r#"{"t":"leave","room":"r","id":3}"#).await["t"], "ok");
    assert_eq!(clients[2].ask(4, r#"{"t":"join","room":"r","id":4}"#).await["t"], "ok");
    assert_eq!(clients[0].ask(5, r#"{"t":"join","room":"r","id":5}"#).await["t"], "err");
    clients.into_iter().for_each(Client::reset);
    world.node().until_nobody_is_here().await;

    let none = World::start("[[classes]]\nrooms = \"r\"\nlimits = { members = 0 }\n[tenants.acme]\n").await;
    let refused = none.node().connect(None).await.ask(1, join).await;
    assert_eq!(refused["code"], "limit_connections");
    assert!(refused["retry"].is_null(), "{refused}");
}
