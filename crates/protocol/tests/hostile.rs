//! Whatever arrives, decoding ends: with a frame, an answer, or a close; never with a panic, never
//! with more memory or time than the message's own length suggests.

#![allow(clippy::unwrap_used)]

mod samples;
#[path = "../src/seeded.rs"]
mod seeded;

use bytes::Bytes;
use proptest::prelude::*;
use ringway_protocol::{
    Code, DecodeError, Format, decode_client, decode_client_shared, decode_server, encode_client,
    encode_server,
};

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// Reads as either side would, and holds what must hold of any answer.
fn read(format: Format, bytes: &[u8]) {
    let client = decode_client(format, bytes);
    assert_eq!(client, decode_client_shared(format, &Bytes::copy_from_slice(bytes)));
    let readable = match format {
        Format::Json => std::str::from_utf8(bytes)
            .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()),
        Format::Msgpack => is_msgpack(bytes),
    };
    assert_eq!(client == Err(DecodeError::Unreadable), !readable, "{client:?} for {}", bytes.escape_ascii());
    if let Err(DecodeError::Frame { message, .. }) = &client {
        assert!(message.len() < 1_024);
    }
    let server = decode_server(format, bytes);
    assert_eq!(server == Err(DecodeError::Unreadable), !readable, "{server:?} for {}", bytes.escape_ascii());
    // What was read can be written, and is the same when it is read again.
    if let Ok(frame) = client {
        let mut out = Vec::new();
        encode_client(format, &frame, &mut out);
        assert_eq!(decode_client(format, &out), Ok(frame));
    }
    if let Ok(Some(frame)) = server {
        let mut out = Vec::new();
        encode_server(format, &frame, &mut out);
        assert_eq!(decode_server(format, &out), Ok(Some(samples::as_read(frame))));
    }
}

/// An independent judge: one value, nothing behind it.
fn is_msgpack(bytes: &[u8]) -> bool {
    fn head(bytes: &[u8]) -> Option<(usize, u64)> {
        let big = |from: usize, to: usize| {
            Some(bytes.get(from..to)?.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
        };
        let sized = |width: usize, extra: usize| {
            Some((1 + width + extra + usize::try_from(big(1, 1 + width)?).ok()?, 0))
        };
        match *bytes.first()? {
            byte @ 0x80..=0x8f => Some((1, u64::from(byte & 15) * 2)),
            byte @ 0x90..=0x9f => Some((1, u64::from(byte & 15))),
            byte @ 0xa0..=0xbf => Some((1 + usize::from(byte & 31), 0)),
            0xc1 => None,
            0xc4 | 0xd9 => sized(1, 0),
            0xc5 | 0xda => sized(2, 0),
            0xc6 | 0xdb => sized(4, 0),
            0xc7 => sized(1, 1),
            0xc8 => sized(2, 1),
            0xc9 => sized(4, 1),
            0xcc | 0xd0 => Some((2, 0)),
            0xcd | 0xd1 => Some((3, 0)),
            0xca | 0xce | 0xd2 => Some((5, 0)),
            0xcb | 0xcf | 0xd3 => Some((9, 0)),
            byte @ 0xd4..=0xd8 => Some((2 + (1 << (byte - 0xd4)), 0)),
            0xdc => Some((3, big(1, 3)?)),
            0xdd => Some((5, big(1, 5)?)),
            0xde => Some((3, big(1, 3)? * 2)),
            0xdf => Some((5, big(1, 5)? * 2)),
            _ => Some((1, 0)),
        }
    }
    let mut rest = bytes;
    let mut left = 1_u64;
    while left > 0 {
        let Some((length, inside)) = head(rest) else { return false };
        let Some(after) = rest.get(length..) else { return false };
        (rest, left) = (after, left - 1 + inside);
    }
    rest.is_empty()
}

fn frames() -> Vec<(Format, Vec<u8>)> {
    let mut all = Vec::new();
    for format in FORMATS {
        for (_, frame) in samples::client_frames() {
            let mut out = Vec::new();
            encode_client(format, &frame, &mut out);
            all.push((format, out));
        }
        for (_, frame) in samples::server_frames() {
            let mut out = Vec::new();
            encode_server(format, &frame, &mut out);
            all.push((format, out));
        }
    }
    all
}

#[test]
fn no_frame_cut_short_is_a_frame() {
    for (format, bytes) in frames() {
        for length in 0..bytes.len() {
            read(format, &bytes[..length]);
            assert_eq!(decode_client(format, &bytes[..length]), Err(DecodeError::Unreadable));
        }
        let longer = [&bytes[..], b"\x00"].concat();
        assert_eq!(decode_client(format, &longer), Err(DecodeError::Unreadable));
    }
}

#[test]
fn every_byte_of_every_frame_may_be_any_other() {
    for (format, bytes) in frames() {
        for at in 0..bytes.len() {
            for other in [
                0, 1, 0x22, 0x5b, 0x5c, 0x7b, 0x7f, 0x80, 0x91, 0xc0, 0xc1, 0xc4, 0xc7, 0xcf, 0xdd, 0xdf,
                0xff,
            ] {
                let mut changed = bytes.clone();
                changed[at] = other;
                read(format, &changed);
            }
        }
    }
}

#[test]
fn lengths_that_lie_cost_nothing() {
    for lie in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdc\xff\xff\x03",
        b"\x94\x03\x01\xc0\xdd\xff\xff\xff\xff",
        b"\x94\x03\x01\xc0\xdf\xff\xff\xff\xff",
        b"\x94\x03\x01\xc0\xc6\xff\xff\xff\xff",
        b"\x94\x03\x01\xdb\xff\xff\xff\xffroom",
        b"\x94\x01\x01\xa1r\xdf\x7f\xff\xff\xff\xa5epoch",
        b"\x94\x26\xc0\xa1r\xdd\x7f\xff\xff\xff\x81\xa4conn\xa1c",
    ] {
        read(Format::Msgpack, lie);
        assert_eq!(
            decode_client(Format::Msgpack, lie),
            Err(DecodeError::Unreadable),
            "{}",
            lie.escape_ascii()
        );
        assert_eq!(
            decode_server(Format::Msgpack, lie),
            Err(DecodeError::Unreadable),
            "{}",
            lie.escape_ascii()
        );
    }
}

