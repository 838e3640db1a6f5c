//! What durable rooms leave in a node's memory when nobody is in them any more.

use std::time::{Duration, Instant};

use anyhow::ensure;
use ringway_protocol::ServerFrame;

use super::crowd::{Crowd, Heard};
use super::figure::{Figure, Unit};
use super::ground::World;
use super::publish::{Pace, open};
use super::words::{Template, Words, frame, join, room};
use super::{Setting, say};

/// Clients, and rooms of a wave; each client is in some hundreds of them.
const CLIENTS: usize = 40;
const ROOMS: usize = 20_000;

/// Waves of rooms that nobody was in before; what the first leaves behind is what a node needs anyway.
const WAVES: usize = 3;

/// A room is forgotten 30 s after it was used, what it published 10 s after; then the allocator gives back within some.
const FORGOTTEN: Duration = Duration::from_secs(50);

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    if setting.baselines_only {
        return Ok(Vec::new());
    }
    let mut world = World::begin(&setting.root, "idle", &setting.together)?;
    let nodes = [world.node()?, world.node()?];
    let words = Words::new()?;
    let mut left = Vec::new();
    let mut held = Vec::new();
    for wave in 0..WAVES {
        let before = nodes.map(|node| world.node_usage(node).1);
        let mut crowd = Crowd::new()?;
        open(&mut crowd, &world, nodes[0], &words, CLIENTS)?;
        let rooms: Vec<usize> = (wave * ROOMS..(wave + 1) * ROOMS).collect();
        enter(&mut crowd, &rooms, CLIENTS)?;
        Pace::of(Template::new(), CLIENTS, &rooms).run(&mut crowd, 400, PATIENCE, ROOMS)?;
        let now = nodes.map(|node| world.node_usage(node).1);
        held.push((now[0] as f64 - before[0] as f64) / ROOMS as f64);
        drop(crowd);
        std::thread::sleep(FORGOTTEN);
        let after = nodes.map(|node| world.node_usage(node).1);
        say(&format!("idle {wave}: {before:?} {now:?} {after:?}"));
        left.push(after);
    }
    let of = |node: usize| {
        let per = left.windows(2).map(|pair| (pair[1][node] as f64 - pair[0][node] as f64) / ROOMS as f64);
        per.collect::<Vec<_>>()
    };
    Ok(vec![
        Figure::alone("an idle durable room, on the node that had it", "0", Unit::Bytes, of(0))
            .note(format!("{WAVES} waves of {ROOMS} rooms, each joined, published to and left; what the second and third added to memory after {} s", FORGOTTEN.as_secs())),
        Figure::alone("the same, on another node", "0", Unit::Bytes, of(1)),
        Figure::alone("a room with a member and a message", "", Unit::Bytes, held),
    ])
}

/// Clients 0 to `clients` − 1 join these rooms, each its share.
pub(super) fn enter(crowd: &mut Crowd, rooms: &[usize], clients: usize) -> anyhow::Result<()> {
    let each = rooms.len() / clients;
    // Few enough at a time that none waits in vain.
    const AT_A_TIME: usize = 50;
    let (mut joined, mut refused, began) = (0, None, Instant::now());
    for from in (0..each).step_by(AT_A_TIME) {
        let to = (from + AT_A_TIME).min(each);
        for client in 0..clients {
            let own = &rooms[client * each + from..client * each + to];
            let frames: Vec<u8> =
                own.iter().flat_map(|number| join(*number as u64, room(*number), None, None)).collect();
            crowd.send(client, &frames);
        }
        while joined < clients * to {
            ensure!(began.elapsed() < PATIENCE, "{joined} of {} rooms are joined", rooms.len());
            crowd.turn(Duration::from_millis(100), &mut |_, heard, _| match heard {
                Heard::Frame(payload) => match frame(payload) {
                    Some(ServerFrame::Ok(_)) => joined += 1,
                    Some(ServerFrame::Err(error)) => refused = Some(error.code),
                    _ => {}
                },
                Heard::Open | Heard::Gone(_) => {}
            })?;
            ensure!(refused.is_none(), "a join was refused: {refused:?}");
        }
    }
    Ok(())
}
