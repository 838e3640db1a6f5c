//! A client that says exactly what it is told to, and reads exactly what comes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// RFC 6455 §1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value; the header must not be there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {}", self.head);
        first
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        document["code"].as_str().expect("a code").to_owned()
    }
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Read and not yet looked at.
    pub(crate) rest: Vec<u8>,
}

/// A valid upgrade for this path and query, with further header lines.
pub(crate) fn upgrade(target: &str, headers: &[&str]) -> String {
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

impl Wire {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(to)).await.expect("connected");
        Self { stream, rest: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("written", self.stream.write_all(bytes.as_ref())).await.expect("written");
    }

    /// Reads one answer: its head, and the body that it announces.
    pub(crate) async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.more().await > 0, "the answer broke off: {}", self.rest.escape_ascii());
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).expect("text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        answer.body = self.take(length).await;
        answer
    }

    /// The next bytes, as many as that.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            assert!(self.more().await > 0, "the stream ended after {}", self.rest.escape_ascii());
        }
        self.rest.drain(..length).collect()
    }

    /// Everything up to the stream's end.
    pub(crate) async fn until_end(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.rest)
    }

    /// Code and reason of the close frame that comes next.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        let head = self.take(2).await;
        assert_eq!(head[0], 0x88, "not a close frame: {}", head.escape_ascii());
        let payload = self.take(usize::from(head[1])).await;
        let reason = String::from_utf8(payload[2..].to_vec()).expect("text");
        (u16::from_be_bytes([payload[0], payload[1]]), reason)
    }

    async fn more(&mut self) -> usize {
        let mut buffer = vec![0; 4096];
        let read = soon("something to read", self.stream.read(&mut buffer)).await.expect("readable");
        self.rest.extend_from_slice(&buffer[..read]);
        read
    }
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(to: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::open(to).await;
    wire.send(request).await;
    wire.answer().await
}

/// A request with a body.
pub(crate) fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
