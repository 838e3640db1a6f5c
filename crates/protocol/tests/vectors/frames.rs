//! `frames_client.json` and `frames_server.json`.

use std::fmt;

use ringway_protocol::{
    ClientFrame, Format, ServerFrame, decode_client, decode_server, encode_client, encode_server,
};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{hex, hold, lines, path, read, samples, unhex};

/// One frame in both forms, and other forms that are read alike.
#[derive(Serialize, Deserialize)]
struct Frame {
    name: String,
    json: String,
    msgpack: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_json: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_msgpack: Vec<String>,
}

/// A frame that a client doesn't know, and ignores.
#[derive(Serialize, Deserialize)]
struct Ignored {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    msgpack: Option<String>,
}

fn frame(name: &str, encode: impl Fn(Format) -> Vec<u8>) -> Frame {
    Frame {
        name: name.into(),
        json: String::from_utf8(encode(Format::Json)).unwrap(),
        msgpack: hex(&encode(Format::Msgpack)),
        also_json: Vec::new(),
        also_msgpack: Vec::new(),
    }
}

fn client() -> Vec<Frame> {
    let mut all: Vec<Frame> = samples::client_frames()
        .into_iter()
        .map(|(name, sample)| {
            frame(name, |format| {
                let mut out = Vec::new();
                encode_client(format, &sample, &mut out);
                out
            })
        })
        .collect();
    let mut also = |name: &str, json: &[&str], msgpack: &[&[u8]]| {
        let frame = all.iter_mut().find(|frame| frame.name == name).unwrap();
        frame.also_json = json.iter().map(ToString::to_string).collect();
        frame.also_msgpack = msgpack.iter().map(|bytes| hex(bytes)).collect();
    };
    also(
        "join",
        &[
            " { \"room\" : \"lobby\" , \"id\" : 1 , \"t\" : \"join\" } ",
            r#"{"\u0074":"join","id":1,"room":"l\u006fbby","since":null,"last":null,"state":null}"#,
            r#"{"t":"join","id":1,"room":"lobby","of_tomorrow":{"deep":[[[]]],"a":1,"a":2},"data":1,"data":2}"#,
        ],
        &[
            b"\x96\x01\x01\xa5lobby\xc0\xc0\xc0",
            b"\x98\x01\x01\xa5lobby\xc0\xc0\xc0\x81\x01\x02\xd4\x01\x00",
            b"\xdc\x00\x03\xcc\x01\xcf\x00\x00\x00\x00\x00\x00\x00\x01\xd9\x05lobby",
            b"\xdd\x00\x00\x00\x03\xd0\x01\xd3\x00\x00\x00\x00\x00\x00\x00\x01\xdb\x00\x00\x00\x05lobby",
        ],
    );
    also(
        "join that resumes, without a time",
        &[
            r#"{"t":"join","id":3,"room":"\u00e9\ud83d\ude00","since":{"more":1,"ts":null,"offset":0,"epoch":"e"}}"#,
        ],
        &[b"\x94\x01\x03\xa6\xc3\xa9\xf0\x9f\x98\x80\x84\xa4more\x91\x01\xa2ts\xc0\xa6offset\x00\xa5epoch\xa1e"],
    );
    also(
        "pub of null",
        &[
            r#"{"t":"pub","data":null,"b64":null,"id":6,"room":"lobby","echo":true,"store":true,"event":null}"#,
        ],
        &[b"\x99\x03\x06\xa5lobby\xc0\xc0\xc0\xc0\xc3\xc3"],
    );
    also(
        "pub of no bytes",
        &[r#"{"t":"pub","data":null,"b64":""}"#][..0],
        &[b"\x94\x03\xc0\xc0\xc5\x00\x00"],
    );
    also("ping without an id", &[r#"{"t":"ping","id":null,"room":"lobby"}"#], &[b"\x92\x09\xc0"]);
    all
}

fn server() -> (Vec<Frame>, Vec<Ignored>) {
    let mut all: Vec<Frame> = samples::server_frames()
        .into_iter()
        .map(|(name, sample)| {
            frame(name, |format| {
                let mut out = Vec::new();
                encode_server(format, &sample, &mut out);
                out
            })
        })
        .collect();
    let ping = all.iter_mut().find(|frame| frame.name == "ping").unwrap();
    ping.also_json = vec![r#"{"t":"ping","of_tomorrow":[{}]}"#.into()];
    ping.also_msgpack = vec![hex(b"\x94\x29\xc0\xc0\x81\xa1a\xd4\x01\x00")];
    let ignored = vec![
        Ignored {
            name: "a type of tomorrow".into(),
            json: Some(r#"{"t":"of_tomorrow","room":7}"#.into()),
            msgpack: Some(hex(b"\x93\xcd\x01\x00\xc0\x07")),
        },
        Ignored { name: "the type kept for batches".into(), json: None, msgpack: Some(hex(b"\x92\x2a\xc0")) },
    ];
    (all, ignored)
}

#[test]
fn frames_of_clients() {
    hold(
        "frames_client.json",
        "What clients send. `json` and `msgpack` (hex) are the same frame; `also_*` are other forms of it that a \
         server reads alike. A client may write its members and map keys in any order.",
        &[("frames", lines(&client()))],
    );
    for frame in read::<Frame>("frames_client.json", "frames") {
        let wanted = decode_client(Format::Json, frame.json.as_bytes()).unwrap();
        for text in &frame.also_json {
            assert_eq!(decode_client(Format::Json, text.as_bytes()).as_ref(), Ok(&wanted), "{text}");
        }
        for bytes in [&frame.msgpack].into_iter().chain(&frame.also_msgpack) {
            assert_eq!(decode_client(Format::Msgpack, &unhex(bytes)).as_ref(), Ok(&wanted), "{bytes}");
        }
        both_forms_say_the_same(CLIENT_ROWS, &frame);
    }
}

#[test]
fn frames_of_servers() {
    let (frames, ignored) = server();
    hold(
        "frames_server.json",
        "What servers send. `json` and `msgpack` (hex) are the same frame, but that bytes inside a value are base64 \
         in JSON; `also_*` are other forms of it that a client reads alike; `ignored` are frames of types that a \
         client doesn't know, which it ignores.",
        &[("frames", lines(&frames)), ("ignored", lines(&ignored))],
    );
    for frame in read::<Frame>("frames_server.json", "frames") {
        let json = |text: &str| decode_server(Format::Json, text.as_bytes()).unwrap().unwrap();
        let msgpack = |text: &str| decode_server(Format::Msgpack, &unhex(text)).unwrap().unwrap();
        for text in &frame.also_json {
            assert_eq!(json(text), json(&frame.json), "{text}");
        }
        for bytes in &frame.also_msgpack {
            assert_eq!(msgpack(bytes), msgpack(&frame.msgpack), "{bytes}");
        }
        if !frame.name.contains("bytes inside") {
            assert_eq!(json(&frame.json), msgpack(&frame.msgpack), "{}", frame.name);
        }
        both_forms_say_the_same(SERVER_ROWS, &frame);
    }
    for frame in read::<Ignored>("frames_server.json", "ignored") {
        if let Some(text) = &frame.json {
            assert_eq!(decode_server(Format::Json, text.as_bytes()), Ok(None), "{}", frame.name);
        }
        if let Some(bytes) = &frame.msgpack {
            assert_eq!(decode_server(Format::Msgpack, &unhex(bytes)), Ok(None), "{}", frame.name);
        }
    }
}

/// The tables of `docs/protocol.md`, written down once more: number, type, fields behind the room.
type Rows = &'static [(u64, &'static str, &'static [&'static str])];

const CLIENT_ROWS: Rows = &[
    (1, "join", &["since", "last", "state"]),
    (2, "leave", &[]),
    (3, "pub", &["data", "event", "key", "mid", "echo", "store", "trace"]),
    (4, "state", &["state"]),
    (5, "members", &["after", "limit"]),
    (6, "history", &["after", "before", "limit", "epoch"]),
    (7, "auth", &["token"]),
    (8, "call", &["data", "method", "trace"]),
    (9, "ping", &[]),
];

const SERVER_ROWS: Rows = &[
    (32, "hello", &["conn", "session", "ping", "expires", "limits", "user", "server", "node", "trace"]),
    (33, "ok", &["data", "result"]),
    (34, "err", &["code", "message", "retry"]),
    (35, "msg", &["data", "offset", "ts", "user", "event", "key", "mid", "prev", "trace"]),
    (36, "joined", &["result"]),
    (37, "left", &["code", "message", "retry"]),
    (38, "presence", &["joined", "updated", "left", "count", "users"]),
    (39, "gap", &["reason", "epoch", "offset", "ts", "lost"]),
    (40, "goaway", &["after", "reason"]),
    (41, "ping", &[]),
];

/// The JSON form, laid out as a row by the table, is the MessagePack form, both read by others.
fn both_forms_say_the_same(rows: Rows, frame: &Frame) {
    let Any::Map(members) = serde_json::from_str(&frame.json).unwrap() else { panic!("{}", frame.json) };
    let find = |name: &str| {
        let found = members.iter().find(|(key, _)| key == name);
        found.map_or(Any::Null, |(_, value)| value.clone())
    };
    let Any::Text(kind) = find("t") else { panic!("{}", frame.json) };
    let (number, _, fields) = *rows.iter().find(|(_, name, _)| *name == kind).unwrap();
    let known = |name: &str| ["t", "id", "room", "b64"].contains(&name) || fields.contains(&name);
    assert!(members.iter().all(|(name, _)| known(name)), "{}", frame.json);
    let mut row = vec![Any::Uint(number), find("id"), find("room")];
    for field in fields {
        row.push(match (*field, find("b64")) {
            ("data", Any::Text(base64)) => Any::Base64(base64),
            _ => find(field),
        });
    }
    let required_null = members.iter().any(|(name, value)| name != "id" && *value == Any::Null);
    let at_least = if required_null { 4 } else { 0 };
    while row.len() > at_least && row.last() == Some(&Any::Null) {
        row.pop();
    }
    let Any::List(packed) = rmp_serde::from_slice(&unhex(&frame.msgpack)).unwrap() else { panic!() };
    assert_eq!(packed, row, "{}", frame.name);
}

/// Anything that either format can say. Bytes are compared by their base64.
#[derive(Debug, Clone)]
enum Any {
    Null,
    Flag(bool),
    Uint(u64),
    Int(i64),
    Float(f64),
    Text(String),
    Base64(String),
    List(Vec<Any>),
    Map(Vec<(String, Any)>),
}

impl PartialEq for Any {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Flag(one), Self::Flag(other)) => one == other,
            (Self::Uint(one), Self::Uint(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one == other,
            (Self::Text(one) | Self::Base64(one), Self::Text(other) | Self::Base64(other)) => one == other,
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Map(one), Self::Map(other)) => one == other,
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Flag(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Uint(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(u64::try_from(value).map_or(Any::Int(value), Any::Uint))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any::Text(value.into()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Any, E> {
                Ok(Any::Base64(base64(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = seq.next_element()? {
                    all.push(item);
                }
                Ok(Any::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut all = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    all.push(pair);
                }
                Ok(Any::Map(all))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().chain([&0; 2]).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for at in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * at) & 63]);
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn every_type_has_a_vector() {
    let clients: Vec<_> =
        samples::client_frames().iter().map(|(_, frame)| ClientFrame::kind(frame)).collect();
    assert!(CLIENT_ROWS.iter().all(|(_, kind, _)| clients.contains(kind)));
    let servers: Vec<_> =
        samples::server_frames().iter().map(|(_, frame)| ServerFrame::kind(frame)).collect();
    assert!(SERVER_ROWS.iter().all(|(_, kind, _)| servers.contains(kind)));
}

/// Each example is three things: the JSON form, the MessagePack form for people, its bytes.
#[test]
fn the_examples_of_the_documentation_are_vectors() {
    let vectors: Vec<Frame> = [client(), server().0].into_iter().flatten().collect();
    let text = std::fs::read_to_string(path("../../protocol.md")).unwrap();
    let mut examples = 0;
    let blocks = text.split("\n```\n").map(|block| block.trim_start_matches("```\n"));
    for block in blocks.filter(|block| block.starts_with("{\"t\":")) {
        let mut lines = block.lines();
        let json = lines.next().unwrap();
        let bytes: String = lines.skip(1).collect();
        let known = |frame: &Frame| frame.json == json && frame.msgpack == bytes;
        assert!(vectors.iter().any(known), "not a vector: {json} {bytes}");
        examples += 1;
    }
    assert!(examples >= 25, "{examples} examples");
}
