//! What is over a rate is refused with word of when to come back, isn't done, and changes nothing for the rest.

mod world;

use serde_json::Value;
use world::{Client, World, publish, retry};

/// So slow that what is let through at once is all there is while a test runs, but for what it waits for.
const SLOW: &str = "publish_per_second = 1, publish_burst = 3";

fn acme(limits: &str) -> String {
    format!("[tenants.acme]\nlimits = {{ {limits} }}\n")
}

/// Publishes so many in one write; the answers in the order of their ids.
async fn publish_all(client: &mut Client, room: &str, ids: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    client.say_all(ids.clone().map(|id| publish(room, id))).await;
    let mut answers = Vec::new();
    while answers.len() < ids.clone().count() {
        let answer = client.next().await;
        if !answer["id"].is_null() {
            answers.push(answer);
        }
    }
    answers.sort_by_key(|answer| answer["id"].as_u64());
    let told: Vec<u64> = answers.iter().filter_map(|answer| answer["id"].as_u64()).collect();
    assert_eq!(told, ids.collect::<Vec<_>>(), "one answer each");
    answers
}

/// The ids of those that were published.
fn published(answers: &[Value]) -> Vec<Value> {
    answers.iter().filter(|answer| answer["t"] == "ok").map(|answer| answer["id"].clone()).collect()
}

/// Publishes more than there is room for, and once more when it was told to.
async fn over_and_again(world: &World, publisher: &mut Client) {
    let mut member = world.node().connect(None).await;
    member.join("r").await;
    let answers = publish_all(publisher, "r", 1..=5).await;
    let through = published(&answers);
    assert_eq!(through[..3], [1, 2, 3].map(Value::from)[..], "a burst");
    let refused = answers.iter().find(|answer| answer["t"] == "err").expect("one too many");
    assert_eq!(refused["room"], "r");
    tokio::time::sleep(retry(refused)).await;
    let again = publisher.ask(6, &publish("r", 6)).await;
    assert_eq!(again["t"], "ok", "{again}");
    let mut all = through;
    all.push(6.into());
    assert_eq!(member.messages(all.len()).await, all, "what was accepted, in order, and nothing else");
}

#[tokio::test]
async fn of_a_connection() {
    let world = World::start(&acme(&format!("connection = {{ {SLOW} }}"))).await;
    let (mut one, mut other) = (world.node().connect(Some("u")).await, world.node().connect(Some("u")).await);
    over_and_again(&world, &mut one).await;
    assert_eq!(published(&publish_all(&mut other, "r", 11..=13).await).len(), 3, "each has its own");
}

#[tokio::test]
async fn of_a_user_over_its_connections() {
    let world = World::start(&acme(&format!("user = {{ {SLOW} }}"))).await;
    let (mut one, mut other) = (world.node().connect(Some("u")).await, world.node().connect(Some("u")).await);
    over_and_again(&world, &mut one).await;
    let answers = publish_all(&mut other, "r", 11..=14).await;
    assert!(published(&answers).len() < 4, "{answers:?}");
    let mut another = world.node().connect(Some("v")).await;
    assert_eq!(published(&publish_all(&mut another, "r", 11..=13).await).len(), 3);
    let mut nobody = world.node().connect(None).await;
    assert_eq!(published(&publish_all(&mut nobody, "r", 11..=30).await).len(), 20);
}

#[tokio::test]
async fn of_a_tenant_over_its_users() {
    let world = World::start(&format!("{}\n[tenants.other]\n", acme(SLOW))).await;
    let (mut one, mut other) = (world.node().connect(Some("u")).await, world.node().connect(Some("v")).await);
    over_and_again(&world, &mut one).await;
    let answers = publish_all(&mut other, "r", 11..=14).await;
    assert!(published(&answers).len() < 4, "{answers:?}");
}

