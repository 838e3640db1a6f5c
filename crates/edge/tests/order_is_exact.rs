//! One publisher, 10,000 numbered messages, a receiver that is slow and fast in turn: whether a
//! frame was written directly, queued, or sent with others, none overtakes another, whatever may be left out.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_edge::{Frame, Limits, Outbound, Policy};
use support::feed::{Follower, Named, Publication, Read};
use support::{Server, collect, soon};

const MESSAGES: u64 = 10_000;
const KEYS: u64 = 10;
const TOGGLE: Duration = Duration::from_millis(50);

fn key_of(offset: u64) -> String {
    format!("k{}", offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS)
}

/// Publishes everything in batches of all kinds; returns how many batches met a socket that kept up, and how many one
/// that was behind.
fn publish(out: &Outbound, feed: &Arc<Named>, policy: Option<Policy>, mut random: StdRng) -> (u32, u32) {
    let (mut last, mut direct, mut queued) = (0, 0, 0);
    while last < MESSAGES {
        let batch: Vec<Frame> = (last + 1..=MESSAGES.min(last + random.random_range(1..20)))
            .map(|offset| {
                let (key, len) = (key_of(offset), random.random_range(4..2_000));
                let it = Publication { offset, key: Some(&key), len, ..Default::default() };
                match policy {
                    Some(policy) => feed.publication(&Publication { policy, ..it }),
                    None => feed.plain(&it),
                }
            })
            .collect();
        last += batch.len() as u64;
        if out.is_behind() {
            queued += 1;
        } else {
            direct += 1;
        }
        match random.random_range(0..3) {
            0 => assert!(out.send_all(&batch)),
            1 => batch.iter().for_each(|frame| assert!(out.send(frame))),
            _ => {
                batch.iter().for_each(|frame| assert!(out.push(frame)));
                out.flush();
            }
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..2_000)));
    }
    (direct, queued)
}

/// What came to a receiver that toggles, each as the client understood it, and the feed's own count.
async fn toggling(policy: Option<Policy>, queue: usize) -> (Vec<Read>, Arc<Named>) {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut server = Server::start_tight(Limits { queue, ..Limits::default() }).await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));
    let feed = Named::new("room");
    let publisher = {
        let (out, feed) = (out.clone(), feed.clone());
        tokio::task::spawn_blocking(move || publish(&out, &feed, policy, StdRng::seed_from_u64(seed)))
    };
    let mut came: Vec<Read> = Vec::new();
    let mut toggled = Instant::now();
    let mut slow = true;
    while came.last().and_then(Read::offset) != Some(MESSAGES) {
        if toggled.elapsed() > TOGGLE {
            (slow, toggled) = (!slow, Instant::now());
            if slow {
                tokio::time::sleep(TOGGLE).await;
            }
        }
        let (first, payload) = client.frame().await.unwrap();
        assert_eq!(first, 0x82);
        came.push(Read::of(&payload));
    }
    let (direct, queued) = publisher.await.unwrap();
    println!("{policy:?}: batches sent to a socket that kept up: {direct}, that was behind: {queued}");
    assert!(direct > 50 && queued > 50, "both ways were gone");
    client.hang_up().await;
    soon("the session's end", session).await.unwrap();
    (came, feed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_while_the_receiver_toggles() {
    let (came, _) = toggling(None, 16 * 1024 * 1024).await;
    let offsets: Vec<u64> = came.iter().filter_map(Read::offset).collect();
    assert_eq!(offsets, (1..=MESSAGES).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_where_the_oldest_are_left_out() {
    let (came, feed) = toggling(Some(Policy::DropOldest), 64 * 1024).await;
    let mut follower = Follower::default();
    came.iter().for_each(|read| follower.take_strictly(read));
    println!("{} gaps, {} lost", follower.gaps, follower.lost);
    assert!(follower.gaps > 1);
    assert_eq!(follower.lost, feed.dropped_so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_where_newer_values_replace_older_ones() {
    let (came, feed) = toggling(Some(Policy::Conflate), 1024 * 1024).await;
    let mut follower = Follower::default();
    let mut newest = HashMap::new();
    for read in &came {
        follower.take(read);
        let Read::Message { offset, key, .. } = read else { panic!("{read:?}") };
        newest.insert(key.clone(), *offset);
    }
    let expected: HashMap<String, u64> = (1..=MESSAGES).map(|offset| (key_of(offset), offset)).collect();
    assert_eq!(newest, expected, "the last value of each key is its newest");
    println!("{} replaced", feed.conflated_so_far());
    assert!(feed.conflated_so_far() > 100);
    assert_eq!(follower.messages + feed.conflated_so_far(), MESSAGES);
}
