//! A server on a real socket whose connections the test holds, and a client that speaks bytes.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod feed;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ringway_edge::serve::{self, Settings};
use ringway_edge::{Ended, Limits, Message, Outbound, Reader, open, upgrade};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// No wait in these tests takes longer, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The mask of everything the client sends.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Polls `condition` until it holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub struct Server {
    pub address: SocketAddr,
    pub settings: Settings,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub served: tokio::task::JoinHandle<()>,
    accepted: mpsc::UnboundedReceiver<(Arc<Outbound>, Reader)>,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Settings::default(), Limits::default(), None).await
    }

    /// With a small send buffer, so that a client that doesn't read is behind soon.
    pub async fn start_tight(limits: Limits) -> Server {
        Server::start_with(Settings::default(), limits, Some(16 * 1024)).await
    }

    pub async fn start_with(settings: Settings, limits: Limits, send_buffer: Option<u32>) -> Server {
        let (found, accepted) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let spawner = tasks.clone();
        let handler = move |mut request: Request<Incoming>, _| {
            let upgraded = hyper::upgrade::on(&mut request);
            let head = request.into_parts().0;
            let (found, spawner) = (found.clone(), spawner.clone());
            async move {
                match upgrade::check(&head) {
                    Ok(upgrade) => {
                        spawner.spawn(async move {
                            let (stream, early) = serve::into_socket(upgraded.await.unwrap()).unwrap();
                            let _ = found.send(open(stream, &early, limits));
                        });
                        upgrade.response()
                    }
                    Err(error) => {
                        let mut response =
                            Response::new(Full::new(Bytes::from_static(error.detail.as_bytes())));
                        *response.status_mut() = error.status;
                        error.add_headers(response.headers_mut());
                        response
                    }
                }
            }
        };
        let listener = listener(send_buffer);
        let address = listener.local_addr().unwrap();
        let served =
            tokio::spawn(serve::serve(listener, handler, settings.clone(), stop.clone(), tasks.clone()));
        Server { address, settings, stop, tasks, served, accepted }
    }

    /// The next connection that was upgraded.
    pub async fn accept(&mut self) -> (Arc<Outbound>, Reader) {
        soon("an upgraded connection", self.accepted.recv()).await.unwrap()
    }

    /// A client, and the server's side of it.
    pub async fn connect(&mut self) -> (Client, Arc<Outbound>, Reader) {
        let client = Client::connect(self.address).await;
        let (out, reader) = self.accept().await;
        (client, out, reader)
    }

    pub fn nobody_came(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

fn listener(send_buffer: Option<u32>) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = send_buffer {
        // Inherited by the sockets that are accepted.
        socket.set_send_buffer_size(bytes).unwrap();
    }
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(1_024).unwrap()
}

/// Reads until the end, collects the messages, ends politely.
pub async fn collect(mut reader: Reader) -> (Vec<Vec<u8>>, Ended) {
    let mut messages = Vec::new();
    let ended = loop {
        let mut on = |message: Message<'_>| {
            let (Message::Text(bytes) | Message::Binary(bytes)) = message;
            messages.push(bytes.to_vec());
        };
        if let Err(ended) = reader.read(&mut on).await {
            break ended;
        }
    };
    reader.finish().await;
    (messages, ended)
}

/// A WebSocket client that says exactly the bytes it is told to.
pub struct Client {
    pub stream: TcpStream,
    /// Read, but not looked at yet.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and upgrades.
    pub async fn connect(address: SocketAddr) -> Client {
        Client::connect_saying(address, &upgrade_request("")).await
    }

    /// Sends `request`, which is an upgrade and perhaps more, in one piece.
    pub async fn connect_saying(address: SocketAddr, request: &[u8]) -> Client {
        let mut client = Client::plain(address).await;
        client.stream.write_all(request).await.unwrap();
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client
    }

    /// Connects without a word, with a small receive buffer. The segments are those of a real
    /// network: loopback's huge ones don't fit a small window, and TCP would send by its timers.
    pub async fn plain(address: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        SockRef::from(&socket).set_tcp_mss(1_448).unwrap();
        let stream = soon("a connection", socket.connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// The head of an HTTP answer.
    pub async fn head(&mut self) -> String {
        soon("an HTTP answer", async {
            loop {
                if let Some(end) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                    let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                    return String::from_utf8(head).unwrap();
                }
                assert!(self.fill().await.unwrap() > 0, "closed without an answer");
            }
        })
        .await
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        soon("a write", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Closes the client's side; it can still read.
    pub async fn hang_up(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next frame: its first byte and its payload. None once the server has closed its side.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        soon("a frame", async {
            loop {
                if let Some(frame) = self.take_frame() {
                    return Some(frame);
                }
                match self.fill().await {
                    Ok(0) => {
                        assert!(self.buffer.is_empty(), "cut inside a frame");
                        return None;
                    }
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        })
        .await
    }

    /// Skips to the close frame: its code and reason. None if the server ended without one.
    pub async fn close_frame(&mut self) -> Option<(u16, String)> {
        while let Some((first, payload)) = self.frame().await {
            if first == 0x88 {
                let code = payload.get(..2).map_or(0, |code| u16::from_be_bytes(code.try_into().unwrap()));
                let reason = payload.get(2..).unwrap_or_default().to_vec();
                return Some((code, String::from_utf8(reason).unwrap()));
            }
        }
        None
    }

    /// Waits until the server has closed its side, and returns what came before.
    pub async fn rest(&mut self) -> Vec<u8> {
        soon("the end", async { while let Ok(1..) = self.fill().await {} }).await;
        std::mem::take(&mut self.buffer)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (length, head) = match *self.buffer.get(1)? {
            126 => (u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()) as usize, 4),
            127 => (u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap()) as usize, 10),
            short => (usize::from(short), 2),
        };
        if self.buffer.len() < head + length {
            return None;
        }
        let first = self.buffer[0];
        let payload = self.buffer[head..head + length].to_vec();
        self.buffer.drain(..head + length);
        Some((first, payload))
    }
}

/// A valid upgrade with further header lines.
pub fn upgrade_request(more: &str) -> Vec<u8> {
    format!(
        "GET /v1/ws?room=r HTTP/1.1\r\nHost: ringway.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A masked frame with the given first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match payload.len() {
        n @ ..=125 => wire.push(0x80 | n as u8),
        n @ 126..=0xFFFF => {
            wire.push(0xFE);
            wire.extend((n as u16).to_be_bytes());
        }
        n => {
            wire.push(0xFF);
            wire.extend((n as u64).to_be_bytes());
        }
    }
    wire.extend(MASK);
    wire.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}
