//! How many connections, and how many in a second.

use super::*;

#[test]
fn a_tenant_has_as_many_connections_as_it_may_on_all_nodes_together() {
    let cluster = cluster(&[("few", "connections = 4"), ("other", "")], "");
    let gateway = cluster.gateway();
    let rooms = rooms(gateway, "few", "r");
    let mut inside: Vec<Bare> =
        (0..4).map(|n| enter(gateway, "few", &format!("u{n}"), &rooms[n % 2])).collect();
    // What nodes tell each other takes a moment; until then one more may be let in.
    let enter_more = |room: &str| try_enter(gateway, &way("few", "late", room));
    for room in &rooms {
        until("no further one", SOON, || enter_more(room).err());
        let refusal = refused(gateway, &way("few", "late", room));
        assert_eq!(refusal, Refused::with_retry("limit_connections"));
    }
    // Nobody is cut for it, and nobody else concerned.
    inside.iter_mut().for_each(Bare::is_alive);
    enter(gateway, "other", "u", "r");
    // Places are given back, whichever way somebody goes.
    inside.pop().unwrap().reset();
    drop(inside.pop());
    for room in &rooms {
        inside.push(until("a place", SOON, || enter_more(room).ok()));
    }
    until("no further one", SOON, || enter_more(&rooms[0]).err());
    drop(inside);
    until("all places", SOON, || {
        let all: Result<Vec<Bare>, Answer> = (0..4).map(|n| enter_more(&rooms[n % 2])).collect();
        all.ok()
    });
    for process in &cluster.nodes {
        until("nobody is left", SOON, || {
            (process.metrics().sum("ringway_connections", &[]) == 0.0).then_some(())
        });
    }
}

#[test]
fn a_user_has_as_many_connections_as_it_may() {
    let cluster = cluster(&[("acme", "user = { connections = 2 }")], "");
    let gateway = cluster.gateway();
    let mut inside: Vec<Bare> = (0..2).map(|_| enter(gateway, "acme", "ann", "r")).collect();
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(refused(gateway, &way("acme", "ann", "r")), Refused::with_retry("limit_connections"));
    }
    // It is the node's word, and final: nobody else is asked, and no node is shunned for it.
    assert!(began.elapsed() < SOON);
    inside.iter_mut().for_each(Bare::is_alive);
    let _bob: Vec<Bare> = (0..2).map(|_| enter(gateway, "acme", "bob", "r")).collect();
    // Nobody in particular is no user.
    let nobody: Vec<Bare> =
        (0..3).map(|_| try_enter(gateway, "/v1/ws?tenant=acme&room=r").unwrap()).collect();
    assert_eq!(nobody.len(), 3);
    inside.pop().unwrap().reset();
    inside.push(until("a place", SOON, || try_enter(gateway, &way("acme", "ann", "r")).ok()));
    assert_eq!(refused(gateway, &way("acme", "ann", "r")), Refused::with_retry("limit_connections"));
}

/// Upgrades of one user in one moment: how many are let in, and how the others are refused.
fn at_once(
    gateway: SocketAddr,
    tenant: &str,
    user: impl Fn(usize) -> String,
    count: usize,
) -> (usize, Vec<Refused>) {
    let mut sockets: Vec<Bare> = (0..count).map(|_| Bare::open(gateway)).collect();
    for (n, bare) in sockets.iter_mut().enumerate() {
        bare.send(upgrade(&way(tenant, &user(n), "r"), &[]));
    }
    let mut refusals = Vec::new();
    for bare in &mut sockets {
        let answer = bare.answer();
        if answer.status != 101 {
            refusals.push(Refused::of(&answer));
        }
    }
    (count - refusals.len(), refusals)
}

