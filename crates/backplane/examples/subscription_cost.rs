//! What a subscription to a room costs in resident memory: one party, one sink, as a node's shard has it.
//! `cargo run --release -p ringway-backplane --example subscription_cost [count] [memory|nats|client]`
//!
//! `client` is what the NATS client alone takes for one, without anything of this crate's.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use ringway_backplane::nats::NatsSettings;
use ringway_backplane::{Backplane, Interest, Scope, Subscription, memory, nats};
use ringway_ring::Slot;
use ringway_testkit::nats::NatsServer;
use tokio::sync::mpsc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.first().map_or(50_000, |count| count.parse().unwrap());
    // The names exist already, as they do where a room is known, and are shared.
    let interests: Vec<Interest> = (0..count).map(interest).collect();
    println!("{} bytes of that in the hand of who subscribed", size_of::<Subscription>());
    match arguments.get(1).map_or("memory", String::as_str) {
        "memory" => {
            let hub = memory::Hub::new();
            let (party, other) = (hub.attach("node"), hub.attach("other"));
            party_cost(&party, &interests).await;
            drop(other);
        }
        "nats" => {
            let server = NatsServer::start();
            let party = nats::connect(&NatsSettings::new(server.url())).await.unwrap();
            party_cost(&party, &interests).await;
        }
        "client" => {
            let server = NatsServer::start();
            let client = async_nats::connect(server.url()).await.unwrap();
            client_cost(&client, &interests).await;
        }
        other => panic!("{other}: memory, nats or client"),
    }
}

fn interest(number: usize) -> Interest {
    let (tenant, room) = ("acme".parse().unwrap(), format!("room-{number}").parse().unwrap());
    Interest {
        group: "shared".parse().unwrap(),
        scope: Scope::Room { slot: Slot::of_room(&tenant, &room), tenant, room },
    }
}

async fn party_cost(party: &Arc<dyn Backplane>, interests: &[Interest]) {
    let (sink, messages) = mpsc::channel(1_024);
    let mut held = Vec::with_capacity(interests.len());
    // Subscribed and ended once before: what remains of that isn't counted.
    held.push(party.subscribe(&interests[0], sink.clone()).await.unwrap());
    held.clear();
    let (before, start) = (settled().await, Instant::now());
    for interest in interests {
        held.push(party.subscribe(interest, sink.clone()).await.unwrap());
    }
    report("made", start, before, interests.len()).await;
    let start = Instant::now();
    held.clear();
    report("dropped", start, before, interests.len()).await;
    drop(messages);
}

async fn client_cost(client: &async_nats::Client, interests: &[Interest]) {
    let mut held = Vec::with_capacity(interests.len());
    let (before, start) = (settled().await, Instant::now());
    for number in 0..interests.len() {
        // As long as a room's live subject.
        held.push(client.subscribe(format!("ringway.shared.live.12345.acme.room-{number}")).await.unwrap());
    }
    report("made", start, before, interests.len()).await;
    // In the hands of a task each, which does nothing else.
    let start = Instant::now();
    let tasks: Vec<_> = held
        .into_iter()
        .map(|mut messages| tokio::spawn(async move { while messages.next().await.is_some() {} }))
        .collect();
    report("with a bare task each", start, before, interests.len()).await;
    drop(tasks);
}

async fn report(what: &str, start: Instant, before: u64, count: usize) {
    let took = start.elapsed();
    let bytes = settled().await.saturating_sub(before) / count as u64;
    println!("{what}: {bytes} bytes each, {:.2} µs each", took.as_secs_f64() * 1e6 / count as f64);
}

/// Resident memory of this process in bytes, once it changes no more.
async fn settled() -> u64 {
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = resident();
        if now == last {
            return now;
        }
        last = now;
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
