//! `refused.json`: what a server refuses, and how.

use ringway_protocol::{CloseCode, DecodeError, Format, decode_client};
use serde::{Deserialize, Serialize};

use super::{hex, hold, lines, read, unhex};

/// Answered with `err`, `code` and `id`; or, where `close` is, the connection is closed with it.
#[derive(Serialize, Deserialize)]
struct Refused {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    msgpack: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    close: Option<u16>,
}

/// Name, code (empty: closed), id (0: none), the JSON text (empty: none), the MessagePack bytes.
type Row = (&'static str, &'static str, u64, &'static str, &'static [u8]);

const REFUSED: &[Row] = &[
    // Not readable at all.
    ("nothing", "", 0, "", b""),
    ("not JSON", "", 0, "hello", b""),
    ("JSON that ends early", "", 0, r#"{"t":"ping""#, b""),
    ("two frames in a message", "", 0, r#"{"t":"ping"}{"t":"ping"}"#, b"\x91\x09\x91\x09"),
    ("a trailing comma", "", 0, r#"{"t":"ping",}"#, b""),
    ("NaN in JSON", "", 0, r#"{"t":"pub","id":1,"data":NaN}"#, b""),
    ("a byte order mark", "", 0, "\u{feff}{\"t\":\"ping\"}", b""),
    ("a byte that MessagePack never uses", "", 0, "", b"\xc1"),
    ("MessagePack that ends early", "", 0, "", b"\x94\x03\x01\xc0"),
    ("an array longer than its message", "", 0, "", b"\xdd\xff\xff\xff\xff\x09"),
    // Readable, but not a frame.
    ("null", "bad_frame", 0, "null", b"\xc0"),
    ("a number", "bad_frame", 0, "42", b"\x2a"),
    ("a string", "bad_frame", 0, "\"x\"", b"\xa1x"),
    ("an array", "bad_frame", 0, "[]", b""),
    ("no type", "bad_frame", 0, "{}", b"\x90"),
    ("a map where an array is due", "bad_frame", 0, "", b"\x82\xa1t\xa4ping\xa2id\x01"),
    ("the type null", "bad_frame", 1, r#"{"t":null,"id":1}"#, b"\x92\xc0\x01"),
    ("a type of the other format", "bad_frame", 1, r#"{"t":9,"id":1}"#, b"\x92\xa4ping\x01"),
    ("no type, but an id", "bad_frame", 1, r#"{"id":1}"#, b""),
    ("a member twice", "bad_frame", 1, r#"{"t":"leave","id":1,"room":"a","room":"b"}"#, b""),
    ("the id twice", "bad_frame", 0, r#"{"t":"ping","id":1,"id":1}"#, b""),
    (
        "an id of 2^53",
        "bad_frame",
        0,
        r#"{"t":"ping","id":9007199254740992}"#,
        b"\x92\x09\xcf\x00\x20\0\0\0\0\0\0",
    ),
    ("a negative id", "bad_frame", 0, r#"{"t":"ping","id":-1}"#, b"\x92\x09\xff"),
    (
        "an id that is a float",
        "bad_frame",
        0,
        r#"{"t":"ping","id":1.0}"#,
        b"\x92\x09\xcb\x3f\xf0\0\0\0\0\0\0",
    ),
    ("an id that is a string", "bad_frame", 0, r#"{"t":"ping","id":"1"}"#, b"\x92\x09\xa11"),
    ("a join without a room", "bad_frame", 1, r#"{"t":"join","id":1}"#, b"\x92\x01\x01"),
    ("a room that is null", "bad_frame", 1, r#"{"t":"join","id":1,"room":null}"#, b"\x93\x01\x01\xc0"),
    ("a room that is a number", "bad_frame", 1, r#"{"t":"join","id":1,"room":7}"#, b"\x93\x01\x01\x07"),
    ("a room that isn't UTF-8", "bad_room", 1, "", b"\x93\x01\x01\xa1\xff"),
    ("half a surrogate pair in a room", "bad_room", 1, r#"{"t":"join","id":1,"room":"\ud800"}"#, b""),
    ("a mid that isn't UTF-8", "bad_frame", 1, "", b"\x97\x03\x01\xc0\x01\xc0\xc0\xa1\xff"),
    ("a pub without data", "bad_frame", 1, r#"{"t":"pub","id":1,"room":"a"}"#, b"\x93\x03\x01\xa1a"),
    ("data and b64", "bad_frame", 1, r#"{"t":"pub","id":1,"data":null,"b64":""}"#, b""),
    ("b64 that isn't a string", "bad_frame", 1, r#"{"t":"pub","id":1,"b64":1}"#, b""),
    (
        "a mid that is a number",
        "bad_frame",
        1,
        r#"{"t":"pub","id":1,"data":1,"mid":1}"#,
        b"\x97\x03\x01\xc0\x01\xc0\xc0\x01",
    ),
    (
        "an echo that is a number",
        "bad_frame",
        1,
        r#"{"t":"pub","id":1,"data":1,"echo":1}"#,
        b"\x98\x03\x01\xc0\x01\xc0\xc0\xc0\x01",
    ),
    (
        "an empty key",
        "bad_frame",
        1,
        r#"{"t":"pub","id":1,"data":1,"key":""}"#,
        b"\x96\x03\x01\xc0\x01\xc0\xa0",
    ),
    (
        "a key with a line end",
        "bad_frame",
        1,
        r#"{"t":"pub","id":1,"data":1,"key":"a\n"}"#,
        b"\x96\x03\x01\xc0\x01\xc0\xa2a\n",
    ),
    (
        "last over 1,000",
        "bad_frame",
        1,
        r#"{"t":"join","id":1,"room":"a","last":1001}"#,
        b"\x95\x01\x01\xa1a\xc0\xcd\x03\xe9",
    ),
    (
        "a limit over 1,000",
        "bad_frame",
        1,
        r#"{"t":"history","id":1,"limit":1001}"#,
        b"\x96\x06\x01\xc0\xc0\xc0\xcd\x03\xe9",
    ),
    (
        "an epoch that can't be",
        "bad_frame",
        1,
        r#"{"t":"history","id":1,"epoch":"a:b"}"#,
        b"\x97\x06\x01\xc0\xc0\xc0\xc0\xa3a:b",
    ),
    ("an auth without a token", "bad_frame", 1, r#"{"t":"auth","id":1}"#, b"\x92\x07\x01"),
    ("a call without a method", "bad_frame", 1, r#"{"t":"call","id":1,"data":1}"#, b"\x94\x08\x01\xc0\x01"),
    // Of no known type.
    ("a type of tomorrow", "unknown_frame", 1, r#"{"t":"of_tomorrow","id":1}"#, b"\x92\x18\x01"),
    ("a server's type", "unknown_frame", 1, r#"{"t":"msg","id":1,"data":1}"#, b"\x94\x23\x01\xc0\x01"),
    ("a type in capitals", "unknown_frame", 1, r#"{"t":"PING","id":1}"#, b""),
    ("a great type", "unknown_frame", 1, "", b"\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    // Not a room's name.
    ("an empty room", "bad_room", 1, r#"{"t":"join","id":1,"room":""}"#, b"\x93\x01\x01\xa0"),
    (
        "a room with a line end",
        "bad_room",
        1,
        r#"{"t":"join","id":1,"room":"a\r\n"}"#,
        b"\x93\x01\x01\xa3a\r\n",
    ),
    (
        "a room with U+0085",
        "bad_room",
        1,
        r#"{"t":"leave","id":1,"room":"\u0085"}"#,
        b"\x93\x02\x01\xa2\xc2\x85",
    ),
    // Not a position.
    (
        "a since without an offset",
        "bad_since",
        1,
        r#"{"t":"join","id":1,"room":"a","since":{"epoch":"e"}}"#,
        b"\x94\x01\x01\xa1a\x81\xa5epoch\xa1e",
    ),
    (
        "a since without an epoch",
        "bad_since",
        1,
        r#"{"t":"join","id":1,"room":"a","since":{"offset":1}}"#,
        b"\x94\x01\x01\xa1a\x81\xa6offset\x01",
    ),
    (
        "a since that is a string",
        "bad_since",
        1,
        r#"{"t":"join","id":1,"room":"a","since":"e:1"}"#,
        b"\x94\x01\x01\xa1a\xa3e:1",
    ),
    (
        "a since whose epoch can't be",
        "bad_since",
        1,
        r#"{"t":"join","id":1,"room":"a","since":{"epoch":"a:b","offset":1}}"#,
        b"\x94\x01\x01\xa1a\x82\xa5epoch\xa3a:b\xa6offset\x01",
    ),
    (
        "a since with a negative offset",
        "bad_since",
        1,
        r#"{"t":"join","id":1,"room":"a","since":{"epoch":"e","offset":-1}}"#,
        b"\x94\x01\x01\xa1a\x82\xa5epoch\xa1e\xa6offset\xff",
    ),
    // Not a payload.
    (
        "a key twice",
        "bad_payload",
        1,
        r#"{"t":"pub","id":1,"data":{"a":1,"a":2}}"#,
        b"\x94\x03\x01\xc0\x82\xa1a\x01\xa1a\x02",
    ),
    (
        "a key twice, differently written",
        "bad_payload",
        1,
        r#"{"t":"pub","id":1,"data":{"a":1,"\u0061":2}}"#,
        b"\x94\x03\x01\xc0\x82\xa1a\x01\xd9\x01a\x02",
    ),
    (
        "a key twice, deep inside",
        "bad_payload",
        1,
        r#"{"t":"pub","id":1,"data":[{"x":{"a":1,"b":2,"a":3}}]}"#,
        b"\x94\x03\x01\xc0\x91\x81\xa1x\x83\xa1a\x01\xa1b\x02\xa1a\x03",
    ),
    ("an integer of 2^64", "bad_payload", 1, r#"{"t":"pub","id":1,"data":18446744073709551616}"#, b""),
    ("an integer below -2^63", "bad_payload", 1, r#"{"t":"pub","id":1,"data":[-9223372036854775809]}"#, b""),
    ("a float beyond the greatest", "bad_payload", 1, r#"{"t":"pub","id":1,"data":1e400}"#, b""),
    ("NaN", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xcb\x7f\xf8\0\0\0\0\0\0"),
    ("an infinity", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xcb\x7f\xf0\0\0\0\0\0\0"),
    ("an infinity of 32 bits", "bad_payload", 1, "", b"\x94\x03\x01\xc0\x91\xca\xff\x80\0\0"),
    ("an extension type", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xc7\x01\x05x"),
    ("a timestamp", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xd6\xff\0\0\0\0"),
    ("a key that is a number", "bad_payload", 1, "", b"\x94\x03\x01\xc0\x81\x01\x02"),
    ("a key that is bytes", "bad_payload", 1, "", b"\x94\x03\x01\xc0\x81\xc4\x01a\x02"),
    ("a string that isn't UTF-8", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xa2\xc3\x28"),
    ("a surrogate in UTF-8", "bad_payload", 1, "", b"\x94\x03\x01\xc0\xa3\xed\xa0\x80"),
    ("half a surrogate pair", "bad_payload", 1, r#"{"t":"pub","id":1,"data":"\ud83d"}"#, b""),
    ("base64 without padding", "bad_payload", 1, r#"{"t":"pub","id":1,"b64":"YQ"}"#, b""),
    ("base64 of the other alphabet", "bad_payload", 1, r#"{"t":"pub","id":1,"b64":"__8="}"#, b""),
    ("base64 with bits left over", "bad_payload", 1, r#"{"t":"pub","id":1,"b64":"YR=="}"#, b""),
    ("a state of bytes", "bad_payload", 1, "", b"\x94\x04\x01\xc0\xc4\x01a"),
    (
        "a call's data with a key twice",
        "bad_payload",
        1,
        r#"{"t":"call","id":1,"data":{"a":1,"a":2},"method":"m"}"#,
        b"",
    ),
];

fn refused(name: &str, code: &str, id: u64, json: Option<String>, msgpack: Option<Vec<u8>>) -> Refused {
    Refused {
        name: name.into(),
        json,
        msgpack: msgpack.map(|bytes| hex(&bytes)),
        code: (!code.is_empty()).then(|| code.into()),
        id: (id > 0).then_some(id),
        close: code.is_empty().then_some(CloseCode::UNREADABLE.0),
    }
}

fn all() -> Vec<Refused> {
    let mut all: Vec<Refused> = REFUSED
        .iter()
        .map(|(name, code, id, json, msgpack)| {
            let nothing = json.is_empty() && msgpack.is_empty();
            let json = (nothing || !json.is_empty()).then(|| json.to_string());
            refused(name, code, *id, json, (nothing || !msgpack.is_empty()).then(|| msgpack.to_vec()))
        })
        .collect();
    let text = |length: usize| "x".repeat(length);
    let str8 = |length: u8| [vec![0xd9, length], text(length.into()).into_bytes()].concat();
    for (field, max, place) in [("event", 64, 0), ("key", 128, 1), ("mid", 64, 2)] {
        let json = format!(r#"{{"t":"pub","id":1,"data":1,"{field}":"{}"}}"#, text(max + 1));
        let head = [vec![0x95 + place, 3, 1, 0xc0, 1], vec![0xc0; place.into()]].concat();
        let msgpack = [head, str8(u8::try_from(max + 1).unwrap())].concat();
        all.push(refused(&format!("{field} over {max} bytes"), "bad_frame", 1, Some(json), Some(msgpack)));
    }
    let json = format!(r#"{{"t":"call","id":1,"data":1,"method":"{}"}}"#, text(65));
    let msgpack = [b"\x95\x08\x01\xc0\x01".to_vec(), str8(65)].concat();
    all.push(refused("method over 64 bytes", "bad_frame", 1, Some(json), Some(msgpack)));
    let json = format!(r#"{{"t":"join","id":1,"room":"{}"}}"#, text(256));
    let msgpack = [b"\x93\x01\x01\xda\x01\x00".to_vec(), text(256).into_bytes()].concat();
    all.push(refused("a room over 255 bytes", "bad_room", 1, Some(json), Some(msgpack)));
    let json = format!(r#"{{"t":"state","id":1,"state":"{}"}}"#, text(1_022));
    let msgpack = [b"\x94\x04\x01\xc0\xda\x03\xfe".to_vec(), text(1_022).into_bytes()].concat();
    all.push(refused("a state over 1,024 bytes", "too_big", 1, Some(json), Some(msgpack)));
    let json = format!(r#"{{"t":"pub","id":1,"data":{}{}}}"#, "[".repeat(33), "]".repeat(33));
    let msgpack = [&b"\x94\x03\x01\xc0"[..], &[0x91; 32], &[0x90]].concat();
    all.push(refused("33 arrays inside one another", "bad_payload", 1, Some(json), Some(msgpack)));
    all
}

#[test]
fn refusals() {
    hold(
        "refused.json",
        "What a server refuses: the answer is an `err` with `code` and, where it is given, `id`; or the connection is \
         closed with `close`. `json` is a text message, `msgpack` (hex) a binary one.",
        &[("refused", lines(&all()))],
    );
    for vector in read::<Refused>("refused.json", "refused") {
        let json = vector.json.as_ref().map(|text| (Format::Json, text.clone().into_bytes()));
        let msgpack = vector.msgpack.as_ref().map(|text| (Format::Msgpack, unhex(text)));
        for (format, bytes) in json.into_iter().chain(msgpack) {
            let (code, id, close) = match decode_client(format, &bytes) {
                Ok(frame) => panic!("{} was read as {frame:?}", vector.name),
                Err(DecodeError::Frame { code, id, .. }) => (Some(code.to_string()), id, None),
                Err(DecodeError::Unreadable) => (None, None, Some(CloseCode::UNREADABLE.0)),
            };
            assert_eq!(
                (&code, id, close),
                (&vector.code, vector.id, vector.close),
                "{} {format:?}",
                vector.name
            );
        }
    }
}
