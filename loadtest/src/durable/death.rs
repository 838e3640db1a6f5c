//! A node is killed, and all its clients come back at once to another one, having missed something.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use ringway_protocol::ServerFrame;
use ringway_protocol::frame::Position;
use ringway_ring::{NodeId, SlotTable};

use super::crowd::{Crowd, Heard};
use super::figure::{Figure, Unit};
use super::ground::World;
use super::publish::{Pace, open};
use super::resume::position;
use super::words::{HEADERS, Template, Words, frame, room};
use super::{Setting, say};

/// Rooms of the node that is killed, clients, and what is published meanwhile to each room.
const ROOMS: usize = 2_000;
const CLIENTS: usize = 10_000;
const MISSED: usize = 10;

const PATIENCE: Duration = Duration::from_secs(60);

/// How many upgrades are under way at a time.
const IN_FLIGHT: usize = 256;

/// Those that publish have numbers behind all clients.
const PUBLISHERS: usize = 10;

/// A client, as the test knows it.
#[derive(Debug, Clone, Default)]
struct Client {
    position: Option<Position>,
    ready: bool,
    /// What came since it was to come back.
    got: usize,
    resumed: Option<bool>,
    /// It was told that something is missing, or heard something twice.
    wrong: bool,
}

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    if setting.baselines_only {
        return Ok(Vec::new());
    }
    let mut world = World::begin(&setting.root, "death", &setting.together)?;
    let (dies, lives) = (world.node()?, world.node()?);
    let words = Words::new()?;
    let rooms = owned(&words, "node-0", &["node-0", "node-1"])?;
    let mut crowd = Crowd::new()?;
    let mut clients = vec![Client::default(); CLIENTS];

    // Everyone has heard one message, so that everyone has a position with a time.
    come(&mut crowd, &mut clients, world.listen(dies), &words, &rooms, |client| client.ready)?;
    let mut publishing = Crowd::new()?;
    open(&mut publishing, &world, lives, &words, PUBLISHERS)?;
    let mut pace = Pace::of(Template::new(), PUBLISHERS, &rooms);
    pace.run(&mut publishing, 500, PATIENCE, ROOMS)?;
    hear(&mut crowd, &mut clients, |client| client.got == 1)?;
    let consumers = consumers(&world)?;

    world.kill(dies);
    let killed = Instant::now();
    crowd = Crowd::new()?;
    for client in &mut clients {
        *client = Client { position: client.position.take(), ..Client::default() };
    }
    pace.run(&mut publishing, 500, PATIENCE, ROOMS * MISSED)?;
    let published = killed.elapsed();
    let before = world.metrics(lives)?;
    let nats = world.nats_usage().0;
    let node = world.node_usage(lives).0;
    let began = Instant::now();
    come(&mut crowd, &mut clients, world.listen(lives), &words, &rooms, |client| {
        client.ready && client.got >= MISSED
    })?;
    let took = began.elapsed().as_secs_f64();
    let (nats, node) = (world.nats_usage().0 - nats, world.node_usage(lives).0 - node);
    let after = world.metrics(lives)?;

    let wrong = clients.iter().filter(|client| client.wrong || client.got > MISSED).count();
    let unresumed = clients.iter().filter(|client| client.resumed != Some(true)).count();
    let count = |family: &str, labels: &[&str]| after.sum(family, labels) - before.sum(family, labels);
    let reads = count("ringway_store_reads_total", &[]);
    let messages = count("ringway_store_read_messages_total", &[]);
    let kinds = ["newest", "room", "pass", "leader"].map(|kind| {
        let label = format!("kind=\"{kind}\"");
        format!("{kind} {:.0}", count("ringway_store_reads_total", &[&label]))
    });
    let consumers_after = self::consumers(&world)?;
    say(&format!(
        "death: {took:.2} s, {reads} reads of {messages} messages, {unresumed} not resumed, {wrong} wrong"
    ));
    Ok(vec![
        Figure::alone("10,000 clients of 2,000 rooms resumed after a node's death", "≤ 10 s", Unit::Seconds, vec![took])
            .note(format!(
                "each missed {MISSED} messages; {unresumed} weren't resumed, {wrong} heard something twice or were told of a gap; \
                 CPU: node {node:.1} s, nats-server {nats:.1} s; {:.1} s passed between the kill and the first that came back",
                published.as_secs_f64()
            )),
        Figure::alone("reads of the store for that", "", Unit::Count, vec![reads])
            .note(format!("{}; messages read: {messages:.0}; consumers {consumers} before, {consumers_after} after", kinds.join(", "))),
    ])
}