#[test]
fn nesting_is_judged_by_where_it_is() {
    for depth in [33, 1_000, 10_000, 30_000] {
        let json = |member: &str| {
            format!(r#"{{"t":"pub","id":5,"data":1,"{member}":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        // A member that nobody knows may hold what it likes.
        assert!(decode_client(Format::Json, json("whatever").as_bytes()).is_ok());
        let objects =
            format!(r#"{{"t":"pub","id":5,"data":{}1{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let deep = json("event").replace(r#""data":1,"event""#, r#""data""#);
        for text in [deep, objects] {
            read(Format::Json, text.as_bytes());
            let Err(DecodeError::Frame { code, id, .. }) = decode_client(Format::Json, text.as_bytes())
            else {
                panic!()
            };
            assert_eq!((code, id), (Code::BadPayload, Some(5)));
        }
        for (open, closed) in [(&b"\x91"[..], &b"\x01"[..]), (b"\x81\xa1a", b"\x01")] {
            let deep = [open.repeat(depth), closed.to_vec()].concat();
            let frame = [&b"\x94\x03\x05\xc0"[..], &deep].concat();
            read(Format::Msgpack, &frame);
            let Err(DecodeError::Frame { code, id, .. }) = decode_client(Format::Msgpack, &frame) else {
                panic!()
            };
            assert_eq!((code, id), (Code::BadPayload, Some(5)));
            // An element behind those that are known may hold what it likes.
            let beyond = [&b"\x93\x09\x05\xc0"[..], &deep].concat();
            let beyond = [&[0x94], &beyond[1..]].concat();
            assert!(decode_client(Format::Msgpack, &beyond).is_ok());
        }
        // Cut in the middle it is nothing at all.
        let cut = format!(r#"{{"t":"pub","data":{}"#, "[".repeat(depth));
        assert_eq!(decode_client(Format::Json, cut.as_bytes()), Err(DecodeError::Unreadable));
        assert_eq!(decode_client(Format::Msgpack, &b"\x91".repeat(depth)), Err(DecodeError::Unreadable));
    }
}

#[test]
fn sixty_four_kilobytes_of_anything_are_read_in_one_go() {
    const FRAME: usize = 65_000;
    let repeated = |unit: &str| unit.repeat(FRAME / unit.len());
    let pairs: String = (0..FRAME / 10).map(|at| format!("\"{at:05}\":1,")).collect();
    for inside in [
        format!("[{}1]", repeated("1,")),
        format!("[{}1]", repeated("[],")),
        format!("[{}1]", repeated("{\"\":1},")),
        format!("{{{pairs}\"x\":1}}"),
        format!("\"{}\"", repeated("\\u0000")),
        format!("\"{}\"", repeated("😀")),
        format!("[{}1]", repeated("1e-300,")),
        repeated("9") + ".0e-64700",
        "[".repeat(32) + &repeated("1,") + "1" + &"]".repeat(32),
    ] {
        let text = format!(r#"{{"t":"pub","data":{inside}}}"#);
        read(Format::Json, text.as_bytes());
        let frame = decode_client(Format::Json, text.as_bytes()).unwrap();
        let mut out = Vec::new();
        encode_client(Format::Msgpack, &frame, &mut out);
        read(Format::Msgpack, &out);
        assert_eq!(decode_client(Format::Msgpack, &out), Ok(frame));
    }
    // Members that nobody knows, twenty thousand times the same one.
    let text = format!(r#"{{{}"t":"ping"}}"#, repeated(r#""x":1,"#));
    assert!(decode_client(Format::Json, text.as_bytes()).is_ok());
}

proptest! {
    #![proptest_config(seeded::seeded(4_000))]

    #[test]
    fn random_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for format in FORMATS {
            read(format, &bytes);
        }
    }

    #[test]
    fn random_elements_are_answered(kind in 0..44_u8, bytes in proptest::collection::vec(any::<u8>(), 0..80), count in 0..16_u8) {
        read(Format::Msgpack, &[&[0x90 | count, kind], &bytes[..]].concat());
    }

    #[test]
    fn random_members_are_answered(
        kind in "join|leave|pub|state|members|history|auth|call|ping|hello|ok|err|msg|joined|left|presence|gap|goaway",
        members in proptest::collection::vec(
            (
                "id|room|since|last|state|data|b64|event|key|mid|echo|after|before|limit|epoch|token|method|result|members|joined|conn|code",
                "null|true|0|1|-1|1\\.0|1e400|9007199254740992|99999999999999999999|\"\"|\"a\"|\"\\\\ud800\"|\"YQ==\"|\\[\\]|\\{\\}|\\[1\\]|\\{\"conn\":\"c\"\\}|\\[\\{\"conn\":\"c\"\\}\\]|\\{\"epoch\":\"e\",\"offset\":1\\}|\\{\"a\":1,\"a\":2\\}"
            ),
            0..8
        )
    ) {
        let members: String = members.iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect();
        read(Format::Json, format!(r#"{{"t":"{kind}"{members}}}"#).as_bytes());
    }
}
