//! Messages to a user and to a whole tenant, wherever their connections are; what tenants have to do with each other
//! (nothing); and what a browser's page may call.

use ringway_client::ConnectOptions;
use ringway_protocol::frame::{Msg, Pub};
use ringway_protocol::{ClientFrame, Code, Format};
use ringway_testkit::http::Answer;
use ringway_testkit::processes::{Launcher, Process};
use serde_json::json;

use crate::call::{Call, call, encoded, get, post};
use crate::cluster::{Cluster, rooms};
use crate::peer::{Peer, publication, text};
use crate::support::{OPEN, launcher, name, open_over, options};

const JSON: &str = "application/json";

/// Two tenants, authentication off.
const TENANTS: &str = "[tenants.acme]\norigins = [\"https://app.acme.example\", \"http://localhost:3000\"]\n\
                       [tenants.globex]\norigins = [\"https://globex.example\"]\n[tenants.any]\n";

/// Three nodes, two gateways.
fn cluster() -> Cluster {
    Cluster::with(3, 2, |nats| format!("{}{TENANTS}", open_over(nats)))
}

fn of(mut options: ConnectOptions, tenant: &str, user: Option<&str>) -> ConnectOptions {
    options.tenant = Some(tenant.parse().unwrap());
    options.user = user.map(|user| user.parse().unwrap());
    options
}

/// A connection of a user on each node, in turn of either format; the last one without a home room.
async fn everywhere(cluster: &Cluster, tenant: &str, user: Option<&str>) -> Vec<Peer> {
    // Slots go by tenant and room: where a room of this tenant lives, only its connections know.
    let mut peers: Vec<Peer> = Vec::new();
    for n in 0..100 {
        let format = if peers.len().is_multiple_of(2) { Format::Json } else { Format::Msgpack };
        let gateway = &cluster.gateways[n % 2];
        let home = format!("home.{n}");
        let mut peer = Peer::open(&of(options(gateway.listen, format, Some(&home)), tenant, user)).await;
        if peers.iter().all(|other| other.node() != peer.node()) {
            peer.joined().await;
            peers.push(peer);
        }
        if peers.len() == 3 {
            peers.push(Peer::open(&of(options(gateway.listen, format, None), tenant, user)).await);
            return peers;
        }
    }
    panic!("a hundred rooms on fewer than three nodes");
}

/// What is told of a message that goes to nobody's room.
#[track_caller]
fn personal(msg: &Msg, data: &str) {
    assert_eq!(
        (&msg.room, msg.offset, msg.prev, msg.id),
        (&None, None, None, None),
        "no part of any history"
    );
    assert!(msg.ts.is_some());
    assert_eq!(text(&msg.data), data);
}

