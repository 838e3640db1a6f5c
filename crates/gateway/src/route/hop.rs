//! The hop to a node: a connection of its own for each upgrade, never pooled, with the client's side of the
//! WebSocket handshake and a ticket.
//!
//! Only headers of the gateway's own go to the node: nothing that the client sent is passed on.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::head::{self, BadHead, Expected, Must};
use crate::Refusal;

/// For a name's look-up and the connection together. Just under a second: a lost SYN is sent again only after
/// one, and by then the next node should have been asked.
pub(crate) const CONNECT: Duration = Duration::from_millis(900);
/// For the whole of one attempt.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);
/// A node at rest is probed after this time, by the kernel, and given up after that many probes without an answer: 30 s in
/// all, about when a client would give it up.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// What the kernel may keep of a node's bytes for a client that reads slowly, as it is asked for; it takes twice that, with
/// its own words. Left to itself it grows with a fast stream to tens of megabytes, and what it holds is as late. A tunnel has
/// one client's bytes: this is enough for 30 MB/s to it from a node that is a millisecond away.
const RECEIVED: usize = 32 * 1024;
/// Version and mode of the hop.
pub(crate) const HOP: &str = "1; tunnel";

/// What is asked of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Its `advertise`, for `Host`.
    pub(crate) host: &'a str,
    pub(crate) ticket: &'a str,
    pub(crate) subprotocol: &'a str,
    pub(crate) traceparent: Option<&'a str>,
}

/// A node that has answered.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) socket: TcpStream,
    /// What it sent behind its answer.
    pub(crate) early: Bytes,
}

/// Why a node can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HopError {
    /// It is this process that has run out of something: no other node will do better, and no node is to blame.
    #[error("this gateway can open no further connection: {0}")]
    Exhausted(io::Error),
    /// Nobody there. Don't ask it again for a while.
    #[error("the node can't be reached: {0}")]
    Unreachable(io::Error),
    /// No connection, or no answer, in time. Don't ask it again for a while.
    #[error("the node did not answer in time")]
    Timeout,
    /// It answered that it doesn't want the connection.
    #[error("the node answered {0}")]
    Refused(u16),
    /// It answered that this client may not have the connection: not here, and not elsewhere.
    #[error("the node answered {}", .0.code)]
    Limited(Refusal),
    /// It answered nonsense, or broke off.
    #[error(transparent)]
    Answer(BadHead),
}

impl HopError {
    /// Whether the node itself seems to be gone, so that others needn't try it.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout)
    }

    /// Whether nodes answer so in the course of things: one that leaves, or is full, or holds somebody to a limit.
    pub(crate) fn is_ordinary(&self) -> bool {
        matches!(self, Self::Refused(503) | Self::Limited(_))
    }

    /// For metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Exhausted(_) => "exhausted",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused(_) => "refused",
            Self::Limited(_) => "limited",
            Self::Answer(_) => "bad_answer",
        }
    }
}

/// A TCP connection to a node for one client, within [`CONNECT`].
pub(crate) async fn connect(
    find: impl Future<Output = io::Result<Vec<SocketAddr>>>,
) -> Result<TcpStream, HopError> {
    connect_with(find, RECEIVED).await
}

/// A TCP connection to a node, within [`CONNECT`]. `received`: what the kernel may keep of the node's bytes.
pub(crate) async fn connect_with(
    find: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    received: usize,
) -> Result<TcpStream, HopError> {
    let connected = timeout(CONNECT, async { TcpStream::connect(find.await?.as_slice()).await }).await;
    let socket = match connected {
        Err(_) => return Err(HopError::Timeout),
        Ok(Err(error)) if is_exhausted(&error) => return Err(HopError::Exhausted(error)),
        Ok(Err(error)) => return Err(HopError::Unreachable(error)),
        Ok(Ok(socket)) => socket,
    };
    // A socket that refuses these is about to fail anyway.
    let _: io::Result<()> = tune(&socket, received);
    Ok(socket)
}

