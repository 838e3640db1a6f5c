//! Frames that are pushed now and flushed later, by whoever promised it: who has to flush, and that it doesn't matter
//! who does.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ringway_edge::{Due, Frame, Limits, Pushed};
use support::{Server, collect, soon, until};
use tokio::sync::mpsc;

fn numbered(number: u32) -> Frame {
    Frame::binary(&number.to_be_bytes())
}

#[tokio::test]
async fn one_flush_is_promised_and_another_only_if_it_is_sooner() {
    let mut server = Server::start().await;
    let (mut client, out, _reader) = server.connect().await;
    let mut number = 0;
    for _ in 0..3 {
        for (due, pushed) in [
            (Due::Soon, Pushed::Promised),
            (Due::Soon, Pushed::Waits),
            (Due::Later, Pushed::Waits),
            (Due::Now, Pushed::Promised),
            (Due::Now, Pushed::Waits),
        ] {
            assert_eq!(out.push_for(&numbered(number), due), pushed, "{number}");
            number += 1;
        }
        assert_eq!(out.queued_bytes(), 5 * 6);
        assert_eq!(out.stalled_since(), None, "who waits for a flush isn't behind");
        out.flush();
        assert_eq!(out.queued_bytes(), 0);
        // Whoever promised as well finds nothing to do.
        out.flush();
    }
    for number in 0..number {
        assert_eq!(client.frame().await.unwrap().1, number.to_be_bytes());
    }
}

#[tokio::test]
async fn what_is_sent_at_once_takes_along_what_waits() {
    let mut server = Server::start().await;
    let (mut client, out, _reader) = server.connect().await;
    for (number, waiting) in [(0, 1), (10, 2), (20, 7)] {
        for waits in 0..waiting {
            assert_ne!(out.push_for(&numbered(number + waits), Due::Later), Pushed::Refused);
        }
        assert!(out.send(&numbered(number + waiting)));
        for expected in number..=number + waiting {
            assert_eq!(client.frame().await.unwrap().1, expected.to_be_bytes());
        }
        assert_eq!(out.push_for(&numbered(99), Due::Later), Pushed::Promised, "that promise was kept");
        out.flush();
        client.frame().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_promises_for_one_who_is_behind_or_closed() {
    let mut server = Server::start_tight(Limits::default()).await;
    let (mut client, out, reader) = server.connect().await;
    assert_eq!(out.push_for(&numbered(0), Due::Later), Pushed::Promised);
    while out.stalled_since().is_none() {
        assert!(out.send(&Frame::binary(&[0; 10_000])));
    }
    assert_eq!(out.push_for(&numbered(1), Due::Now), Pushed::Waits, "its task writes");
    let ended = tokio::spawn(collect(reader));
    assert_eq!(client.frame().await.unwrap().1, 0_u32.to_be_bytes());
    while client.frame().await.unwrap().1 != 1_u32.to_be_bytes() {}
    until("an empty queue", || out.queued_bytes() == 0).await;
    assert_eq!(out.push_for(&numbered(2), Due::Later), Pushed::Promised, "it has caught up");
    out.close(ringway_protocol::CloseCode(1000), "bye");
    assert_eq!(out.push_for(&numbered(3), Due::Now), Pushed::Refused);
    assert_eq!(client.frame().await.unwrap().1, 2_u32.to_be_bytes(), "what waited is sent before the end");
    drop(client);
    ended.await.unwrap();
}

#[tokio::test]
async fn what_nobody_has_flushed_when_the_client_hangs_up_is_still_written() {
    let mut server = Server::start().await;
    for waiting in [1, 3] {
        let (mut client, out, reader) = server.connect().await;
        for number in 0..waiting {
            out.push_for(&numbered(number), Due::Later);
        }
        client.hang_up().await;
        soon("the end", collect(reader)).await;
        for number in 0..waiting {
            assert_eq!(soon("a frame", client.frame()).await.unwrap().1, number.to_be_bytes());
        }
    }
}

#[tokio::test]
async fn the_bound_holds_for_what_waits_for_a_flush() {
    let mut server = Server::start_tight(Limits::default()).await;
    let (client, out, _reader) = server.connect().await;
    let frame = Frame::binary(&[0; 1_000]);
    let mut most = 0;
    while out.push_for(&frame, Due::Later) != Pushed::Refused {
        most = most.max(out.queued_bytes());
    }
    assert!(out.is_closed());
    assert!(most <= Limits::default().queue, "{most}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_flushes_the_order_is_that_of_the_pushes() {
    const FRAMES: u32 = 20_000;
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    // Each promise goes to one of two who keep it, in their own time.
    let (keepers, tasks): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (promise, mut promises) = mpsc::unbounded_channel::<Arc<ringway_edge::Outbound>>();
            let task = tokio::spawn(async move {
                while let Some(out) = promises.recv().await {
                    out.flush();
                }
            });
            (promise, task)
        })
        .unzip();
    let pushing = tokio::task::spawn_blocking(move || {
        for number in 0..FRAMES {
            let due = [Due::Later, Due::Soon, Due::Now][number as usize % 3];
            match out.push_for(&numbered(number), due) {
                Pushed::Promised => keepers[number as usize % 2].send(Arc::clone(&out)).unwrap(),
                Pushed::Waits => {}
                Pushed::Refused => panic!("closed at {number}"),
            }
        }
    });
    for number in 0..FRAMES {
        let frame = soon("a frame", client.frame()).await.unwrap();
        assert_eq!(frame.1, number.to_be_bytes());
    }
    pushing.await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    drop(client);
    session.await.unwrap();
}
