//! The opening of a link to a node: one connection over which a worker of this gateway speaks for many clients, begun by an
//! HTTP/1.1 upgrade at the node's own port.
//!
//! What it carries then is [`ringway_link`]'s, and no part of this.

use std::io;
use std::net::SocketAddr;

use ringway_link::hello::{HOP, PATH, UPGRADE};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::head::{self, BadHead, Expected, Must};
use super::hop::{ATTEMPT, Hop, HopError, connect_with};

/// What the kernel may keep of a node's bytes for a worker that is late, as it is asked for: a link carries what thousands
/// of clients get. Left to itself it grows to tens of megabytes, and what it holds is as late.
const RECEIVED: usize = 1024 * 1024;

/// Opens a link to a node, all within [`ATTEMPT`]. `host` is its `advertise`, `ticket` a sealed
/// [`LinkTicket`](ringway_auth::LinkTicket). The socket is for [`open_link`](ringway_edge::open_link).
pub(crate) async fn open(
    find: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    host: &str,
    ticket: &str,
) -> Result<Hop, HopError> {
    let opened = async { upgrade(connect_with(find, RECEIVED).await?, host, ticket).await };
    timeout(ATTEMPT, opened).await.unwrap_or(Err(HopError::Timeout))
}

async fn upgrade(mut socket: TcpStream, host: &str, ticket: &str) -> Result<Hop, HopError> {
    let request = request(host, ticket);
    socket.write_all(request.as_bytes()).await.map_err(|error| HopError::Answer(error.into()))?;
    // Who answers 101 without having understood the request doesn't know these.
    let hop = Must { name: "ringway-hop", value: HOP, wrong: "its version of links is another" };
    match head::read(&mut socket, Expected { upgrade: UPGRADE, headers: &[hop] }).await {
        Ok(early) => Ok(Hop { socket, early }),
        Err(BadHead::Status(status)) => Err(HopError::Refused(status)),
        Err(other) => Err(HopError::Answer(other)),
    }
}

fn request(host: &str, ticket: &str) -> String {
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\nRingway-Hop: {HOP}\r\n\
         Ringway-Ticket: {ticket}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringway-link\r\n\
                        Ringway-Hop: 1; relay\r\n\r\n";

    /// What comes of a node that answers so, and what it was asked.
    async fn answered(answer: &str) -> (Result<Hop, HopError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let node = async {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert!(socket.read_buf(&mut asked).await.expect("a request") > 0, "the gateway has gone");
            }
            socket.write_all(answer.as_bytes()).await.expect("an answer");
            (String::from_utf8(asked).expect("text"), socket)
        };
        let opening = open(async { Ok(vec![address]) }, "10.0.0.5:7001", "a.b.c");
        let (opened, (asked, _socket)) = tokio::join!(opening, node);
        (opened, asked)
    }

    #[tokio::test]
    async fn a_link_is_asked_for_and_what_comes_behind_the_answer_is_kept() {
        let (hop, asked) = answered(&format!("{GOOD}early")).await;
        assert_eq!(hop.expect("a link").early, "early");
        assert_eq!(
            asked,
            "GET /v1/link HTTP/1.1\r\nHost: 10.0.0.5:7001\r\nConnection: Upgrade\r\nUpgrade: ringway-link\r\n\
             Ringway-Hop: 1; relay\r\nRingway-Ticket: a.b.c\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn another_version_is_refused_by_either_end() {
        let (refused, _) = answered("HTTP/1.1 426 Upgrade Required\r\nRingway-Hop: 2; relay\r\n\r\n").await;
        assert!(matches!(refused, Err(HopError::Refused(426))), "{refused:?}");
        for (from, to) in [
            ("1; relay", "2; relay"),
            ("Ringway-Hop: 1; relay\r\n", ""),
            ("Upgrade: ringway-link", "Upgrade: websocket"),
            ("Connection: Upgrade", "Connection: close"),
        ] {
            let (other, _) = answered(&GOOD.replacen(from, to, 1)).await;
            assert!(matches!(other, Err(HopError::Answer(BadHead::Wrong(_)))), "{to}: {other:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let closed = open(async { Ok(vec![address]) }, "h", "t").await;
        assert!(matches!(closed, Err(HopError::Unreachable(_))), "{closed:?}");
    }
}
