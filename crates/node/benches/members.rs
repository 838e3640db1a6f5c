//! Going through the members of a room, as every publication does, and coming and going among them.
//! `cargo bench -p ringway-node --features bench`
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_node::bench::{Walk, id};

fn members(criterion: &mut Criterion) {
    let mut due = criterion.benchmark_group("members due");
    for count in [4, 100, 2_000, 10_000] {
        due.throughput(Throughput::Elements(count as u64));
        for (name, beyond, but) in
            [("all level", 0, None), ("one ahead", 1, None), ("no echo", 0, Some(id(0)))]
        {
            let walk = Walk::of(count, beyond);
            due.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| black_box(&walk).due(black_box(but.as_ref())));
            });
        }
    }
    due.finish();

    let mut change = criterion.benchmark_group("a member leaves and joins");
    for count in [4, 100, 10_000] {
        let mut walk = Walk::of(count, 0);
        let mut who = 0;
        change.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                who = (who + 1) % count;
                walk.come_and_go(who);
            });
        });
    }
    change.finish();
}

criterion_group!(benches, members);
criterion_main!(benches);
