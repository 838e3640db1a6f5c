//! What is an upgrade, who may have one, and how the others hear it.

mod support;

use ringway_auth::Right;
use serde_json::json;
use support::http::{KEY, Wire, ask, request, upgrade};
use support::node::Node;
use support::{JWT, OPEN, TOKEN_SECRET, World, now, soon, token, token_until};

/// Whose refusals a test looks at, and how: a status where no subprotocol was offered, else a close code.
async fn refusal(world: &World, target: &str, headers: &[&str]) -> (u16, String, (u16, String)) {
    let plain = ask(world.address(), upgrade(target, headers)).await;
    let code = plain.code();
    let mut browser = Wire::open(world.address()).await;
    let offers: Vec<_> = headers.iter().copied().chain(["Sec-WebSocket-Protocol: ringway.v1.json"]).collect();
    browser.send(upgrade(target, &offers)).await;
    let answer = browser.answer().await;
    assert_eq!(answer.status, 101, "who offers a subprotocol is refused after the 101: {answer:?}");
    assert_eq!(answer.header("sec-websocket-protocol"), Some("ringway.v1.json"));
    (plain.status, code, browser.close_frame().await)
}

async fn with_node(config: &str) -> (World, Node) {
    let mut world = World::start(config).await;
    let node = Node::start().await;
    world.node("a", node.address());
    (world, node)
}

/// Sends an upgrade that must succeed; gives the ticket that the node got.
async fn taken(world: &World, node: &Node, request: &str) -> ringway_auth::Ticket {
    let mut client = Wire::open(world.address()).await;
    client.send(request).await;
    let arrival = soon("the node's turn", async {
        tokio::select! {
            arrival = node.arrival() => arrival,
            answer = client.answer() => panic!("refused: {answer:?}\nafter {request}"),
        }
    });
    let arrival = arrival.await;
    let ticket = arrival.ticket();
    let _inside = arrival.accept().await;
    assert_eq!(client.answer().await.status, 101, "{request}");
    ticket
}

#[tokio::test]
async fn lists_and_case_of_headers_do_not_matter() {
    let (world, node) = with_node(OPEN).await;
    let plain = upgrade("/v1/ws?room=r", &[]);
    for request in [
        plain.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        plain.replace("Connection: Upgrade", "Connection: keep-alive\r\nConnection: UPGRADE"),
        plain.replace("Upgrade: websocket", "Upgrade: WebSocket"),
        plain.replace("Host: localhost", "hOST: localhost"),
        upgrade("/v1/ws?room=r", &["User-Agent: Zoë", "X: \u{fe0f}"]),
        upgrade("/v1/ws?room=r", &["Origin: http://bücher.example"]),
    ] {
        taken(&world, &node, &request).await;
    }
}

#[tokio::test]
async fn a_token_may_come_as_a_subprotocol_and_is_never_answered() {
    let (world, node) = with_node(JWT).await;
    let token = token("ann", &[Right::Join]);
    for lines in [
        vec![format!("Sec-WebSocket-Protocol: bearer.{token} ,ringway.v1.msgpack")],
        vec![
            format!("Sec-WebSocket-Protocol: bearer.{token}"),
            "Sec-WebSocket-Protocol: ringway.v1.msgpack".to_owned(),
        ],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut client = Wire::open(world.address()).await;
        client.send(upgrade("/v1/ws?room=r", &lines)).await;
        let (ticket, _inside) = node.take().await;
        assert_eq!(ticket.user.map(|user| user.as_str().to_owned()).as_deref(), Some("ann"));
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.header("sec-websocket-protocol")),
            (101, Some("ringway.v1.msgpack"))
        );
        assert!(!answer.head.contains("bearer"));
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_plainly_and_no_node_hears_of_it() {
    let (world, node) = with_node(OPEN).await;
    let plain = upgrade("/v1/ws?room=r", &["Sec-WebSocket-Protocol: ringway.v1.json"]);
    let key = |key: &str| plain.replace(KEY, key);
    let long = format!("X: {}\r\nUpgrade: websocket", "y".repeat(70_000));
    let many = (0..2_000).map(|n| format!("X{n}: 1234\r\n")).collect::<String>() + "Upgrade: websocket";
    for (request, status) in [
        (plain.replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""), 400),
        (key(""), 400),
        (key("AAAAAAAAAAAAAAAAAAAA"), 400),
        (key("AAAAAAAAAAAAAAAAAAAAAAA="), 400),
        (key("!!!!!!!!!!!!!!!!!!!!!!=="), 400),
        (key(&format!("{KEY}\r\nSec-WebSocket-Key: {KEY}")), 400),
        (plain.replace("Upgrade: websocket", &many), 431),
        (plain.replace("Upgrade: websocket", &long), 431),
        (plain.replace("GET ", "POST "), 405),
        (plain.replace("HTTP/1.1", "HTTP/1.0"), 505),
        (plain.replace("HTTP/1.1", "HTTP/2.0"), 400),
        (plain.replace("GET /v1", "GET http://localhost/v1"), 400),
        (plain.replace("Version: 13", "Version: 8"), 426),
        (plain.replace("Upgrade: websocket\r\n", ""), 426),
        (plain.replace("ringway.v1.json", "chat"), 400),
        (plain.replace("Host: localhost\r\n", ""), 400),
        (plain.replace("Upgrade: websocket", "Content-Length: 5\r\nUpgrade: websocket") + "12345", 400),
        (
            plain.replace("Upgrade: websocket", "Transfer-Encoding: chunked\r\nUpgrade: websocket")
                + "5\r\n12345\r\n0\r\n\r\n",
            400,
        ),
        (
            plain.replace(
                "Upgrade: websocket",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket",
            ) + "5\r\n12345\r\n0\r\n\r\n",
            400,
        ),
        (plain.replace("Upgrade: websocket", "Expect: 100-continue\r\nUpgrade: websocket"), 400),
        ("GET /v1/ws?room=r HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 426),
    ] {
        let mut client = Wire::open(world.address()).await;
        client.send(&request).await;
        let answer = client.answer().await;
        let start = &request[..request.len().min(300)];
        assert_eq!(answer.status, status, "{start}");
        client.until_end().await;
    }
    node.assert_alone().await;
}

