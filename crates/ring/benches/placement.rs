//! What placement costs: a slot and its owner for every upgrade and every publication from outside, a table for every
//! change of nodes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::Criterion;
use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::{NodeId, Slot, SlotTable};

const CLUSTERS: [usize; 3] = [3, 20, 100];

/// How many slots are looked up in turn, so that no look-up finds all it needs in the nearest cache.
const SLOTS: u64 = 1_024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    slots(&mut criterion);
    look_ups(&mut criterion);
    tables(&mut criterion);
    criterion.final_summary();
}

fn slots(criterion: &mut Criterion) {
    let tenant: TenantId = "acme".parse().unwrap();
    let long = "long.".repeat(51);
    let mut group = criterion.benchmark_group("slot of a room");
    for (case, room) in [("short", "lobby"), ("with a tag", "{team7}.chat"), ("of 255 bytes", &long)] {
        let room: RoomName = room.parse().unwrap();
        group.bench_function(case, |bench| {
            bench.iter(|| Slot::of_room(black_box(&tenant), black_box(&room)));
        });
    }
    group.finish();
}

fn look_ups(criterion: &mut Criterion) {
    for nodes in CLUSTERS {
        let table = SlotTable::build(&cluster(nodes));
        let slots = some_slots();
        let mut turn = slots.iter().cycle();
        criterion.benchmark_group("owner of a slot").bench_function(format!("{nodes} nodes"), |bench| {
            bench.iter(|| table.owner(black_box(*turn.next().unwrap())));
        });
        let mut turn = slots.iter().cycle();
        criterion.benchmark_group("first three of a walk").bench_function(
            format!("{nodes} nodes"),
            |bench| {
                bench.iter(|| table.walk(black_box(*turn.next().unwrap())).take(3).map(black_box).count());
            },
        );
    }
}

fn tables(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    for nodes in CLUSTERS {
        let nodes = cluster(nodes);
        group.bench_function(format!("{} nodes", nodes.len()), |bench| {
            bench.iter(|| SlotTable::build(black_box(&nodes)));
        });
    }
    group.finish();
}

fn cluster(nodes: usize) -> Vec<(NodeId, u8)> {
    (0..nodes).map(|n| (format!("node-{n}").parse().unwrap(), 1)).collect()
}

/// Slots all over the table: an odd step meets each once before it comes round.
fn some_slots() -> Vec<Slot> {
    (0..SLOTS).map(|n| Slot::new((n * 7_919 % 16_384) as u16).unwrap()).collect()
}
