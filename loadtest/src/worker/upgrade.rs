//! The upgrade, by hand: RFC 6455 §4.1.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::random::Random;

/// A longer answer is none.
const LONGEST_HEAD: usize = 16 * 1024;

/// How much of a refusal's body is told.
const TOLD: usize = 160;

/// A nonce, and the answer that proves that it was read. One for all upgrades of a process: it guards against proxies that
/// answer from a cache, and there are none here.
#[derive(Debug)]
pub(crate) struct Nonce {
    key: String,
    accept: String,
}

/// What came of an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// More is to come.
    Incomplete,
    /// It is a WebSocket; its frames begin here.
    Taken(usize),
    /// It isn't, and why.
    Refused(String),
}

impl Nonce {
    pub(crate) fn new(seed: u64) -> Nonce {
        let mut random = Random::new(seed);
        let key = STANDARD.encode([random.next().to_ne_bytes(), random.next().to_ne_bytes()].concat());
        let accept = derive_accept_key(key.as_bytes());
        Nonce { key, accept }
    }

    /// The request. `headers`: further ones, each with its line end.
    pub(crate) fn request(&self, host: SocketAddr, target: &str, headers: &str) -> String {
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n{headers}\r\n",
            self.key
        )
    }

    /// What the server's answer, so far, comes to.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Answer {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() < LONGEST_HEAD {
                Answer::Incomplete
            } else {
                Answer::Refused("an answer without an end to its head".to_owned())
            };
        };
        let (head, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("none");
        if status != "101" {
            let body = String::from_utf8_lossy(&body[..body.len().min(TOLD)]);
            return Answer::Refused(format!("status {status}: {}", body.trim()));
        }
        let accepted = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == self.accept
        });
        if accepted {
            Answer::Taken(end + 4)
        } else {
            Answer::Refused("101 with a wrong Sec-WebSocket-Accept".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_once_it_is_whole() {
        let nonce = Nonce::new(3);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSEC-WebSocket-accept:  {}\r\n\r\n",
            nonce.accept
        );
        for cut in 0..answer.len() {
            assert_eq!(nonce.answer(&answer.as_bytes()[..cut]), Answer::Incomplete);
        }
        let with_frame = format!("{answer}\x01\x02");
        assert_eq!(nonce.answer(with_frame.as_bytes()), Answer::Taken(answer.len()));
    }

    #[test]
    fn refusals_say_why() {
        let nonce = Nonce::new(3);
        let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull";
        assert_eq!(nonce.answer(refused), Answer::Refused("status 503: full".to_owned()));
        let stale = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n";
        assert!(matches!(nonce.answer(stale), Answer::Refused(_)));
        assert!(matches!(nonce.answer(&[b'x'; LONGEST_HEAD]), Answer::Refused(_)));
    }

    #[test]
    fn the_request_is_one() {
        let nonce = Nonce::new(3);
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let request = nonce.request(host, "/echo", "X-A: b\r\n");
        assert!(request.starts_with("GET /echo HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
        assert!(request.ends_with("\r\nX-A: b\r\n\r\n"));
        assert_eq!(STANDARD.decode(&nonce.key).map(|key| key.len()), Ok(16));
    }
}
