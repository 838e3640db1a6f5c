//! What the server says to a publication: that it is stored, and where; or why it isn't. What isn't surely "not stored" is
//! unknown, which is never the same.

use serde::Deserialize;

use crate::store::NotStored;

/// Where a publication was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged<'a> {
    pub(super) stream: &'a str,
    pub(super) offset: u64,
    pub(super) duplicate: bool,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow)]
    error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(default)]
    err_code: u64,
    // Borrowed only where there is nothing escaped in it.
    #[serde(borrow, default)]
    description: std::borrow::Cow<'a, str>,
}

/// Reads an acknowledgement.
pub(super) fn read(payload: &[u8]) -> Result<Acknowledged<'_>, NotStored> {
    let said: Said<'_> = serde_json::from_slice(payload).map_err(|error| {
        tracing::warn!(%error, "an acknowledgement that can't be read");
        NotStored::Unknown
    })?;
    if let Some(error) = said.error {
        let told = classify(error.err_code, &error.description);
        tracing::debug!(code = error.err_code, description = %error.description, ?told, "a publication wasn't stored");
        return Err(told);
    }
    match said.stream {
        Some(stream) if said.seq > 0 => {
            Ok(Acknowledged { stream, offset: said.seq, duplicate: said.duplicate })
        }
        _ => Err(NotStored::Unknown),
    }
}

/// What a server's error code says. (Codes: nats-server's `errors.json`.)
fn classify(code: u64, description: &str) -> NotStored {
    match code {
        // The message's size, by the stream's limit.
        10_054 => NotStored::TooLarge,
        // The store took it not: a limit of the stream that pushes nothing out, or else something is wrong with it.
        10_077 if description.contains("maximum") => NotStored::Full,
        // Resources of account, server or cluster; no JetStream or no quorum now; the stream is sealed, or another than
        // expected. The server says these before anything is stored.
        10_077 | 10_002 | 10_008 | 10_023 | 10_028 | 10_039 | 10_047 | 10_060 | 10_074 | 10_109 | 10_166 => {
            NotStored::Away
        }
        // Too many wait inside the server.
        10_167 => NotStored::Busy,
        // 10158 among them: one with this id is on its way already, and may yet fail.
        _ => NotStored::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_says_where() {
        let read = read(br#"{"stream":"S","seq":7}"#);
        assert_eq!(read, Ok(Acknowledged { stream: "S", offset: 7, duplicate: false }));
        let read = super::read(br#"{"stream":"S","domain":"hub","seq":7,"duplicate":true,"later":[1]}"#);
        assert_eq!(read, Ok(Acknowledged { stream: "S", offset: 7, duplicate: true }));
    }

    #[test]
    fn errors_are_told_apart() {
        for (code, description, told) in [
            (10_054, "message size exceeds maximum allowed", NotStored::TooLarge),
            (10_077, "maximum bytes exceeded", NotStored::Full),
            (10_077, "maximum messages per subject exceeded", NotStored::Full),
            (10_077, "store is closed", NotStored::Away),
            (10_023, "insufficient resources", NotStored::Away),
            (10_109, "invalid operation on sealed stream", NotStored::Away),
            (10_167, "too many requests", NotStored::Busy),
            (10_158, "duplicate message id is in process", NotStored::Unknown),
            (99_999, "of a later release, \"quoted\"", NotStored::Unknown),
        ] {
            let error = serde_json::json!({ "code": 400, "err_code": code, "description": description });
            let payload = serde_json::json!({ "error": error, "stream": "S", "seq": 0 }).to_string();
            assert_eq!(read(payload.as_bytes()), Err(told), "{code}");
        }
    }

    #[test]
    fn what_cant_be_read_is_unknown() {
        for payload in [&b""[..], b"+OK", b"{}", br#"{"stream":"S","seq":0}"#, br#"{"seq":3}"#, b"\xff"] {
            assert_eq!(read(payload), Err(NotStored::Unknown));
        }
    }
}
