//! What is shown beside or in place of a token: API keys and sessions.

use super::*;

#[tokio::test]
async fn an_api_key_may_do_what_its_rights_say_in_its_rooms() {
    let site = Site::start();
    let gateway = site.at();
    let mut ann = Peer::open(&by(gateway, &token("ann"), Some("board.1"))).await;
    ann.joined().await;
    let shared = EncodingKey::from_secret(GLOBEX.as_bytes());
    let of_globex = with(&claims(Some("ann"), &all()), "tenant", "globex");
    let of_globex = signed_by(Algorithm::HS256, None, &shared, &of_globex);
    let mut globex = Peer::open(&by(gateway, &of_globex, Some("board.1"))).await;
    globex.joined().await;

    let publish_to = |room: &str| post(&format!("/v1/messages?room={room}"), JSON, "1");
    let count = |room: &str| get(&format!("/v1/members?room={room}"));
    let forbidden = || (403, "forbidden".to_owned());
    let ok = |call: Call, key: &str| call.by(key).ok(gateway);
    // In which rooms, and which rights.
    for room in ["board.1", "board.a.b", "chat.1"] {
        assert!(ok(publish_to(room), APP)["offset"].is_u64());
        assert_eq!(count(room).by(APP).refused(gateway), forbidden());
    }
    for room in ["board", "chat.1.2", "other"] {
        assert_eq!(publish_to(room).by(APP).refused(gateway), forbidden());
        assert!(ok(publish_to(room), BOSS)["offset"].is_u64());
    }
    assert_eq!(ok(count("board.1"), BOSS), json!({"count": 1, "users": 1}));
    let msg = ann.msg().await;
    assert_eq!((msg.room, msg.user), (Some(name("board.1")), None), "a server is no user");
    // What is about others needs `manage`.
    for target in ["/v1/messages?user=ann", "/v1/messages?all=true"] {
        let call = post(target, JSON, "\"to you\"");
        assert_eq!(call.clone().by(APP).refused(gateway), forbidden());
        assert_eq!(call.clone().by(OTHER).refused(gateway), forbidden());
        assert_eq!(ok(call, BOSS), json!({}));
        let msg = ann.msg().await;
        assert_eq!((msg.room, text(&msg.data).as_str()), (None, "\"to you\""));
    }
    let items = json!([{"room": "board.1", "data": 2}, {"room": "x", "data": 1}]);
    let answers = ok(post("/v1/publish", JSON, items.to_string()), APP);
    assert!(answers[0]["offset"].is_u64());
    assert_eq!(answers[1]["code"], "forbidden");
    assert_eq!(text(&ann.msg().await.data), "2");
    // A key acts in its own tenant, whatever the query says.
    ok(post("/v1/messages?room=board.1&tenant=acme", JSON, "\"globex\""), OTHER);
    assert_eq!(text(&globex.msg().await.data), "\"globex\"");
    assert_eq!(ok(count("board.1&tenant=acme"), OTHER), json!({"count": 1, "users": 1}));
    ok(publish_to("board.1"), APP);
    assert_eq!(text(&ann.msg().await.data), "1", "and nothing of the other's before it");
    // Where something lives; a server itself lives nowhere.
    let located = ok(get("/v1/locate?room=board.1"), APP);
    assert_eq!(located["tenant"], "acme");
    assert!(located.get("url").is_none() && located["node"].is_string());
    assert_eq!(get("/v1/locate").by(APP).refused(gateway), (400, "bad_request".to_owned()));
    // Keys that are none.
    for key in [
        "rk_app_0123456789abcdeF",
        "rk_app_",
        "rk_app",
        "rk_",
        "rk__0123456789abcdef",
        "rk_nobody_0123456789abcdef",
        "rk_other_0123456789abcdef",
        "rk_boss-1_with_lines",
        "RK_app_0123456789abcdef",
        "0123456789abcdef",
        &ringway_auth::hash_api_key(APP),
    ] {
        for call in [publish_to("board.1"), count("board.1"), get("/v1/locate?room=board.1")] {
            assert_eq!(call.by(key).refused(gateway), (401, "token_invalid".to_owned()), "{key}");
        }
    }
    // As a header has it: the scheme in any case.
    let lower = publish_to("board.1").with("authorization", &format!("bearer {APP}"));
    assert!(lower.ok(gateway)["offset"].is_u64());
    // The hash is that of the whole key, as the documentation makes it.
    let output =
        Command::new("sh").args(["-c", "printf %s \"$KEY\" | sha256sum"]).env("KEY", APP).output().unwrap();
    let digest = String::from_utf8(output.stdout).unwrap();
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(ringway_auth::hash_api_key(APP), format!("sha256:{digest}"));
    assert!(site.keys.config().contains(digest));
}

/// The session says which client somebody without a name is: what it published once is recognized when it comes back.
#[tokio::test]
async fn a_session_given_back_goes_on_and_another_begins_anew() {
    let site = Site::start();
    let nobody = signed(&claims(None, &all()));
    let once = || ClientFrame::Pub(Pub { mid: Some("once".into()), ..publication("r", "1") });
    let open = async |token: &str, session: Option<&str>, secrets: Secrets| {
        let session = session.map(str::to_owned);
        Peer::open(&ConnectOptions { session, secrets, ..by(site.at(), token, None) }).await
    };
    let repeats = async |peer: &mut Peer| peer.ask(once()).await.unwrap().unwrap().into_pub().duplicate;
    let mut first = open(&nobody, None, Secrets::Headers).await;
    assert!(!repeats(&mut first).await);
    let session = first.hello.session.to_string();
    // Again and again, each time with the newest, by header and by subprotocol.
    let mut newest = session.clone();
    for secrets in [Secrets::Headers, Secrets::Subprotocols, Secrets::Headers] {
        let mut back = open(&nobody, Some(&newest), secrets).await;
        assert_ne!(back.hello.conn, first.hello.conn, "another connection of the same client");
        assert!(repeats(&mut back).await);
        newest = back.hello.session.to_string();
    }
    // An old one is as good, and a longer grant of the token doesn't matter.
    assert!(repeats(&mut open(&nobody, Some(&session), Secrets::Headers).await).await);
    // What isn't one, or isn't this client's, is no reason to be refused: a new one begins.
    let globex = EncodingKey::from_secret(GLOBEX.as_bytes());
    let elsewhere =
        signed_by(Algorithm::HS256, None, &globex, &with(&claims(None, &all()), "tenant", "globex"));
    for other in ["x", &format!("{session}x"), &nobody] {
        assert!(!repeats(&mut open(&nobody, Some(other), Secrets::Headers).await).await, "{other}");
    }
    let mut other_tenant = open(&elsewhere, Some(&session), Secrets::Headers).await;
    assert!(!repeats(&mut other_tenant).await);
    assert!(!repeats(&mut open(&nobody, Some(&other_tenant.hello.session), Secrets::Headers).await).await);
    // It never stands in for a token, nor in a URL.
    let mut alone = options(site.at(), Format::Json, None);
    alone.session = Some(session.clone());
    assert_eq!(refused(alone).await, ("token_invalid".to_owned(), 401, 4401));
    let in_url = get(&format!("/v1/ws?session={session}")).upgrade().by(&nobody);
    assert_eq!(in_url.status(site.at()), 101, "a parameter that nobody knows");
}
