//! Prints the figures of `docs/placement.md`: balance, movement, and the cost of making and asking the table.
//!
//! `cargo run --release -p ringway-ring --example placement`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::time::Instant;

use ringway_protocol::name::TenantId;
use ringway_ring::{Announcement, Membership, NodeId, SLOTS, Slot, SlotTable, View};

/// How many nodes are taken away, one at a time, to see what moves.
const MOST_REMOVED: usize = 100;
const LOOK_UPS: usize = 20_000_000;
/// How many nodes leave and come back.
const VIEWS: u64 = 50;

fn cluster(nodes: usize) -> Vec<(NodeId, u8)> {
    (0..nodes).filter_map(|n| Some((format!("node-{n}").parse().ok()?, 1))).collect()
}

fn main() {
    println!(
        "| nodes | most slots / fair share | moved when one goes, × 1/N: mean | worst | next on the walk is the heir | build | look-up |"
    );
    println!("|---|---|---|---|---|---|---|");
    for nodes in [3, 20, 100, 1_000] {
        let list = cluster(nodes);
        let start = Instant::now();
        let builds = (200 / nodes).max(3);
        for _ in 0..builds {
            black_box(SlotTable::build(black_box(&list)));
        }
        let build = start.elapsed().as_secs_f64() * 1e3 / builds as f64;
        let table = SlotTable::build(&list);

        let fair = f64::from(SLOTS) / nodes as f64;
        let most = list.iter().map(|(id, _)| table.slots_of(id).count()).max().unwrap_or(0);

        let step = nodes.div_ceil(MOST_REMOVED);
        let (mut moved, mut heirs, mut slots) = (Vec::new(), 0_usize, 0_usize);
        for gone in (0..nodes).step_by(step) {
            let mut rest = list.clone();
            let (gone, _) = rest.remove(gone);
            let after = SlotTable::build(&rest);
            moved.push(table.moved(&after) as f64 / fair);
            for slot in table.slots_of(&gone) {
                slots += 1;
                heirs += usize::from(table.walk(slot).nth(1) == after.owner(slot));
            }
        }
        let mean = moved.iter().sum::<f64>() / moved.len() as f64;
        let worst = moved.iter().copied().fold(0.0, f64::max);

        println!(
            "| {nodes} | {:.3} | {mean:.3} | {worst:.3} | {:.1} % | {build:.2} ms | {:.1} ns |",
            most as f64 / fair,
            100.0 * heirs as f64 / slots as f64,
            look_up(&table),
        );
    }
    println!("\nslot of a room of 24 bytes: {:.1} ns", slot_of_a_room());
    views();
}

/// What a view costs to make anew, in milliseconds, and to ask, in nanoseconds: of one pool.
fn views() {
    println!(
        "\n| nodes | a node comes or goes: median | quickest | who owns without oneself | new loads only | owner of a slot |"
    );
    println!("|---|---|---|---|---|---|");
    for nodes in [3, 20, 100, 1_000] {
        let list = cluster(nodes);
        let mut membership = Membership::new();
        for (id, _) in &list {
            membership.heard(says(id, 1, 0), 0);
        }
        let look_up = ask(&membership.view());
        let (me, others) = (&list[0].0, &list[1..]);
        let (mut changes, mut without, mut loads) = (Vec::new(), Vec::new(), Vec::new());
        for (round, (id, _)) in (1..=VIEWS).zip(others.iter().cycle()) {
            // So seldom that nobody is held back for it.
            let now = round * 40_000;
            membership.departed(id, round);
            changes.push(timed(|| membership.view()));
            let view = membership.view();
            without.push(timed(|| view.prepare_without(me)));
            membership.heard(says(id, round + 1, 0), now);
            changes.push(timed(|| membership.view()));
            membership.heard(says(me, 1, round), now);
            loads.push(timed(|| membership.view()));
        }
        let quickest = changes.iter().copied().fold(f64::INFINITY, f64::min);
        let (change, without, load) = (median(changes), median(without), median(loads));
        println!(
            "| {nodes} | {change:.2} ms | {quickest:.2} ms | {without:.2} ms | {load:.3} ms | {look_up:.1} ns |"
        );
    }
}

fn says(id: &NodeId, incarnation: u64, connections: u64) -> Announcement {
    let pool = "shared".parse().expect("a pool's name");
    let said = Announcement::new(id.clone(), incarnation, pool, "10.0.0.1:7001".to_owned());
    Announcement { connections, ..said }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In milliseconds.
fn timed<T>(what: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(what());
    start.elapsed().as_secs_f64() * 1e3
}

/// Nanoseconds for the owner of a slot in a pool of a view.
fn ask(view: &View) -> f64 {
    let Ok(pool) = "shared".parse() else { return f64::NAN };
    let start = Instant::now();
    for (slot, _) in Slot::all().cycle().zip(0..LOOK_UPS) {
        black_box(view.owner(black_box(&pool), black_box(slot)));
    }
    start.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64
}

/// Nanoseconds for the owner of a slot.
fn look_up(table: &SlotTable) -> f64 {
    let start = Instant::now();
    for (slot, _) in Slot::all().cycle().zip(0..LOOK_UPS) {
        black_box(table.owner(black_box(slot)));
    }
    start.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64
}

/// Nanoseconds from tenant and key to the slot.
fn slot_of_a_room() -> f64 {
    let Ok(tenant) = TenantId::try_from("acme") else { return f64::NAN };
    let start = Instant::now();
    for _ in 0..LOOK_UPS {
        black_box(Slot::of(black_box(&tenant), black_box("board.7f3a9c55e1d2.chat0")));
    }
    start.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64
}
