//! Questions to a node's inbox, and their answers.

use std::sync::Arc;

use ringway_protocol::code::Code;
use ringway_protocol::frame::PAGE_MAX;
use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::NodeId;

use super::{Epoch, Publication};

/// A room's state is cut to this many bytes on the wire, by leaving out its oldest entries and raising `base`:
/// half of what a NATS server takes by default.
pub const STATE_LIMIT: usize = 512 * 1024;

/// A question to one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Who asks: a node's id, or a gateway's name.
    pub from: NodeId,
    /// What is asked.
    pub body: Question,
    /// The asker's span, for traces (W3C `traceparent`).
    pub traceparent: Option<Arc<str>>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// About one room.
    Room {
        /// The room's tenant.
        tenant: TenantId,
        /// The room.
        room: RoomName,
        /// What is asked about it.
        ask: Ask,
    },
    /// So many of the asker's members are in these rooms, which the asked one owns. Answered by [`Answer::Done`].
    Tally(Vec<RoomTally>),
    /// Are you there? Answered by [`Answer::Done`].
    Probe,
}

/// How many of one node's connections are in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomTally {
    /// The room's tenant.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomName,
    /// Connections that joined; 0: none any more.
    pub count: u64,
    /// Hashes of the different users among them; none: too many to tell.
    pub users: Option<Vec<u64>>,
}

/// What can be asked about a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Number and send these, in this order. Answered by [`Answer::Published`], [`Answer::Limited`] or
    /// [`Answer::Redirect`].
    Publish {
        /// At least one.
        publications: Vec<Publication>,
    },
    /// What is the room's newest, and what does the asker lack? Answered by [`Answer::State`],
    /// [`Answer::NotHeld`] or [`Answer::Redirect`].
    Sync {
        /// What the asker knows already; none: everything is wanted.
        known: Option<Known>,
    },
    /// Give the room's numbering away. Answered by [`Answer::State`], after which the answerer holds it no
    /// more, or [`Answer::NotHeld`].
    Take {
        /// What the asker knows already.
        known: Option<Known>,
    },
    /// You sent something of a lesser epoch than this. Answered by [`Answer::Done`].
    Greater {
        /// The greater epoch.
        epoch: Epoch,
        /// Who holds it, where that is known.
        holder: Option<NodeId>,
        /// How far it has come, as far as the asker heard.
        offset: u64,
    },
    /// How many are here? Answered by [`Answer::Members`].
    Members,
    /// A page of a durable room's history. Answered by [`Answer::History`].
    History {
        /// Which.
        page: PageOf,
    },
    /// Delete all that a durable room has published so far. Answered by [`Answer::Done`].
    Forget,
}

/// Which page of a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PageOf {
    /// Oldest first, from behind this offset.
    pub after: Option<u64>,
    /// Newest first, from before this offset; neither: from the newest.
    pub before: Option<u64>,
    /// How many at most, 1 to 1,000.
    pub limit: u32,
    /// The epoch that the offsets are of; none: the present one.
    pub epoch: Option<Epoch>,
}

/// How many lines a page has where nobody says.
const PAGE: u32 = 100;

/// An epoch that no stream has, for a text that is none: its offsets are of another life.
const OTHER_LIFE: Epoch = Epoch { ms: 0, node: 0, random: 0 };

/// Why no page can be told from what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.meaning())]
pub enum BadPage {
    /// Oldest first, or newest first?
    Both,
    /// None, or too many.
    Limit,
}

impl BadPage {
    /// For people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Both => "give `after` or `before`, not both",
            Self::Limit => "`limit` is 1 to 1,000",
        }
    }
}

impl PageOf {
    /// The page that a client asks for. A text that is no epoch is one of another life.
    ///
    /// # Errors
    /// [`BadPage`].
    pub fn asked(
        after: Option<u64>,
        before: Option<u64>,
        limit: Option<u64>,
        epoch: Option<&str>,
    ) -> Result<Self, BadPage> {
        if after.is_some() && before.is_some() {
            return Err(BadPage::Both);
        }
        let limit = match limit.map(u32::try_from) {
            None => PAGE,
            Some(Ok(limit @ 1..=PAGE_MAX)) => limit,
            Some(_) => return Err(BadPage::Limit),
        };
        let epoch = epoch.map(|epoch| epoch.parse().unwrap_or(OTHER_LIFE));
        Ok(Self { after, before, limit, epoch })
    }
}

