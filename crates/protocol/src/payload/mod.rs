//! What applications send: a *value* or *bytes*.
//!
//! A value is what JSON can say. It is held as MessagePack in one canonical form, so that what was
//! accepted has exactly one form in each format, and delivery never fails for one member because
//! of another. This module owns the rules and both conversions; how a payload stands in a frame
//! (`data` or `b64`, nil or absent) is the codec's.
//!
//! Each conversion is one pass without recursion. Refused are: more than [`DEPTH_MAX`] arrays and
//! objects inside one another, keys that are twice in an object or aren't strings, integers out of
//! −2⁶³…2⁶⁴−1, NaN and infinities, extension types, and text that isn't Unicode.

mod from_json;
mod scan;
mod to_json;

use bytes::Bytes;
use scan::Scan;

use crate::json;
use crate::msgpack::put;

/// How many arrays and objects may be inside one another. A number has depth 0, `[]` has 1.
pub const DEPTH_MAX: usize = 32;

/// Why bytes aren't a payload. What a client hears is `bad_payload`, with this text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not JSON at all, from this byte on.
    #[error("not JSON (at byte {0})")]
    NotJson(usize),
    /// Not MessagePack at all, or cut short.
    #[error("not MessagePack (at byte {0})")]
    NotMsgpack(usize),
    /// Something follows the payload.
    #[error("something follows the payload (at byte {0})")]
    Trailing(usize),
    /// More than [`DEPTH_MAX`] levels.
    #[error("more than {DEPTH_MAX} arrays and objects inside one another")]
    TooDeep,
    /// An object has a key twice.
    #[error("an object has the key {0:?} twice")]
    DuplicateKey(String),
    /// A key that isn't a string.
    #[error("an object has a key that isn't a string")]
    KeyKind,
    /// A MessagePack extension type, timestamps among them.
    #[error("MessagePack extension types aren't values")]
    Extension,
    /// NaN or an infinity.
    #[error("NaN and infinities aren't values")]
    NotFinite,
    /// An integer out of −2⁶³…2⁶⁴−1, or a float beyond the greatest.
    #[error("a number out of range (at byte {0})")]
    NumberRange(usize),
    /// Text that isn't UTF-8, or an escape of half a surrogate pair.
    #[error("text that isn't Unicode (at byte {0})")]
    NotUnicode(usize),
    /// Not RFC 4648 §4 with padding.
    #[error("not base64")]
    Base64,
    /// Bytes where only a value may be.
    #[error("bytes where only a value may be")]
    BytesNotAllowed,
}

/// A value or bytes, checked. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// Canonical MessagePack.
    Value(Bytes),
    /// The bytes themselves.
    Bytes(Bytes),
}

impl Payload {
    /// The value null.
    pub fn null() -> Self {
        Self(Form::Value(Bytes::from_static(&[0xc0])))
    }

