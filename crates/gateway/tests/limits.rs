//! Who is over a limit hears so at once, by status or close code, with the time to come back; and nobody else pays.

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ringway_gateway::{LocalNode, Refusal};
use ringway_protocol::{Code, close};
use ringway_ring::TenantUse;
use support::http::{Answer, Wire, ask, upgrade};
use support::node::Node;
use support::{Inside, JWT, World, announcement, closed_port, soon, tenant_id, token};

const OURS: &str = "Sec-WebSocket-Protocol: ringway.v1.json";

/// Authentication off, and these limits for everybody.
fn limited(limits: &str) -> String {
    format!("[gateway]\nauth = \"off\"\n[tenant_defaults.limits]\n{limits}\n")
}

/// A gateway with one node that takes whoever comes.
async fn with_node(config: &str) -> World {
    let mut world = World::start(config).await;
    let node = Node::start().await;
    world.node("a", node.address());
    tokio::spawn(async move {
        let mut here = Vec::new();
        loop {
            here.push(node.arrival().await.accept().await);
        }
    });
    world
}

/// An upgrade without a subprotocol, and its connection while that is held.
async fn plain(world: &World, target: &str) -> (Wire, Answer) {
    let mut wire = Wire::open(world.address()).await;
    wire.send(upgrade(target, &[])).await;
    let answer = wire.answer().await;
    (wire, answer)
}

/// An upgrade of who is refused after the 101: code and reason of the close.
async fn browser(world: &World, target: &str) -> (u16, String) {
    let mut wire = Wire::open(world.address()).await;
    wire.send(upgrade(target, &[OURS])).await;
    assert_eq!(wire.answer().await.status, 101);
    wire.close_frame().await
}

/// Looks whether a refusal says when to come back in all the places where it is said, and gives the milliseconds.
fn retry(answer: &Answer) -> u64 {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let retry = body["retry"].as_u64().expect("a time");
    let header = answer.header("retry-after").expect("Retry-After").parse::<u64>().expect("seconds");
    assert_eq!(header, retry.div_ceil(1_000));
    retry
}

#[tokio::test]
async fn connections_that_are_opened_too_fast_are_told_to_come_later() {
    for limits in [
        "connects_per_second = 1\nconnects_burst = 2",
        "user.connects_per_second = 1\nuser.connects_burst = 2",
    ] {
        let world = with_node(&limited(limits)).await;
        let (_first, first) = plain(&world, "/v1/ws?user=ann").await;
        let (_second, second) = plain(&world, "/v1/ws?user=ann").await;
        assert_eq!((first.status, second.status), (101, 101), "{limits}");
        let (_, third) = plain(&world, "/v1/ws?user=ann").await;
        assert_eq!((third.status, third.code().as_str()), (429, "limit_rate"), "{limits}");
        assert!((1..=1_000).contains(&retry(&third)), "{third:?}");
        let (code, reason) = browser(&world, "/v1/ws?user=ann").await;
        assert_eq!((code, reason.split(' ').next()), (1013, Some("limit_rate")));
        assert!(close::retry_hint(&reason).is_some(), "{reason}");
        assert!(
            world
                .metrics()
                .contains("ringway_gateway_limited_total{code=\"limit_rate\",tenant=\"default\"} 2\n")
        );
        assert!(world.metrics().contains("ringway_gateway_upgrades_total{outcome=\"limit_rate\"} 2\n"));
    }
}

#[tokio::test]
async fn after_the_time_that_was_told_one_is_let_in() {
    let world = with_node(&limited("user.connects_per_second = 1")).await;
    let (_first, first) = plain(&world, "/v1/ws?user=ann").await;
    assert_eq!(first.status, 101);
    let (_, second) = plain(&world, "/v1/ws?user=ann").await;
    tokio::time::sleep(Duration::from_millis(retry(&second))).await;
    let (_third, third) = plain(&world, "/v1/ws?user=ann").await;
    assert_eq!(third.status, 101);
}

