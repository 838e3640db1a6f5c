//! Rooms of every policy whose every message is the room's own name, over and over, in two formats. Half of the members
//! read slowly; some miss something, and some are let go. No member ever sees a byte of another room, and no frame is
//! torn.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_edge::{Feed, Frame, Label, Limits, Lost, Outbound, Policy};
use support::{Client, Server, collect, frame, soon, until};
use tokio::task::JoinSet;

const ROOMS: usize = 100;
const MEMBERS: usize = 4;
const ROUNDS: usize = 60;

/// The longest message, and every shorter one is its beginning.
fn body(room: usize) -> Vec<u8> {
    let name = format!("room-{room};");
    let mut body = name.repeat(60_000 / name.len() + 1).into_bytes();
    body.truncate(60_000);
    body
}

/// What may become of a room's publications; none of those of every third.
fn policy_of(room: usize) -> Option<Policy> {
    [None, Some(Policy::DropOldest), Some(Policy::Conflate)][room % 3]
}

#[derive(Debug)]
struct RoomFeed(usize);

impl Feed for RoomFeed {
    fn gap(&self, lost: Lost) -> Frame {
        framed(lost.text, format!("gap in room-{};", self.0).as_bytes())
    }

    fn dropped(&self, _: u64) {}

    fn conflated(&self, _: u64) {}
}

fn framed(text: bool, payload: &[u8]) -> Frame {
    if text { Frame::text(payload) } else { Frame::binary(payload) }
}

/// What one member saw.
struct Seen {
    messages: usize,
    gaps: usize,
    /// Whether it was let go as too slow.
    let_go: bool,
}

/// Reads to the end.
async fn member(mut client: Client, room: usize, text: bool, slow: bool) -> Seen {
    let body = body(room);
    let (mut seen, mut gaps) = (0, 0);
    let own = if text { 0x81 } else { 0x82 };
    while let Some((first, payload)) = client.frame().await {
        match first {
            _ if first == own && payload == format!("gap in room-{room};").as_bytes() => gaps += 1,
            _ if first == own => {
                assert!(body.starts_with(&payload), "a foreign byte in room {room}");
                seen += 1;
            }
            0x8A => assert_eq!(payload, format!("ping of {room}").into_bytes()),
            0x88 => {
                let let_go = payload.starts_with(&1008_u16.to_be_bytes());
                return Seen { messages: seen, gaps, let_go };
            }
            other => panic!("a torn frame: {other:02x}"),
        }
        if slow {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if seen % 8 == 0 {
            // Also what the server reads and sends back is the room's own. A client that was let
            // go meanwhile can't write any more; it still reads what was sent.
            let ping = frame(0x89, format!("ping of {room}").as_bytes());
            let message = frame(0x82, &body[..5_000]);
            let wire = [ping, message].concat();
            let _ = client.stream.try_write(&wire[..]).map(|written| assert_eq!(written, wire.len()));
        }
    }
    Seen { messages: seen, gaps, let_go: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_member_sees_a_byte_of_another_room() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start_tight(Limits::default()).await;
    let mut rooms: Vec<Vec<Arc<Outbound>>> = Vec::new();
    let (mut clients, mut sessions) = (JoinSet::new(), JoinSet::new());
    for room in 0..ROOMS {
        let mut members = Vec::new();
        for number in 0..MEMBERS {
            let (client, out, reader) = server.connect().await;
            let (text, slow) = (number / 2 == 1, number % 2 == 1);
            clients.spawn(async move { (room, slow, member(client, room, text, slow).await) });
            sessions.spawn(async move {
                for message in collect(reader).await.0 {
                    assert!(body(room).starts_with(&message), "the server heard a foreign byte");
                }
            });
            members.push(out);
        }
        rooms.push(members);
    }
    let bodies: Vec<Vec<u8>> = (0..ROOMS).map(body).collect();
    let feeds: Vec<Arc<dyn Feed>> =
        (0..ROOMS).map(|room| Arc::new(RoomFeed(room)) as Arc<dyn Feed>).collect();
    let mut offset = 0;
    for _ in 0..ROUNDS {
        for (room, members) in rooms.iter().enumerate() {
            let publications: Vec<[Frame; 2]> = (0..random.random_range(1..4))
                .map(|_| {
                    offset += 1;
                    let body = &bodies[room][..random.random_range(1_000..60_000)];
                    let label = policy_of(room).map(|policy| {
                        let key = Some(format!("k{}", random.random_range(0..20)).parse().unwrap());
                        let feed = feeds[room].clone();
                        Arc::new(Label { feed, policy, offset: Some(offset), ts: offset, key })
                    });
                    [false, true].map(|text| match &label {
                        Some(label) => framed(text, body).labelled(label.clone()),
                        None => framed(text, body),
                    })
                })
                .collect();
            for (number, out) in members.iter().enumerate() {
                let batch: Vec<Frame> = publications.iter().map(|both| both[number / 2].clone()).collect();
                out.send_all(&batch);
            }
        }
        // The fast half keeps up; the slow half is left behind, and in the end let go.
        let fast: Vec<_> = rooms.iter().flat_map(|members| members.iter().step_by(2)).collect();
        until("the fast half", || fast.iter().all(|out| out.queued_bytes() < 500_000)).await;
    }
    for out in rooms.iter().flatten() {
        out.close(ringway_protocol::CloseCode::NORMAL, "");
    }
    let (mut messages, mut gaps, mut let_go) = (0, 0, 0);
    soon("all members", async {
        while let Some(ended) = clients.join_next().await {
            let (room, slow, seen) = ended.unwrap();
            messages += seen.messages;
            gaps += seen.gaps;
            let_go += usize::from(seen.let_go);
            assert!(!seen.let_go || slow, "slow members only");
            assert!(seen.gaps == 0 || (slow && policy_of(room).is_some()));
        }
        while let Some(ended) = sessions.join_next().await {
            ended.unwrap();
        }
    })
    .await;
    println!("{messages} messages checked, {gaps} gaps, {let_go} members let go");
    assert!(gaps > 0);
}
