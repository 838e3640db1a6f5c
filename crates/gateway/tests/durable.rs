//! Durable rooms by HTTP: what becomes of publications, a page of what is kept, and all of it forgotten.

mod support;

use std::sync::Arc;

use ringway_auth::{Right, hash_api_key};
use ringway_backplane::IncomingRequest;
use ringway_backplane::message::{
    Answer as Told, Ask, Fate, HistoryPage, PageOf, Publication, Published, Question,
};
use ringway_protocol::{Code, Payload};
use serde_json::{Value, json};
use support::http::{Answer, ask, request};
use support::inbound::{EPOCH, Inbound};
use support::{JWT, OPEN, World, closed_port, token};

const JSON: &str = "Content-Type: application/json";

/// Rooms `kept.…` are durable.
const CLASS: &str = "[stores.s]\nage = \"1h\"\n[[classes]]\nrooms = \"kept.**\"\nstore = \"s\"\n[nats]\n";

/// The only node of a world, which answers as the test says.
struct Node(Inbound);

impl Node {
    async fn of(world: &mut World) -> Self {
        let id = world.node("a", closed_port());
        Self(Inbound::of(world, &id).await)
    }

    /// The next question about a room; `answer` is what it is answered.
    async fn asked(&mut self, answer: Told) -> Ask {
        self.0.next(|_, _| answer).await.1
    }
}

async fn call(world: &World, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
    ask(world.address(), request(method, target, headers, body.as_bytes())).await
}

fn stored(offset: u64) -> Fate {
    Fate::Stored(Published { epoch: EPOCH, offset, duplicate: false })
}

#[tokio::test]
async fn a_publication_is_answered_with_what_became_of_it() {
    let mut world = World::start(&format!("{OPEN}{CLASS}")).await;
    let mut node = Node::of(&mut world).await;
    let repeat = Fate::Stored(Published { epoch: EPOCH, offset: 3, duplicate: true });
    for (fate, status, told) in [
        (stored(7), 200, json!({"epoch": EPOCH.to_string(), "offset": 7})),
        (repeat, 200, json!({"epoch": EPOCH.to_string(), "offset": 3, "duplicate": true})),
        (Fate::Passed, 200, json!({})),
        (Fate::Full, 507, json!(["storage_full", null])),
        (Fate::TooBig, 413, json!(["too_big", null])),
        (Fate::Unavailable, 503, json!(["unavailable", 1_000])),
        (Fate::Unknown, 504, json!(["outcome_unknown", null])),
        (Fate::Limited { retry_ms: Some(250) }, 429, json!(["limit_rate", 250])),
        (Fate::Limited { retry_ms: None }, 429, json!(["limit_rate", null])),
    ] {
        let (answer, asked) = tokio::join!(
            call(&world, "POST", "/v1/messages?room=kept.r", &[JSON, "Ringway-Store: false"], "1"),
            node.asked(Told::Fates(vec![fate]))
        );
        let Ask::Publish { publications } = asked else { panic!("{asked:?}") };
        assert!(publications.len() == 1 && publications[0].signal);
        let document = answer.json();
        assert_eq!(answer.status, status, "{fate:?}");
        let is = if status == 200 { document } else { json!([document["code"], document["retry"]]) };
        assert_eq!(is, told, "{fate:?}");
    }
}

#[tokio::test]
async fn each_of_many_has_its_own_answer_and_nothing_is_sent_after_one_that_failed() {
    let mut world = World::start(&format!("{OPEN}{CLASS}")).await;
    let mut node = Node::of(&mut world).await;
    let many: Vec<_> = (0..201).map(|n| json!({"room": "kept.r", "data": n, "store": n % 2 == 0})).collect();
    let body = json!(many).to_string();
    let mut fates = vec![stored(1), Fate::Passed, stored(2), Fate::Unknown];
    fates.extend((4..200).map(|_| stored(9)));
    let (answer, asked) =
        tokio::join!(call(&world, "POST", "/v1/publish", &[JSON], &body), node.asked(Told::Fates(fates)));
    let Ask::Publish { publications } = asked else { panic!("{asked:?}") };
    assert!(!publications[0].signal && publications[1].signal);
    let answers = answer.json();
    let code = |index: usize| answers[index].get("code").cloned().unwrap_or_default();
    assert_eq!((&answers[0]["offset"], &answers[1]), (&json!(1), &json!({})));
    assert_eq!((code(2), code(3), code(4)), (Value::Null, json!("outcome_unknown"), Value::Null));
    assert_eq!((code(199), code(200)), (Value::Null, json!("unavailable")), "the next question wasn't asked");
    assert!(node.0.requests.try_recv().is_err());
    // What a limit let through is the first of them.
    let (answer, _) = tokio::join!(
        call(&world, "POST", "/v1/publish", &[JSON], &body),
        node.asked(Told::Fates(vec![stored(1), Fate::Full, Fate::Limited { retry_ms: Some(70) }]))
    );
    let answers = answer.json();
    let told: Vec<_> = (0..201).map(|index| (&answers[index]["code"], &answers[index]["retry"])).collect();
    assert_eq!(told[..2], [(&Value::Null, &Value::Null), (&json!("storage_full"), &Value::Null)]);
    assert!(told[2..].iter().all(|one| *one == (&json!("limit_rate"), &json!(70))), "{answers}");
}