#[tokio::test]
async fn one_tenants_flood_is_nothing_to_another() {
    let world = with_node(&limited("connects_per_second = 1")).await;
    let (_here, first) = plain(&world, "/v1/ws?tenant=loud").await;
    assert_eq!(first.status, 101);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(plain(&world, "/v1/ws?tenant=loud").await.1.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let (_here, other) = plain(&world, "/v1/ws?tenant=quiet").await;
    assert_eq!(other.status, 101);
}

#[tokio::test]
async fn a_bad_token_costs_its_tenant_no_place() {
    let world = with_node(&format!("{JWT}limits = {{ connects_per_second = 1 }}\n")).await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let good = token("ann", &[]);
    for _ in 0..20 {
        let forged = ask(world.address(), upgrade("/v1/ws", &[&bearer(&format!("{good}x"))])).await;
        assert_eq!(forged.status, 401);
    }
    let mut wire = Wire::open(world.address()).await;
    wire.send(upgrade("/v1/ws", &[&bearer(&good)])).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(ask(world.address(), upgrade("/v1/ws", &[&bearer(&good)])).await.code(), "limit_rate");
}

#[tokio::test]
async fn a_tenants_connections_are_those_on_all_nodes() {
    let mut world = with_node(&limited("connections = 5")).await;
    let told = |id: &str, at: String, connections| {
        let used = TenantUse { connections, ..TenantUse::none(tenant_id("default")) };
        ringway_ring::Announcement { tenants: vec![used], ..announcement(id, at) }
    };
    let at = world.view.borrow().nodes().next().expect("a node").advertise.clone();
    world.announce(told("a", at.clone(), 2));
    world.announce(told("b", closed_port().to_string(), 2));
    let (_here, fifth) = plain(&world, "/v1/ws").await;
    assert_eq!(fifth.status, 101);
    world.announce(told("a", at.clone(), 3));
    let (_, sixth) = plain(&world, "/v1/ws").await;
    assert_eq!((sixth.status, sixth.code().as_str()), (503, "limit_connections"));
    assert!((5_000..=10_000).contains(&retry(&sixth)), "{sixth:?}");
    let (code, reason) = browser(&world, "/v1/ws").await;
    assert_eq!((code, reason.split(' ').next()), (1013, Some("limit_connections")));
    assert!(close::retry_hint(&reason).is_some(), "{reason}");
    let (_other, other) = plain(&world, "/v1/ws?tenant=other").await;
    assert_eq!(other.status, 101);
    // Lowered below what is used, it cuts nobody, and lets nobody in until fewer are left.
    world.directory.send_replace(support::directory(&limited("connections = 2")));
    for (left, status) in [(3, 503), (1, 503), (0, 101)] {
        world.announce(told("a", at.clone(), left));
        world.announce(told("b", closed_port().to_string(), 1));
        let (_here, answer) = plain(&world, "/v1/ws").await;
        assert_eq!(answer.status, status, "{left} and 1 are left");
    }
}

#[tokio::test]
async fn nought_lets_nobody_in_and_tells_nobody_to_come_back() {
    for (limits, status, code) in [
        ("connections = 0", 503, "limit_connections"),
        ("connects_per_second = 0", 429, "limit_rate"),
        ("user.connects_per_second = 0", 429, "limit_rate"),
    ] {
        let world = with_node(&limited(limits)).await;
        let (_, refused) = plain(&world, "/v1/ws?user=ann").await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
        assert_eq!(refused.header("retry-after"), None);
        assert!(!String::from_utf8_lossy(&refused.body).contains("retry"));
        assert_eq!(browser(&world, "/v1/ws?user=ann").await, (1013, code.to_owned()));
    }
}

/// A refusal as a node answers it on the hop.
fn no(code: &str, retry: Option<u64>) -> String {
    let retry = retry.map_or_else(String::new, |retry| format!("Ringway-Retry: {retry}\r\n"));
    format!("HTTP/1.1 429 Too Many Requests\r\nRingway-Code: {code}\r\n{retry}Content-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn what_a_node_says_of_a_limit_reaches_the_client_and_no_other_node_is_asked() {
    let mut world = World::start(support::OPEN).await;
    let (full, other) = (Node::start().await, Node::start().await);
    let id = world.node("full", full.address());
    world.node("other", other.address());
    let target = format!("/v1/ws?room={}", world.room_of("default", &id));
    let answer = async |text: String| {
        let mut arrival = full.arrival().await;
        arrival.wire.send(text).await;
        arrival
    };
    let ((_, refused), _arrival) =
        tokio::join!(plain(&world, &target), answer(no("limit_connections", Some(2_500))));
    assert_eq!((refused.status, refused.code().as_str()), (503, "limit_connections"));
    assert_eq!(retry(&refused), 2_500);
    let (closed, _arrival) =
        tokio::join!(browser(&world, &target), answer(no("limit_connections", Some(2_500))));
    assert_eq!(closed, (1013, "limit_connections retry=2500".to_owned()));
    let ((_, refused), _arrival) = tokio::join!(plain(&world, &target), answer(no("limit_rate", None)));
    assert_eq!((refused.status, refused.code().as_str()), (429, "limit_rate"));
    assert_eq!(refused.header("retry-after"), None);
    other.assert_alone().await;
    assert!(world.metrics().contains("ringway_gateway_route_attempts_total{outcome=\"limited\"} 3\n"));
    // A 429 that says nothing of the kind is a node's that doesn't want the connection.
    let bare = "HTTP/1.1 429 Too Many Requests\r\n\r\n".to_owned();
    let ((_here, taken), _arrival, _inside) =
        tokio::join!(plain(&world, &target), answer(bare), async { other.arrival().await.accept().await });
    assert_eq!(taken.status, 101);
}

#[tokio::test]
async fn what_a_node_of_this_process_says_of_a_limit_does_too() {
    let (taken, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let refusal = Refusal { code: Code::LimitConnections, retry: Some(Duration::from_millis(2_500)) };
    let inside = Arc::new(Inside {
        id: "in".parse().expect("an id"),
        accepting: AtomicBool::new(true),
        refusing: std::sync::Mutex::new(Some(refusal)),
        taken,
    });
    let local: Arc<dyn LocalNode> = Arc::clone(&inside) as _;
    let mut world = World::with(support::OPEN, |_, parts| parts.local.push(local)).await;
    let outside = Node::start().await;
    let id = world.node("in", closed_port());
    world.node("out", outside.address());
    let target = format!("/v1/ws?room={}", world.room_of("default", &id));
    let (_, refused) = plain(&world, &target).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "limit_connections"));
    assert_eq!(retry(&refused), 2_500);
    assert_eq!(browser(&world, &target).await, (1013, "limit_connections retry=2500".to_owned()));
    outside.assert_alone().await;
    *inside.refusing.lock().expect("not poisoned") = None;
    let (_here, taken) = plain(&world, &target).await;
    assert_eq!(taken.status, 101);
    soon("the socket", arrivals.recv()).await.expect("handed over");
}
