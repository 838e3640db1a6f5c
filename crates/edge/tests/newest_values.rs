//! Where newer values replace older ones: whatever a slow client gets was the newest of its key when it was written,
//! and not much was written long before.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_edge::{Frame, Limits, Message, Policy};
use support::feed::{Follower, Named, Publication, Read};
use support::{Server, soon};

const KEYS: usize = 10;

#[tokio::test]
async fn the_next_value_written_is_the_newest_of_its_key() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start_tight(Limits::default()).await;
    let (mut client, out, reader) = server.connect().await;
    out.keep_fresh();
    let feed = Named::new("prices");
    let keys: Vec<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
    let mut offset = 0;
    // Nothing is written to one who is behind but while `reader` is polled: so all that can be written is what was the
    // newest at the end of a round, and what was pushed while it kept up.
    let mut may_come = HashSet::new();
    let mut newest = HashMap::new();
    let mut follower = Follower::default();
    let mut replaced = 0;
    for _ in 0..300 {
        for _ in 0..random.random_range(20..100) {
            offset += 1;
            let key = &keys[random.random_range(0..KEYS)];
            let len = random.random_range(100..3_000);
            let it =
                Publication { policy: Policy::Conflate, offset, key: Some(key), len, ..Default::default() };
            let kept_up = !out.is_behind();
            assert!(out.send(&feed.publication(&it)));
            if kept_up {
                may_come.insert(offset);
            }
            if let Some(older) = newest.insert(key.clone(), offset) {
                replaced += u64::from(!may_come.contains(&older));
            }
        }
        may_come.extend(newest.values().copied());
        let frames = random.random_range(1..15);
        let reading = Box::pin(async {
            for _ in 0..frames {
                // Perhaps nothing more is to come.
                if !out.is_behind() {
                    break;
                }
                let read = Read::of(&client.frame().await.unwrap().1);
                assert!(
                    may_come.contains(&read.offset().unwrap()),
                    "{read:?} was never the newest when it was written"
                );
                follower.take(&read);
            }
        });
        soon("some values", reader.while_draining(reading)).await;
    }
    assert_eq!((feed.dropped_so_far(), follower.gaps), (0, 0));
    assert!(replaced > 1_000 && feed.conflated_so_far() >= replaced, "it was slow: {replaced}");
}

/// How many bytes wait in the two kernels' buffers for a client that has read much, and then no more.
async fn bytes_in_the_kernels(fresh: bool) -> usize {
    let mut server = Server::start().await;
    let (mut client, out, mut reader) = server.connect().await;
    if fresh {
        out.keep_fresh();
        out.keep_fresh();
    }
    // What the kernel would take grows with what has gone.
    let frame = Frame::binary(&[0; 10_000]);
    let reading = tokio::spawn(async move {
        for _ in 0..2_000 {
            client.frame().await.unwrap();
        }
        client
    });
    for _ in 0..2_000 {
        assert!(out.send(&frame));
        reader.until_queued_below(500_000).await.unwrap();
    }
    let mut ignore = |_: Message<'_>| {};
    let _client = soon("all frames", async {
        tokio::select! {
            client = reading => client.unwrap(),
            ended = reader.read(&mut ignore) => panic!("{ended:?}"),
        }
    })
    .await;
    assert!(!out.is_behind());
    let frame = Frame::binary(&[0; 1_000]);
    let mut sent = 0;
    while !out.is_behind() {
        sent += frame.len();
        assert!(out.send(&frame));
    }
    sent - out.queued_bytes()
}

#[tokio::test]
async fn the_kernel_holds_little_where_values_are_to_be_fresh() {
    let (fresh, usual) = (bytes_in_the_kernels(true).await, bytes_in_the_kernels(false).await);
    println!("{fresh} bytes, {usual} without");
    // The 16 KiB, what the last segment takes beyond, and what the client's own side holds.
    assert!(fresh < 200_000, "{fresh}");
    assert!(usual > fresh, "{usual}");
}
