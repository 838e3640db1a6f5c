//! Publish to acknowledged: one at a time, and at full pace; Ringway's and a raw publisher's on the same stream.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::crowd::{Crowd, Heard};
use super::figure::{Figure, Unit};
use super::ground::World;
use super::idle::enter;
use super::shape::Shape;
use super::words::{HEADERS, Quick, Template, Words, frame, quick};
use super::{Setting, client, say};
use crate::{histogram, proc};

/// How many clients publish, to how many rooms in all, with how much on its way in all.
const PUBLISHERS: usize = 50;
const ROOMS: usize = 1_000;
const WINDOW: usize = 2_000;

/// The same where clients don't wait for the node to have room: as many on their way to the stream, the rest at the node.
const QUEUED: usize = 6_000;

/// Publications one at a time.
const SINGLY: usize = 4_000;

/// At full pace: before it is measured, and for how long it is.
const WARM: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(6);

/// How long anything may take that should be there at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one of both came to.
struct Side {
    /// Milliseconds.
    singly: f64,
    singly_p99: f64,
    /// Acknowledged a second.
    rate: f64,
    /// Where more are with the clients.
    queued: f64,
    /// The same by a client that does nothing but write and count: what the server can.
    bare: f64,
    /// Seconds of CPU a publication.
    nats: f64,
    node: f64,
    /// Of this process.
    clients: f64,
    /// Acknowledged a second where each room has a member.
    heard: f64,
}

/// Both, in turn, so many times.
pub(super) fn run(setting: &Setting, repeat: usize) -> anyhow::Result<Vec<Figure>> {
    let (mut ours, mut raws) = (Vec::new(), Vec::new());
    let mut shape = Shape::assumed()?;
    for repetition in 0..repeat {
        if !setting.baselines_only {
            let (side, found) = ringway(setting)?;
            shape = found;
            say(&format!(
                "publish {repetition}: Ringway {:.3} ms, {:.0}/s, NATS {:.1} µs, node {:.1} µs each",
                side.singly,
                side.rate,
                side.nats * 1e6,
                side.node * 1e6
            ));
            ours.push(side);
        }
        let side = raw(setting, &shape)?;
        say(&format!(
            "publish {repetition}: raw {:.3} ms, {:.0}/s, {:.0}/s bare, NATS {:.1} µs each",
            side.singly,
            side.rate,
            side.bare,
            side.nats * 1e6
        ));
        raws.push(side);
    }
    let of = |sides: &[Side], what: fn(&Side) -> f64| sides.iter().map(what).collect::<Vec<_>>();
    let both = |name, bar, unit, what: fn(&Side) -> f64| {
        Figure::beside(name, bar, unit, of(&ours, what), of(&raws, what))
    };
    let besides =
        |name, what| Figure::beside(name, "", Unit::PerSecond, of(&ours, what), of(&raws, |side| side.bare));
    let (headers, body) = shape.sizes();
    Ok(vec![
        both("publish to acknowledged, one at a time, median", "≤ 0.5 ms", Unit::Milliseconds, |side| {
            side.singly
        }),
        both("the same, 99th percentile", "", Unit::Milliseconds, |side| side.singly_p99),
        both("acknowledged a second, 2,000 on their way", "≥ 0.8 ×", Unit::PerSecond, |side| side.rate).note(
            format!("{PUBLISHERS} clients, {ROOMS} rooms; stored are {headers} B of headers and {body} B; beside it NATS' own client for Rust"),
        ),
        besides("the same, beside a program that does nothing else", |side| side.rate),
        both("acknowledged a second, 6,000 with the clients and 2,000 of them at the stream", "≥ 0.8 ×", Unit::PerSecond, |side| side.queued),
        besides("the same, beside a program that does nothing else", |side| side.queued),
        both("the same, each publication delivered to a member", "", Unit::PerSecond, |side| side.heard),
        both("CPU of nats-server a publication", "", Unit::Microseconds, |side| side.nats * 1e6),
        both("CPU of the node a publication", "", Unit::Microseconds, |side| side.node * 1e6),
        both("CPU of this program a publication", "", Unit::Microseconds, |side| side.clients * 1e6),
    ])
}

