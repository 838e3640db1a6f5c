//! What only a network and a server can do to us.
#![allow(clippy::print_stdout)] // The figures, for who asks for them (`--nocapture`).

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::cluster::{Announcer, Watcher};
use ringway_backplane::message::{Answer, Question, Request};
use ringway_backplane::nats::{ConnectError, NatsSettings, connect};
use ringway_backplane::{IncomingRequest, RequestError};
use ringway_protocol::code::Code;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use world::{
    LIMIT, announcement, group, inbox, link_becomes, listen, live, name, next, room_interest, send, slot_of,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_within_five_seconds() {
    let server = NatsServer::start();
    let (a, b) = (world::connect(&server, "a").await, world::connect(&server, "b").await);
    let (_subscription, mut messages) = listen(&b, &room_interest("lobby")).await;
    let _node = Announcer::start(Arc::clone(&b), announcement("node-b")).await.expect("open");
    let watcher = Watcher::start(Arc::clone(&a)).await.expect("open");
    let mut view = watcher.view();
    view.wait_for(|view| view.nodes().len() == 1).await.expect("watched");
    view.mark_unchanged();
    let mut link = a.link();
    // Outgoing traffic mustn't pass for a sign of life.
    let talking = tokio::spawn({
        let a = Arc::clone(&a);
        async move {
            for count in 1.. {
                let _ = a.publish_live(&group(), slot_of("elsewhere"), &live("elsewhere", count));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });

    server.pause();
    let frozen = Instant::now();
    link_becomes(&mut link, |link| !link.up).await;
    let after = frozen.elapsed();
    println!("a frozen server was noticed after {after:?}");
    assert!(after < Duration::from_secs(5), "{after:?}");
    assert!(!view.has_changed().expect("watched"), "silence behind a dead link is nobody's death");

    server.resume();
    let back = link_becomes(&mut link, |link| link.up).await;
    assert_eq!(back.generation, 2);
    link_becomes(&mut b.link(), |link| link.up).await;
    b.round_trip(LIMIT).await.expect("back");
    talking.abort();
    send(&a, &live("lobby", 1));
    assert_eq!(next(&mut messages).await, live("lobby", 1));
    assert!(!view.has_changed().expect("watched"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_under_a_breaking_link_ends_with_it() {
    let mut server = NatsServer::start();
    let (a, b) = (world::connect(&server, "a").await, world::connect(&server, "b").await);
    let (sink, mut questions) = mpsc::channel::<IncomingRequest>(1);
    let _serving = b.serve(&inbox("node-b"), sink).await.expect("open");
    b.round_trip(LIMIT).await.expect("up");
    let request = Request { from: name("node-a"), body: Question::Probe, traceparent: None };
    let asking = tokio::spawn({
        let a = Arc::clone(&a);
        let request = request.clone();
        async move { a.request(&inbox("node-b"), &request, 10 * LIMIT).await }
    });
    let held = next(&mut questions).await;
    server.kill();
    let outcome =
        tokio::time::timeout(LIMIT, asking).await.expect("long before its limit").expect("no panic");
    assert_eq!(outcome, Err(RequestError::Timeout));
    // The late answer goes nowhere, and harms nothing.
    held.reply.send(Answer::Done);
    server.restart();
    link_becomes(&mut a.link(), |link| link.up).await;
    link_becomes(&mut b.link(), |link| link.up).await;
    b.round_trip(LIMIT).await.expect("up");
    let again = tokio::spawn(async move { a.request(&inbox("node-b"), &request, LIMIT).await });
    next(&mut questions).await.reply.send(Answer::Done);
    assert_eq!(again.await.expect("no panic"), Ok(Answer::Done));
}

/// What is published is looked into only where it is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_publication_is_garbage_once_it_is_looked_into() {
    let server = NatsServer::start();
    let (a, b) = (world::connect(&server, "a").await, world::connect(&server, "b").await);
    let (_live, mut messages) = listen(&b, &room_interest("lobby")).await;
    let stranger = async_nats::connect(server.url()).await.expect("the server runs");
    let mut overheard = stranger.subscribe("ringway.g.shared.live.>").await.expect("subscribed");
    stranger.flush().await.expect("sent");
    send(&a, &live("lobby", 1));
    let good = futures_util::StreamExt::next(&mut overheard).await.expect("a message");
    assert_eq!(next(&mut messages).await, live("lobby", 1));

    let broken = good.payload.slice(..good.payload.len() - 1);
    stranger.publish(good.subject, broken).await.expect("sent");
    let message = next(&mut messages).await;
    assert_eq!((message.count, b.counters().garbage.get()), (1, 0));
    assert_eq!(message.body.read(b.counters()), None);
    assert_eq!(b.counters().garbage.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_counted_and_the_next_good_message_delivered() {
    let server = NatsServer::start();
    let (a, b) = (world::connect(&server, "a").await, world::connect(&server, "b").await);
    let (_live, mut messages) = listen(&b, &room_interest("lobby")).await;
    let (sink, mut questions) = mpsc::channel::<IncomingRequest>(16);
    let _serving = b.serve(&inbox("node-b"), sink).await.expect("open");
    let (sink, mut cluster) = mpsc::channel(16);
    let _watching = b.watch_cluster(sink).await.expect("open");
    b.round_trip(LIMIT).await.expect("up");

    let stranger = async_nats::connect(server.url()).await.expect("the server runs");
    let live_subject = format!("ringway.g.shared.live.{}.acme.lobby._", slot_of("lobby").number());
    let garbage: [&[u8]; 5] =
        [b"", b"\xff\xfe\x00", b"\x93\x02\x01\x01", b"{\"not\":\"ours\"}", &[0x81; 1_000_000]];
    let subjects = [live_subject.as_str(), "ringway.g.shared.node.node-b", "ringway.cluster.node"];
    for subject in subjects {
        for payload in garbage {
            stranger.publish(subject.to_owned(), payload.to_vec().into()).await.expect("sent");
        }
    }
    stranger.flush().await.expect("sent");
    let limit = Instant::now() + LIMIT;
    while b.counters().garbage.get() < 15 {
        assert!(Instant::now() < limit, "{} counted", b.counters().garbage.get());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    send(&a, &live("lobby", 1));
    assert_eq!(next(&mut messages).await, live("lobby", 1));
    a.hello().expect("sent");
    assert_eq!(next(&mut cluster).await, ringway_backplane::message::ClusterEvent::Hello);
    let probe = Request { from: name("node-a"), body: Question::Probe, traceparent: None };
    let asking = tokio::spawn(async move { a.request(&inbox("node-b"), &probe, LIMIT).await });
    next(&mut questions).await.reply.send(Answer::Done);
    assert_eq!(asking.await.expect("no panic"), Ok(Answer::Done));
    assert_eq!(b.counters().garbage.get(), 15);

    // Who asks what can't be read is told so, and needn't wait.
    let answer = stranger.request("ringway.g.shared.node.node-b", "?".into()).await.expect("an answer");
    let (_, _, code): (u64, u64, String) = rmp_serde::from_slice(&answer.payload).expect("an answer");
    assert_eq!(code, Code::BadRequest.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_found_again() {
    let mut server = NatsServer::start();
    let (a, b) = (world::connect(&server, "a").await, world::connect(&server, "b").await);
    let (_subscription, mut messages) = listen(&b, &room_interest("lobby")).await;
    for round in 1..=3 {
        server.restart();
        let back = Instant::now();
        link_becomes(&mut a.link(), |link| link.up && link.generation == round + 1).await;
        link_becomes(&mut b.link(), |link| link.up && link.generation == round + 1).await;
        println!("both were back {:?} after the server", back.elapsed());
        b.round_trip(LIMIT).await.expect("up");
        send(&a, &live("lobby", round));
        assert_eq!(next(&mut messages).await.count, round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_tokens_stand_in_the_url() {
    let config = "authorization { user: me, password: geheim }".to_owned();
    let server = NatsServer::start_with(&NatsOptions { config, ..NatsOptions::default() });
    let with = |login: &str| NatsSettings::new(server.url().replace("nats://", &format!("nats://{login}")));
    assert!(connect(&with("me:geheim@")).await.is_ok());
    for wrong in ["me:falsch@", ""] {
        let error = connect(&with(wrong)).await.expect_err("refused");
        assert!(matches!(error, ConnectError::Refused(_)), "{error}");
    }

    let config = "authorization { token: geheim }".to_owned();
    let server = NatsServer::start_with(&NatsOptions { config, ..NatsOptions::default() });
    let with = |login: &str| NatsSettings::new(server.url().replace("nats://", &format!("nats://{login}")));
    assert!(connect(&with("geheim@")).await.is_ok());
    assert!(matches!(connect(&with("falsch@")).await, Err(ConnectError::Refused(_))));
}

#[tokio::test]
async fn where_there_is_no_server_the_start_fails_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let start_limit = Duration::from_millis(300);
    let settings = NatsSettings { start_limit, ..NatsSettings::new(format!("nats://{address}")) };
    let start = Instant::now();
    assert!(matches!(connect(&settings).await, Err(ConnectError::Unreachable(_))));
    assert!(start.elapsed() >= start_limit && start.elapsed() < LIMIT);
    assert!(matches!(connect(&NatsSettings::default()).await, Err(ConnectError::Url(1))));
    let settings = NatsSettings { prefix: "a.*".into(), ..settings };
    assert!(matches!(connect(&settings).await, Err(ConnectError::Prefix(_))));
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_by_name() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let old = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let info = br#"INFO {"server_id":"X","version":"2.11.9","headers":true,"max_payload":1048576}"#;
        stream.write_all(info).await.expect("sent");
        stream.write_all(b"\r\n").await.expect("sent");
        let mut buffer = [0; 4096];
        let mut heard = Vec::new();
        while !heard.windows(6).any(|window| window == b"PING\r\n") {
            let read = stream.read(&mut buffer).await.expect("the client talks");
            assert!(read > 0, "the client went too early");
            heard.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(b"PONG\r\n").await.expect("sent");
        // Stay until the client goes.
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    let error = connect(&NatsSettings::new(format!("nats://{address}"))).await.expect_err("too old");
    assert_eq!(error.to_string(), "NATS server 2.11.9 is too old: 2.12 or newer is needed");
    tokio::time::timeout(LIMIT, old).await.expect("the connection was ended").expect("no panic");
}
