//! The public HTTP API: what is asked of which node, and what the caller hears.

#[path = "api/limits.rs"]
mod limits;
mod support;

use std::sync::Arc;

use http::{Method, Response};
use ringway_auth::Right;
use ringway_backplane::message::{Answer as Told, Ask, Direct, Publication, Published, Question};
use ringway_gateway::ExtraRoutes;
use ringway_protocol::Code;
use ringway_ring::NodeId;
use serde_json::{Value, json};
use support::http::{Answer, ask, request};
use support::inbound::{EPOCH, Inbound};
use support::{JWT, OPEN, World, announcement, closed_port, now, soon, ticket_key, token};
use tokio::sync::mpsc;

/// Answers publications with offsets from 1 on, for ever.
fn number(at: Inbound) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        // All of it is kept: without its subscription nothing would come.
        let (mut at, mut offset) = (at, 0);
        while let Some(incoming) = at.requests.recv().await {
            let Question::Room { ask: Ask::Publish { publications }, .. } = incoming.request.body else {
                continue;
            };
            incoming.reply.send(Told::Published(
                publications
                    .iter()
                    .map(|_| {
                        offset += 1;
                        published(offset)
                    })
                    .collect(),
            ));
        }
    })
}

fn published(offset: u64) -> Published {
    Published { epoch: EPOCH, offset, duplicate: false }
}

fn publications(ask: Ask) -> Vec<Publication> {
    match ask {
        Ask::Publish { publications } => publications,
        other => panic!("not a publication: {other:?}"),
    }
}

const JSON: &str = "Content-Type: application/json";

async fn post(world: &World, target: &str, headers: &[&str], body: &str) -> Answer {
    ask(world.address(), request("POST", target, headers, body.as_bytes())).await
}

async fn get(world: &World, target: &str, headers: &[&str]) -> Answer {
    ask(world.address(), request("GET", target, headers, b"")).await
}

