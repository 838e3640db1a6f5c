//! What is done with a target once it runs: the phases of each script, in order.

use std::time::Duration;

use super::faults;
use super::outcome::{add_opened, note_published};
use super::placed;
use super::slow;
use super::soak;
use super::stage::{IN_FLIGHT, PATIENCE_OF_SOCKETS, Publishing, Stage};
use crate::control::{Aim, Event, Membership};
use crate::plan::{Rooms, Script};

/// What a connection's data are in broadcasts, bytes.
const DATA: usize = 128;

/// What is sent once by every connection, to see what is kept of it: below Ringway's limit of a frame, 64 KiB.
const BIG: usize = 60_000;

/// Carries out a script.
pub(crate) fn run(stage: &mut Stage<'_>, script: &Script) -> anyhow::Result<()> {
    match *script {
        Script::Core { connections, pace, seconds } => core(stage, connections, pace, seconds),
        Script::Window => window(stage),
        Script::Memory { connections } => memory(stage, connections),
        Script::Hop => hop(stage),
        Script::Upgrade { connections } => upgrade(stage, connections),
        Script::OwnRooms { connections } => own_rooms(stage, connections),
        Script::Idle { connections, seconds } => idle(stage, connections, seconds),
        Script::Echo { connections, per_second } => echo(stage, connections, per_second),
        Script::Rooms { connections, rooms } => in_rooms(stage, connections, rooms),
        Script::Hot { connections, per_second, seconds } => hot(stage, connections, per_second, seconds),
        Script::Many { rooms, members, per_second } => many(stage, rooms, members, per_second),
        Script::Further { connections } => further(stage, connections),
        Script::Fault { connections, fault } => faults::run(stage, connections, fault),
        Script::Churn { connections } => churn(stage, connections),
        Script::Slow { connections } => slow::stalling(stage, connections),
        Script::Conflate => slow::sipping(stage),
        Script::Noisy => slow::noisy(stage),
        Script::Storm { connections } => storm(stage, connections),
        Script::Soak { connections, seconds } => soak::run(stage, connections, seconds),
    }
}

pub(super) fn connect(stage: &mut Stage<'_>, connections: usize, rooms: &Membership) -> anyhow::Result<()> {
    stage.phase("connect", |stage, phase| stage.open(phase, connections, IN_FLIGHT, rooms))
}

/// To all members of room 0.
pub(super) fn broadcast(stage: &Stage<'_>, per_second: f64, burst: usize, seconds: f64) -> Publishing {
    let members = Some(stage.connections() as u64);
    Publishing {
        per_second,
        burst,
        seconds,
        data: DATA,
        publishers: 1,
        to: Aim::First,
        members,
        keys: None,
        patience: PATIENCE_OF_SOCKETS,
    }
}

/// Connections opened, held, and given one message at a time, then eight together, for so many seconds each. `pace`: in units
/// of what 2,000 members take.
fn core(stage: &mut Stage<'_>, connections: usize, pace: f64, seconds: f64) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::One)?;
    stage.phase("idle", |stage, phase| stage.hold(phase, 1.0, None))?;
    let once = broadcast(stage, 4.0, 1, 0.5);
    stage.phase("warm", |stage, phase| stage.publish(phase, once))?;
    let single = broadcast(stage, 15.0 * pace, 1, seconds);
    stage.phase("single", |stage, phase| stage.publish(phase, single))?;
    let eight = broadcast(stage, 3.0 * pace, 8, seconds);
    stage.phase("eight", |stage, phase| stage.publish(phase, eight))?;
    leave(stage)
}

/// 200 members of a room whose publications wait up to 10 ms for company, 1,000 a second.
fn window(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    connect(stage, 200, &Membership::Windowed)?;
    let once = broadcast(stage, 10.0, 1, 0.5);
    stage.phase("warm", |stage, phase| stage.publish(phase, once))?;
    let thousand = broadcast(stage, 1_000.0, 1, 3.0);
    stage.phase("window", |stage, phase| stage.publish(phase, thousand))
}

