//! What connections whose sockets a gateway holds cost the node that holds their rooms: processor time of a publication
//! for all members behind one link, and memory of an idle one, and of each further room that it is in. A whole node over
//! the memory backplane; the gateway, with one link, is a process of its own.
//!
//! `cargo run --release -p ringway-node --example relay_cost -- cast MEMBERS ROUNDS`, or `-- memory CONNECTIONS ROOMS`,
//! where each connection is in one room, then in so many further ones, of which all are in each.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod gateway;
#[path = "../measured/mod.rs"]
mod measured;
mod server;

use std::process::{Command, Stdio};
use std::time::Duration;

use gateway::Orders;

/// What of the machine's memory this process uses, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// Processor time of all threads of this process.
fn processor() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let each = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(each.sum())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |n| n.parse().unwrap());
    match arguments.get(1).map_or("cast", String::as_str) {
        "gateway" => gateway::run(arguments[2].parse().unwrap()),
        "cast" => measure(|orders| cast(orders, number(2, 2_000), number(3, 40))),
        "memory" => measure(|orders| memory(orders, number(2, 2_000), number(3, 20))),
        other => panic!("{other}: cast or memory is meant"),
    }
}

fn measure(what: impl FnOnce(&mut Orders)) {
    let orders = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["gateway", &orders.local_addr().unwrap().to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut orders = Orders::new(orders.accept().unwrap().0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (node, address) = runtime.block_on(server::start());
    orders.ask(&format!("link {address}"));
    what(&mut orders);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(node);
    runtime.shutdown_background();
}

/// Publications of one round: what one of them costs is the smaller the more there are for one write.
const PUBLICATIONS: usize = 200;

fn cast(orders: &mut Orders, members: usize, rounds: usize) {
    // The first is there for what a publication costs beside its members.
    for count in [1, members] {
        orders.ask(&format!("open {count}"));
        orders.ask("join r0");
        let mut spent: Vec<f64> = (0..rounds)
            .map(|_| {
                let before = processor();
                orders.ask(&format!("publish {PUBLICATIONS}"));
                (processor() - before).as_secs_f64() * 1e6 / PUBLICATIONS as f64
            })
            .collect();
        spent.sort_by(f64::total_cmp);
        let quarter = |quarter: usize| spent[(spent.len() - 1) * quarter / 4];
        let [low, median, high] = [1, 2, 3].map(quarter);
        println!(
            "{count} members: {median:.2} µs a publication ({low:.2} to {high:.2}), {:.1} ns a member",
            median * 1e3 / count as f64
        );
    }
}

fn memory(orders: &mut Orders, connections: usize, rooms: usize) {
    // What the first ones leave of the allocator's.
    orders.ask("open 100");
    orders.ask("join r0");
    std::thread::sleep(Duration::from_millis(500));
    let before = resident();
    orders.ask(&format!("open {}", 100 + connections));
    orders.ask("join r0");
    std::thread::sleep(Duration::from_millis(500));
    let one = resident();
    println!("{:.0} B a connection in one room", (one - before) as f64 / connections as f64);
    for room in 1..=rooms {
        orders.ask(&format!("join r{room}"));
    }
    std::thread::sleep(Duration::from_millis(500));
    let each = (resident() - one) as f64 / ((100 + connections) * rooms) as f64;
    println!("{each:.0} B a further room");
}
