//! A target that runs, generator processes beside it, and the phases that were measured so far.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::bail;
use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::{Msg, ServerFrame};

use super::progress::Progress;
use super::workers::Workers;
use crate::control::{Aim, Command, Event, Membership, Opened};
use crate::dialect::Spec;
use crate::histogram;
use crate::proc::{self, Reading};
use crate::result::{Phase, Sample, Use};
use crate::target::Running;

/// What a connection may take to open, and a delivery to arrive, before it counts as failed or lost.
const PATIENCE: Duration = Duration::from_secs(40);

/// Source addresses of the generator: each has 28,000 ports to one address of a server.
const SOURCES: u8 = 8;

/// What is published in a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publishing {
    /// Bursts a second.
    pub(crate) per_second: f64,
    /// Messages a burst, back to back.
    pub(crate) burst: usize,
    pub(crate) seconds: f64,
    /// Bytes of a message's data. Where a server sends a body on as it is, the body is as long as Ringway's whole frame, so
    /// that the same number of bytes leaves both.
    pub(crate) data: usize,
    pub(crate) publishers: usize,
    pub(crate) to: Aim,
    /// How many connections each message goes to; none: whoever the membership says, which only the workers know.
    pub(crate) members: Option<u64>,
}

pub(crate) struct Stage<'a> {
    pub(crate) workers: Workers,
    pub(crate) running: &'a Running,
    pub(crate) progress: &'a mut Progress,
    pub(crate) phases: Vec<Phase>,
    generator_cores: usize,
    /// The target has rooms.
    pub(crate) rooms: bool,
    /// Open now, by worker.
    open: Vec<usize>,
}

