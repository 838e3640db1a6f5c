//! Hours in minutes: connections come and go and messages flow, and at the end nothing may have stayed.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::gauges;
use super::outcome::note_published;
use super::progress::Progress;
use super::sampling::Sampling;
use super::script::{broadcast, connect, note_churned};
use super::stage::{Publishing, Stage};
use crate::control::{Command, Membership};
use crate::result::Phase;

/// How long a server has, once the last connection has left, to hold nothing any more. A room's subject is listened to
/// for five minutes after its last use; sweeps come on top.
const SETTLE: Duration = Duration::from_secs(340);

pub(super) fn run(stage: &mut Stage<'_>, connections: usize, seconds: f64) -> anyhow::Result<()> {
    let before = gauges::read(stage.running)?;
    connect(stage, connections, &Membership::One)?;
    stage.phase("soak", |stage, phase| churn_and_broadcast(stage, phase, 50.0, 10.0, seconds, Some(2.0)))?;
    stage.phase("left", |stage, phase| {
        stage.close(false)?;
        let deadline = Instant::now() + SETTLE;
        loop {
            stage.hold(phase, 5.0, None)?;
            phase.left_over = gauges::changed(&before, &gauges::read(stage.running)?);
            if phase.left_over.is_empty() || Instant::now() > deadline {
                return Ok(());
            }
        }
    })
}

/// The last worker's connections are replaced one by one, worker 0 publishes to all; only worker 0's, which stay, are
/// counted on.
pub(super) fn churn_and_broadcast(
    stage: &mut Stage<'_>,
    phase: &mut Phase,
    churned_per_second: f64,
    published_per_second: f64,
    seconds: f64,
    every: Option<f64>,
) -> anyhow::Result<()> {
    let last = stage.workers.len() - 1;
    anyhow::ensure!(last > 0, "this script needs two generator processes");
    let members = Some(stage.open_at(0) as u64);
    let what = Publishing { members, ..broadcast(stage, published_per_second, 1, seconds) };
    let churn = Command::Churn { per_second: churned_per_second, seconds, rooms: Membership::One };
    let commands = vec![(0, stage.command(what)), (last, churn)];
    let within = Duration::from_secs_f64(seconds + 60.0);
    let sampling = Sampling::begin(stage.running);
    let samples = RefCell::new(Vec::new());
    let mut next = 0.0;
    let running = stage.running;
    let mut look = |progress: &Progress| {
        let since = sampling.seconds();
        if since >= next {
            next = since + every.unwrap_or(1.0);
            samples.borrow_mut().push(sampling.sample(running, progress));
        }
    };
    let events = stage.workers.ask_each(commands, within, stage.progress, &mut look)?;
    phase.samples = samples.into_inner();
    let mut events = events.into_iter();
    if let (Some(published), Some(churned)) = (events.next(), events.next()) {
        let (sent, _) = note_published(phase, published, what)?;
        note_churned(phase, churned)?;
        let due = sent * stage.open_at(0) as u64;
        stage.collect(phase, |worker| (worker == 0).then_some(due))?;
    }
    Ok(())
}