/// Rooms of one of these nodes.
fn owned(words: &Words, owner: &str, nodes: &[&str]) -> anyhow::Result<Vec<usize>> {
    let nodes =
        nodes.iter().map(|node| Ok((node.parse::<NodeId>()?, 1))).collect::<anyhow::Result<Vec<_>>>()?;
    let table = SlotTable::build(&nodes);
    let own =
        |number: &usize| table.owner(words.slot(&room(*number))).is_some_and(|node| node.as_str() == owner);
    Ok((0..).filter(own).take(ROOMS).collect())
}

/// All clients connect, so many at a time, each to its room, from its position; until `done` is so of each.
fn come(
    crowd: &mut Crowd,
    clients: &mut [Client],
    address: SocketAddr,
    words: &Words,
    rooms: &[usize],
    done: impl Fn(&Client) -> bool,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut next, mut opening) = (0, 0);
    loop {
        while next < clients.len() && opening < IN_FLIGHT {
            let target =
                words.target(next, Some(room(rooms[next % rooms.len()])), clients[next].position.clone());
            crowd.open(next, address, &target, HEADERS)?;
            next += 1;
            opening += 1;
        }
        if next == clients.len() && clients.iter().all(&done) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{} of {} clients are there",
            clients.iter().filter(|client| done(client)).count(),
            clients.len()
        );
        turn(crowd, clients, &mut opening)?;
    }
}

/// Waits until this is so of all clients.
fn hear(crowd: &mut Crowd, clients: &mut [Client], done: impl Fn(&Client) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !clients.iter().all(&done) {
        ensure!(
            began.elapsed() < PATIENCE,
            "{} of {} clients heard it",
            clients.iter().filter(|client| done(client)).count(),
            clients.len()
        );
        turn(crowd, clients, &mut 0)?;
    }
    Ok(())
}

fn turn(crowd: &mut Crowd, clients: &mut [Client], opening: &mut usize) -> anyhow::Result<()> {
    let mut gone = None;
    crowd.turn(Duration::from_millis(50), &mut |number, heard, _| {
        let client = &mut clients[number];
        match heard {
            Heard::Open => *opening = opening.saturating_sub(1),
            Heard::Frame(payload) => take(client, payload),
            Heard::Gone(how) => gone = Some(how),
        }
    })?;
    match gone {
        Some(how) => bail!("a client is gone: {how}"),
        None => Ok(()),
    }
}

fn take(client: &mut Client, payload: &[u8]) {
    match frame(payload) {
        Some(ServerFrame::Joined(joined)) => {
            client.ready = true;
            client.resumed = joined.result.resumed;
            client.position = position(&joined.result).or(client.position.take());
        }
        Some(ServerFrame::Msg(msg)) => {
            let Some((offset, position)) = msg.offset.zip(client.position.as_mut()) else { return };
            client.wrong |= offset <= position.offset;
            (position.offset, position.ts) = (offset, msg.ts);
            client.got += 1;
        }
        Some(ServerFrame::Gap(_) | ServerFrame::Left(_) | ServerFrame::Err(_)) => client.wrong = true,
        _ => {}
    }
}

fn consumers(world: &World) -> anyhow::Result<u64> {
    world.stream()?["state"]["consumer_count"].as_u64().context("a stream that doesn't tell its consumers")
}