/// What an idle connection holds, before and after it was sent 60 KB three times (and sent as much itself, where a server
/// has a room for it in which nobody is), and what stays when all have left.
fn memory(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    // What a server reads of its own program, and makes once, on first use isn't any connection's.
    stage.phase("warm", |stage, phase| {
        stage.open(phase, 200, IN_FLIGHT, &Membership::One)?;
        let once = Publishing { data: BIG, ..broadcast(stage, 2.0, 1, 0.5) };
        stage.publish(phase, once)?;
        stage.close(false)?;
        stage.hold(phase, 1.5, None)
    })?;
    connect(stage, connections, &Membership::One)?;
    stage.phase("idle", |stage, phase| stage.hold(phase, 2.0, None))?;
    let big = Publishing { data: BIG, ..broadcast(stage, 1.0, 1, 3.0) };
    stage.phase("big", |stage, phase| {
        stage.publish(phase, big)?;
        if stage.rooms {
            let seconds = connections as f64 / 2_000.0;
            let into =
                Publishing { per_second: 2_000.0, seconds, publishers: connections, to: Aim::Nobody, ..big };
            stage.publish(phase, Publishing { members: Some(0), ..into })?;
        }
        stage.hold(phase, 2.0, None)
    })?;
    leave(stage)
}

/// What one client says, as another hears it that is connected to another process; in both directions, since only one of
/// the two processes can be a room's owner.
fn hop(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    connect(stage, 2, &Membership::One)?;
    let once = broadcast(stage, 50.0, 1, 1.0);
    stage.phase("warm", |stage, phase| stage.publish(phase, once))?;
    for (name, from) in [("there", 0), ("back", 1)] {
        stage.phase(name, |stage, phase| {
            let what = Publishing { members: Some(1), ..broadcast(stage, 200.0, 1, 2.5) };
            let command = stage.command(what);
            let event = stage.workers.ask(from, command, Duration::from_secs(60), stage.progress)?;
            let (sent, _) = note_published(phase, event, what)?;
            stage.collect_from(phase, 1 - from, sent)
        })?;
    }
    Ok(())
}

/// Each connection in a room of its own: what a connection holds together with a room.
fn own_rooms(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::Own)?;
    stage.phase("idle", |stage, phase| stage.hold(phase, 2.0, None))?;
    leave(stage)
}

fn leave(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    stage.phase("left", |stage, phase| {
        stage.close(false)?;
        stage.hold(phase, 2.0, None)
    })
}

fn idle(stage: &mut Stage<'_>, connections: usize, seconds: f64) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::One)?;
    stage.phase("settle", |stage, phase| stage.hold(phase, 3.0, None))?;
    stage.phase("idle", |stage, phase| stage.hold(phase, seconds, Some(1.0)))?;
    let few = broadcast(stage, 0.5, 1, 4.0);
    stage.phase("all", |stage, phase| stage.publish(phase, few))
}

/// Each connection in a room of its own, told what it says.
fn echo(stage: &mut Stage<'_>, connections: usize, per_second: f64) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::Own)?;
    let publishing = Publishing {
        per_second,
        burst: 1,
        seconds: 5.0,
        data: 32,
        publishers: connections.div_ceil(stage.workers.len()),
        to: Aim::Own,
        members: Some(1),
        keys: None,
        patience: PATIENCE_OF_SOCKETS,
    };
    stage.phase("echo", |stage, phase| stage.publish(phase, publishing))
}

/// One at a time, so that none waits for another: what is between two targets' medians is what one path adds.
fn upgrade(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    let rooms = Membership::One;
    // Before it is measured each process has done it.
    stage.phase("warm", |stage, phase| stage.open(phase, connections / 10, 1, &rooms))?;
    stage.phase("upgrade", |stage, phase| stage.open(phase, connections - connections / 10, 1, &rooms))
}

/// Rooms of all sizes, some in many, most small; the busiest are the biggest.
fn in_rooms(stage: &mut Stage<'_>, connections: usize, rooms: Rooms) -> anyhow::Result<()> {
    let membership =
        Membership::Zipf { count: 1_000, each: rooms.each, skew: 1.0, tagged: rooms.tagged, seed: 7 };
    connect(stage, connections, &membership)?;
    let publishing = Publishing {
        per_second: 200.0,
        burst: 1,
        seconds: 5.0,
        data: DATA,
        publishers: 200,
        to: Aim::Own,
        members: None,
        keys: None,
        patience: PATIENCE_OF_SOCKETS,
    };
    stage.phase("rooms", |stage, phase| {
        let before = placed::read(stage.running)?;
        stage.publish(phase, publishing)?;
        phase.placed = placed::read(stage.running)?.since(&before);
        phase.notes.extend(placed::astray(stage.running)?);
        Ok(())
    })
}

