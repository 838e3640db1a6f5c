//! A client that doesn't keep up, where publications say that they may be left out: which of them it gets, and what it
//! is told of the others.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ringway_edge::{By, Frame, KEYS_LIMIT, Limits, Outbound, Policy, Pushed, QUEUED_FRAMES_LIMIT, Reader};
use ringway_protocol::CloseCode;
use support::feed::{Follower, Named, Publication, Read};
use support::{Client, Server, collect, soon};

const LIMITS: Limits = Limits { message: 64 * 1024, queue: 256 * 1024, frames: QUEUED_FRAMES_LIMIT };

/// Bytes of each publication.
const LEN: usize = 1_000;

/// A client that has read nothing, and the server's side of it: behind, with the last offset published. Nobody writes
/// before [`read_all`] is called.
async fn stuck(server: &mut Server, feed: &Named) -> (Client, Arc<Outbound>, Reader, u64) {
    let (client, out, reader) = server.connect().await;
    let mut offset = 0;
    while !out.is_behind() {
        offset += 1;
        assert!(out.send(&feed.plain(&Publication { offset, len: LEN, ..Default::default() })));
    }
    (client, out, reader, offset)
}

/// Everything up to a last word, which is sent now.
async fn read_all(client: &mut Client, out: &Outbound, reader: Reader) -> Vec<Read> {
    assert!(out.send(&Frame::text(b"the end")));
    let session = tokio::spawn(collect(reader));
    let mut all = Vec::new();
    loop {
        let read = Read::of(&client.frame().await.unwrap().1);
        if read == Read::Other("the end".into()) {
            break;
        }
        all.push(read);
    }
    client.hang_up().await;
    soon("the session's end", session).await.unwrap();
    all
}

#[tokio::test]
async fn drop_oldest_keeps_the_latest_and_tells_once_what_is_missing() {
    let mut server = Server::start_tight(LIMITS).await;
    let feed = Named::new("chat");
    let (mut client, out, reader, begun) = stuck(&mut server, &feed).await;
    for offset in begun + 1..=begun + 2_000 {
        let it = Publication { offset, len: LEN, text: offset % 2 == 0, ..Default::default() };
        assert!(out.send(&feed.publication(&it)));
        assert!(out.queued_bytes() <= LIMITS.queue);
    }
    assert!(!out.is_closed());
    let all = read_all(&mut client, &out, reader).await;
    let mut follower = Follower::default();
    all.iter().for_each(|read| follower.take_strictly(read));
    assert_eq!((follower.position(), follower.gaps), (begun + 2_000, 1));
    assert_eq!((follower.lost, feed.gaps_so_far()), (feed.dropped_so_far(), 1));
    // The last ones, as many as there is room for.
    let kept = LIMITS.queue as u64 / (LEN as u64 + 4);
    assert!(follower.messages - begun >= kept - 1, "{} of {kept}", follower.messages - begun);
    // The gap comes right behind what had left before.
    let gap = all.iter().position(|read| matches!(read, Read::Gap { .. })).unwrap();
    assert_eq!(all[gap - 1].offset(), Some(begun));
}

#[tokio::test]
async fn conflate_keeps_the_newest_of_each_key_and_has_no_gap() {
    let mut server = Server::start_tight(LIMITS).await;
    let feed = Named::new("prices");
    let (mut client, out, reader, begun) = stuck(&mut server, &feed).await;
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut last = Vec::new();
    for offset in begun + 1..=begun + 5_000 {
        // All publications without a key are of one.
        let key = keys.get((offset * offset + offset / 3) as usize % 10).copied();
        let it = Publication { policy: Policy::Conflate, offset, key, len: LEN, ..Default::default() };
        assert!(out.send(&feed.publication(&it)));
        last.retain(|(_, other)| *other != key);
        last.push((offset, key));
        assert!(out.queued_bytes() <= (last.len() + 1) * (LEN + 4), "only the newest of each key waits");
    }
    let all = read_all(&mut client, &out, reader).await;
    let mut follower = Follower::default();
    all.iter().for_each(|read| follower.take(read));
    let came: Vec<(u64, Option<&str>)> = all
        .iter()
        .map(|read| match read {
            Read::Message { offset, key, .. } => (*offset, Some(key.as_str()).filter(|key| *key != "-")),
            _ => panic!("{read:?}"),
        })
        .collect();
    assert_eq!(came[came.len() - last.len()..], last, "in the order in which they became the newest");
    assert_eq!(came.len() as u64, begun + last.len() as u64);
    assert_eq!((feed.dropped_so_far(), feed.conflated_so_far()), (0, 5_000 - last.len() as u64));
}

#[tokio::test]
async fn beyond_a_thousand_keys_the_oldest_is_left_out_and_told() {
    let mut server = Server::start_tight(Limits::default()).await;
    let feed = Named::new("cursors");
    let (mut client, out, reader, begun) = stuck(&mut server, &feed).await;
    for offset in begun + 1..=begun + KEYS_LIMIT as u64 + 50 {
        let key = format!("user-{offset}");
        let it = Publication { policy: Policy::Conflate, offset, key: Some(&key), ..Default::default() };
        assert!(out.send(&feed.publication(&it)));
    }
    let all = read_all(&mut client, &out, reader).await;
    let mut follower = Follower::default();
    all.iter().for_each(|read| follower.take_strictly(read));
    assert_eq!((follower.gaps, follower.lost), (1, 50));
    assert_eq!(follower.messages, begun + KEYS_LIMIT as u64);
}

