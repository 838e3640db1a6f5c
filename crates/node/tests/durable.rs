//! Durable rooms on nodes over a real `nats-server` with JetStream: what clients are told and get.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use std::time::Duration;

use ringway_backplane::message::{LiveBody, LiveMessage, Publication};
use ringway_backplane::nats::{NatsSettings, connect};
use ringway_protocol::{Payload, RoomName, TenantId};
use ringway_ring::Slot;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};
use world::{Client, Here, World, publish, soon, until};

const CHAT: &str =
    "[tenants.acme]\n[stores.chat]\nmessages_per_room = 1_000\nage = \"1h\"\nbytes = \"100MiB\"\n";
const CLASS: &str = "[[classes]]\nrooms = \"chat.**\"\nstore = \"chat\"\n";

fn durable() -> String {
    format!("{CHAT}{CLASS}")
}

fn jetstream() -> NatsServer {
    NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() })
}

async fn start(nats: &NatsServer, config: &str, name: &str) -> Here {
    Here::over(connect(&NatsSettings::new(nats.url())).await.unwrap(), config, name).await
}

/// Nodes that see one another.
async fn nodes(nats: &NatsServer, config: &str, names: &[&str]) -> Vec<Here> {
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(start(nats, config, name).await);
    }
    for here in &nodes {
        let mut view = here.node.view();
        soon("a whole view", view.wait_for(|view| view.nodes().len() == names.len())).await.unwrap();
    }
    nodes
}

/// A room that this node owns.
fn room_of(here: &Here, class: &str) -> String {
    let (tenant, pool) = ("acme".parse().unwrap(), "shared".parse().unwrap());
    let view = here.node.view().borrow().clone();
    let mut names = (0..10_000).map(|number| format!("{class}.{number}"));
    let is_of = |name: &String| {
        let room: RoomName = name.parse().unwrap();
        view.owner(&pool, Slot::of_room(&tenant, &room)) == Some(here.node.id())
    };
    names.find(is_of).unwrap()
}

/// Joins, as often as it takes until the store is there; the result.
async fn join(client: &mut Client, room: &str, more: Value) -> Value {
    let mut frame = json!({ "t": "join", "room": room, "id": 900 });
    frame.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    soon("a place in a durable room", async {
        loop {
            let answer = client.ask(900, &frame.to_string()).await;
            if answer["t"] == "ok" {
                return answer["result"].clone();
            }
            assert_eq!(answer["code"], "unavailable", "{answer}");
        }
    })
    .await
}

/// The next `msg`; nothing but answers may come before it.
async fn msg(client: &mut Client) -> Value {
    loop {
        let frame = client.next().await;
        match frame["t"].as_str().unwrap() {
            "msg" => return frame,
            "ok" => {}
            _ => panic!("{frame}"),
        }
    }
}

async fn publish_ok(client: &mut Client, room: &str, id: u64) -> Value {
    let answer = client.ask(id, &publish(room, id)).await;
    assert_eq!(answer["t"], "ok", "{answer}");
    answer["result"].clone()
}

/// Publishes, and hears it: what it was told, and what came.
async fn publish_and_hear(client: &mut Client, room: &str, id: u64) -> (Value, Value) {
    client.say(&publish(room, id)).await;
    // Either may be first.
    let mut frames = [client.next().await, client.next().await];
    frames.sort_by_key(|frame| frame["t"] == "msg");
    let [told, heard] = frames;
    assert_eq!((&told["t"], &heard["data"]), (&json!("ok"), &json!(id)), "{told} {heard}");
    (told["result"].clone(), heard)
}

/// The position after a `msg`, in the epoch of a join's result.
fn since(joined: &Value, msg: &Value) -> Value {
    json!({ "since": { "epoch": joined["epoch"], "offset": msg["offset"], "ts": msg["ts"] } })
}

