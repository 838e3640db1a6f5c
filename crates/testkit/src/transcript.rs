//! What the members of rooms heard, and whether that is what was promised to them.
//!
//! A value: histories come in, faults come out. Owns the rules (each publication once, rising within an epoch, no hole
//! without a word, one order for all, what was acknowledged delivered or told as lost; in a durable room, nothing
//! delivered that isn't stored, and nothing acknowledged that isn't); refuses to know sockets, frames and time.

mod fault;
mod lines;
mod rooms;
mod sabotage;
mod stored;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use fault::Fault;
pub use lines::BadLine;
pub use rooms::{Rooms, Verdicts};
pub use sabotage::Sabotage;
pub use stored::Kept;
use walk::Walk;

/// An epoch and an offset in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Compared for equality only, as clients do.
    pub epoch: Arc<str>,
    /// 0: before the first.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// One publication: who sent it (one connection: order is promised to no more), and which of theirs it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The publisher's connection.
    pub by: Arc<str>,
    /// Rises with each publication of that connection.
    pub number: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.by, self.number)
    }
}

/// What a member hears of a room, over all of its connections. It comes back with the position that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A join was answered. No place: the holder wasn't reached.
    Joined {
        /// Where what follows begins.
        place: Option<Place>,
        /// Whether that is where the member was; none: it asked for nothing of the past.
        resumed: Option<bool>,
    },
    /// A publication. No offset: the backplane was away.
    Heard {
        /// Its number in the epoch that the member is in.
        offset: Option<u64>,
        /// Which it is.
        name: Name,
    },
    /// Nothing up to there will come.
    Gap(Place),
}

/// What one member heard, in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Who.
    pub member: String,
    /// It left before the end: what came later it needn't have.
    pub left: bool,
    /// What.
    pub events: Vec<Event>,
}

/// A publication whose publisher was told that it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Which.
    pub name: Name,
    /// Its place; none: only members on the publisher's node were reached.
    pub place: Option<Place>,
}

/// What is promised of a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// Numbers without holes, of a holder.
    #[default]
    Ephemeral,
    /// Numbers with holes, of the store.
    Durable,
    /// Durable, and only the newest of every key counts: all is promised by key.
    Newest,
}

/// All that is known of one room, after everything has settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// What is promised.
    pub kind: Kind,
    /// Everybody who was ever a member.
    pub transcripts: Vec<Transcript>,
    /// Every publication that was sent, whatever became of it.
    pub sent: BTreeSet<Name>,
    /// Those of which the publisher was told that they are accepted.
    pub accepted: Vec<Accepted>,
    /// Those of which the publisher was told that they surely aren't published.
    pub refused: BTreeSet<Name>,
    /// Those that were sent again, to a store that may have forgotten by then that it had them: it may have stored them
    /// twice.
    pub repeated: BTreeSet<Name>,
    /// What a durable room's store has at the end; none: nobody looked.
    pub kept: Option<Kept>,
    /// The keys of publications that have one.
    pub keys: BTreeMap<Name, Arc<str>>,
}

/// What the histories come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was promised and not kept.
    pub faults: Vec<Fault>,
    /// How often a member was told that it lost something, within an epoch.
    pub losses: usize,
    /// How often a member was told of another epoch.
    pub new_epochs: usize,
    /// Publications that members heard, without an offset or with one.
    pub heard: usize,
}

impl Verdict {
    /// Nobody lost anything, nor was told so.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.losses == 0 && self.new_epochs == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, losses, new_epochs, heard } = self;
        writeln!(
            f,
            "{heard} heard, {losses} losses and {new_epochs} new epochs told, {} faults",
            faults.len()
        )?;
        faults.iter().take(20).try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

impl Room {
    /// Holds the histories against the promises.
    pub fn check(&self) -> Verdict {
        self.check_among(|_| None)
    }

    /// As [`check`](Self::check), where this says which other room a publication was sent to.
    fn check_among(&self, elsewhere: impl Fn(&Name) -> Option<String>) -> Verdict {
        let mut verdict = Verdict::default();
        let walks: Vec<Walk<'_>> = self.transcripts.iter().map(|t| Walk::of(self, t, &mut verdict)).collect();
        self.publishers_order(&walks, &mut verdict.faults);
        self.names(&walks, elsewhere, &mut verdict.faults);
        one_order(&walks, &mut verdict.faults);
        self.accepted(&walks, &mut verdict.faults);
        self.one_end(&walks, &mut verdict.faults);
        if self.kind != Kind::Ephemeral {
            stored::check(self, &walks, &mut verdict.faults);
        }
        verdict.faults.retain(|fault| match fault {
            Fault::Twice { name, .. } | Fault::TwoPlaces { name, .. } => !self.repeated.contains(name),
            _ => true,
        });
        verdict
    }