    /// Bytes as a payload.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Form::Bytes(bytes.into()))
    }

    /// Reads a value from a JSON text, white space around it allowed.
    ///
    /// # Errors
    /// Where it isn't JSON, or breaks the payload rules.
    pub fn from_json(text: &[u8]) -> Result<Self, PayloadError> {
        let text =
            std::str::from_utf8(text).map_err(|error| PayloadError::NotUnicode(error.valid_up_to()))?;
        let (value, end) = Self::from_json_at(text, json::space(text, 0))?;
        let end = json::space(text, end);
        if end < text.len() { Err(PayloadError::Trailing(end)) } else { Ok(value) }
    }

    /// Reads the value that begins at `at`, and says where it ends.
    pub(crate) fn from_json_at(text: &str, at: usize) -> Result<(Self, usize), PayloadError> {
        let mut out = Vec::with_capacity((text.len() - at).min(FIRST_ROOM));
        let end = from_json::convert(text, at, &mut out)?;
        out.shrink_to_fit();
        Ok((Self(Form::Value(out.into())), end))
    }

    /// Reads bytes from their base64 text.
    pub(crate) fn from_base64(text: &str) -> Result<Self, PayloadError> {
        to_json::read_base64(text).map(Self::from_bytes).ok_or(PayloadError::Base64)
    }

    /// Reads a payload from MessagePack; `bin` is bytes, all else a value. Copies it once.
    ///
    /// # Errors
    /// Where it isn't MessagePack, breaks the payload rules, or something follows it.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Self, PayloadError> {
        let (payload, end) = Self::take_msgpack(Source::Slice(bytes), 0)?;
        if end < bytes.len() { Err(PayloadError::Trailing(end)) } else { Ok(payload) }
    }

    /// As [`Payload::from_msgpack`], without a copy where the form is canonical already: then the
    /// payload keeps all of `bytes` in memory.
    ///
    /// # Errors
    /// As [`Payload::from_msgpack`].
    pub fn from_msgpack_shared(bytes: &Bytes) -> Result<Self, PayloadError> {
        let (payload, end) = Self::take_msgpack(Source::Shared(bytes), 0)?;
        if end < bytes.len() { Err(PayloadError::Trailing(end)) } else { Ok(payload) }
    }

    /// Reads the payload that begins at `at` of `bytes`, and says where it ends. Shares `bytes` as
    /// [`Payload::from_msgpack_shared`] does.
    ///
    /// # Errors
    /// As [`Payload::from_msgpack`], but that anything may follow.
    pub fn read_msgpack(bytes: &Bytes, at: usize) -> Result<(Self, usize), PayloadError> {
        Self::take_msgpack(Source::Shared(bytes), at)
    }

    /// As [`Payload::read_msgpack`], and copies where the source can't be shared.
    pub(crate) fn take_msgpack(source: Source<'_>, at: usize) -> Result<(Self, usize), PayloadError> {
        let bytes = source.bytes();
        let Scan { end, canonical, bytes_from } = scan::scan(bytes, at)?;
        let form = match bytes_from {
            Some(from) => Form::Bytes(source.slice(from, end)),
            None if canonical => Form::Value(source.slice(at, end)),
            None => {
                let mut out = Vec::with_capacity(end - at);
                scan::rewrite(bytes, at, end, &mut out);
                Form::Value(out.into())
            }
        };
        Ok((Self(form), end))
    }

    /// Whether this is the value null.
    pub fn is_null(&self) -> bool {
        matches!(&self.0, Form::Value(value) if value.as_ref() == [0xc0])
    }

    /// Whether this is bytes, not a value.
    pub fn is_bytes(&self) -> bool {
        matches!(self.0, Form::Bytes(_))
    }

    /// The bytes, where this is bytes.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Value(_) => None,
            Form::Bytes(bytes) => Some(bytes),
        }
    }

    /// The value in canonical MessagePack, where this is a value.
    pub fn value_msgpack(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Value(value) => Some(value),
            Form::Bytes(_) => None,
        }
    }

    /// How many bytes [`Payload::write_msgpack`] appends.
    pub fn msgpack_len(&self) -> usize {
        match &self.0 {
            Form::Value(value) => value.len(),
            Form::Bytes(bytes) => {
                bytes.len()
                    + match bytes.len() {
                        0..=0xff => 2,
                        0x100..=0xffff => 3,
                        _ => 5,
                    }
            }
        }
    }

    /// Appends the payload in MessagePack: the value, or the bytes as `bin`.
    pub fn write_msgpack(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Value(value) => out.extend_from_slice(value),
            Form::Bytes(bytes) => put::bin(out, bytes),
        }
    }

    /// Appends the payload as JSON: the value, or the bytes as a base64 string.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Value(value) => to_json::write(value, out),
            Form::Bytes(bytes) => to_json::write_base64(out, bytes),
        }
    }
}

/// What a JSON payload is given at first; longer ones grow.
const FIRST_ROOM: usize = 512;

