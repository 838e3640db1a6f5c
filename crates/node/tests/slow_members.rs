//! A member that doesn't read: what it loses by its room's class, and what it is told of that.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;

use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::{ClientFrame, GapReason, Join, ServerFrame};
use serde_json::{Value, json};
use support::{Client, Heard, House};

const CLASSES: &str = r#"
[[classes]]
rooms = "lossy.*"
slow_consumer = "drop_oldest"
replay = { messages = 200, age = "1h" }
[[classes]]
rooms = "prices.*"
slow_consumer = "conflate"
replay = { messages = 200, age = "1h" }
[[classes]]
rooms = "strict.*"
replay = { messages = 200, age = "1h" }
"#;

const PLENTY: u64 = 1 << 30;

/// How often a room's publications were heard, and what was told as lost. Whatever comes must be the next, or be told
/// before what follows it.
#[derive(Debug, Default)]
struct Course {
    at: u64,
    heard: u64,
    lost: u64,
    gaps: u64,
}

impl Course {
    fn from(at: u64) -> Self {
        Course { at, ..Course::default() }
    }

    fn take(&mut self, frame: &Value) {
        let offset = frame["offset"].as_u64().unwrap();
        match frame["t"].as_str().unwrap() {
            "msg" => {
                assert_eq!(offset, self.at + 1, "{frame}");
                self.heard += 1;
            }
            "gap" => {
                assert_eq!(frame["reason"], "slow");
                assert!(frame["ts"].as_u64().is_some_and(|ts| ts > 1_600_000_000_000), "{frame}");
                assert!(frame["epoch"].is_string());
                assert_eq!(frame["lost"].as_u64(), Some(offset - self.at), "{frame}");
                self.lost += offset - self.at;
                self.gaps += 1;
            }
            _ => panic!("{frame}"),
        }
        self.at = offset;
    }
}

fn no_key(_: usize) -> Option<String> {
    None
}

