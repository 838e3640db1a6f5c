//! What waits in queues takes the memory that it is said to take, shared by all who wait for it, and gives it back.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ringway_edge::{Frame, Limits, Policy};
use support::Server;
use support::feed::{Named, Publication};
use tokio::sync::Mutex;

/// One at a time: they look at all frames of the process.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_frame_that_many_wait_for_counts_once_and_no_longer_than_anyone_does() {
    let _alone = ALONE.lock().await;
    let before = Frame::alive_bytes();
    let mut server = Server::start_tight(Limits::default()).await;
    let mut members = Vec::new();
    for _ in 0..20 {
        let (client, out, reader) = server.connect().await;
        while !out.is_behind() {
            assert!(out.send(&Frame::binary(&[0; 10_000])));
        }
        members.push((client, out, reader));
    }
    let with_begun = Frame::alive_bytes();
    for _ in 0..50 {
        let frame = Frame::binary(&[1; 10_000]);
        members.iter().for_each(|(_, out, _)| assert!(out.send(&frame)));
    }
    let taken = Frame::alive_bytes() - with_begun;
    assert!((50 * 10_000..51 * 10_000).contains(&taken), "{taken}");
    assert!(members.iter().all(|(_, out, _)| out.queued_bytes() >= 50 * 10_000));
    let last = members.pop().unwrap();
    drop(members);
    assert!(Frame::alive_bytes() - before >= 50 * 10_000, "one still waits for them");
    drop(last);
    assert_eq!(Frame::alive_bytes(), before);
}

#[tokio::test]
async fn frames_of_other_threads_count_too() {
    let _alone = ALONE.lock().await;
    let before = Frame::alive_bytes();
    let frames: Vec<Frame> =
        (0..20).map(|_| std::thread::spawn(|| Frame::binary(&[0; 1_000])).join().unwrap()).collect();
    let taken = Frame::alive_bytes() - before;
    assert!((20 * 1_002..20 * 1_200).contains(&taken), "{taken}");
    std::thread::spawn(move || drop(frames)).join().unwrap();
    assert_eq!(Frame::alive_bytes(), before);
}

#[tokio::test]
async fn values_that_newer_ones_replace_take_no_memory() {
    let _alone = ALONE.lock().await;
    let before = Frame::alive_bytes();
    let mut server = Server::start_tight(Limits::default()).await;
    let (_client, out, reader) = server.connect().await;
    let feed = Named::new("prices");
    let mut offset = 0;
    let mut publish = || {
        offset += 1;
        let key = format!("k{}", offset % 10);
        let it = Publication {
            policy: Policy::Conflate,
            offset,
            key: Some(&key),
            len: 1_000,
            ..Default::default()
        };
        assert!(out.send(&feed.publication(&it)));
    };
    while !out.is_behind() {
        publish();
    }
    for _ in 0..100_000 {
        publish();
        assert!(out.queued_bytes() < 11 * 1_010);
    }
    let taken = Frame::alive_bytes() - before;
    assert!(taken < 11 * 1_400, "{taken}");
    drop(reader);
    assert_eq!(Frame::alive_bytes(), before, "nobody waits any more");
    assert_eq!(Arc::strong_count(&feed), 1, "and nothing holds the feed");
}
