//! How connections end: what waits is sent, the close frame is last, and nothing hangs.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use ringway_edge::{By, Frame, Limits, Message};
use ringway_protocol::CloseCode;
use support::{Server, close, collect, frame, soon, text, upgrade_request};

#[tokio::test]
async fn what_waits_is_sent_before_the_close_frame_and_nothing_after() {
    let mut server = Server::start_tight(Limits::default()).await;
    let (mut client, out, reader) = server.connect().await;
    let mut sent = 0;
    while out.queued_bytes() < 500_000 {
        assert!(out.send(&Frame::binary(&[sent as u8; 5_000])));
        sent += 1;
    }
    assert!(out.close(CloseCode::RESTART, "restart retry=100"));
    assert!(!out.close(CloseCode::NORMAL, "again") && !out.send(&Frame::text(b"late")));
    let ended = tokio::spawn(collect(reader));
    for number in 0..sent {
        assert_eq!(client.frame().await, Some((0x82, vec![number as u8; 5_000])));
    }
    assert_eq!(client.close_frame().await, Some((1012, "restart retry=100".into())));
    assert_eq!(client.frame().await, None);
    drop(client);
    let ended = soon("the session's end", ended).await.unwrap().1;
    assert_eq!((ended.by, ended.code), (By::Us, Some(CloseCode::RESTART)));
}

#[tokio::test]
async fn closing_wakes_a_session_that_waits() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let ended = tokio::spawn(collect(reader));
    tokio::task::yield_now().await;
    out.close(CloseCode::TOKEN, "expired");
    assert_eq!(client.close_frame().await, Some((4401, "expired".into())));
    // A peer that answers and goes is waited for no longer.
    let closed = Instant::now();
    client.say(&close(4401, b"")).await;
    drop(client);
    let ended = soon("the session's end", ended).await.unwrap().1;
    assert_eq!(ended.by, By::Us);
    assert!(closed.elapsed() < Duration::from_millis(900));
}

#[tokio::test]
async fn a_close_from_inside_the_callback_is_the_last_message() {
    let mut server = Server::start().await;
    let (mut client, out, mut reader) = server.connect().await;
    client.say(&[text("one"), text("two"), text("three")].concat()).await;
    let mut heard = Vec::new();
    let ended = loop {
        let mut on = |message: Message<'_>| {
            let Message::Text(text) = message else { panic!("text was sent") };
            heard.push(text.to_vec());
            out.push(&Frame::text(b"answer"));
            if heard.len() == 2 {
                out.close(CloseCode::UNREADABLE, "not JSON");
            }
        };
        if let Err(ended) = reader.read(&mut on).await {
            break ended;
        }
    };
    assert_eq!(heard, [b"one", b"two"]);
    assert_eq!(ended.code, Some(CloseCode::UNREADABLE));
    let finished = tokio::spawn(reader.finish());
    assert_eq!(client.frame().await, Some((0x81, b"answer".to_vec())));
    assert_eq!(client.close_frame().await, Some((4000, "not JSON".into())));
    drop(client);
    finished.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_hangs_up_without_a_word_is_lost_but_still_gets_its_answers() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    client.say(&text("question")).await;
    client.hang_up().await;
    let session = tokio::spawn(async move {
        let mut reader = reader;
        let ended = loop {
            let answering = out.clone();
            match reader.read(&mut |_| assert!(answering.push(&Frame::text(b"answer")))).await {
                Ok(()) => {}
                Err(ended) => break ended,
            }
        };
        reader.finish().await;
        ended
    });
    assert_eq!(client.frame().await, Some((0x81, b"answer".to_vec())));
    assert_eq!(client.frame().await, None, "no close frame: none was asked for");
    let ended = soon("the session's end", session).await.unwrap();
    assert_eq!((ended.by, ended.code), (By::Lost, None));
}

#[tokio::test]
async fn a_reset_ends_the_session_at_once() {
    let mut server = Server::start().await;
    let (client, out, reader) = server.connect().await;
    let ended = tokio::spawn(collect(reader));
    client.stream.set_zero_linger().unwrap();
    drop(client);
    let ended = soon("the session's end", ended).await.unwrap().1;
    assert_eq!(ended.by, By::Lost);
    assert!(!out.send(&Frame::text(b"x")));
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_a_closed_outbound() {
    let mut server = Server::start().await;
    let (_client, out, reader) = server.connect().await;
    out.push(&Frame::text(b"x"));
    drop(reader);
    assert!(out.is_closed() && !out.send(&Frame::text(b"x")));
    assert_eq!(out.queued_bytes(), 0);
}

#[tokio::test]
async fn an_open_connection_that_is_finished_says_going_away() {
    let mut server = Server::start().await;
    let (mut client, _out, reader) = server.connect().await;
    let finished = tokio::spawn(reader.finish());
    assert_eq!(client.close_frame().await, Some((1001, "Going away".into())));
    drop(client);
    finished.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_closes_is_waited_for_a_second() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    out.close(CloseCode::NORMAL, "");
    let closed = Instant::now();
    collect(reader).await;
    assert!((0.9..2.5).contains(&closed.elapsed().as_secs_f64()));
    assert_eq!(client.close_frame().await.unwrap().0, 1000);
}

#[tokio::test]
async fn a_refusal_is_a_close_code_after_the_101() {
    let mut listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refusing = tokio::spawn(async move {
        let (stream, _) = listener_accept(&mut listener).await;
        ringway_edge::refuse(stream, CloseCode::UNKNOWN_TENANT, "unknown_tenant").await;
    });
    let mut client = support::Client::plain(address).await;
    // More than the server reads before it says what it has to say.
    client.say(&[upgrade_request(""), text(&"x".repeat(60_000)), frame(0x89, b"")].concat()).await;
    assert_eq!(client.close_frame().await, Some((4404, "unknown_tenant".into())));
    drop(client);
    soon("the refusal's end", refusing).await.unwrap();
}

async fn listener_accept(
    listener: &mut tokio::net::TcpListener,
) -> (tokio::net::TcpStream, std::net::SocketAddr) {
    listener.accept().await.unwrap()
}

#[tokio::test]
async fn nothing_is_lost_when_a_read_is_cancelled() {
    let mut server = Server::start().await;
    let (mut client, _out, mut reader) = server.connect().await;
    let wire: Vec<u8> = (0..200_u32).flat_map(|n| frame(0x82, &n.to_be_bytes())).collect();
    let writing = tokio::spawn(async move {
        for piece in wire.chunks(7) {
            client.say(piece).await;
            tokio::task::yield_now().await;
        }
        client
    });
    let mut heard = Vec::new();
    soon("all messages", async {
        while heard.len() < 200 {
            let mut on = |message: Message<'_>| {
                let Message::Binary(bytes) = message else { panic!("binary was sent") };
                heard.push(u32::from_be_bytes(bytes.try_into().unwrap()));
            };
            tokio::select! {
                biased;
                result = reader.read(&mut on) => result.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    assert_eq!(heard, (0..200).collect::<Vec<_>>());
    drop(writing.await.unwrap());
}
