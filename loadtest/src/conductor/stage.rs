//! A target that runs, generator processes beside it, and the phases that were measured so far.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::bail;
use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::{Msg, ServerFrame};

use super::outcome::{add_opened, note_published, take};
use super::progress::Progress;
use super::sampling::{Sampling, used};
use super::workers::Workers;
use crate::control::{Aim, Collected, Command, Event, Membership};
use crate::dialect::Spec;
use crate::plan::Script;
use crate::proc;
use crate::result::Phase;
use crate::target::Running;

/// What a connection may take to open, and a delivery to arrive, before it counts as failed or lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// Handshakes under way at a time: enough to keep a server busy, few enough to measure the server and not its backlog.
pub(super) const IN_FLIGHT: usize = 64;

/// How long publishers' sockets have, after the last message, for what they didn't take at once, seconds.
pub(super) const PATIENCE_OF_SOCKETS: f64 = 10.0;

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
    /// Message `n` is of key `n` modulo so many, where there are keys.
    pub(crate) keys: Option<u32>,
    /// How long the publishers' sockets have for what they didn't take at once, seconds.
    pub(crate) patience: f64,
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
    /// Workers that know the target, how many connections the script opens in all, and whose clients their own are.
    pub(crate) fn set(
        mut workers: Workers,
        running: &'a Running,
        script: &Script,
        generator_cores: usize,
        rooms: bool,
        progress: &'a mut Progress,
    ) -> anyhow::Result<Stage<'a>> {
        let (connections, tenants) = (script.connections(), script.tenants());
        let share = connections.div_ceil(workers.len());
        let sources: Vec<IpAddr> =
            (1..=SOURCES).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect();
        let configure = |worker| Command::Configure {
            dialect: match tenants.get(worker).copied().flatten() {
                Some(tenant) => running.dialect.of_tenant(tenant),
                None => running.dialect.clone(),
            },
            addresses: running.addresses.clone(),
            sources: sources.clone(),
            first: worker * share,
            total: connections,
            spin: script.spin(worker),
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
        self.workers.ask_all(&Command::Reset, PATIENCE, self.progress)?;
        self.phase_on(name, work)
    }

    /// The same, but the generators count on from the phase before.
    pub(crate) fn phase_on(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self, &mut Phase) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.progress.phase(name);
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
                (worker, opening(count, in_flight, rooms, None))
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

    /// Opens `count` connections at one worker. `receive_buffer`: their `SO_RCVBUF`, where it isn't the kernel's choice.
    pub(crate) fn open_on(
        &mut self,
        worker: usize,
        phase: &mut Phase,
        count: usize,
        receive_buffer: Option<usize>,
        rooms: &Membership,
    ) -> anyhow::Result<()> {
        let command = opening(count, IN_FLIGHT, rooms, receive_buffer);
        let event = self.workers.ask(worker, command, PATIENCE, self.progress)?;
        let Event::Opened(opened) = event else { bail!("opening was answered by {event:?}") };
        self.open[worker] += opened.opened;
        add_opened(phase, &opened)?;
        if opened.opened < count {
            bail!("{} of {count} connections could be opened: {}", opened.opened, phase.notes.join("; "));
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
            keys: what.keys,
            patience: what.patience,
        }
    }

    /// What a worker has got, once `deliveries` have come, or nothing came for `quiet` seconds, or after `within`.
    pub(crate) fn gather(
        &mut self,
        worker: usize,
        deliveries: Option<u64>,
        quiet: f64,
        within: f64,
    ) -> anyhow::Result<Collected> {
        let command = Command::Collect { deliveries, within, quiet: Some(quiet), silences: false };
        match self.workers.ask(worker, command, PATIENCE + Duration::from_secs_f64(within), self.progress)? {
            Event::Collected(collected) => Ok(collected),
            other => bail!("collecting was answered by {other:?}"),
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
                let within = PATIENCE.as_secs_f64();
                (worker, Command::Collect { deliveries, within, quiet, silences: false })
            })
            .collect();
        let events = self.workers.ask_each(commands, PATIENCE * 2, self.progress, &mut |_| {})?;
        take(phase, events.into_iter().zip(due))
    }

    /// The same of one worker alone, whatever the others hear.
    pub(crate) fn collect_from(&mut self, phase: &mut Phase, worker: usize, due: u64) -> anyhow::Result<()> {
        let within = PATIENCE.as_secs_f64();
        let command = Command::Collect { deliveries: Some(due), within, quiet: None, silences: false };
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

fn opening(count: usize, in_flight: usize, rooms: &Membership, receive_buffer: Option<usize>) -> Command {
    Command::Open { count, in_flight, per_second: None, rooms: rooms.clone(), receive_buffer }
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
