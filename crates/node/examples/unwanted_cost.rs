//! What a publication costs a node that has no member of the room: received over a real `nats-server`, beside a bare
//! subscriber of the same client that receives the same bytes and drops them.
//! `cargo run --release -p ringway-node --example unwanted_cost -- ROUNDS`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "measured/mod.rs"]
mod measured;
#[path = "fanout_cost/server.rs"]
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use ringway_backplane::message::{Epoch, LiveBody, LiveMessage, Publication};
use ringway_backplane::nats::{NatsSettings, connect};
use ringway_protocol::Payload;
use ringway_ring::Slot;
use ringway_testkit::nats::NatsServer;

const MESSAGES: usize = 4_000;

/// Sent together, then a pause: as a busy room's come.
const BURST: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("publisher") => runtime.block_on(publish(&arguments[2])),
        rounds => {
            let nats = NatsServer::start();
            runtime.block_on(measure(&nats.url(), rounds.map_or(20, |n| n.parse().unwrap())));
        }
    }
}

async fn measure(url: &str, rounds: usize) {
    let server = server::Server::start(connect(&NatsSettings::new(url)).await.unwrap()).await;
    let address = server.address();
    // The node listens to the rooms that it owns, and still does when the last member has left.
    tokio::task::spawn_blocking(move || visit(address)).await.unwrap();

    let bare = async_nats::connect(url).await.unwrap();
    let mut everything = bare.subscribe("ringway.g.*.live.>").await.unwrap();
    let sender = connect(&NatsSettings::new(url)).await.unwrap();
    let room = "unwanted".parse().unwrap();
    let tenant = "default".parse().unwrap();
    let message = LiveMessage {
        from: "another".parse().unwrap(),
        count: 1,
        body: LiveBody::Publication {
            epoch: Epoch { ms: 1 << 42, node: 1, random: 1 },
            offset: 1,
            publication: Arc::new(publication()),
        },
        traceparent: None,
        tenant,
        room,
    };
    let slot = Slot::of_room(&message.tenant, &message.room);
    sender.publish_live(&"shared".parse().unwrap(), slot, &message).unwrap();
    let sample = everything.next().await.unwrap();
    everything.unsubscribe().await.unwrap();
    let mut dropped = bare.subscribe("bare.subject").await.unwrap();
    tokio::spawn(async move { while dropped.next().await.is_some() {} });
    bare.flush().await.unwrap();

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["publisher", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut orders, mut done) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let hex: String = sample.payload.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut spent: [Vec<f64>; 3] = Default::default();
    for round in 0..=rounds {
        for (subject, spent) in ["nobody.there", "bare.subject", &sample.subject].iter().zip(&mut spent) {
            let before = all_threads();
            tokio::task::block_in_place(|| {
                writeln!(orders, "{subject} {hex}").unwrap();
                done.read_line(&mut String::new()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            });
            if round > 0 {
                spent.push((all_threads() - before).as_secs_f64() * 1e6 / MESSAGES as f64);
            }
        }
    }
    let [nothing, bare, node] = spent.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!(
        "{} B: bare subscriber {:.2} µs, node {:.2} µs a publication: {:.2} µs more (with nothing to receive: {nothing:.2})",
        sample.payload.len(),
        bare - nothing,
        node - nothing,
        node - bare,
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

fn publication() -> Publication {
    Publication {
        user: Some("somebody".parse().unwrap()),
        conn: Some("c0123456789abcdef".parse().unwrap()),
        session: Some("s0123456789abcdef".parse().unwrap()),
        ..Publication::new(
            1_700_000_000_000,
            Payload::from_json(format!("\"{}\"", "x".repeat(128)).as_bytes()).unwrap(),
        )
    }
}

/// Joins the room, and leaves it. A node that has just started may answer without a position, and would take the room
/// a little later, from whoever publishes there: it joins until it is told one.
fn visit(address: std::net::SocketAddr) {
    let mut socket = TcpStream::connect(address).unwrap();
    for round in 1.. {
        let joined = ask(&mut socket, "join", 2 * round);
        ask(&mut socket, "leave", 2 * round + 1);
        if joined.contains(r#""epoch""#) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer, and what came before it.
fn ask(socket: &mut TcpStream, kind: &str, id: u32) -> String {
    let text = format!(r#"{{"t":"{kind}","room":"unwanted","id":{id}}}"#);
    socket.write_all(&[&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()).unwrap();
    let mut heard = String::new();
    while !heard.contains(&format!(r#""id":{id}"#)) {
        let mut part = [0; 4_096];
        let count = socket.read(&mut part).unwrap();
        heard.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    heard
}

fn all_threads() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let each = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(each.sum())
}

async fn publish(url: &str) {
    let client = async_nats::connect(url).await.unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (subject, hex) = line.split_once(' ').unwrap();
        let payload: Vec<u8> = hex
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect();
        for _ in 0..MESSAGES / BURST {
            for _ in 0..BURST {
                client.publish(subject.to_owned(), payload.clone().into()).await.unwrap();
            }
            client.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("done");
    }
}