#[tokio::test]
async fn queries_are_read_strictly_and_refused_plainly() {
    let (world, node) = with_node(OPEN).await;
    for (query, code) in [
        ("room=%zz", "bad_request"),
        ("room=a&room=b", "bad_request"),
        ("x=1&room=a&x=1", "bad_request"),
        ("room=%ff", "bad_request"),
        ("tenant=Not+One", "bad_request"),
        ("user=", "bad_request"),
        ("client=", "bad_request"),
        ("room=%00", "bad_room"),
        ("room=", "bad_room"),
        ("?&&=&room", "bad_room"),
        ("room=a%0d%0ab", "bad_room"),
        ("room=a&since=x", "bad_since"),
        ("since=e:1", "bad_since"),
    ] {
        // A malformed request is refused before the 101, whatever was offered.
        for offer in ["X: y", "Sec-WebSocket-Protocol: ringway.v1.json"] {
            let answer = ask(world.address(), upgrade(&format!("/v1/ws?{query}"), &[offer])).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, code), "{query}");
        }
    }
    node.assert_alone().await;
    let mut rooms = Vec::new();
    for query in ["room=a%2Fb", "room=a+b", "room=a%20b", "", "room=*&unknown=1", "room=%24SYS.x"] {
        let ticket = taken(&world, &node, &upgrade(&format!("/v1/ws?{query}"), &[])).await;
        rooms.push(ticket.room.map(|room| room.as_str().to_owned()).unwrap_or_default());
    }
    assert_eq!(rooms, ["a/b", "a b", "a b", "", "*", "$SYS.x"]);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let config = format!("{JWT}origins = [\"https://a.example\"]\n");
    let (world, node) = with_node(&config).await;
    let bearer = format!("Authorization: Bearer {}", token("ann", &[Right::Join]));
    for good in ["https://a.example", "https://a.example:443", "HTTPS://A.Example"] {
        taken(&world, &node, &upgrade("/v1/ws?room=r", &[&bearer, &format!("Origin: {good}")])).await;
    }
    taken(&world, &node, &upgrade("/v1/ws?room=r", &[&bearer])).await;
    for bad in [
        "http://a.example",
        "https://a.example.evil",
        "https://evil?https://a.example",
        "null",
        "http://bücher.example",
        "",
    ] {
        let refused = refusal(&world, "/v1/ws?room=r", &[&bearer, &format!("Origin: {bad}")]).await;
        assert_eq!(refused, (403, "bad_origin".to_owned(), (4403, "bad_origin".to_owned())), "{bad}");
    }
    let two = upgrade("/v1/ws?room=r", &[&bearer, "Origin: https://a.example", "Origin: https://a.example"]);
    assert_eq!(ask(world.address(), two).await.status, 400);
    node.assert_alone().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_by_status_or_close_code() {
    let (world, node) = with_node(JWT).await;
    let refused = async |token: &str| {
        let (status, code, close) =
            refusal(&world, "/v1/ws?room=r", &[&format!("Authorization: Bearer {token}")]).await;
        assert_eq!(close.1, code);
        (status, close.0, code)
    };
    let no = |code: &str| (401, 4401, code.to_owned());
    assert_eq!(refusal(&world, "/v1/ws?room=r", &[]).await.0, 401);
    assert_eq!(refused("nonsense").await, no("token_invalid"));
    assert_eq!(refused(&token_until("ann", &[], now() - 1)).await, no("expired"));
    assert_eq!(refused(&(token("ann", &[]) + "x")).await, no("token_invalid"));
    // Times that aren't any never make an endless token.
    for exp in [json!("1700000000"), json!(-1), json!(null), json!([]), json!(1e30), json!(u64::MAX)] {
        assert_eq!(
            refused(&forged(&json!({"aud":"ringway","tenant":"acme","sub":"u","exp":exp}))).await.1,
            4401,
            "{exp}"
        );
    }
    let other = forged(&json!({"aud":"ringway","tenant":"other","sub":"u","exp":now() + 60}));
    assert_eq!(refused(&other).await, (404, 4404, "unknown_tenant".to_owned()));
    node.assert_alone().await;
    // With one tenant its name may be left out; 1.5e9-like floats are times.
    let expires = now() + 60;
    let nameless = forged(&json!({"aud":"ringway","sub":"u","exp":expires as f64}));
    let ticket =
        taken(&world, &node, &upgrade("/v1/ws", &[&format!("Authorization: Bearer {nameless}")])).await;
    assert_eq!((ticket.tenant.as_str(), ticket.expires), ("acme", Some(expires)));
}

