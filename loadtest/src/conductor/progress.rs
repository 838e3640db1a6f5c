//! What a person sees while a plan runs: a line for each run as it ends, and one that changes while it lasts.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::control::Standing;

/// Between two lines where standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    /// `12 of 54 · ringway direct · core`.
    title: String,
    phase: String,
    standings: Vec<Standing>,
    terminal: bool,
    spoken: Instant,
    started: Instant,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            title: String::new(),
            phase: String::new(),
            standings: Vec::new(),
            terminal: std::io::stderr().is_terminal(),
            spoken: Instant::now(),
            started: Instant::now(),
        }
    }

    pub(crate) fn run(&mut self, title: String) {
        self.title = title;
        self.phase = "starting".to_owned();
        self.standings.clear();
        self.show();
    }

    pub(crate) fn phase(&mut self, name: &str) {
        name.clone_into(&mut self.phase);
        self.show();
    }

    pub(crate) fn worker(&mut self, number: usize, standing: &Standing) {
        if self.standings.len() <= number {
            self.standings.resize(number + 1, Standing::default());
        }
        self.standings[number] = standing.clone();
        self.show();
    }

    /// Connections and deliveries of all workers, as they last said.
    pub(crate) fn now(&self) -> (usize, u64) {
        let sum = |(connections, deliveries), s: &Standing| {
            (connections + s.connections, deliveries + s.deliveries)
        };
        self.standings.iter().fold((0, 0), sum)
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        self.write(&format!("{clear}{line}\n"));
    }

    fn show(&mut self) {
        if !self.terminal && self.spoken.elapsed() < LINE_EVERY {
            return;
        }
        self.spoken = Instant::now();
        let (connections, deliveries) = self.now();
        let line = format!(
            "{:>4} s  {}  {}: {connections} connections, {deliveries} deliveries",
            self.started.elapsed().as_secs(),
            self.title,
            self.phase,
        );
        let line = if self.terminal { format!("\r\x1b[K{line}") } else { format!("{line}\n") };
        self.write(&line);
    }

    fn write(&mut self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Who doesn't want to see it misses nothing that isn't in the results.
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}
