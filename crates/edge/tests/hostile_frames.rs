//! What breaks the rules of RFC 6455, or strains them, over a real socket.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ringway_edge::{By, Ended, Limits, Outbound, STALL_LIMIT};
use support::{Client, Server, close, collect, frame, soon, text, until};
use tokio::task::JoinHandle;

struct Peer {
    client: Client,
    out: Arc<Outbound>,
    collected: JoinHandle<(Vec<Vec<u8>>, Ended)>,
}

impl Peer {
    async fn connect(server: &mut Server) -> Peer {
        let (client, out, reader) = server.connect().await;
        Peer { client, out, collected: tokio::spawn(collect(reader)) }
    }

    /// What the server had to say at the end, what it heard, and how it saw the end.
    async fn end(mut self) -> (Option<(u16, String)>, Vec<Vec<u8>>, Ended) {
        let said = self.client.close_frame().await;
        drop(self.client);
        let (heard, ended) = soon("the reader's end", self.collected).await.unwrap();
        assert!(self.out.is_closed());
        (said, heard, ended)
    }
}

/// Says `wire`, and returns the code that the server closed with and what it had heard.
async fn provoke(server: &mut Server, wire: &[u8]) -> (u16, Vec<Vec<u8>>) {
    let mut peer = Peer::connect(server).await;
    peer.client.say(wire).await;
    let (said, heard, _) = peer.end().await;
    (said.unwrap().0, heard)
}