fn ringway(setting: &Setting) -> anyhow::Result<(Side, Shape)> {
    let mut world = World::begin(&setting.root, "publish", &setting.apart)?;
    let node = world.node()?;
    let words = Words::new()?;
    let mut crowd = Crowd::new()?;
    let mut template = Template::new();
    open(&mut crowd, &world, node, &words, PUBLISHERS)?;

    let mut times = histogram::empty();
    for number in 0..SINGLY {
        let mut out = Vec::new();
        template.put(number % ROOMS, &mut out);
        let began = Instant::now();
        crowd.send(0, &out);
        let mut answered = false;
        while !answered {
            ensure!(began.elapsed() < PATIENCE, "no answer to a publication");
            crowd.turn(PATIENCE, &mut |_, heard, _| answered |= is_ok(&heard))?;
        }
        times.saturating_record(began.elapsed().as_micros() as u64);
    }
    let shape = Shape::found(&world)?;

    let mut pace = Pace::new(template, PUBLISHERS, ROOMS);
    pace.run(&mut crowd, WINDOW, WARM, usize::MAX)?;
    let before = (world.nats_usage().0, world.node_usage(node).0, own());
    let (acknowledged, seconds) = pace.run(&mut crowd, WINDOW, MEASURED, usize::MAX)?;
    let after = (world.nats_usage().0, world.node_usage(node).0, own());
    let last = world.stream()?["state"]["last_seq"].as_u64().unwrap_or(0);
    ensure!(last >= acknowledged + SINGLY as u64, "{last} are stored, {acknowledged} were acknowledged");
    let (more, seconds_more) = pace.run(&mut crowd, QUEUED, MEASURED, usize::MAX)?;
    enter(&mut crowd, &(0..ROOMS).collect::<Vec<_>>(), PUBLISHERS)?;
    pace.run(&mut crowd, WINDOW, WARM, usize::MAX)?;
    let (heard, seconds_heard) = pace.run(&mut crowd, WINDOW, MEASURED, usize::MAX)?;
    let side = Side {
        singly: times.value_at_quantile(0.5) as f64 / 1e3,
        singly_p99: times.value_at_quantile(0.99) as f64 / 1e3,
        rate: acknowledged as f64 / seconds,
        bare: acknowledged as f64 / seconds,
        nats: (after.0 - before.0) / acknowledged as f64,
        node: (after.1 - before.1) / acknowledged as f64,
        clients: (after.2 - before.2) / acknowledged as f64,
        queued: more as f64 / seconds_more,
        heard: heard as f64 / seconds_heard,
    };
    Ok((side, shape))
}

fn raw(setting: &Setting, shape: &Shape) -> anyhow::Result<Side> {
    let world = World::begin(&setting.root, "publish-raw", &setting.apart)?;
    let words = Words::new()?;
    let mut nats = world.connect()?;
    shape.make(&mut nats)?;
    // A node hears what is sent on, so that members get it.
    if setting.listening {
        let mut listener = world.connect()?;
        listener.subscribe("ringway.g.shared.live.>")?;
        std::thread::spawn(move || say(&format!("{} were heard", listener.listen())));
    }
    let mut next = shape.publisher(&words, 0..ROOMS);
    let mut times = histogram::empty();
    for _ in 0..SINGLY {
        let published = nats.pipeline(1, PATIENCE, 1, &mut next)?;
        ensure!(published.refused == 0, "a raw publication was refused");
        times.saturating_record((published.seconds * 1e6) as u64);
    }
    nats.pipeline(WINDOW as u64, WARM, u64::MAX, &mut next)?;
    let before = (world.nats_usage().0, own());
    let bare = nats.pipeline(WINDOW as u64, MEASURED, u64::MAX, &mut next)?;
    let after = (world.nats_usage().0, own());
    ensure!(bare.refused == 0, "{} raw publications were refused", bare.refused);
    let usual = client::pipeline(world.nats, shape, &words, 0..ROOMS, (WINDOW, WARM, MEASURED))?;
    Ok(Side {
        singly: times.value_at_quantile(0.5) as f64 / 1e3,
        singly_p99: times.value_at_quantile(0.99) as f64 / 1e3,
        rate: usual.acknowledged as f64 / usual.seconds,
        bare: bare.acknowledged as f64 / bare.seconds,
        nats: (after.0 - before.0) / bare.acknowledged as f64,
        node: f64::NAN,
        clients: (after.1 - before.1) / bare.acknowledged as f64,
        queued: usual.acknowledged as f64 / usual.seconds,
        heard: f64::NAN,
    })
}

/// Seconds of CPU that this process has had.
fn own() -> f64 {
    proc::cpu(std::process::id())
}

