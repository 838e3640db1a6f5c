//! HTTP as bare as a test of bad input needs it, and blocking.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// It isn't one.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {text:?}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|s| s.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())).collect();
        Ok(Self { status: status.ok_or_else(bad)?, headers, body: body.to_owned() })
    }
}

/// Sends these bytes and reads what comes until the end, or for `within` at most.
///
/// # Errors
/// The connection fails, or what comes is no answer.
pub fn raw(to: SocketAddr, request: &[u8], within: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut part = [0; 4_096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset) =>
            {
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Answer::parse(&bytes)
}

/// GET, answered within 2 s.
///
/// # Errors
/// As [`raw`].
pub fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    raw(to, request.as_bytes(), Duration::from_secs(2))
}
