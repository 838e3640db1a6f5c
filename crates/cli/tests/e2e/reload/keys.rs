//! Keys and origins change: who comes is held against the new ones, who is there stays.

use std::time::Instant;

use ringway_protocol::ClientFrame;
use ringway_protocol::frame::Auth;

use super::*;

/// A tenant with these keys, by `kid`, each in its file.
fn with_keys(kids: &[&str], more: &str) -> String {
    let key = |kid: &&str| format!("{{ alg = \"HS256\", kid = \"{kid}\", file = \"{kid}.key\" }}");
    let keys: Vec<String> = kids.iter().map(key).collect();
    format!("[tenants.acme]\nkeys = [{}]\n{more}", keys.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_and_nobody_who_is_there_notices() {
    let (old, new) = (secret("old"), secret("new"));
    let site = Site::start(&with_keys(&["old"], ""), &[("old.key", &old), ("new.key", &new)]);
    let (by_old, by_new) = (token("acme", "old", &old), token("acme", "new", &new));
    let refused = (401, "token_invalid".to_owned());
    let let_in = (101, String::new());
    assert_eq!(enters(site.at(), &by_old, None), let_in);
    assert_eq!(enters(site.at(), &by_new, None), refused);
    let mut there = Standing::by(site.at(), &by_old).await;

    site.takes_over(&with_keys(&["old", "new"], ""));
    assert_eq!(enters(site.at(), &by_old, None), let_in, "both hold for a while");
    assert_eq!(enters(site.at(), &by_new, None), let_in);

    site.takes_over(&with_keys(&["new"], ""));
    assert_eq!(enters(site.at(), &by_old, None), refused);
    let mut another = Standing::by(site.at(), &by_new).await;

    another.publish("r", "1").await.unwrap();
    assert_eq!(there.hears().await, "1");
    there.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_renewed_is_held_against_the_keys_in_force() {
    let (old, new) = (secret("old"), secret("new"));
    let site = Site::start(&with_keys(&["old"], ""), &[("old.key", &old), ("new.key", &new)]);
    let mut there = Standing::by(site.at(), &token("acme", "old", &old)).await;
    site.takes_over(&with_keys(&["new"], ""));
    let auth = |token: String| ClientFrame::Auth(Auth { id: None, token: token.into() });
    let deadline = Instant::now() + TAKEN;
    // The node takes it over a moment after the gateway.
    while let Err(refusal) = there.ask(auth(token("acme", "new", &new))).await {
        assert!(Instant::now() < deadline, "{refusal:?}");
    }
    let refusal = there.ask(auth(token("acme", "old", &old))).await.unwrap_err();
    assert_eq!(refusal.code.to_string(), "token_invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_let_in_by_the_origins_in_force() {
    let key = secret("acme");
    let at = |origins: &str| with_keys(&["k"], &format!("origins = [{origins}]\n"));
    let site = Site::start(&at("\"https://a.example\""), &[("k.key", &key)]);
    let token = token("acme", "k", &key);
    let page = |origin: &str| enters(site.at(), &token, Some(origin));
    assert_eq!((page("https://a.example").0, page("https://b.example").0), (101, 403));
    site.takes_over(&at("\"https://b.example\""));
    assert_eq!((page("https://a.example").0, page("https://b.example").0), (403, 101));
    assert_eq!(enters(site.at(), &token, None).0, 101, "who is no page has none");
}
