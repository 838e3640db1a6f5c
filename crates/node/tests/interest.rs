//! What a node listens to follows its members, over a real `nats-server`, and they miss nothing when it changes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use ringway_backplane::nats::{NatsSettings, connect};
use ringway_protocol::RoomName;
use ringway_ring::Slot;
use ringway_testkit::nats::NatsServer;
use serde_json::Value;
use world::{Client, Here, publish, soon, until};

const CONFIG: &str = "[tenants.acme]\n";

/// Rooms of one slot that make it worth while.
const MANY: u64 = 8;

async fn start(nats: &NatsServer, name: &str) -> Here {
    Here::over(connect(&NatsSettings::new(nats.url())).await.unwrap(), CONFIG, name).await
}

async fn see_each_other(nodes: &[&Here]) {
    for here in nodes {
        let mut view = here.node.view();
        soon("a whole view", view.wait_for(|view| view.nodes().len() == nodes.len())).await.unwrap();
    }
}

/// Subscriptions to rooms, slots and everything.
fn grains(here: &Here) -> [i64; 3] {
    ["room", "slot", "all"].map(|grain| here.metric(&format!("ringway_subscriptions{{grain=\"{grain}\"}}")))
}

async fn becomes(here: &Here, wanted: [i64; 3]) {
    until(&format!("{wanted:?}"), || grains(here) == wanted).await;
}

/// A tag whose slot this node owns.
fn tag_of(here: &Here) -> String {
    let (tenant, pool) = ("acme".parse().unwrap(), "shared".parse().unwrap());
    let view = here.node.view().borrow().clone();
    let is_of = |tag: &String| {
        let room: RoomName = tag.parse().unwrap();
        view.owner(&pool, Slot::of_room(&tenant, &room)) == Some(here.node.id())
    };
    (0..).map(|number| format!("{{tag{number}}}")).find(is_of).unwrap()
}

/// Waits until all nodes' shards agree who numbers a room: what is published at either is of one epoch. What was published
/// for that has this number.
async fn agree(room: &str, at: &mut [&mut Client]) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut epochs = Vec::new();
        for client in &mut *at {
            epochs.push(client.ask(7, &publish(room, 7)).await["result"]["epoch"].clone());
        }
        if !epochs[0].is_null() && epochs.iter().all(|epoch| *epoch == epochs[0]) {
            return epochs.remove(0);
        }
        assert!(Instant::now() < deadline, "{epochs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes to these rooms, a few at a time, until it is told to stop; how many to each.
async fn publish_to(mut client: Client, rooms: Vec<String>, stop: tokio::sync::oneshot::Receiver<()>) -> u64 {
    tokio::pin!(stop);
    let mut count = 0;
    loop {
        count += 1;
        client.say_all(rooms.iter().map(|room| publish(room, count))).await;
        for _ in &rooms {
            let answer = client.next().await;
            assert_eq!(answer["t"], "ok", "{answer}");
        }
        if stop.as_mut().now_or_never().is_some() {
            return count;
        }
    }
}

/// Reads until each of these rooms has come so far, and checks that all of it came, once and in order.
async fn hears_all(client: &mut Client, rooms: &[String], last: u64) {
    let mut heard: HashMap<String, u64> = rooms.iter().map(|room| (room.clone(), 0)).collect();
    while heard.values().any(|heard| *heard < last) {
        let frame = client.next().await;
        assert_eq!(frame["t"], "msg", "{frame}");
        let (room, data) = (frame["room"].as_str().unwrap(), frame["data"].as_u64().unwrap());
        let heard = heard.get_mut(room).unwrap();
        assert_eq!(data, *heard + 1, "of {room}");
        *heard = data;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_elsewhere_miss_nothing_when_rooms_become_a_slot_and_rooms_again() {
    let nats = NatsServer::start();
    let (owner, other) = (start(&nats, "a").await, start(&nats, "b").await);
    see_each_other(&[&owner, &other]).await;
    let tag = tag_of(&owner);
    let room = |number: u64| format!("{tag}.{number}");
    // These have members elsewhere, and are published to all the time.
    let heard: Vec<String> = (0..3).map(room).collect();
    let mut member = other.connect(None).await;
    let (mut one, mut two) = (owner.connect(None).await, other.connect(None).await);
    for room in &heard {
        agree(room, &mut [&mut one, &mut two]).await;
        member.join(room).await;
    }
    becomes(&other, [3, 0, 0]).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publishing = tokio::spawn(publish_to(owner.connect(None).await, heard.clone(), stopped));
    let mut crowd = other.connect(None).await;
    for number in 3..MANY {
        crowd.join(&room(number)).await;
    }
    becomes(&other, [0, 1, 0]).await;
    let waited = other.metric("ringway_listens_total{waited=\"true\"}");
    crowd.join(&room(MANY)).await;
    assert_eq!(other.metric("ringway_listens_total{waited=\"true\"}"), waited, "it was heard already");
    assert!(other.metric("ringway_listens_total{waited=\"false\"}") >= 1);

    // Far more of the slot is for nobody there: it is left again, for a while.
    let unwanted: Vec<String> = (100..130).map(room).collect();
    let (enough, is_enough) = tokio::sync::oneshot::channel();
    let noise = tokio::spawn(publish_to(owner.connect(None).await, unwanted, is_enough));
    becomes(&other, [MANY as i64 + 1, 0, 0]).await;
    enough.send(()).unwrap();
    noise.await.unwrap();
    let received = || other.metric("ringway_backplane_received_total{wanted=\"true\"}");
    let before = received();
    until("publications go on being heard", || received() > before + 30).await;
    stop.send(()).unwrap();
    let last = publishing.await.unwrap();
    hears_all(&mut member, &heard, last).await;
    assert_eq!(other.metric("ringway_gaps_total"), 0);
    owner.node.shutdown().await;
    other.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_hears_everything_and_another_takes_its_part() {
    let nats = NatsServer::start();
    let first = start(&nats, "a").await;
    see_each_other(&[&first]).await;
    let mut client = first.connect(None).await;
    assert_eq!(grains(&first), [0, 0, 0], "nobody is in a room");
    let rooms: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    for room in &rooms {
        client.join(room).await;
        assert!(Instant::now() < deadline);
    }
    becomes(&first, [0, 0, 1]).await;
    let second = start(&nats, "b").await;
    see_each_other(&[&first, &second]).await;
    let (tenant, pool) = ("acme".parse().unwrap(), "shared".parse().unwrap());
    let view = first.node.view().borrow().clone();
    let slots: std::collections::HashSet<Slot> =
        rooms.iter().map(|room| Slot::of_room(&tenant, &room.parse().unwrap())).collect();
    let own = slots.iter().filter(|slot| view.owner(&pool, **slot) == Some(first.node.id())).count() as i64;
    // No two rooms of these names share a slot: each slot of the other's has one.
    assert_eq!(slots.len(), rooms.len());
    becomes(&first, [rooms.len() as i64 - own, own, 0]).await;
    let (mut here, mut there) = (first.connect(None).await, second.connect(None).await);
    for (room, id) in rooms.iter().zip(1_000..) {
        agree(room, &mut [&mut here, &mut there]).await;
        let answer = there.ask(id, &publish(room, id)).await;
        assert_eq!(answer["t"], "ok", "{answer}");
    }
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < rooms.len() {
        let messages = client.messages(1).await;
        heard.extend(messages.iter().filter_map(Value::as_u64).filter(|id| *id >= 1_000));
    }
    second.node.shutdown().await;
    see_each_other(&[&first]).await;
    becomes(&first, [0, 0, 1]).await;
    first.node.shutdown().await;
}
