//! A link: the same frames and queues as a client's, without masks, and larger.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use ringway_edge::{By, Ended, Frame, Limits, Message, Outbound, Reader, open_link};
use ringway_protocol::CloseCode;
use socket2::SockRef;
use support::{collect, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMITS: Limits = Limits { message: 1 << 20, queue: 16 << 20, frames: 1 << 18 };

type End = (Arc<Outbound>, Reader);

/// Two ends of a connection, whose kernel buffers are small.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (one, other) = (one.unwrap(), other.unwrap().0);
    for socket in [&one, &other] {
        socket.set_nodelay(true).unwrap();
        SockRef::from(socket).set_send_buffer_size(64 * 1024).unwrap();
        SockRef::from(socket).set_recv_buffer_size(64 * 1024).unwrap();
    }
    (one, other)
}

async fn link() -> (End, End) {
    let (one, other) = sockets().await;
    (open_link(one, &Bytes::new(), LIMITS), open_link(other, &Bytes::new(), LIMITS))
}

/// What the other end of a link sees of it, where that speaks bytes.
async fn bare() -> (TcpStream, End) {
    let (bare, other) = sockets().await;
    (bare, open_link(other, &Bytes::new(), LIMITS))
}

/// The first so many records.
async fn heard(mut reader: Reader, count: usize) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while records.len() < count {
        let mut on = |message: Message<'_>| {
            let Message::Binary(record) = message else { panic!("a text message") };
            records.push(record.to_vec());
        };
        reader.read(&mut on).await.unwrap();
    }
    // Whatever waits for the other end is still written.
    reader.until_queued_below(0).await.unwrap();
    records
}

async fn ended(reader: Reader) -> Ended {
    soon("the end", collect(reader)).await.1
}

#[tokio::test]
async fn a_million_tiny_records_come_in_order() {
    const RECORDS: u32 = 1_000_000;
    let ((out, reader), (_other, mut reading)) = link().await;
    let sending = tokio::spawn(async move {
        for number in 0..RECORDS {
            assert!(out.push(&Frame::record(&number.to_be_bytes())));
            if number % 1_000 == 999 {
                // Flushes, too.
                reader.until_queued_below(1 << 20).await.unwrap();
            }
        }
        reader.until_queued_below(0).await.unwrap();
        (out, reader)
    });
    let mut next = 0_u32;
    soon("a million records", async {
        while next < RECORDS {
            let mut on = |message: Message<'_>| {
                assert_eq!(message, Message::Binary(&next.to_be_bytes()));
                next += 1;
            };
            reading.read(&mut on).await.unwrap();
        }
    })
    .await;
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn both_ends_speak_at_once_and_what_came_with_the_upgrade_is_first() {
    let (one, other) = sockets().await;
    let early = Frame::record(b"early");
    let (a, at_a) = open_link(one, &Bytes::copy_from_slice(early.encoded()), LIMITS);
    let (b, at_b) = open_link(other, &Bytes::new(), LIMITS);
    let big = vec![7; LIMITS.message];
    assert!(a.send(&Frame::record(&big)) && b.send(&Frame::record(&big)));
    let heard = async { tokio::join!(heard(at_a, 2), heard(at_b, 1)) };
    let (at_a, at_b) = soon("what was said", heard).await;
    assert!(at_a == [b"early".to_vec(), big.clone()] && at_b == [big]);
}

#[tokio::test]
async fn half_a_frame_is_no_record() {
    let (mut bare, (_out, reader)) = bare().await;
    let whole = Frame::record(b"whole");
    bare.write_all(whole.encoded()).await.unwrap();
    bare.write_all(&whole.encoded()[..4]).await.unwrap();
    drop(bare);
    let (records, ended) = soon("the end", collect(reader)).await;
    assert_eq!((records, ended.by), (vec![b"whole".to_vec()], By::Lost));
}

#[tokio::test]
async fn what_breaks_the_rules_ends_it_with_a_word() {
    let too_long = [&[0x82, 127][..], &(LIMITS.message as u64 + 1).to_be_bytes()].concat();
    for (wire, code) in [
        (&[0x82, 0x81, 1, 2, 3, 4, 5][..], 1002),
        (&[0xC2, 1, 5], 1002),
        (&[0x83, 0], 1002),
        (&[0x02, 0, 0x82, 0], 1002),
        (&too_long, 1009),
        (b"\x81\x01\xFF", 1007),
    ] {
        let (mut bare, (_out, reader)) = bare().await;
        bare.write_all(wire).await.unwrap();
        let ended = tokio::spawn(ended(reader));
        let mut said = Vec::new();
        soon("a close frame", bare.read_to_end(&mut said)).await.unwrap();
        assert_eq!((said[0], &said[2..4]), (0x88, &u16::to_be_bytes(code)[..]), "{wire:02x?}");
        drop(bare);
        let ended = ended.await.unwrap();
        assert_eq!((ended.by, ended.code), (By::Us, Some(CloseCode(code))));
    }
}

#[tokio::test]
async fn one_that_takes_nothing_is_bounded_in_frames_and_in_bytes() {
    for len in [1, 1_000] {
        let ((out, reader), other) = link().await;
        let record = Frame::record(&vec![0; len]);
        let taken = (0..10_000_000).take_while(|_| out.send(&record)).count();
        let bound = LIMITS.frames.min(LIMITS.queue / record.len());
        // What the kernel has taken comes on top.
        assert!((bound..bound + 1_000_000).contains(&taken), "{taken} records of {len} bytes");
        drop(other);
        let ended = ended(reader).await;
        assert_eq!((ended.by, ended.code), (By::Slow, Some(CloseCode::POLICY)));
    }
}
