//! A client comes back by itself: it resumes each room, repeats what wasn't answered, and follows
//! what the close said.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ringway_client::{Client, ClientOptions, Event, JoinOptions, RequestError, State, TokenSource};
use ringway_protocol::{CloseCode, Format};
use scripted::{Server, event, offsets, position, room, soon, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn closed(event: &Event) -> Option<CloseCode> {
    match event {
        Event::State(State::Closed(closed)) => Some(closed.code),
        _ => None,
    }
}

#[tokio::test]
async fn every_message_is_heard_once_and_in_order_over_ten_cuts() {
    let server = Server::start(Format::Msgpack).await;
    let mut options = server.options();
    options.connect.room = Some(room("a"));
    let (client, mut events) = Client::start(options);
    let asking = client.clone();
    let asking = tokio::spawn(async move { asking.join(&room("a"), JoinOptions::default()).await });
    let (mut newest, mut heard) = (0, Vec::new());
    for cut in 0..10 {
        let mut peer = server.accept().await;
        assert!(peer.uri.starts_with("/v1/ws?room=a"), "{}", peer.uri);
        let join = peer.join().await;
        peer.hello("s").await;
        let since = join.since.as_ref().map_or(0, |since| since.offset);
        assert_eq!(join.since, (cut > 0).then(|| position(since).unwrap()));
        newest += 7;
        peer.joined(&join, since, newest).await;
        // Cut in the middle of the replay, but the last time.
        let end = if cut == 9 { newest } else { since + 5 };
        for offset in since + 1..=end {
            peer.msg("a", offset).await;
        }
        heard.extend(offsets(&mut events, (end - since) as usize).await);
        if cut == 0 {
            drop(peer); // without a goodbye
        } else {
            peer.close(1012, "restart retry=1").await;
        }
    }
    assert_eq!(heard, (1..=newest).collect::<Vec<_>>());
    soon("the join", asking).await.unwrap().unwrap();
    client.close().await;
}

#[tokio::test]
async fn a_publication_is_repeated_with_its_mid_or_says_that_it_has_no_answer() {
    let server = Server::start(Format::Json).await;
    let (client, _events) =
        Client::start(ClientOptions { answer_within: Duration::from_secs(3), ..server.options() });
    let publishing = client.clone();
    let publishing = tokio::spawn(async move { publishing.publish(&room("a"), text("x")).await });
    let mut peer = server.accept().await;
    peer.hello("s").await;
    let first = peer.publication().await;
    drop(peer);
    let mut peer = server.accept().await;
    let again = peer.publication().await;
    assert_eq!(again.mid, first.mid);
    assert!(again.mid.is_some());
    peer.published(&again, 3).await;
    assert_eq!(soon("the answer", publishing).await.unwrap().unwrap().offset, Some(3));
    let never = client.publish(&room("a"), text("y")).await;
    assert_eq!(never, Err(RequestError::Timeout));
    client.close().await;
    assert_eq!(client.publish(&room("a"), text("z")).await, Err(RequestError::Closed));
}

#[tokio::test]
async fn a_refusal_before_the_101_is_followed_with_its_hint() {
    let server = Server::start(Format::Msgpack).await;
    let (client, mut events) = Client::start(server.options());
    let mut tcp = server.tcp().await;
    let mut head = [0; 2_048];
    let _ = soon("a request", tcp.read(&mut head)).await.unwrap();
    tcp.write_all(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let refused = Instant::now();
    let after = event(&mut events, "reconnecting", |event| match event {
        Event::State(State::Reconnecting { after, closed }) => {
            assert_eq!(closed.code, CloseCode::TRY_LATER);
            Some(*after)
        }
        _ => None,
    });
    assert_eq!(after.await, Duration::from_secs(1));
    let mut peer = server.accept().await;
    assert!(refused.elapsed() >= Duration::from_millis(990));
    peer.hello("s").await;
    peer.close(4403, "bad_origin").await;
    assert_eq!(event(&mut events, "the end", closed).await, CloseCode::FORBIDDEN);
    assert_eq!(soon("nothing more", events.next()).await, None);
    client.close().await;
}

#[tokio::test]
async fn after_4401_only_a_new_token_comes_back() {
    let server = Server::start(Format::Msgpack).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let source = asked.clone();
    let fetch = move || {
        let count = source.fetch_add(1, Ordering::SeqCst);
        let answer = match count {
            0 => Ok("one".to_owned()),
            1 => Err("offline".to_owned()),
            _ => Ok("two".to_owned()),
        };
        Box::pin(async move { answer }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    };
    let options = ClientOptions { token: TokenSource::Fetch(Arc::new(fetch)), ..server.options() };
    let (client, mut events) = Client::start(options);
    let mut peer = server.accept().await;
    assert_eq!(peer.header("authorization"), Some("Bearer one"));
    peer.close(4401, "expired").await;
    let mut peer = server.accept().await;
    assert_eq!((peer.header("authorization"), asked.load(Ordering::SeqCst)), (Some("Bearer two"), 3));
    peer.hello("s").await;
    peer.close(1012, "restart").await;
    let mut peer = server.accept().await;
    assert_eq!((peer.header("authorization"), asked.load(Ordering::SeqCst)), (Some("Bearer two"), 3));
    peer.close(4401, "expired").await;
    assert_eq!(event(&mut events, "the end", closed).await, CloseCode::TOKEN);
    client.close().await;

    let (fixed, mut events) =
        Client::start(ClientOptions { token: TokenSource::Fixed("t".into()), ..server.options() });
    server.accept().await.close(4401, "expired").await;
    assert_eq!(event(&mut events, "the end", closed).await, CloseCode::TOKEN);
    fixed.close().await;
}

#[tokio::test]
async fn an_application_that_lags_slows_the_server_down_and_loses_nothing() {
    const MESSAGES: u64 = 20_000;
    let server = Server::start(Format::Msgpack).await;
    let (client, mut events) = Client::start(ClientOptions { events: 4, ..server.options() });
    let asking = client.clone();
    let asking = tokio::spawn(async move { asking.join(&room("a"), JoinOptions::default()).await });
    let mut peer = server.accept().await;
    let join = peer.join().await;
    peer.hello("s").await;
    peer.joined(&join, 0, 0).await;
    let sending = tokio::spawn(async move {
        for offset in 1..=MESSAGES {
            peer.msg("a", offset).await;
        }
        peer
    });
    assert_eq!(offsets(&mut events, MESSAGES as usize).await, (1..=MESSAGES).collect::<Vec<_>>());
    soon("the join", asking).await.unwrap().unwrap();
    let _peer = sending.await.unwrap();
    client.close().await;
}
