//! A gateway that holds the sockets: what a client sees of it, and what becomes of one that is slow.

mod support;

use std::time::Duration;

use ringway_config::ClientPath;
use ringway_edge::Frame;
use ringway_link::{Cast, ConnNo, Down, Exclude, OpenAs, Policy, RoomDeclared, RoomNo};
use ringway_protocol::RoomName;
use serde_json::json;
use socket2::SockRef;
use support::client::Client;
use support::linked::{Link, LinkNode, Said, at};
use support::{World, soon, tenant_id, until};

const OPEN: &str = "[gateway]\nauth = \"off\"\n";
const ROOM: RoomNo = RoomNo(3);
const EPOCH: &str = "0193f0c0-aa-1";
/// What figures of this test's clients are labelled with.
const OURS: &[&str] = &["part=\"gateway\"", "tenant=\"default\""];

async fn world(config: &str) -> (World, LinkNode) {
    let mut world = World::with(config, |settings, _| settings.path = ClientPath::Relay).await;
    let node = LinkNode::start().await;
    world.node("a", node.address());
    (world, node)
}

fn room() -> RoomName {
    "r".parse().expect("a room")
}

/// A client that has come in, and the link over which it did.
async fn client(world: &World, node: &LinkNode) -> (Client, Link, ConnNo) {
    let mut client = Client::ask(world, "/v1/ws?room=r").await;
    let mut link = node.link().await;
    let conn = admit(&mut client, &mut link).await;
    greet(&mut client, &link, conn).await;
    (client, link, conn)
}

