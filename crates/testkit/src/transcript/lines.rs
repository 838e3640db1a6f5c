//! Histories as text, a JSON object a line, so that whatever writes such lines can be checked.
//!
//! | `t` | fields | is |
//! |---|---|---|
//! | `room` | `room`, `kind` (`ephemeral`, `durable`, `newest`) | what is promised there; `ephemeral` where it isn't said |
//! | `sent` | `room`, `by`, `n`, `key` | a publication, named by its publisher's connection and a number that rises |
//! | `accepted` | `room`, `by`, `n`, `epoch`, `offset` | its publisher was told so (no place: without a number) |
//! | `refused` | `room`, `by`, `n` | its publisher was told that it surely isn't published |
//! | `repeated` | `room`, `by`, `n` | it was sent again, when the store may have forgotten the first: it may be there twice |
//! | `joined` | `room`, `member`, `epoch`, `offset`, `resumed` | a join's answer |
//! | `msg` | `room`, `member`, `offset`, `by`, `n` | it heard a publication |
//! | `gap` | `room`, `member`, `epoch`, `offset` | it was told of a loss |
//! | `left` | `room`, `member` | what comes later it needn't have |
//! | `store` | `room`, `epoch`, `from` | the store was read at the end; from there on nothing was removed |
//! | `stored` | `room`, `offset`, `by`, `n` | what it had (no name: unknown which) |
//!
//! Lines of one member of a room are in the order in which it heard; otherwise the order is free.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

use super::{Accepted, Event, Kept, Kind, Name, Place, Room, Rooms, Transcript};

/// A line that isn't one.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// It couldn't be read.
    #[error("line {line}: {error}")]
    Read {
        /// From 1.
        line: usize,
        /// Why.
        error: io::Error,
    },
    /// It says something else.
    #[error("line {line}: {text}")]
    Strange {
        /// From 1.
        line: usize,
        /// What it says.
        text: String,
    },
}

impl Rooms {
    /// Reads lines.
    ///
    /// # Errors
    /// The first that isn't one.
    pub fn read_lines(lines: impl BufRead) -> Result<Self, BadLine> {
        let mut rooms = Self::default();
        for (at, read) in lines.lines().enumerate() {
            let line = at + 1;
            let text = read.map_err(|error| BadLine::Read { line, error })?;
            let value = serde_json::from_str(&text).ok();
            if value.and_then(|value: Value| rooms.take(&value)).is_none() {
                return Err(BadLine::Strange { line, text });
            }
        }
        Ok(rooms)
    }

    /// Writes all that is known, so that it reads back the same.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_lines(&self, mut to: impl Write) -> io::Result<()> {
        for (called, room) in &self.0 {
            room.lines(called).iter().try_for_each(|line| writeln!(to, "{line}"))?;
        }
        Ok(())
    }

    fn take(&mut self, line: &Value) -> Option<()> {
        let room = self.0.entry(line["room"].as_str()?.to_owned()).or_default();
        match line["t"].as_str()? {
            "room" => room.kind = Kind::named(line["kind"].as_str()?)?,
            "sent" => {
                let name = name_in(line)?;
                if let Some(key) = line["key"].as_str() {
                    room.keys.insert(name.clone(), key.into());
                }
                room.sent.insert(name);
            }
            "accepted" => room.accepted.push(Accepted { name: name_in(line)?, place: place_in(line) }),
            "refused" => {
                room.refused.insert(name_in(line)?);
            }
            "repeated" => {
                room.repeated.insert(name_in(line)?);
            }
            "joined" => {
                let (place, resumed) = (place_in(line), line["resumed"].as_bool());
                room.member(line)?.events.push(Event::Joined { place, resumed });
            }
            "msg" => {
                let (offset, name) = (line["offset"].as_u64(), name_in(line)?);
                room.member(line)?.events.push(Event::Heard { offset, name });
            }
            "gap" => {
                let place = place_in(line)?;
                room.member(line)?.events.push(Event::Gap(place));
            }
            "left" => room.member(line)?.left = true,
            "store" => {
                let kept = room.kept();
                (kept.epoch, kept.from) = (line["epoch"].as_str()?.into(), line["from"].as_u64()?);
            }
            "stored" => {
                let offset = line["offset"].as_u64()?;
                room.kept().publications.insert(offset, name_in(line));
            }
            _ => return None,
        }
        Some(())
    }
}

