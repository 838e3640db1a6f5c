//! Which tokens let somebody in, and what the others are told.

use super::*;

/// A key of acme for each algorithm.
fn private_keys() -> [(Algorithm, &'static str, EncodingKey); 4] {
    let pem = |file: &str| std::fs::read(format!("{KEYS}/{file}")).unwrap();
    [
        (Algorithm::HS256, "h", EncodingKey::from_secret(ACME.as_bytes())),
        (Algorithm::ES256, "e", EncodingKey::from_ec_pem(&pem("es256.pem")).unwrap()),
        (Algorithm::RS256, "r", EncodingKey::from_rsa_pem(&pem("rs256.pem")).unwrap()),
        (Algorithm::EdDSA, "d", EncodingKey::from_ed_pem(&pem("ed25519.pem")).unwrap()),
    ]
}

#[tokio::test]
async fn a_token_of_each_algorithm_lets_in_by_header_and_by_subprotocol() {
    let site = Site::start();
    for (algorithm, kid, key) in private_keys() {
        let good = claims(Some("Zoë"), &all());
        let token = signed_by(algorithm, Some(kid), &key, &good);
        for format in [Format::Json, Format::Msgpack] {
            for secrets in [Secrets::Headers, Secrets::Subprotocols] {
                let mut options =
                    ConnectOptions { format: Some(format), secrets, ..by(site.at(), &token, Some("r")) };
                // Who somebody is says the token, whatever the query says.
                options.tenant = Some("globex".parse().unwrap());
                options.user = Some("bob".parse().unwrap());
                let conn = Connection::open(&options).await.unwrap();
                let chosen = conn.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
                assert_eq!(chosen, format.subprotocol(), "the token doesn't come back");
                let mut peer = Peer::after_hello(conn).await;
                assert_eq!(peer.hello.user.as_ref().map(|user| user.as_str()), Some("Zoë"));
                assert!((3_590..=3_600).contains(&peer.hello.expires.unwrap()));
                let rights = peer.joined().await.result.rights.unwrap();
                assert_eq!(rights, ["join", "publish", "presence", "history", "call"]);
                peer.publish("r", "1").await;
                assert_eq!(peer.msg().await.user.as_ref().map(|user| user.as_str()), Some("Zoë"));
            }
        }
        assert_eq!(get("/v1/members?room=nobody").by(&token).ok(site.at())["count"], 0);
    }
}

#[tokio::test]
async fn a_token_in_the_query_counts_only_where_the_configuration_allows_it() {
    let token = token("ann");
    for allowed in [false, true] {
        let site = Site::with(&[("RINGWAY_GATEWAY__TOKEN_IN_QUERY", if allowed { "true" } else { "false" })]);
        let target = format!("/v1/ws?room=r&token={token}");
        if allowed {
            assert_eq!(get(&target).upgrade().status(site.at()), 101);
            assert_eq!(get(&target).upgrade().by(&token).refused(site.at()).0, 400, "given twice");
        } else {
            assert_eq!(get(&target).upgrade().refused(site.at()), (401, "token_invalid".to_owned()));
            assert_eq!(get(&target).upgrade().by(&token).status(site.at()), 101, "it isn't looked at");
        }
        // Calls take theirs from the header alone.
        let call = get(&format!("/v1/members?room=r&token={token}"));
        assert_eq!(call.refused(site.at()), (401, "token_invalid".to_owned()));
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_and_told_why() {
    let site = Site::start();
    let good = claims(Some("ann"), &all());
    let shared = EncodingKey::from_secret(ACME.as_bytes());
    let globex = EncodingKey::from_secret(GLOBEX.as_bytes());
    let hs256 = |kid, key, claims: &Value| signed_by(Algorithm::HS256, kid, key, claims);
    let public_as_secret = EncodingKey::from_secret(&std::fs::read(format!("{KEYS}/es256.pub.pem")).unwrap());
    let parts: Vec<String> = signed(&good).split('.').map(str::to_owned).collect();
    let session = Peer::open(&by(site.at(), &signed(&good), None)).await.hello.session.to_string();
    let invalid = ("token_invalid", 401, 4401);
    let mut cases: Vec<(&str, String, (&str, u16, u16))> = vec![
        ("no JWT", "x".into(), invalid),
        ("three parts of nothing", "a.b.c".into(), invalid),
        ("no algorithm (none)", format!("eyJhbGciOiJub25lIn0.{}.", parts[1]), invalid),
        ("none, and a signature", format!("eyJhbGciOiJub25lIn0.{}.{}", parts[1], parts[2]), invalid),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), invalid),
        ("another's signature", hs256(Some("h"), &globex, &good), invalid),
        (
            "another's claims",
            format!(
                "{}.{}.{}",
                parts[0],
                signed(&with(&good, "sub", "bob")).split('.').nth(1).unwrap(),
                parts[2]
            ),
            invalid,
        ),
        ("of another tenant, signed here", signed(&with(&good, "tenant", "globex")), invalid),
        ("no tenant where there are two", signed(&without(&good, "tenant")), invalid),
        ("a tenant that is none", signed(&with(&good, "tenant", "initech")), ("unknown_tenant", 404, 4404)),
        ("no tenant's name", signed(&with(&good, "tenant", "ACME")), invalid),
        ("a wrong kid", hs256(Some("x"), &shared, &good), invalid),
        ("no kid where there are several keys", hs256(None, &shared, &good), invalid),
        ("the kid of another algorithm's key", hs256(Some("e"), &shared, &good), invalid),
        ("a public key as a secret", hs256(Some("e"), &public_as_secret, &good), invalid),
        (
            "another algorithm with the same key",
            signed_by(Algorithm::HS512, Some("h"), &shared, &good),
            invalid,
        ),
        ("expired", signed(&with(&good, "exp", now() - 1)), ("expired", 401, 4401)),
        ("expired long ago", signed(&with(&good, "exp", 0)), ("expired", 401, 4401)),
        ("not yet valid", signed(&with(&good, "nbf", now() + 600)), invalid),
        ("no end", signed(&without(&good, "exp")), invalid),
        ("no audience", signed(&without(&good, "aud")), invalid),
        ("another audience", signed(&with(&good, "aud", "ringway-ticket")), invalid),
        ("no user's name", signed(&with(&good, "sub", "")), invalid),
        ("a number for a user", signed(&with(&good, "sub", 7)), invalid),
        (
            "a right that is none",
            signed(&with(&good, "grants", json!([{"rooms": "a", "rights": ["read"]}]))),
            invalid,
        ),
        (
            "a right that no token has",
            signed(&with(&good, "grants", json!([{"rooms": "a", "rights": ["manage"]}]))),
            invalid,
        ),
        (
            "grants that aren't a list",
            signed(&with(&good, "grants", json!({"rooms": "a", "rights": []}))),
            invalid,
        ),
        ("a room that is none to join", signed(&with(&good, "join", json!(["a\n"]))), invalid),
        ("too much to show", signed(&with(&good, "info", "x".repeat(1_025))), invalid),
        ("too long", signed(&with(&good, "iss", "x".repeat(16 * 1024))), invalid),
        ("a session", session, invalid),
        ("an API key", BOSS.into(), invalid),
    ];
    // Times that aren't: no wrap-around, and no token without an end.
    for exp in [
        json!("1700000000"),
        json!(format!("{}", now() + 60)),
        json!(1e30),
        json!(-1),
        json!(null),
        json!([]),
        json!(1_u64 << 63),
        json!(u64::MAX),
        json!(now() as f64 + 60.5),
        json!(now() * 1_000),
        json!(true),
    ] {
        cases.push(("a time that is none", signed(&with(&good, "exp", exp)), invalid));
    }
    cases.push((
        "a time as a float, over",
        signed(&with(&good, "exp", json!(1.5e9))),
        ("expired", 401, 4401),
    ));
    cases.push(("issued at no time", signed(&with(&good, "iat", 1_u64 << 63)), invalid));
    for (why, token, expected) in &cases {
        let expected = (expected.0.to_owned(), expected.1, expected.2);
        let mut options = by(site.at(), token, Some("r"));
        assert_eq!(refused(options.clone()).await, expected, "{why}");
        options.secrets = Secrets::Subprotocols;
        options.format = Some(Format::Json);
        match Connection::open(&options).await.unwrap().receive().await {
            Err(ReceiveError::Closed(closed)) => {
                assert_eq!((closed.reason, closed.code.0), (expected.0.clone(), expected.2), "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
        // A call is refused alike; an API key is at its place there.
        if token != BOSS {
            let (status, code) = get("/v1/members?room=r").by(token).refused(site.at());
            assert_eq!((code, status), (expected.0, expected.1), "{why}");
        }
    }
    let missing = options(site.at(), Format::Json, Some("r"));
    assert_eq!(refused(missing).await, ("token_invalid".to_owned(), 401, 4401));
    for call in [
        get("/v1/members?room=r"),
        get("/v1/locate?room=r&tenant=acme&user=ann"),
        post("/v1/messages?room=r", JSON, "1"),
    ] {
        let answer = call.send(site.at());
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer realm=\"ringway\""))
        );
        assert_eq!(
            call.clone().with("Authorization", "Basic YTpi").refused(site.at()),
            (401, "token_invalid".to_owned())
        );
        assert_eq!(call.by("x").by("x").refused(site.at()), (400, "bad_request".to_owned()));
    }
    // What looks odd and is right.
    let whole = json!((now() + 60) as f64);
    assert!(whole.is_f64());
    for odd in [
        with(&good, "exp", whole),
        with(&good, "aud", json!(["x", "ringway"])),
        with(&good, "iat", 1.5e9),
        with(&good, "nbf", now() - 1),
        with(&without(&good, "sub"), "grants", json!([])),
        with(&without(&good, "grants"), "unknown", json!({"a": [1]})),
    ] {
        Peer::open(&by(site.at(), &signed(&odd), None)).await;
    }
}

/// With one tenant a token needn't name it, and with one nameless key any `kid` is that one.
#[tokio::test]
async fn the_only_tenant_is_meant_where_a_token_names_none() {
    let keys = Keys::new();
    let file = keys.0.path().join("acme.key").display().to_string();
    let config = format!("[tenants.acme]\nkeys = [{{ alg = \"HS256\", file = \"{file}\" }}]\n");
    let mut launcher = launcher(&config);
    let serve = launcher.serve(&[]);
    let shared = EncodingKey::from_secret(ACME.as_bytes());
    let nameless = without(&claims(Some("ann"), &all()), "tenant");
    for kid in [None, Some("any")] {
        let token = signed_by(Algorithm::HS256, kid, &shared, &nameless);
        let mut peer = Peer::open(&by(serve.listen, &token, Some("r"))).await;
        peer.joined().await;
        assert_eq!(get("/v1/locate?room=r").by(&token).ok(serve.listen)["tenant"], "acme");
        // The node takes it as well.
        let renewed = peer.ask(ClientFrame::Auth(Auth { id: None, token: token.into() })).await;
        assert!(renewed.unwrap().unwrap().into_auth().expires.is_some());
    }
}