    /// # Panics
    /// A promise wasn't kept; with what it was.
    pub fn assert_kept(&self) -> Verdict {
        let verdict = self.check();
        assert!(verdict.faults.is_empty(), "{verdict}");
        verdict
    }

    /// What a publication is promised by: its key where only the newest of every key counts, else nothing.
    fn lane(&self, name: &Name) -> Option<&Arc<str>> {
        self.keys.get(name).filter(|_| self.kind == Kind::Newest)
    }

    /// Of what was accepted. What a publisher was told nothing sure of may come whenever it comes.
    fn publishers_order(&self, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
        // In a durable room what has no place is a signal, and comes when it comes.
        let ordered = self.accepted.iter().filter(|a| a.place.is_some() || self.kind == Kind::Ephemeral);
        let accepted: BTreeSet<&Name> = ordered.map(|accepted| &accepted.name).collect();
        for walk in walks {
            let mut latest = BTreeMap::new();
            for name in walk.names().filter(|name| accepted.contains(name)) {
                let latest = latest.entry((&name.by, self.lane(name))).or_insert(name.number);
                if name.number < *latest {
                    let (member, after) = (walk.member.clone(), *latest);
                    faults.push(Fault::Disorder { member, name: name.clone(), after });
                }
                *latest = name.number.max(*latest);
            }
        }
    }

    fn names(
        &self,
        walks: &[Walk<'_>],
        elsewhere: impl Fn(&Name) -> Option<String>,
        faults: &mut Vec<Fault>,
    ) {
        let kept = self.kept.iter().flat_map(|kept| kept.publications.values().flatten());
        let stored = kept.map(|name| ("the store", name));
        let heard = walks.iter().flat_map(|walk| walk.names().map(|name| (walk.member.as_str(), name)));
        for (member, name) in heard.chain(stored) {
            let (member, name) = (member.to_owned(), name.clone());
            if self.sent.contains(&name) {
                if self.refused.contains(&name) {
                    faults.push(Fault::Refused { member, name });
                }
                continue;
            }
            faults.push(match elsewhere(&name) {
                Some(room) => Fault::FromNeighbour { member, name, room },
                None => Fault::FromNowhere { member, name },
            });
        }
    }

    fn accepted(&self, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
        let heard: BTreeMap<&Place, &Name> = walks.iter().flat_map(Walk::placed).collect();
        let numbered = self.accepted.iter().filter_map(|a| a.place.as_ref().map(|place| (&a.name, place)));
        for (name, place) in numbered {
            if let Some(other) = heard.get(place).filter(|other| **other != name) {
                let (place, one, other) = (place.clone(), name.clone(), (*other).clone());
                faults.push(Fault::TwoOrders { place, one, other });
            }
            // By key only what is newest is owed.
            if self.kind == Kind::Newest {
                continue;
            }
            for walk in walks.iter().filter(|walk| walk.lacks(place)) {
                let (member, name, place) = (walk.member.clone(), name.clone(), place.clone());
                faults.push(Fault::Lost { member, name, place });
            }
        }
    }

    /// When all has settled, everybody is in one place. In a durable room, where numbers have holes, in one epoch.
    fn one_end(&self, walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
        let mut ends = walks.iter().filter(|walk| !walk.left);
        let Some(first) = ends.next() else { return };
        let together = |walk: &&Walk<'_>| match (self.kind, &walk.position, &first.position) {
            (Kind::Ephemeral, here, there) => here == there,
            (_, here, there) => {
                here.as_ref().map(|place| &place.epoch) == there.as_ref().map(|place| &place.epoch)
            }
        };
        for walk in ends.filter(|walk| !together(walk)) {
            faults.push(Fault::Apart {
                one: (first.member.clone(), first.position.clone()),
                other: (walk.member.clone(), walk.position.clone()),
            });
        }
    }
}

/// A place has one publication, and a publication one place, whoever heard it.
fn one_order(walks: &[Walk<'_>], faults: &mut Vec<Fault>) {
    let (mut names, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (place, name) in walks.iter().flat_map(Walk::placed) {
        let known = *names.entry(place).or_insert(name);
        if known != name {
            faults.push(Fault::TwoOrders { place: place.clone(), one: known.clone(), other: name.clone() });
        }
        let known = *places.entry(name).or_insert(place);
        if known != place {
            faults.push(Fault::TwoPlaces { name: name.clone(), one: known.clone(), other: place.clone() });
        }
    }
}

#[cfg(test)]
mod durable_tests;
#[cfg(test)]
mod tests;
