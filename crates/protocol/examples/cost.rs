//! What a frame costs to read and to write: `cargo run --release -p ringway-protocol --example cost`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use ringway_protocol::frame::{Msg, Pub};
use ringway_protocol::{
    ClientFrame, Format, Payload, ServerFrame, decode_client, decode_client_shared, decode_server,
    encode_client, encode_msg,
};

/// The best of several rounds: what is measured is the code, not who else was on the machine.
fn cost(what: &str, mut once: impl FnMut()) {
    const ROUNDS: usize = 20;
    const TIMES: u32 = 20_000;
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..TIMES).for_each(|_| once());
            start.elapsed() / TIMES
        })
        .min()
        .unwrap();
    println!("{what:<44} {best:>10.0?}");
}

fn main() {
    let text = format!(r#"{{"user":"ann","text":"{}","at":[120,4.5],"ok":true}}"#, "x".repeat(80));
    let data = Payload::from_json(text.as_bytes()).unwrap();
    println!("payload: {} bytes of JSON, {} of MessagePack", text.len(), data.msgpack_len());
    let publication = ClientFrame::Pub(Pub {
        id: Some(17),
        room: Some("{team7}.chat".try_into().unwrap()),
        data: data.clone(),
        event: None,
        key: None,
        mid: Some("c0ffee-17".into()),
        echo: true,
        store: true,
        trace: None,
    });
    let msg = Msg {
        id: None,
        room: Some("{team7}.chat".try_into().unwrap()),
        data: data.clone(),
        offset: Some(4_711),
        ts: Some(1_795_625_000_123),
        user: Some("ann".try_into().unwrap()),
        event: None,
        key: None,
        mid: Some("c0ffee-17".into()),
        prev: None,
        trace: None,
    };
    let message = ServerFrame::Msg(msg.clone());
    let mut out = Vec::with_capacity(4_096);
    for format in [Format::Msgpack, Format::Json] {
        let mut bytes = Vec::new();
        encode_client(format, &publication, &mut bytes);
        cost(&format!("pub read, {format:?}"), || {
            black_box(decode_client(format, black_box(&bytes)).unwrap());
        });
        let shared = Bytes::from(bytes.clone());
        cost(&format!("pub read from a shared buffer, {format:?}"), || {
            black_box(decode_client_shared(format, black_box(&shared)).unwrap());
        });
        cost(&format!("pub written, {format:?}"), || {
            out.clear();
            encode_client(format, black_box(&publication), &mut out);
        });
        cost(&format!("msg written, {format:?}"), || {
            out.clear();
            encode_msg(format, black_box(&msg), &mut out);
        });
        let mut bytes = Vec::new();
        ringway_protocol::encode_server(format, &message, &mut bytes);
        cost(&format!("msg read, {format:?}"), || {
            black_box(decode_server(format, black_box(&bytes)).unwrap());
        });
    }
    let value = data.value_msgpack().unwrap().clone();
    cost("payload checked, MessagePack, shared", || {
        black_box(Payload::from_msgpack_shared(black_box(&value)).unwrap());
    });
    cost("payload read, JSON", || {
        black_box(Payload::from_json(black_box(text.as_bytes())).unwrap());
    });
}
