//! What is done to a cluster, step by step, and what each step cost each client: printed as a table.

use std::time::{Duration, Instant};

use ringway_testkit::transcript::Event;

use super::crowd::Crowd;
use super::follower::Follower;
use crate::span::{longest_without, seconds};

pub(super) struct Steps {
    title: String,
    done: Vec<(String, Instant, Instant)>,
}

impl Steps {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), done: Vec::new() }
    }

    /// Does something, and waits until everybody hears again what is said: the step ends then.
    pub(super) fn step<T>(&mut self, label: &str, crowd: &Crowd, what: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = what();
        crowd.all_hear(5);
        println!("{}: {}", self.title, label.trim());
        self.done.push((label.to_owned(), began, Instant::now()));
        result
    }

    /// One line a step. *Silence*: the longest time in which a client heard nothing in a room in which others spoke, of
    /// the median client, of the 95th of a hundred, and of the one it was worst for. *Answer*: the longest that a
    /// publication waited for its answer.
    pub(super) fn print(&self, crowd: &Crowd) {
        let mut table = format!(
            "\n{}: {} clients in {} rooms\n{:<28}{:>8}{:>9}{:>6}{:>6}{:>9}{:>9}{:>9}{:>9}\n",
            self.title,
            crowd.followers.len(),
            crowd.rooms.len(),
            "",
            "took",
            "moved",
            "cut",
            "gaps",
            "silence",
            "p95",
            "worst",
            "answer"
        );
        for (label, from, to) in &self.done {
            let span = (*from, *to);
            let mut silences: Vec<Duration> =
                crowd.followers.iter().filter_map(|follower| silence(follower, span)).collect();
            silences.sort_unstable();
            let sum = |of: &dyn Fn(&Follower) -> usize| crowd.followers.iter().map(of).sum::<usize>();
            let within = |at: &Instant| *at >= *from && *at < *to;
            let moved = sum(&|follower| follower.record().opened.iter().filter(|(at, _)| within(at)).count());
            let cut = sum(&|follower| follower.record().lost.iter().filter(|(at, _)| within(at)).count());
            let gaps = sum(&|follower| {
                let record = follower.record();
                record.rooms.values().flat_map(|room| &room.gaps).filter(|(at, _)| within(at)).count()
            });
            let answer = crowd.followers.iter().map(|follower| slowest(follower, span)).max();
            let at = |share: f64| silences[((silences.len() - 1) as f64 * share) as usize];
            table.push_str(&format!(
                "{label:<28}{:>8}{moved:>9}{cut:>6}{gaps:>6}{:>9}{:>9}{:>9}{:>9}\n",
                seconds(*to - *from),
                seconds(at(0.5)),
                seconds(at(0.95)),
                seconds(at(1.0)),
                seconds(answer.unwrap_or_default()),
            ));
        }
        println!("{table}");
    }
}

/// The longest time in which a client heard nothing in one of its rooms. None: it came later.
fn silence(follower: &Follower, (from, to): (Instant, Instant)) -> Option<Duration> {
    let of_room = |heard: &super::record::Heard| {
        let (joined, _) = heard.events.first().filter(|(joined, _)| *joined < to)?;
        let times = heard.events.iter().filter(|(_, event)| matches!(event, Event::Heard { .. }));
        Some(longest_without(times.map(|(at, _)| *at), (from.max(*joined), to)))
    };
    follower.record().rooms.values().filter_map(of_room).max()
}

/// The longest that a publication of this client, asked for in that time, waited for its answer.
fn slowest(follower: &Follower, (from, to): (Instant, Instant)) -> Duration {
    let record = follower.record();
    let asked = record.sent.iter().filter(|sent| sent.asked >= from && sent.asked < to);
    let waited =
        asked.map(|sent| sent.answered.as_ref().map_or_else(Instant::now, |(at, _)| *at) - sent.asked);
    waited.max().unwrap_or_default()
}