#[tokio::test]
async fn broken_frames_get_their_close_code_and_what_came_before_counts() {
    let mut server = Server::start().await;
    let long = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes()].concat();
    for (name, wire, code) in [
        ("unmasked", vec![0x81, 0x01, b'x'], 1002),
        ("reserved bit", frame(0xC1, b"x"), 1002),
        ("reserved opcode", frame(0x83, b"x"), 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("long ping", frame(0x89, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        ("message inside a message", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("length 2^63", long(1 << 63), 1002),
        ("length 2^63 - 1", long((1 << 63) - 1), 1009),
        ("length 2^32", long(1 << 32), 1009),
        ("one byte over the limit", long(65_537), 1009),
        ("over the limit in fragments", [frame(0x02, &[0; 65_536]), frame(0x80, b"x")].concat(), 1009),
        ("text that isn't UTF-8", text("ok").into_iter().chain(frame(0x81, b"\xC3\x28")).collect(), 1007),
        ("code point broken by fragments", [frame(0x01, b"\xC3"), frame(0x80, b"\x28")].concat(), 1007),
        ("close of one byte", frame(0x88, b"\x03"), 1002),
        ("close reason", close(1000, b"\xFF"), 1007),
    ] {
        let (said, heard) = provoke(&mut server, &[text("before"), wire].concat()).await;
        assert_eq!(said, code, "{name}");
        assert_eq!(heard[0], b"before", "{name}");
        assert!(heard.len() <= 2, "{name}");
    }
}

#[tokio::test]
async fn close_codes_are_answered_alike_or_refused() {
    let mut server = Server::start().await;
    for code in [999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        assert_eq!(provoke(&mut server, &close(code, b"")).await.0, 1002, "{code}");
    }
    for code in [1000, 1001, 3000, 4999] {
        let mut peer = Peer::connect(&mut server).await;
        peer.client.say(&close(code, b"bye")).await;
        let (said, _, ended) = peer.end().await;
        assert_eq!(said, Some((code, String::new())));
        assert_eq!((ended.by, ended.code.map(|code| code.0)), (By::Peer, Some(code)));
    }
    let mut peer = Peer::connect(&mut server).await;
    peer.client.say(&frame(0x88, b"")).await;
    assert_eq!(peer.client.frame().await, Some((0x88, vec![])), "an empty close is answered empty");
    let (_, _, ended) = peer.end().await;
    assert_eq!((ended.by, ended.code), (By::Peer, None));
}

#[tokio::test]
async fn what_follows_a_close_is_not_heard() {
    let mut server = Server::start().await;
    let wire = [close(1000, b""), frame(0x89, b"ping"), text("leave"), text("pub")].concat();
    let mut peer = Peer::connect(&mut server).await;
    peer.client.say(&wire).await;
    assert_eq!(peer.client.frame().await.unwrap().0, 0x88, "and no pong before it");
    assert_eq!(peer.client.frame().await, None);
    let (_, heard, _) = peer.end().await;
    assert!(heard.is_empty());
}

#[tokio::test]
async fn unmasked_is_refused_but_a_mask_of_zeros_is_fine() {
    let mut server = Server::start().await;
    let zero = [&[0x81, 0x85, 0, 0, 0, 0][..], b"hello"].concat();
    let (_, heard) = provoke(&mut server, &[zero, close(1000, b"")].concat()).await;
    assert_eq!(heard, [b"hello"]);
}

/// Says `first` and then `more` a million times, or for as long as the server takes it; returns its answer, and how it
/// saw the end.
async fn flood(server: &mut Server, first: &[u8], more: &[u8]) -> (Vec<u8>, Ended) {
    let mut peer = Peer::connect(server).await;
    let (mut reading, mut writing) = peer.client.stream.split();
    let flood = async {
        use tokio::io::AsyncWriteExt;
        let many = more.repeat(1_000);
        let mut sent = 0;
        if writing.write_all(first).await.is_ok() {
            while sent < 1_000_000 && writing.write_all(&many).await.is_ok() {
                sent += 1_000;
            }
        }
    };
    let answer = async {
        use tokio::io::AsyncReadExt;
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
        answer
    };
    let ((), answer) = soon("the flood's end", async { tokio::join!(flood, answer) }).await;
    let (_, heard, ended) = peer.end().await;
    assert!(heard.is_empty());
    (answer, ended)
}

#[tokio::test]
async fn fragments_without_end_end_early() {
    let mut server = Server::start().await;
    for (name, first, more) in [
        ("of one byte", frame(0x01, b"x"), frame(0x00, b"x")),
        ("of no byte", frame(0x02, b""), frame(0x00, b"")),
        (
            "of no byte, with pings between them",
            frame(0x01, b""),
            [frame(0x00, b""), frame(0x8A, b"")].concat(),
        ),
    ] {
        let (answer, ended) = flood(&mut server, &first, &more).await;
        assert_eq!(answer[..4], [0x88, answer[1], 0x03, 0xF0], "{name}: 1008");
        assert_eq!(ended.code.map(|code| code.0), Some(1008), "{name}");
    }
}

#[tokio::test]
async fn empty_messages_and_pongs_are_heard_and_cost_nothing() {
    let mut server = Server::start().await;
    let wire =
        [frame(0x82, b"").repeat(1_000), frame(0x8A, &[0; 125]).repeat(1_000), close(1000, b"")].concat();
    let (said, heard) = provoke(&mut server, &wire).await;
    assert_eq!((said, heard.len()), (1000, 1_000));
}

#[tokio::test]
async fn pings_whose_answers_are_never_read_take_no_memory_and_end_with_a_send_timeout() {
    let mut server = Server::start_tight(Limits::default()).await;
    let mut peer = Peer::connect(&mut server).await;
    let pings = frame(0x89, &[b'p'; 125]).repeat(1_000);
    let mut most = 0;
    // All of it is read by the server, since nothing of it is kept.
    for _ in 0..200 {
        peer.client.say(&pings).await;
        most = most.max(peer.out.queued_bytes());
    }
    assert!(peer.out.is_behind());
    assert!(most <= 40 * 127, "{most} bytes of pongs");
    until("a send timeout", || peer.out.check_stalled(peer.out.stalled_since().unwrap() + STALL_LIMIT)).await;
    assert_eq!(peer.client.close_frame().await, Some((1008, "Send timeout".into())));
    drop(peer.client);
    assert_eq!(peer.collected.await.unwrap().1.by, By::Stalled);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_frame_is_the_end() {
    let mut server = Server::start().await;
    for begun in [&frame(0x82, &[0; 50_000])[..20_000], &frame(0x82, b"x")[..1], &frame(0x01, b"x")[..]] {
        let mut peer = Peer::connect(&mut server).await;
        peer.client.say(begun).await;
        peer.client.stream.set_zero_linger().unwrap();
        drop(peer.client);
        let (heard, ended) = soon("the reader's end", peer.collected).await.unwrap();
        assert!(heard.is_empty() && peer.out.is_closed());
        assert_eq!((ended.by, ended.code), (By::Lost, None));
    }
}

#[tokio::test]
async fn pings_between_fragments_are_answered_and_the_message_is_whole() {
    let mut server = Server::start_tight(Limits::default()).await;
    let mut peer = Peer::connect(&mut server).await;
    let ping = |n: u32| frame(0x89, &[n.to_be_bytes().to_vec(), vec![b'p'; 121]].concat());
    let mut wire = Vec::new();
    wire.extend(frame(0x01, b"one "));
    (0..5_000).for_each(|n| wire.extend(ping(n)));
    wire.extend(frame(0x00, b"two "));
    (5_000..10_000).for_each(|n| wire.extend(ping(n)));
    wire.extend(frame(0x80, b"three"));
    // Nothing is read before everything was written.
    peer.client.say(&wire).await;
    let mut last = None;
    while last != Some(9_999) {
        let (first, payload) = peer.client.frame().await.unwrap();
        assert_eq!((first, payload.len()), (0x8A, 125));
        let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
        last = Some(number.max(last.unwrap_or(0)));
    }
    peer.client.say(&close(1000, b"")).await;
    let (_, heard, _) = peer.end().await;
    assert_eq!(heard, [b"one two three"]);
}

#[tokio::test]
async fn a_few_pings_are_answered_each_and_in_order() {
    let mut server = Server::start().await;
    let mut peer = Peer::connect(&mut server).await;
    let wire: Vec<u8> = (0..10_u8).flat_map(|n| frame(0x89, &[n])).collect();
    peer.client.say(&wire).await;
    for n in 0..10 {
        assert_eq!(peer.client.frame().await, Some((0x8A, vec![n])));
    }
    for n in 0..10 {
        peer.client.say(&frame(0x89, &[n])).await;
        assert_eq!(peer.client.frame().await, Some((0x8A, vec![n])));
    }
}

#[tokio::test]
async fn pongs_nobody_asked_for_are_nothing() {
    let mut server = Server::start().await;
    let wire = [frame(0x8A, b""), frame(0x8A, b"hello"), text("x"), close(1000, b"")].concat();
    assert_eq!(provoke(&mut server, &wire).await, (1000, vec![b"x".to_vec()]));
}

#[tokio::test]
async fn text_may_be_cut_inside_a_code_point() {
    let mut server = Server::start().await;
    let crab = "🦀".as_bytes();
    let wire = [frame(0x01, &crab[..1]), frame(0x00, &crab[1..3]), frame(0x80, &crab[3..]), close(1000, b"")];
    assert_eq!(provoke(&mut server, &wire.concat()).await, (1000, vec![crab.to_vec()]));
}
