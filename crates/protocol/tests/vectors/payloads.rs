//! `payloads.json`: one payload, one form in each format.

use ringway_protocol::Payload;
use serde::{Deserialize, Serialize};

use super::{hex, hold, lines, read, unhex};

/// Every `from_*` is accepted, and is the same payload: `json` for JSON members (a string of base64
/// where `bytes` is true), `msgpack` for MessagePack members.
#[derive(Serialize, Deserialize)]
struct Vector {
    name: String,
    bytes: bool,
    json: String,
    msgpack: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    from_json: Vec<String>,
    from_msgpack: Vec<String>,
}

/// Name, what JSON publishers may write, what MessagePack publishers may write.
type Row = (&'static str, &'static [&'static str], &'static [&'static [u8]]);

const PAYLOADS: &[Row] = &[
    ("null", &["null", " null "], &[b"\xc0"]),
    ("true", &["true"], &[b"\xc3"]),
    ("false", &["false"], &[b"\xc2"]),
    ("zero", &["0"], &[b"\x00", b"\xcc\x00", b"\xd0\x00", b"\xcf\0\0\0\0\0\0\0\0", b"\xd3\0\0\0\0\0\0\0\0"]),
    ("127", &["127"], &[b"\x7f", b"\xcc\x7f", b"\xd1\x00\x7f"]),
    ("128", &["128"], &[b"\xcc\x80", b"\xcd\x00\x80", b"\xd1\x00\x80"]),
    ("65536", &["65536"], &[b"\xce\x00\x01\x00\x00", b"\xd2\x00\x01\x00\x00"]),
    ("2^53 + 1", &["9007199254740993"], &[b"\xcf\x00\x20\0\0\0\0\0\x01"]),
    ("2^64 - 1", &["18446744073709551615"], &[b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"]),
    ("-1", &["-1"], &[b"\xff", b"\xd0\xff", b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff"]),
    ("-33", &["-33"], &[b"\xd0\xdf", b"\xd1\xff\xdf"]),
    ("-2^63", &["-9223372036854775808"], &[b"\xd3\x80\0\0\0\0\0\0\0"]),
    (
        "a float that is whole",
        &["1.0", "1e0", "1.0E+0", "10e-1"],
        &[b"\xcb\x3f\xf0\0\0\0\0\0\0", b"\xca\x3f\x80\0\0"],
    ),
    ("minus zero", &["-0", "-0.0", "-0e5"], &[b"\xcb\x80\0\0\0\0\0\0\0", b"\xca\x80\0\0\0"]),
    (
        "a tenth",
        &["0.1", "1e-1", "0.1000000000000000055511151231257827"],
        &[b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"],
    ),
    (
        "a tenth of 32 bits",
        &["0.10000000149011612"],
        &[b"\xca\x3d\xcc\xcc\xcd", b"\xcb\x3f\xb9\x99\x99\xa0\0\0\0"],
    ),
    ("the greatest float", &["1.7976931348623157e308"], &[b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"]),
    ("the smallest float", &["5e-324"], &[b"\xcb\0\0\0\0\0\0\0\x01"]),
    ("too small for a float", &["1e-400", "0.0"], &[b"\xcb\0\0\0\0\0\0\0\0"]),
    ("an empty string", &["\"\""], &[b"\xa0", b"\xd9\x00", b"\xda\x00\x00", b"\xdb\0\0\0\0"]),
    (
        "a string with escapes",
        &[r#""\"\\\/\b\f\n\r\t\u0000\u001F\u007f""#],
        &[b"\xab\"\\/\x08\x0c\n\r\t\x00\x1f\x7f"],
    ),
    ("a string of emoji", &["\"😀é\"", r#""\ud83d\ude00\u00E9""#], &[b"\xa6\xf0\x9f\x98\x80\xc3\xa9"]),
    ("noncharacters", &[r#""\uffff\ufdd0""#], &[b"\xa6\xef\xbf\xbf\xef\xb7\x90"]),
    ("an empty array", &["[]", " [ ] "], &[b"\x90", b"\xdc\0\0", b"\xdd\0\0\0\0"]),
    ("an empty object", &["{}", "{ }"], &[b"\x80", b"\xde\0\0", b"\xdf\0\0\0\0"]),
    (
        "sixteen elements",
        &["[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]"],
        &[b"\xdc\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"],
    ),
    (
        "an object keeps its order",
        &[
            r#"{"b":[1,-1.5,null],"a":{"":"x"}}"#,
            " {\"b\" : [ 1 , -1.5 , null ] ,\n\t\"\\u0061\" : { \"\" : \"x\" } } ",
        ],
        &[
            b"\x82\xa1b\x93\x01\xcb\xbf\xf8\0\0\0\0\0\0\xc0\xa1a\x81\xa0\xa1x",
            b"\xde\x00\x02\xd9\x01b\x93\x01\xca\xbf\xc0\0\0\xc0\xa1a\x81\xa0\xa1x",
        ],
    ),
    (
        "one key in several objects",
        &[r#"[{"a":{"a":1}},{"a":2}]"#],
        &[b"\x92\x81\xa1a\x81\xa1a\x01\x81\xa1a\x02"],
    ),
    (
        "names of every language's own",
        &[r#"{"__proto__":1,"constructor":2}"#],
        &[b"\x82\xa9__proto__\x01\xabconstructor\x02"],
    ),
    ("bytes", &[], &[b"\xc4\x03\x00\xff\x10", b"\xc5\x00\x03\x00\xff\x10", b"\xc6\0\0\0\x03\x00\xff\x10"]),
    ("no bytes", &[], &[b"\xc4\x00"]),
    ("bytes inside a value", &[], &[b"\x81\xa3raw\x92\xc4\x01\x61\xc4\x00"]),
];

fn vector(name: &str, from_json: &[&str], from_msgpack: &[&[u8]]) -> Vector {
    let payload = Payload::from_msgpack(from_msgpack[0]).unwrap();
    let (mut json, mut msgpack) = (Vec::new(), Vec::new());
    payload.write_json(&mut json);
    payload.write_msgpack(&mut msgpack);
    Vector {
        name: name.into(),
        bytes: payload.is_bytes(),
        json: String::from_utf8(json).unwrap(),
        msgpack: hex(&msgpack),
        from_json: from_json.iter().map(ToString::to_string).collect(),
        from_msgpack: from_msgpack.iter().map(|bytes| hex(bytes)).collect(),
    }
}

#[test]
fn payloads() {
    let mut all: Vec<Vector> = PAYLOADS
        .iter()
        .map(|(name, from_json, from_msgpack)| vector(name, from_json, from_msgpack))
        .collect();
    let text = "[".repeat(32) + &"]".repeat(32);
    all.push(vector("as deep as may be", &[&text], &[&[vec![0x91; 31], vec![0x90]].concat()]));
    hold(
        "payloads.json",
        "Every `from_json` (the text of `data`) and every `from_msgpack` (hex) is accepted and is one and the same \
         payload, which JSON members get as `json` (in `b64` where `bytes` is true, else in `data`) and MessagePack \
         members as `msgpack`.",
        &[("payloads", lines(&all))],
    );
    for vector in read::<Vector>("payloads.json", "payloads") {
        let forms = (vector.from_json.iter().map(|text| Payload::from_json(text.as_bytes())))
            .chain(vector.from_msgpack.iter().map(|bytes| Payload::from_msgpack(&unhex(bytes))));
        for payload in forms {
            let payload = payload.unwrap();
            let (mut json, mut msgpack) = (Vec::new(), Vec::new());
            payload.write_json(&mut json);
            payload.write_msgpack(&mut msgpack);
            assert_eq!(String::from_utf8(json).unwrap(), vector.json, "{}", vector.name);
            assert_eq!(hex(&msgpack), vector.msgpack, "{}", vector.name);
            assert_eq!(payload.is_bytes(), vector.bytes, "{}", vector.name);
        }
    }
}
