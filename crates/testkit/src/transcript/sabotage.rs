//! What goes wrong between a client's frames and its transcript, on purpose: a checker that doesn't see it is none.

use super::{Event, Kind, Rooms, Transcript};

/// One way of breaking what was sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// One in a thousand publications isn't written down; where there are fewer, one.
    Drop,
    /// Two that came one after the other are written down the other way round.
    Swap,
    /// One is written down twice.
    Repeat,
    /// The last that somebody heard isn't written down.
    DropLast,
    /// One is written down as if it had come in another room.
    Neighbour,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Drop, Self::Swap, Self::Repeat, Self::DropLast, Self::Neighbour];

    /// The [kinds of faults](super::Fault::kind) one of which it has to be found as, in a durable room and in an
    /// ephemeral one.
    pub fn is_found_as(self) -> &'static [&'static str] {
        match self {
            Self::Drop => &["skipped", "hole"],
            Self::Swap => &["back"],
            Self::Repeat => &["twice"],
            Self::DropLast => &["lost", "behind"],
            Self::Neighbour => &["from_neighbour"],
        }
    }

    /// Breaks the histories. `seed` decides where. False: there is nowhere to do it.
    pub fn harm(self, rooms: &mut Rooms, seed: u64) -> bool {
        match self {
            Self::Drop => drop_some(rooms, seed),
            Self::Swap => {
                let swappable =
                    |events: &[Event], at: usize| numbered(events, at) && numbered(events, at + 1);
                let Some((transcript, at)) = one(rooms, seed, swappable) else { return false };
                transcript.events.swap(at, at + 1);
                true
            }
            Self::Repeat => {
                let Some((transcript, at)) = one(rooms, seed, numbered) else { return false };
                transcript.events.insert(at, transcript.events[at].clone());
                true
            }
            Self::DropLast => {
                // It has to be the last event: a gap after it would cover it.
                let last = |events: &[Event], at: usize| numbered(events, at) && at + 1 == events.len();
                let Some((transcript, at)) = one(rooms, seed, last) else { return false };
                transcript.events.remove(at);
                true
            }
            Self::Neighbour => to_a_neighbour(rooms, seed),
        }
    }
}

/// One with a number before which there was another: what is dropped there can't be covered by anything but a word.
fn between(events: &[Event], at: usize) -> bool {
    numbered(events, at) && numbered(events, at + 1)
}

fn numbered(events: &[Event], at: usize) -> bool {
    matches!(events.get(at), Some(Event::Heard { offset: Some(_), .. }))
}

fn drop_some(rooms: &mut Rooms, seed: u64) -> bool {
    let heard = |events: &[Event], at: usize| numbered(events, at);
    let all = count(rooms, heard);
    if all < 2_000 {
        let Some((transcript, at)) = one(rooms, seed, between) else { return false };
        transcript.events.remove(at);
        return true;
    }
    let mut number = seed;
    for transcript in transcripts(rooms) {
        transcript.events.retain(|event| {
            number += u64::from(matches!(event, Event::Heard { offset: Some(_), .. }));
            !(matches!(event, Event::Heard { offset: Some(_), .. }) && number.is_multiple_of(1_000))
        });
    }
    true
}

fn to_a_neighbour(rooms: &mut Rooms, seed: u64) -> bool {
    let stays = |room: &super::Room| room.transcripts.iter().any(|transcript| !transcript.left);
    let to: Vec<String> =
        rooms.0.iter().filter(|(_, room)| stays(room)).map(|(called, _)| called.clone()).collect();
    let heard = |events: &[Event], at: usize| numbered(events, at);
    let Some((transcript, at)) = one(rooms, seed, heard) else { return false };
    let event = transcript.events.remove(at);
    let Event::Heard { name, .. } = &event else { return false };
    let name = name.clone();
    let Some(room) = to.iter().find(|called| !rooms.0[*called].sent.contains(&name)) else { return false };
    let room = rooms.0.get_mut(room).and_then(|room| room.transcripts.iter_mut().find(|t| !t.left));
    room.is_some_and(|transcript| {
        transcript.events.push(event);
        true
    })
}

fn transcripts(rooms: &mut Rooms) -> impl Iterator<Item = &mut Transcript> {
    // Where only the newest of each key counts, most of this breaks nothing.
    let rooms = rooms.0.values_mut().filter(|room| room.kind != Kind::Newest);
    rooms.flat_map(|room| &mut room.transcripts).filter(|transcript| !transcript.left)
}

fn count(rooms: &mut Rooms, fits: impl Fn(&[Event], usize) -> bool) -> usize {
    let fitting = |transcript: &mut Transcript| {
        (0..transcript.events.len()).filter(|at| fits(&transcript.events, *at)).count()
    };
    transcripts(rooms).map(fitting).sum()
}

/// One of the events that fit, and whose.
fn one(
    rooms: &mut Rooms,
    seed: u64,
    fits: impl Fn(&[Event], usize) -> bool,
) -> Option<(&mut Transcript, usize)> {
    let all = count(rooms, &fits);
    // Spread by Fibonacci hashing: seeds next to each other hit far apart.
    let chosen = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize;
    let mut left = chosen.checked_rem(all)?;
    for transcript in transcripts(rooms) {
        for at in 0..transcript.events.len() {
            if !fits(&transcript.events, at) {
                continue;
            }
            if left == 0 {
                return Some((transcript, at));
            }
            left -= 1;
        }
    }
    None
}
