//! What it costs a node to bring a publication to the members of one room, against the floor: one thread that writes
//! the same finished frame with one `send(2)` per socket. A whole node over the memory backplane, real sockets, its
//! members and the publisher in a process of their own; the floor's sockets are read by the same process, and the
//! rounds alternate.
//!
//! `cargo run --release -p ringway-node --example fanout_cost -- WHAT MEMBERS ROUNDS CORES`, where WHAT is
//!
//! - `one`, `eight`: processor time per delivery, one publication at a time, and eight back to back;
//! - `window`: the same at 1,000 publications a second in a room with a flush window of 10 ms;
//! - `time`: until the last member's socket has one publication. Here the reader isn't woken but looks every half
//!   millisecond, at some sockets, so that it takes next to nothing from the cores that write.
//!
//! CORES bounds what the node may use (the floor has one thread anyway).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod clients;
mod floor;
#[path = "../measured/mod.rs"]
mod measured;
mod server;

use std::process::{Command, Stdio};
use std::time::Duration;

use clients::Orders;
use server::Server;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |n| n.parse().unwrap());
    match arguments.get(1).map_or("one", String::as_str) {
        "clients" => clients::run(arguments[2].parse().unwrap(), number(3, 0)),
        what @ ("one" | "eight" | "window" | "time") => {
            let members = number(2, if what == "window" { 200 } else { 2_000 });
            measure(what, members, number(3, 40), number(4, 2));
        }
        other => panic!("{other}: one, eight, window or time is meant"),
    }
}

fn measure(what: &str, members: usize, rounds: usize, cores: usize) {
    let orders = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["clients", &orders.local_addr().unwrap().to_string(), &members.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut orders = Orders(orders.accept().unwrap().0);
    floor::use_cores(cores);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start(ringway_backplane::memory::Hub::new().attach("measured")));
    let sockets = floor::sockets(&mut orders, members);
    // Only the node's own listener accepts within the runtime.
    orders.say(&format!("join {} {}", server.address(), if what == "window" { "windowed" } else { "plain" }));
    orders.expect("joined");
    let frame = floor::frame(&orders.ask("frame"));
    println!("{members} members, {cores} cores, {} B a frame, {rounds} rounds", frame.len());
    match what {
        "one" | "eight" => {
            let batch = if what == "one" { 1 } else { 8 };
            compare(rounds, members * batch, || floor::cast(&sockets, &frame, batch), &mut orders, batch);
        }
        "window" => {
            let count = 500;
            let cast = || (0..count / 10).for_each(|_| floor::cast(&sockets, &frame, 10));
            compare(rounds, members * count, cast, &mut orders, count);
        }
        _ => last_delivery(rounds, &sockets, &frame, &mut orders),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    runtime.shutdown_background();
}

/// Rounds that aren't counted: for its first hundred writes or so the kernel is still finding a connection's pace, and
/// each costs it up to half as much again.
const WARM_UP: usize = 20;

/// Processor time of the whole process per delivery, of the floor and of the node in turn.
fn compare(rounds: usize, deliveries: usize, cast: impl Fn(), orders: &mut Orders, batch: usize) {
    let order = if batch > 8 { format!("pace {batch}") } else { format!("publish {batch}") };
    let mut spent: [Vec<f64>; 2] = Default::default();
    for round in 0..WARM_UP + rounds {
        let floor = floor::processor(|| {
            orders.say(&format!("watch {deliveries}"));
            cast();
            orders.expect("all");
        });
        let node = floor::processor(|| {
            orders.say(&order);
            orders.expect("all");
        });
        if round >= WARM_UP {
            for (all, one) in spent.iter_mut().zip([floor, node]) {
                all.push(one.as_secs_f64() * 1e6 / deliveries as f64);
            }
        }
    }
    report(&format!("{batch} at a time, processor time per delivery"), "µs", &mut spent);
}

fn last_delivery(rounds: usize, sockets: &[std::net::TcpStream], frame: &[u8], orders: &mut Orders) {
    orders.say("sleepy");
    let mut spent: [Vec<f64>; 2] = Default::default();
    for round in 0..WARM_UP + rounds {
        orders.say(&format!("watch {}", sockets.len()));
        orders.expect("watching");
        floor::cast(sockets, frame, 1);
        let floor = orders.expect("all");
        orders.say("publish 1");
        let node = orders.expect("all");
        if round >= WARM_UP {
            for (all, one) in spent.iter_mut().zip([floor, node]) {
                all.push(one.parse::<f64>().unwrap() / 1e3);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    report("the last delivery", "ms", &mut spent);
}

/// Medians, quartiles, and the median of the rounds' own ratios.
fn report(what: &str, unit: &str, spent: &mut [Vec<f64>; 2]) {
    let [floor, node] = spent;
    let mut ratios: Vec<f64> = floor.iter().zip(&*node).map(|(floor, node)| node / floor).collect();
    let [floor, node, ratio] = [floor, node, &mut ratios].map(|all| {
        all.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| all[(all.len() - 1) * quarter / 4])
    });
    println!(
        "{what}: floor {:.2} {unit}, node {:.2} {unit} = {:.3} x ({:.3} to {:.3})",
        floor[1], node[1], ratio[1], ratio[0], ratio[2]
    );
}