#[tokio::test]
async fn of_a_room_over_its_publishers() {
    let class = format!("[[classes]]\nrooms = \"r\"\nlimits = {{ {SLOW} }}\n[tenants.acme]\n");
    let world = World::start(&class).await;
    let (mut one, mut other) = (world.node().connect(None).await, world.node().connect(None).await);
    over_and_again(&world, &mut one).await;
    let answers = publish_all(&mut other, "r", 11..=14).await;
    assert!(published(&answers).len() < 4, "{answers:?}");
    assert_eq!(
        published(&publish_all(&mut other, "r2", 21..=40).await).len(),
        20,
        "other rooms have no limit"
    );
}

#[tokio::test]
async fn of_bytes_holds_for_whatever_is_sent() {
    let world = World::start(&acme("connection = { bytes_per_second = \"1KiB\" }")).await;
    let mut client = world.node().connect(None).await;
    client.join("r").await;
    let big = "x".repeat(40_000);
    let publication = |id| format!(r#"{{"t":"pub","room":"r","id":{id},"data":"{big}"}}"#);
    assert_eq!(client.ask(1, &publication(1)).await["t"], "ok");
    let refused = client.ask(2, &publication(2)).await;
    assert!(retry(&refused) > std::time::Duration::from_secs(1), "{refused}");
    // What still fits is done.
    assert_eq!(client.ask(3, r#"{"t":"ping","id":3}"#).await["t"], "ok");
    let words = "y".repeat(30_000);
    let refused = client.ask(4, &format!(r#"{{"t":"ping","id":4,"words":"{words}"}}"#)).await;
    retry(&refused);
    assert!(refused["room"].is_null(), "{refused}");
}

#[tokio::test]
async fn of_bytes_of_a_room() {
    let class = "[[classes]]\nrooms = \"r\"\nlimits = { bytes_per_second = \"1KiB\" }\n[tenants.acme]\n";
    let world = World::start(class).await;
    let mut client = world.node().connect(None).await;
    let big = "x".repeat(40_000);
    let publication = |id| format!(r#"{{"t":"pub","room":"r","id":{id},"data":"{big}"}}"#);
    assert_eq!(client.ask(1, &publication(1)).await["t"], "ok");
    retry(&client.ask(2, &publication(2)).await);
    assert_eq!(client.ask(3, &publish("r", 3)).await["t"], "ok");
}

#[tokio::test]
async fn nought_is_read_only_and_says_nothing_of_coming_back() {
    for limits in ["publish_per_second = 0", "connection = { publish_per_second = 0 }"] {
        let world = World::start(&acme(limits)).await;
        let mut client = world.node().connect(Some("u")).await;
        client.join("r").await;
        let refused = client.ask(1, &publish("r", 1)).await;
        assert_eq!(refused["code"], "limit_rate", "{refused}");
        assert!(refused["retry"].is_null(), "{refused}");
        client.join("r2").await;
    }
}

#[tokio::test]
async fn without_an_id_a_refusal_is_told_too() {
    let world = World::start(&acme("publish_per_second = 0")).await;
    let mut client = world.node().connect(None).await;
    client.say(r#"{"t":"pub","room":"r","data":1}"#).await;
    let refused = client.next().await;
    assert_eq!((&refused["code"], &refused["id"]), (&"limit_rate".into(), &Value::Null));
}

#[tokio::test]
async fn hello_tells_the_least_that_a_connection_may_publish() {
    for (limits, user, told) in [
        ("publish_per_second = 5", Some("u"), None),
        ("connection = { publish_per_second = 7 }", None, Some(7)),
        ("connection = { publish_per_second = 7 }, user = { publish_per_second = 3 }", Some("u"), Some(3)),
        ("connection = { publish_per_second = 7 }, user = { publish_per_second = 3 }", None, Some(7)),
    ] {
        let world = World::start(&acme(limits)).await;
        let mut client = Client::plain(world.node()).await;
        tokio::io::AsyncWriteExt::write_all(&mut client.0, &world::hop(user)).await.unwrap();
        client.head().await;
        let hello = client.next().await;
        assert_eq!(hello["limits"]["publish_per_second"].as_u64(), told, "{hello}");
    }
}
