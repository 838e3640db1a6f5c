//! The sender's span in a message's headers.

use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The length of a `traceparent` of version 00 (W3C Trace Context).
const LENGTH: usize = 55;

/// Headers with the span; none where there is no span, or what is there is none: a header line is no place for
/// a stranger's text.
pub(super) fn headers(traceparent: Option<&str>) -> Option<HeaderMap> {
    let traceparent = traceparent.filter(|text| is_traceparent(text))?;
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, traceparent);
    Some(headers)
}

/// The span in the headers, if there is one.
pub(super) fn traceparent(headers: Option<&HeaderMap>) -> Option<Arc<str>> {
    let value = headers?.get(TRACEPARENT)?.as_str();
    is_traceparent(value).then(|| value.into())
}

fn is_traceparent(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_comes_back_and_nothing_else_goes_out() {
        let span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(headers(Some(span)).as_ref()).as_deref(), Some(span));
        for other in ["", "x", &format!("{}\r\n", &span[..53]), &span.to_uppercase()] {
            assert!(headers(Some(other)).is_none(), "{other:?}");
        }
        assert!(headers(None).is_none());
    }
}
