//! What those that don't keep up, and those that ask for too much, do to the others.

use std::cell::RefCell;
use std::time::Duration;

use super::outcome::{note_published, take};
use super::sampling::Watch;
use super::script::broadcast;
use super::stage::{Publishing, Stage};
use crate::control::{Command, Event, Membership};
use crate::result::{Beside, Phase};
use crate::target::NOISY_LIMIT;

/// Time that commands take which only change something.
const SOON: Duration = Duration::from_secs(10);

/// The readers' worker, and that of those whom something befalls.
const READERS: usize = 0;
const OTHERS: usize = 1;

/// A tenth of all stops reading.
const STALLED_OF: usize = 10;

/// Bytes of a message's data, and messages a second: in [`STALLED_SECONDS`] 11.5 MB for each member, which is more than a
/// bounded queue (1 MiB) and what kernels hold for a connection (some 4 MB; twice that with a proxy between) together.
const LARGE: usize = 32_000;
const LARGE_PER_SECOND: f64 = 60.0;
const STALLED_SECONDS: f64 = 6.0;

/// The receive buffer of those that read, bytes. The 64 KB that kernels begin with are two such messages: a generator that
/// is late for these closes the window, and a closed one costs 200 ms.
const READING_BUFFER: usize = 1024 * 1024;

/// Keys of a room of values, and values a second.
const KEYS: u32 = 10;
const VALUES_PER_SECOND: f64 = 1_000.0;

/// Slow readers of values: with the receive buffer that the kernel gives them, and with a small one.
const SIPPING: usize = 2;
const SMALL_BUFFER: usize = 4 * 1024;

/// What a slow reader takes: 60 KB a second, where 190 are published.
const SIP: usize = 3_000;
const SIP_EVERY: f64 = 0.05;

/// The same broadcast while everybody reads and while a tenth doesn't, as the others see it; then what that tenth finds when
/// it reads on.
pub(super) fn stalling(stage: &mut Stage<'_>, connections: usize) -> anyhow::Result<()> {
    let stalled = connections / STALLED_OF;
    stage.phase("connect", |stage, phase| {
        stage.open_on(READERS, phase, connections - stalled, Some(READING_BUFFER), &Membership::One)?;
        stage.open_on(OTHERS, phase, stalled, None, &Membership::One)
    })?;
    let large = |stage: &Stage<'_>, seconds| Publishing {
        data: LARGE,
        patience: 1.0,
        ..broadcast(stage, LARGE_PER_SECOND, 1, seconds)
    };
    let (short, long) = (large(stage, 2.0), large(stage, STALLED_SECONDS));
    // More messages than a replay buffer keeps: from then on a server's memory is as it will be.
    stage.phase("warm", |stage, phase| stage.publish(phase, short))?;
    stage.phase("before", |stage, phase| to_readers(stage, phase, Publishing { seconds: 3.0, ..long }, 0))?;
    stage.phase("stalled", |stage, phase| to_readers(stage, phase, long, stalled))?;
    stage.phase_on("read on", |stage, phase| {
        stage.workers.ask(OTHERS, Command::Stall { count: 0 }, SOON, stage.progress)?;
        let collected = stage.gather(OTHERS, None, 1.0, 15.0)?;
        phase.slow = stalled;
        take(phase, [(Event::Collected(collected), None)])
    })
}

/// Publishes to all, of which so many don't read. Latencies are those of the readers.
fn to_readers(
    stage: &mut Stage<'_>,
    phase: &mut Phase,
    what: Publishing,
    stalled: usize,
) -> anyhow::Result<()> {
    let watch = Watch::begin(stage.running);
    phase.samples.push(watch.sample());
    stage.workers.ask(OTHERS, Command::Stall { count: stalled }, SOON, stage.progress)?;
    phase.slow = stalled;
    let samples = RefCell::new(Vec::new());
    let command = stage.command(what);
    let events = stage.workers.ask_each(
        vec![(READERS, command)],
        SOON + Duration::from_secs_f64(what.seconds),
        stage.progress,
        &mut |_| samples.borrow_mut().push(watch.sample()),
    )?;
    let event = events.into_iter().next().expect("one was asked");
    let (sent, _) = note_published(phase, event, what)?;
    let due = sent * stage.open_at(READERS) as u64;
    let collected = stage.gather(READERS, Some(due), 2.0, 10.0)?;
    take(phase, [(Event::Collected(collected), Some(due))])?;
    phase.samples.extend(samples.into_inner());
    phase.samples.push(watch.sample());
    if stalled == 0 {
        let due = sent * stage.open_at(OTHERS) as u64;
        let collected = stage.gather(OTHERS, Some(due), 2.0, 10.0)?;
        phase.due += due;
        phase.deliveries += collected.deliveries;
        phase.lost += due - collected.deliveries.min(due);
        phase.closed += collected.closed;
    }
    Ok(())
}

