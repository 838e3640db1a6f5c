//! What it costs to look at a payload: every byte that a client publishes goes through here, once.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ringway_protocol::Payload;

/// As deep as a payload may be.
const DEEPEST: usize = 32;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let cases = [
        ("small", small()),
        ("large text", format!("\"{}\"", "The quick brown fox. ".repeat(1_500))),
        ("large table", table()),
        ("nested", nested()),
    ];
    for (name, text) in cases {
        let value = Payload::from_json(text.as_bytes()).unwrap();
        let msgpack: Bytes = value.value_msgpack().unwrap().clone();
        let mut group = criterion.benchmark_group("payload checked, msgpack");
        group.throughput(Throughput::Bytes(msgpack.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| Payload::from_msgpack_shared(black_box(&msgpack)).unwrap());
        });
        group.finish();
        let mut group = criterion.benchmark_group("payload read, json");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| Payload::from_json(black_box(text.as_bytes())).unwrap());
        });
        group.finish();
        let mut out = Vec::with_capacity(2 * text.len());
        let mut group = criterion.benchmark_group("payload written, json");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                out.clear();
                black_box(&value).write_json(&mut out);
            });
        });
        group.finish();
    }
    criterion.final_summary();
}

/// A chat message.
fn small() -> String {
    format!(r#"{{"user":"ann","text":"{}","at":[120,4.5],"ok":true}}"#, "x".repeat(80))
}

/// Rows of short fields, 30 KB of them: what costs is their number.
fn table() -> String {
    let mut rows = String::from("[");
    for n in 0..512 {
        let comma = if n == 0 { "" } else { "," };
        write!(rows, r#"{comma}{{"id":{n},"name":"row {n}","x":{n}.25,"y":-{n},"on":true}}"#).unwrap();
    }
    rows + "]"
}

/// As deep as may be, and seen to the bottom.
fn nested() -> String {
    let depth = DEEPEST - 1;
    format!("{}1{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2))
}
