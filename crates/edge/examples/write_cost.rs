//! What a delivery costs in CPU: one finished frame to many idle sockets, by this crate, against
//! the floor, one thread that writes the same bytes with one system call per socket. The sockets
//! of both are served by the same reader process, and the rounds alternate.
//! `cargo run --release -p ringway-edge --example write_cost 2000`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_edge::{Frame, Limits, Outbound, open};
use tokio::io::AsyncReadExt;

const ROUNDS: usize = 200;
const BATCH: usize = 8;
const PAYLOAD: usize = 128;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [count, address] => play_the_clients(count.parse().unwrap(), address).await,
        [count] => measure(count.parse().unwrap()).await,
        _ => measure(2_000).await,
    }
}

async fn measure(count: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args([(2 * count).to_string(), listener.local_addr().unwrap().to_string()])
        .spawn()
        .unwrap();
    let mut sockets: Vec<TcpStream> = (0..2 * count).map(|_| listener.accept().unwrap().0).collect();
    sockets.iter().for_each(|socket| socket.set_nodelay(true).unwrap());
    sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    // Every other one, so that both kinds are spread alike.
    let mut floor = Vec::new();
    let mut ours: Vec<Arc<Outbound>> = Vec::new();
    for (number, socket) in sockets.drain(..).enumerate() {
        if number % 2 == 0 {
            floor.push(socket);
        } else {
            let stream = tokio::net::TcpStream::from_std(socket).unwrap();
            let (out, mut reader) = open(stream, &Bytes::new(), Limits::default());
            tokio::spawn(async move { while reader.read(&mut |_| {}).await.is_ok() {} });
            ours.push(out);
        }
    }

    let frames: Vec<Frame> = (0..BATCH).map(|n| Frame::binary(&[n as u8; PAYLOAD])).collect();
    let mut spent = [Duration::ZERO; 5];
    for _ in 0..ROUNDS {
        spent[0] += cpu(|| floor.iter().for_each(|mut socket| write(&mut socket, &frames[0])));
        spent[1] += cpu(|| ours.iter().for_each(|out| assert!(out.send(&frames[0]))));
        spent[2] += cpu(|| {
            for mut socket in &floor {
                frames.iter().for_each(|frame| write(&mut socket, frame));
            }
        });
        spent[3] += cpu(|| ours.iter().for_each(|out| assert!(out.send_all(&frames))));
        spent[4] += cpu(|| {
            for out in &ours {
                frames.iter().for_each(|frame| assert!(out.push(frame)));
                out.flush();
            }
        });
    }
    let behind = ours.iter().filter(|out| out.stalled_since().is_some()).count();
    let each = spent.map(|spent| spent.as_secs_f64() * 1e6 / (ROUNDS * count) as f64);
    let per = |batch: usize, value: f64| value / batch as f64;
    println!("{count} sockets of each kind, {PAYLOAD} B, {ROUNDS} rounds, {behind} behind at the end");
    println!("one message:    floor {:.2} µs, send {:.2} µs = {:.3} x", each[0], each[1], each[1] / each[0]);
    println!(
        "eight messages, each: floor {:.2} µs, send_all {:.2} µs = {:.3} x, push and flush {:.2} µs = {:.3} x",
        per(BATCH, each[2]),
        per(BATCH, each[3]),
        each[3] / each[2],
        per(BATCH, each[4]),
        each[4] / each[2],
    );
    clients.kill().unwrap();
    clients.wait().unwrap();
}

fn write(socket: &mut &TcpStream, frame: &Frame) {
    socket.write_all(frame.encoded()).unwrap();
}

/// CPU time that this thread spends in `work`; then the readers get time to take it all.
fn cpu(work: impl FnOnce()) -> Duration {
    let before = thread_time();
    work();
    let spent = thread_time() - before;
    std::thread::sleep(Duration::from_millis(60));
    spent
}

/// CPU time of this thread so far.
fn thread_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

async fn play_the_clients(count: usize, address: &str) {
    let mut readers = Vec::new();
    for _ in 0..count {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        }));
    }
    std::future::pending::<()>().await;
}