/// One room with all of them, published to by members on every node, few times a second.
fn hot(stage: &mut Stage<'_>, connections: usize, per_second: f64, seconds: f64) -> anyhow::Result<()> {
    const PUBLISHERS: usize = 12;
    connect(stage, connections, &Membership::One)?;
    stage.phase("settle", |stage, phase| stage.hold(phase, 3.0, None))?;
    stage.phase("idle", |stage, phase| stage.hold(phase, 5.0, None))?;
    let publishers = PUBLISHERS.min(stage.open_at(0));
    let hot = Publishing { data: 100, publishers, ..broadcast(stage, per_second, 1, seconds) };
    stage.phase("warm", |stage, phase| stage.publish(phase, Publishing { seconds: 1.5, ..hot }))?;
    stage.phase("hot", |stage, phase| {
        let before = placed::read(stage.running)?;
        stage.publish(phase, hot)?;
        phase.placed = placed::read(stage.running)?.since(&before);
        phase.notes.extend(placed::astray(stage.running)?);
        phase.members = placed::members(stage.running)?;
        Ok(())
    })
}

/// Many small rooms, published to alike by a member of each.
fn many(stage: &mut Stage<'_>, rooms: usize, members: usize, per_second: f64) -> anyhow::Result<()> {
    let listed = Membership::Listed { numbers: (0..rooms as u32).collect() };
    connect(stage, rooms * members, &listed)?;
    let publishing = Publishing {
        per_second,
        burst: 1,
        seconds: 4.0,
        data: DATA,
        publishers: rooms,
        to: Aim::Own,
        members: None,
        keys: None,
        patience: PATIENCE_OF_SOCKETS,
    };
    stage.phase("warm", |stage, phase| stage.publish(phase, Publishing { seconds: 1.0, ..publishing }))?;
    stage.phase("many", |stage, phase| {
        let before = placed::read(stage.running)?;
        stage.publish(phase, publishing)?;
        phase.placed = placed::read(stage.running)?.since(&before);
        phase.notes.extend(placed::astray(stage.running)?);
        Ok(())
    })
}

/// Rooms of each connection of the second half of [`further`], beyond the first.
pub(crate) const FURTHER: usize = 40;

/// Half of them in one room each, then the other half in [`FURTHER`] more: what a room more costs that is there anyway.
fn further(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    let in_all = |each| Membership::Zipf { count: each, each, skew: 0.0, tagged: false, seed: 7 };
    // All rooms are there before anything is measured, and all that a server makes once.
    stage.phase("warm", |stage, phase| {
        stage.open(phase, 200, IN_FLIGHT, &in_all(FURTHER + 1))?;
        stage.hold(phase, 1.5, None)
    })?;
    for (name, each) in [("one", 1), ("more", FURTHER + 1)] {
        stage.phase(name, |stage, phase| {
            stage.open(phase, connections / 2, IN_FLIGHT, &in_all(each))?;
            stage.hold(phase, 2.0, None)
        })?;
    }
    Ok(())
}

/// 100 connections a second end and 100 begin, while the others are published to.
fn churn(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::One)?;
    stage.phase("churn", |stage, phase| soak::churn_and_broadcast(stage, phase, 100.0, 5.0, 10.0, None))
}

/// Everyone is cut off at once, and comes back at once.
fn storm(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    connect(stage, connections, &Membership::One)?;
    stage.phase("storm", |stage, phase| {
        stage.close(true)?;
        stage.open(phase, connections, 1_000, &Membership::One)
    })?;
    let after = broadcast(stage, 10.0, 1, 2.0);
    stage.phase("after", |stage, phase| stage.publish(phase, after))
}

/// What came of opening connections meanwhile.
pub(super) fn note_churned(phase: &mut crate::result::Phase, event: Event) -> anyhow::Result<()> {
    match event {
        Event::Opened(opened) => add_opened(phase, &opened),
        other => anyhow::bail!("churning was answered by {other:?}"),
    }
}
