//! Memory for buffers runs short: the worst give way first, are told, and nobody else is harmed.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Client, Heard, House};
use tokio::sync::Mutex;

const CLASSES: &str = r#"
[[classes]]
rooms = "lossy.*"
slow_consumer = "drop_oldest"
replay = { messages = 0 }
[[classes]]
rooms = "strict.*"
replay = { messages = 0 }
[[classes]]
rooms = "kept.*"
replay = { messages = 10_000, age = "1h" }
"#;

/// Frames are counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

const BUDGET: u64 = 1_000_000;

/// Above this the worst give way, until there is no more than that.
const NEAR: f64 = 900_000.0;
const GOAL: f64 = 800_000.0;

fn no_key(_: usize) -> Option<String> {
    None
}

async fn hears(client: &mut Client, room: &str, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        let frame = client.frame().await;
        let (kind, of, at) = (&frame["t"], &frame["room"], &frame["offset"]);
        assert_eq!((kind, of, at), (&json!("msg"), &json!(room), &json!(offset)), "{frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_queue_goes_first_and_others_stay() {
    let _alone = ALONE.lock().await;
    let house = House::start(CLASSES, BUDGET).await;
    let (mut worst, mut slow, mut quick) =
        (house.client("worst").await, house.client("slow").await, house.client("slow").await);
    worst.join("strict.a", json!({})).await;
    slow.join("strict.b", json!({})).await;
    quick.join("strict.c", json!({})).await;
    house.client("worst").await.publish("strict.a", 600, 1_000, no_key).await;
    let queued =
        |tenant: &str| house.scrape().sum("ringway_queued_bytes", &[&format!("tenant=\"{tenant}\"")]);
    assert!(queued("worst") > 500_000.0, "{}", queued("worst"));
    assert_eq!(house.scrape().sum("ringway_shed_total", &[]), 0.0, "there was enough");

    let mut publisher = house.client("slow").await;
    publisher.publish("strict.b", 400, 1_000, no_key).await;
    house.until("ringway_shed_total", &["kind=\"queues\""], |sum| sum == 1.0).await;
    house.until("ringway_buffer_bytes", &[], |sum| sum < GOAL).await;
    let closed = loop {
        if let closed @ Heard::Closed(..) = worst.next().await {
            break closed;
        }
    };
    assert_eq!(closed, Heard::Closed(1008, "Slow consumer".to_owned()));
    drop(worst);
    house.until("ringway_slow_closed_total", &["tenant=\"worst\"", "reason=\"memory\""], |n| n == 1.0).await;
    // The others have all of theirs.
    publisher.publish("strict.c", 50, 1_000, no_key).await;
    hears(&mut quick, "strict.c", 1..=50).await;
    hears(&mut slow, "strict.b", 1..=400).await;
    assert_eq!(house.scrape().sum("ringway_slow_closed_total", &[]), 1.0);
    assert_eq!(house.scrape().sum("ringway_buffer_limit_bytes", &[]), BUDGET as f64);
    drop((slow, quick, publisher));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_left_out_is_and_the_connection_stays() {
    let _alone = ALONE.lock().await;
    let house = House::start(CLASSES, BUDGET).await;
    let mut members = Vec::new();
    for room in ["lossy.a", "lossy.b"] {
        let mut member = house.client("acme").await;
        member.join(room, json!({})).await;
        members.push((room, member));
    }
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 500, 1_000, no_key).await;
    publisher.publish("lossy.b", 500, 1_000, no_key).await;
    house.until("ringway_shed_total", &["kind=\"queues\""], |sum| sum >= 1.0).await;
    house.until("ringway_buffer_bytes", &[], |sum| sum < NEAR).await;
    for (room, member) in &mut members {
        publisher.publish(room, 1, 10, no_key).await;
        let mut at = 0;
        while at < 501 {
            let frame = member.frame().await;
            let offset = frame["offset"].as_u64().unwrap();
            let lost = if frame["t"] == "gap" { frame["lost"].as_u64().unwrap() } else { 1 };
            assert_eq!(offset, at + lost, "{frame}");
            at = offset;
        }
    }
    assert!(house.scrape().sum("ringway_slow_gaps_total", &[]) >= 1.0);
    assert_eq!(house.scrape().sum("ringway_slow_closed_total", &[]), 0.0);
    drop((members, publisher));
    house.is_empty().await;
}

async fn resumed(house: &House, room: &str, since: Value) -> (Value, Client) {
    let mut client = house.client("acme").await;
    let result = client.join(room, json!({ "since": since })).await;
    (result, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_replay_buffers_are_cut_and_who_comes_back_is_told() {
    let _alone = ALONE.lock().await;
    let house = House::start(CLASSES, BUDGET).await;
    let mut publisher = house.client("acme").await;
    let mut epochs = Vec::new();
    for room in ["kept.small", "kept.a", "kept.b"] {
        epochs.push(resumed(&house, room, json!({"epoch": "e", "offset": 0})).await.0["epoch"].clone());
    }
    publisher.publish("kept.small", 20, 1_000, no_key).await;
    publisher.publish("kept.a", 400, 1_000, no_key).await;
    assert_eq!(house.scrape().sum("ringway_shed_total", &[]), 0.0, "there was enough");
    let kept = house.scrape().sum("ringway_buffer_bytes", &["kind=\"replay\""]);
    assert!((450_000.0..550_000.0).contains(&kept), "{kept}");
    publisher.publish("kept.b", 440, 1_000, no_key).await;
    house.until("ringway_shed_total", &["kind=\"replay\""], |sum| sum >= 1.0).await;
    house.until("ringway_buffer_bytes", &[], |sum| sum < NEAR).await;

    let since = |epoch: &Value| json!({"epoch": epoch, "offset": 0});
    for (room, epoch) in ["kept.a", "kept.b"].into_iter().zip(&epochs[1..]) {
        let (result, _) = resumed(&house, room, since(epoch)).await;
        assert_eq!(result["resumed"], false, "{room}: {result}");
        assert!(result["oldest"].as_u64().unwrap() > 1, "{room}: {result}");
    }
    // What was cut begins later, and is whole from there on.
    let (result, mut client) = resumed(&house, "kept.b", json!({"epoch": epochs[2], "offset": 400})).await;
    assert_eq!(result["resumed"], true, "{result}");
    hears(&mut client, "kept.b", 401..=440).await;
    let (result, mut client) = resumed(&house, "kept.small", since(&epochs[0])).await;
    assert_eq!(result["resumed"], true, "{result}");
    hears(&mut client, "kept.small", 1..=20).await;
}
