//! Limits, classes, keys and tenants change while a node runs: the new ones hold, and whoever is connected stays, but those
//! of a tenant that is gone.

#![allow(clippy::unwrap_used)]

mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_auth::{Alg, Claims, Grant, KeySpec, Right, TokenKeys, mint_hs256};
use ringway_backplane::message::{Answer, Ask, Question, Request};
use ringway_backplane::{Inbox, RequestError};
use ringway_node::Configured;
use serde_json::Value;
use world::{Client, Here, World, configured, publish, soon};

fn acme(limits: &str) -> String {
    format!("[tenants.acme]\nlimits = {{ {limits} }}\n")
}

/// Asks again until the answer is as it should be.
async fn until_answered(
    what: &str,
    client: &mut Client,
    frame: impl Fn(u64) -> String,
    is: impl Fn(&Value) -> bool,
) -> Value {
    soon(what, async {
        let mut id = 10_000;
        loop {
            id += 1;
            let answer = client.ask(id, &frame(id)).await;
            if is(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn is_ok(answer: &Value) -> bool {
    answer["t"] == "ok"
}

fn is_refused(code: &'static str) -> impl Fn(&Value) -> bool {
    move |answer| answer["code"] == code
}

#[tokio::test]
async fn limits_hold_for_who_is_here_when_they_change_and_nobody_is_closed() {
    let world = World::start(&acme("connections = 3")).await;
    let here = world.node();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(here.connect(None).await);
    }
    assert!(here.try_connect(None).await.is_err());
    here.configure(&acme("connections = 4, publish_per_second = 0"));
    clients.push(soon("a fourth place", next_place(here)).await);
    let no = is_refused("limit_rate");
    until_answered("a lower rate", &mut clients[0], |id| publish("r", id), &no).await;
    here.configure(&acme("connections = 1, rooms = 2"));
    until_answered("no rate", &mut clients[1], |id| publish("r", id), is_ok).await;
    assert!(here.try_connect(None).await.is_err(), "four are here, one may be");
    for client in &mut clients {
        client.join("one").await;
        client.join("two").await;
        let third = client.ask(1, r#"{"t":"join","room":"three","id":1}"#).await;
        assert_eq!(third["code"], "limit_rooms");
    }
    here.configure(&acme("connections = 1, rooms = 3"));
    let join = |id| format!(r#"{{"t":"join","room":"three","id":{id}}}"#);
    until_answered("one more room", &mut clients[2], join, is_ok).await;
}

async fn next_place(here: &Here) -> Client {
    loop {
        if let Ok(client) = here.try_connect(None).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn class(more: &str) -> String {
    format!("[[classes]]\nrooms = \"c.**\"\n{more}\n[tenants.acme]\n")
}

fn publish_keyed(room: &str, key: &str, id: u64) -> String {
    format!(r#"{{"t":"pub","room":"{room}","id":{id},"key":"{key}","data":{id}}}"#)
}

/// Joins from a position until it is resumed, or isn't; then leaves.
async fn until_resumed(here: &Here, room: &str, at: (&str, u64), resumed: bool) {
    let (epoch, offset) = at;
    soon("another way to resume", async {
        loop {
            let mut client = here.connect(None).await;
            let since = format!(r#"{{"epoch":"{epoch}","offset":{offset}}}"#);
            let join = format!(r#"{{"t":"join","room":"{room}","id":1,"since":{since}}}"#);
            let answer = client.ask(1, &join).await;
            assert_eq!(answer["result"]["epoch"], epoch, "{answer}");
            if answer["result"]["resumed"] == resumed {
                return;
            }
        }
    })
    .await;
}

/// What a newcomer that asks for the newest so many gets: their data.
async fn newest(here: &Here, room: &str, last: u32, count: usize) -> Vec<Value> {
    let mut client = here.connect(None).await;
    let answer = client.ask(1, &format!(r#"{{"t":"join","room":"{room}","id":1,"last":{last}}}"#)).await;
    assert_eq!(answer["t"], "ok", "{answer}");
    client.messages(count).await
}

#[tokio::test]
async fn rooms_get_their_class_anew_and_their_members_stay_in_the_same_epoch() {
    let world = World::of(&class(""), &["a", "b"]).await;
    let (owner, other) = (&world.nodes[0], &world.nodes[1]);
    let room = world.room_of(owner, "c");
    let mut members = [owner.connect(None).await, other.connect(None).await];
    for member in &mut members {
        member.join(&room).await;
    }
    let mut client = owner.connect(None).await;
    let first = client.ask(1, &publish_keyed(&room, "a", 1)).await;
    let epoch = first["result"]["epoch"].as_str().unwrap().to_owned();
    for (id, key) in [(2, "b"), (3, "a")] {
        assert!(is_ok(&client.ask(id, &publish_keyed(&room, key, id)).await));
    }
    for here in &world.nodes {
        until_resumed(here, &room, (&epoch, 1), true).await;
        assert_eq!(newest(here, &room, 10, 3).await, [1, 2, 3]);
    }

    // From all to the newest of each key: what was kept so far is gone, at both nodes.
    for here in &world.nodes {
        here.configure(&class("slow_consumer = \"conflate\""));
    }
    for here in &world.nodes {
        until_resumed(here, &room, (&epoch, 1), false).await;
        until_resumed(here, &room, (&epoch, 3), true).await;
    }
    for (id, key) in [(4, "a"), (5, "b"), (6, "a")] {
        assert!(is_ok(&client.ask(id, &publish_keyed(&room, key, id)).await));
    }
    for here in &world.nodes {
        assert_eq!(newest(here, &room, 1, 2).await, [5, 6]);
    }

    // And back, with limits and fewer kept.
    let limits = "replay = { messages = 1 }\nlimits = { publish_per_second = 0, members = 2 }";
    for here in &world.nodes {
        here.configure(&class(limits));
    }
    let no = is_refused("limit_rate");
    until_answered("a room's limit", &mut client, |id| publish_keyed(&room, "a", id), no).await;
    let full = other.connect(None).await.ask(1, &format!(r#"{{"t":"join","room":"{room}","id":1}}"#)).await;
    assert!(is_ok(&full) || full["code"] == "limit_connections", "{full}");
    for here in &world.nodes {
        here.configure(&class("replay = { messages = 1 }"));
    }
    let last = until_answered("no limit", &mut client, |id| publish_keyed(&room, "z", id), is_ok).await;
    let id = last["id"].as_u64().unwrap();
    until_resumed(owner, &room, (&epoch, last["result"]["offset"].as_u64().unwrap() - 2), false).await;
    assert_eq!(newest(owner, &room, 10, 1).await, [id]);

    // Nobody missed anything over all that, nor was told a gap.
    let published = last["result"]["offset"].as_u64().unwrap();
    for member in &mut members {
        for offset in 1..=published {
            let frame = member.next().await;
            assert_eq!((&frame["t"], &frame["offset"]), (&"msg".into(), &offset.into()), "{frame}");
        }
    }
}

#[tokio::test]
async fn a_removed_tenants_connections_are_closed_and_it_may_come_back() {
    const BOTH: &str = "[tenants.acme]\n[tenants.other]\n";
    let world = World::start(BOTH).await;
    let here = world.node();
    let mut acmes = Vec::new();
    for _ in 0..250 {
        let mut client = here.connect(None).await;
        client.join("r").await;
        acmes.push(client);
    }
    let mut other = here.try_connect_of("other", None).await.unwrap();
    here.configure("[tenants.other]\n");
    for client in &mut acmes {
        assert_eq!(client.closed().await, (4404, "unknown_tenant".into()));
    }
    let refusal = here.try_connect(None).await.err().unwrap();
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("retry-after"), "{refusal}");
    drop(acmes);
    world::until("only the other is here", || here.metric("ringway_connections") == 1).await;
    assert!(is_ok(&other.ask(1, &publish("r", 1)).await));
    here.configure(BOTH);
    let mut client = soon("the tenant's return", next_place(here)).await;
    client.join("r").await;
    assert!(is_ok(&client.ask(2, &publish("r", 2)).await));
    drop((client, other));
    here.until_nobody_is_here().await;
}

/// Whether the node answers in a group.
async fn probe(world: &World, group: &str) -> Result<Answer, RequestError> {
    let to = Inbox { group: group.parse().unwrap(), node: world.node().node.id().clone() };
    let request = Request { from: "a-test".parse().unwrap(), body: Question::Probe, traceparent: None };
    world.hub.attach("a test").request(&to, &request, Duration::from_secs(30)).await
}

#[tokio::test]
async fn a_tenant_that_comes_with_a_group_of_its_own_is_served_there() {
    let world = World::start("[tenants.acme]\n").await;
    assert_eq!(probe(&world, "late").await, Err(RequestError::NoResponders));
    world.node().configure("[tenants.acme]\n[tenants.late]\ngroup = \"late\"\n");
    soon("the tenant", async {
        while world.node().try_connect_of("late", None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(probe(&world, "late").await, Ok(Answer::Done), "before anybody is let in");
    let mut client = world.node().try_connect_of("late", None).await.unwrap();
    client.join("r").await;
    assert!(is_ok(&client.ask(1, &publish("r", 1)).await));
    let (tenant, room) = ("late".parse().unwrap(), "r".parse().unwrap());
    let body = Question::Room { tenant, room, ask: Ask::Members };
    let to = Inbox { group: "late".parse().unwrap(), node: world.node().node.id().clone() };
    let request = Request { from: "a-test".parse().unwrap(), body, traceparent: None };
    let answer = world.hub.attach("a test").request(&to, &request, Duration::from_secs(30)).await;
    assert!(matches!(answer, Ok(Answer::Members { count: 1, .. })), "{answer:?}");
}

#[tokio::test]
async fn a_node_listens_in_the_group_of_a_tenant_that_isnt_its_pools_while_somebody_of_it_is_here() {
    let world = World::start("[tenants.acme]\npool = \"own\"\n").await;
    assert_eq!(probe(&world, "own").await, Err(RequestError::NoResponders));
    let _client = world.node().connect(None).await;
    soon("the group", async {
        while probe(&world, "own").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn tokens_are_held_against_the_present_keys_and_connections_stand() {
    let keys = |secret: &[u8]| {
        let spec = KeySpec { alg: Alg::Hs256, kid: None, bytes: secret.to_vec() };
        let acme = "acme".parse::<ringway_protocol::TenantId>().unwrap();
        let keys = TokenKeys::new(acme.clone(), vec![spec]).unwrap();
        Configured { keys: Arc::new(HashMap::from([(acme, keys)])), ..configured("[tenants.acme]\n") }
    };
    let (one, two) =
        (b"one secret of thirty-two bytes...".as_slice(), b"two secret of thirty-two bytes...".as_slice());
    let auth = |secret: &[u8]| {
        let rights = [Right::Join, Right::Publish].into_iter().collect();
        let claims = Claims {
            tenant: Some("acme".parse().unwrap()),
            user: None,
            expires: 4_000_000_000,
            issued: None,
            grants: [Grant { rooms: "**".parse().unwrap(), rights }].into_iter().collect(),
            join: Vec::new(),
            info: None,
        };
        let token = mint_hs256(secret, &claims);
        move |id: u64| format!(r#"{{"t":"auth","id":{id},"token":"{token}"}}"#)
    };
    let world = World::start("[tenants.acme]\n").await;
    let here = world.node();
    let mut client = here.connect(None).await;
    here.configure_with(keys(one));
    until_answered("the first key", &mut client, auth(two), is_refused("token_invalid")).await;
    let answer = client.ask(1, &auth(one)(1)).await;
    assert!(is_ok(&answer), "{answer}");
    here.configure_with(keys(two));
    until_answered("the second key", &mut client, auth(two), is_ok).await;
    assert_eq!(client.ask(2, &auth(one)(2)).await["code"], "token_invalid");
    assert!(is_ok(&client.ask(3, &publish("r", 3)).await), "a refused token changes nothing");
}
