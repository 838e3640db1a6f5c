//! One member's way through a room: where it was after each event, by the resume rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Event, Fault, Name, Place, Transcript, Verdict};

/// A member's way, and where it ended.
pub(super) struct Walk {
    pub(super) member: String,
    pub(super) left: bool,
    pub(super) position: Option<Place>,
    /// How far it came in each epoch that it has left.
    former: BTreeMap<Arc<str>, u64>,
    /// What it heard with a number.
    placed: Vec<(Place, Name)>,
    /// What it heard, in that order.
    heard: Vec<Name>,
}

impl Walk {
    pub(super) fn of(transcript: &Transcript, verdict: &mut Verdict) -> Self {
        let mut walk = Self {
            member: transcript.member.clone(),
            left: transcript.left,
            position: None,
            former: BTreeMap::new(),
            placed: Vec::new(),
            heard: Vec::new(),
        };
        for event in &transcript.events {
            walk.step(event, verdict);
        }
        let mut once = BTreeSet::new();
        for name in walk.heard.iter().filter(|name| !once.insert(*name)) {
            verdict.faults.push(Fault::Twice { member: walk.member.clone(), name: name.clone() });
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

    fn step(&mut self, event: &Event, verdict: &mut Verdict) {
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
        match self.position.replace(place.clone()) {
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

    fn number(&mut self, offset: u64, name: &Name, faults: &mut Vec<Fault>) {
        let Some(from) = self.position.clone() else {
            return faults.push(Fault::Nowhere { member: self.member.clone(), name: name.clone() });
        };
        let to = Place { epoch: from.epoch.clone(), offset };
        if offset <= from.offset {
            faults.push(self.back(from, &to));
        } else if offset > from.offset + 1 {
            faults.push(Fault::Hole { member: self.member.clone(), from, to: to.clone() });
        }
        self.placed.push((to.clone(), name.clone()));
        self.position = Some(to);
    }

    fn back(&self, from: Place, to: &Place) -> Fault {
        Fault::Back { member: self.member.clone(), from, to: to.clone() }
    }
}