impl HistoryPage {
    /// The same page, cut to about `limit` bytes on the wire, but not below one line: what is left out is the next page's.
    #[must_use]
    pub fn limited(mut self, limit: usize) -> Self {
        let mut bytes = 0;
        let fits = self.entries.iter().take_while(|(_, _, publication)| {
            bytes += publication.wire_bound();
            bytes <= limit
        });
        let fits = fits.count().max(1);
        self.more |= fits < self.entries.len();
        self.entries.truncate(fits);
        self
    }
}

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The epoch of its offsets.
    pub epoch: Epoch,
    /// Offset, when it was stored (milliseconds since 1970), and the publication, in the order that was asked for.
    pub entries: Vec<(u64, u64, Arc<Publication>)>,
    /// There is more in the direction that was asked for.
    pub more: bool,
    /// The oldest offset that the room has; none: it has none.
    pub oldest: Option<u64>,
    /// The newest.
    pub newest: Option<u64>,
}

/// What a node knows of a room's numbering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The greatest epoch it heard of.
    pub epoch: Epoch,
    /// Who numbers in it, where that is known.
    pub holder: Option<NodeId>,
    /// The greatest offset it has, without a hole before it.
    pub offset: u64,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One for each publication, in order.
    Published(Vec<Published>),
    /// A limit let through only so many: the first of them, in order. The others surely weren't published.
    Limited {
        /// One for each that was, in order; none: not even the first.
        published: Vec<Published>,
        /// After how many milliseconds the next would be let through, if nobody comes between. None: never.
        retry_ms: Option<u64>,
    },
    /// A room's numbering and the newest of its publications: without a hole, or, where the room keeps the newest of each
    /// key, without those that a newer one of their key replaced.
    State {
        /// The epoch.
        epoch: Epoch,
        /// The last number given.
        offset: u64,
        /// Everything after this offset is in `entries` (or its key's newer is); what is at or before it is not to be had.
        base: u64,
        /// Offset and publication, rising. The last is the last number given, unless `base` is.
        entries: Vec<(u64, Arc<Publication>)>,
    },
    /// Not I.
    NotHeld {
        /// The greatest epoch that the answerer heard of.
        known: Option<Epoch>,
        /// Who holds that, as far as the answerer knows. Where it knows of none: who might, by its view.
        holder: Option<NodeId>,
    },
    /// Ask this one, who owns the room in the answerer's view.
    Redirect {
        /// None: the answerer's view is empty.
        to: Option<NodeId>,
    },
    /// The room's members on all nodes, as far as they told its owner.
    Members {
        /// Connections that joined.
        count: u64,
        /// Different users among them; none: too many to tell.
        users: Option<u64>,
    },
    /// To [`Ask::Publish`] about a durable room: what became of each, in order. Where they are fewer than were sent, the
    /// last is [`Fate::Limited`], and so are those that are missing.
    Fates(Vec<Fate>),
    /// A page of history.
    History(HistoryPage),
    /// It is done; nothing else to say.
    Done,
    /// It won't be done.
    Refused {
        /// Why, in the words that a client is told.
        code: Code,
    },
}

impl Answer {
    /// The same answer, with a room's state cut to about `limit` bytes on the wire: its oldest entries are left
    /// out, and `base` raised accordingly.
    #[must_use]
    pub fn limited(mut self, limit: usize) -> Self {
        if let Self::State { base, entries, .. } = &mut self {
            let mut bytes = 0;
            let fits = entries.iter().rev().take_while(|(_, publication)| {
                bytes += publication.wire_bound();
                bytes <= limit
            });
            let left_out = entries.len() - fits.count();
            if let Some((last, _)) = entries.drain(..left_out).next_back() {
                *base = last;
            }
        }
        self
    }
}

/// What became of one publication to a durable room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Stored(Published),
    /// A signal: it was sent to whoever is there.
    Passed,
    /// Surely not stored: the store keeps no more (`storage_full`).
    Full,
    /// Surely not stored: it is larger than the store takes (`too_big`).
    TooBig,
    /// Surely not stored (`unavailable`): worth a repeat.
    Unavailable,
    /// Perhaps stored (`outcome_unknown`): a repeat with the same `mid` is stored once.
    Unknown,
    /// Surely not stored: a limit of the room (`limit_rate`).
    Limited {
        /// After how many milliseconds the next would be let through. None: never.
        retry_ms: Option<u64>,
    },
}

