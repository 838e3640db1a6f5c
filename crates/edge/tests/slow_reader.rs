//! A client that doesn't keep up: bounded, told why, and nobody else's trouble.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use ringway_edge::{By, Frame, Limits, Message, QUEUED_FRAMES_LIMIT, STALL_LIMIT};
use ringway_protocol::CloseCode;
use support::{Server, collect, soon, until};

const LIMITS: Limits = Limits { message: 64 * 1024, queue: 1024 * 1024 };

fn numbered(number: u32, len: usize) -> Frame {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(len, b'x');
    Frame::binary(&payload)
}

/// Sends until the connection is closed, and returns how many frames were accepted.
fn flood(send: impl Fn(&Frame) -> bool, len: usize) -> u32 {
    (0..10_000_000).take_while(|&number| send(&numbered(number, len))).count() as u32
}

#[tokio::test]
async fn over_the_bound_in_bytes_it_is_let_go_as_a_slow_consumer() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    let accepted = flood(|frame| out.send(frame), 1_000);
    assert!(accepted > 1_000, "a megabyte may wait, {accepted} frames did");
    assert!(out.is_closed());
    assert!(out.queued_bytes() < 2_000, "what waited was dropped");
    assert!(!out.send(&numbered(0, 4)) && !out.push(&numbered(0, 4)));
    let ended = tokio::spawn(collect(reader));
    // What had left is whole and in order, then comes the reason.
    let mut expected = 0;
    let (code, reason) = loop {
        let (first, payload) = client.frame().await.unwrap();
        if first == 0x88 {
            break (u16::from_be_bytes([payload[0], payload[1]]), payload[2..].to_vec());
        }
        assert_eq!((payload.len(), &payload[..4]), (1_000, &u32::to_be_bytes(expected)[..]));
        expected += 1;
    };
    assert_eq!((code, &reason[..]), (1008, &b"Slow consumer"[..]));
    assert!(expected < accepted);
    drop(client);
    let ended = ended.await.unwrap().1;
    assert_eq!((ended.by, ended.code), (By::Us, Some(CloseCode::POLICY)));
}

#[tokio::test]
async fn tiny_frames_are_bounded_by_their_number() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    let accepted = flood(|frame| out.send(frame), 4);
    assert!(accepted as usize >= QUEUED_FRAMES_LIMIT);
    let ended = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await.unwrap().1, "Slow consumer");
    drop(client);
    ended.await.unwrap();
}

#[tokio::test]
async fn who_keeps_up_may_be_sent_far_more_than_the_bound_at_once() {
    let mut server = Server::start().await;
    let (mut client, out, mut reader) = server.connect().await;
    let reading = tokio::spawn(async move {
        for number in 0..200_u32 {
            let (_, payload) = client.frame().await.unwrap();
            assert_eq!(payload[..4], number.to_be_bytes());
        }
        client
    });
    // In parts, as a history is sent.
    for number in 0..200 {
        assert!(out.push(&numbered(number, 60_000)));
        reader.until_queued_below(500_000).await.unwrap();
    }
    let mut ignore = |_: Message<'_>| {};
    let client = soon("200 frames", async {
        tokio::select! {
            client = reading => client.unwrap(),
            ended = reader.read(&mut ignore) => panic!("{ended:?}"),
        }
    })
    .await;
    drop(client);
}

#[tokio::test]
async fn pushed_frames_that_only_wait_for_a_flush_are_no_sign_of_slowness() {
    let mut server = Server::start().await;
    let (mut client, out, _reader) = server.connect().await;
    for number in 0..1_000 {
        assert!(out.push(&numbered(number, 100)));
    }
    out.flush();
    assert_eq!(out.queued_bytes(), 0);
    for number in 0..1_000_u32 {
        assert_eq!(client.frame().await.unwrap().1[..4], number.to_be_bytes());
    }
}

#[tokio::test]
async fn a_socket_that_takes_nothing_for_five_seconds_is_a_send_timeout() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    assert_eq!(out.stalled_since(), None);
    while out.stalled_since().is_none() {
        assert!(out.send(&numbered(0, 10_000)));
    }
    let since = out.stalled_since().unwrap();
    assert!(since <= Instant::now());
    assert!(!out.check_stalled(since + STALL_LIMIT - Duration::from_millis(1)));
    assert!(!out.is_closed());
    assert!(out.check_stalled(since + STALL_LIMIT));
    assert!(!out.check_stalled(since + STALL_LIMIT), "once is enough");
    let ended = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await, Some((1008, "Send timeout".into())));
    drop(client);
    ended.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_a_little_is_not_stalled() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, mut reader) = server.connect().await;
    while out.stalled_since().is_none() {
        assert!(out.send(&numbered(0, 10_000)));
    }
    let since = out.stalled_since().unwrap();
    let reading = tokio::spawn(async move { while reader.read(&mut |_| {}).await.is_ok() {} });
    soon("progress", async {
        while out.stalled_since().is_some_and(|now| now == since) {
            client.frame().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(!out.check_stalled(since + STALL_LIMIT) || out.stalled_since().is_none());
    assert!(!out.is_closed());
    reading.abort();
}

#[tokio::test]
async fn a_peer_that_never_reads_is_given_up_within_bounds() {
    let mut server = Server::start_tight(LIMITS).await;
    let (client, out, reader) = server.connect().await;
    flood(|frame| out.send(frame), 10_000);
    let began = Instant::now();
    let (_, ended) = soon("the end", collect(reader)).await;
    assert_eq!(ended.code, Some(CloseCode::POLICY));
    assert!(began.elapsed() < Duration::from_secs(6), "2 s for the close frame, and none to linger");
    drop(client);
}

#[tokio::test]
async fn a_session_that_awaits_something_still_writes() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    let mut sent = 0_u32;
    while out.queued_bytes() < 500_000 {
        assert!(out.send(&numbered(sent, 10_000)));
        sent += 1;
    }
    let read_all = Box::pin(async {
        for number in 0..sent {
            assert_eq!(client.frame().await.unwrap().1[..4], number.to_be_bytes());
        }
    });
    soon("all frames", reader.while_draining(read_all)).await;
    until("an empty queue", || out.queued_bytes() == 0).await;
    assert_eq!(out.stalled_since(), None);
}
