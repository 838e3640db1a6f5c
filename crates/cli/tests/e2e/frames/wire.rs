//! WebSocket frames that break the rules, or only look as if they did.

use ringway_protocol::{Format, ServerFrame};
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use super::{LIMIT, World, enter};
use crate::bare::{Bare, SOON, binary, close, frame, home, text, upgrade};
use crate::footprint::memory;
use crate::support::node_of;

#[test]
fn what_breaks_the_protocol_is_closed_by_its_code_and_nobody_notices() {
    let world = World::start();
    let others = world.others("breaks");
    let long = |length: u64| [&[0x81, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    let closing = |code: u16| close(&code.to_be_bytes());
    let unmasked = b"\x81\x0c{\"t\":\"ping\"}".to_vec();
    let cut = "\u{e9}".as_bytes();
    let fragments = |parts: &[&[u8]]| -> Vec<u8> {
        let last = parts.len() - 1;
        let of =
            |(n, part): (usize, &&[u8])| frame(if n == last { 0x80 } else { 0 } | u8::from(n == 0), part);
        parts.iter().enumerate().flat_map(of).collect()
    };
    for (door, address) in world.doors() {
        let cases = [
            // Lengths that can't be, or mustn't: judged before any of it has come.
            ("a length of 2^63", long(1 << 63), 1002),
            ("a length of 2^64 - 1", long(u64::MAX), 1002),
            ("a length of 2^63 - 1", long((1 << 63) - 1), 1009),
            ("a length of 2^32", long(1 << 32), 1009),
            ("a length over the limit", long(LIMIT as u64 + 1), 1009),
            ("a message over the limit", frame(0x81, &[b' '; LIMIT + 1]), 1009),
            ("fragments over the limit", fragments(&[&[b' '; LIMIT], b" "]), 1009),
            // Bits and opcodes that nobody agreed on.
            ("RSV1", frame(0xC1, b"{}"), 1002),
            ("RSV2", frame(0xA1, b"{}"), 1002),
            ("RSV3", frame(0x91, b"{}"), 1002),
            ("opcode 3", frame(0x83, b""), 1002),
            ("opcode 11", frame(0x8B, b""), 1002),
            ("a frame without a mask", unmasked.clone(), 1002),
            ("a fragmented ping", frame(0x09, b""), 1002),
            ("a ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
            ("a continuation of nothing", frame(0x80, b""), 1002),
            ("a message inside a message", [frame(0x01, b"{"), text("{}")].concat(), 1002),
            // Closes that may not be.
            ("a close of one byte", close(b"\x03"), 1002),
            ("a close's reason that isn't UTF-8", close(b"\x03\xe8\xff"), 1007),
            ("a close's reason with half a character", close(b"\x03\xe8\xc3"), 1007),
            ("close 0", closing(0), 1002),
            ("close 999", closing(999), 1002),
            ("close 1004", closing(1004), 1002),
            ("close 1005", closing(1005), 1002),
            ("close 1006", closing(1006), 1002),
            ("close 1015", closing(1015), 1002),
            ("close 1016", closing(1016), 1002),
            ("close 2999", closing(2999), 1002),
            ("close 5000", closing(5000), 1002),
            ("close 65535", closing(65_535), 1002),
            // Text that is none.
            ("text that isn't UTF-8", frame(0x81, b"\"\xff\""), 1007),
            ("half a character", frame(0x81, b"\"\xc3\""), 1007),
            ("a surrogate", frame(0x81, b"\"\xed\xa0\x80\""), 1007),
            (
                "a character that goes wrong in its second fragment",
                fragments(&[b"\"", &cut[..1], b"\"\""]),
                1007,
            ),
            // The wrong kind, and nothing at all that can be read.
            ("binary where text is due", binary(b"\x92\x09\x01"), 1003),
            ("JSON as binary", binary(br#"{"t":"ping"}"#), 1003),
            ("not JSON", text("hello"), 4000),
            ("nothing", text(""), 4000),
        ];
        for (name, bytes, code) in cases {
            let mut bare = Bare::in_room(address, "{breaks}");
            bare.send(&bytes);
            let (closed, reason) = bare.close_frame();
            assert_eq!(closed, code, "{door}: {name}: {reason}");
            assert!(bare.ends_within(SOON), "{door}: {name}");
            // The same in the segment of the upgrade.
            let mut bare = Bare::open(address);
            bare.send([upgrade(&home("{breaks}"), &[]).as_bytes(), &bytes].concat());
            assert_eq!(bare.answer().status, 101);
            assert_eq!(bare.close_frame().0, code, "{door}: {name}");
        }
        let mut bare = enter(address, Format::Msgpack, "{breaks}");
        bare.send(text(r#"{"t":"ping"}"#));
        assert_eq!(bare.close_frame().0, 1003, "{door}: text where binary is due");

        // What looks odd, and is right.
        for (name, bytes) in [
            ("the mask 0", b"\x81\x93\0\0\0\0{\"t\":\"ping\",\"id\":1}".to_vec()),
            ("a long form of a short length", long_form(br#"{"t":"ping","id":1}"#)),
            (
                "cut inside a character",
                fragments(&[b"{\"t\":\"ping\",\"\xc3", b"\xa9\":\"\xf0\x9f", b"\x98", b"\x80\",\"id\":1}"]),
            ),
            ("empty fragments", fragments(&[b"", b"{\"t\":\"ping\"", b"", b",\"id\":1}", b""])),
            (
                "pongs nobody asked for",
                [frame(0x8A, b""), frame(0x8A, &[7; 125]), text(r#"{"t":"ping","id":1}"#)].concat(),
            ),
            (
                "exactly the limit",
                frame(0x81, &[&b" ".repeat(LIMIT - 19)[..], br#"{"t":"ping","id":1}"#].concat()),
            ),
        ] {
            let mut bare = Bare::in_room(address, "{breaks}");
            bare.send(bytes);
            let answer = bare.hear();
            assert_eq!((&answer["t"], &answer["id"]), (&json!("ok"), &json!(1)), "{door}: {name}");
        }
        for code in [1000, 1001, 1003, 1007, 1011, 3000, 4000, 4999] {
            let mut bare = Bare::in_room(address, "{breaks}");
            bare.send(closing(code));
            let came = bare.frame().unwrap();
            assert_eq!(
                (came.first, &came.payload[..2]),
                (0x88, &code.to_be_bytes()[..]),
                "{door}: the code comes back"
            );
            assert!(bare.ends_within(SOON));
        }
        let mut bare = Bare::in_room(address, "{breaks}");
        bare.send(close(b""));
        let came = bare.frame().unwrap();
        assert!(
            came.first == 0x88 && (came.payload.is_empty() || came.payload == b"\x03\xe8"),
            "{door}: {came:?}"
        );
        assert!(bare.ends_within(SOON));
    }
    world.undisturbed(others);
}

/// A text frame whose length is written in 64 bits.
fn long_form(payload: &[u8]) -> Vec<u8> {
    let head = [&[0x81, 0xFF][..], &(payload.len() as u64).to_be_bytes(), &[0; 4]].concat();
    [head, payload.to_vec()].concat()
}

#[test]
fn no_extension_is_agreed_on() {
    let world = World::start();
    for (door, address) in world.doors() {
        let mut bare = Bare::open(address);
        bare.send(upgrade(
            &home("r"),
            &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        ));
        let answer = bare.answer();
        assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "{door}");
        bare.send(frame(0xC1, b"\xaa\x56\x2a\x51\xb2\x52\x2a\xc8\xcc\x4b\x57\xaa\x05\x00"));
        assert_eq!(bare.close_frame().0, 1002, "{door}");
    }
}

#[test]
fn crumbs_cost_nobody_anything() {
    let world = World::start();
    let others = world.others("crumbs");
    let memory_before = world.processes().map(memory);
    for (door, address) in world.doors() {
        // A message of a million fragments.
        let mut bare = Bare::in_room(address, "{crumbs}");
        bare.send(frame(0x01, b"\""));
        let crumbs = frame(0x00, b"x").repeat(10_000);
        let sent = (0..100).take_while(|_| bare.try_send(&crumbs).is_ok()).count();
        let (code, reason) = bare.close_frame();
        assert!([1008, 1009].contains(&code), "{door}: {code} {reason} after {sent}0,000 fragments");

        // Pings between two fragments, and nobody reads their answers.
        let mut bare = Bare::in_room(address, "{crumbs}");
        bare.send(frame(0x01, br#"{"t":"pub","id":1,"#));
        let ping = |n: u32| frame(0x89, &[&n.to_be_bytes()[..], &[0; 121]].concat());
        for n in 0..100 {
            bare.send((n * 100..(n + 1) * 100).flat_map(ping).collect::<Vec<u8>>());
        }
        bare.send(frame(0x80, br#""data":"whole"}"#));
        let (mut answered, mut whole) = (false, false);
        while !whole || !answered {
            let came =
                bare.frame().unwrap_or_else(|| panic!("{door}: ended; the last ping answered: {answered}"));
            match came.first {
                // The last one, whichever others.
                0x8A => answered |= came.payload[..4] == 9_999_u32.to_be_bytes(),
                0x81 => {
                    let frame: Value = serde_json::from_slice(&came.payload).unwrap();
                    whole |= frame["t"] == "msg" && frame["data"] == "whole";
                }
                other => panic!("{door}: {other:x}"),
            }
        }
    }
    for (process, before) in world.processes().into_iter().zip(memory_before) {
        // 10 %, and what an unoptimised process takes for its first connections.
        let bound = before + before / 10 + 4 * 1024;
        until(&format!("{}: memory", process.name), SOON, || (memory(process) <= bound).then_some(()));
    }
    world.undisturbed(others);
}

#[test]
fn the_limit_is_that_of_what_was_sent_and_no_member_pays_for_it() {
    let world = World::start();
    let gateway = world.cluster.gateway();
    for (door, address) in world.doors() {
        let other = match door {
            "serve" => "limit".to_owned(),
            _ => (0..)
                .map(|n| format!("home {n}"))
                .find(|room| node_of(gateway, room) != node_of(gateway, "limit"))
                .unwrap(),
        };
        let mut members = [
            enter(address, Format::Json, "limit"),
            enter(address, Format::Json, &other),
            enter(address, Format::Msgpack, "limit"),
        ];
        if other != "limit" {
            assert_eq!(members[1].ask(&json!({"t": "join", "id": 1, "room": "limit"}))["t"], "ok");
        }
        // What grows most on its way into JSON: bytes, and a string of what has to be escaped.
        let head = b"\x94\x03\x01\xa5limit";
        let bytes = LIMIT - head.len() - 3;
        let largest = [
            [&head[..], &[0xC5, (bytes >> 8) as u8, bytes as u8], &vec![0xFF; bytes]].concat(),
            [&head[..], &[0xDA, (bytes >> 8) as u8, bytes as u8], &vec![0x01; bytes]].concat(),
        ];
        for (payload, member) in largest.iter().zip(["b64", "data"]) {
            assert_eq!(payload.len(), LIMIT);
            let mut publisher = enter(address, Format::Msgpack, "limit");
            publisher.send(binary(payload));
            publisher.answer_as(Format::Msgpack).unwrap();
            for bare in &mut members[..2] {
                let msg = bare.hear();
                let length = msg[member].as_str().unwrap().len();
                assert!(length == bytes || length == bytes.div_ceil(3) * 4, "{door}: {member} {length}");
            }
            let ServerFrame::Msg(msg) = members[2].hear_as(Format::Msgpack) else { panic!("{door}: no msg") };
            assert_eq!(msg.data.msgpack_len(), bytes + 3);
            // One byte more: the publisher's trouble, and its alone.
            let mut publisher = enter(address, Format::Msgpack, "limit");
            publisher.send(binary(&[payload, &b"\0"[..]].concat()));
            assert_eq!(publisher.close_frame().0, 1009, "{door}");
        }
        let json = |length: usize| {
            let frame = json!({"t": "pub", "id": 1, "room": "limit", "data": ""}).to_string();
            let fill = "x".repeat(length - frame.len());
            json!({"t": "pub", "id": 1, "room": "limit", "data": fill}).to_string()
        };
        let mut publisher = enter(address, Format::Json, &other);
        publisher.send(text(&json(LIMIT)));
        publisher.answer_as(Format::Json).unwrap();
        publisher.send(text(&json(LIMIT + 1)));
        assert_eq!(publisher.close_frame().0, 1009, "{door}");
        for bare in &mut members[..2] {
            assert!(bare.hear()["data"].as_str().unwrap().len() > LIMIT - 100);
            bare.is_alive();
        }
    }
}
