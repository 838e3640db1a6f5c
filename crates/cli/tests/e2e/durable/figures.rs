//! What clients notice of each fault, as a table.

use std::time::{Duration, Instant};

use ringway_testkit::transcript::Event;

use super::crowd::Crowd;
use crate::member::{Member, Outcome};
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
        println!("{}: {}", self.title, label.trim());
        let result = what();
        crowd.all_hear(3);
        self.done.push((label.to_owned(), began, Instant::now()));
        result
    }

    /// One line a step. *Silence*: the longest time in which a client heard nothing in one of its durable rooms, of the
    /// median client, of the 95th of a hundred, and of the one it was worst for (cuts of its own included). *No ack*: the
    /// longest time in which nobody was told that something is stored. *Answer*: the longest that a publication waited
    /// for its first answer.
    pub(super) fn print(&self, crowd: &Crowd) {
        let mut table = format!(
            "\n{}: {} clients in {} durable rooms\n{:<34}{:>8}{:>8}{:>9}{:>9}{:>9}{:>8}{:>9}{:>8}\n",
            self.title,
            crowd.members.len(),
            crowd.durable.len(),
            "",
            "took",
            "opened",
            "silence",
            "p95",
            "worst",
            "no ack",
            "answer",
            "unsure",
        );
        for (label, from, to) in &self.done {
            let span = (*from, *to);
            let within = |at: Instant| at >= *from && at < *to;
            let mut silences: Vec<Duration> =
                crowd.members.iter().map(|member| silence(member, span)).collect();
            silences.sort_unstable();
            let silence = |share: f64| seconds(silences[((silences.len() - 1) as f64 * share) as usize]);
            let (mut acks, mut answer, mut unsure, mut opened) = (vec![], Duration::ZERO, 0, 0);
            for member in &*crowd.members {
                let record = member.record();
                opened += record.hellos.iter().filter(|(at, _)| within(*at)).count();
                let durable = record.sent.iter().filter(|sent| sent.room.as_str().starts_with("talk."));
                for sent in durable.filter(|sent| within(sent.at)) {
                    answer = answer.max(sent.answered.unwrap_or(*to) - sent.at);
                    unsure += usize::from(sent.unsure);
                    if let (Some(Outcome::Accepted { .. }), Some(at)) = (&sent.outcome, sent.answered) {
                        acks.push(at);
                    }
                }
            }
            table.push_str(&format!(
                "{label:<34}{:>8}{opened:>8}{:>9}{:>9}{:>9}{:>8}{:>9}{unsure:>8}\n",
                seconds(*to - *from),
                silence(0.5),
                silence(0.95),
                silence(1.0),
                seconds(longest_without(acks, span)),
                seconds(answer),
            ));
        }
        println!("{table}");
    }
}

/// The longest time in which a member heard nothing in one of its durable rooms.
fn silence(member: &Member, span: (Instant, Instant)) -> Duration {
    let record = member.record();
    let rooms = record.rooms.iter().filter(|(room, _)| room.as_str().starts_with("talk."));
    let of_room = |events: &[(Instant, Event)]| {
        let heard = events.iter().filter(|(_, event)| matches!(event, Event::Heard { .. }));
        longest_without(heard.map(|(at, _)| *at), span)
    };
    rooms.map(|(_, heard)| of_room(&heard.events)).max().unwrap_or_default()
}