impl<'a> Stage<'a> {
    /// Workers that know the target, and that `connections` will come in all.
    pub(crate) fn set(
        mut workers: Workers,
        running: &'a Running,
        connections: usize,
        generator_cores: usize,
        rooms: bool,
        progress: &'a mut Progress,
    ) -> anyhow::Result<Stage<'a>> {
        let share = connections.div_ceil(workers.len());
        let sources: Vec<IpAddr> =
            (1..=SOURCES).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect();
        let configure = |worker| Command::Configure {
            dialect: running.dialect.clone(),
            addresses: running.addresses.clone(),
            sources: sources.clone(),
            first: worker * share,
            total: connections,
        };
        let commands = (0..workers.len()).map(|worker| (worker, configure(worker))).collect();
        workers.ask_each(commands, PATIENCE, progress, &mut |_| {})?;
        let open = vec![0; workers.len()];
        Ok(Stage { workers, running, progress, phases: Vec::new(), generator_cores, rooms, open })
    }

    pub(crate) fn connections(&self) -> usize {
        self.open.iter().sum()
    }

    /// Measures what `work` does as a phase of that name.
    pub(crate) fn phase(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self, &mut Phase) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.progress.phase(name);
        self.workers.ask_all(&Command::Reset, PATIENCE, self.progress)?;
        let mut phase = Phase { name: name.to_owned(), ..Phase::default() };
        let (before, own) = (proc::read(&self.running.roles), self.workers.cpu());
        let since = Instant::now();
        work(self, &mut phase)?;
        phase.seconds = since.elapsed().as_secs_f64();
        phase.generator_cpu = self.workers.cpu() - own;
        phase.generator_busy = phase.generator_cpu / phase.seconds / self.generator_cores as f64;
        phase.connections = self.connections();
        phase.roles = used(&before, &proc::read(&self.running.roles));
        self.phases.push(phase);
        Ok(())
    }

    /// Opens `count` connections, spread over the workers.
    pub(crate) fn open(
        &mut self,
        phase: &mut Phase,
        count: usize,
        in_flight: usize,
        rooms: &Membership,
    ) -> anyhow::Result<()> {
        let share = count.div_ceil(self.workers.len());
        let in_flight = in_flight.div_ceil(self.workers.len());
        let commands = (0..self.workers.len())
            .map(|worker| {
                let count = share.min(count.saturating_sub(worker * share));
                (worker, Command::Open { count, in_flight, per_second: None, rooms: rooms.clone() })
            })
            .collect();
        let within = PATIENCE + Duration::from_millis(count as u64 * 5);
        let events = self.workers.ask_each(commands, within, self.progress, &mut |_| {})?;
        for (worker, event) in events.into_iter().enumerate() {
            let Event::Opened(opened) = event else { bail!("opening was answered by {event:?}") };
            self.open[worker] += opened.opened;
            add_opened(phase, &opened)?;
        }
        if phase.opened == 0 {
            bail!("no connection could be opened: {}", phase.notes.join("; "));
        }
        Ok(())
    }

    /// Publishes, and waits for the deliveries.
    pub(crate) fn publish(&mut self, phase: &mut Phase, what: Publishing) -> anyhow::Result<()> {
        let command = self.command(what);
        let within = PATIENCE + Duration::from_secs_f64(what.seconds);
        let event = self.workers.ask(0, command, within, self.progress)?;
        let (sent, due) = note_published(phase, event, what)?;
        let open = self.open.clone();
        let everyone = what.members == Some(open.iter().sum::<usize>() as u64);
        self.collect(phase, |worker| match what.members {
            Some(_) if everyone => Some(sent * open[worker] as u64),
            Some(members) => Some(if worker == 0 { sent * members } else { 0 }),
            None => None,
        })?;
        if let Some(due) = due.filter(|_| what.members.is_none()) {
            phase.due = due;
            phase.lost = due.saturating_sub(phase.deliveries);
        }
        Ok(())
    }

    /// The command for it, with the body as long as this target's should be.
    pub(crate) fn command(&self, what: Publishing) -> Command {
        let body = match self.running.dialect {
            Spec::Plain => frame_bytes(what.data),
            _ => what.data,
        };
        Command::Publish {
            per_second: what.per_second,
            burst: what.burst,
            seconds: what.seconds,
            body,
            publishers: what.publishers,
            to: what.to,
        }
    }

    /// Waits for so many deliveries at each worker, which are due; none: until nothing comes any more.
    pub(crate) fn collect(
        &mut self,
        phase: &mut Phase,
        deliveries: impl Fn(usize) -> Option<u64>,
    ) -> anyhow::Result<()> {
        let due: Vec<Option<u64>> = (0..self.workers.len()).map(deliveries).collect();
        let commands = (0..self.workers.len())
            .map(|worker| {
                let deliveries = due[worker];
                let quiet = deliveries.is_none().then_some(1.5);
                (worker, Command::Collect { deliveries, within: PATIENCE.as_secs_f64(), quiet })
            })
            .collect();
        let events = self.workers.ask_each(commands, PATIENCE * 2, self.progress, &mut |_| {})?;
        take(phase, events.into_iter().zip(due))
    }

    /// The same of one worker alone, whatever the others hear.
    pub(crate) fn collect_from(&mut self, phase: &mut Phase, worker: usize, due: u64) -> anyhow::Result<()> {
        let command = Command::Collect { deliveries: Some(due), within: PATIENCE.as_secs_f64(), quiet: None };
        let event = self.workers.ask(worker, command, PATIENCE * 2, self.progress)?;
        take(phase, [(event, Some(due))])
    }

    /// Lets time pass, looking at the processes `every` so often.
    pub(crate) fn hold(&mut self, phase: &mut Phase, seconds: f64, every: Option<f64>) -> anyhow::Result<()> {
        let begin = Sampling::begin(self.running);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
            std::thread::sleep(Duration::from_secs_f64(every.unwrap_or(seconds).min(left)));
            if every.is_some() {
                self.workers.ask_all(&Command::Stand, PATIENCE, self.progress)?;
                phase.samples.push(begin.sample(self.running, self.progress));
            }
        }
        // Also keeps the workers' own progress flowing.
        self.workers.ask_all(&Command::Stand, PATIENCE, self.progress)?;
        Ok(())
    }

    /// Closes all connections.
    pub(crate) fn close(&mut self, abruptly: bool) -> anyhow::Result<()> {
        self.workers.ask_all(&Command::Close { count: None, abruptly }, PATIENCE, self.progress)?;
        self.open.fill(0);
        Ok(())
    }

    pub(crate) fn open_at(&self, worker: usize) -> usize {
        self.open[worker]
    }
}

