//! A publication as HTTP gives it: in headers beside a body, or as one object of a list.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ringway_backplane::message::{Publication, Published};
use ringway_protocol::{Code, ConnId, Key, Payload, PayloadError, RoomName, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::accept::{Problem, room_name};

/// The longest `event` and `mid`, in bytes.
const NAME_LIMIT: usize = 64;
/// The longest payload, in bytes as received: what a frame may have.
pub(crate) const PAYLOAD_LIMIT: usize = 64 * 1024;

/// What is said beside the payload.
#[derive(Debug, Default)]
pub(crate) struct Details {
    event: Option<Arc<str>>,
    key: Option<Key>,
    mid: Option<Arc<str>>,
    /// The connection that doesn't get it live.
    exclude: Option<ConnId>,
    trace: Option<Arc<str>>,
    /// Not to be stored, where its room's publications are.
    signal: bool,
}

impl Details {
    /// From `Ringway-Event`, `-Key`, `-Message-Id`, `-Exclude`, `-Store` and `traceparent`.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let signal = match single(headers, "ringway-store")? {
            None | Some("true") => false,
            Some("false") => true,
            Some(_) => return Err(Problem::bad_request("Ringway-Store is true or false")),
        };
        Ok(Self {
            signal,
            event: single(headers, "ringway-event")?.map(|text| name("Ringway-Event", text)).transpose()?,
            key: single(headers, "ringway-key")?.map(|text| parsed("Ringway-Key", text)).transpose()?,
            mid: single(headers, "ringway-message-id")?
                .map(|text| name("Ringway-Message-Id", text))
                .transpose()?,
            exclude: single(headers, "ringway-exclude")?
                .map(|text| parsed("Ringway-Exclude", text))
                .transpose()?,
            trace: single(headers, "traceparent")
                .ok()
                .flatten()
                .filter(|text| is_traceparent(text))
                .map(Into::into),
        })
    }

    /// The publication.
    pub(crate) fn with(self, data: Payload, user: Option<UserId>, ts: u64) -> Publication {
        Publication {
            ts,
            user,
            event: self.event,
            key: self.key,
            mid: self.mid,
            trace: self.trace,
            data,
            echo: self.exclude.is_none(),
            conn: self.exclude,
            session: None,
            span: None,
            signal: self.signal,
        }
    }
}

/// One object of `POST /v1/publish`. Fields that aren't known are refused: a misspelt one would change what is
/// published without a word.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item<'a> {
    room: String,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    b64: Option<String>,
    event: Option<String>,
    key: Option<String>,
    mid: Option<String>,
    exclude: Option<String>,
    trace: Option<String>,
    store: Option<bool>,
}

impl Item<'_> {
    /// The room, the payload and what is said beside it.
    pub(crate) fn read(&self) -> Result<(RoomName, Payload, Details), Problem> {
        let room = room_name(&self.room)?;
        let payload = match (self.data, &self.b64) {
            (Some(data), None) if data.get().len() > PAYLOAD_LIMIT => return Err(too_big()),
            (None, Some(text)) if text.len() > PAYLOAD_LIMIT => return Err(too_big()),
            (Some(data), None) => Payload::from_json(data.get().as_bytes()).map_err(bad_payload)?,
            (None, Some(text)) => {
                Payload::from_bytes(STANDARD.decode(text).map_err(|_| bad_payload(PayloadError::Base64))?)
            }
            _ => return Err(Problem::bad_request("a publication has either `data` or `b64`")),
        };
        let details = Details {
            event: self.event.as_deref().map(|text| name("event", text)).transpose()?,
            key: self.key.as_deref().map(|text| parsed("key", text)).transpose()?,
            mid: self.mid.as_deref().map(|text| name("mid", text)).transpose()?,
            exclude: self.exclude.as_deref().map(|text| parsed("exclude", text)).transpose()?,
            trace: self.trace.as_deref().map(|text| name("trace", text)).transpose()?,
            signal: self.store == Some(false),
        };
        Ok((room, payload, details))
    }
}

/// What is answered for a publication: a `pub` frame's result. Empty for one that has no place in a room.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Placed {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl From<Published> for Placed {
    fn from(published: Published) -> Self {
        let Published { epoch, offset, duplicate } = published;
        Self { offset: Some(offset), epoch: Some(epoch.to_string()), duplicate }
    }
}

/// A field that is there: JSON's null is a payload, not an absence.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A payload that breaks the rules.
#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
pub(crate) fn bad_payload(error: PayloadError) -> Problem {
    Problem::new(Code::BadPayload, error.to_string())
}

fn too_big() -> Problem {
    Problem::new(Code::TooBig, format!("a payload has at most {PAYLOAD_LIMIT} bytes"))
}

fn name(what: &str, text: &str) -> Result<Arc<str>, Problem> {
    if text.len() > NAME_LIMIT {
        return Err(Problem::new(Code::TooBig, format!("{what} has at most {NAME_LIMIT} bytes")));
    }
    Ok(text.into())
}