fn page() -> HistoryPage {
    let publication = |text: &str| Publication {
        user: Some("ann".parse().expect("a user")),
        mid: Some("m".into()),
        conn: Some("c1".parse().expect("a connection")),
        session: Some("secret".parse().expect("a session")),
        echo: false,
        ..Publication::new(1, Payload::from_json(text.as_bytes()).expect("JSON"))
    };
    let entries = vec![(9, 99, Arc::new(publication("{\"x\":1}"))), (4, 44, Arc::new(publication("null")))];
    HistoryPage { epoch: EPOCH, entries, more: true, oldest: Some(2), newest: Some(9) }
}

#[tokio::test]
async fn a_page_of_history_is_asked_for_and_told() {
    let mut world = World::start(&format!("{OPEN}{CLASS}")).await;
    let mut node = Node::of(&mut world).await;
    let (answer, asked) = tokio::join!(
        call(&world, "GET", "/v1/messages?room=kept.r&before=10&limit=2", &[], ""),
        node.asked(Told::History(page()))
    );
    assert_eq!(asked, Ask::History { page: PageOf { after: None, before: Some(10), limit: 2, epoch: None } });
    assert_eq!(
        answer.json(),
        json!({
            "epoch": EPOCH.to_string(),
            "messages": [
                {"offset": 9, "ts": 99, "user": "ann", "mid": "m", "data": {"x": 1}},
                {"offset": 4, "ts": 44, "user": "ann", "mid": "m", "data": null}
            ],
            "more": true, "oldest": 2, "newest": 9
        }),
        "neither connections nor sessions are told"
    );
    let empty = HistoryPage { entries: Vec::new(), more: false, oldest: None, newest: None, ..page() };
    let (answer, _) = tokio::join!(
        call(&world, "GET", "/v1/messages?room=kept.r&after=9", &[], ""),
        node.asked(Told::History(empty))
    );
    assert_eq!(answer.json(), json!({"epoch": EPOCH.to_string(), "messages": [], "more": false}));
    for code in [Code::NoHistory, Code::Unavailable] {
        let (answer, _) = tokio::join!(
            call(&world, "GET", "/v1/messages?room=kept.r", &[], ""),
            node.asked(Told::Refused { code: code.clone() })
        );
        assert_eq!((answer.status, answer.code()), (code.http_status(), code.to_string()));
    }
    for query in [
        "",
        "room=kept.r&limit=0",
        "room=kept.r&limit=1000000000",
        "room=kept.r&limit=1&limit=1",
        "room=kept.r&after=-1",
        "room=kept.r&after=18446744073709551616",
        "room=kept.r&after=1&before=2",
        "room=kept.r&epoch=%00",
    ] {
        let answer = call(&world, "GET", &format!("/v1/messages?{query}"), &[], "").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{query}");
    }
    assert!(node.0.requests.try_recv().is_err(), "what can't be understood reaches nobody");
}

#[tokio::test]
async fn who_only_asked_hears_that_nothing_was_done() {
    let mut world = World::start(OPEN).await;
    let mut node = Node::of(&mut world).await;
    let (answer, kept) =
        tokio::join!(call(&world, "GET", "/v1/messages?room=r", &[], ""), node.0.requests.recv());
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    drop(kept);
    let (answer, kept) =
        tokio::join!(call(&world, "DELETE", "/v1/messages?room=r", &[], ""), node.0.requests.recv());
    assert_eq!((answer.status, answer.code().as_str()), (504, "outcome_unknown"));
    drop(kept);
}

#[tokio::test]
async fn to_read_needs_history_and_to_forget_manage() {
    let hash = |key: &str| hash_api_key(key);
    let config = format!(
        "{JWT}api_keys = [\n  {{ id = \"app\", hash = \"{}\", rights = [\"history\"], rooms = [\"kept.**\"] }},\n  \
         {{ id = \"boss\", hash = \"{}\", rights = [\"manage\"], rooms = [\"kept.**\"] }},\n]\n{CLASS}",
        hash("rk_app_secret"),
        hash("rk_boss_secret")
    );
    let mut world = World::start(&config).await;
    let mut node = Node::of(&mut world).await;
    let answering = tokio::spawn(async move {
        while let Some(IncomingRequest { request, reply }) = node.0.requests.recv().await {
            let Question::Room { ask, .. } = request.body else { panic!("about a room") };
            reply.send(if ask == Ask::Forget { Told::Done } else { Told::History(page()) });
        }
    });
    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    let (reader, writer) =
        (bearer(&token("ann", &[Right::History])), bearer(&token("ann", &[Right::Join, Right::Publish])));
    let (app, boss) = (bearer("rk_app_secret"), bearer("rk_boss_secret"));
    for (key, method, room, status) in [
        (&reader, "GET", "kept.r", 200),
        (&writer, "GET", "kept.r", 403),
        (&app, "GET", "kept.r", 200),
        (&app, "GET", "other", 403),
        (&boss, "GET", "kept.r", 403),
        (&boss, "DELETE", "kept.r", 200),
        (&boss, "DELETE", "other", 403),
        (&app, "DELETE", "kept.r", 403),
        (&reader, "DELETE", "kept.r", 403),
    ] {
        let answer = call(&world, method, &format!("/v1/messages?room={room}"), &[key], "").await;
        assert_eq!(answer.status, status, "{method} {room} {answer:?}");
    }
    let answer = call(&world, "DELETE", "/v1/messages?room=kept.r", &[&boss], "").await;
    assert_eq!(answer.json(), json!({}));
    assert_eq!(call(&world, "DELETE", "/v1/messages", &[&boss], "").await.code(), "bad_request");
    answering.abort();
}
