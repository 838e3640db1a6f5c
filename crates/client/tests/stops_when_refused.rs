//! A refusal that comes right behind the 101, while the client is about to send its joins, is heard all the same: a
//! client that was told to stop doesn't come back.
#![allow(clippy::unwrap_used)]

mod scripted;

use ringway_client::{Client, Event, JoinOptions, RequestError, State};
use ringway_protocol::Format;
use scripted::{Server, event, room, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Answers the next upgrade with a 101 and a close frame in one write.
async fn refuse(server: &Server, code: u16, reason: &str) {
    let mut tcp = server.tcp().await;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(soon("a request", tcp.read_u8()).await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let header = |line: &str| {
        Some(line.split_once(": ")?.1.to_owned())
            .filter(|_| line.to_lowercase().starts_with("sec-websocket-key:"))
    };
    let key = request.lines().find_map(header).unwrap();
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: ringway.v1.msgpack\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes();
    answer.extend([0x88, 2 + u8::try_from(reason.len()).unwrap()]);
    answer.extend(code.to_be_bytes());
    answer.extend(reason.as_bytes());
    tcp.write_all(&answer).await.unwrap();
}

#[tokio::test]
async fn whoever_is_told_to_stop_at_once_stops() {
    for (code, reason) in [
        (4401, "token_invalid"),
        (4401, "expired"),
        (4403, "bad_origin"),
        (4404, "unknown_tenant"),
        (4410, "kicked"),
        (1002, "unmasked"),
    ] {
        let server = Server::start(Format::Msgpack).await;
        let (client, mut events) = Client::start(server.options());
        let asking = tokio::spawn(async move { client.join(&room("a"), JoinOptions::default()).await });
        refuse(&server, code, reason).await;
        let told = event(&mut events, "the end", |event| match event {
            Event::State(State::Closed(closed)) => Some(Ok(closed.clone())),
            Event::State(State::Reconnecting { closed, .. }) => Some(Err(closed.clone())),
            _ => None,
        });
        let closed = told.await.unwrap_or_else(|closed| panic!("{code}: it comes back after {closed:?}"));
        assert_eq!((closed.code.0, closed.reason.as_str()), (code, reason));
        assert_eq!(soon("an answer", asking).await.unwrap(), Err(RequestError::Closed));
    }
}

#[tokio::test]
async fn whoever_is_told_to_come_back_hears_when() {
    let server = Server::start(Format::Msgpack).await;
    let (client, mut events) = Client::start(server.options());
    let asking = tokio::spawn(async move { client.join(&room("a"), JoinOptions::default()).await });
    refuse(&server, 1013, "unavailable retry=1").await;
    let again = event(&mut events, "word of when", |event| match event {
        Event::State(State::Reconnecting { after, closed }) => Some((closed.code.0, after.as_millis())),
        _ => None,
    });
    assert_eq!(again.await, (1013, 1));
    refuse(&server, 4404, "unknown_tenant").await;
    assert_eq!(soon("an answer", asking).await.unwrap(), Err(RequestError::Closed));
}