#[tokio::test]
async fn members_on_all_nodes_get_what_is_stored_in_one_order_and_it_is_acknowledged() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1", "n2"]).await;
    let room = room_of(&nodes[0], "chat");
    let mut at_owner = nodes[0].connect(Some("ann")).await;
    let mut elsewhere = nodes[1].connect(Some("bob")).await;
    let mut joins = Vec::new();
    for client in [&mut at_owner, &mut elsewhere] {
        joins.push(join(client, &room, json!({})).await);
    }
    assert!(joins.iter().all(|joined| joined["durable"] == true && joined["epoch"].is_string()), "{joins:?}");
    assert_eq!(joins[0]["epoch"], joins[1]["epoch"]);
    const EACH: u64 = 50;
    // All at once, so that they meet.
    at_owner.say_all((1..=EACH).map(|id| publish(&room, id))).await;
    elsewhere.say_all((101..=100 + EACH).map(|id| publish(&room, id))).await;
    let mut seen = Vec::new();
    for client in [&mut at_owner, &mut elsewhere] {
        let (mut heard, mut told) = (Vec::new(), Vec::new());
        while heard.len() < 2 * EACH as usize || told.len() < EACH as usize {
            let frame = client.next().await;
            match frame["t"].as_str().unwrap() {
                "msg" => heard.push(frame),
                "ok" => told.push(frame),
                _ => panic!("{frame}"),
            }
        }
        for pair in heard.windows(2) {
            assert_eq!(pair[1]["prev"], pair[0]["offset"], "{pair:?}");
        }
        for told in &told {
            let heard = heard.iter().find(|heard| heard["data"] == told["id"]).unwrap();
            assert_eq!(told["result"]["offset"], heard["offset"]);
            assert_eq!(told["result"]["epoch"], joins[0]["epoch"]);
        }
        seen.push(heard);
    }
    assert_eq!(seen[0], seen[1]);
    let of_one: Vec<u64> = seen[0].iter().map(|msg| msg["data"].as_u64().unwrap()).collect();
    for of in [1..=EACH, 101..=100 + EACH] {
        let of_sender: Vec<u64> = of_one.iter().copied().filter(|id| of.contains(id)).collect();
        assert!(of_sender.is_sorted(), "each sender's own in its order: {of_sender:?}");
    }
    // Elsewhere than at the owner: half of the deliveries.
    assert_eq!(nodes[1].metric("ringway_deliveries_total{place=\"elsewhere\"}"), 2 * EACH as i64);
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_wherever_it_comes() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1", "n2"]).await;
    let room = room_of(&nodes[0], "chat");
    let mut stays = nodes[0].connect(None).await;
    let mut goes = nodes[0].connect(None).await;
    join(&mut stays, &room, json!({})).await;
    let joined = join(&mut goes, &room, json!({})).await;
    for id in 1..=3 {
        publish_ok(&mut stays, &room, id).await;
    }
    let mut last = Value::Null;
    for _ in 1..=3 {
        last = msg(&mut goes).await;
    }
    drop(goes);
    for id in 4..=600 {
        stays.say(&publish(&room, id)).await;
    }
    for id in 4..=600 {
        stays.answer(id).await;
    }
    for node in &nodes {
        let mut back = node.connect(None).await;
        let again = join(&mut back, &room, since(&joined, &last)).await;
        assert_eq!((&again["resumed"], &again["offset"]), (&json!(true), &last["offset"]), "{again}");
        for id in 4..=600 {
            assert_eq!(msg(&mut back).await["data"], id);
        }
        publish_ok(&mut stays, &room, 601).await;
        assert_eq!(msg(&mut back).await["data"], 601);
        publish_ok(&mut stays, &room, 602).await;
        assert_eq!(msg(&mut back).await["data"], 602);
        // Both are missed by the next who comes back, too.
        break_here(&mut back).await;
    }
}