/// Frames are small and wait for nothing, nor for long in buffers. And a node whose machine is gone sends no reset: without probes a tunnel to it
/// would stand until its client loses patience.
fn tune(socket: &TcpStream, received: usize) -> io::Result<()> {
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_recv_buffer_size(received)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&probes)
}

/// Whether a process lives there, within [`ATTEMPT`]: it has to answer a request. A connection proves nothing, since the
/// kernel accepts it for a process that stands still too.
pub(crate) async fn probe(
    find: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    host: &str,
) -> Result<(), HopError> {
    let asked = async {
        let mut socket = connect(find).await?;
        // Any answer will do: a node has only one path, and says so.
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answered = async {
            socket.write_all(request.as_bytes()).await?;
            let mut start = [0; 7];
            socket.read_exact(&mut start).await?;
            Ok::<_, io::Error>(start)
        };
        match answered.await {
            Ok(start) if start == *b"HTTP/1." => Ok(()),
            Ok(_) => Err(HopError::Answer(BadHead::Wrong("it is not HTTP"))),
            Err(error) => Err(HopError::Answer(error.into())),
        }
    };
    timeout(ATTEMPT, asked).await.unwrap_or(Err(HopError::Timeout))
}

/// Asks a node over `socket` to take a connection.
pub(crate) async fn upgrade(mut socket: TcpStream, ask: Ask<'_>) -> Result<Hop, HopError> {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let accept = ringway_edge::upgrade::accept_key(&key);
    socket.write_all(request(ask, &key).as_bytes()).await.map_err(|error| HopError::Answer(error.into()))?;
    let headers = [
        Must {
            name: "sec-websocket-accept",
            value: &accept,
            wrong: "its Sec-WebSocket-Accept is not that of the key",
        },
        Must { name: "sec-websocket-protocol", value: ask.subprotocol, wrong: "its subprotocol is another" },
    ];
    match head::read(&mut socket, Expected { upgrade: "websocket", headers: &headers }).await {
        Ok(early) => Ok(Hop { socket, early }),
        Err(BadHead::Status(status)) => Err(HopError::Refused(status)),
        Err(BadHead::Limited(refusal)) => Err(HopError::Limited(refusal)),
        Err(other) => Err(HopError::Answer(other)),
    }
}

fn request(ask: Ask<'_>, key: &str) -> String {
    let mut text = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nRingway-Hop: {HOP}\r\nRingway-Ticket: {}\r\nSec-WebSocket-Protocol: {}\r\n",
        ask.host, ask.ticket, ask.subprotocol
    );
    if let Some(traceparent) = ask.traceparent {
        write!(text, "traceparent: {traceparent}\r\n").expect("a String takes everything");
    }
    text.push_str("\r\n");
    text
}

/// Out of file descriptors, ports or memory: EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM. The standard library has
/// no kinds for the first two.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 99 | 105 | 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_what_the_node_needs_and_nothing_else() {
        let ask =
            Ask { host: "10.0.0.5:7001", ticket: "t", subprotocol: "ringway.v1.json", traceparent: None };
        let text = request(ask, "a2V5");
        assert!(
            text.starts_with("GET /v1/ws HTTP/1.1\r\nHost: 10.0.0.5:7001\r\n") && text.ends_with("\r\n\r\n")
        );
        let names: Vec<_> =
            text.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "Host",
                "Connection",
                "Upgrade",
                "Sec-WebSocket-Version",
                "Sec-WebSocket-Key",
                "Ringway-Hop",
                "Ringway-Ticket",
                "Sec-WebSocket-Protocol"
            ]
        );
        assert!(
            request(Ask { traceparent: Some("00-1-2-01"), ..ask }, "")
                .contains("\r\ntraceparent: 00-1-2-01\r\n")
        );
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_silence_is_a_time_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let closed = connect(async { Ok(vec![address]) }).await;
        assert!(matches!(closed, Err(HopError::Unreachable(_))), "{closed:?}");
        let slow = connect(std::future::pending()).await;
        assert!(matches!(slow, Err(HopError::Timeout)), "{slow:?}");
    }
}