#[tokio::test]
async fn a_publication_is_answered_with_its_place() {
    let mut world = World::start(OPEN).await;
    let (a, b) = (world.node("a", closed_port()), world.node("b", closed_port()));
    let (mut at_a, _at_b) = (Inbound::of(&world, &a).await, Inbound::of(&world, &b).await);
    let room = world.room_of("default", &a);
    let headers = [
        JSON,
        "Ringway-Event: said",
        "Ringway-Key: k",
        "Ringway-Message-Id: m1",
        "Ringway-Exclude: c1",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    let before = now() * 1_000;
    let (target, body) = (format!("/v1/messages?room={room}"), r#"{"x":[1,2.0]}"#);
    let (answer, (asked, question)) = tokio::join!(
        post(&world, &target, &headers, body),
        at_a.next(|_, _| Told::Published(vec![Published { epoch: EPOCH, offset: 7, duplicate: true }]))
    );
    assert_eq!(asked, room);
    let publication = publications(question).remove(0);
    let mut data = Vec::new();
    publication.data.write_json(&mut data);
    assert_eq!(data, br#"{"x":[1,2.0]}"#);
    assert!((before..before + 60_000).contains(&publication.ts));
    assert_eq!(publication.event.as_deref(), Some("said"));
    assert_eq!(publication.key.as_ref().map(|key| key.as_str()), Some("k"));
    assert_eq!(publication.mid.as_deref(), Some("m1"));
    assert_eq!((publication.conn.as_ref().map(|conn| conn.as_str()), publication.echo), (Some("c1"), false));
    assert!(publication.user.is_none() && publication.trace.is_some_and(|trace| trace.ends_with("-01")));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), json!({"epoch": EPOCH.to_string(), "offset": 7, "duplicate": true}));
}

#[tokio::test]
async fn a_body_is_what_its_type_says() {
    let mut world = World::start(OPEN).await;
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    for (kind, body, is_bytes) in [
        ("application/json; charset=utf-8", &b"\"\xc3\xa9\""[..], false),
        ("application/msgpack", b"\xa2\xc3\xa9", false),
        ("application/msgpack", b"\xc4\x02\x00\x01", true),
        ("application/octet-stream", b"\x00\x01", true),
    ] {
        let kind = format!("Content-Type: {kind}");
        let (answer, (_, question)) = tokio::join!(
            ask(world.address(), request("POST", "/v1/messages?room=r", &[&kind], body)),
            at_a.next(|_, _| Told::Published(vec![published(1)]))
        );
        assert_eq!(answer.status, 200, "{kind}");
        assert_eq!(publications(question)[0].data.is_bytes(), is_bytes, "{kind}");
    }
    let too_big = "x".repeat(64 * 1024 + 1);
    for (headers, body, status, code) in [
        (&[JSON][..], "{", 400, "bad_payload"),
        (&[JSON], "", 400, "bad_payload"),
        (&[JSON], r#"{"a":1,"a":2}"#, 400, "bad_payload"),
        (&["Content-Type: application/msgpack"], "\u{1}\u{1}", 400, "bad_payload"),
        (&["Content-Type: text/plain"], "1", 415, "bad_request"),
        (&[], "1", 415, "bad_request"),
        (&[JSON], &too_big, 413, "too_big"),
        (&[JSON, "Ringway-Store: maybe"], "1", 400, "bad_request"),
    ] {
        let answer = post(&world, "/v1/messages?room=r", headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
    }
    for (target, code) in [
        ("/v1/messages", "bad_request"),
        ("/v1/messages?room=", "bad_room"),
        ("/v1/messages?room=a&room=b", "bad_request"),
        ("/v1/messages?room=a&all=true", "bad_request"),
    ] {
        let answer = post(&world, target, &[JSON], "1").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{target}");
    }
}

#[tokio::test]
async fn one_redirect_is_followed_and_no_second() {
    let mut world = World::start(OPEN).await;
    let (a, b) = (world.node("a", closed_port()), world.node("b", closed_port()));
    let (mut at_a, mut at_b) = (Inbound::of(&world, &a).await, Inbound::of(&world, &b).await);
    let room = world.room_of("default", &a);
    let target = format!("/v1/messages?room={room}");
    let to = |node: &NodeId| Told::Redirect { to: Some(node.clone()) };
    let (answer, _, _) = tokio::join!(
        post(&world, &target, &[JSON], "1"),
        at_a.next(|_, _| to(&b)),
        at_b.next(|_, _| Told::Published(vec![published(1)]))
    );
    assert_eq!(answer.json()["offset"], 1);
    let (answer, _, _) =
        tokio::join!(post(&world, &target, &[JSON], "1"), at_a.next(|_, _| to(&b)), at_b.next(|_, _| to(&a)));
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert_eq!(answer.header("retry-after"), Some("3"));
    let (answer, _) =
        tokio::join!(post(&world, &target, &[JSON], "1"), at_a.next(|_, _| Told::Redirect { to: None }));
    assert_eq!(answer.code(), "unavailable");
}

#[tokio::test]
async fn where_nobody_listens_the_next_node_is_asked_once() {
    let mut world = World::start(OPEN).await;
    let ids =
        [world.node("a", closed_port()), world.node("b", closed_port()), world.node("c", closed_port())];
    let room = world.room_of("default", &ids[0]);
    let target = format!("/v1/messages?room={room}");
    let answer = post(&world, &target, &[JSON], "1").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    let answering = [number(Inbound::of(&world, &ids[1]).await), number(Inbound::of(&world, &ids[2]).await)];
    let answer = post(&world, &target, &[JSON], "1").await;
    assert_eq!((answer.status, &answer.json()["offset"]), (200, &json!(1)));
    answering.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn silence_is_an_unknown_outcome_and_never_asked_again() {
    let mut world = World::start(OPEN).await;
    let (a, b) = (world.node("a", closed_port()), world.node("b", closed_port()));
    let (mut at_a, mut at_b) = (Inbound::of(&world, &a).await, Inbound::of(&world, &b).await);
    let room = world.room_of("default", &a);
    let target = format!("/v1/messages?room={room}");
    let (answer, kept) = tokio::join!(post(&world, &target, &[JSON], "1"), at_a.requests.recv());
    assert_eq!((answer.status, answer.code().as_str()), (504, "outcome_unknown"));
    assert_eq!(answer.header("retry-after"), None);
    drop(kept);
    assert!(at_a.requests.try_recv().is_err() && at_b.requests.try_recv().is_err());
}

#[tokio::test]
async fn what_a_node_refuses_and_a_backplane_that_is_away_are_told() {
    let mut world = World::start(OPEN).await;
    let answer = post(&world, "/v1/messages?room=r", &[JSON], "1").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"), "an empty view");
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    for (code, status) in [(Code::LimitRate, 429), (Code::StorageFull, 507), (Code::Unavailable, 503)] {
        let wanted = code.to_string();
        let (answer, _) = tokio::join!(
            post(&world, "/v1/messages?room=r", &[JSON], "1"),
            at_a.next(|_, _| Told::Refused { code })
        );
        assert_eq!((answer.status, answer.code()), (status, wanted));
    }
    let (answer, _) =
        tokio::join!(post(&world, "/v1/messages?room=r", &[JSON], "1"), at_a.next(|_, _| Told::Done));
    assert_eq!(answer.code(), "internal", "another answer than that to a publication");
    world.hub.cut("gateway-1", true);
    let answer = post(&world, "/v1/messages?room=r", &[JSON], "1").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
}

#[tokio::test]
async fn to_a_user_or_to_all_goes_to_every_node() {
    let mut world = World::start(OPEN).await;
    world.node("a", closed_port());
    let party = world.party("a");
    let (sink, mut heard) = mpsc::channel::<Direct>(8);
    let _subscription =
        party.subscribe_direct(&"shared".parse().expect("a group"), sink).await.expect("subscribed");
    let answer = post(&world, "/v1/messages?user=ann&tenant=acme", &[JSON], "1").await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let direct = soon("it arrives", heard.recv()).await.expect("open");
    assert_eq!(direct.user.map(|user| user.as_str().to_owned()).as_deref(), Some("ann"));
    assert_eq!(direct.tenant.as_str(), "acme");
    assert_eq!(direct.publication.user, None, "the receiver is not the sender");
    assert_eq!(post(&world, "/v1/messages?all=true", &[JSON], "1").await.status, 200);
    let direct = soon("it arrives", heard.recv()).await.expect("open");
    assert_eq!((direct.tenant.as_str(), direct.user), ("default", None));
    world.hub.cut("gateway-1", true);
    assert_eq!(post(&world, "/v1/messages?all=true", &[JSON], "1").await.code(), "unavailable");
}

/// `rk_app_…` may publish in `board.**`, `rk_boss_…` may manage.
fn with_keys() -> String {
    let hash = |key: &str| ringway_auth::hash_api_key(key);
    format!(
        "{JWT}api_keys = [\n  {{ id = \"app\", hash = \"{}\", rights = [\"publish\"], rooms = [\"board.**\"] }},\n  \
         {{ id = \"boss\", hash = \"{}\", rights = [\"manage\", \"presence\"], rooms = [\"**\"] }},\n]\n",
        hash("rk_app_secret"),
        hash("rk_boss_secret")
    )
}

#[tokio::test]
async fn rights_decide() {
    let mut world = World::start(&with_keys()).await;
    let a = world.node("a", closed_port());
    let answering = number(Inbound::of(&world, &a).await);
    let party = world.party("listener");
    let (sink, _heard) = mpsc::channel::<Direct>(8);
    let _subscription =
        party.subscribe_direct(&"shared".parse().expect("a group"), sink).await.expect("subscribed");
    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    let (publisher, reader) =
        (bearer(&token("ann", &[Right::Publish])), bearer(&token("ann", &[Right::Join])));
    let (app, boss) = (bearer("rk_app_secret"), bearer("rk_boss_secret"));
    for (key, target, status, code) in [
        (&publisher, "/v1/messages?room=any", 200, ""),
        (&reader, "/v1/messages?room=any", 403, "forbidden"),
        (&publisher, "/v1/messages?user=bob", 403, "forbidden"),
        (&publisher, "/v1/messages?all=true", 403, "forbidden"),
        (&app, "/v1/messages?room=board.7", 200, ""),
        (&app, "/v1/messages?room=other", 403, "forbidden"),
        (&app, "/v1/messages?user=bob", 403, "forbidden"),
        (&boss, "/v1/messages?room=board.7", 403, "forbidden"),
        (&boss, "/v1/messages?user=bob", 200, ""),
        (&boss, "/v1/messages?all=true", 200, ""),
        (&bearer("rk_app_guess"), "/v1/messages?room=board.7", 401, "token_invalid"),
        (&bearer("nonsense"), "/v1/messages?room=any", 401, "token_invalid"),
        (&"X: y".to_owned(), "/v1/messages?room=any", 401, "token_invalid"),
        (&"Authorization: Basic eDp5".to_owned(), "/v1/messages?room=any", 401, "token_invalid"),
        // What the query says about who one is counts only where authentication is off.
        (&reader, "/v1/messages?room=any&tenant=other", 403, "forbidden"),
    ] {
        let answer = post(&world, target, &[JSON, key], "1").await;
        assert_eq!(answer.status, status, "{target} with {key}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.code(), code, "{target} with {key}");
        }
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    answering.abort();
}

#[tokio::test]
async fn many_publications_are_answered_one_by_one_and_in_order() {
    let mut world = World::start(&with_keys()).await;
    let (a, b) = (world.node("a", closed_port()), world.node("b", closed_port()));
    let answering = [number(Inbound::of(&world, &a).await), number(Inbound::of(&world, &b).await)];
    let key = "Authorization: Bearer rk_app_secret";
    let body = json!([
        {"room": "board.1", "data": 1},
        {"room": "board.1", "data": 2, "mid": "x"},
        {"room": "other", "data": 3},
        {"room": "board.1", "data": {"ok": true}, "exclude": "c1"},
        {"room": "board.1"},
        {"room": "", "data": 1},
        {"room": "board.1", "b64": "AAE="},
        7
    ]);
    let answer = post(&world, "/v1/publish", &[JSON, key], &body.to_string()).await;
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let told: Vec<Value> = answers
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one.get("offset").or_else(|| one.get("code")).cloned().unwrap_or_default())
        .collect();
    assert_eq!(
        told,
        [
            json!(1),
            json!(2),
            json!("forbidden"),
            json!(3),
            json!("bad_request"),
            json!("bad_room"),
            json!(4),
            json!("bad_request")
        ]
    );
    let rooms: Vec<_> = (0..1_000).map(|n| json!({"room": format!("board.{n}"), "data": n})).collect();
    let answer = post(&world, "/v1/publish", &[JSON, key], &json!(rooms).to_string()).await;
    let answers = answer.json();
    assert_eq!(answers.as_array().map(Vec::len), Some(1_000));
    assert!(answers.as_array().expect("a list").iter().all(|one| one["offset"].is_u64()), "{answers}");
    for (body, status) in
        [("{}".to_owned(), 400), ("[1".to_owned(), 400), (format!("[{}1]", "1,".repeat(1_000)), 413)]
    {
        assert_eq!(post(&world, "/v1/publish", &[JSON, key], &body).await.status, status);
    }
    assert_eq!(
        post(&world, "/v1/publish", &["Content-Type: application/msgpack", key], "[]").await.status,
        415
    );
    let big = format!("[\"{}\"]", "x".repeat(1024 * 1024));
    assert_eq!(post(&world, "/v1/publish", &[JSON, key], &big).await.code(), "too_big");
    answering.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn after_a_failure_nothing_later_of_that_room_is_sent() {
    let mut world = World::start(OPEN).await;
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    let many: Vec<_> = (0..300).map(|n| json!({"room": "r", "data": n})).collect();
    let body = json!(many).to_string();
    let (answer, (_, question)) = tokio::join!(
        post(&world, "/v1/publish", &[JSON], &body),
        at_a.next(|_, _| Told::Refused { code: Code::OutcomeUnknown })
    );
    assert_eq!(publications(question).len(), 200);
    let answers = answer.json();
    assert_eq!(
        (&answers[0]["code"], &answers[199]["code"]),
        (&json!("outcome_unknown"), &json!("outcome_unknown"))
    );
    assert_eq!((&answers[200]["code"], &answers[200]["retry"]), (&json!("unavailable"), &json!(3_000)));
    assert!(at_a.requests.try_recv().is_err());
}

#[tokio::test]
async fn members_are_counted_by_the_rooms_owner() {
    let mut world = World::start(&with_keys()).await;
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    let key = ["Authorization: Bearer rk_boss_secret"];
    let (answer, (room, question)) = tokio::join!(
        get(&world, "/v1/members?room=r", &key),
        at_a.next(|_, _| Told::Members { count: 5, users: Some(3) })
    );
    assert_eq!((room.as_str(), question), ("r", Ask::Members));
    assert_eq!(answer.json(), json!({"count": 5, "users": 3}));
    assert_eq!(get(&world, "/v1/members", &key).await.code(), "bad_request");
    assert_eq!(
        get(&world, "/v1/members?room=r", &["Authorization: Bearer rk_app_secret"]).await.code(),
        "forbidden"
    );
}

#[tokio::test]
async fn locate_names_the_node_and_gives_a_ticket_for_the_direct_way() {
    let mut world = World::start(JWT).await;
    let mut node = announcement("a", closed_port());
    node.public_url = Some("wss://[2001:db8::1]:7443/".to_owned());
    world.announce(node);
    let bearer = format!("Authorization: Bearer {}", token("ann", &[Right::Join]));
    let answer = get(&world, "/v1/locate?room=r&since=e:7", &[&bearer]).await;
    let place = answer.json();
    assert_eq!(
        (&place["tenant"], &place["room"], &place["pool"], &place["node"]),
        (&json!("acme"), &json!("r"), &json!("shared"), &json!("a"))
    );
    assert!(place["slot"].as_u64().is_some_and(|slot| slot < 16_384));
    assert_eq!(place.get("user"), None);
    let url = place["url"].as_str().expect("a URL");
    let ticket = url.strip_prefix("wss://[2001:db8::1]:7443/v1/ws?ticket=").expect("the node's own URL");
    let ticket = ticket_key().open(ticket, now()).expect("a good ticket");
    assert_eq!(ticket.mode, ringway_auth::Mode::Direct);
    assert_eq!(
        (ticket.room.map(|room| room.to_string()).as_deref(), ticket.since.map(|since| since.offset)),
        (Some("r"), Some(7))
    );
    let place = get(&world, "/v1/locate", &[&bearer]).await.json();
    assert_eq!((&place["user"], place.get("room")), (&json!("ann"), None));
    assert_eq!(get(&world, "/v1/locate?room=", &[&bearer]).await.code(), "bad_room");
    assert_eq!(get(&world, "/v1/locate?room=r", &[]).await.code(), "token_invalid");
    let world = World::start(OPEN).await;
    assert_eq!(get(&world, "/v1/locate?room=r", &[]).await.code(), "unavailable");
    assert_eq!(get(&world, "/v1/locate", &[]).await.code(), "bad_request");
}

#[tokio::test]
async fn pages_of_the_tenants_origins_may_call() {
    let world = World::start(&format!("{JWT}origins = [\"https://a.example\"]\n")).await;
    let preflight = |origin: &str, target: &str| {
        let origin = format!("Origin: {origin}");
        request("OPTIONS", target, &[&origin, "Access-Control-Request-Method: POST"], b"")
    };
    let answer = ask(world.address(), preflight("https://a.example", "/v1/messages?room=r")).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, Some("https://a.example"))
    );
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, DELETE, OPTIONS"));
    assert!(answer.header("access-control-allow-headers").is_some_and(|list| list.contains("authorization")));
    assert_eq!(answer.header("vary"), Some("origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for evil in ["https://evil.example", "null", "https://a.example.evil"] {
        let answer = ask(world.address(), preflight(evil, "/v1/messages?room=r")).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{evil}");
    }
    let bearer = format!("Authorization: Bearer {}", token("ann", &[Right::Publish]));
    let answer =
        post(&world, "/v1/messages?room=r", &[JSON, &bearer, "Origin: https://a.example"], "1").await;
    assert_eq!(
        (answer.code().as_str(), answer.header("access-control-allow-origin")),
        ("unavailable", Some("https://a.example"))
    );
    assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    let answer = post(&world, "/v1/messages?room=r", &[JSON, "Origin: https://a.example"], "1").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("https://a.example")),
        "readable"
    );
    let answer =
        post(&world, "/v1/messages?room=r", &[JSON, &bearer, "Origin: https://evil.example"], "1").await;
    assert_eq!((answer.code().as_str(), answer.header("access-control-allow-origin")), ("bad_origin", None));
    let answer = post(&world, "/v1/messages?room=r", &[JSON, &bearer], "1").await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "no page, no CORS");
}

#[tokio::test]
async fn other_paths_and_methods_say_what_there_is() {
    let extra: ExtraRoutes = Arc::new(|method: Method, path: String| {
        Box::pin(
            async move { (method == Method::GET && path == "/").then(|| Response::new("<p>hello".into())) },
        )
    });
    let world = World::with(OPEN, |settings, _| settings.extra = Some(extra)).await;
    for (method, target, status, code) in [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/rooms", 501, "not_found"),
        ("DELETE", "/v1/connections?user=u", 501, "not_found"),
        ("PUT", "/v1/messages?room=r", 405, "bad_request"),
        ("POST", "/", 404, "not_found"),
    ] {
        let answer = ask(world.address(), request(method, target, &[], b"")).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {target}");
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
    let answer = get(&world, "/", &[]).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"<p>hello"[..]));
    // One connection serves several requests.
    let mut wire = support::http::Wire::open(world.address()).await;
    for _ in 0..3 {
        wire.send(request("GET", "/v1/locate?room=r", &[], b"")).await;
        assert_eq!(wire.answer().await.status, 503);
    }
    let metrics = world.metrics();
    for line in [
        "ringway_gateway_http_requests_total{route=\"/v1/locate\",status=\"5xx\"} 3",
        "ringway_gateway_http_requests_total{route=\"other\",status=\"4xx\"} 2",
        "ringway_gateway_http_requests_total{route=\"other\",status=\"2xx\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}
