//! The generator's processes, as the conductor has them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command as Program, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::progress::Progress;
use crate::control::{Command, Event};
use crate::proc;

/// Worker processes, numbered from 0. Dropping them ends the processes.
pub(crate) struct Workers {
    list: Vec<Worker>,
    events: Receiver<(usize, anyhow::Result<Event>)>,
}

struct Worker {
    child: Child,
    commands: ChildStdin,
}

impl Workers {
    /// Starts so many, held to these cores.
    pub(crate) fn start(count: usize, cores: &[usize]) -> anyhow::Result<Workers> {
        let (sender, events) = channel();
        let list = (0..count).map(|number| start(number, cores, sender.clone())).collect::<Result<_, _>>()?;
        Ok(Workers { list, events })
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Seconds of CPU that they have used.
    pub(crate) fn cpu(&self) -> f64 {
        self.list.iter().map(|worker| proc::cpu(worker.child.id())).sum()
    }

    /// Has one worker do something, and waits for its answer.
    pub(crate) fn ask(
        &mut self,
        worker: usize,
        command: Command,
        within: Duration,
        progress: &mut Progress,
    ) -> anyhow::Result<Event> {
        let answers = self.ask_each(vec![(worker, command)], within, progress, &mut |_| {})?;
        answers.into_iter().next().context("an answer")
    }

    /// Has all workers do the same, and waits for their answers, in their order.
    pub(crate) fn ask_all(
        &mut self,
        command: &Command,
        within: Duration,
        progress: &mut Progress,
    ) -> anyhow::Result<Vec<Event>> {
        let commands = (0..self.len()).map(|worker| (worker, command.clone())).collect();
        self.ask_each(commands, within, progress, &mut |_| {})
    }

    /// Has workers do things, and waits for the answers, in the order of the commands; `meanwhile` is called several times
    /// a second.
    pub(crate) fn ask_each(
        &mut self,
        commands: Vec<(usize, Command)>,
        within: Duration,
        progress: &mut Progress,
        meanwhile: &mut dyn FnMut(&Progress),
    ) -> anyhow::Result<Vec<Event>> {
        let asked: Vec<usize> = commands.iter().map(|(worker, _)| *worker).collect();
        for (worker, command) in commands {
            let mut line = serde_json::to_vec(&command)?;
            line.push(b'\n');
            self.list[worker].commands.write_all(&line).context("the worker takes no commands")?;
        }
        let mut answers: Vec<Option<Event>> = vec![None; asked.len()];
        let deadline = Instant::now() + within;
        while answers.iter().any(Option::is_none) {
            meanwhile(progress);
            let (worker, event) = match self.events.recv_timeout(Duration::from_millis(200)) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                Err(_) => bail!("the generator didn't answer within {} s", within.as_secs()),
            };
            match event? {
                Event::Progress(standing) => progress.worker(worker, &standing),
                Event::Failed { why } => bail!("worker {worker}: {why}"),
                event => {
                    let place =
                        asked.iter().position(|asked| *asked == worker).context("an answer unasked")?;
                    answers[place] = Some(event);
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

fn start(
    number: usize,
    cores: &[usize],
    events: Sender<(usize, anyhow::Result<Event>)>,
) -> anyhow::Result<Worker> {
    let mut child = Program::new(std::env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("a worker can't be started")?;
    proc::pin(child.id(), cores)?;
    let commands = child.stdin.take().expect("it is piped");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    std::thread::spawn(move || {
        for line in lines {
            let event = line.map_err(anyhow::Error::from).and_then(|line| {
                serde_json::from_str(&line).with_context(|| format!("a worker said: {line}"))
            });
            if events.send((number, event)).is_err() {
                return;
            }
        }
        // Nobody may listen any more, which is as well.
        let _ = events.send((number, Err(anyhow::anyhow!("worker {number} has ended"))));
    });
    Ok(Worker { child, commands })
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
