//! The head of a node's answer to the internal upgrade: read under a bound, checked whole.
//!
//! Nothing of the client's goes to a node before this has passed: a server that answers 101 without having
//! understood the request can't know the right `Sec-WebSocket-Accept`, and any other answer isn't an upgrade,
//! whatever it looks like.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::Refusal;

/// More than any node's head has; a longer one is refused.
const LIMIT: usize = 8 * 1024;
const HEADERS: usize = 32;
const CODE: &str = "ringway-code";
const RETRY: &str = "ringway-retry";

/// Why an answer isn't the upgrade that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadHead {
    #[error("the node's answer broke off")]
    Io(#[from] std::io::Error),
    #[error("the node answered {0}")]
    Status(u16),
    /// 429 with `Ringway-Code`, and `Ringway-Retry` in milliseconds: a refusal for the client, whoever is asked.
    #[error("the node answered {}", .0.code)]
    Limited(Refusal),
    #[error("the node's answer is not the upgrade that was asked for: {0}")]
    Wrong(&'static str),
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// The protocol that was asked for.
    pub(crate) upgrade: &'static str,
    /// Headers that only who understood the request has.
    pub(crate) headers: &'a [Must<'a>],
}

/// A header that has to be there, once, with this value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Must<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: &'a str,
    /// What is said of any other value.
    pub(crate) wrong: &'static str,
}

