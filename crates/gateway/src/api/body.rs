//! Request bodies: read under a bound and a time, and told apart by their type.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use ringway_protocol::{Code, Payload};

use crate::accept::Problem;

/// How long a body may take to come.
const TIME: Duration = Duration::from_secs(10);

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Msgpack,
    Bytes,
}

impl Kind {
    /// By `Content-Type`; parameters (`; charset=utf-8`) don't matter.
    ///
    /// Asking for it is no formality: a page of a foreign origin can't send these types without a preflight.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        let value = match (lines.next(), lines.next()) {
            (Some(value), None) => value.to_str().unwrap_or_default(),
            _ => "",
        };
        let essence = value.split(';').next().unwrap_or_default().trim();
        let kinds = [
            ("application/json", Self::Json),
            ("application/msgpack", Self::Msgpack),
            ("application/octet-stream", Self::Bytes),
        ];
        let found = kinds.into_iter().find(|(name, _)| essence.eq_ignore_ascii_case(name));
        found.map(|(_, kind)| kind).ok_or_else(|| {
            unsupported("the body's Content-Type is application/json, application/msgpack or application/octet-stream")
        })
    }

    /// The payload that a body of this kind is.
    pub(crate) fn payload(self, body: Bytes) -> Result<Payload, Problem> {
        let payload = match self {
            Self::Json => Payload::from_json(&body),
            Self::Msgpack => Payload::from_msgpack(&body),
            Self::Bytes => Ok(Payload::from_bytes(body)),
        };
        payload.map_err(|error| Problem::new(Code::BadPayload, error.to_string()))
    }
}

/// 415.
pub(crate) fn unsupported(detail: &'static str) -> Problem {
    Problem::bad_request(detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_big = || Problem::new(Code::TooBig, format!("the body has more than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_big());
    }
    match tokio::time::timeout(TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_big()),
        Ok(Err(_)) => Err(Problem::bad_request("the body broke off")),
        Err(_) => {
            Err(Problem::bad_request("the body did not come in time")
                .with_status(StatusCode::REQUEST_TIMEOUT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn kind(lines: &[&'static str]) -> Result<Kind, u16> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(line));
        }
        Kind::of(&headers).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn types_are_told_apart_and_others_refused() {
        assert_eq!(kind(&["application/json"]), Ok(Kind::Json));
        assert_eq!(kind(&["Application/JSON ; charset=utf-8"]), Ok(Kind::Json));
        assert_eq!(kind(&["application/msgpack"]), Ok(Kind::Msgpack));
        assert_eq!(kind(&["application/octet-stream"]), Ok(Kind::Bytes));
        for other in [
            &[] as &[&str],
            &["text/plain"],
            &["application/jsonp"],
            &["application/json", "application/json"],
        ] {
            assert_eq!(kind(other), Err(415), "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_too_big_however_it_comes() {
        let whole = |size: usize| Full::new(Bytes::from(vec![b'x'; size]));
        assert_eq!(read(whole(10), 10).await.expect("it fits").len(), 10);
        assert_eq!(read(whole(11), 10).await.expect_err("too big").code, Code::TooBig);
        let parts =
            (0..3).map(|_| Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from_static(b"1234"))));
        let parts = StreamBody::new(futures_util::stream::iter(parts));
        assert_eq!(read(parts, 10).await.expect_err("too big").code, Code::TooBig);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let never =
            StreamBody::new(futures_util::stream::pending::<Result<hyper::body::Frame<Bytes>, Infallible>>());
        assert_eq!(read(never, 10).await.expect_err("late").status, 408);
    }
}
