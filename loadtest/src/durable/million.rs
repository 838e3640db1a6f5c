//! A million rooms in a store: how fast they are published to, and what that takes of memory.

use std::time::Duration;

use anyhow::ensure;

use super::crowd::Crowd;
use super::figure::{Figure, Unit};
use super::ground::World;
use super::publish::{Pace, open};
use super::shape::Shape;
use super::words::{Template, Words};
use super::{Setting, say};

const ROOMS: usize = 1_000_000;
const PUBLISHERS: usize = 50;
const WINDOW: usize = 2_000;

/// For how long rooms that are there are published to.
const FURTHER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// What a million rooms take.
struct Side {
    filling: f64,
    further: f64,
    nats: f64,
    node: f64,
}

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let (mut ours, mut shape) = (Vec::new(), Shape::assumed()?);
    if !setting.baselines_only {
        let (side, found) = ringway(setting)?;
        (ours, shape) = (vec![side], found);
    }
    let raws = [raw(setting, &shape)?];
    for (who, side) in ours.iter().map(|side| ("Ringway", side)).chain(raws.iter().map(|side| ("raw", side)))
    {
        say(&format!(
            "million: {who} {:.0}/s, then {:.0}/s; NATS {:.0} MB, node {:.0} MB",
            side.filling, side.further, side.nats, side.node
        ));
    }
    let both = |name, unit, what: fn(&Side) -> f64| {
        Figure::beside(name, "", unit, ours.iter().map(what).collect(), raws.iter().map(what).collect())
    };
    Ok(vec![
        both(
            "1,000,000 rooms: the first publication to each, acknowledged a second",
            Unit::PerSecond,
            |side| side.filling,
        ),
        both("further ones", Unit::PerSecond, |side| side.further),
        both("memory of nats-server then", Unit::Megabytes, |side| side.nats),
        both("what they add to the node's memory, 50 s later", Unit::Megabytes, |side| side.node),
    ])
}

fn ringway(setting: &Setting) -> anyhow::Result<(Side, Shape)> {
    let mut world = World::begin(&setting.root, "million", &setting.apart)?;
    let node = world.node()?;
    let words = Words::new()?;
    let mut crowd = Crowd::new()?;
    open(&mut crowd, &world, node, &words, PUBLISHERS)?;
    let before = world.node_usage(node).1;
    let mut pace = Pace::new(Template::new(), PUBLISHERS, ROOMS);
    let (filled, filling) = pace.run(&mut crowd, WINDOW, PATIENCE, ROOMS)?;
    let (more, further) = pace.run(&mut crowd, WINDOW, FURTHER, usize::MAX)?;
    let nats = world.nats_usage().1 as f64 / 1e6;
    let peak = world.node_usage(node).1;
    std::thread::sleep(Duration::from_secs(50));
    let after = world.node_usage(node).1;
    say(&format!(
        "million: node {:.1} MB before, {:.1} MB right after, {:.1} MB later",
        before as f64 / 1e6,
        peak as f64 / 1e6,
        after as f64 / 1e6
    ));
    let side = Side {
        filling: filled as f64 / filling,
        further: more as f64 / further,
        nats,
        node: (after as f64 - before as f64) / 1e6,
    };
    Ok((side, Shape::found(&world)?))
}

fn raw(setting: &Setting, shape: &Shape) -> anyhow::Result<Side> {
    let world = World::begin(&setting.root, "million-raw", &setting.apart)?;
    let words = Words::new()?;
    let mut nats = world.connect()?;
    shape.make(&mut nats)?;
    let mut next = shape.publisher(&words, 0..ROOMS);
    let filled = nats.pipeline(WINDOW as u64, PATIENCE, ROOMS as u64, &mut next)?;
    let more = nats.pipeline(WINDOW as u64, FURTHER, u64::MAX, &mut next)?;
    ensure!(filled.refused + more.refused == 0, "raw publications were refused");
    Ok(Side {
        filling: filled.acknowledged as f64 / filled.seconds,
        further: more.acknowledged as f64 / more.seconds,
        nats: world.nats_usage().1 as f64 / 1e6,
        node: f64::NAN,
    })
}