#[tokio::test]
async fn rooms_where_something_may_be_lost_give_way_to_those_where_nothing_may() {
    let mut server = Server::start_tight(LIMITS).await;
    let (lossy, whole) = (Named::new("lossy"), Named::new("whole"));
    let (mut client, out, reader, begun) = stuck(&mut server, &lossy).await;
    let fits = (LIMITS.queue / (LEN + 4) - 2) as u64;
    for offset in 1..=fits {
        let it = Publication { offset: begun + offset, len: LEN, ..Default::default() };
        assert!(out.send(&lossy.publication(&it)));
    }
    for offset in 1..=fits {
        assert!(out.send(&whole.plain(&Publication { offset, len: LEN, ..Default::default() })), "{offset}");
    }
    let dropped = lossy.dropped_so_far();
    assert!(dropped >= fits - 2, "{dropped} of {fits}");
    let all = read_all(&mut client, &out, reader).await;
    let mut followers = [Follower::default(), Follower::default()];
    for read in &all {
        let (Read::Message { feed, .. } | Read::Gap { feed, .. }) = read else { panic!("{read:?}") };
        followers[usize::from(feed == "whole")].take_strictly(read);
    }
    assert_eq!((followers[0].lost, followers[1].messages, followers[1].gaps), (dropped, fits, 0));
}

#[tokio::test]
async fn where_nothing_may_be_lost_the_connection_ends() {
    let mut server = Server::start_tight(LIMITS).await;
    let (lossy, whole) = (Named::new("lossy"), Named::new("whole"));
    let (mut client, out, reader, begun) = stuck(&mut server, &lossy).await;
    let it = Publication { offset: begun + 1, len: LEN, ..Default::default() };
    assert!(out.send(&lossy.publication(&it)));
    let taken = (1..).take_while(|&offset| {
        out.push_for(
            &whole.plain(&Publication { offset, len: LEN, ..Default::default() }),
            ringway_edge::Due::Now,
        ) != Pushed::Refused
    });
    assert!(taken.count() >= LIMITS.queue / (LEN + 4) - 2);
    assert_eq!(lossy.dropped_so_far(), 1);
    let session = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await, Some((1008, "Slow consumer".into())));
    drop(client);
    let ended = session.await.unwrap().1;
    assert_eq!((ended.by, ended.code), (By::Slow, Some(CloseCode::POLICY)));
}

#[tokio::test]
async fn when_memory_runs_short_what_may_be_lost_goes_first() {
    let mut server = Server::start_tight(LIMITS).await;
    let feed = Named::new("chat");
    let (mut client, out, reader, begun) = stuck(&mut server, &feed).await;
    for offset in begun + 1..=begun + 100 {
        assert!(out.send(&feed.publication(&Publication { offset, len: LEN, ..Default::default() })));
    }
    assert!(out.send(&Frame::text(b"an answer")));
    let before = out.queued_bytes();
    let given_back = out.shed();
    assert!(given_back >= 100 * LEN as u64);
    assert_eq!(out.queued_bytes() as u64, before as u64 - given_back);
    let all = read_all(&mut client, &out, reader).await;
    let end =
        [Read::Gap { feed: "chat".into(), offset: begun + 100, lost: 100 }, Read::Other("an answer".into())];
    assert_eq!(all[all.len() - 2..], end);
}

#[tokio::test]
async fn when_memory_runs_short_who_only_has_what_may_not_be_lost_is_let_go() {
    let mut server = Server::start_tight(LIMITS).await;
    let (mut client, out, reader) = server.connect().await;
    assert!(out.push(&Frame::binary(&[0; LEN])));
    assert_eq!(out.shed(), 0, "who keeps up is left alone");
    while !out.is_behind() || out.queued_bytes() < 50 * LEN {
        assert!(out.send(&Frame::binary(&[0; LEN])));
    }
    assert!(out.shed() >= 48 * LEN as u64);
    assert_eq!(out.shed(), 0, "once is enough");
    let session = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await, Some((1008, "Slow consumer".into())));
    drop(client);
    assert_eq!(session.await.unwrap().1.by, By::Shed);
}

#[tokio::test]
async fn who_keeps_up_gets_everything_whatever_may_be_lost() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    let feed = Named::new("prices");
    for offset in 1..=5_000 {
        let it =
            Publication { policy: Policy::Conflate, offset, key: Some("a"), len: 100, ..Default::default() };
        assert!(out.push(&feed.publication(&it)));
        if offset % 50 == 0 {
            out.flush();
            for _ in 0..50 {
                client.frame().await.unwrap();
            }
        }
    }
    assert_eq!((feed.dropped_so_far(), feed.conflated_so_far()), (0, 0));
    client.hang_up().await;
    session.await.unwrap();
}
