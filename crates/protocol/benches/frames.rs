//! What a server's frames cost: each of a client's is read once, each of a room's is written once a format.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ringway_protocol::frame::{Hello, Join, Limits, Msg, Position, Pub};
use ringway_protocol::{
    ClientFrame, Format, Payload, ServerFrame, decode_client_shared, encode_client, encode_msg, encode_server,
};

const ROOM: &str = "{team7}.chat";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (format, name) in [(Format::Msgpack, "msgpack"), (Format::Json, "json")] {
        read(&mut criterion, name, format, "pub", &publication());
        read(&mut criterion, name, format, "join", &join());
        read(&mut criterion, name, format, "ping", &ClientFrame::Ping { id: Some(17) });
        write_msg(&mut criterion, name, format);
        write(&mut criterion, name, format, "hello", &hello());
    }
    criterion.final_summary();
}

fn read(criterion: &mut Criterion, format_name: &str, format: Format, frame: &str, sent: &ClientFrame) {
    let mut bytes = Vec::new();
    encode_client(format, sent, &mut bytes);
    let bytes = Bytes::from(bytes);
    let mut group = criterion.benchmark_group(format!("frame read, {format_name}"));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(frame, |bench| {
        bench.iter(|| decode_client_shared(format, black_box(&bytes)).unwrap());
    });
    group.finish();
}

fn write_msg(criterion: &mut Criterion, format_name: &str, format: Format) {
    let msg = Msg {
        id: None,
        room: Some(ROOM.parse().unwrap()),
        data: data(),
        offset: Some(4_711),
        ts: Some(1_795_625_000_123),
        user: Some("ann".parse().unwrap()),
        event: None,
        key: None,
        mid: Some("c0ffee-17".into()),
        prev: None,
        trace: None,
    };
    let mut out = Vec::with_capacity(1_024);
    criterion.benchmark_group(format!("frame written, {format_name}")).bench_function("msg", |bench| {
        bench.iter(|| {
            out.clear();
            encode_msg(format, black_box(&msg), &mut out);
        });
    });
}

fn write(criterion: &mut Criterion, format_name: &str, format: Format, name: &str, frame: &ServerFrame) {
    let mut out = Vec::with_capacity(1_024);
    criterion.benchmark_group(format!("frame written, {format_name}")).bench_function(name, |bench| {
        bench.iter(|| {
            out.clear();
            encode_server(format, black_box(frame), &mut out);
        });
    });
}

/// A chat message, of 115 bytes in MessagePack.
fn data() -> Payload {
    let text = format!(r#"{{"user":"ann","text":"{}","at":[120,4.5],"ok":true}}"#, "x".repeat(80));
    let data = Payload::from_json(text.as_bytes()).unwrap();
    assert_eq!(data.msgpack_len(), 115);
    data
}

fn publication() -> ClientFrame {
    ClientFrame::Pub(Pub {
        id: Some(17),
        room: Some(ROOM.parse().unwrap()),
        data: data(),
        event: None,
        key: None,
        mid: Some("c0ffee-17".into()),
        echo: true,
        store: true,
        trace: None,
    })
}

/// Of a client that comes back.
fn join() -> ClientFrame {
    ClientFrame::Join(Join {
        id: Some(3),
        room: ROOM.parse().unwrap(),
        since: Some(Position {
            epoch: "01JDKQ5ZC8-4f2a".parse().unwrap(),
            offset: 4_711,
            ts: Some(1_795_625_000_123),
        }),
        last: None,
        state: None,
    })
}

fn hello() -> ServerFrame {
    ServerFrame::Hello(Hello {
        room: Some(ROOM.parse().unwrap()),
        conn: "c_Zk3xT9aQ41".parse().unwrap(),
        session: "s".repeat(300).into(),
        ping: 25,
        expires: Some(3_600),
        limits: Limits { frame: Some(65_536), rooms: Some(1_000), publish_per_second: None },
        user: Some("ann".parse().unwrap()),
        server: Some("ringway/0.1.0".into()),
        node: Some("node-a".into()),
        trace: None,
    })
}
