//! A node that does what the test says, on a port of its own.

use std::net::SocketAddr;

use ringway_auth::Ticket;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::http::Wire;
use super::{now, soon, ticket_key};

pub(crate) struct Node {
    listener: TcpListener,
}

/// A connection from the gateway: its request, as yet unanswered.
pub(crate) struct Arrival {
    pub(crate) head: String,
    pub(crate) wire: Wire,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next connection, its request read.
    pub(crate) async fn arrival(&self) -> Arrival {
        let (stream, _) =
            soon("a connection from the gateway", self.listener.accept()).await.expect("accepted");
        let mut wire = Wire { stream, rest: Vec::new() };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(wire.take(1).await);
        }
        Arrival { head: String::from_utf8(head).expect("text"), wire }
    }

    /// The next connection, taken.
    pub(crate) async fn take(&self) -> (Ticket, Wire) {
        let arrival = self.arrival().await;
        (arrival.ticket(), arrival.accept().await)
    }

    /// Fails if a connection has come.
    pub(crate) async fn assert_alone(&self) {
        let accepted =
            tokio::time::timeout(std::time::Duration::from_millis(50), self.listener.accept()).await;
        assert!(accepted.is_err(), "a connection came to a node that should have none");
    }
}

impl Arrival {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let sealed = self.header("ringway-ticket").expect("a ticket");
        ticket_key().open(sealed, now()).expect("a good ticket")
    }

    /// A right answer to the request.
    pub(crate) fn answer(&self) -> String {
        let accept = derive_accept_key(self.header("sec-websocket-key").expect("a key").as_bytes());
        let subprotocol = self.header("sec-websocket-protocol").expect("a subprotocol");
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        )
    }

    pub(crate) async fn accept(mut self) -> Wire {
        let answer = self.answer();
        self.wire.send(answer).await;
        self.wire
    }
}
