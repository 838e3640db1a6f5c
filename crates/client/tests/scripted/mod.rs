//! A server that says what a test tells it to, over real sockets.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::result_large_err)]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use ringway_client::{ClientOptions, ConnectOptions, Event, Events};
use ringway_protocol::frame::{
    Answer, Goaway, Hello, Join, JoinResult, Limits, Msg, OkResult, Position, Pub, PubResult,
};
use ringway_protocol::{ClientFrame, Format, Payload, RoomName, ServerFrame, decode_client, encode_server};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Longer than anything here takes; a test that waits so long has failed.
const WITHIN: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WITHIN, future).await.unwrap_or_else(|_| panic!("{what}: not within {WITHIN:?}"))
}

pub struct Server {
    listener: TcpListener,
    format: Format,
}

/// The server's end of one connection.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    format: Format,
    /// Path and query of the upgrade.
    pub uri: String,
    headers: Vec<(String, String)>,
}

impl Server {
    pub async fn start(format: Format) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), format }
    }

    pub fn options(&self) -> ClientOptions {
        let port = self.listener.local_addr().unwrap().port();
        let connect = ConnectOptions::to(&format!("http://127.0.0.1:{port}")).unwrap();
        ClientOptions::new(ConnectOptions { format: Some(self.format), ..connect })
    }

    /// The next TCP connection, as it is.
    pub async fn tcp(&self) -> TcpStream {
        soon("a connection", self.listener.accept()).await.unwrap().0
    }

    /// The next connection, upgraded.
    pub async fn accept(&self) -> Peer {
        let tcp = self.tcp().await;
        let (mut uri, mut headers) = (String::new(), Vec::new());
        let format = self.format;
        let socket = accept_hdr_async(tcp, |request: &Request, mut response: Response| {
            uri = request.uri().to_string();
            headers = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            response.headers_mut().insert("sec-websocket-protocol", format.subprotocol().parse().unwrap());
            Ok(response)
        });
        let socket = soon("an upgrade", socket).await.unwrap();
        Peer { socket, format, uri, headers }
    }
}

impl Peer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub async fn say(&mut self, frame: ServerFrame) {
        let mut bytes = Vec::new();
        encode_server(self.format, &frame, &mut bytes);
        let message = match self.format {
            Format::Json => Message::text(String::from_utf8(bytes).unwrap()),
            Format::Msgpack => Message::binary(bytes),
        };
        soon("a write", self.socket.send(message)).await.unwrap();
    }

    pub async fn hello(&mut self, session: &str) {
        self.say(ServerFrame::Hello(Hello {
            room: None,
            conn: "c".parse().unwrap(),
            session: session.into(),
            ping: 25,
            expires: None,
            limits: Limits { frame: Some(65_536), rooms: None, publish_per_second: None },
            user: None,
            server: None,
            node: None,
            trace: None,
        }))
        .await;
    }

    /// The next frame; nothing, where the client has closed with this code.
    pub async fn next(&mut self) -> Result<ClientFrame, u16> {
        loop {
            match soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    return Ok(decode_client(self.format, &message.into_data()).unwrap());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    pub async fn join(&mut self) -> Join {
        match self.next().await {
            Ok(ClientFrame::Join(join)) => join,
            other => panic!("a join was due, not {other:?}"),
        }
    }

    pub async fn publication(&mut self) -> Pub {
        match self.next().await {
            Ok(ClientFrame::Pub(publication)) => publication,
            other => panic!("a publication was due, not {other:?}"),
        }
    }

    pub async fn answer(&mut self, id: Option<u64>, result: OkResult) {
        self.say(ServerFrame::Ok(Answer { id, room: None, data: None, result: Some(result) })).await;
    }

    pub async fn joined(&mut self, join: &Join, offset: u64, newest: u64) {
        let result = JoinResult {
            epoch: Some("e".parse().unwrap()),
            offset: Some(offset),
            ts: Some(offset),
            newest: Some(newest),
            resumed: join.since.as_ref().map(|_| true),
            ..JoinResult::default()
        };
        self.answer(join.id, OkResult::Join(result)).await;
    }

    pub async fn published(&mut self, publication: &Pub, offset: u64) {
        let result =
            PubResult { offset: Some(offset), epoch: Some("e".parse().unwrap()), ..PubResult::default() };
        self.answer(publication.id, OkResult::Pub(result)).await;
    }

    pub async fn msg(&mut self, room: &str, offset: u64) {
        self.say(ServerFrame::Msg(Msg {
            id: None,
            room: Some(room.parse().unwrap()),
            data: text(&format!("m{offset}")),
            offset: Some(offset),
            ts: Some(offset),
            user: None,
            event: None,
            key: None,
            mid: None,
            prev: None,
            trace: None,
        }))
        .await;
    }

    pub async fn goaway(&mut self, after: u64) {
        self.say(ServerFrame::Goaway(Goaway { after, reason: None })).await;
    }

    /// Closes; the client may still say goodbye.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        soon("a close", self.socket.close(Some(frame))).await.unwrap();
    }
}

pub fn room(name: &str) -> RoomName {
    name.parse().unwrap()
}

pub fn text(word: &str) -> Payload {
    Payload::from_json(format!("{word:?}").as_bytes()).unwrap()
}

pub fn position(offset: u64) -> Option<Position> {
    Some(Position { epoch: "e".parse().unwrap(), offset, ts: Some(offset) })
}

/// The next event that is one of these.
pub async fn event<T>(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
    soon(what, async {
        loop {
            let event = events.next().await.unwrap_or_else(|| panic!("{what}: the client has ended"));
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    })
    .await
}

/// The offsets of the next so many messages.
pub async fn offsets(events: &mut Events, count: usize) -> Vec<u64> {
    let mut heard = Vec::new();
    while heard.len() < count {
        heard.push(
            event(events, "a message", |event| match event {
                Event::Msg(msg) => msg.offset,
                _ => None,
            })
            .await,
        );
    }
    heard
}