async fn greet(client: &mut Client, link: &Link, conn: ConnNo) {
    link.send(conn, None, r#"{"t":"hello"}"#);
    assert_eq!(client.hear().await, json!({"t": "hello"}));
}

async fn admit(client: &mut Client, link: &mut Link) -> ConnNo {
    let (conn, _) = link.take(OpenAs::Home).await;
    client.is_in().await;
    assert_eq!(link.next().await, Said::Begin(conn));
    conn
}

fn declare(link: &Link, policy: Policy) {
    declare_slow(link, policy, 0);
}

/// With so many milliseconds that casts wait for others.
fn declare_slow(link: &Link, policy: Policy, flush_window: u32) {
    link.say(&Down::Room(RoomDeclared {
        number: ROOM,
        tenant: tenant_id("default"),
        room: room(),
        epoch: Some(EPOCH.parse().expect("an epoch")),
        policy,
        flush_window,
    }));
}

/// The client is in the room, by the server's own join.
fn enter(link: &Link, conn: ConnNo) {
    link.send(conn, None, r#"{"t":"joined"}"#);
    link.say(&Down::Enter { conn, room: ROOM, at: Some(at(ROOM, 0)), by_server: true });
}

fn cast(link: &Link, offset: u64, payload: &str, key: Option<&str>) {
    link.say(&Down::Cast(Cast {
        room: ROOM,
        offset: Some(offset),
        ts: 1_000 + offset,
        key: key.map(|key| key.parse().expect("a key")),
        but: Exclude::Nobody,
        json: Frame::text(payload.as_bytes()).encoded(),
        msgpack: &[],
    }));
}

#[tokio::test]
async fn frames_go_both_ways_and_either_side_may_end_it() {
    let (world, node) = world(OPEN).await;
    let (mut one, mut link, conn) = client(&world, &node).await;
    one.say(r#"{"t":"ping","id":7}"#).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: r#"{"t":"ping","id":7}"#.into() });
    declare(&link, Policy::DropOldest);
    enter(&link, conn);
    cast(&link, 1, "one", None);
    link.send(conn, None, r#"{"t":"ok","id":7}"#);
    assert_eq!(one.hear().await, json!({"t": "joined"}));
    assert_eq!(one.hear_text().await, "one");
    assert_eq!(one.hear().await, json!({"t": "ok", "id": 7}));
    one.close().await;
    assert_eq!(one.closed().await.0, 1000);
    assert_eq!(link.next().await, Said::Closed(conn));
    link.say(&Down::Ended { conn });

    let mut two = Client::ask(&world, "/v1/ws?room=r").await;
    let conn = admit(&mut two, &mut link).await;
    link.send(conn, None, r#"{"t":"hello"}"#);
    link.say(&Down::Close { conn, code: 4401, reason: "expired".into() });
    assert_eq!(two.hear().await, json!({"t": "hello"}));
    assert_eq!(two.closed().await, (4401, "expired".into()));
    assert_eq!(link.next().await, Said::Closed(conn));
    until("both ends are counted", || {
        let metrics = world.metrics();
        [
            "ringway_gateway_connections 0\n",
            "ringway_gateway_upgrades_total{outcome=\"relay\"} 2\n",
            "ringway_gateway_connections_closed_total{code=\"1000\"} 1\n",
            "ringway_gateway_connections_closed_total{code=\"4401\"} 1\n",
        ]
        .iter()
        .all(|line| metrics.contains(line))
    })
    .await;
}

#[tokio::test]
async fn what_a_client_sends_behind_its_upgrade_comes_after_it_has_begun() {
    let (world, node) = world(OPEN).await;
    let mut client = Client::ask(&world, "/v1/ws?room=r").await;
    client.say(r#"{"t":"ping","id":1}"#).await;
    let mut link = node.link().await;
    let conn = admit(&mut client, &mut link).await;
    greet(&mut client, &link, conn).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: r#"{"t":"ping","id":1}"#.into() });
}

#[tokio::test]
async fn a_node_that_refuses_is_passed_by_and_a_limit_is_told() {
    let (mut world, first) = world(OPEN).await;
    let second = LinkNode::start().await;
    world.node("b", second.address());
    let owner = |world: &World, id: &str| world.room_of("default", &id.parse().expect("an id"));
    let room = owner(&world, "a");
    let mut client = Client::ask(&world, &format!("/v1/ws?room={room}")).await;
    let mut link = first.link().await;
    let Said::Open { conn, .. } = link.next().await else { panic!("not an open") };
    link.say(&Down::Refused {
        conn,
        code: ringway_protocol::Code::Unavailable,
        detail: "it leaves".into(),
        retry: Some(1_000),
    });
    let mut other = second.link().await;
    admit(&mut client, &mut other).await;

    let mut client = Client::ask(&world, &format!("/v1/ws?room={}", owner(&world, "b"))).await;
    let Said::Open { conn, .. } = other.next().await else { panic!("not an open") };
    other.say(&Down::Refused {
        conn,
        code: ringway_protocol::Code::LimitConnections,
        detail: "the tenant has as many connections as it may".into(),
        retry: Some(5_000),
    });
    // As a browser can see it: a 101, then the reason.
    client.is_in().await;
    assert_eq!(client.closed().await, (1013, "limit_connections retry=5000".into()));
}

#[tokio::test]
async fn a_client_that_goes_before_its_node_answers_is_forgotten_there() {
    let (world, node) = world(OPEN).await;
    let client = Client::ask(&world, "/v1/ws?room=r").await;
    let mut link = node.link().await;
    let Said::Open { conn, .. } = link.next().await else { panic!("not an open") };
    drop(client);
    assert_eq!(link.next().await, Said::Closed(conn));
}

#[tokio::test]
async fn too_much_is_refused_here_and_goes_nowhere() {
    let limited = format!("{OPEN}[tenant_defaults.limits]\nconnection.publish_per_second = 1\n");
    let (world, node) = world(&limited).await;
    let (mut client, mut link, conn) = client(&world, &node).await;
    let publish = |id: u32| format!(r#"{{"t":"pub","id":{id},"event":"e","data":1}}"#);
    client.say(&publish(1)).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: publish(1) });
    client.say(&publish(2)).await;
    let refused = client.hear().await;
    assert_eq!(
        (&refused["t"], &refused["id"], &refused["code"]),
        (&json!("err"), &json!(2), &json!("limit_rate"))
    );
    assert_eq!(refused["room"], json!("r"), "its home room, which it didn't name");
    assert!(refused["retry"].as_u64().is_some_and(|retry| (1..=1_000).contains(&retry)), "{refused}");
    client.say(r#"{"t":"ping","id":3}"#).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: r#"{"t":"ping","id":3}"#.into() });
}

#[tokio::test]
async fn what_may_wait_for_others_comes_all_the_same_and_before_what_follows() {
    let (world, node) = world(OPEN).await;
    let (mut client, link, conn) = client(&world, &node).await;
    declare_slow(&link, Policy::DropOldest, 50);
    enter(&link, conn);
    cast(&link, 1, "one", None);
    cast(&link, 2, "two", None);
    assert_eq!(client.hear().await, json!({"t": "joined"}));
    assert_eq!(client.hear_text().await, "one");
    assert_eq!(client.hear_text().await, "two");
    cast(&link, 3, "three", None);
    link.send(conn, None, r#"{"t":"ok","id":7}"#);
    assert_eq!(client.hear_text().await, "three");
    assert_eq!(client.hear().await, json!({"t": "ok", "id": 7}));
}

/// Casts so much that a client which reads nothing is far behind, since its socket takes little; gives how many casts that
/// were.
async fn flood(client: &Client, link: &Link, key: impl Fn(u64) -> Option<String>) -> u64 {
    const CASTS: u64 = 300;
    SockRef::from(&client.wire.stream).set_recv_buffer_size(16 * 1024).expect("set");
    let filler = "x".repeat(16 * 1024);
    for offset in 1..=CASTS {
        cast(link, offset, &format!("{offset} {filler}"), key(offset).as_deref());
        if offset % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    CASTS
}

#[tokio::test]
async fn a_slow_client_misses_the_oldest_and_is_told() {
    let (world, node) = world(OPEN).await;
    let (mut client, mut link, conn) = client(&world, &node).await;
    declare(&link, Policy::DropOldest);
    enter(&link, conn);
    let casts = flood(&client, &link, |_| None).await;
    client.say("{}").await;
    assert!(matches!(link.next().await, Said::Frame { .. }), "the gateway has taken all of it");
    until("something was left out", || metric(&world, "ringway_slow_dropped_total", &[]) > 0).await;
    assert_eq!(client.hear().await, json!({"t": "joined"}));
    let (mut expected, mut lost) = (1, 0);
    while expected <= casts {
        let text = client.hear_text().await;
        if let Ok(gap) = serde_json::from_str::<serde_json::Value>(&text) {
            assert_eq!(
                (&gap["t"], &gap["reason"], &gap["room"]),
                (&json!("gap"), &json!("slow"), &json!("r"))
            );
            assert_eq!(gap["epoch"], json!(EPOCH));
            let offset = gap["offset"].as_u64().expect("an offset");
            assert_eq!(gap["ts"], json!(1_000 + offset));
            assert_eq!(gap["lost"], json!(offset - expected + 1));
            lost += offset - expected + 1;
            expected = offset + 1;
        } else {
            assert_eq!(text.split(' ').next(), Some(expected.to_string().as_str()));
            expected += 1;
        }
    }
    assert_eq!(metric(&world, "ringway_slow_dropped_total", OURS), lost);
    assert!(metric(&world, "ringway_slow_gaps_total", OURS) > 0);
}

#[tokio::test]
async fn of_values_a_slow_client_gets_the_newest_of_each_key() {
    let (world, node) = world(OPEN).await;
    let (mut client, mut link, conn) = client(&world, &node).await;
    declare(&link, Policy::Conflate);
    enter(&link, conn);
    let casts = flood(&client, &link, |offset| Some(format!("k{}", offset % 4))).await;
    client.say("{}").await;
    assert!(matches!(link.next().await, Said::Frame { .. }), "the gateway has taken all of it");
    assert_eq!(client.hear().await, json!({"t": "joined"}));
    let mut newest = std::collections::BTreeMap::new();
    while newest.values().max() != Some(&casts) {
        let text = client.hear_text().await;
        if let Some(offset) = text.split(' ').next().and_then(|offset| offset.parse::<u64>().ok()) {
            let before = newest.insert(offset % 4, offset);
            assert!(before < Some(offset), "{before:?}, then {offset}");
        }
    }
    let last = (casts - 3..=casts).map(|offset| (offset % 4, offset)).collect();
    assert_eq!(newest, last);
    assert!(metric(&world, "ringway_slow_conflated_total", OURS) > 0);
}

#[tokio::test]
async fn where_nothing_may_be_left_out_a_slow_client_is_closed() {
    let (world, node) = world(OPEN).await;
    let (mut client, mut link, conn) = client(&world, &node).await;
    declare(&link, Policy::Disconnect);
    enter(&link, conn);
    flood(&client, &link, |_| None).await;
    assert_eq!(link.next().await, Said::Closed(conn));
    let rest = client.wire.until_end().await;
    let close = [&[0x88, 15, 0x03, 0xF0], &b"Slow consumer"[..]].concat();
    assert!(rest.ends_with(&close), "{}", rest[rest.len().saturating_sub(40)..].escape_ascii());
    assert_eq!(metric(&world, "ringway_slow_closed_total", &["reason=\"full\"", OURS[0], OURS[1]]), 1);
}

#[tokio::test]
async fn a_node_is_told_what_has_left_and_not_before() {
    let (world, node) = world(OPEN).await;
    let (mut client, mut link, conn) = client(&world, &node).await;
    const FRAMES: usize = 40;
    let frame = "x".repeat(16 * 1024);
    let size = Frame::text(frame.as_bytes()).len();
    for _ in 0..FRAMES {
        link.send(conn, None, &frame);
    }
    // Its `hello` is among it.
    let sent = FRAMES * size + Frame::text(br#"{"t":"hello"}"#).len();
    let mut told = 0;
    for _ in 0..FRAMES {
        assert_eq!(client.hear_text().await.len(), frame.len());
    }
    while told + 16 * 1024 <= sent {
        let Said::Credit(of, bytes) = link.next().await else { panic!("not a credit") };
        assert_eq!(of, conn);
        told += bytes as usize;
    }
    assert!(told <= sent, "{told} of {sent}");
}

#[tokio::test]
async fn the_end_of_a_gateway_is_said_to_those_who_have_had_their_hello() {
    let (world, node) = world(OPEN).await;
    let (mut greeted, mut link, _) = client(&world, &node).await;
    let mut fresh = Client::ask(&world, "/v1/ws?room=r").await;
    admit(&mut fresh, &mut link).await;
    let ending = tokio::spawn(world.gateway.shutdown());
    let goaway = greeted.hear().await;
    assert_eq!((&goaway["t"], &goaway["after"]), (&json!("goaway"), &json!(0)));
    assert_eq!(greeted.closed().await, (1012, "the gateway restarts".into()));
    assert_eq!(fresh.closed().await, (1012, "the gateway restarts".into()));
    drop((greeted, fresh));
    soon("the end", ending).await.expect("no panic");
}

#[tokio::test]
async fn where_memory_runs_short_the_slowest_give_way() {
    let (world, node) = {
        let mut world = World::with(OPEN, |settings, _| {
            settings.path = ClientPath::Relay;
            settings.buffers = 256 * 1024;
        })
        .await;
        let node = LinkNode::start().await;
        world.node("a", node.address());
        (world, node)
    };
    let (mut client, mut link, conn) = client(&world, &node).await;
    declare(&link, Policy::DropOldest);
    enter(&link, conn);
    flood(&client, &link, |_| None).await;
    client.say("{}").await;
    assert!(matches!(link.next().await, Said::Frame { .. }), "the gateway has taken all of it");
    until("its queue was emptied", || metric(&world, "ringway_shed_total", &["kind=\"queues\""]) > 0).await;
    until("little waits", || metric(&world, "ringway_queued_bytes", OURS) < 64 * 1024).await;
}

/// The sum of a family's samples with these labels.
fn metric(world: &World, family: &str, labels: &[&str]) -> u64 {
    let metrics = world.metrics();
    let samples = metrics.lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(family) && labels.iter().all(|label| line.contains(label))
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
