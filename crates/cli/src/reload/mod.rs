//! A process takes over a changed configuration: on SIGHUP at once, and otherwise when its files have changed.
//!
//! Owns the one task that reads while the process runs. Files are looked at once a second rather than watched: a look also
//! sees what happens behind links, as when Kubernetes swaps a mounted ConfigMap, and on file systems that tell of nothing.
//! What a next configuration may change is decided in `ringway_config`; here it is read, held against the nodes there are,
//! and handed to the parts whole, or not at all.

mod in_force;
mod looks;
mod record;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ringway_config::{Changes, Config, Environment, Files, Problem, Reading};
use ringway_ring::View;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use in_force::{InForce, Made};
use looks::Looks;
pub(crate) use record::{Record, Recorded, routes};

use crate::configuration;
use crate::exit::Failure;

/// Between two looks at the files: a change is taken over within some two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looking may take at most one part in so many of the time, however many files there are and however slow they are …
const LOOK_SHARE: u32 = 100;
/// … but is never put off for longer.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// When a configuration is read again that asks for a pool which no node serves.
const WORLD_AGAIN: Duration = Duration::from_secs(5);
/// After the start, how long nodes have to be heard of before it is told which pools have none.
const WORLD_AT_START: Duration = Duration::from_secs(10);
/// How many changed keys a line of the log names.
const NAMED: usize = 8;

/// A configuration, and where its next comes from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) file: PathBuf,
    pub(crate) env: Environment,
    /// What it was read from.
    pub(crate) files: Files,
}

/// What waits for the process to have all its parts. SIGHUP doesn't end the process from here on.
#[derive(Debug)]
pub(crate) struct Prepared {
    loaded: Loaded,
    hangup: Signal,
}

impl Prepared {
    pub(crate) fn new(loaded: Loaded) -> Result<Self, Failure> {
        let hangup = signal(SignalKind::hangup()).context("SIGHUP can't be listened to")?;
        Ok(Self { loaded, hangup })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Starts looking. `view` is what nodes the process sees.
    pub(crate) fn start(self, in_force: InForce, view: watch::Receiver<Arc<View>>) -> Reload {
        let Loaded { config, file, env, files } = self.loaded;
        let checksum = config.checksum();
        tracing::info!(file = %file.display(), %checksum, "configuration in force");
        let record = watch::Sender::new(Record::new(file.clone(), checksum));
        let end = CancellationToken::new();
        let seen = record.subscribe();
        let task = Task {
            source: Arc::new((file, env)),
            present: Arc::new(config),
            looks: Looks::new(files),
            looked: Duration::ZERO,
            in_force,
            record,
            view,
            again: None,
            told: Vec::new(),
        };
        let task = tokio::spawn(task.run(self.hangup, end.clone()));
        Reload { end, task, record: seen }
    }
}

/// The task that reads, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Reload {
    end: CancellationToken,
    task: JoinHandle<()>,
    record: watch::Receiver<Record>,
}

impl Reload {
    /// What is in force, and how it came to it.
    pub(crate) fn record(&self) -> watch::Receiver<Record> {
        self.record.clone()
    }

    /// Nothing is taken over any more.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        // It ends by itself, and a panic in it was told already.
        let _ = self.task.await;
    }
}

/// Why the configuration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Signal,
    Files,
    /// No node served a pool when it was last read.
    World,
}

impl Reason {
    /// For the log.
    fn as_str(self) -> &'static str {
        match self {
            Reason::Signal => "SIGHUP",
            Reason::Files => "files changed",
            Reason::World => "nodes were missing",
        }
    }
}

struct Task {
    source: Arc<(PathBuf, Environment)>,
    present: Arc<Config>,
    looks: Looks,
    /// How long the last look took.
    looked: Duration,
    in_force: InForce,
    record: watch::Sender<Record>,
    view: watch::Receiver<Arc<View>>,
    /// What was refused for want of nodes, and when to try again.
    again: Option<(Instant, Vec<Problem>)>,
    /// What was said to hold from the next start, last time.
    told: Vec<Problem>,
}

