//! What a node answers to those who want to open a link.
#![allow(clippy::unwrap_used)]

mod world;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringway_auth::{LinkKey, LinkTicket, TICKET_SECONDS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Here, SECRET, World, soon};

fn ticket(secret: &[u8], for_seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = now.saturating_add_signed(for_seconds);
    LinkKey::new(secret).seal(&LinkTicket { gateway: "gw-1".to_owned(), exp })
}

fn good() -> String {
    ticket(SECRET, TICKET_SECONDS as i64)
}

/// A request for a link with these headers besides those that each has.
fn request(headers: &str) -> String {
    format!(
        "GET /v1/link HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: ringway-link\r\n{headers}\r\n"
    )
}

/// The head of the node's answer.
async fn asked(node: &Here, request: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(node.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    soon("an answer", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
    })
    .await;
    (socket, String::from_utf8(head).unwrap().to_lowercase())
}

#[tokio::test]
async fn a_gateway_with_a_ticket_gets_its_link() {
    let world = World::start("").await;
    let headers = format!("Ringway-Hop: 1; relay\r\nRingway-Ticket: {}\r\n", good());
    let (_socket, head) = asked(world.node(), &request(&headers)).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for header in ["connection: upgrade\r\n", "upgrade: ringway-link\r\n", "ringway-hop: 1; relay\r\n"] {
        assert!(head.contains(header), "{header} {head}");
    }
}

#[tokio::test]
async fn another_version_is_told_what_is_spoken() {
    let world = World::start("").await;
    let ticket = good();
    let relay = format!("Ringway-Hop: 1; relay\r\nRingway-Ticket: {ticket}\r\n");
    for wrong in [
        request(&format!("Ringway-Hop: 2; relay\r\nRingway-Ticket: {ticket}\r\n")),
        request(&format!("Ringway-Hop: 1; tunnel\r\nRingway-Ticket: {ticket}\r\n")),
        request(&format!("Ringway-Ticket: {ticket}\r\n")),
        request(&format!("Ringway-Hop: 1; relay\r\n{relay}")),
        request(&relay).replace("Upgrade: ringway-link", "Upgrade: websocket"),
        request(&relay).replace("Connection: Upgrade", "Connection: keep-alive"),
    ] {
        let (_socket, head) = asked(world.node(), &wrong).await;
        assert!(head.starts_with("http/1.1 426 "), "{wrong} {head}");
        for header in
            ["upgrade: ringway-link\r\n", "ringway-hop: 1; relay\r\n", "connection: close, upgrade\r\n"]
        {
            assert!(head.contains(header), "{header} {head}");
        }
    }
    let (_socket, head) = asked(world.node(), &request(&relay).replacen("GET", "POST", 1)).await;
    assert!(head.starts_with("http/1.1 405 "), "{head}");
}

#[tokio::test]
async fn a_ticket_that_isnt_one_opens_nothing() {
    let world = World::start("").await;
    let clients = {
        let ticket = world::ticket(None);
        ringway_auth::TicketKey::new(SECRET).seal(&ticket)
    };
    let refused = world.node().metric("ringway_tickets_refused_total");
    let tickets = [
        String::new(),
        "a.b.c".to_owned(),
        ticket(b"another secret, as long as ours is", 30),
        ticket(SECRET, 0),
        clients,
    ];
    for ticket in &tickets {
        let headers = format!("Ringway-Hop: 1; relay\r\nRingway-Ticket: {ticket}\r\n");
        let (mut socket, head) = asked(world.node(), &request(&headers)).await;
        assert!(head.starts_with("http/1.1 401 "), "{ticket} {head}");
        // And nothing more is read from there.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut rest)).await.unwrap();
    }
    let now = world.node().metric("ringway_tickets_refused_total");
    assert_eq!(now - refused, tickets.len() as i64);
}

#[tokio::test]
async fn a_links_ticket_lets_no_client_in() {
    let world = World::start("").await;
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nRingway-Hop: 1; tunnel\r\nRingway-Ticket: {}\r\n\r\n",
        good()
    );
    let (_socket, head) = asked(world.node(), &request).await;
    assert!(head.starts_with("http/1.1 401 "), "{head}");
}
