//! A room of very many and a room of four, behind one worker.

mod support;

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use ringway_edge::{Due, Frame};
use ringway_link::{Cast, Down, Exclude, OpenAs, RoomNo, codec};
use socket2::SockRef;
use support::client::{Client, masked};
use support::linked::{Link, LinkNode, Said, at, world};
use support::{FAR, World};

const MANY: usize = 2_000;
const AT_ONCE: usize = 100;
const BIG: RoomNo = RoomNo(0);
const SMALL: RoomNo = RoomNo(1);

/// Far more than a busy machine takes for all members.
const LONG: Duration = Duration::from_secs(60);

/// A client that is in its room, and what came on its socket since. It is read past the runtime, which does nothing meanwhile.
struct Member {
    client: Client,
    came: Vec<u8>,
}

impl Member {
    /// Whether that has come.
    fn has(&mut self, word: &str) -> bool {
        let socket = SockRef::from(&self.client.wire.stream);
        let mut some = [0; 1_024];
        loop {
            match (&*socket).read(&mut some) {
                Ok(0) => panic!("closed"),
                Ok(read) => self.came.extend_from_slice(&some[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.came.windows(word.len()).any(|some| some == word.as_bytes())
    }

    /// Waits for it, and lets nothing else happen meanwhile.
    fn must_have(&mut self, word: &str) {
        let deadline = Instant::now() + FAR;
        while !self.has(word) {
            assert!(Instant::now() < deadline, "it wasn't written");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// So many more are in that room, having heard so.
async fn enter(world: &World, link: &mut Link, number: RoomNo, room: &str, count: usize) -> Vec<Member> {
    let mut members = Vec::new();
    for _ in 0..count {
        let client = Client::ask(world, &format!("/v1/ws?room={room}")).await;
        members.push(Member { client, came: Vec::new() });
    }
    let mut begun = 0;
    while begun < count {
        match link.next().await {
            Said::Open { conn, .. } => link.say(&Down::Opened { conn }),
            Said::Begin(conn) => {
                begun += 1;
                link.send(conn, Some(at(number, 0)), r#"{"t":"joined"}"#);
                link.say(&Down::Enter { conn, room: number, at: Some(at(number, 0)), by_server: true });
            }
            other => panic!("{other:?}"),
        }
    }
    for member in &mut members {
        member.client.is_in().await;
        assert_eq!(member.client.hear_text().await, r#"{"t":"joined"}"#);
    }
    members
}

/// Publications that leave the node in one write.
fn cast_together(link: &Link, casts: &[(RoomNo, u64, &str)]) {
    for (room, offset, payload) in casts {
        let mut bytes = Vec::new();
        let frame = Frame::text(payload.as_bytes());
        let cast = Cast {
            room: *room,
            offset: Some(*offset),
            ts: 1_000 + offset,
            key: None,
            but: Exclude::Nobody,
            json: frame.encoded(),
            msgpack: &[],
        };
        codec::encode_down(&Down::Cast(cast), &mut bytes);
        link.out.push_for(&Frame::record(&bytes), Due::Now);
    }
    link.out.flush();
}

/// Records that the gateway has heard, and done what they say.
fn heard(world: &World) -> u64 {
    let metrics = world.metrics();
    let line = "ringway_link_records_total{direction=\"to_gateway\"} ";
    let count = metrics.lines().find_map(|text| text.strip_prefix(line));
    count.expect("it is counted").parse().expect("a number")
}

/// The gateway, its clients and this test take turns on one thread. What a turn of the gateway's has written is there when the
/// test looks, and nothing else is: how long anything takes decides nothing.
#[tokio::test]
async fn a_cast_to_two_thousand_keeps_no_room_of_four_waiting() {
    let mut world = world().await;
    let node = LinkNode::start().await;
    world.node("a", node.address());
    let first = Client::ask(&world, "/v1/ws?room=big").await;
    let mut link = node.link().await;
    let (conn, _) = link.take(OpenAs::Home).await;
    link.declare(BIG, &"big".parse().expect("a room"), "e1");
    link.declare(SMALL, &"small".parse().expect("a room"), "e1");
    // It was only there for the link.
    drop(first);
    while link.next().await != Said::Closed(conn) {}
    link.say(&Down::Ended { conn });
    let mut big = Vec::new();
    while big.len() < MANY {
        big.extend(enter(&world, &mut link, BIG, "big", AT_ONCE).await);
        // Whoever was pinged meanwhile is there still.
        for member in &mut big {
            member.client.wire.send(masked(0x8A, b"")).await;
        }
    }
    let mut small = enter(&world, &mut link, SMALL, "small", 4).await;

    for offset in 1..=3 {
        let (much, little) = (format!("much {offset}"), format!("little {offset}"));
        let before = heard(&world);
        cast_together(&link, &[(BIG, offset, &much), (SMALL, offset, &little)]);
        let deadline = Instant::now() + LONG;
        while heard(&world) < before + 2 {
            assert!(Instant::now() < deadline, "the gateway hears nothing");
            tokio::task::yield_now().await;
        }
        // What it hasn't written by now it doesn't write before all of these have been seen.
        small.iter_mut().for_each(|member| member.must_have(&little));
        let through = big.iter_mut().filter_map(|member| member.has(&much).then_some(())).count();
        println!("of {MANY}, {through} have theirs when the four have");
        assert!(through < MANY / 2, "the four waited for {through} of {MANY}");
        while !big.iter_mut().all(|member| member.has(&much)) {
            assert!(Instant::now() < deadline, "some get nothing");
            tokio::task::yield_now().await;
        }
    }
}
