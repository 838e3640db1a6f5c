//! Rooms whose every message is the room's own name, over and over. Half of the members read
//! slowly, and some are let go. No member ever sees a byte of another room, and no frame is torn.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_edge::{Frame, Limits, Outbound};
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

/// Reads to the end; returns how many messages came, and whether it was let go as too slow.
async fn member(mut client: Client, room: usize, slow: bool) -> (usize, bool) {
    let body = body(room);
    let mut seen = 0;
    while let Some((first, payload)) = client.frame().await {
        match first {
            0x82 => {
                assert!(body.starts_with(&payload), "a foreign byte in room {room}");
                seen += 1;
            }
            0x8A => assert_eq!(payload, format!("ping of {room}").into_bytes()),
            0x88 => return (seen, payload.starts_with(&1008_u16.to_be_bytes())),
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
    (seen, true)
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
            clients.spawn(member(client, room, number % 2 == 1));
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
    for _ in 0..ROUNDS {
        for (members, body) in rooms.iter().zip(&bodies) {
            let batch: Vec<Frame> = (0..random.random_range(1..4))
                .map(|_| Frame::binary(&body[..random.random_range(1_000..60_000)]))
                .collect();
            for out in members {
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
    let (mut messages, mut let_go) = (0, 0);
    soon("all members", async {
        while let Some(ended) = clients.join_next().await {
            let (seen, slow) = ended.unwrap();
            messages += seen;
            let_go += usize::from(slow);
        }
        while let Some(ended) = sessions.join_next().await {
            ended.unwrap();
        }
    })
    .await;
    println!("{messages} messages checked, {let_go} members let go");
    assert!(let_go <= ROOMS * MEMBERS / 2, "slow members only");
}
