//! What a history can have against it.

use super::{Name, Place};

/// A promise that wasn't kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The same publication again.
    #[error("{member} heard {name} twice")]
    Twice {
        /// Who.
        member: String,
        /// What.
        name: Name,
    },
    /// An offset that isn't above the one before it.
    #[error("{member} went back from {from} to {to}")]
    Back {
        /// Who.
        member: String,
        /// Where it was.
        from: Place,
        /// Where it was put, or heard something.
        to: Place,
    },
    /// An offset too far, and no word of what lies between.
    #[error("{member} went from {from} to {to} past a hole, and wasn't told")]
    Hole {
        /// Who.
        member: String,
        /// Where it was.
        from: Place,
        /// What it heard next.
        to: Place,
    },
    /// A number, and nobody had said of which epoch.
    #[error("{member} heard {name} with a number, and had been told no place")]
    Nowhere {
        /// Who.
        member: String,
        /// What.
        name: Name,
    },
    /// An epoch that had ended for this member.
    #[error("{member} was put back into epoch {epoch}")]
    EpochAgain {
        /// Who.
        member: String,
        /// Which.
        epoch: String,
    },
    /// `resumed`, and it isn't where the member was.
    #[error("{member} came back with {with:?} and was resumed at {at:?}")]
    ResumedElsewhere {
        /// Who.
        member: String,
        /// Where it was.
        with: Option<Place>,
        /// What it was told.
        at: Option<Place>,
    },
    /// A publisher's later publication before its earlier one.
    #[error("{member} heard {name} after number {after} of the same publisher")]
    Disorder {
        /// Who.
        member: String,
        /// What came too late.
        name: Name,
        /// What came before it.
        after: u64,
    },
    /// Something that nobody sent to this room.
    #[error("{member} heard {name}, which nobody sent to this room")]
    FromNowhere {
        /// Who.
        member: String,
        /// What.
        name: Name,
    },
    /// One place, two publications.
    #[error("{place} is {one} and {other}")]
    TwoOrders {
        /// Where.
        place: Place,
        /// To some.
        one: Name,
        /// To others.
        other: Name,
    },
    /// One publication, two places.
    #[error("{name} is at {one} and at {other}")]
    TwoPlaces {
        /// What.
        name: Name,
        /// To some.
        one: Place,
        /// To others.
        other: Place,
    },
    /// Acknowledged, and neither delivered nor told as lost.
    #[error("{member} never heard {name}, accepted at {place}, nor was told")]
    Lost {
        /// Who.
        member: String,
        /// What.
        name: Name,
        /// Where it should have been.
        place: Place,
    },
    /// Members that never came to one place.
    #[error("{one:?} and {other:?} end apart")]
    Apart {
        /// One, and where it is.
        one: (String, Option<Place>),
        /// Another.
        other: (String, Option<Place>),
    },
}
