//! Limits hold over all nodes: a room's at its owner, a tenant's by what nodes tell each other.

mod world;

use std::time::{Duration, Instant};

use ringway_backplane::Inbox;
use ringway_backplane::message::{Answer, Ask, Publication, Question, Request};
use ringway_protocol::payload::Payload;
use serde_json::Value;
use world::{Client, World, publish, retry, soon};

fn acme(limits: &str) -> String {
    format!("[tenants.acme]\nlimits = {{ {limits} }}\n")
}

#[tokio::test]
async fn a_rooms_limit_holds_for_what_enters_anywhere() {
    let class = "[[classes]]\nrooms = \"**\"\nlimits = { publish_per_second = 1, publish_burst = 10 }\n[tenants.acme]\n";
    let world = World::of(class, &["a", "b"]).await;
    let room = world.room_of(&world.nodes[0], "r");
    let mut member = world.nodes[1].connect(None).await;
    member.join(&room).await;
    let start = Instant::now();
    let mut through = Vec::new();
    let mut again = Duration::ZERO;
    for (here, first) in world.nodes.iter().zip([0, 100]) {
        let mut client = here.connect(None).await;
        client.say_all((first..first + 30).map(|id| publish(&room, id))).await;
        let mut answers = 0;
        while answers < 30 {
            let answer = client.next().await;
            answers += 1;
            match answer["t"].as_str() {
                Some("ok") => through.push(answer["id"].clone()),
                _ => again = retry(&answer),
            }
        }
    }
    let most = 10 + start.elapsed().as_secs() as usize + 1;
    assert!((10..=most).contains(&through.len()), "{} of {most}", through.len());
    assert_eq!(member.messages(through.len()).await, through, "what was accepted, in order");
    let mut client = world.nodes[1].connect(None).await;
    tokio::time::sleep(again).await;
    let id = 1_000;
    assert_eq!(
        client.ask(id, &publish(&room, id)).await["t"],
        "ok",
        "and it works after retry, from elsewhere too"
    );
    assert_eq!(member.messages(1).await, [Value::from(id)]);
}

#[tokio::test]
async fn a_rooms_limit_of_nought_says_nothing_of_coming_back_from_elsewhere_either() {
    let class = "[[classes]]\nrooms = \"**\"\nlimits = { publish_per_second = 0 }\n[tenants.acme]\n";
    let world = World::of(class, &["a", "b"]).await;
    let room = world.room_of(&world.nodes[0], "r");
    for here in &world.nodes {
        let refused = here.connect(None).await.ask(1, &publish(&room, 1)).await;
        assert_eq!(refused["code"], "limit_rate");
        assert!(refused["retry"].is_null(), "{refused}");
    }
}

#[tokio::test]
async fn a_tenants_connections_are_counted_together() {
    let world = World::of(&acme("connections = 4"), &["a", "b"]).await;
    let mut here: Vec<Client> = Vec::new();
    for _ in 0..3 {
        here.push(world.nodes[0].connect(None).await);
    }
    let mut view = world.nodes[1].node.view();
    let tenant = "acme".parse().unwrap();
    // A change of loads alone wakes nobody.
    soon("word of them", async {
        while view.borrow_and_update().connections_of(&tenant) < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let there = world.nodes[1].connect(None).await;
    let refusal = world.nodes[1].try_connect(None).await.err().unwrap();
    assert!(refusal.starts_with("HTTP/1.1 429 "), "{refusal}");
    here.pop();
    soon("word of the place", async {
        while world.nodes[1].try_connect(None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop((here, there));
    for node in &world.nodes {
        node.until_nobody_is_here().await;
    }
}

#[tokio::test]
async fn a_tenants_rate_is_shared() {
    const RATE: u64 = 200;
    let world = World::of(&acme("publish_per_second = 200, publish_burst = 20"), &["a", "b"]).await;
    let mut clients = Vec::new();
    for here in &world.nodes {
        clients.push(here.connect(None).await);
    }
    // What both together are let through in a time.
    let mut run = async |time: Duration| {
        let start = Instant::now();
        let mut through = 0_u64;
        let mut id = 0;
        while start.elapsed() < time {
            id += 1;
            for client in &mut clients {
                if client.ask(id, &publish("r", id)).await["t"] == "ok" {
                    through += 1;
                }
            }
        }
        (through, start.elapsed())
    };
    // Until each has heard of the other.
    run(Duration::from_secs(2)).await;
    let (through, took) = run(Duration::from_secs(3)).await;
    let whole = (took.as_secs_f64() * RATE as f64) as u64;
    assert!(through <= whole + whole / 4 + 20, "{through} of {whole}");
}

#[tokio::test]
async fn what_a_gateway_brings_is_held_against_room_and_tenant() {
    let config = format!(
        "[[classes]]\nrooms = \"r.**\"\nlimits = {{ publish_per_second = 1, publish_burst = 3 }}\n{}",
        acme("publish_per_second = 1, publish_burst = 5")
    );
    let world = World::start(&config).await;
    let gateway = world.hub.attach("gateway-1");
    let ask = async |room: &str, count: usize| {
        let publication = Publication::new(1, Payload::null());
        let publications = vec![publication; count];
        let (tenant, room) = ("acme".parse().unwrap(), room.parse().unwrap());
        let body = Question::Room { tenant, room, ask: Ask::Publish { publications } };
        let request = Request { from: "gateway-1".parse().unwrap(), body, traceparent: None };
        let to = Inbox { group: "shared".parse().unwrap(), node: "n1".parse().unwrap() };
        gateway.request(&to, &request, Duration::from_secs(10)).await.unwrap()
    };
    let Answer::Limited { published, retry_ms } = ask("r.1", 10).await else { panic!("unlimited") };
    assert_eq!(published.iter().map(|one| one.offset).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(retry_ms.is_some_and(|ms| (1..=1_000).contains(&ms)), "{retry_ms:?}");
    // The tenant has two left, or a little more.
    let Answer::Limited { published, .. } = ask("other", 10).await else { panic!("unlimited") };
    assert!((2..10).contains(&published.len()), "{published:?}");
    let mut client = world.node().connect(None).await;
    let refused = client.ask(1, &publish("another", 1)).await;
    retry(&refused);
}
