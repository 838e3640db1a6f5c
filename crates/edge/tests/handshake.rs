//! Upgrades and what isn't one, over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use ringway_edge::serve::Settings;
use ringway_edge::{By, Limits};
use support::{Client, Server, close, collect, soon, text, upgrade_request};

/// What the server answers to `request`, all of it: it closes the connection.
async fn answer(server: &Server, request: &[u8]) -> String {
    let mut client = Client::plain(server.address).await;
    client.say(request).await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}

fn request_line(line: &str) -> Vec<u8> {
    String::from_utf8(upgrade_request("")).unwrap().replace("GET /v1/ws?room=r HTTP/1.1", line).into_bytes()
}

#[tokio::test]
async fn frames_in_the_same_segment_as_the_upgrade_are_not_lost() {
    let mut server = Server::start().await;
    let wire = [upgrade_request(""), text("first"), text("second"), close(1000, b"")].concat();
    let mut client = Client::connect_saying(server.address, &wire).await;
    let (_, reader) = server.accept().await;
    let (messages, ended) = collect(reader).await;
    assert_eq!(messages, [b"first".to_vec(), b"second".to_vec()]);
    assert_eq!((ended.by, ended.code.map(|code| code.0)), (By::Peer, Some(1000)));
    assert_eq!(client.close_frame().await, Some((1000, String::new())));
}

#[tokio::test]
async fn a_first_frame_that_is_cut_by_the_upgrade_is_put_together() {
    let mut server = Server::start().await;
    let frame = text("cut");
    for cut in 0..frame.len() {
        let wire = [upgrade_request(""), frame[..cut].to_vec()].concat();
        let mut client = Client::connect_saying(server.address, &wire).await;
        let (_, reader) = server.accept().await;
        client.say(&[&frame[cut..], &close(1000, b"")].concat()).await;
        client.hang_up().await;
        assert_eq!(collect(reader).await.0, [b"cut".to_vec()]);
    }
}

#[tokio::test]
async fn an_upgrade_may_come_byte_by_byte() {
    let mut server = Server::start().await;
    let mut client = Client::plain(server.address).await;
    for byte in upgrade_request("Sec-WebSocket-Protocol: bearer.x, ringway.v1.json\r\n") {
        client.say(&[byte]).await;
    }
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-protocol: ringway.v1.json\r\n"), "{head}");
    assert!(!head.contains("bearer"), "{head}");
    server.accept().await;
}

#[tokio::test]
async fn no_extension_is_ever_agreed_on() {
    let mut server = Server::start().await;
    let mut client = Client::plain(server.address).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    client.say(&upgrade_request(offer)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.to_lowercase().contains("extensions"), "{head}");
    let (_, reader) = server.accept().await;
    client.say(&support::frame(0xC1, b"compressed")).await;
    let (messages, _) = collect(reader).await;
    assert!(messages.is_empty());
    assert_eq!(client.close_frame().await.unwrap().0, 1002);
}

#[tokio::test]
async fn what_is_no_upgrade_gets_a_status_and_a_closed_connection() {
    let mut server = Server::start().await;
    let body = |more: &str| [upgrade_request(more), b"hello".to_vec()].concat();
    for (request, status) in [
        (request_line("POST /v1/ws HTTP/1.1"), "405"),
        (request_line("GET /v1/ws HTTP/1.0"), "505"),
        (request_line("GET /v1/ws HTTP/2.0"), "400"),
        (request_line("GET http://ringway.example/v1/ws HTTP/1.1"), "400"),
        (request_line("nonsense"), "400"),
        (body("Content-Length: 5\r\n"), "400"),
        (body("Transfer-Encoding: chunked\r\n"), "400"),
        (body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "400"),
        (body("Content-Length: 5\r\nExpect: 100-continue\r\n"), "400"),
        (upgrade_request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "400"),
        (upgrade_request("Sec-WebSocket-Protocol: chat\r\n"), "400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "426"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03".to_vec(), "400"),
    ] {
        let answer = answer(&server, &request).await;
        let shown = request.escape_ascii();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} "))
                || answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{shown}\n{answer}"
        );
        assert!(!answer.contains("HTTP/1.1 100"), "{shown}");
    }
    assert!(server.nobody_came());
}

#[tokio::test]
async fn heads_that_are_too_large_get_431() {
    let mut server = Server::start().await;
    let many: String = (0..2_000).map(|n| format!("x-{n:04}: a\r\n")).collect();
    let long = format!("X: {}\r\n", "a".repeat(70_000));
    for more in [many, long] {
        let asked = Instant::now();
        let answer = answer(&server, &upgrade_request(&more)).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(asked.elapsed() < Duration::from_secs(1), "closed within a second");
    }
    let room = format!("Authorization: Bearer {}\r\n", "a".repeat(16_000));
    Client::connect_saying(server.address, &upgrade_request(&room)).await;
    server.accept().await;
}

#[tokio::test]
async fn header_values_outside_ascii_do_no_harm() {
    let mut server = Server::start().await;
    for agent in [&b"Zo\xC3\xAB"[..], b"Zo\xEB"] {
        let more = [b"User-Agent: ", agent, b"\r\nOrigin: http://b\xC3\xBCcher.example\r\n\r\n"].concat();
        let mut request = upgrade_request("");
        request.truncate(request.len() - 2);
        Client::connect_saying(server.address, &[request, more].concat()).await;
        server.accept().await;
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let settings = Settings { head_time: Duration::from_millis(200), ..Settings::default() };
    let mut server = Server::start_with(settings, Limits::default(), None).await;
    let mut silent = Client::plain(server.address).await;
    let mut slow = Client::plain(server.address).await;
    slow.say(b"GET /v1/ws HTTP/1.1\r\nHost: ").await;
    soon("the silent one's end", silent.rest()).await;
    soon("the slow one's end", slow.rest()).await;
    assert!(server.nobody_came());
}

#[tokio::test]
async fn a_connection_serves_further_requests_and_then_an_upgrade() {
    let mut server = Server::start().await;
    let mut client = Client::plain(server.address).await;
    client.say(&[upgrade_request(""), text("hello")].concat()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    let (out, mut reader) = server.accept().await;
    let mut heard = Vec::new();
    reader.read(&mut |message| heard.push(format!("{message:?}"))).await.unwrap();
    assert_eq!(heard.len(), 1);
    assert!(!out.is_closed());
}

#[tokio::test]
async fn the_end_is_graceful() {
    let mut server = Server::start().await;
    let (mut client, out, reader) = server.connect().await;
    let idle = Client::plain(server.address).await;
    // A head that never ends holds nobody up.
    let mut half = Client::plain(server.address).await;
    half.say(&upgrade_request("")[..40]).await;
    server.stop.cancel();
    soon("the listener's end", &mut server.served).await.unwrap();
    // The idle connection is let go; the upgraded one is the caller's.
    server.tasks.close();
    soon("the tasks' end", server.tasks.wait()).await;
    drop((idle, half));
    assert!(!out.is_closed());
    out.close(ringway_protocol::CloseCode::RESTART, "restart");
    let ended = tokio::spawn(collect(reader));
    assert_eq!(client.close_frame().await, Some((1012, "restart".into())));
    drop(client);
    assert_eq!(ended.await.unwrap().1.by, By::Us);
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody listens");
}