#[tokio::test]
async fn all_of_a_users_connections_hear_what_is_for_the_user_and_nobody_else_does() {
    let cluster = cluster();
    let mut ann = everywhere(&cluster, "acme", Some("Zoë /+%")).await;
    let mut others = everywhere(&cluster, "acme", Some("bob")).await;
    others.extend(everywhere(&cluster, "acme", None).await);
    others.extend(everywhere(&cluster, "globex", Some("Zoë /+%")).await);
    let target = format!("/v1/messages?tenant=acme&user={}", encoded("Zoë /+%"));
    for (gateway, data) in cluster.gateways.iter().zip([r#"{"n":1}"#, r#"[2,"é"]"#]) {
        let full = post(&target, JSON, data)
            .with("Ringway-Event", "note")
            .with("Ringway-Key", "k")
            .with("Ringway-Message-Id", "m");
        assert_eq!(full.ok(gateway.listen), json!({}), "it has no place in a room");
        for peer in &mut ann {
            let msg = peer.msg().await;
            personal(&msg, data);
            assert_eq!((msg.event.as_deref(), msg.mid.as_deref()), (Some("note"), Some("m")));
            assert_eq!((msg.key.as_ref().map(|key| key.as_str()), msg.user), (Some("k"), None));
        }
    }
    // One connection may be left out.
    let left_out = ann[1].hello.conn.clone();
    post(&target, "application/octet-stream", [0, 255])
        .with("Ringway-Exclude", left_out.as_str())
        .ok(cluster.gateway());
    // In the order they were sent, one after the other.
    for n in 0..100 {
        post(&target, JSON, n.to_string()).ok(cluster.gateway());
    }
    for (n, peer) in ann.iter_mut().enumerate() {
        if n != 1 {
            let msg = peer.msg().await;
            assert_eq!(msg.data.bytes().map(|bytes| bytes.to_vec()), Some(vec![0, 255]));
        }
        for n in 0..100 {
            personal(&peer.msg().await, &n.to_string());
        }
    }
    // Whoever isn't meant hears nothing before what is for all.
    for tenant in ["acme", "globex"] {
        post(&format!("/v1/messages?tenant={tenant}&all=true"), JSON, "\"all\"").ok(cluster.gateway());
    }
    for peer in others.iter_mut().chain(&mut ann) {
        personal(&peer.msg().await, "\"all\"");
    }
    // Nobody of that name is no fault.
    assert_eq!(post("/v1/messages?tenant=acme&user=nobody", JSON, "1").ok(cluster.gateway()), json!({}));
    for (target, code) in [
        ("/v1/messages?tenant=acme&user=", "bad_request"),
        ("/v1/messages?tenant=acme&user=a%00", "bad_request"),
        ("/v1/messages?tenant=acme&user=a&all=true", "bad_request"),
        ("/v1/messages?tenant=nobody&user=a", "unknown_tenant"),
        ("/v1/messages?user=a", "unknown_tenant"),
        ("/v1/messages?tenant=A&user=a", "bad_request"),
    ] {
        assert_eq!(post(target, JSON, "1").refused(cluster.gateway()).1, code, "{target}");
    }
}

#[tokio::test]
async fn tenants_do_not_hear_each_other() {
    let cluster = cluster();
    let room = "the same room";
    let mut peers = Vec::new();
    for tenant in ["acme", "globex"] {
        for mut peer in everywhere(&cluster, tenant, Some("ann")).await {
            peer.join(room).await;
            peers.push((tenant, peer));
        }
    }
    let mut acme = Peer::open(&of(cluster.options(Format::Json, None), "acme", None)).await;
    let mut globex = Peer::open(&of(cluster.options(Format::Json, None), "globex", None)).await;
    // One's own numbers, repeats and counts, whatever the other does under the same names.
    let same = ClientFrame::Pub(Pub { mid: Some("m".into()), ..publication(room, "\"of acme\"") });
    for n in 1..=3 {
        acme.publish(room, "\"of acme\"").await;
        post(&format!("/v1/messages?tenant=acme&room={}", encoded(room)), JSON, "\"of acme\"")
            .ok(cluster.gateway());
        assert_eq!(acme.ask(same.clone()).await.unwrap().unwrap().into_pub().duplicate, n > 1);
    }
    let of_globex = ClientFrame::Pub(Pub { mid: Some("m".into()), ..publication(room, "\"of globex\"") });
    let first = globex.ask(of_globex).await.unwrap().unwrap().into_pub();
    assert_eq!((first.offset, first.duplicate), (Some(1), false));
    post("/v1/messages?tenant=acme&user=ann", JSON, "\"of acme\"").ok(cluster.gateway());
    post("/v1/messages?tenant=globex&all=true", JSON, "\"of globex\"").ok(cluster.gateway());
    for (tenant, peer) in &mut peers {
        let (room_messages, data) = if *tenant == "acme" { (7, "\"of acme\"") } else { (1, "\"of globex\"") };
        let mut in_room = 0;
        // What is for the user comes beside what is for the room.
        for _ in 0..=room_messages {
            let msg = peer.msg().await;
            assert_eq!(text(&msg.data), data, "{tenant}");
            in_room += u64::from(msg.room == Some(name(room)));
        }
        assert_eq!(in_room, room_messages);
        assert_eq!(peer.members(room).await.users, Some(1));
    }
    for (tenant, mut peer) in peers {
        // Nothing came behind it.
        peer.leave(room).await;
        assert_eq!(peer.heard_next(), None, "{tenant}");
    }
    // A tenant that isn't configured isn't one.
    let error =
        ringway_client::Connection::open(&of(cluster.options(Format::Json, None), "initech", None)).await;
    let mut refused = error.unwrap();
    match refused.receive().await {
        Err(ringway_client::ReceiveError::Closed(closed)) => {
            assert_eq!((closed.code.0, closed.reason.as_str()), (4404, Code::UnknownTenant.as_str()));
        }
        other => panic!("{other:?}"),
    }
}

/// The headers that a browser looks at before it lets a page read an answer.
fn cors(answer: &Answer) -> Option<&str> {
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(
        allowed.is_some(),
        answer.header("vary").is_some_and(|vary| vary.contains("origin")),
        "{answer:?}"
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None, "there are no cookies here");
    allowed
}

fn with_origin(call: &Call, origin: &str) -> Call {
    call.clone().with("Origin", origin)
}

fn serve(more: &str) -> (Launcher, Process) {
    let mut launcher = launcher(&format!("{OPEN}{more}"));
    let serve = launcher.serve(&[]);
    (launcher, serve)
}

#[tokio::test]
async fn a_page_may_call_where_its_origin_is_the_tenants() {
    let (_launcher, serve) = serve(TENANTS);
    let gateway = serve.listen;
    let calls = |tenant: &str| {
        [
            post(&format!("/v1/messages?tenant={tenant}&room=r"), JSON, "1"),
            post(&format!("/v1/messages?tenant={tenant}&all=true"), JSON, "1"),
            post(&format!("/v1/publish?tenant={tenant}"), JSON, "[]"),
            get(&format!("/v1/members?tenant={tenant}&room=r")),
            get(&format!("/v1/locate?tenant={tenant}&room=r")),
        ]
    };
    for call in calls("acme") {
        for origin in [
            "https://app.acme.example",
            "https://app.acme.example:443",
            "HTTPS://App.Acme.Example",
            "http://localhost:3000",
        ] {
            let answer = with_origin(&call, origin).send(gateway);
            assert_eq!((answer.status, cors(&answer)), (200, Some(origin)));
        }
        for origin in [
            "http://app.acme.example",
            "https://app.acme.example:8443",
            "https://app.acme.example.evil",
            "https://evil?https://app.acme.example",
            "https://acme.example",
            "https://globex.example",
            "http://localhost",
            "null",
            "",
        ] {
            let answer = with_origin(&call, origin).send(gateway);
            assert_eq!((answer.status, cors(&answer)), (403, None), "{origin:?}");
            assert_eq!(with_origin(&call, origin).refused(gateway).1, "bad_origin");
        }
        let twice = with_origin(&with_origin(&call, "https://app.acme.example"), "https://app.acme.example");
        assert_eq!(twice.refused(gateway), (403, "bad_origin".to_owned()));
        // Not a browser.
        let answer = call.send(gateway);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    }
    // A tenant that names none admits every page.
    for call in calls("any") {
        for origin in ["https://anything.example", "null"] {
            let answer = with_origin(&call, origin).send(gateway);
            assert_eq!((answer.status, cors(&answer)), (200, Some(origin)));
        }
    }
    // A refusal can be read as well, by a page that would be admitted.
    let bad = get("/v1/members?tenant=acme");
    let answer = with_origin(&bad, "https://app.acme.example").send(gateway);
    assert_eq!((answer.status, cors(&answer)), (400, Some("https://app.acme.example")));
}

#[tokio::test]
async fn a_preflight_is_answered_before_the_tenant_is_known() {
    let (_launcher, every) = serve("");
    // Without the tenant that admits every page.
    let (_other, some) = serve(&TENANTS.replace("[tenants.any]\n", ""));
    let preflight = |path: &str, method: &str| {
        call("OPTIONS", path)
            .with("Access-Control-Request-Method", method)
            .with("Access-Control-Request-Headers", "authorization,content-type,ringway-event")
    };
    for (path, method) in [
        ("/v1/messages?room=r", "POST"),
        ("/v1/publish", "POST"),
        ("/v1/members?room=r", "GET"),
        ("/v1/locate", "GET"),
    ] {
        let asked = preflight(path, method);
        for (gateway, origin, admitted) in [
            (some.listen, "https://app.acme.example", true),
            (some.listen, "https://globex.example", true),
            (some.listen, "https://evil.example", false),
            (some.listen, "null", false),
            (every.listen, "https://evil.example", true),
        ] {
            let answer = with_origin(&asked, origin).send(gateway);
            assert_eq!((answer.status, cors(&answer)), (204, admitted.then_some(origin)), "{path} {origin}");
            let methods = answer.header("access-control-allow-methods");
            assert_eq!(methods.is_some_and(|methods| methods.contains(method)), admitted);
            let headers = answer.header("access-control-allow-headers").unwrap_or_default();
            for header in
                ["authorization", "content-type", "ringway-event", "ringway-exclude", "ringway-message-id"]
            {
                assert_eq!(headers.contains(header), admitted, "{header}");
            }
        }
        let curious = call("OPTIONS", path).send(some.listen);
        assert_eq!((curious.status, curious.header("access-control-allow-origin")), (204, None));
        assert!(curious.header("allow").unwrap().contains(method));
    }
}

/// The same holds for the upgrade: who is refused sees it by a close code.
#[tokio::test]
async fn a_page_of_another_origin_gets_no_connection() {
    let (_launcher, serve) = serve(TENANTS);
    for (origin, admitted) in
        [("https://app.acme.example", true), ("https://evil.example", false), ("null", false)]
    {
        let mut options = of(options(serve.listen, Format::Json, Some("r")), "acme", None);
        options.headers.insert("origin", origin.parse().unwrap());
        let mut conn = ringway_client::Connection::open(&options).await.unwrap();
        match conn.receive().await {
            Ok(ringway_protocol::ServerFrame::Hello(_)) => assert!(admitted, "{origin}"),
            Err(ringway_client::ReceiveError::Closed(closed)) => {
                assert!(!admitted, "{origin}: {closed:?}");
                assert_eq!((closed.code.0, closed.reason.as_str()), (4403, "bad_origin"));
            }
            other => panic!("{origin}: {other:?}"),
        }
        options.format = None;
        match ringway_client::Connection::open(&options).await {
            Ok(_) => assert!(admitted, "{origin}"),
            Err(ringway_client::ConnectError::Refused { status, code, .. }) => {
                assert_eq!((admitted, status, code.as_deref()), (false, 403, Some("bad_origin")), "{origin}");
            }
            Err(other) => panic!("{origin}: {other}"),
        }
    }
}

/// A user whose connections come and go: nobody is forgotten, and nobody who went is in the way.
#[tokio::test]
async fn users_are_found_as_they_come_and_go() {
    let cluster = Cluster::over_nats(2, 1);
    let http = cluster.http();
    for round in 0..3 {
        let mut present = Vec::new();
        for node in ["node-1", "node-2", "node-1"] {
            let home = rooms(&http, &format!("go.{round}."), 1, |at| at == node).await.remove(0);
            let mut options = cluster.options(Format::Msgpack, Some(&home));
            options.user = Some("ann".parse().unwrap());
            let mut peer = Peer::open(&options).await;
            peer.joined().await;
            present.push(peer);
        }
        while !present.is_empty() {
            let data = format!("\"{round}.{}\"", present.len());
            post("/v1/messages?user=ann", JSON, data.clone()).ok(cluster.gateway());
            for peer in &mut present {
                personal(&peer.msg().await, &data);
            }
            match present.pop() {
                Some(peer) if round == 1 => drop(peer),
                Some(peer) => peer.close().await,
                None => {}
            }
        }
    }
}
