//! Peers that vanish without a word are found by beats; quiet ones that answer pings stay.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

use ringway_edge::{Beat, By, Frame, Limits};
use support::{Server, collect, frame, soon, until};

fn beat() -> [Frame; 2] {
    [Frame::ping(b""), Frame::text(br#"{"t":"ping"}"#)]
}

#[tokio::test]
async fn after_two_beats_without_a_sign_the_third_cuts() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    assert_eq!(out.beat(&beat()), Beat::Sent);
    assert_eq!(out.beat(&beat()), Beat::Sent);
    assert_eq!(out.beat(&beat()), Beat::HalfOpen);
    assert_eq!(out.beat(&beat()), Beat::Closed);
    let ended = soon("the session's end", session).await.unwrap().1;
    assert_eq!(ended.by, By::Lost);
    client.rest().await;
}

#[tokio::test]
async fn who_has_not_answered_a_beat_when_asked_after_is_cut() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    // Asked after before its first beat: nothing is known of it yet.
    assert!(!out.cut_unless_alive());
    for _ in 0..5 {
        assert_eq!(out.beat(&beat()), Beat::Sent);
        let before = out.last_received();
        until("a later millisecond", || Instant::now().duration_since(before).as_millis() > 2).await;
        client.say(&frame(0x8A, b"")).await;
        until("the pong", || out.last_received() > before).await;
        assert!(!out.cut_unless_alive());
    }
    assert_eq!(out.beat(&beat()), Beat::Sent);
    assert!(out.cut_unless_alive());
    assert!(!out.cut_unless_alive() && out.is_closed());
    assert_eq!(soon("the session's end", session).await.unwrap().1.by, By::Lost);
}

#[tokio::test]
async fn a_client_that_only_answers_pings_stays() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    for _ in 0..20 {
        let before = out.last_received();
        assert_eq!(out.beat(&beat()), Beat::Sent);
        assert_eq!(client.frame().await, Some((0x89, vec![])));
        assert_eq!(client.frame().await, Some((0x81, br#"{"t":"ping"}"#.to_vec())));
        // The clock is coarse: let it move.
        until("a later millisecond", || Instant::now().duration_since(before).as_millis() > 2).await;
        client.say(&frame(0x8A, b"")).await;
        until("the pong", || out.last_received() > before).await;
    }
    assert!(!out.is_closed() && out.last_received() > out.opened());
    session.abort();
}

#[tokio::test]
async fn a_client_that_is_behind_but_reads_is_alive() {
    let mut server = Server::start_tight(Limits::default()).await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    let mut sent = 0;
    while out.queued_bytes() < 900_000 {
        assert!(out.send(&Frame::binary(&[0; 10_000])));
        sent += 1;
    }
    // Each beat's ping is far behind in the queue; meanwhile the client takes some.
    for _ in 0..5 {
        assert_eq!(out.beat(&beat()), Beat::Sent);
        let waiting = out.queued_bytes();
        for _ in 0..10 {
            assert_eq!(client.frame().await.unwrap().0, 0x82);
            sent -= 1;
        }
        until("progress", || out.queued_bytes() < waiting).await;
    }
    assert!(sent > 0 && !out.is_closed());
    session.abort();
}