async fn answer(client: &mut Client, id: u64) -> Value {
    let frame = client.frame().await;
    assert_eq!((&frame["t"], &frame["id"]), (&json!("ok"), &json!(id)), "{frame}");
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_drop_oldest_room_the_oldest_go_and_it_is_told_how_many() {
    let house = House::start(CLASSES, PLENTY).await;
    let (mut slow, mut quick) = (house.client("acme").await, house.client("other").await);
    assert_eq!(slow.join("lossy.a", json!({})).await["offset"], 0);
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 3_000, 1_000, no_key).await;
    let queued = house.scrape().sum("ringway_queued_bytes", &["tenant=\"acme\""]);
    assert!((900_000.0..=1_048_576.0).contains(&queued), "{queued}");
    // Others go on, whatever waits for that one.
    quick.join("lossy.a", json!({})).await;
    house.client("other").await.publish("lossy.a", 100, 10, no_key).await;
    for offset in 1..=100 {
        assert_eq!(quick.frame().await["offset"], offset);
    }

    let mut course = Course::default();
    while course.at < 3_000 {
        course.take(&slow.frame().await);
    }
    assert!(course.lost > 1_000 && course.heard > 900, "{course:?}");
    let counted = |family: &str| house.scrape().sum(family, &["tenant=\"acme\""]);
    assert_eq!(counted("ringway_slow_dropped_total"), course.lost as f64);
    assert_eq!(counted("ringway_slow_gaps_total"), course.gaps as f64);
    assert_eq!(counted("ringway_slow_conflated_total"), 0.0);
    assert_eq!(house.scrape().sum("ringway_slow_dropped_total", &["tenant=\"other\""]), 0.0);
    house.until("ringway_queued_bytes", &["tenant=\"acme\""], |sum| sum == 0.0).await;
    drop((slow, quick, publisher));
    house.is_empty().await;
    assert_eq!(house.scrape().sum("ringway_slow_closed_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_lost_is_told_in_its_own_format() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client_of("acme", Format::Msgpack).await;
    let join = ClientFrame::Join(Join {
        id: Some(1),
        room: "lossy.a".parse().unwrap(),
        since: None,
        last: None,
        state: None,
    });
    slow.send_frame(&join).await;
    assert_eq!(slow.next_payload().await.unwrap().0, 0x82);
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 2_000, 1_000, no_key).await;
    house.until("ringway_slow_dropped_total", &[], |sum| sum > 0.0).await;
    let mut at = 0;
    loop {
        let (first, payload) = slow.next_payload().await.unwrap();
        assert_eq!(first, 0x82);
        match codec::decode_server(Format::Msgpack, &payload).unwrap().unwrap() {
            ServerFrame::Msg(msg) => {
                assert_eq!(msg.offset, Some(at + 1));
                at += 1;
            }
            ServerFrame::Gap(gap) => {
                assert_eq!((gap.reason, gap.lost), (GapReason::Slow, Some(gap.offset - at)));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_conflating_room_it_gets_the_newest_of_each_key_and_has_lost_nothing() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client("acme").await;
    slow.join("prices.eur", json!({})).await;
    let mut publisher = house.client("acme").await;
    let key = |number: usize| Some(format!("k{}", number % 10));
    publisher.publish("prices.eur", 3_000, 300, key).await;

    let (mut at, mut heard) = (0, 0);
    let mut newest = HashMap::new();
    while at < 3_000 {
        let frame = slow.frame().await;
        assert_eq!(frame["t"], "msg", "{frame}");
        let offset = frame["offset"].as_u64().unwrap();
        assert!(offset > at, "{frame} after {at}");
        at = offset;
        heard += 1;
        newest.insert(frame["key"].as_str().unwrap().to_owned(), offset);
    }
    let expected = (0..10).map(|key| (format!("k{key}"), 2_991 + key)).collect();
    assert_eq!(newest, expected);
    assert!(heard < 1_500, "{heard} of 3,000: most should have been replaced");
    let counted = |family: &str| house.scrape().sum(family, &["tenant=\"acme\""]);
    assert_eq!(counted("ringway_slow_conflated_total"), f64::from(3_000 - heard));
    assert_eq!(counted("ringway_slow_dropped_total"), 0.0);
    assert_eq!(counted("ringway_slow_gaps_total"), 0.0);
    drop((slow, publisher));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnecting_rooms_member_is_closed_and_counted() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client("acme").await;
    slow.join("strict.a", json!({})).await;
    let mut publisher = house.client("acme").await;
    publisher.publish("strict.a", 2_000, 1_000, no_key).await;
    let mut at = 0;
    let closed = loop {
        match slow.next().await {
            Heard::Frame(frame) => {
                assert_eq!(frame["offset"], at + 1);
                at += 1;
            }
            closed @ Heard::Closed(..) => break closed,
        }
    };
    assert_eq!(closed, Heard::Closed(1008, "Slow consumer".to_owned()));
    drop(slow);
    house.until("ringway_slow_closed_total", &["tenant=\"acme\"", "reason=\"full\""], |sum| sum == 1.0).await;
    assert_eq!(house.scrape().sum("ringway_slow_closed_total", &[]), 1.0);
    drop(publisher);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_behind_gets_the_answer_the_replay_and_then_what_follows() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.b", 150, 1_000, no_key).await;
    let mut slow = house.client("acme").await;
    slow.join("lossy.a", json!({})).await;
    publisher.publish("lossy.a", 1_500, 1_000, no_key).await;
    // Its queue is full of what may be left out: the join is answered all the same.
    slow.send(&[json!({"t": "join", "room": "lossy.b", "id": 2, "last": 100})]).await;
    house.until("ringway_members", &[], |sum| sum == 2.0).await;
    publisher.publish("lossy.b", 50, 1_000, no_key).await;

    let mut a = Course::default();
    let mut b = None;
    while a.at < 1_500 || b.as_ref().is_none_or(|b: &Course| b.at < 200) {
        let frame = slow.frame().await;
        match (frame["room"].as_str().unwrap(), &mut b) {
            ("lossy.a", _) => a.take(&frame),
            (_, Some(b)) => b.take(&frame),
            (_, none) => {
                assert_eq!((&frame["t"], &frame["id"]), (&json!("ok"), &json!(2)), "{frame}");
                *none = Some(Course::from(frame["result"]["offset"].as_u64().unwrap()));
            }
        }
    }
    assert!(a.lost > 0);
    assert_eq!(b.unwrap().heard, 150, "the newest of all were those of the joined room");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_answer_to_a_leave_nothing_of_the_room_comes() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client("acme").await;
    slow.join("lossy.a", json!({})).await;
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 1_500, 1_000, no_key).await;
    slow.send(&[json!({"t": "leave", "room": "lossy.a", "id": 2})]).await;
    house.until("ringway_members", &[], |sum| sum == 0.0).await;
    publisher.publish("lossy.a", 500, 1_000, no_key).await;
    slow.send(&[json!({"t": "ping", "id": 3})]).await;
    let mut course = Course::default();
    while course.at < 1_500 {
        course.take(&slow.frame().await);
    }
    assert!(course.lost > 0);
    answer(&mut slow, 2).await;
    answer(&mut slow, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_after_a_loss_resumes_from_what_it_was_told() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client("acme").await;
    let epoch = slow.join("lossy.a", json!({})).await["epoch"].clone();
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 1_500, 1_000, no_key).await;
    let mut course = Course::default();
    while course.gaps == 0 {
        course.take(&slow.frame().await);
    }
    drop(slow);
    let mut again = house.client("acme").await;
    let since = |offset| json!({"since": {"epoch": epoch, "offset": offset}});
    let result = again.join("lossy.a", since(course.at)).await;
    assert_eq!(result["resumed"], false, "the room keeps 200, and {} is long ago: {result}", course.at);
    let mut third = house.client("acme").await;
    let result = third.join("lossy.a", since(1_450)).await;
    assert_eq!(result["resumed"], true, "{result}");
    let mut course = Course::from(1_450);
    while course.at < 1_500 {
        course.take(&third.frame().await);
    }
    assert_eq!((course.heard, course.lost), (50, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_number_is_left_out_without_a_gap_and_counted() {
    let house = House::start(CLASSES, PLENTY).await;
    let mut slow = house.client("acme").await;
    slow.join("lossy.a", json!({})).await;
    let mut publisher = house.client("acme").await;
    publisher.publish("lossy.a", 10, 1_000, no_key).await;
    house.hub.cut("n1", true);
    // Once it is known to be away, this node's members get what is published here, without a number.
    loop {
        publisher.send(&[json!({"t": "pub", "room": "lossy.a", "data": 1, "id": 1})]).await;
        if publisher.frame().await["result"]["local"] == true {
            break;
        }
    }
    publisher.publish("lossy.a", 2_000, 1_000, no_key).await;
    publisher.publish("lossy.a", 1, 10, no_key).await;
    let (mut numbered, mut unnumbered) = (Course::default(), 0);
    loop {
        let frame = slow.frame().await;
        if frame["offset"].is_u64() {
            numbered.take(&frame);
            continue;
        }
        assert_eq!(frame["t"], "msg", "{frame}");
        unnumbered += 1;
        if frame["data"].as_str().is_some_and(|data| data.len() == 10) {
            break;
        }
    }
    let dropped = house.scrape().sum("ringway_slow_dropped_total", &["tenant=\"acme\""]);
    assert_eq!(dropped, f64::from(2_002 - unnumbered) + numbered.lost as f64);
    assert!(dropped > 500.0, "{dropped}");
}