impl Room {
    fn member(&mut self, line: &Value) -> Option<&mut Transcript> {
        let member = line["member"].as_str()?;
        let at = self.transcripts.iter().position(|transcript| transcript.member == member);
        let at = at.unwrap_or_else(|| {
            self.transcripts.push(Transcript { member: member.to_owned(), left: false, events: Vec::new() });
            self.transcripts.len() - 1
        });
        Some(&mut self.transcripts[at])
    }

    fn kept(&mut self) -> &mut Kept {
        let none = || Kept { epoch: "".into(), from: 0, publications: BTreeMap::new() };
        self.kept.get_or_insert_with(none)
    }

    fn lines(&self, called: &str) -> Vec<Value> {
        let mut lines = vec![json!({"t": "room", "kind": self.kind.name()})];
        for name in &self.sent {
            let mut line = named("sent", Some(name));
            if let Some(key) = self.keys.get(name) {
                line["key"] = json!(**key);
            }
            lines.push(line);
        }
        lines
            .extend(self.accepted.iter().map(|a| placed(named("accepted", Some(&a.name)), a.place.as_ref())));
        lines.extend(self.repeated.iter().map(|name| named("repeated", Some(name))));
        lines.extend(self.refused.iter().map(|name| named("refused", Some(name))));
        for transcript in &self.transcripts {
            let of_member = |mut line: Value| {
                line["member"] = json!(transcript.member);
                line
            };
            lines.extend(transcript.events.iter().map(|event| of_member(of_event(event))));
            if transcript.left {
                lines.push(of_member(json!({"t": "left"})));
            }
        }
        if let Some(kept) = &self.kept {
            lines.push(json!({"t": "store", "epoch": *kept.epoch, "from": kept.from}));
            for (offset, name) in &kept.publications {
                let mut line = named("stored", name.as_ref());
                line["offset"] = json!(offset);
                lines.push(line);
            }
        }
        lines.iter_mut().for_each(|line| line["room"] = json!(called));
        lines
    }
}

fn of_event(event: &Event) -> Value {
    match event {
        Event::Joined { place, resumed } => {
            let mut line = placed(json!({"t": "joined"}), place.as_ref());
            if let Some(resumed) = resumed {
                line["resumed"] = json!(resumed);
            }
            line
        }
        Event::Heard { offset, name } => {
            let mut line = named("msg", Some(name));
            if let Some(offset) = offset {
                line["offset"] = json!(offset);
            }
            line
        }
        Event::Gap(place) => placed(json!({"t": "gap"}), Some(place)),
    }
}

fn named(t: &str, name: Option<&Name>) -> Value {
    match name {
        Some(name) => json!({"t": t, "by": *name.by, "n": name.number}),
        None => json!({"t": t}),
    }
}

fn placed(mut line: Value, place: Option<&Place>) -> Value {
    if let Some(place) = place {
        (line["epoch"], line["offset"]) = (json!(*place.epoch), json!(place.offset));
    }
    line
}

fn name_in(line: &Value) -> Option<Name> {
    Some(Name { by: line["by"].as_str()?.into(), number: line["n"].as_u64()? })
}

fn place_in(line: &Value) -> Option<Place> {
    Some(Place { epoch: line["epoch"].as_str()?.into(), offset: line["offset"].as_u64()? })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ephemeral => "ephemeral",
            Self::Durable => "durable",
            Self::Newest => "newest",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::Ephemeral, Self::Durable, Self::Newest].into_iter().find(|kind| kind.name() == text)
    }
}