/// Opens clients 0 to `count` − 1 without a home room.
pub(super) fn open(
    crowd: &mut Crowd,
    world: &World,
    node: usize,
    words: &Words,
    count: usize,
) -> anyhow::Result<()> {
    for number in 0..count {
        crowd.open(number, world.listen(node), &words.target(number, None, None), HEADERS)?;
    }
    let (mut opened, mut gone, began) = (0, None, Instant::now());
    while opened < count {
        ensure!(began.elapsed() < PATIENCE, "{opened} of {count} clients are open");
        crowd.turn(Duration::from_millis(100), &mut |_, heard, _| match heard {
            Heard::Open => opened += 1,
            Heard::Gone(how) => gone = Some(how),
            Heard::Frame(_) => {}
        })?;
        if let Some(how) = &gone {
            bail!("a client doesn't come in: {how}");
        }
    }
    Ok(())
}

fn is_ok(heard: &Heard<'_>) -> bool {
    matches!(heard, Heard::Frame(payload) if quick(payload) == Quick::Ok)
}

/// Clients that publish as fast as they are answered, each to rooms of its own.
pub(super) struct Pace {
    template: Template,
    publishers: usize,
    /// All rooms, each publisher's share in a row.
    rooms: Vec<usize>,
    /// Where in its share each publisher is.
    turns: Vec<usize>,
}

impl Pace {
    /// To rooms 0 to `rooms` − 1.
    pub(super) fn new(template: Template, publishers: usize, rooms: usize) -> Pace {
        Pace::of(template, publishers, &(0..rooms).collect::<Vec<_>>())
    }

    /// To these rooms, in turn.
    pub(super) fn of(template: Template, publishers: usize, rooms: &[usize]) -> Pace {
        Pace { template, publishers, rooms: rooms.to_vec(), turns: vec![0; publishers] }
    }

    /// Publishes until the time is over or so many are acknowledged, then waits for those on their way. How many were
    /// acknowledged in which time; those on their way at the end aren't counted in, nor those at the beginning out.
    pub(super) fn run(
        &mut self,
        crowd: &mut Crowd,
        window: usize,
        lasting: Duration,
        most: usize,
    ) -> anyhow::Result<(u64, f64)> {
        let Self { template, rooms, turns, publishers } = self;
        let (mut acknowledged, mut sent, mut wrong) = (0_usize, 0_usize, None);
        let each = rooms.len() / *publishers;
        let mut put = |publisher: usize, out: &mut Vec<u8>| {
            let turn = &mut turns[publisher];
            template.put(rooms[publisher * each + *turn], out);
            *turn = if *turn + 1 == each { 0 } else { *turn + 1 };
        };
        // Each publishes its share, so that each room has as many in the end.
        let share = most / *publishers;
        let mut left = vec![share; *publishers];
        let began = Instant::now();
        for (publisher, left) in left.iter_mut().enumerate() {
            let mut out = Vec::new();
            for _ in 0..(window / *publishers).min(*left) {
                put(publisher, &mut out);
                sent += 1;
                *left -= 1;
            }
            crowd.send(publisher, &out);
        }
        let mut measured = None;
        let mut last = Instant::now();
        while acknowledged < sent {
            let over = measured.is_some();
            let before = acknowledged;
            crowd.turn(Duration::from_millis(100), &mut |publisher, heard, out| match heard {
                Heard::Frame(payload) => match quick(payload) {
                    Quick::Ok => {
                        acknowledged += 1;
                        if !over && left[publisher] > 0 {
                            put(publisher, out);
                            sent += 1;
                            left[publisher] -= 1;
                        }
                    }
                    Quick::Msg => {}
                    Quick::Other => wrong = wrong.take().or_else(|| refused(payload)),
                },
                Heard::Gone(how) => wrong = Some(how),
                Heard::Open => {}
            })?;
            if let Some(wrong) = wrong {
                bail!("after {acknowledged} publications: {wrong}");
            }
            if acknowledged > before {
                last = Instant::now();
            }
            ensure!(last.elapsed() < PATIENCE, "{} publications have no answer", sent - acknowledged);
            if measured.is_none() && began.elapsed() >= lasting {
                measured = Some((acknowledged as u64, began.elapsed().as_secs_f64()));
            }
        }
        Ok(measured.unwrap_or((acknowledged as u64, began.elapsed().as_secs_f64())))
    }
}

/// What a frame refuses, if it does.
fn refused(payload: &[u8]) -> Option<String> {
    match frame(payload)? {
        ringway_protocol::ServerFrame::Err(refusal) => {
            Some(format!("{} {}", refusal.code.as_str(), refusal.message.as_deref().unwrap_or_default()))
        }
        _ => None,
    }
}