/// Takes what workers have collected, with how much of it was due.
fn take(phase: &mut Phase, collected: impl IntoIterator<Item = (Event, Option<u64>)>) -> anyhow::Result<()> {
    let (mut latency, mut last) = (histogram::unpack(&phase.latency)?, histogram::empty());
    let (mut bytes, mut reads) = (0, 0);
    for (event, due) in collected {
        let Event::Collected(part) = event else { bail!("collecting was answered by {event:?}") };
        phase.deliveries += part.deliveries;
        phase.due += due.unwrap_or(0);
        phase.lost += due.unwrap_or(0).saturating_sub(part.deliveries);
        phase.out_of_order += part.out_of_order;
        phase.closed += part.closed;
        phase.notes.extend(part.first_close.map(|how| format!("the server closed: {how}")));
        phase.notes.extend(part.first_refusal.map(|how| format!("{} refused: {how}", part.refused)));
        latency.add(histogram::unpack(&part.latency)?)?;
        last.add(histogram::unpack(&part.last)?)?;
        bytes += part.delivered_bytes;
        reads += part.reads;
    }
    phase.delivery_bytes = bytes as f64 / phase.deliveries.max(1) as f64;
    phase.deliveries_per_read = phase.deliveries as f64 / reads.max(1) as f64;
    phase.latency = histogram::pack(&latency);
    phase.last = histogram::pack(&last);
    Ok(())
}

/// Takes the answer to a command to publish. Returns how many messages there were, and how many deliveries the worker
/// expects of them where it can tell.
pub(crate) fn note_published(
    phase: &mut Phase,
    event: Event,
    what: Publishing,
) -> anyhow::Result<(u64, Option<u64>)> {
    let Event::Published(published) = event else { bail!("publishing was answered by {event:?}") };
    phase.sent += published.sent;
    phase.body_bytes = what.data;
    phase.lateness = published.lateness;
    Ok((published.sent, published.due))
}

/// Looks at processes during a phase.
pub(crate) struct Sampling {
    since: Instant,
    before: BTreeMap<String, Reading>,
}

impl Sampling {
    pub(crate) fn begin(running: &Running) -> Sampling {
        Sampling { since: Instant::now(), before: proc::read(&running.roles) }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// The processes now, and what the workers last said.
    pub(crate) fn sample(&self, running: &Running, progress: &Progress) -> Sample {
        let (connections, deliveries) = progress.now();
        let now = proc::read(&running.roles);
        let cpu_before = |role: &String| self.before.get(role).map_or(0.0, |reading| reading.cpu);
        Sample {
            at: self.since.elapsed().as_secs_f64(),
            connections,
            deliveries,
            rss: now.iter().map(|(role, r)| (role.clone(), r.rss)).collect(),
            files: now.iter().map(|(role, r)| (role.clone(), r.files)).collect(),
            cpu: now.iter().map(|(role, r)| (role.clone(), r.cpu - cpu_before(role))).collect(),
        }
    }
}

pub(crate) fn add_opened(phase: &mut Phase, opened: &Opened) -> anyhow::Result<()> {
    phase.opened += opened.opened;
    phase.failed += opened.failed;
    phase
        .notes
        .extend(opened.first_failure.clone().map(|why| format!("{} not opened: {why}", opened.failed)));
    let mut latency = histogram::unpack(&phase.latency)?;
    latency.add(histogram::unpack(&opened.latency)?)?;
    phase.latency = histogram::pack(&latency);
    Ok(())
}

fn used(before: &BTreeMap<String, Reading>, after: &BTreeMap<String, Reading>) -> BTreeMap<String, Use> {
    let role = |(name, after): (&String, &Reading)| {
        let before = before.get(name).copied().unwrap_or_default();
        let used = Use {
            cpu: after.cpu - before.cpu,
            rss_before: before.rss,
            rss_after: after.rss,
            files_before: before.files,
            files: after.files,
        };
        (name.clone(), used)
    };
    after.iter().map(role).collect()
}

/// Bytes of the frame in which Ringway delivers so much data: what the floor sends too.
fn frame_bytes(data: usize) -> usize {
    let text = serde_json::Value::String("x".repeat(data));
    let data = ringway_protocol::Payload::from_json(text.to_string().as_bytes());
    let msg = Msg {
        id: None,
        room: Some("room-0".parse().expect("a room's name")),
        data: data.expect("a string is a payload"),
        offset: Some(100),
        ts: Some(1_795_000_000_000),
        user: Some("u0".parse().expect("a user's name")),
        event: None,
        key: None,
        mid: None,
        prev: None,
        trace: None,
    };
    let mut frame = Vec::new();
    codec::encode_server(Format::Msgpack, &ServerFrame::Msg(msg), &mut frame);
    frame.len()
}