/// Any claims, signed as acme does.
fn forged(claims: &serde_json::Value) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    encode(&Header::default(), claims, &EncodingKey::from_secret(TOKEN_SECRET)).expect("signed")
}

#[tokio::test]
async fn a_token_in_the_url_counts_only_where_it_may() {
    let token = token("ann", &[]);
    let (world, _node) = with_node(JWT).await;
    let refused = ask(world.address(), upgrade(&format!("/v1/ws?token={token}"), &[])).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_invalid"));
    let mut world = World::with(JWT, |settings, _| settings.token_in_query = true).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let ticket = taken(&world, &node, &upgrade(&format!("/v1/ws?token={token}"), &[])).await;
    assert_eq!(ticket.user.map(|user| user.as_str().to_owned()).as_deref(), Some("ann"));
    let twice = upgrade(&format!("/v1/ws?token={token}"), &[&format!("Authorization: Bearer {token}")]);
    assert_eq!(ask(world.address(), twice).await.status, 400);
}

#[tokio::test]
async fn bytes_behind_a_refused_upgrade_are_no_request() {
    let mut world = World::start(JWT).await;
    world.node("a", support::closed_port());
    let bearer = format!("Authorization: Bearer {}", token("ann", &[]));
    let smuggled = String::from_utf8(request("GET", "/v1/locate?room=r", &[&bearer], b"")).expect("text");
    for (refused, status) in [
        (upgrade("/v1/ws?room=r", &[]), 401),
        (upgrade("/v1/ws?room=r", &[&bearer]), 503),
        (upgrade("/v1/ws?room=", &[&bearer]), 400),
        (upgrade("/v1/ws?room=r", &[&bearer]).replace("Version: 13", "Version: 12"), 426),
    ] {
        let mut client = Wire::open(world.address()).await;
        client.send(refused + &smuggled).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        assert!(answer.header("connection").is_some_and(|value| value.starts_with("close")), "{answer:?}");
        assert_eq!(client.until_end().await, b"", "one answer and no second");
    }
}

#[tokio::test]
async fn where_a_client_comes_from_is_what_the_socket_says() {
    let (world, node) = with_node(OPEN).await;
    let forwarded = ["X-Forwarded-For: 10.9.9.9", "X-Forwarded-For: 10.8.8.8", "X-Forwarded-Proto: https"];
    let ticket = taken(&world, &node, &upgrade("/v1/ws", &forwarded)).await;
    assert!(ticket.peer.starts_with("127.0.0.1:"), "{}", ticket.peer);
}

#[tokio::test]
async fn a_changed_configuration_holds_from_the_next_upgrade_on() {
    let (world, node) = with_node(JWT).await;
    let bearer = format!("Authorization: Bearer {}", token("ann", &[]));
    taken(&world, &node, &upgrade("/v1/ws", &[&bearer])).await;
    world.directory.send_replace(support::directory(&format!("{JWT}origins = []\n")));
    let refused = ask(world.address(), upgrade("/v1/ws", &[&bearer, "Origin: https://a.example"])).await;
    assert_eq!(refused.code(), "bad_origin", "an empty list admits no page");
    world.directory.send_replace(support::directory(&JWT.replace("acme]", "other]")));
    assert_eq!(ask(world.address(), upgrade("/v1/ws", &[&bearer])).await.code(), "unknown_tenant");
}

#[tokio::test]
async fn it_listens_on_ipv6_too() {
    let mut world =
        World::with(OPEN, |settings, _| settings.listen = "[::1]:0".parse().expect("an address")).await;
    let node = Node::start().await;
    world.node("a", node.address());
    let request = upgrade("/v1/ws", &[]).replace("Host: localhost", "Host: [::1]:8080");
    let ticket = taken(&world, &node, &request).await;
    assert!(ticket.peer.starts_with("[::1]:"), "{}", ticket.peer);
}