/// Bytes that a payload is read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Belongs to somebody else: what is kept is copied.
    Slice(&'a [u8]),
    /// May be kept.
    Shared(&'a Bytes),
}

impl<'a> Source<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn slice(self, from: usize, to: usize) -> Bytes {
        match self {
            Self::Slice(bytes) => Bytes::copy_from_slice(&bytes[from..to]),
            Self::Shared(bytes) => bytes.slice(from..to),
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut json = Vec::new();
        self.write_json(&mut json);
        f.write_str(if self.is_bytes() { "Bytes(" } else { "Value(" })?;
        f.write_str(&String::from_utf8_lossy(&json))?;
        f.write_str(")")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(payload: &Payload) -> String {
        let mut out = Vec::new();
        payload.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn msgpack(payload: &Payload) -> Vec<u8> {
        let mut out = Vec::new();
        payload.write_msgpack(&mut out);
        assert_eq!(out.len(), payload.msgpack_len());
        out
    }

    fn nested(depth: usize) -> (String, Vec<u8>) {
        ("[".repeat(depth) + "1" + &"]".repeat(depth), [vec![0x91; depth], vec![1]].concat())
    }

    #[test]
    fn json_numbers_become_integers_or_floats_by_how_they_are_written() {
        for (written, read) in [
            ("0", "0"),
            ("-1", "-1"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.0", "1.0"),
            ("1e2", "100.0"),
            ("-0", "-0.0"),
            ("0.1", "0.1"),
            ("1E400", "out of range"),
            ("-1e400", "out of range"),
            ("1e-400", "0.0"),
            ("1e300", "1e300"),
            ("123456789012345678901234567890.0", "1.2345678901234568e29"),
            ("18446744073709551616", "out of range"),
            ("-9223372036854775809", "out of range"),
            ("99999999999999999999999999", "out of range"),
        ] {
            match Payload::from_json(written.as_bytes()) {
                Ok(payload) => assert_eq!(json(&payload), read, "{written}"),
                Err(error) => {
                    assert_eq!((error, "out of range"), (PayloadError::NumberRange(0), read), "{written}");
                }
            }
        }
    }

    #[test]
    fn depth_ends_at_32() {
        let (text, bytes) = nested(32);
        assert_eq!(json(&Payload::from_json(text.as_bytes()).unwrap()), text);
        assert_eq!(json(&Payload::from_msgpack(&bytes).unwrap()), text);
        for depth in [33, 64, 10_000] {
            let (text, bytes) = nested(depth);
            assert_eq!(Payload::from_json(text.as_bytes()), Err(PayloadError::TooDeep));
            assert_eq!(Payload::from_msgpack(&bytes), Err(PayloadError::TooDeep));
        }
        // An empty one counts as well.
        let empty = "[".repeat(32) + "{}" + &"]".repeat(32);
        assert_eq!(Payload::from_json(empty.as_bytes()), Err(PayloadError::TooDeep));
        assert_eq!(Payload::from_msgpack(&[vec![0x91; 32], vec![0x80]].concat()), Err(PayloadError::TooDeep));
    }

    #[test]
    fn keys_are_in_an_object_once() {
        let many = |last: usize| {
            (0..100).chain([last]).map(|key| format!("\"k{key}\":0")).collect::<Vec<_>>().join(",")
        };
        for (text, fine) in [
            (r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}"#.to_owned(), true),
            (r#"{"a":{"x":1,"y":2},"x":1,"y":2}"#.to_owned(), true),
            (r#"{"a":1,"a":1}"#.to_owned(), false),
            (r#"{"a":1,"\u0061":1}"#.to_owned(), false),
            (r#"{"":1,"":1}"#.to_owned(), false),
            (r#"[[{"x":{"b":1,"c":2,"b":3}}]]"#.to_owned(), false),
            (format!("{{{}}}", many(100)), true),
            (format!("{{{}}}", many(57)), false),
        ] {
            let read = Payload::from_json(text.as_bytes());
            assert_eq!(read.is_ok(), fine, "{text}");
            if let Ok(payload) = read {
                assert_eq!(Payload::from_msgpack(&msgpack(&payload)).unwrap(), payload);
            } else {
                assert!(matches!(read, Err(PayloadError::DuplicateKey(_))), "{text}");
            }
        }
        for twice in
            [&b"\x82\xa1a\x01\xa1a\x01"[..], b"\x82\xa1a\x01\xd9\x01a\x01", b"\x91\x82\xa0\x01\xa0\x01"]
        {
            assert!(matches!(Payload::from_msgpack(twice), Err(PayloadError::DuplicateKey(_))));
        }
    }

    #[test]
    fn msgpack_that_isnt_a_value_is_refused() {
        for (bytes, wanted) in [
            (&b"\xcb\x7f\xf8\0\0\0\0\0\0"[..], PayloadError::NotFinite),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", PayloadError::NotFinite),
            (b"\xca\xff\x80\0\0", PayloadError::NotFinite),
            (b"\xd6\xff\0\0\0\0", PayloadError::Extension),
            (b"\x91\xc7\x01\x05x", PayloadError::Extension),
            (b"\x81\x01\x02", PayloadError::KeyKind),
            (b"\x81\xc4\x01a\x02", PayloadError::KeyKind),
            (b"\x81\xc0\x02", PayloadError::KeyKind),
            (b"\xa2\xc3\x28", PayloadError::NotUnicode(1)),
            (b"\x81\xa1\xff\x01", PayloadError::NotUnicode(2)),
            (b"\xa3\xed\xa0\x80", PayloadError::NotUnicode(1)),
            (b"\xc1", PayloadError::NotMsgpack(0)),
            (b"\x92\x01", PayloadError::NotMsgpack(1)),
            (b"", PayloadError::NotMsgpack(0)),
            (b"\x01\x02", PayloadError::Trailing(1)),
            (b"\xc4\x01a\x02", PayloadError::Trailing(3)),
        ] {
            assert_eq!(Payload::from_msgpack(bytes), Err(wanted), "{bytes:02x?}");
        }
    }

    #[test]
    fn one_value_has_one_form() {
        for (bytes, canonical, text) in [
            (&b"\xcf\0\0\0\0\0\0\0\x05"[..], &b"\x05"[..], "5"),
            (b"\xd3\0\0\0\0\0\0\0\x05", b"\x05", "5"),
            (b"\xd0\xff", b"\xff", "-1"),
            (b"\xca\x3f\x80\0\0", b"\xcb\x3f\xf0\0\0\0\0\0\0", "1.0"),
            (b"\xca\x3d\xcc\xcc\xcd", b"\xcb\x3f\xb9\x99\x99\xa0\0\0\0", "0.10000000149011612"),
            (b"\xdc\0\x01\xd9\x01a", b"\x91\xa1a", "[\"a\"]"),
            (b"\xdf\0\0\0\x01\xda\0\x01a\xc5\0\x01x", b"\x81\xa1a\xc4\x01x", "{\"a\":\"eA==\"}"),
        ] {
            let payload = Payload::from_msgpack(bytes).unwrap();
            assert_eq!(msgpack(&payload), canonical, "{bytes:02x?}");
            assert_eq!(json(&payload), text);
            assert!(!payload.is_bytes());
        }
    }

    #[test]
    fn bytes_are_bytes_or_base64() {
        let payload = Payload::from_msgpack(b"\xc4\x03\x00\xff\x10").unwrap();
        assert_eq!(payload.bytes().unwrap().as_ref(), b"\x00\xff\x10");
        assert_eq!(json(&payload), "\"AP8Q\"");
        assert_eq!(Payload::from_base64("AP8Q").unwrap(), payload);
        assert_eq!(msgpack(&Payload::from_msgpack(b"\xc6\0\0\0\x01a").unwrap()), b"\xc4\x01a");
        for bad in ["AP8", "AP8Q=", "AP-_", "AP8Q\n", "YR==", "YQ"] {
            assert_eq!(Payload::from_base64(bad), Err(PayloadError::Base64), "{bad}");
        }
        assert_ne!(Payload::from_bytes(&b"a"[..]), Payload::from_json(b"\"a\"").unwrap());
    }

    #[test]
    fn what_is_canonical_is_shared() {
        let buffer = Bytes::from_static(b"\x93\x81\xa1a\xcb\x3f\xf0\0\0\0\0\0\0\xc4\x02xy\xcc\x01");
        let (value, at) = Payload::read_msgpack(&buffer, 1).unwrap();
        assert_eq!(value.value_msgpack().unwrap().as_ptr(), buffer[1..].as_ptr());
        let (bytes, at) = Payload::read_msgpack(&buffer, at).unwrap();
        assert_eq!(bytes.bytes().unwrap().as_ptr(), buffer[at - 2..].as_ptr());
        let (number, at) = Payload::read_msgpack(&buffer, at).unwrap();
        assert_eq!((json(&number).as_str(), at), ("1", buffer.len()));
        assert_eq!(Payload::read_msgpack(&buffer, at), Err(PayloadError::NotMsgpack(at)));
    }

    #[test]
    fn json_bodies_may_have_space_around_but_nothing_else() {
        assert!(Payload::from_json(b" \r\n\t null ").unwrap().is_null());
        assert_eq!(Payload::from_json(b"1 2"), Err(PayloadError::Trailing(2)));
        assert_eq!(Payload::from_json(b""), Err(PayloadError::NotJson(0)));
        assert_eq!(Payload::from_json(b"\xff"), Err(PayloadError::NotUnicode(0)));
        assert_eq!(Payload::from_json(br#"["\ud800"]"#), Err(PayloadError::NotUnicode(2)));
    }

    #[test]
    fn long_arrays_and_objects_get_longer_heads() {
        for count in [15, 16, 17, 255, 256, 65_535, 65_536, 70_000] {
            let text = format!("[[{}]]", vec!["7"; count].join(","));
            let payload = Payload::from_json(text.as_bytes()).unwrap();
            assert_eq!(json(&payload), text);
            assert_eq!(Payload::from_msgpack(&msgpack(&payload)).unwrap(), payload);
            let pairs = (0..count).map(|at| format!("\"{at}\":[]")).collect::<Vec<_>>().join(",");
            let text = format!("{{{pairs}}}");
            let payload = Payload::from_json(text.as_bytes()).unwrap();
            assert_eq!(json(&payload), text);
            assert_eq!(Payload::from_msgpack(&msgpack(&payload)).unwrap(), payload);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| Value::from(number >> shift)),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                proptest::collection::hash_map(".{0,8}", inner, 0..20)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(crate::seeded::seeded(1000))]

        #[test]
        fn values_survive_both_formats(value in value()) {
            let text = serde_json::to_vec(&value).unwrap();
            let payload = Payload::from_json(&text).unwrap();
            // What others read in our form is the value. (serde_json's floats from text are off by a bit.)
            let ours = json(&payload);
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&ours).is_ok());
            let packed = msgpack(&payload);
            prop_assert_eq!(&rmp_serde::from_slice::<serde_json::Value>(&packed).unwrap(), &value);
            // One value, one form.
            prop_assert_eq!(&Payload::from_json(ours.as_bytes()).unwrap(), &payload);
            prop_assert_eq!(&Payload::from_msgpack(&packed).unwrap(), &payload);
            prop_assert_eq!(&Payload::from_msgpack(&rmp_serde::to_vec(&value).unwrap()).unwrap(), &payload);
        }

        #[test]
        fn any_bytes_are_a_payload_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(payload) = Payload::from_msgpack(&bytes) {
                let text = json(&payload);
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
                prop_assert_eq!(&Payload::from_msgpack(&msgpack(&payload)).unwrap(), &payload);
            }
            let _ = Payload::from_json(&bytes);
        }
    }
}
