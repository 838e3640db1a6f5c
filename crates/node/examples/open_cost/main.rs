//! What a connection costs a node: processor time to open one, resident memory while it idles, before and after large
//! messages, and what is left once all have gone. The node is the real binary, in a process of its own, reached
//! directly with tickets; each connection has a user, two grants and one room of a hundred members.
//!
//! `cargo run --release -p ringway-node --example open_cost -- target/release/ringway 10000 3`: the binary, how many
//! connections, how many waves of them; `idle` behind it looks at idle ones in place of large messages. Beside it: a bare
//! server that does the same work in the kernel.
//!
//! `… -- rooms 30000 target/release/ringway`: what a room costs that is known but empty. A node remembers 32,768 of them at most;
//! `nats` behind it joins the node with others, of which there are none.
#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

mod clients;
mod rooms;
mod server;

use std::path::Path;
use std::time::Duration;

use clients::{OUTSTANDING, idle, large_messages, open_all};
use server::Server;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |at: usize| arguments.get(at).map(String::as_str);
    let count = text(2).map_or(10_000, |n| n.parse().unwrap());
    match text(1) {
        Some("bare") => server::bare(count),
        Some("rooms") => {
            rooms::measure(text(3).unwrap_or("target/release/ringway"), count, text(4) == Some("nats"));
        }
        binary => {
            let waves = text(3).map_or(1, |n| n.parse().unwrap());
            let burst = text(4) != Some("idle");
            measure(binary.unwrap_or("target/release/ringway"), count, waves, burst);
        }
    }
}

fn measure(binary: &str, count: usize, waves: usize, burst: bool) {
    let floor = Server::start_bare(count);
    let before = floor.processor();
    let open = open_all(floor.address(1), count, 0);
    println!("a bare server: {:.1} µs a connection opened", floor.processor_since(before) / count as f64);
    drop((open, floor));

    let node = Server::start_node(Path::new(binary), None);
    // What is there once, however many come: code, stacks, buffers of threads.
    drop(open_all(node.address(1), 4 * OUTSTANDING, 0));
    std::thread::sleep(Duration::from_secs(5));
    let empty = node.resident();
    println!("a node without connections: {} KB", empty / 1024);
    let each = |bytes: u64| bytes.saturating_sub(empty) / count as u64;
    for wave in 1..=waves {
        let before = node.processor();
        let mut open = open_all(node.address(1 + wave as u8), count, wave);
        let took = node.processor_since(before) / count as f64;
        idle(&mut open, 3);
        println!("wave {wave}: {took:.1} µs a connection opened, {} B each", each(node.resident()));
        if burst {
            large_messages(&mut open);
            // Replay buffers are emptied within their age and a sweep.
            idle(&mut open, 33);
            println!("wave {wave}: after large messages: {} B each", each(node.resident()));
        } else {
            let before = node.processor();
            idle(&mut open, 50);
            let share = node.processor_since(before) / 50e6 * 100.0;
            println!("wave {wave}: {share:.2} % of a core while all idle, {} B each", each(node.resident()));
        }
        drop(open);
        std::thread::sleep(Duration::from_secs(8));
        println!(
            "wave {wave}: all gone: {} KB more than at first",
            node.resident().saturating_sub(empty) / 1024
        );
    }
}