#[test]
fn connects_in_a_second_are_limited_for_a_tenant_and_for_a_user() {
    let tenants = [
        ("calm", "connects_per_second = 1, connects_burst = 3"),
        ("users", "user = { connects_per_second = 1 }"),
        ("any", ""),
    ];
    let cluster = cluster(&tenants, "");
    let gateway = cluster.gateway();
    let many = |n: usize| format!("u{n}");
    let (inside, refusals) = at_once(gateway, "calm", many, 30);
    // In the time that it takes some more are due.
    assert!((3..15).contains(&inside), "{inside}");
    assert!(refusals.iter().all(|refusal| *refusal == Refused::with_retry("limit_rate")), "{refusals:?}");
    let page =
        Bare::upgraded(gateway, &way("calm", "page", "r"), &["Sec-WebSocket-Protocol: ringway.v1.json"]);
    drop(page);
    until("one is let in again", SOON, || try_enter(gateway, &way("calm", "u", "r")).ok());
    // A burst is a second's worth where nothing is said.
    let (inside, refusals) = at_once(gateway, "users", |_| "ann".to_owned(), 30);
    assert!((1..15).contains(&inside), "{inside}");
    assert!(refusals.iter().all(|refusal| *refusal == Refused::with_retry("limit_rate")), "{refusals:?}");
    assert_eq!(at_once(gateway, "users", |n| format!("other {n}").replace(' ', "-"), 30).0, 30);
    assert_eq!(at_once(gateway, "any", |_| "ann".to_owned(), 30).0, 30);
    // Nothing of it came as far as a node.
    let upgrades = cluster.gateways[0].metrics();
    let limited = upgrades.sum("ringway_gateway_upgrades_total", &["outcome=\"limit_rate\""]);
    assert!(limited >= refusals.len() as f64, "{limited}");
}

#[test]
fn none_at_all_is_said_to_be_for_good() {
    let tenants = [
        ("suspended", "connections = 0"),
        ("closed", "connects_per_second = 0"),
        ("users", "user = { connections = 0 }"),
        ("users-rate", "user = { connects_per_second = 0 }"),
        ("silent", "publish_per_second = 0"),
        ("user-silent", "user = { publish_per_second = 0 }"),
        ("conn-silent", "connection = { publish_per_second = 0 }"),
        ("roomless", "rooms = 0"),
    ];
    let classes = "[[classes]]\nrooms = \"read-only\"\nlimits = { publish_per_second = 0 }\n\
                   [[classes]]\nrooms = \"nobody\"\nlimits = { members = 0 }\n";
    let cluster = cluster(&tenants, classes);
    let gateway = cluster.gateway();
    for (tenant, code) in [
        ("suspended", "limit_connections"),
        ("closed", "limit_rate"),
        ("users", "limit_connections"),
        ("users-rate", "limit_rate"),
    ] {
        assert_eq!(refused(gateway, &way(tenant, "ann", "r")), Refused::for_ever(code), "{tenant}");
    }
    for (tenant, room) in
        [("silent", "r"), ("user-silent", "r"), ("conn-silent", "r"), ("users", "read-only")]
    {
        // A limit of users doesn't concern who is none.
        let user = if tenant == "users" { "" } else { "&user=ann" };
        let mut bare = try_enter(gateway, &format!("/v1/ws?tenant={tenant}{user}&room={room}")).unwrap();
        let answers = publish(&mut bare, room, 2, 10);
        let expected = Refused::for_ever("limit_rate");
        assert!(answers.iter().all(|answer| answer.as_ref() == Some(&expected)), "{tenant}: {answers:?}");
        bare.is_alive();
    }
    for (tenant, room) in [("silent", "r"), ("users", "read-only")] {
        let answer = call(gateway, tenant, room, 10);
        assert_eq!(Refused::of(&answer), Refused::for_ever("limit_rate"), "{tenant}");
    }
    for (tenant, room, code) in [("roomless", "r", "limit_rooms"), ("silent", "nobody", "limit_connections")]
    {
        let mut bare = try_enter(gateway, &way(tenant, "ann", room)).unwrap();
        let left = bare.until(|frame| frame["t"] != "hello");
        assert_eq!(
            (&left["t"], &left["code"], left.get("retry")),
            (&json!("left"), &json!(code), None),
            "{left}"
        );
        let answer = bare.ask(&json!({"t": "join", "id": 1, "room": room}));
        assert_eq!(Refused::of_frame(&answer).code, code, "{answer}");
        assert_eq!(answer.get("retry"), None, "{answer}");
        bare.is_alive();
    }
}
