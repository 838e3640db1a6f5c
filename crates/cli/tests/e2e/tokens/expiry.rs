//! The end of a token, and how it is put off.

use super::*;

#[tokio::test]
async fn a_connection_ends_with_its_token_unless_it_was_renewed() {
    let keys = Keys::new();
    let (site, cluster) = (Site::start(), cluster(&keys));
    let end = now() + 3;
    let short = signed(&with(&claims(Some("ann"), &all()), "exp", end));
    let mut ending = Vec::new();
    for gateway in [site.at(), cluster.gateway()] {
        let mut renewed = Peer::open(&by(gateway, &short, Some("r"))).await;
        renewed.joined().await;
        assert!(renewed.hello.expires.unwrap() <= 3);
        let result = renewed.ask(auth(&token("ann"))).await.unwrap().unwrap().into_auth();
        assert!((3_590..=3_600).contains(&result.expires.unwrap()));
        let mut other = Peer::open(&by(gateway, &short, Some("r"))).await;
        other.joined().await;
        ending.push((gateway, renewed, other));
    }
    for (gateway, mut renewed, mut other) in ending {
        let (frames, closed) = other.until_closed().await;
        assert!(frames.is_empty(), "{frames:?}");
        assert_eq!((closed.code.0, closed.reason.as_str()), (4401, "expired"));
        assert!((end..=end + 3).contains(&now()), "{} s after its end", now() - end);
        // It doesn't get in again with that one, and says so in the way that its client understands.
        assert_eq!(refused(by(gateway, &short, Some("r"))).await, ("expired".to_owned(), 401, 4401));
        // The renewed one lives on.
        assert_eq!(renewed.publish("r", "1").await.offset, Some(1));
        assert_eq!(renewed.msg().await.offset, Some(1));
        // It may be renewed to an earlier end as well.
        let soon = signed(&with(&claims(Some("ann"), &all()), "exp", now() + 3));
        renewed.ask(auth(&soon)).await.unwrap();
        assert_eq!(renewed.until_closed().await.1.code.0, 4401);
    }
}

#[tokio::test]
async fn a_token_that_renews_is_of_the_same_tenant_and_user() {
    let keys = Keys::new();
    let (site, cluster) = (Site::start(), cluster(&keys));
    let globex = EncodingKey::from_secret(GLOBEX.as_bytes());
    let of_globex = with(&claims(Some("ann"), &all()), "tenant", "globex");
    for gateway in [site.at(), cluster.gateway()] {
        let mut peer = Peer::open(&by(gateway, &token("ann"), Some("r"))).await;
        peer.joined().await;
        for (why, token, code) in [
            ("another user", token("bob"), Code::TokenInvalid),
            ("nobody", signed(&claims(None, &all())), Code::TokenInvalid),
            ("another tenant", signed_by(Algorithm::HS256, None, &globex, &of_globex), Code::TokenInvalid),
            ("another tenant, signed here", signed(&of_globex), Code::TokenInvalid),
            ("expired", signed(&with(&claims(Some("ann"), &all()), "exp", now() - 1)), Code::Expired),
            ("nothing", String::new(), Code::TokenInvalid),
            ("no token", "x.y.z".to_owned(), Code::TokenInvalid),
            ("its session", peer.hello.session.to_string(), Code::TokenInvalid),
        ] {
            let no = peer.ask(auth(&token)).await.unwrap_err();
            assert_eq!((no.code, no.room), (code, None), "{why}");
            // What it had holds on.
            peer.publish("r", "1").await;
            peer.msg().await;
        }
    }
}

async fn until_state(events: &mut Events, wanted: impl Fn(&State) -> bool) -> State {
    let deadline = Instant::now() + SOON;
    loop {
        let event = tokio::time::timeout_at(deadline, events.next()).await.expect("the state in time");
        match event.expect("it isn't over") {
            Event::State(state) if wanted(&state) => return state,
            _ => {}
        }
    }
}

/// A client that follows the rules: with an expired token it comes back only if it gets a new one.
#[tokio::test]
async fn a_client_stops_when_its_token_is_over_and_there_is_no_new_one() {
    let site = Site::start();
    let short = || signed(&with(&claims(Some("ann"), &all()), "exp", now() + 3));
    let start = |token: TokenSource| {
        let connect = options(site.at(), Format::Msgpack, Some("r"));
        Client::start(ClientOptions { token, ..ClientOptions::new(connect) })
    };
    let fetched = Arc::new(AtomicUsize::new(0));
    let fetching = |next: fn() -> String, same: Option<String>| {
        let fetched = fetched.clone();
        TokenSource::Fetch(Arc::new(move || {
            let count = fetched.fetch_add(1, Ordering::Relaxed);
            let token = if count == 0 { same.clone() } else { None };
            Box::pin(std::future::ready(Ok(token.unwrap_or_else(next))))
        }))
    };
    let first = short();
    let (_fixed, mut fixed) = start(TokenSource::Fixed(first.clone()));
    let same = first.clone();
    let (_same, mut always_the_same) =
        start(TokenSource::Fetch(Arc::new(move || Box::pin(std::future::ready(Ok(same.clone()))))));
    let (renewing, mut renewed) = start(fetching(|| token("ann"), Some(first)));
    for events in [&mut fixed, &mut always_the_same] {
        until_state(events, |state| matches!(state, State::Open { .. })).await;
        match until_state(events, |state| matches!(state, State::Closed(_))).await {
            State::Closed(closed) => assert_eq!(closed.code.0, 4401),
            other => panic!("{other:?}"),
        }
        assert_eq!(events.next().await, None, "it stops");
    }
    until_state(&mut renewed, |state| matches!(state, State::Open { .. })).await;
    until_state(
        &mut renewed,
        |state| matches!(state, State::Reconnecting { closed, .. } if closed.code.0 == 4401),
    )
    .await;
    until_state(&mut renewed, |state| matches!(state, State::Open { .. })).await;
    assert_eq!(fetched.load(Ordering::Relaxed), 2);
    let reading = tokio::spawn(async move { while renewed.next().await.is_some() {} });
    let result = timeout(SOON, renewing.publish(&name("r"), crate::peer::json("1"))).await.unwrap().unwrap();
    assert!(result.offset.is_some());
    renewing.close().await;
    reading.await.unwrap();
}