impl Task {
    async fn run(mut self, mut hangup: Signal, end: CancellationToken) {
        let mut look_at = Instant::now() + LOOK_EVERY;
        let mut start_over = Some(Instant::now() + WORLD_AT_START);
        loop {
            let signal = tokio::select! {
                () = end.cancelled() => return,
                Some(()) = hangup.recv() => true,
                () = sleep_until(look_at) => false,
            };
            // A file system that doesn't answer holds nobody up at the end.
            let work = async {
                let reason = if signal { Some(Reason::Signal) } else { self.look().await };
                if let Some(reason) = reason {
                    self.reload(reason).await;
                }
            };
            tokio::select! {
                () = end.cancelled() => return,
                () = work => {}
            }
            if start_over.is_some_and(|at| at <= Instant::now()) {
                start_over = None;
                for line in world::unserved(&self.present, &self.view.borrow()) {
                    tracing::warn!("{line}");
                }
            }
            look_at = Instant::now() + (self.looked * LOOK_SHARE).clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY);
        }
    }

    /// Whether the files, or the nodes, give a reason to read.
    async fn look(&mut self) -> Option<Reason> {
        let files = self.looks.files();
        let (now, took) = blocking(move || {
            let began = Instant::now();
            (files.now(), began.elapsed())
        })
        .await;
        self.looked = took;
        if self.looks.settled(now) {
            return Some(Reason::Files);
        }
        let again = self.again.as_ref().is_some_and(|(at, _)| *at <= Instant::now());
        again.then_some(Reason::World)
    }

    async fn reload(&mut self, reason: Reason) {
        let (source, present) = (self.source.clone(), self.present.clone());
        let (files, outcome) = blocking(move || read(&source, &present)).await;
        self.looks.read(files);
        let waited = self.again.take();
        let (config, changes, made) = match outcome {
            Ok(read) => *read,
            Err(problems) => return self.refuse(&problems),
        };
        self.tell_what_waits(&changes);
        if changes.keys.is_empty() {
            self.record.send_modify(Record::same);
            tracing::info!(
                reason = reason.as_str(),
                checksum = self.record.borrow().checksum(),
                "configuration unchanged"
            );
            return;
        }
        let lost = world::without_nodes(&changes.homed, &self.view.borrow(), WORLD_AGAIN);
        if !lost.is_empty() {
            // Said once, for as long as it waits for the same.
            let is_known = reason == Reason::World && waited.is_some_and(|(_, known)| known == lost);
            if !is_known {
                self.refuse(&lost);
            }
            self.again = Some((Instant::now() + WORLD_AGAIN, lost));
            return;
        }
        self.take_over(reason, config, &changes, made);
    }

    fn take_over(&mut self, reason: Reason, config: Config, changes: &Changes, made: Made) {
        self.in_force.replace(made);
        let checksum = config.checksum();
        self.record.send_modify(|record| record.taken_over(checksum.clone()));
        tracing::info!(reason = reason.as_str(), %checksum, changed = named(&changes.keys), "configuration taken over");
        let known = self.present.warnings();
        for warning in config.warnings().iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.present = Arc::new(config);
    }

    fn refuse(&self, problems: &[Problem]) {
        self.record.send_modify(|record| record.failed(problems));
        let record = self.record.borrow();
        for problem in problems {
            tracing::error!(in_force = record.checksum(), "configuration refused: {problem}");
        }
    }

    fn tell_what_waits(&mut self, changes: &Changes) {
        for problem in changes.at_next_start.iter().filter(|problem| !self.told.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.told.clone_from(&changes.at_next_start);
    }
}

type Read = Box<(Config, Changes, Made)>;

/// Reads the configuration over the present one, keys included.
fn read((file, env): &(PathBuf, Environment), present: &Config) -> (Files, Result<Read, Vec<Problem>>) {
    let Reading { files, outcome } = present.load_after(file, env, &configuration::usable);
    let outcome = outcome.map_err(|error| error.problems).and_then(|(config, changes)| {
        let made = Made::of(&config).map_err(|failure| {
            vec![Problem {
                place: ringway_config::Place::Nowhere,
                key: String::new(),
                message: failure.to_string(),
            }]
        })?;
        Ok(Box::new((config, changes, made)))
    });
    (files, outcome)
}

/// Runs what waits for files where that holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The first of these keys, and how many more there are.
fn named(keys: &[String]) -> String {
    let mut named = keys.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.len() > NAMED {
        named += &format!(" and {} more", keys.len() - NAMED);
    }
    named
}