#[tokio::test]
async fn what_was_missed_comes_as_fast_as_it_is_taken_and_live_behind_it() {
    // Several times what may wait for a connection.
    const MISSED: u64 = 900;
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1"]).await;
    let mut publisher = nodes[0].connect(None).await;
    let joined = join(&mut publisher, "chat.1", json!({})).await;
    let (_, first) = publish_and_hear(&mut publisher, "chat.1", 1).await;
    publisher.ask(2, r#"{"t":"leave","room":"chat.1","id":2}"#).await;
    let word = "x".repeat(4_000);
    let publish =
        |id: u64| format!(r#"{{"t":"pub","room":"chat.1","id":{id},"event":"{id}","data":"{word}"}}"#);
    for id in 10..10 + MISSED {
        assert_eq!(publisher.ask(id, &publish(id)).await["t"], "ok");
    }
    let mut slow = nodes[0].connect(None).await;
    let since = since(&joined, &first);
    slow.say(&json!({ "t": "join", "room": "chat.1", "id": 900, "since": since["since"] }).to_string()).await;
    until("it is being sent", || nodes[0].metric("ringway_replayed_total") > 0).await;
    // Others go on, and so does the room.
    publisher.say_all((10 + MISSED..30 + MISSED).map(publish)).await;
    assert_eq!(publisher.answer(29 + MISSED).await["t"], "ok");
    assert!(nodes[0].metric("ringway_replayed_total") < MISSED as i64, "it takes nothing yet");
    assert_eq!(slow.next().await["result"]["resumed"], true);
    let mut prev = first["offset"].as_u64().unwrap();
    for id in 10..30 + MISSED {
        let heard = slow.next().await;
        assert_eq!((&heard["t"], &heard["event"]), (&json!("msg"), &json!(id.to_string())));
        let offset = heard["offset"].as_u64().unwrap();
        assert!(offset > prev);
        prev = offset;
    }
    assert_eq!(nodes[0].metric("ringway_gaps_total"), 0);
}

/// It has all that it is to get.
async fn break_here(client: &mut Client) {
    let pong = client.ask(77, r#"{"t":"ping","id":77}"#).await;
    assert_eq!(pong["t"], "ok");
}

#[tokio::test]
async fn a_position_of_the_future_or_another_epoch_is_not_resumed() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1"]).await;
    let mut client = nodes[0].connect(None).await;
    let joined = join(&mut client, "chat.1", json!({})).await;
    let (_, newest) = publish_and_hear(&mut client, "chat.1", 1).await;
    for (since, last) in [
        (json!({ "epoch": joined["epoch"], "offset": 1_000_000 }), 1),
        (json!({ "epoch": "00000000000a-0000000000000000-00000000", "offset": 1 }), 1),
    ] {
        let mut other = nodes[0].connect(None).await;
        let answer = join(&mut other, "chat.1", json!({ "since": since, "last": last })).await;
        assert_eq!((&answer["resumed"], &answer["newest"]), (&json!(false), &newest["offset"]), "{answer}");
        assert_eq!(msg(&mut other).await["data"], 1, "what `last` asked for");
    }
}

#[tokio::test]
async fn a_signal_passes_without_an_offset_and_is_kept_nowhere() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1", "n2"]).await;
    let room = room_of(&nodes[0], "chat");
    let mut clients = [nodes[0].connect(None).await, nodes[1].connect(None).await];
    for client in &mut clients {
        join(client, &room, json!({})).await;
    }
    for sender in 0..2 {
        let id = 10 + sender as u64;
        let signal = format!(r#"{{"t":"pub","room":"{room}","id":{id},"data":{id},"store":false}}"#);
        clients[sender].say(&signal).await;
        for (index, client) in clients.iter_mut().enumerate() {
            let mut frames = vec![client.next().await];
            if index == sender {
                // Its own may come before the answer.
                frames.push(client.next().await);
                let answer = frames.iter().position(|frame| frame["t"] == "ok").unwrap();
                let answer = frames.remove(answer);
                assert_eq!((&answer["id"], &answer["result"]["offset"]), (&json!(id), &Value::Null));
            }
            assert_eq!((&frames[0]["data"], &frames[0]["offset"]), (&json!(id), &Value::Null), "{frames:?}");
        }
    }
    let stored = publish_ok(&mut clients[0], &room, 1).await;
    assert!(stored["offset"].is_u64());
    let mut late = nodes[1].connect(None).await;
    join(&mut late, &room, json!({ "last": 10 })).await;
    let kept = msg(&mut late).await;
    assert_eq!((&kept["data"], &kept["offset"]), (&json!(1), &stored["offset"]), "nothing but that is kept");
}

#[tokio::test]
async fn a_signal_that_comes_by_two_subscriptions_is_delivered_once() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1"]).await;
    let mut client = nodes[0].connect(None).await;
    join(&mut client, "chat.1", json!({})).await;
    let other = connect(&NatsSettings::new(nats.url())).await.unwrap();
    let (tenant, room): (TenantId, RoomName) = ("acme".parse().unwrap(), "chat.1".parse().unwrap());
    let (group, slot) = ("shared".parse().unwrap(), Slot::of_room(&tenant, &room));
    let publication = |data: u64| Publication {
        signal: true,
        ..Publication::new(1, Payload::from_json(data.to_string().as_bytes()).unwrap())
    };
    // As while a node goes over from one subscription to another: some come by both.
    for (from, count) in [("n2", 6), ("n2", 7), ("n2", 6), ("n2", 7), ("n3", 7), ("n2", 8), ("n3", 7)] {
        let body = LiveBody::Signal(publication(count).into());
        let (from, tenant, room) = (from.parse().unwrap(), tenant.clone(), room.clone());
        let message = LiveMessage { from, count, tenant, room, body, traceparent: None };
        other.publish_live(&group, slot, &message).unwrap();
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&json!(8)) {
        heard.push(soon("a signal", msg(&mut client)).await["data"].clone());
    }
    assert_eq!(heard, [6, 7, 7, 8].map(|count| json!(count)));
    let next = soon("what comes next", publish_and_hear(&mut client, "chat.1", 9)).await;
    assert_eq!(next.1["data"], 9, "and nothing before it");
}

#[tokio::test]
async fn a_rooms_limits_hold_at_its_owner_whoever_asks() {
    let nats = jetstream();
    let config = format!("{}limits = {{ publish_per_second = 1, publish_burst = 5 }}\n", durable());
    let nodes = nodes(&nats, &config, &["n1", "n2"]).await;
    let room = room_of(&nodes[0], "chat");
    let mut client = nodes[1].connect(None).await;
    join(&mut client, &room, json!({})).await;
    client.say_all((1..=20).map(|id| publish(&room, id))).await;
    let mut answers = Vec::new();
    for id in 1..=20 {
        answers.push(client.answer(id).await);
    }
    let through = answers.iter().filter(|answer| answer["t"] == "ok").count();
    assert!((5..20).contains(&through), "{answers:?}");
    for refused in answers.iter().filter(|answer| answer["t"] == "err") {
        world::retry(refused);
    }
}

#[tokio::test]
async fn members_stay_when_their_room_becomes_durable_and_when_it_ceases_to_be() {
    let nats = jetstream();
    let ephemeral = format!("{CHAT}[[classes]]\nrooms = \"other.**\"\nstore = \"chat\"\n");
    let nodes = nodes(&nats, &ephemeral, &["n1"]).await;
    let mut clients = [nodes[0].connect(None).await, nodes[0].connect(None).await];
    // The store is there.
    join(&mut clients[0], "other.1", json!({})).await;
    clients[0].ask(1, r#"{"t":"leave","room":"other.1","id":1}"#).await;
    for client in &mut clients {
        client.join("chat.1").await;
    }
    publish_ok(&mut clients[0], "chat.1", 1).await;
    let mut last = String::new();
    for (round, config) in [durable(), ephemeral.clone(), durable()].into_iter().enumerate() {
        nodes[0].configure(&config);
        let mut epochs = Vec::new();
        for client in &mut clients {
            let gap = loop {
                let frame = client.next().await;
                if frame["t"] == "gap" {
                    break frame;
                }
                assert_eq!(frame["t"], "msg", "{frame}");
            };
            assert_eq!((&gap["reason"], &gap["room"]), (&json!("epoch"), &json!("chat.1")), "{gap}");
            epochs.push(gap["epoch"].as_str().unwrap().to_owned());
        }
        assert_eq!(epochs[0], epochs[1]);
        assert_ne!(epochs[0], last);
        last.clone_from(&epochs[0]);
        let id = 10 + round as u64;
        let published = publish_ok(&mut clients[0], "chat.1", id).await;
        assert_eq!(published["epoch"], last.as_str());
        let heard = msg(&mut clients[1]).await;
        assert_eq!((&heard["data"], &heard["offset"]), (&json!(id), &published["offset"]));
    }
    assert_eq!((nodes[0].metric("ringway_members"), nodes[0].metric("ringway_rooms")), (2, 1));
    drop(clients);
    nodes[0].until_nobody_is_here().await;
}

#[tokio::test]
async fn a_room_is_heard_while_it_has_members_and_a_little_longer_however_much_is_published_to_it() {
    let nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1", "n2"]).await;
    // At its owner, too, who stores what is published without hearing it again.
    let rooms = ["chat.here", "chat.there"].map(|class| room_of(&nodes[0], class));
    tokio::join!(heard_for_members(&nodes[0], &rooms[0]), heard_for_members(&nodes[1], &rooms[1]));
}

/// The only room of a node is published to all the time, and one member comes and goes.
async fn heard_for_members(here: &Here, room: &str) {
    let heard = || {
        let of = |grain| here.metric(&format!("ringway_subscriptions{{grain=\"{grain}\"}}"));
        ["room", "slot", "all"].map(of).iter().sum::<i64>()
    };
    let mut publisher = here.connect(None).await;
    let mut member = here.connect(None).await;
    soon("the store", async { while publisher.ask(1, &publish(room, 1)).await["t"] != "ok" {} }).await;
    assert_eq!(heard(), 0);
    join(&mut member, room, json!({})).await;
    assert_eq!(heard(), 1);
    drop(member);
    soon("nobody hears it", async {
        for id in 2.. {
            publish_ok(&mut publisher, room, id).await;
            if heard() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(here.metric("ringway_members"), 0);
}

#[tokio::test]
async fn what_a_full_store_refuses_is_told_as_that() {
    let nats = jetstream();
    let config = "[tenants.acme]\n[stores.small]\nbytes = \"4KiB\"\nwhen_full = \"refuse\"\n[[classes]]\n\
                  rooms = \"**\"\nstore = \"small\"\n";
    let nodes = nodes(&nats, config, &["n1"]).await;
    let mut client = nodes[0].connect(None).await;
    join(&mut client, "r", json!({})).await;
    let word = "x".repeat(1_000);
    let mut codes = Vec::new();
    for id in 1..=10 {
        let frame = format!(r#"{{"t":"pub","room":"r","id":{id},"data":"{word}"}}"#);
        let answer = client.ask(id, &frame).await;
        codes.push(answer["code"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!((codes[0].as_str(), codes[9].as_str()), ("ok", "storage_full"), "{codes:?}");
}

#[tokio::test]
async fn while_the_store_is_away_joins_and_publications_are_unavailable_and_after_it_all_goes_on() {
    let mut nats = jetstream();
    let nodes = nodes(&nats, &durable(), &["n1"]).await;
    let mut member = nodes[0].connect(None).await;
    join(&mut member, "chat.1", json!({})).await;
    publish_and_hear(&mut member, "chat.1", 1).await;
    nats.kill();
    let refused = soon("a refusal", async {
        for id in 100.. {
            let answer = member.ask(id, &publish("chat.1", id)).await;
            if answer["code"] == "unavailable" {
                return answer;
            }
            assert_eq!(answer["code"], "outcome_unknown", "{answer}");
        }
        unreachable!()
    })
    .await;
    assert_eq!(refused["retry"], 1_000, "{refused}");
    let mut other = nodes[0].connect(None).await;
    let answer = other.ask(1, r#"{"t":"join","room":"chat.2","id":1}"#).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("unavailable"), &json!(1_000)), "{answer}");
    // Nothing is left of it.
    let again = other.ask(2, r#"{"t":"leave","room":"chat.2","id":2}"#).await;
    assert_eq!(again["code"], "not_joined");
    assert_eq!(nodes[0].metric("ringway_members"), 1);
    nats.restart();
    join(&mut other, "chat.1", json!({})).await;
    let id = soon("publications go on", async {
        let mut id = 1_000;
        while member.ask(id, &publish("chat.1", id)).await["t"] != "ok" {
            id += 1;
        }
        id
    })
    .await;
    // What was said to be unknown before may have been stored.
    while msg(&mut other).await["data"] != id {}
}

#[tokio::test]
async fn without_a_store_that_could_keep_it_no_durable_room_is_joined() {
    let world = World::start(&durable()).await;
    let mut client = world.node().connect(None).await;
    let answer = client.ask(1, r#"{"t":"join","room":"chat.1","id":1}"#).await;
    assert_eq!((&answer["t"], &answer["code"]), (&json!("err"), &json!("unavailable")), "{answer}");
    let answer = client.ask(2, &publish("chat.1", 2)).await;
    assert_eq!((&answer["t"], &answer["code"]), (&json!("err"), &json!("unavailable")), "{answer}");
    // What is ephemeral is as ever.
    client.join("other").await;
    assert_eq!(world.node().metric("ringway_members"), 1);
}
