//! Several rooms together: what was sent to one and heard in another.

use std::collections::BTreeMap;
use std::fmt;

use super::{Name, Room, Verdict};

/// All that is known of some rooms of one tenant, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooms(pub BTreeMap<String, Room>);

/// What the histories of each room come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts(pub BTreeMap<String, Verdict>);

impl Rooms {
    /// Holds all histories against the promises.
    pub fn check(&self) -> Verdicts {
        let mut of: BTreeMap<&Name, &str> = BTreeMap::new();
        for (called, room) in &self.0 {
            of.extend(room.sent.iter().map(|name| (name, called.as_str())));
        }
        let check = |(called, room): (&String, &Room)| {
            let elsewhere = |name: &Name| of.get(name).map(|room| (*room).to_owned());
            (called.clone(), room.check_among(elsewhere))
        };
        Verdicts(self.0.iter().map(check).collect())
    }

    /// # Panics
    /// A promise wasn't kept; with what it was.
    pub fn assert_kept(&self) -> Verdicts {
        let verdicts = self.check();
        assert!(verdicts.kinds().is_empty(), "{verdicts}");
        verdicts
    }
}

impl Verdicts {
    /// What kinds of faults there are, and how many of each.
    pub fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for fault in self.0.values().flat_map(|verdict| &verdict.faults) {
            *kinds.entry(fault.kind()).or_default() += 1;
        }
        kinds
    }

    /// All rooms together, without the faults.
    pub fn sum(&self) -> Verdict {
        self.0.values().fold(Verdict::default(), |sum, verdict| Verdict {
            faults: Vec::new(),
            losses: sum.losses + verdict.losses,
            new_epochs: sum.new_epochs + verdict.new_epochs,
            heard: sum.heard + verdict.heard,
        })
    }

    /// Nobody lost anything in any room, nor was told so.
    pub fn is_whole(&self) -> bool {
        self.0.values().all(Verdict::is_whole)
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { losses, new_epochs, heard, .. } = self.sum();
        writeln!(
            f,
            "{} rooms: {heard} heard, {losses} losses and {new_epochs} new epochs told, faults: {:?}",
            self.0.len(),
            self.kinds()
        )?;
        let faulty = self.0.iter().filter(|(_, verdict)| !verdict.faults.is_empty());
        faulty.take(5).try_for_each(|(room, verdict)| write!(f, "{room}: {verdict}"))
    }
}
