//! Links whose other end is broken, slow or ill-willed: what it costs the node, and that it costs nobody else anything.

use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_auth::Ticket;
use ringway_edge::Frame;
use ringway_link::codec::encode_up;
use ringway_link::{ConnNo, Open, OpenAs, Rejoin, Up};
use ringway_protocol::frame::Position;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::{Gateway, Said, relayed, seal, upgraded};
use crate::world::{World, soon, until};

/// The other end of a link as bytes.
struct Bare(TcpStream);

impl Bare {
    async fn link(to: SocketAddr) -> Bare {
        let socket = TcpSocket::new_v4().unwrap();
        // So that what isn't read waits at the node.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        upgraded(&mut stream).await;
        Bare(stream)
    }

    async fn say(&mut self, record: &Up<'_>) {
        self.0.write_all(framed(record).encoded()).await.unwrap();
    }

    async fn client(&mut self, conn: u32, ticket: &Ticket) {
        let (conn, ticket) = (ConnNo(conn), &*seal(ticket));
        self.say(&Up::Open(Open {
            conn,
            role: OpenAs::Home,
            ticket,
            traceparent: None,
            age: 0,
            told_to_go: false,
        }))
        .await;
        self.say(&Up::Begin { conn }).await;
    }
}

fn framed(record: &Up<'_>) -> Frame {
    let mut bytes = Vec::new();
    encode_up(record, &mut bytes);
    Frame::record(&bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_record_is_none_and_its_link_takes_its_connections_with_it() {
    let world = World::start("").await;
    let node = world.node();
    let mut bare = Bare::link(node.address()).await;
    bare.client(1, &relayed(None)).await;
    until("it is there", || node.metric("ringway_connections") == 1).await;
    let frame =
        framed(&Up::Frame { conn: ConnNo(1), text: true, message: br#"{"t":"join","room":"r","id":1}"# });
    bare.0.write_all(&frame.encoded()[..frame.len() / 2]).await.unwrap();
    drop(bare);
    node.until_nobody_is_here().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_tiny_records_are_answered_in_order() {
    const TURNS: u64 = 100;
    const EACH: u64 = 1_000;
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let mut expected = 0;
    for turn in 0..TURNS {
        for number in 0..EACH {
            gateway.say(&Up::Ping { number: turn * EACH + number });
        }
        while expected < (turn + 1) * EACH {
            assert_eq!(gateway.next().await, Said::Pong(expected));
            expected += 1;
        }
    }
    gateway.client(1, &relayed(None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_reads_nothing_is_cut_and_holds_nobody_up() {
    let world = World::start("").await;
    let node = world.node();
    let mut stalled = Bare::link(node.address()).await;
    stalled.client(1, &relayed(None)).await;
    let join = br#"{"t":"join","room":"r","id":1}"#;
    stalled.say(&Up::Frame { conn: ConnNo(1), text: true, message: join }).await;
    until("it has joined", || node.metric("ringway_members") == 1).await;
    let mut healthy = Gateway::link(node).await;
    healthy.client(1, &relayed(None)).await;
    healthy.join(1, "r").await;
    healthy.until(|said| matches!(said, Said::Enter { .. })).await;
    let data = "x".repeat(60_000);
    let mut published = 0;
    let mut casts = 0;
    // Its link's queue, and what the kernel takes, are full long before.
    while node.metric("ringway_connections") > 1 {
        published += 1;
        assert!(published < 2_000, "its link is still there");
        healthy.frame(1, &format!(r#"{{"t":"pub","room":"r","id":{published},"data":"{data}"}}"#));
        let (mut answered, mut cast) = (false, false);
        while !(answered && cast) {
            match healthy.next().await {
                Said::Cast { .. } => cast = true,
                Said::Send { frame, .. } => {
                    assert_eq!((&frame["t"], &frame["id"]), (&"ok".into(), &published.into()));
                    answered = true;
                }
                other => panic!("{other:?}"),
            }
        }
        casts += 1;
    }
    assert_eq!(casts, published);
    // With a word, if it ever reads again: a close frame behind what the kernel had taken.
    let mut rest = Vec::new();
    let _ = soon("the end", stalled.0.read_to_end(&mut rest)).await;
    assert_eq!(healthy.ask(1, r#"{"t":"ping","id":0}"#).await["t"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_silent_is_given_up() {
    let world = World::start("").await;
    let node = world.node();
    let mut gateway = Gateway::link(node).await;
    gateway.client(1, &relayed(None)).await;
    // No ping from here on.
    gateway.end().await;
    node.until_nobody_is_here().await;
}

/// Whatever a gateway may say, in any order: the node goes on, and when the link has ended nobody is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_said_the_node_goes_on_and_nobody_stays() {
    let world = World::start("").await;
    let node = world.node();
    let first: u64 = rand::random();
    for seed in (0..60).map(|more| first.wrapping_add(more)) {
        println!("seed {seed}");
        let mut chance = StdRng::seed_from_u64(seed);
        let gateway = Gateway::link(node).await;
        // As a gateway would have it, mostly: else the link would end at the first word.
        let mut open: Vec<(u32, bool, Ticket)> = Vec::new();
        for _ in 0..chance.random_range(10..150) {
            say_something(&gateway, &mut chance, &mut open);
        }
        if chance.random_bool(0.5) {
            // Where the node was told nothing wrong.
            gateway.cut();
        } else {
            for (conn, ..) in open {
                gateway.closed(conn);
            }
            gateway.say_bytes(b"the end");
            gateway.end().await;
        }
        node.until_nobody_is_here().await;
    }
    let mut gateway = Gateway::link(node).await;
    gateway.client(1, &relayed(None)).await;
    assert_eq!(gateway.join(1, "r").await["t"], "ok");
}

/// Says one thing. `open`: the numbers in use, whether they have begun, and as whom.
fn say_something(gateway: &Gateway, chance: &mut StdRng, open: &mut Vec<(u32, bool, Ticket)>) {
    let room = ["a", "b", "{c}.d"][chance.random_range(0..3)];
    let wrong = chance.random_bool(0.002);
    let of = if open.is_empty() { None } else { Some(chance.random_range(0..open.len())) };
    let (Some(index), false) = (of, open.len() < 4 && chance.random_bool(0.2)) else {
        let number = open.iter().map(|(number, ..)| number + 1).max().unwrap_or(0);
        let ticket = relayed([None, Some("ann")][chance.random_range(0..2)]);
        let role = [OpenAs::Home, OpenAs::HomeAgain, OpenAs::Further][chance.random_range(0..3)];
        gateway.open(number, role, &ticket);
        open.push((number, role != OpenAs::Home, ticket));
        return;
    };
    let (number, begun, ticket) = &mut open[index];
    let conn = ConnNo(*number + u32::from(wrong) * 1_000);
    if !*begun {
        gateway.begin(*number);
        *begun = true;
        return;
    }
    match chance.random_range(0..20) {
        0..=9 => {
            let id = chance.random_range(0..100);
            let frame = match chance.random_range(0..9) {
                0 | 1 => format!(r#"{{"t":"join","room":"{room}","id":{id}}}"#),
                2 => format!(r#"{{"t":"leave","room":"{room}","id":{id}}}"#),
                3 | 4 => format!(r#"{{"t":"pub","room":"{room}","id":{id},"data":1}}"#),
                5 => format!(r#"{{"t":"history","room":"{room}","id":{id}}}"#),
                6 => format!(r#"{{"t":"members","room":"{room}","id":{id}}}"#),
                7 => {
                    format!(r#"{{"t":"join","room":"{room}","id":{id},"since":{{"epoch":"e","offset":3}}}}"#)
                }
                _ => {
                    ["{", r#"{"t":"?","id":1}"#, r#"{"t":"ping"}"#, ""][chance.random_range(0..4)].to_owned()
                }
            };
            let text = !chance.random_bool(0.02);
            gateway.say(&Up::Frame { conn, text, message: frame.as_bytes() });
        }
        10..=12 => {
            let epoch = "e".parse().unwrap();
            let since =
                chance.random_bool(0.5).then(|| Position { epoch, offset: chance.random(), ts: None });
            let by_server = chance.random_bool(0.5);
            gateway.say(&Up::Rejoin(Rejoin { conn, room: room.parse().unwrap(), by_server, since }));
        }
        13 | 14 => gateway.say(&Up::Move { conn, room: room.parse().unwrap() }),
        15 => gateway.say(&Up::Credit { conn, bytes: chance.random() }),
        16 => gateway.say(&Up::Renew { conn, ticket: &seal(ticket) }),
        17 => {
            let role = [OpenAs::HomeAgain, OpenAs::Further][chance.random_range(0..2)];
            gateway.open(conn.0, role, ticket);
        }
        18 => {
            gateway.closed(conn.0);
            open.swap_remove(index);
        }
        _ if chance.random_bool(0.02) => {
            let bytes: Vec<u8> = (0..chance.random_range(0..40)).map(|_| chance.random()).collect();
            gateway.say_bytes(&bytes);
        }
        _ => gateway.say(&Up::Ping { number: chance.random() }),
    }
}
