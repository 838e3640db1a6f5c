//! What a history can have against it.

use super::{Name, Place};

impl Fault {
    /// What kind of fault it is, in a word: the variant's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Twice { .. } => "twice",
            Self::Back { .. } => "back",
            Self::Hole { .. } => "hole",
            Self::Nowhere { .. } => "nowhere",
            Self::EpochAgain { .. } => "epoch_again",
            Self::ResumedElsewhere { .. } => "resumed_elsewhere",
            Self::Disorder { .. } => "disorder",
            Self::FromNowhere { .. } => "from_nowhere",
            Self::FromNeighbour { .. } => "from_neighbour",
            Self::Skipped { .. } => "skipped",
            Self::Behind { .. } => "behind",
            Self::NotStored { .. } => "not_stored",
            Self::NotKept { .. } => "not_kept",
            Self::Older { .. } => "older",
            Self::Refused { .. } => "refused",
            Self::TwoOrders { .. } => "two_orders",
            Self::TwoPlaces { .. } => "two_places",
            Self::Lost { .. } => "lost",
            Self::Apart { .. } => "apart",
        }
    }
}

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
    /// Something that was sent to another room.
    #[error("{member} heard {name}, which was sent to the room {room}")]
    FromNeighbour {
        /// Who.
        member: String,
        /// What.
        name: Name,
        /// Where it belongs.
        room: String,
    },
    /// A publication of a durable room was left out, and no word of it.
    #[error("{member} went from {from} to {to} past {skipped}, and wasn't told")]
    Skipped {
        /// Who.
        member: String,
        /// Where it was.
        from: Place,
        /// What it heard next.
        to: Place,
        /// The offset that it should have heard before.
        skipped: u64,
    },
    /// Stored in a durable room, and neither delivered nor told as lost.
    #[error("{member} is at {here} at the end, and never heard what is stored at {place}, nor was told")]
    Behind {
        /// Who.
        member: String,
        /// Where it is.
        here: Place,
        /// What it should have heard.
        place: Place,
    },
    /// Heard with an offset, and the store hasn't it.
    #[error("{member} heard {name} at {place}, which isn't stored")]
    NotStored {
        /// Who.
        member: String,
        /// What.
        name: Name,
        /// Where.
        place: Place,
    },
    /// Acknowledged, and the store hasn't it.
    #[error("{name} was accepted at {place}, and isn't stored")]
    NotKept {
        /// What.
        name: Name,
        /// Where.
        place: Place,
    },
    /// An older value of a key after a newer one.
    #[error("{member} heard {name} at {place} after offset {after} of the same key")]
    Older {
        /// Who.
        member: String,
        /// What.
        name: Name,
        /// Where.
        place: Place,
        /// What it had heard of that key.
        after: u64,
    },
    /// Something of which the publisher was told that it surely isn't published.
    #[error("{member} heard {name}, which was refused")]
    Refused {
        /// Who; or the store.
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
