//! A client that doesn't keep up: bounded, told why, and nobody else's trouble.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_edge::{By, Frame, Limits, Message, Outbound, QUEUED_FRAMES_LIMIT, STALL_LIMIT};
use ringway_protocol::CloseCode;
use support::feed::{Follower, Named, Publication, Read};
use support::{Server, collect, soon, until};
use tokio::io::AsyncReadExt;

const LIMITS: Limits = Limits { message: 64 * 1024, queue: 1024 * 1024, frames: QUEUED_FRAMES_LIMIT };

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
    assert_eq!((ended.by, ended.code), (By::Slow, Some(CloseCode::POLICY)));
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
    // Once the two kernels are done: what still moves between them makes room.
    until("a send timeout", || out.check_stalled(out.stalled_since().unwrap() + STALL_LIMIT)).await;
    assert!(!out.check_stalled(Instant::now() + STALL_LIMIT), "once is enough");
    let ended = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await, Some((1008, "Send timeout".into())));
    drop(client);
    let ended = ended.await.unwrap().1;
    assert_eq!((ended.by, ended.code), (By::Stalled, Some(CloseCode::POLICY)));
}

#[tokio::test]
async fn a_socket_that_has_room_again_is_not_stalled_even_if_nobody_was_told() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, _reader) = server.connect().await;
    let mut sent = 0;
    while out.queued_bytes() < 200_000 {
        sent += 1_004;
        assert!(out.send(&numbered(0, 1_000)));
    }
    for _ in 0..2 {
        let since = out.stalled_since().unwrap();
        // All that had left: now there is room in the kernel, but the connection's task has never looked.
        let left = (sent - out.queued_bytes()) / 1_004;
        for _ in 0..left {
            client.frame().await.unwrap();
        }
        sent -= left * 1_004;
        let before = out.queued_bytes();
        assert!(!out.check_stalled(since + STALL_LIMIT));
        assert!(!out.is_closed() && out.queued_bytes() < before);
        assert!(out.stalled_since().unwrap() >= since);
    }
    until("a send timeout", || out.check_stalled(out.stalled_since().unwrap() + STALL_LIMIT)).await;
}

/// Looks again and again, as whoever sweeps over all connections does.
fn sweep(out: &Arc<Outbound>) -> tokio::task::JoinHandle<()> {
    let out = Arc::clone(out);
    tokio::spawn(async move {
        while !out.is_closed() {
            out.check_stalled(Instant::now());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

#[tokio::test]
async fn a_client_that_stalls_for_less_than_the_limit_again_and_again_stays() {
    const STALL: Duration = Duration::from_millis(4_500);
    // Buffers of the usual size: the kernel is silent about room in them for long.
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    let feed = Named::new("chat");
    let mut offset = 0;
    let sweeping = sweep(&out);
    let mut follower = Follower::default();
    for _ in 0..2 {
        let stalled = tokio::time::Instant::now() + STALL;
        while tokio::time::Instant::now() < stalled {
            offset += 1;
            let sent =
                out.send(&feed.publication(&Publication { offset, len: 10_000, ..Default::default() }));
            assert!(sent, "closed at {offset}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(out.is_behind());
        // Little more than what its own side held.
        for _ in 0..20 {
            follower.take_strictly(&Read::of(&client.frame().await.unwrap().1));
        }
    }
    // Whoever looks has looked again and again by then, with nothing taken meanwhile: still less than 5 s.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(!out.is_closed(), "10 s, but never 5 in one");
    assert!(feed.dropped_so_far() > 0);
    soon("what is left", async {
        while follower.position() < offset {
            follower.take_strictly(&Read::of(&client.frame().await.unwrap().1));
        }
    })
    .await;
    assert!(!out.is_closed());
    client.hang_up().await;
    session.await.unwrap();
    sweeping.await.unwrap();
}

#[tokio::test]
async fn a_reader_of_single_bytes_is_bounded_and_then_let_go() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    let feed = Named::new("prices");
    let mut offset = 0;
    for _ in 0..200 {
        for _ in 0..100 {
            offset += 1;
            assert!(out.send(&feed.publication(&Publication { offset, len: 1_000, ..Default::default() })));
        }
        assert!(out.queued_bytes() <= LIMITS.queue);
        client.stream.read_u8().await.unwrap();
    }
    // A byte isn't a sign of life for a sender: its window stays closed.
    until("a send timeout", || out.check_stalled(out.stalled_since().unwrap() + STALL_LIMIT)).await;
    drop(client);
    let ended = session.await.unwrap().1;
    assert_eq!((ended.by, ended.code), (By::Stalled, Some(CloseCode::POLICY)));
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
