//! What waits of one store, and what is read next: holes before resumes. A value; the desk runs it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::store::Newest;
use tokio::time::Instant;

use super::Read;
use super::job::Job;
use super::pass::PASS_MESSAGES;

/// Reads under way for a store; pages of history have some of their own.
const AT_ONCE: usize = 12;

/// Of these, questions what is newest, for each stream.
const ASKS_AT_ONCE: usize = 4;

/// Rooms asked for together.
const ROOMS_AT_ONCE: usize = 1_000;

/// Up to so many rooms that moved are read one by one; more are read together, in a pass.
const SINGLY: usize = 30;

/// Up to so many are read one by one though a pass would have been due, since it wouldn't reach them.
pub(super) const STRAGGLERS: usize = 64;

/// How long rooms wait for others whose newest is being asked for, to be read in the same pass.
const TOGETHER: Duration = Duration::from_millis(50);

/// What is to be done next.
pub(super) enum Work {
    /// One room is read.
    One(Job),
    /// What is newest of these is asked: they are of one stream.
    Ask(Vec<Job>),
    /// A stream is read once for these.
    Pass(Vec<Job>),
}

/// What is under way.
#[derive(Debug, Clone)]
pub(super) enum Running {
    One,
    Ask(Arc<str>),
    Pass(Arc<str>),
}

/// What waits of one store.
#[derive(Default)]
pub(super) struct Queue {
    running: usize,
    urgent: VecDeque<Job>,
    streams: BTreeMap<Arc<str>, Line>,
    /// Rooms to be read one by one.
    singles: VecDeque<Job>,
}

/// What waits of one stream.
#[derive(Default)]
struct Line {
    /// What is newest of them isn't known yet.
    unasked: VecDeque<Job>,
    /// More may come within some milliseconds, to be asked for together.
    gathering: bool,
    asking: usize,
    /// They lack something.
    moved: Vec<Job>,
    /// When the first of `moved` came.
    since: Option<Instant>,
    passing: bool,
}

impl Queue {
    /// `true`: `gathered` is to be called some milliseconds later.
    pub(super) fn ask(&mut self, job: Job) -> bool {
        let line = self.streams.entry(Arc::clone(&job.stream)).or_default();
        line.unasked.push_back(job);
        !std::mem::replace(&mut line.gathering, true)
    }

    pub(super) fn gathered(&mut self, stream: &str) {
        if let Some(line) = self.streams.get_mut(stream) {
            line.gathering = false;
        }
    }

    pub(super) fn urgent(&mut self, job: Job) {
        self.urgent.push_back(job);
    }

    /// Something that is known to be stored, and lacks here. Where many rooms lack something, they are read together.
    pub(super) fn hole(&mut self, mut job: Job, now: Instant) {
        let (Read::After { upto, .. }, true) = (job.read, self.urgent.len() >= SINGLY) else {
            return self.urgent.push_back(job);
        };
        job.newest = Some(Newest { offset: upto, ts: 0 });
        self.moved(job, now);
    }

    pub(super) fn single(&mut self, job: Job) {
        self.singles.push_back(job);
    }

    /// A room that has something which somebody lacks.
    pub(super) fn moved(&mut self, job: Job, now: Instant) {
        let line = self.streams.entry(Arc::clone(&job.stream)).or_default();
        line.moved.push(job);
        line.since.get_or_insert(now);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Nothing waits, and nothing is under way.
    pub(super) fn is_done(&self) -> bool {
        let quiet = |line: &Line| line.unasked.is_empty() && line.moved.is_empty() && !line.gathering;
        self.running == 0
            && self.urgent.is_empty()
            && self.singles.is_empty()
            && self.streams.values().all(quiet)
    }

    pub(super) fn next(&mut self, now: Instant) -> Option<(Work, Running)> {
        if self.running == AT_ONCE {
            return None;
        }
        let next = self.choose(now)?;
        self.running += 1;
        Some(next)
    }

    pub(super) fn ended(&mut self, what: &Running) {
        self.running -= 1;
        match what {
            Running::One => {}
            Running::Ask(stream) => {
                if let Some(line) = self.streams.get_mut(stream) {
                    line.asking -= 1;
                }
            }
            Running::Pass(stream) => {
                if let Some(line) = self.streams.get_mut(stream) {
                    line.passing = false;
                }
            }
        }
    }

    fn choose(&mut self, now: Instant) -> Option<(Work, Running)> {
        if let Some(job) = self.urgent.pop_front() {
            return Some((Work::One(job), Running::One));
        }
        for (stream, line) in &mut self.streams {
            if let Some(jobs) = line.next_to_ask() {
                return Some((Work::Ask(jobs), Running::Ask(Arc::clone(stream))));
            }
            if line.moved.len() > SINGLY && !line.passing && line.is_complete(now) {
                let (together, singly) = line.reach(now);
                self.singles.extend(singly);
                if !together.is_empty() {
                    line.passing = true;
                    return Some((Work::Pass(together), Running::Pass(Arc::clone(stream))));
                }
            }
        }
        if let Some(job) = self.singles.pop_front() {
            return Some((Work::One(job), Running::One));
        }
        for line in self.streams.values_mut() {
            if line.moved.len() <= SINGLY
                && let Some(job) = line.moved.pop()
            {
                return Some((Work::One(job), Running::One));
            }
        }
        None
    }
}

impl Line {
    fn next_to_ask(&mut self) -> Option<Vec<Job>> {
        if self.gathering || self.asking == ASKS_AT_ONCE || self.unasked.is_empty() {
            return None;
        }
        self.asking += 1;
        let count = self.unasked.len().min(ROOMS_AT_ONCE);
        Some(self.unasked.drain(..count).collect())
    }

    /// Nobody else is about to come, or they have been waited for long enough.
    fn is_complete(&self, now: Instant) -> bool {
        let coming = self.asking > 0 || !self.unasked.is_empty();
        !coming || self.since.is_some_and(|since| now >= since + TOGETHER)
    }

    /// Those whom one pass reaches together, and those who are read one by one. Who is so far back that a pass would end
    /// before it came to the others isn't among the first, unless all are.
    fn reach(&mut self, now: Instant) -> (Vec<Job>, Vec<Job>) {
        let moved = std::mem::take(&mut self.moved);
        self.since = None;
        let newest = |job: &Job| job.newest.map_or(0, |newest| newest.offset);
        let goal = moved.iter().map(newest).max().unwrap_or(0);
        let lowest = goal.saturating_sub(PASS_MESSAGES);
        let is_near = |job: &Job| job.claim().is_none_or(|claim| claim.offset >= lowest);
        let (near, far): (Vec<Job>, Vec<Job>) = moved.into_iter().partition(is_near);
        match (near.len() > SINGLY, far.len() > STRAGGLERS) {
            (true, false) => (near, far),
            (false, true) => (far, near),
            (false, false) => (Vec::new(), [near, far].into_iter().flatten().collect()),
            (true, true) => {
                (self.moved, self.since) = (far, Some(now));
                (near, Vec::new())
            }
        }
    }
}