fn parsed<T: std::str::FromStr<Err = ringway_protocol::NameError>>(
    what: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{what}: {error}")))
}

/// A header that is there once at most, and text.
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Problem::bad_request(format!("{name} is not UTF-8"))),
        },
        _ => Err(Problem::bad_request(format!("{name} is given twice"))),
    }
}

/// W3C trace context, version 00: what is none is left out, it is no reason to refuse a publication.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    matches!(&parts[..], [version, trace, span, flags]
        if hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn item(text: &str) -> Result<(String, Publication), Code> {
        let item: Item<'_> = serde_json::from_str(text).map_err(|_| Code::BadRequest)?;
        let (room, payload, details) = item.read().map_err(|problem| problem.code)?;
        Ok((room.as_str().to_owned(), details.with(payload, None, 7)))
    }

    #[test]
    fn an_item_is_read_whole() {
        let (room, publication) = item(
            r#"{"room":"a","data":{"x":[1,2.5]},"event":"e","key":"k","mid":"m","exclude":"c1","store":false,"trace":"t"}"#,
        )
        .expect("good");
        assert_eq!(room, "a");
        let texts = (publication.event.as_deref(), publication.mid.as_deref(), publication.trace.as_deref());
        assert_eq!(texts, (Some("e"), Some("m"), Some("t")));
        assert_eq!((publication.key.expect("a key").as_str(), publication.signal), ("k", true));
        assert_eq!((publication.conn.expect("a connection").as_str(), publication.echo), ("c1", false));
        let mut json = Vec::new();
        publication.data.write_json(&mut json);
        assert_eq!(json, br#"{"x":[1,2.5]}"#);
        let (_, publication) = item(r#"{"room":"a","data":null}"#).expect("null is a value");
        assert!(publication.data.is_null() && publication.echo && publication.conn.is_none());
        assert!(!publication.signal, "what isn't said to be a signal is none");
        let (_, publication) = item(r#"{"room":"a","b64":"AAE="}"#).expect("bytes");
        assert_eq!(publication.data.bytes().map(|bytes| bytes.to_vec()), Some(vec![0, 1]));
    }

    #[test]
    fn an_item_that_is_none_says_why() {
        let big = format!(r#"{{"room":"a","data":"{}"}}"#, "x".repeat(PAYLOAD_LIMIT));
        let long = format!(r#"{{"room":"a","data":1,"mid":"{}"}}"#, "x".repeat(65));
        for (text, code) in [
            ("7", Code::BadRequest),
            ("null", Code::BadRequest),
            ("{}", Code::BadRequest),
            (r#"{"room":"a"}"#, Code::BadRequest),
            (r#"{"room":"a","data":1,"b64":"AA=="}"#, Code::BadRequest),
            (r#"{"room":"a","room":"b","data":1}"#, Code::BadRequest),
            (r#"{"room":"a","data":1,"evnt":"x"}"#, Code::BadRequest),
            (r#"{"room":7,"data":1}"#, Code::BadRequest),
            (r#"{"room":"","data":1}"#, Code::BadRoom),
            (r#"{"room":"a\u0000","data":1}"#, Code::BadRoom),
            (r#"{"room":"a","data":{"x":1,"x":2}}"#, Code::BadPayload),
            (r#"{"room":"a","data":1e999}"#, Code::BadPayload),
            (r#"{"room":"a","b64":"AA"}"#, Code::BadPayload),
            (r#"{"room":"a","data":1,"key":""}"#, Code::BadRequest),
            (&long, Code::TooBig),
            (&big, Code::TooBig),
        ] {
            assert_eq!(item(text).map(|(room, _)| room), Err(code), "{}", &text[..text.len().min(80)]);
        }
    }

    fn details(lines: &[(&'static str, &'static [u8])]) -> Result<Publication, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a header"));
        }
        let details = Details::from_headers(&headers).map_err(|problem| problem.code)?;
        Ok(details.with(Payload::null(), None, 7))
    }

    #[test]
    fn headers_say_what_stands_beside_the_body() {
        let publication = details(&[
            ("ringway-event", b"e"),
            ("ringway-key", "é".as_bytes()),
            ("ringway-message-id", b"m"),
            ("ringway-exclude", b"c1"),
            ("ringway-store", b"false"),
            ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ])
        .expect("good");
        assert_eq!(publication.key.expect("a key").as_str(), "é");
        assert!(!publication.echo && publication.trace.is_some() && publication.signal);
        let plain = details(&[("traceparent", b"nonsense")]).expect("a trace is no reason to refuse");
        assert!(!plain.signal && plain.echo && plain.trace.is_none() && plain.mid.is_none());
        let twice: &[(&str, &[u8])] = &[("ringway-event", b"a"), ("ringway-event", b"b")];
        for bad in [
            &[("ringway-exclude", &b"a b"[..])],
            &[("ringway-key", b"\xff")],
            &[("ringway-store", b"no")],
            twice,
        ] {
            assert_eq!(details(bad).map(|_| ()), Err(Code::BadRequest), "{bad:?}");
        }
    }
}
