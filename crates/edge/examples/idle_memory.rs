//! What an idle connection costs in resident memory: after the handshake, after a short echo, and
//! after a message of 60 KB each. `cargo run --release -p ringway-edge --example idle_memory 4000`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use ringway_edge::serve::{self, Settings};
use ringway_edge::{Frame, Limits, Message, Reader, open, upgrade};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

static OPEN: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);
static HEARD: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [count, address] => play_the_clients(count.parse().unwrap(), address).await,
        [count] => measure(count.parse().unwrap()).await,
        _ => measure(4_000).await,
    }
}

async fn measure(count: usize) {
    let listener = serve::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = TaskTracker::new();
    let spawner = tasks.clone();
    let handler = move |mut request: Request<Incoming>, _| {
        let upgraded = hyper::upgrade::on(&mut request);
        let upgrade = upgrade::check(&request.into_parts().0);
        let spawner = spawner.clone();
        async move {
            let Ok(upgrade) = upgrade else { return Response::new(Empty::new()) };
            spawner.clone().spawn(async move {
                let (stream, early) = serve::into_socket(upgraded.await.unwrap()).unwrap();
                // A task of its own: it lives long, and need not be as large as the handshake's.
                let (_, reader) = open(stream, &early, Limits::default());
                let session = session(reader);
                SIZE.store(size_of_val(&session), Ordering::Relaxed);
                spawner.spawn(session);
            });
            upgrade.response()
        }
    };
    tokio::spawn(serve::serve(listener, handler, Settings::default(), CancellationToken::new(), tasks));

    let before = resident();
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args([count.to_string(), address.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    report("idle", count, before, || OPEN.load(Ordering::Relaxed) == count).await;
    println!("opening one took {:.1} µs of CPU", cpu_seconds() * 1e6 / count as f64);
    println!(
        "{count} connections, each with a task of {} bytes beside tokio's own",
        SIZE.load(Ordering::Relaxed)
    );
    for (name, total) in [("after 32 B", count), ("after 60 KB", 2 * count)] {
        use std::io::Write;
        clients.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        report(name, count, before, || HEARD.load(Ordering::Relaxed) == total).await;
    }
    clients.kill().unwrap();
    clients.wait().unwrap();
}

/// Not an `async fn`, which would hold the reader twice.
fn session(mut reader: Reader) -> impl Future<Output = ()> + Send {
    OPEN.fetch_add(1, Ordering::Relaxed);
    async move {
        let out = reader.outbound().clone();
        let mut on = |message: Message<'_>| {
            let (Message::Text(bytes) | Message::Binary(bytes)) = message;
            out.push(&Frame::binary(bytes));
            HEARD.fetch_add(1, Ordering::Relaxed);
        };
        while reader.read(&mut on).await.is_ok() {}
        reader.finish().await;
    }
}

async fn report(name: &str, count: usize, before: u64, done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("{name}: {} bytes a connection", resident().saturating_sub(before) / count as u64);
}

/// User and system time of this process; fields 14 and 15 of proc(5), in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn play_the_clients(count: usize, address: &str) {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
            "dGhlIHNhbXBsZSBub25jZQ=="
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        clients.push(stream);
    }
    for payload in [32_usize, 60_000] {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let mut message = vec![0x82, 0xFE];
        if payload > 125 {
            message.extend((payload as u16).to_be_bytes());
        } else {
            message[1] = 0x80 | payload as u8;
        }
        message.extend([0; 4]);
        message.resize(message.len() + payload, b'x');
        let echo = message.len() - 4;
        for stream in &mut clients {
            stream.write_all(&message).await.unwrap();
            stream.read_exact(&mut vec![0; echo]).await.unwrap();
        }
    }
    std::future::pending::<()>().await;
}
