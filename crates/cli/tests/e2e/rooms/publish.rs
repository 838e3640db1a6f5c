//! Publishing to rooms over HTTP.

use super::*;

/// A member of `room` on each of three nodes, of both formats.
async fn members_everywhere(cluster: &Cluster, room: &str) -> Vec<Peer> {
    let http = cluster.http();
    let mut all = Vec::new();
    for (n, at) in ["node-1", "node-2", "node-3"].into_iter().enumerate() {
        let home = rooms(&http, "http.home", 1, |node| node == at).await.remove(0);
        let mut peer = Peer::open(&cluster.options(FORMATS[n % 2], Some(&home))).await;
        peer.joined().await;
        peer.join(room).await;
        all.push(peer);
    }
    all
}

async fn heard(all: &mut [Peer]) -> Msg {
    let first = all[0].msg().await;
    for peer in &mut all[1..] {
        let msg = peer.msg().await;
        // Bytes within a value are text for members that speak JSON.
        assert_eq!(text(&msg.data), text(&first.data));
        assert_eq!(Msg { data: first.data.clone(), ..msg }, first);
    }
    first
}

#[tokio::test]
async fn a_server_publishes_to_a_room_over_http() {
    let cluster = Cluster::over_nats(3, 1);
    let gateway = cluster.gateway();
    let room = "http é/+ room";
    let target = format!("/v1/messages?room={}", encoded(room));
    let mut all = members_everywhere(&cluster, room).await;
    let msgpack = [0x82, 0xa1, b'x', 0xcb, 0x40, 0x04, 0, 0, 0, 0, 0, 0, 0xa1, b'y', 0xc4, 1, 0];
    // The body, and what members get.
    for (n, (kind, body, value, bytes)) in [
        (
            "application/json",
            &br#" {"b": 1, "a":[1.0,-0,"\u00e9"]} "#[..],
            r#"{"b":1,"a":[1.0,-0.0,"é"]}"#,
            None,
        ),
        ("application/json; charset=utf-8", b"null", "null", None),
        ("APPLICATION/JSON", b"7", "7", None),
        ("application/msgpack", &msgpack, r#"{"x":2.5,"y":"AA=="}"#, None),
        ("application/msgpack", &[0xc4, 2, 1, 2], "", Some(vec![1, 2])),
        ("application/octet-stream", b"\0\xff", "", Some(vec![0, 255])),
        ("application/octet-stream", b"", "", Some(vec![])),
    ]
    .into_iter()
    .enumerate()
    {
        let result = post(&target, kind, body).ok(gateway);
        assert_eq!(result["offset"], n as u64 + 1, "{result}");
        assert_eq!(result.as_object().unwrap().keys().collect::<Vec<_>>(), ["epoch", "offset"]);
        let msg = heard(&mut all).await;
        assert_eq!((msg.offset, msg.room.as_ref(), msg.user), (Some(n as u64 + 1), Some(&name(room)), None));
        match bytes {
            Some(bytes) => assert_eq!(msg.data.bytes().map(|got| got.to_vec()), Some(bytes)),
            None => assert_eq!(text(&msg.data), value),
        }
    }
    // Everything beside the body.
    let excluded = all[2].hello.conn.clone();
    let full = post(&target, "application/json", "1")
        .with("Ringway-Event", "moved")
        .with("Ringway-Key", "shape é 9")
        .with("Ringway-Message-Id", "m-1")
        .with("Ringway-Store", "false")
        .with("Ringway-Exclude", excluded.as_str())
        .with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let result = full.ok(gateway);
    let msg = heard(&mut all[..2]).await;
    assert_eq!(msg.offset, result["offset"].as_u64());
    assert_eq!((msg.event.as_deref(), msg.mid.as_deref()), (Some("moved"), Some("m-1")));
    assert_eq!(msg.key.as_ref().map(|key| key.as_str()), Some("shape é 9"));
    assert_eq!(msg.trace.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    // Again: published once, answered alike.
    let again = full.ok(gateway);
    assert_eq!(
        (&again["offset"], &again["epoch"], &again["duplicate"]),
        (&result["offset"], &result["epoch"], &json!(true))
    );
    // Who was left out hears the next one, and gets the other by asking.
    let next = post(&target, "application/json", "2").ok(gateway);
    let msg = heard(&mut all).await;
    assert_eq!(msg.offset, next["offset"].as_u64());
    all[2].leave(room).await;
    all[2].join_from(room, None, Some(2)).await;
    assert_eq!(all[2].msg().await.mid.as_deref(), Some("m-1"));

    // In the name of a user, where authentication is off.
    let to_users_room = format!("{target}&tenant=default");
    post(&to_users_room, "application/json", "3").ok(gateway);
    assert_eq!(heard(&mut all[..2]).await.user, None);
}

#[tokio::test]
async fn what_cannot_be_published_over_http_is_told() {
    let mut launcher = launcher(OPEN);
    let serve = launcher.serve(&[]);
    let gateway = serve.listen;
    let mut listener = Peer::open(&options(gateway, Format::Json, Some("r"))).await;
    listener.joined().await;
    let (json_type, target) = ("application/json", "/v1/messages?room=r");
    let good = post(target, json_type, "1");
    let biggest = format!("\"{}\"", "x".repeat(64 * 1024 - 2));
    let chunked = call("POST", target).with("Content-Type", json_type).with("Transfer-Encoding", "chunked");
    for (why, call, status, code) in [
        ("no type", call("POST", target).with("Content-Length", "0"), 415, "bad_request"),
        ("another type", post(target, "text/plain", "1"), 415, "bad_request"),
        ("a form's", post(target, "application/x-www-form-urlencoded", "1"), 415, "bad_request"),
        ("two types", good.clone().with("Content-Type", json_type), 415, "bad_request"),
        ("one byte too many", post(target, json_type, format!("{biggest} ")), 413, "too_big"),
        ("bytes too many", post(target, "application/octet-stream", vec![0; 64 * 1024 + 1]), 413, "too_big"),
        (
            "too much, unannounced",
            chunked.body(&format!("10001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10001))),
            413,
            "too_big",
        ),
        ("no JSON", post(target, json_type, "{"), 400, "bad_payload"),
        ("nothing", post(target, json_type, ""), 400, "bad_payload"),
        ("two values", post(target, json_type, "1 2"), 400, "bad_payload"),
        ("a key twice", post(target, json_type, r#"{"a":1,"\u0061":2}"#), 400, "bad_payload"),
        ("an infinity", post(target, json_type, "1e999"), 400, "bad_payload"),
        ("33 deep", post(target, json_type, "[".repeat(33) + &"]".repeat(33)), 400, "bad_payload"),
        ("no MessagePack", post(target, "application/msgpack", [0xc1]), 400, "bad_payload"),
        (
            "NaN",
            post(target, "application/msgpack", [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            400,
            "bad_payload",
        ),
        ("a timestamp", post(target, "application/msgpack", [0xd6, 0xff, 0, 0, 0, 0]), 400, "bad_payload"),
        ("no room", post("/v1/messages", json_type, "1"), 400, "bad_request"),
        ("a room without a name", post("/v1/messages?room=", json_type, "1"), 400, "bad_room"),
        ("a control character", post("/v1/messages?room=a%0D%0Ab", json_type, "1"), 400, "bad_room"),
        ("room and user", post("/v1/messages?room=r&user=u", json_type, "1"), 400, "bad_request"),
        ("room and all", post("/v1/messages?room=r&all=true", json_type, "1"), 400, "bad_request"),
        ("all, but not quite", post("/v1/messages?all=1", json_type, "1"), 400, "bad_request"),
        ("a long event", good.clone().with("Ringway-Event", &"e".repeat(65)), 413, "too_big"),
        ("a long id", good.clone().with("Ringway-Message-Id", &"e".repeat(65)), 413, "too_big"),
        ("a long key", good.clone().with("Ringway-Key", &"e".repeat(129)), 400, "bad_request"),
        ("an empty key", good.clone().with("Ringway-Key", ""), 400, "bad_request"),
        (
            "two events",
            good.clone().with("Ringway-Event", "a").with("ringway-event", "b"),
            400,
            "bad_request",
        ),
        ("a store that is neither", good.clone().with("Ringway-Store", "yes"), 400, "bad_request"),
        ("no connection's name", good.clone().with("Ringway-Exclude", "a b"), 400, "bad_request"),
        ("another method", call("PUT", target), 405, "bad_request"),
        ("history of what isn't kept", call("GET", target), 404, "no_history"),
        ("forgetting what isn't kept", call("DELETE", target), 404, "no_history"),
        ("what comes later", call("GET", "/v1/rooms"), 501, "not_found"),
    ] {
        assert_eq!(call.refused(gateway), (status, code.to_owned()), "{why}");
    }
    // None of it was published, and the biggest there may be is.
    assert_eq!(post(target, json_type, biggest.clone()).ok(gateway)["offset"], 1);
    assert_eq!(text(&listener.msg().await.data), biggest);
    let bytes = post(target, "application/octet-stream", vec![7; 64 * 1024]);
    assert_eq!(bytes.ok(gateway)["offset"], 2);
    assert_eq!(listener.msg().await.data.bytes().map(|bytes| bytes.len()), Some(64 * 1024));
}

#[tokio::test]
async fn many_publications_in_one_call_have_an_answer_each() {
    let cluster = Cluster::over_nats(3, 1);
    let gateway = cluster.gateway();
    let http = cluster.http();
    let mut found = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        found.extend(rooms(&http, "many", 2, |at| at == node).await);
    }
    let mut listening = BTreeMap::new();
    for room in &found {
        let mut peer = Peer::open(&cluster.options(Format::Json, Some(room))).await;
        peer.joined().await;
        listening.insert(room.clone(), peer);
    }
    let mut items: Vec<Value> =
        (0..990).map(|n| json!({"room": found[n % 6], "data": n, "mid": format!("m{n}")})).collect();
    let bad = [
        (json!({"room": "", "data": 1}), "bad_room"),
        (json!({"data": 1}), "bad_request"),
        (json!({"room": found[0]}), "bad_request"),
        (json!({"room": found[0], "data": 1, "b64": "AA=="}), "bad_request"),
        (json!({"room": found[0], "b64": "A"}), "bad_payload"),
        (json!({"room": found[0], "data": 1, "evnt": "typo"}), "bad_request"),
        (json!({"room": found[0], "data": "x".repeat(64 * 1024)}), "too_big"),
        (json!([]), "bad_request"),
        (json!(null), "bad_request"),
    ];
    // In between the others, so that each answer has to find its place.
    for (n, (item, _)) in bad.iter().enumerate() {
        items.insert(n * 100 + 50, item.clone());
    }
    items.insert(20, json!({"room": found[0], "data": "again", "mid": "m0"}));
    let body = serde_json::to_vec(&items).unwrap();
    let answers = post("/v1/publish", "application/json", body).ok(gateway);
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 1_000);
    let mut next: HashMap<&str, u64> = HashMap::new();
    for (index, (item, answer)) in items.iter().zip(answers).enumerate() {
        if let Some((_, code)) = bad.iter().find(|(bad, _)| bad == item) {
            assert_eq!(answer["code"], *code, "{index}: {item}");
            assert!(answer["message"].is_string() && answer.get("offset").is_none());
        } else if item["data"] == "again" {
            assert_eq!((&answer["offset"], &answer["duplicate"]), (&json!(1), &json!(true)));
        } else {
            let offset = next.entry(item["room"].as_str().unwrap()).or_insert(0);
            *offset += 1;
            assert_eq!(answer["offset"], *offset, "{index}: in the order given");
        }
    }
    for (room, peer) in &mut listening {
        let expected = items
            .iter()
            .filter(|item| item["room"] == *room && item["data"].is_u64() && item["mid"].is_string());
        for item in expected {
            assert_eq!(text(&peer.msg().await.data), item["data"].to_string());
        }
        // Nothing else, and nothing twice.
        peer.publish(room, "\"end\"").await;
        assert_eq!(text(&peer.msg().await.data), "\"end\"");
    }
    for (body, status) in [
        (format!("[{}1]", "1,".repeat(1_000)), 413),
        (format!("[\"{}\"]", "x".repeat(1 << 20)), 413),
        ("{}".to_owned(), 400),
        ("[".to_owned(), 400),
        (String::new(), 400),
    ] {
        assert_eq!(post("/v1/publish", "application/json", body).send(gateway).status, status);
    }
    assert_eq!(post("/v1/publish", "application/msgpack", [0x90]).refused(gateway).0, 415);
    assert_eq!(post("/v1/publish", "application/json", "[]").ok(gateway), json!([]));
}
