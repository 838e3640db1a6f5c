//! Nodes that say whatever comes to mind: the gateway goes on, and so does everybody who isn't spoken of.
#![allow(clippy::print_stdout, reason = "the seed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_auth::Ticket;
use ringway_config::ClientPath;
use ringway_edge::Frame;
use ringway_link::{At, Cast, ConnNo, Down, Exclude, Exit, OpenAs, Policy, Rejoin, RoomDeclared, RoomNo};
use ringway_protocol::Code;
use support::client::{Client, masked};
use support::http::{Wire, upgrade};
use support::linked::{Link, LinkNode, ROOM, Said, Seated, at};
use support::{FAR, OPEN, World, soon, tenant_id, ticket_key, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Links that a node plays its game on.
const LINKS: u64 = 8;

#[tokio::test]
async fn very_many_tiny_records_hold_nothing_up() {
    let (mut seated, link) = Seated::new().await;
    for number in 0..200_000_u64 {
        // Answers to no question.
        link.say(&Down::Pong { number: u64::MAX - number });
        if number % 1_000 == 0 {
            // Or the test would not let the gateway read.
            until("it was taken", || link.out.queued_bytes() < 1 << 20).await;
        }
    }
    seated.hears(&link, 6).await;
    link.cast(ROOM, 7, "{}");
    assert_eq!(seated.client.hear_text().await, "{}");
    assert_eq!(seated.cuts("broken"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_node_says_the_gateway_goes_on() {
    assert!(broken_links(0.02).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_node_may_say_breaks_its_link() {
    assert_eq!(broken_links(0.0).await, 0);
}

/// Has a node say whatever comes to mind on [`LINKS`] links, and so much of it `wrong`. How many of them the gateway ended
/// for that.
async fn broken_links(wrong: f64) -> u64 {
    let mut world = World::with(OPEN, |settings, _| settings.path = ClientPath::Relay).await;
    let node = LinkNode::start().await;
    world.node("a", node.address());
    let seed = rand::random();
    println!("seed {seed}");
    let (played, honest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let playing = tokio::spawn(play(node, seed, wrong, Arc::clone(&played), Arc::clone(&honest)));
    let clients: Vec<_> = (0..6)
        .map(|number| tokio::spawn(come_again(world.address(), seed.wrapping_add(number), honest.clone())))
        .collect();
    tokio::time::timeout(6 * FAR, async {
        while played.load(Ordering::SeqCst) < LINKS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the node is asked again and again");
    honest.store(true, Ordering::SeqCst);
    for client in clients {
        soon("a client's end", client).await.expect("no panic");
    }
    // Perhaps it is passed over for a moment still.
    let mut client = soon("a place", async {
        loop {
            let mut client = Client::ask(&world, "/v1/ws?room=r0").await;
            if client.wire.answer().await.status == 101 {
                return client;
            }
        }
    })
    .await;
    assert_eq!(client.hear_text().await, r#"{"t":"hello"}"#);
    let metrics = world.metrics();
    soon("the gateway's end", world.gateway.shutdown()).await;
    playing.abort();
    let broken =
        metrics.lines().find_map(|line| line.strip_prefix(r#"ringway_link_cuts_total{reason="broken"} "#));
    broken.map_or(0, |count| count.parse().expect("a number"))
}

/// A client that says something now and then, and comes again when it was sent away.
async fn come_again(gateway: std::net::SocketAddr, seed: u64, enough: Arc<AtomicBool>) {
    let mut chance = StdRng::seed_from_u64(seed);
    while !enough.load(Ordering::SeqCst) {
        let mut wire = Wire::open(gateway).await;
        let room = format!("/v1/ws?room=r{}", chance.random_range(0..3));
        wire.send(upgrade(&room, &["Sec-WebSocket-Protocol: ringway.v1.json"])).await;
        for id in 0..chance.random_range(1..40) {
            let room = format!("r{}", chance.random_range(0..3));
            let frame = match chance.random_range(0..5) {
                0 | 1 => format!(r#"{{"t":"join","room":"{room}","id":{id}}}"#),
                2 => format!(r#"{{"t":"leave","room":"{room}","id":{id}}}"#),
                3 => format!(r#"{{"t":"pub","room":"{room}","id":{id},"data":1}}"#),
                _ => r#"{"t":"ping"}"#.to_owned(),
            };
            if wire.stream.write_all(&masked(0x81, frame.as_bytes())).await.is_err() {
                break;
            }
            let mut heard = [0; 4_096];
            let reading = wire.stream.read(&mut heard);
            if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_millis(20), reading).await {
                break;
            }
        }
    }
}

/// What a node that plays knows of one link, so that not every other word is the last.
#[derive(Default)]
struct Game {
    known: Vec<(ConnNo, Box<Ticket>)>,
    /// Whether the room of that number was declared, and with an epoch.
    declared: [Option<bool>; 3],
    /// Who may enter what, and whether that is the server's doing.
    asked: Vec<(ConnNo, u32, bool)>,
    entered: Vec<(ConnNo, u32)>,
}

impl Game {
    fn left(&mut self, conn: ConnNo, room: Option<u32>) {
        let stays = |other, at| other != conn || room.is_some_and(|room| room != at);
        self.asked.retain(|(other, at, _)| stays(*other, *at));
        self.entered.retain(|(other, at)| stays(*other, *at));
    }

    fn forgets(&mut self, conn: ConnNo) {
        self.known.retain(|(other, _)| *other != conn);
        self.left(conn, None);
    }

    fn asks(&mut self, conn: ConnNo, room: &str, by_server: bool) {
        let room = number_of(room);
        let asked = self.asked.iter().any(|(other, at, _)| (*other, *at) == (conn, room));
        if !asked && !self.entered.contains(&(conn, room)) {
            self.asked.push((conn, room, by_server));
        }
    }
}

/// The number of a room `r0` to `r2`.
fn number_of(room: &str) -> u32 {
    room[1..].parse().expect("a room of the test's")
}

fn name_of(room: u32) -> ringway_protocol::RoomName {
    format!("r{room}").parse().expect("a room")
}

/// Takes links, and says on each whatever comes to mind until it ends; nothing wrong any more once it is `honest`.
async fn play(node: LinkNode, seed: u64, wrong: f64, played: Arc<AtomicU64>, honest: Arc<AtomicBool>) {
    let mut chance = StdRng::seed_from_u64(seed);
    loop {
        let Ok((mut wire, head)) = tokio::time::timeout(6 * FAR, node.next_knock()).await else { return };
        if head.starts_with("GET / ") {
            // Is it there again?
            wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
            continue;
        }
        let mut link = LinkNode::take(wire, &head).await;
        let mut game = Game::default();
        let mut words = chance.random_range(20..400);
        while !link.out.is_closed() {
            while let Some(said) = link.come() {
                answer(&link, said, &mut game, &mut chance, honest.load(Ordering::SeqCst));
            }
            if honest.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            if chance.random_bool(wrong) {
                say_anything(&link, &game.known, &mut chance);
            } else {
                say_something(&link, &mut game, &mut chance);
            }
            words -= 1;
            if words == 0 {
                link.out.cut();
            }
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..3))).await;
        }
        link.cut().await;
        played.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a good node would do, mostly.
fn answer(link: &Link, said: Said, game: &mut Game, chance: &mut StdRng, honest: bool) {
    let of = match &said {
        Said::Open { .. } => None,
        Said::Frame { conn, .. } | Said::Rejoin(Rejoin { conn, .. }) => Some(conn),
        Said::Begin(conn) | Said::Closed(conn) | Said::Move(conn, _) => Some(conn),
        Said::Renew(conn) | Said::Credit(conn, _) => Some(conn),
    };
    if of.is_some_and(|conn| game.known.iter().all(|(other, _)| other != conn)) {
        // It was on its way when the refusal was.
        return;
    }
    match said {
        Said::Open { conn, .. } if !honest && chance.random_bool(0.1) => {
            let (code, detail) = (Code::LimitConnections, "full".into());
            link.say(&Down::Refused { conn, code, detail, retry: Some(1) });
            game.forgets(conn);
        }
        Said::Open { conn, ticket, role, .. } => {
            link.say(&Down::Opened { conn });
            if let (OpenAs::Home, Some(room)) = (role, &ticket.room) {
                game.asks(conn, room.as_str(), true);
            }
            game.known.push((conn, ticket));
        }
        Said::Begin(conn) => link.send(conn, None, r#"{"t":"hello"}"#),
        Said::Frame { conn, message } => {
            let frame: serde_json::Value = serde_json::from_str(&message).expect("what a client said");
            let room = frame["room"].as_str();
            match (frame["t"].as_str(), room) {
                (Some("join"), Some(room)) => game.asks(conn, room, false),
                (Some("leave"), Some(room)) => {
                    game.left(conn, Some(number_of(room)));
                    link.exit(conn, &name_of(number_of(room)), Exit::Left);
                }
                _ => {}
            }
            if frame["id"].is_number() {
                link.send(conn, None, &format!(r#"{{"t":"ok","id":{}}}"#, frame["id"]));
            }
            link.say(&Down::Credit { conn, bytes: message.len() as u32 });
        }
        Said::Closed(conn) => {
            game.forgets(conn);
            link.say(&Down::Ended { conn });
        }
        Said::Move(conn, room) => {
            game.left(conn, Some(number_of(room.as_str())));
            link.exit(conn, &room, Exit::Moved);
        }
        Said::Rejoin(rejoin) => game.asks(rejoin.conn, rejoin.room.as_str(), rejoin.by_server),
        Said::Renew(_) | Said::Credit(..) => {}
    }
}

/// Something that makes sense, as far as that goes.
fn say_something(link: &Link, game: &mut Game, chance: &mut StdRng) {
    let room = chance.random_range(0..3_u32);
    let number = RoomNo(room);
    let Some(numbered) = game.declared[room as usize].filter(|_| chance.random_bool(0.95)) else {
        let epoch = chance.random_bool(0.8).then(|| ["e1", "e2"][chance.random_range(0..2)]);
        link.say(&Down::Room(RoomDeclared {
            number,
            tenant: tenant_id("default"),
            room: name_of(room),
            epoch: epoch.map(|epoch| epoch.parse().expect("an epoch")),
            policy: [Policy::Disconnect, Policy::DropOldest, Policy::Conflate][chance.random_range(0..3)],
            flush_window: [0, 0, 5][chance.random_range(0..3)],
        }));
        game.declared[room as usize] = Some(epoch.is_some());
        return;
    };
    let offset = chance.random_range(0..50);
    let somewhere = (numbered && chance.random_bool(0.8)).then(|| at(number, offset));
    let known = chance.random_range(0..game.known.len().max(1));
    let here: Vec<ConnNo> =
        game.entered.iter().filter(|(_, at)| *at == room).map(|(conn, _)| *conn).collect();
    match chance.random_range(0..10) {
        0..=2 => {
            let Some(place) = game.asked.iter().position(|(_, at, _)| *at == room) else { return };
            let (conn, _, by_server) = game.asked.swap_remove(place);
            link.say(&Down::Enter { conn, room: number, at: somewhere, by_server });
            game.entered.push((conn, room));
        }
        3 => {
            let Some(conn) = here.first() else { return };
            game.left(*conn, Some(room));
            link.exit(*conn, &name_of(room), Exit::Left);
        }
        4 => {
            if let Some((conn, _)) = game.known.get(known) {
                link.send(*conn, somewhere.filter(|_| here.contains(conn)), r#"{"t":"msg"}"#);
            }
        }
        5 if numbered => link.say(&Down::Lost { room: number, offset, ts: 1, frames: 1 }),
        6 if chance.random_bool(0.05) => {
            if let Some((conn, _)) = game.known.get(known) {
                link.say(&Down::Close { conn: *conn, code: 4_000, reason: "go".into() });
            }
        }
        _ => {
            let some = here.iter().copied().filter(|_| chance.random_bool(0.4)).collect();
            link.say(&Down::Cast(Cast {
                room: number,
                offset: somewhere.map(|at| at.offset),
                ts: 1,
                key: chance.random_bool(0.3).then(|| "k".parse().expect("a key")),
                but: match chance.random_range(0..4) {
                    0 => Exclude::These(some),
                    1 => Exclude::AllBut(some),
                    _ => Exclude::Nobody,
                },
                json: Frame::text(br#"{"t":"msg"}"#).encoded(),
                msgpack: &[],
            }));
        }
    }
}

/// Whatever there is to say, but that it leaves: then it would be asked no more.
fn say_anything(link: &Link, known: &[(ConnNo, Box<Ticket>)], chance: &mut StdRng) {
    if known.is_empty() {
        return;
    }
    let (conn, ticket) = &known[chance.random_range(0..known.len())];
    let wrong = chance.random_bool(0.003);
    let conn = ConnNo(conn.0 + u32::from(wrong) * 1_000);
    let room = RoomNo(chance.random_range(0..3));
    let name = || name_of(room.0);
    let (offset, payload) = (chance.random_range(0..50), Frame::text(br#"{"t":"msg"}"#));
    let somewhere = chance.random_bool(0.5).then(|| at(room, offset));
    let conns = |chance: &mut StdRng| (0..chance.random_range(0..3)).map(ConnNo).collect();
    match chance.random_range(0..100) {
        0..=14 => link.say(&Down::Room(RoomDeclared {
            number: room,
            tenant: tenant_id("default"),
            room: name(),
            epoch: chance
                .random_bool(0.8)
                .then(|| ["e1", "e2"][chance.random_range(0..2)].parse().expect("an epoch")),
            policy: [Policy::Disconnect, Policy::DropOldest, Policy::Conflate][chance.random_range(0..3)],
            flush_window: [0, 0, 5][chance.random_range(0..3)],
        })),
        15..=29 => {
            let at = chance.random_bool(0.2).then_some(At { room, offset, ts: 1 });
            link.send(conn, at, r#"{"t":"msg"}"#);
        }
        30..=44 => {
            link.say(&Down::Enter { conn, room, at: somewhere, by_server: chance.random_bool(0.3) });
        }
        45..=54 => link.exit(conn, &name(), [Exit::Left, Exit::Moved][chance.random_range(0..2)]),
        55..=79 => link.say(&Down::Cast(Cast {
            room,
            offset: chance.random_bool(0.8).then_some(offset),
            ts: 1,
            key: chance.random_bool(0.3).then(|| "k".parse().expect("a key")),
            but: match chance.random_range(0..4) {
                0 => Exclude::These(conns(chance)),
                1 => Exclude::AllBut(conns(chance)),
                _ => Exclude::Nobody,
            },
            json: payload.encoded(),
            msgpack: &[],
        })),
        80..=84 => link.say(&Down::Lost { room, offset, ts: 1, frames: 1 }),
        85..=89 => link.say(&Down::Credit { conn, bytes: chance.random_range(0..100) }),
        90 | 91 => link.say(&Down::Renewed { conn, ticket: &ticket_key().seal(ticket) }),
        92 => link.say(&Down::Close { conn, code: 4_000, reason: "go".into() }),
        94 if chance.random_bool(0.1) => link.say(&Down::Ended { conn }),
        95 if chance.random_bool(0.1) => {
            let bytes: Vec<u8> = (0..chance.random_range(0..40)).map(|_| chance.random()).collect();
            link.out.send(&Frame::record(&bytes));
        }
        _ => link.say(&Down::Pong { number: chance.random() }),
    }
}