/// Reads up to the end of the head; gives what came behind it.
pub(crate) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    expected: Expected<'_>,
) -> Result<Bytes, BadHead> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        if let Some(length) = check(&read, expected)? {
            return Ok(read.split_off(length).freeze());
        }
        if read.len() >= LIMIT {
            return Err(BadHead::Wrong("its head is too long"));
        }
        if from.read_buf(&mut read).await? == 0 {
            return Err(BadHead::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// The length of the head, once it is whole and right.
fn check(read: &[u8], expected: Expected<'_>) -> Result<Option<usize>, BadHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(read).map_err(|_| BadHead::Wrong("it is not HTTP"))?;
    // A refusal is one as soon as its status is there.
    match response.code {
        Some(101) | None => {}
        // Its head says more, once it is whole.
        Some(429) if parsed.is_partial() => return Ok(None),
        Some(429) => return Err(limited(response.headers).map_or(BadHead::Status(429), BadHead::Limited)),
        Some(status) => return Err(BadHead::Status(status)),
    }
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    if response.version != Some(1) {
        return Err(BadHead::Wrong("it is not HTTP/1.1"));
    }
    let headers = &response.headers[..];
    if !has_token(headers, "upgrade", expected.upgrade) || !has_token(headers, "connection", "upgrade") {
        return Err(BadHead::Wrong("it does not upgrade to the protocol that was asked for"));
    }
    for must in expected.headers {
        if only(headers, must.name)? != Some(must.value) {
            return Err(BadHead::Wrong(must.wrong));
        }
    }
    if values(headers, "sec-websocket-extensions").next().is_some() {
        return Err(BadHead::Wrong("it has extensions that were not offered"));
    }
    Ok(Some(length))
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// What a 429 says. None: not what a node's says.
fn limited(headers: &[httparse::Header<'_>]) -> Option<Refusal> {
    let code = only(headers, CODE).ok()??.parse().ok()?;
    let retry = match only(headers, RETRY).ok()? {
        Some(milliseconds) => Some(Duration::from_millis(milliseconds.parse().ok()?)),
        None => None,
    };
    Some(Refusal { code, retry })
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a [httparse::Header<'a>], name: &'static str) -> Result<Option<&'a str>, BadHead> {
    let mut values = values(headers, name);
    let first = values.next();
    if values.next().is_some() {
        return Err(BadHead::Wrong("it has a header twice"));
    }
    match first {
        None => Ok(None),
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(BadHead::Wrong("it has a header that is not text")),
        },
    }
}

fn has_token(headers: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    values(headers, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected<'_> = Expected {
        upgrade: "websocket",
        headers: &[
            Must { name: "sec-websocket-accept", value: "right", wrong: "its accept is another" },
            Must {
                name: "sec-websocket-protocol",
                value: "ringway.v1.json",
                wrong: "its subprotocol is another",
            },
        ],
    };
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: right\r\nSec-WebSocket-Protocol: ringway.v1.json\r\n\r\n";

    async fn answer(text: &str) -> Result<Bytes, BadHead> {
        read(&mut text.as_bytes(), EXPECTED).await
    }

    #[tokio::test]
    async fn what_comes_behind_the_head_is_kept() {
        assert_eq!(answer(GOOD).await.expect("an upgrade"), "");
        assert_eq!(answer(&format!("{GOOD}\u{1}frame")).await.expect("an upgrade"), "\u{1}frame");
    }

    #[tokio::test]
    async fn a_head_may_come_byte_by_byte() {
        let (mut node, mut gateway) = tokio::io::duplex(1);
        let send = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            node.write_all(format!("{GOOD}x").as_bytes()).await
        });
        let early = read(&mut gateway, EXPECTED).await.expect("an upgrade");
        let mut rest = early.to_vec();
        gateway.read_to_end(&mut rest).await.expect("the rest");
        assert_eq!(rest, b"x");
        send.await.expect("no panic").expect("sent");
    }

    #[tokio::test]
    async fn a_429_with_a_code_is_for_the_client() {
        let told = async |headers: &str| match answer(&format!("HTTP/1.1 429 No\r\n{headers}\r\n")).await {
            Err(BadHead::Limited(Refusal { code, retry })) => Ok((code.to_string(), retry)),
            Err(BadHead::Status(status)) => Err(status),
            other => panic!("{other:?}"),
        };
        let (connections, rate) = ("limit_connections".to_owned(), "limit_rate".to_owned());
        let retry = Some(Duration::from_millis(1_500));
        let head = "Ringway-Code: limit_connections\r\n";
        assert_eq!(told(head).await, Ok((connections.clone(), None)));
        assert_eq!(told(&format!("{head}ringway-retry: 1500\r\n")).await, Ok((connections, retry)));
        assert_eq!(told("X: y\r\nringway-code: limit_rate\r\n").await, Ok((rate, None)));
        for strange in [
            "",
            "Ringway-Code: of_tomorrow\r\n",
            "Ringway-Code: limit_rate\r\nRingway-Code: limit_rate\r\n",
            "Ringway-Code: limit_rate\r\nRingway-Retry: soon\r\n",
            "Ringway-Code: limit_rate\r\nRingway-Retry: -1\r\n",
        ] {
            assert_eq!(told(strange).await, Err(429), "{strange}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for (from, to) in [
            ("right", "wrong"),
            ("Sec-WebSocket-Accept: right\r\n", ""),
            ("Accept: right", "Accept: right\r\nSec-WebSocket-Accept: right"),
            ("v1.json", "v1.msgpack"),
            ("Sec-WebSocket-Protocol: ringway.v1.json\r\n", ""),
            ("upgrade: WebSocket", "upgrade: h2c"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("HTTP/1.1", "SSH-2.0"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert!(matches!(answer(&text).await, Err(BadHead::Wrong(_))), "{text}");
        }
        let refusal = GOOD.replace("101 Switching", "426 Switching");
        assert!(matches!(answer(&refusal).await, Err(BadHead::Status(426))));
        assert!(matches!(answer("HTTP/1.1 503 Busy\r\n").await, Err(BadHead::Status(503))));
        assert!(matches!(answer(&GOOD[..GOOD.len() - 2]).await, Err(BadHead::Io(_))));
        let broken = "HTTP/1.1 429 Busy\r\nRingway-Code: limit_rate\r\n";
        assert!(matches!(answer(broken).await, Err(BadHead::Io(_))));
        let long = GOOD.replace("upgrade:", &format!("x: {}\r\nupgrade:", "y".repeat(LIMIT)));
        assert!(matches!(answer(&long).await, Err(BadHead::Wrong(_))));
        let many = GOOD.replace("upgrade:", &format!("{}upgrade:", "x: y\r\n".repeat(HEADERS)));
        assert!(matches!(answer(&many).await, Err(BadHead::Wrong(_))));
    }
}
