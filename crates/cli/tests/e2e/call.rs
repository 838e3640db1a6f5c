//! One call over HTTP, as bare as a test of its answers needs it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringway_testkit::http::{Answer, raw};
use serde_json::Value;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// A request, to be changed until it is sent.
#[derive(Clone)]
pub(crate) struct Call {
    line: String,
    headers: String,
    body: Vec<u8>,
}

/// `GET`, with this path and query.
pub(crate) fn get(target: &str) -> Call {
    call("GET", target)
}

/// `POST` of a body of this type.
pub(crate) fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Call {
    let body = body.into();
    let length = body.len().to_string();
    Call { body, ..call("POST", target) }.with("Content-Type", content_type).with("Content-Length", &length)
}

/// Any method, without a body.
pub(crate) fn call(method: &str, target: &str) -> Call {
    let headers = "Host: ringway.example\r\nConnection: close\r\n".to_owned();
    Call { line: format!("{method} {target} HTTP/1.1\r\n"), headers, body: Vec::new() }
}

impl Call {
    /// With a further header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").unwrap();
        self
    }

    /// With these bytes behind the head, whatever it says of them.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    /// As a request to upgrade to a WebSocket.
    pub(crate) fn upgrade(mut self) -> Self {
        self.headers = self.headers.replace("Connection: close", "Connection: Upgrade");
        self.with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// With a token or an API key.
    pub(crate) fn by(self, bearer: &str) -> Self {
        self.with("Authorization", &format!("Bearer {bearer}"))
    }

    /// Sends it, and reads the answer.
    pub(crate) fn send(&self, to: SocketAddr) -> Answer {
        let mut request = format!("{}{}\r\n", self.line, self.headers).into_bytes();
        request.extend_from_slice(&self.body);
        raw(to, &request, WITHIN).unwrap_or_else(|error| panic!("{}: {error}", self.line.trim()))
    }

    /// Sends it, and reads the status of an answer that may not end.
    pub(crate) fn status(&self, to: SocketAddr) -> u16 {
        let mut stream = TcpStream::connect_timeout(&to, WITHIN).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream.write_all(format!("{}{}\r\n", self.line, self.headers).as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }

    /// Sends it, and reads the result of what has to be done.
    #[track_caller]
    pub(crate) fn ok(&self, to: SocketAddr) -> Value {
        let answer = self.send(to);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json")),
            "{answer:?}"
        );
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Sends it, and reads why it has to be refused: the status, and the code of the problem document.
    #[track_caller]
    pub(crate) fn refused(&self, to: SocketAddr) -> (u16, String) {
        let answer = self.send(to);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["status"], answer.status, "{problem}");
        (answer.status, problem["code"].as_str().unwrap().to_owned())
    }
}

/// As a query has it.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
        out
    })
}
