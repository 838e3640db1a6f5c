//! What holds beyond that in a durable room: offsets have holes, so what lies between two of them is known by what others
//! heard, by what publishers were told, and by a read of the whole store at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::walk::Walk;
use super::{Fault, Kind, Name, Place, Room};

/// What the store has of a room at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The store's epoch.
    pub epoch: Arc<str>,
    /// From this offset on nothing was removed, by limits or by hand.
    pub from: u64,
    /// Each publication's offset, and which it is where that is known.
    pub publications: BTreeMap<u64, Option<Name>>,
}

/// What is known to be stored: by epoch, by offset, and what it is.
type Known<'a> = BTreeMap<&'a Arc<str>, BTreeMap<u64, Option<&'a Name>>>;

pub(super) fn check(room: &Room, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
    let known = known(room, walks);
    let told: BTreeSet<&Place> =
        room.accepted.iter().filter_map(|accepted| accepted.place.as_ref()).collect();
    one_place(room, walks, faults);
    if let Some(kept) = &room.kept {
        against_the_store(room, kept, walks, faults);
    }
    for walk in walks {
        if room.kind == Kind::Newest {
            newest_of_each_key(room, walk, &known, faults);
        } else {
            nothing_left_out(walk, &known, &told, faults);
        }
    }
}

fn known<'a>(room: &'a Room, walks: &'a [Walk<'_>]) -> Known<'a> {
    let mut known = Known::new();
    let accepted = room.accepted.iter().filter_map(|a| a.place.as_ref().map(|place| (place, &a.name)));
    for (place, name) in walks.iter().flat_map(Walk::placed).chain(accepted) {
        known.entry(&place.epoch).or_default().insert(place.offset, Some(name));
    }
    if let Some(kept) = &room.kept {
        let of_epoch = known.entry(&kept.epoch).or_default();
        for (offset, name) in &kept.publications {
            let there = of_epoch.entry(*offset).or_default();
            *there = there.or(name.as_ref());
        }
    }
    known
}

/// What a publisher was told is where it was heard, and where it was told again.
fn one_place(room: &Room, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
    let accepted = room.accepted.iter().filter_map(|a| a.place.as_ref().map(|place| (&a.name, place)));
    let mut told: BTreeMap<&Name, &Place> = BTreeMap::new();
    let differ = |name: &Name, one: &Place, other: &Place| Fault::TwoPlaces {
        name: name.clone(),
        one: one.clone(),
        other: other.clone(),
    };
    for (name, place) in accepted {
        let first = *told.entry(name).or_insert(place);
        if first != place {
            faults.push(differ(name, first, place));
        }
    }
    let mut places: BTreeMap<&Name, &Place> =
        walks.iter().flat_map(Walk::placed).map(|(p, n)| (n, p)).collect();
    places.retain(|name, place| told.get(name).is_some_and(|told| told != place));
    faults.extend(places.into_iter().map(|(name, heard)| differ(name, told[name], heard)));
}

/// Nothing heard that isn't stored, nothing acknowledged that isn't, nothing stored twice.
fn against_the_store(room: &Room, kept: &Kept, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
    let mut places: BTreeMap<&Name, u64> = BTreeMap::new();
    let place = |offset| Place { epoch: Arc::clone(&kept.epoch), offset };
    for (offset, name) in &kept.publications {
        let Some(name) = name else { continue };
        if let Some(other) = places.insert(name, *offset) {
            let (one, other) = (place(other), place(*offset));
            faults.push(Fault::TwoPlaces { name: name.clone(), one, other });
        }
    }
    // Of a key that has a newer value by now the older ones are gone.
    let mut newest: BTreeMap<Option<&Arc<str>>, u64> = BTreeMap::new();
    if room.kind == Kind::Newest {
        for (offset, name) in &kept.publications {
            newest.insert(name.as_ref().and_then(|name| room.keys.get(name)), *offset);
        }
    }
    let replaced =
        |name: &Name, offset: u64| newest.get(&room.keys.get(name)).is_some_and(|newest| *newest > offset);
    let missing = |place: &Place, name: &Name| {
        place.epoch == kept.epoch
            && place.offset >= kept.from
            && match kept.publications.get(&place.offset) {
                Some(there) => there.as_ref().is_some_and(|there| there != name),
                None => !replaced(name, place.offset),
            }
    };
    for walk in walks {
        for (place, name) in walk.placed().filter(|(place, name)| missing(place, name)) {
            let (member, name, place) = (walk.member.clone(), name.clone(), place.clone());
            faults.push(Fault::NotStored { member, name, place });
        }
    }
    for accepted in &room.accepted {
        if let Some(place) = accepted.place.as_ref().filter(|place| missing(place, &accepted.name)) {
            faults.push(Fault::NotKept { name: accepted.name.clone(), place: place.clone() });
        }
    }
}

/// Between two publications that a member heard one after another there was none, and none after the last.
fn nothing_left_out(walk: &Walk<'_>, known: &Known<'_>, told: &BTreeSet<&Place>, faults: &mut Vec<Fault>) {
    for (from, to) in &walk.strides {
        let Some(of_epoch) = known.get(&from.epoch) else { continue };
        for (skipped, _) in of_epoch.range(from.offset + 1..*to) {
            let (member, from, skipped) = (walk.member.clone(), from.clone(), *skipped);
            let to = Place { epoch: Arc::clone(&from.epoch), offset: *to };
            faults.push(Fault::Skipped { member, from, to, skipped });
        }
    }
    let Some(here) = walk.position.as_ref().filter(|_| !walk.left) else { return };
    let Some(of_epoch) = known.get(&here.epoch) else { return };
    for (offset, _) in of_epoch.range(here.offset + 1..) {
        let place = Place { epoch: Arc::clone(&here.epoch), offset: *offset };
        // Where a publisher was told of it, it is `Lost`.
        if !told.contains(&place) {
            faults.push(Fault::Behind { member: walk.member.clone(), here: here.clone(), place });
        }
    }
}

/// Of each key a member has the newest value, or was put beyond it.
fn newest_of_each_key(room: &Room, walk: &Walk<'_>, known: &Known<'_>, faults: &mut Vec<Fault>) {
    let Some(here) = walk.position.as_ref().filter(|_| !walk.left) else { return };
    let mut newest: BTreeMap<Option<&Arc<str>>, u64> = BTreeMap::new();
    for (offset, name) in known.get(&here.epoch).into_iter().flatten() {
        if let Some(name) = name {
            newest.insert(room.keys.get(name), *offset);
        }
    }
    for (key, offset) in newest {
        if offset > walk.told && walk.keys.get(&key).is_none_or(|heard| *heard < offset) {
            let place = Place { epoch: Arc::clone(&here.epoch), offset };
            faults.push(Fault::Behind { member: walk.member.clone(), here: here.clone(), place });
        }
    }
}
