//! One member's way through a room: where it was after each event, by the resume rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Event, Fault, Kind, Name, Place, Room, Transcript, Verdict};

/// A member's way, and where it ended.
pub(super) struct Walk<'a> {
    room: &'a Room,
    pub(super) member: String,
    pub(super) left: bool,
    pub(super) position: Option<Place>,
    /// The greatest place that it was put to, in the epoch that it is in: what lies below is told, or was before its time.
    pub(super) told: u64,
    /// The greatest offset of each key, in the epoch that it is in.
    pub(super) keys: BTreeMap<Option<&'a Arc<str>>, u64>,
    /// From where to where it went in a durable room by hearing something: what lies between mustn't be a publication.
    pub(super) strides: Vec<(Place, u64)>,
    /// How far it came in each epoch that it has left.
    former: BTreeMap<Arc<str>, u64>,
    /// What it heard with a number.
    placed: Vec<(Place, Name)>,
    /// What it heard, in that order.
    heard: Vec<Name>,
    /// The signals that it heard by its present connection: to one connection each is promised at most once. A later one
    /// can't know what its former ones had.
    signals: BTreeSet<&'a Name>,
}

impl<'a> Walk<'a> {
    pub(super) fn of(room: &'a Room, transcript: &'a Transcript, verdict: &mut Verdict) -> Self {
        let mut walk = Self {
            room,
            member: transcript.member.clone(),
            left: transcript.left,
            position: None,
            told: 0,
            keys: BTreeMap::new(),
            strides: Vec::new(),
            former: BTreeMap::new(),
            placed: Vec::new(),
            heard: Vec::new(),
            signals: BTreeSet::new(),
        };
        let mut once = BTreeSet::new();
        for event in &transcript.events {
            walk.step(event, verdict);
            let Event::Heard { offset, name } = event else { continue };
            let is_signal = offset.is_none() && room.kind != Kind::Ephemeral;
            let is_new = if is_signal { walk.signals.insert(name) } else { once.insert(name) };
            if !is_new {
                verdict.faults.push(Fault::Twice { member: walk.member.clone(), name: name.clone() });
            }
        }
        walk
    }

    /// Everything that it heard with a number, and where.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Place, &Name)> {
        self.placed.iter().map(|(place, name)| (place, name))
    }

    /// Everything that it heard, in that order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.heard.iter()
    }

    /// Whether it should have come to `place` and never did. What lies behind a position was heard or told: the walk
    /// itself sees to that. Of an epoch that it left, or never was in, no more is promised.
    pub(super) fn lacks(&self, place: &Place) -> bool {
        let here = self.position.as_ref().filter(|here| here.epoch == place.epoch);
        !self.left && here.is_some_and(|here| here.offset < place.offset)
    }

    fn step(&mut self, event: &'a Event, verdict: &mut Verdict) {
        if matches!(event, Event::Joined { .. }) {
            self.signals.clear();
        }
        match event {
            Event::Joined { place, resumed: Some(true) } => {
                if place.is_none() || *place != self.position {
                    let (member, with) = (self.member.clone(), self.position.clone());
                    verdict.faults.push(Fault::ResumedElsewhere { member, with, at: place.clone() });
                    self.position.clone_from(place);
                }
            }
            // Without a place it keeps the one that it has.
            Event::Joined { place, .. } => {
                if let Some(place) = place {
                    self.put(place, verdict);
                }
            }
            Event::Gap(place) => self.put(place, verdict),
            Event::Heard { offset, name } => {
                verdict.heard += 1;
                if let Some(offset) = offset {
                    self.number(*offset, name, &mut verdict.faults);
                }
                self.heard.push(name.clone());
            }
        }
    }

    /// It is told where it is: what lies between is lost to it.
    fn put(&mut self, place: &Place, verdict: &mut Verdict) {
        let before = self.position.replace(place.clone());
        if before.as_ref().is_none_or(|before| before.epoch != place.epoch) {
            self.keys.clear();
            self.told = 0;
        }
        self.told = self.told.max(place.offset);
        match before {
            None => {}
            Some(from) if from.epoch == place.epoch => {
                if place.offset < from.offset {
                    verdict.faults.push(self.back(from, place));
                } else if place.offset > from.offset {
                    verdict.losses += 1;
                }
            }
            Some(from) => {
                verdict.new_epochs += 1;
                self.former.insert(from.epoch, from.offset);
                if self.former.contains_key(&place.epoch) {
                    let (member, epoch) = (self.member.clone(), place.epoch.to_string());
                    verdict.faults.push(Fault::EpochAgain { member, epoch });
                }
            }
        }
    }

    fn number(&mut self, offset: u64, name: &'a Name, faults: &mut Vec<Fault>) {
        let Some(from) = self.position.clone() else {
            return faults.push(Fault::Nowhere { member: self.member.clone(), name: name.clone() });
        };
        let mut to = Place { epoch: from.epoch.clone(), offset };
        self.placed.push((to.clone(), name.clone()));
        match self.room.kind {
            Kind::Newest => {
                let newest = self.keys.entry(self.room.keys.get(name)).or_insert(0);
                if offset <= *newest {
                    let (member, name, place, after) =
                        (self.member.clone(), name.clone(), to.clone(), *newest);
                    faults.push(Fault::Older { member, name, place, after });
                }
                *newest = offset.max(*newest);
                // Across keys there is no order: its position is the greatest that it heard.
                to.offset = offset.max(from.offset);
            }
            _ if offset <= from.offset => faults.push(self.back(from, &to)),
            Kind::Durable => self.strides.push((from, offset)),
            Kind::Ephemeral if offset > from.offset + 1 => {
                faults.push(Fault::Hole { member: self.member.clone(), from, to: to.clone() });
            }
            Kind::Ephemeral => {}
        }
        self.position = Some(to);
    }

    fn back(&self, from: Place, to: &Place) -> Fault {
        Fault::Back { member: self.member.clone(), from, to: to.clone() }
    }
}