/// What became of one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The epoch of its number.
    pub epoch: Epoch,
    /// Its number.
    pub offset: u64,
    /// It was a repeat: the number is the first one's.
    pub duplicate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::samples;

    #[test]
    fn a_state_is_cut_from_its_oldest_end() {
        let publication = Arc::new(samples::publications().remove(0));
        let size = publication.wire_bound();
        let epoch = Epoch { ms: 1, node: 1, random: 1 };
        let entries: Vec<_> = (1..=10).map(|offset| (offset, Arc::clone(&publication))).collect();
        let whole = Answer::State { epoch, offset: 10, base: 0, entries };
        assert_eq!(whole.clone().limited(10 * size), whole);

        let Answer::State { base, entries, offset, .. } = whole.clone().limited(4 * size) else { panic!() };
        assert_eq!((base, entries.len(), entries[0].0, offset), (6, 4, 7, 10));

        let Answer::State { base, entries, .. } = whole.limited(0) else { panic!() };
        assert_eq!((base, entries.len()), (10, 0));
    }

    #[test]
    fn a_page_is_cut_from_its_end_and_says_so() {
        let publication = Arc::new(samples::publications().remove(0));
        let size = publication.wire_bound();
        let entries: Vec<_> = (1..=5).map(|offset| (offset, offset * 10, Arc::clone(&publication))).collect();
        let epoch = Epoch { ms: 1, node: 1, random: 1 };
        let whole = HistoryPage { epoch, entries, more: false, oldest: Some(1), newest: Some(9) };
        assert_eq!(whole.clone().limited(5 * size), whole);
        for (fits, kept) in [(4, 4), (1, 1), (0, 1)] {
            let page = whole.clone().limited(fits * size);
            assert_eq!((page.entries.len(), page.entries[0].0, page.more), (kept, 1, true), "{fits}");
        }
        let empty = HistoryPage { entries: Vec::new(), ..whole };
        assert_eq!(empty.clone().limited(0), empty);
    }

    #[test]
    fn a_page_has_one_direction_and_a_bound() {
        let asked = |after, before, limit| PageOf::asked(after, before, limit, None).map(|page| page.limit);
        assert_eq!(asked(None, None, None), Ok(100));
        assert_eq!(asked(Some(0), None, Some(1)), Ok(1));
        assert_eq!(asked(None, Some(0), Some(1_000)), Ok(1_000));
        assert_eq!(asked(Some(1), Some(2), None), Err(BadPage::Both));
        for limit in [0, 1_001, 1_000_000_000, u64::MAX] {
            assert_eq!(asked(None, None, Some(limit)), Err(BadPage::Limit), "{limit}");
        }
        let epoch = |text: &str| PageOf::asked(None, None, None, Some(text)).unwrap().epoch;
        let real = Epoch { ms: 7, node: 8, random: 9 };
        assert_eq!(epoch(&real.to_string()), Some(real));
        assert_eq!(epoch("e"), Some(OTHER_LIFE));
    }

    #[test]
    fn a_state_with_holes_ends_where_the_last_that_is_left_out_was() {
        let publication = Arc::new(samples::publications().remove(0));
        let size = publication.wire_bound();
        let epoch = Epoch { ms: 1, node: 1, random: 1 };
        let entries: Vec<_> = [3, 7, 8, 20].map(|offset| (offset, Arc::clone(&publication))).to_vec();
        let whole = Answer::State { epoch, offset: 20, base: 1, entries };
        for (fits, from, kept) in [(4, 1, 4), (3, 3, 3), (2, 7, 2), (1, 8, 1), (0, 20, 0)] {
            let Answer::State { base, entries, .. } = whole.clone().limited(fits * size) else { panic!() };
            assert_eq!((base, entries.len()), (from, kept), "{fits}");
        }
        let empty = Answer::State { epoch, offset: 20, base: 20, entries: Vec::new() };
        assert_eq!(empty.clone().limited(0), empty);
    }
}
