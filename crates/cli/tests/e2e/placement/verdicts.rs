//! What everybody heard, held against what was promised.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringway_testkit::transcript::{Accepted, Event, Name, Place, Room, Transcript, Verdict};

use super::crowd::Crowd;
use super::record::{Outcome, Record};
use crate::support::name;

/// How long until everybody is in one place, once nobody speaks any more: the last mark of a room comes 4 s after its last
/// publication.
const SETTLED: Duration = Duration::from_secs(20);

/// What clients may have been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// That everything goes on: no gap, no other epoch, every resume a success, every publication numbered.
    Nothing,
    /// That a node died, within this time.
    Death { from: Instant, to: Instant },
}

impl Crowd {
    /// Everybody is in one place in each room, and heard what was promised.
    ///
    /// # Panics
    /// Otherwise.
    pub(super) fn assert_kept(&self, told: Told) {
        let (mut heard, mut losses, mut new_epochs) = (0, 0, 0);
        for room in &self.rooms {
            let verdict = self.settled(room, told).assert_kept();
            assert!(told != Told::Nothing || verdict.is_whole(), "{room}: nothing had to be told: {verdict}");
            let Verdict { faults: _, losses: lost, new_epochs: new, heard: of_room } = verdict;
            (heard, losses, new_epochs) = (heard + of_room, losses + lost, new_epochs + new);
        }
        let mut not_resumed = 0;
        for follower in &self.followers {
            let record = follower.record();
            assert_eq!(record.strange, [""; 0], "{}", follower.name);
            assert_eq!(record.ended, None, "{}", follower.name);
            not_resumed += record.rooms.values().map(|room| room.not_resumed.len()).sum::<usize>();
            if told == Told::Nothing {
                for (room, heard) in &record.rooms {
                    heard.assert_told_nothing(&format!("{} {room}", follower.name));
                }
                for sent in &record.sent {
                    let numbered = matches!(sent.answered, Some((_, Outcome::Accepted(Some(_)))));
                    assert!(numbered, "{}: {sent:?}", follower.name);
                }
            }
        }
        println!(
            "{heard} heard; told: {losses} losses, {new_epochs} new epochs, {not_resumed} resumes refused\n"
        );
        assert!(heard > 0);
    }

    /// Waits until all members of a room are in one place, to which nothing that was accepted is missing.
    fn settled(&self, room: &str, told: Told) -> Room {
        let of_room = name(room);
        let deadline = Instant::now() + SETTLED;
        loop {
            let places: BTreeSet<Option<Place>> = self
                .followers
                .iter()
                .filter_map(|follower| Some(follower.record().rooms.get(&of_room)?.place.clone()))
                .collect();
            let answered = self.followers.iter().all(|follower| follower.record().is_answered());
            if let (true, [Some(place)]) = (answered, &places.iter().cloned().collect::<Vec<_>>()[..]) {
                let all = self.room(room, told);
                let behind = |other: &Place| other.epoch == place.epoch && other.offset > place.offset;
                if !all.accepted.iter().any(|accepted| accepted.place.as_ref().is_some_and(behind)) {
                    return all;
                }
            }
            if Instant::now() >= deadline {
                let each = self.followers.iter().filter_map(|follower| {
                    let record = follower.record();
                    let heard = record.rooms.get(&of_room)?;
                    let (node, answered) = (record.node(), record.is_answered());
                    Some(format!("{} on {node}: {:?}, answered: {answered}", follower.name, heard.place))
                });
                let each: Vec<String> = each.collect();
                panic!("{room} isn't settled within {SETTLED:?}:\n{}", each.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What all of them know of a room.
    fn room(&self, room: &str, told: Told) -> Room {
        let room = name(room);
        let mut all = Room::default();
        let mut repeated = BTreeSet::new();
        for follower in &self.followers {
            let record = follower.record();
            for sent in record.sent.iter().filter(|sent| sent.room == room) {
                all.sent.insert(sent.name.clone());
                if let Some((_, Outcome::Accepted(place))) = &sent.answered {
                    all.accepted.push(Accepted { name: sent.name.clone(), place: place.clone() });
                }
                if let Told::Death { from, to } = told
                    && sent.asked <= to
                    && sent.answered.as_ref().is_none_or(|(at, _)| *at >= from)
                {
                    repeated.insert(sent.name.clone());
                }
            }
        }
        for follower in &self.followers {
            let record = follower.record();
            if let Some(events) = events(&record, &room) {
                all.transcripts.push(Transcript { member: follower.name.clone(), left: false, events });
            }
        }
        once_an_epoch(&mut all, &repeated);
        all
    }
}

fn events(record: &Record, room: &ringway_protocol::RoomName) -> Option<Vec<Event>> {
    Some(record.rooms.get(room)?.events.iter().map(|(_, event)| event.clone()).collect())
}

/// What was under way when its room's holder died is sent again with the same `mid`, and the new holder can't know of the
/// first: such a publication may come once in each epoch. So it is named after the epoch, too.
fn once_an_epoch(room: &mut Room, repeated: &BTreeSet<Name>) {
    let of = |name: &Name, place: Option<&Place>| {
        let epoch = place.map_or("none", |place| &*place.epoch);
        Name { by: format!("{} in {epoch}", name.by).into(), number: name.number }
    };
    for transcript in &mut room.transcripts {
        let mut place: Option<Place> = None;
        for event in &mut transcript.events {
            match event {
                Event::Joined { place: at, .. } => place = at.clone().or(place),
                Event::Gap(at) => place = Some(at.clone()),
                Event::Heard { offset, name } if repeated.contains(name) => {
                    *name = of(name, place.as_ref().filter(|_| offset.is_some()));
                    room.sent.insert(name.clone());
                }
                Event::Heard { .. } => {}
            }
        }
    }
    for accepted in room.accepted.iter_mut().filter(|accepted| repeated.contains(&accepted.name)) {
        accepted.name = of(&accepted.name, accepted.place.as_ref());
    }
}