/// 1,000 values a second of ten keys to 200 members, of whom some take little at a time: how far behind the newest is what
/// they get.
pub(super) fn sipping(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let all = 200;
    stage.phase("connect", |stage, phase| {
        stage.open_on(READERS, phase, all - SIPPING, None, &Membership::Windowed)?;
        stage.open_on(READERS, phase, SIPPING, Some(SMALL_BUFFER), &Membership::Windowed)
    })?;
    let values = |stage: &Stage<'_>, seconds| Publishing {
        keys: Some(KEYS),
        ..broadcast(stage, VALUES_PER_SECOND, 1, seconds)
    };
    let (short, long) = (values(stage, 1.0), values(stage, 12.0));
    stage.phase("warm", |stage, phase| stage.publish(phase, short))?;
    stage.phase("before", |stage, phase| stage.publish(phase, Publishing { seconds: 3.0, ..long }))?;
    stage.phase("sipping", |stage, phase| {
        let slow = 2 * SIPPING;
        let sip = Command::Trickle { count: slow, bytes: SIP, every: SIP_EVERY, keys: KEYS };
        stage.workers.ask(READERS, sip, SOON, stage.progress)?;
        phase.slow = slow;
        let command = stage.command(long);
        let event = stage.workers.ask(READERS, command, SOON * 4, stage.progress)?;
        let (sent, _) = note_published(phase, event, long)?;
        let due = sent * (stage.open_at(READERS) - slow) as u64;
        let collected = stage.gather(READERS, Some(due), 2.0, 20.0)?;
        take(phase, [(Event::Collected(collected), Some(due))])
    })
}

/// One tenant's broadcast alone, while another publishes at ten times its limit, and while another does the same without
/// having one.
pub(super) fn noisy(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    const QUIET: usize = 200;
    const LOUD: usize = 20;
    const FREE: usize = 2;
    stage.phase("connect", |stage, phase| {
        stage.open_on(READERS, phase, QUIET, None, &Membership::One)?;
        stage.open_on(OTHERS, phase, LOUD, None, &Membership::One)?;
        stage.open_on(FREE, phase, LOUD, None, &Membership::One)
    })?;
    let members = Some(QUIET as u64);
    let quiet = Publishing { members, ..broadcast(stage, 50.0, 1, 3.0) };
    let loud = Publishing {
        publishers: LOUD,
        patience: 0.0,
        ..broadcast(stage, 10.0 * f64::from(NOISY_LIMIT), 1, 3.0)
    };
    stage.phase("warm", |stage, _| {
        let command = stage.command(Publishing { seconds: 1.0, ..quiet });
        stage.workers.ask(READERS, command, SOON, stage.progress)?;
        stage.gather(READERS, Some(50 * QUIET as u64), 1.0, 5.0).map(|_| ())
    })?;
    for (name, noise) in [("alone", None), ("noisy", Some(OTHERS)), ("unlimited", Some(FREE))] {
        stage.phase(name, |stage, phase| {
            let mut commands = vec![(READERS, stage.command(quiet))];
            commands.extend(noise.map(|worker| (worker, stage.command(loud))));
            let events = stage.workers.ask_each(commands, SOON * 2, stage.progress, &mut |_| {})?;
            let mut events = events.into_iter();
            let (sent, _) = note_published(phase, events.next().expect("readers were asked"), quiet)?;
            let due = sent * QUIET as u64;
            let collected = stage.gather(READERS, Some(due), 2.0, 20.0)?;
            take(phase, [(Event::Collected(collected), Some(due))])?;
            if let (Some(worker), Some(Event::Published(published))) = (noise, events.next()) {
                let collected = stage.gather(worker, None, 0.5, 3.0)?;
                phase.beside = Some(Beside {
                    sent: published.sent,
                    refused: collected.refused,
                    deliveries: collected.deliveries,
                });
                // What it still has to send isn't the next phase's.
                let gone = Command::Close { count: None, abruptly: true };
                stage.workers.ask(worker, gone, SOON, stage.progress)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
