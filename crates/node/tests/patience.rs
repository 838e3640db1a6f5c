//! A client that goes on regardless waits for its answers, and nobody else does.

mod world;

use std::time::{Duration, Instant};

use world::{Client, World, publish, retry};

fn acme(limits: &str) -> String {
    format!("[tenants.acme]\nlimits = {{ {limits} }}\n")
}

#[tokio::test]
async fn who_goes_on_before_retry_is_answered_then_and_in_order() {
    let world = World::start(&acme("connection = { publish_per_second = 1, publish_burst = 1 }")).await;
    let mut client = world.node().connect(None).await;
    let start = Instant::now();
    let ping = r#"{"t":"ping","id":4}"#.to_owned();
    client.say_all([publish("r", 1), publish("r", 2), publish("r", 3), ping]).await;
    // What is done is answered by the room, in between.
    let mut refused = Vec::new();
    while refused.len() < 3 {
        let answer = client.next().await;
        if answer["id"] == 1 {
            assert_eq!(answer["t"], "ok");
        } else {
            refused.push(answer);
        }
        if refused.len() == 2 {
            assert!(start.elapsed() >= retry(&refused[0]), "{:?} {refused:?}", start.elapsed());
        }
    }
    let ids: Vec<_> = refused.iter().map(|answer| answer["id"].as_u64()).collect();
    assert_eq!(ids, [Some(2), Some(3), Some(4)], "nothing overtakes what waits");
}

#[tokio::test]
async fn where_no_time_helps_all_but_the_first_wait() {
    let world = World::start(&acme("publish_per_second = 0")).await;
    let mut client = world.node().connect(None).await;
    let start = Instant::now();
    client.say_all((1..=3).map(|id| publish("r", id))).await;
    for id in 1..=3 {
        assert_eq!(client.next().await["id"], id);
        assert!(start.elapsed() >= Duration::from_secs(id - 1), "{id}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn refusals_of_any_kind_come_at_once_for_a_while_and_then_ten_a_second() {
    let world = World::start(&acme("rooms = 10")).await;
    let mut client = world.node().connect(None).await;
    let start = Instant::now();
    let call = |id: u64| format!(r#"{{"t":"call","room":"r","method":"m","data":1,"id":{id}}}"#);
    client.say_all((1..=30).map(call)).await;
    for id in 1..=30 {
        let refused = client.next().await;
        assert_eq!((&refused["code"], &refused["id"]), (&"no_worker".into(), &id.into()));
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn meanwhile_it_hears_what_others_say() {
    let world = World::start(&acme("connection = { publish_per_second = 1, publish_burst = 1 }")).await;
    let mut client = world.node().connect(None).await;
    client.join("r").await;
    client.say_all((1..=6).map(|id| publish("quiet", id))).await;
    let mut other = world.node().connect(None).await;
    assert_eq!(other.ask(100, &publish("r", 100)).await["t"], "ok");
    let mut seen = Vec::new();
    while seen.len() < 7 {
        let frame = client.next().await;
        seen.push(if frame["t"] == "msg" { 100 } else { frame["id"].as_u64().unwrap() });
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 100]);
}

#[tokio::test]
async fn ten_thousand_joins_in_one_write_have_one_answer_each() {
    let world = World::start(&acme("rooms = 10_000")).await;
    let mut client = world.node().connect(None).await;
    let (count, mut answered) = (10_000_usize, vec![false; 10_000]);
    client.say_all((0..count).map(join)).await;
    for _ in 0..count {
        let answer = client.next().await;
        assert_eq!(answer["t"], "ok");
        let id = answer["id"].as_u64().unwrap() as usize;
        assert!(!std::mem::replace(&mut answered[id], true), "{id} twice");
    }
    assert_eq!(world.node().metric("ringway_members"), 10_000);
    client.reset();
    world.node().until_nobody_is_here().await;
}

#[tokio::test]
async fn ten_thousand_joins_over_the_limit_harm_nobody_and_leave_nothing() {
    let world = World::start(&acme("rooms = 50, connections = 2")).await;
    let mut flood = world.node().connect(None).await;
    flood.say_all((0..10_000).map(join)).await;
    let mut other = world.node().connect(None).await;
    other.join("r").await;
    assert_eq!(other.ask(1, &publish("r", 1)).await["t"], "ok");
    let (mut joined, mut refused) = (0, 0);
    while joined < 50 || refused < 30 {
        match flood.next().await {
            ok if ok["t"] == "ok" => joined += 1,
            err => {
                assert_eq!(err["code"], "limit_rooms");
                refused += 1;
            }
        }
    }
    assert_eq!(joined, 50);
    assert_eq!(world.node().metric("ringway_members"), 51);
    flood.reset();
    other.reset();
    world.node().until_nobody_is_here().await;
    let _again: [Client; 2] = [world.node().connect(None).await, world.node().connect(None).await];
}

#[tokio::test]
async fn who_waits_for_its_answers_holds_up_no_shutdown() {
    let world = World::start(&acme("publish_per_second = 0")).await;
    let mut client = world.node().connect(None).await;
    client.say_all((0..1_000).map(|id| publish("r", id))).await;
    client.answer(0).await;
    for here in world.nodes {
        world::soon("the end", here.node.shutdown()).await;
    }
}

fn join(number: usize) -> String {
    format!(r#"{{"t":"join","room":"r{number}","id":{number}}}"#)
}
