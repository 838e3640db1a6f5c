//! How a schedule is printed.

use ringway_backplane::message::{Answer, Ask, Epoch, LiveBody, Publication, Published};

use super::super::surroundings::Place;
use super::super::{Entry, Gap, Joined};
use super::world::WALL;

/// What a member hears.
pub(super) enum Said<'a> {
    Joined(&'a Joined),
    Replay(&'a Entry, Epoch),
    Live(&'a Entry, Option<Epoch>),
    Gap(&'a Gap),
}

impl Said<'_> {
    pub(super) fn show(&self) -> String {
        match self {
            Said::Joined(joined) => {
                format!("joined {:?} resumed {:?}", joined.place.map(show_place), joined.resumed)
            }
            Said::Replay(entry, epoch) => {
                format!("replay {} {} pub {}", show_epoch(*epoch), entry.offset, pid(&entry.publication))
            }
            Said::Live(entry, Some(epoch)) => {
                format!("msg {} {} pub {}", show_epoch(*epoch), entry.offset, pid(&entry.publication))
            }
            Said::Live(entry, None) => format!("msg pub {}", pid(&entry.publication)),
            Said::Gap(gap) => format!("gap {:?} {} lost {:?}", gap.reason, show_place(gap.place), gap.lost),
        }
    }
}

pub(super) fn pid(publication: &Publication) -> usize {
    publication.event.as_deref().and_then(|event| event.parse().ok()).unwrap_or(usize::MAX)
}

fn show_epoch(epoch: Epoch) -> String {
    format!("e{}@{}", epoch.random, epoch.ms - WALL)
}

fn show_place(place: Place) -> String {
    format!("{}:{}", show_epoch(place.epoch), place.offset)
}

pub(super) fn show_since(since: Option<(Epoch, u64)>) -> String {
    since.map_or("-".to_owned(), |(epoch, offset)| format!("{}:{offset}", show_epoch(epoch)))
}

pub(super) fn show_live(body: &LiveBody) -> String {
    match body {
        LiveBody::Publication { epoch, offset, publication } => {
            format!("{} {offset} pub {}", show_epoch(*epoch), pid(publication))
        }
        LiveBody::Unread { epoch, offset, .. } => format!("{} {offset} unread", show_epoch(*epoch)),
        LiveBody::Mark { epoch, offset } => format!("{} {offset} mark", show_epoch(*epoch)),
        body => unreachable!("an ephemeral room never says {body:?}"),
    }
}

pub(super) fn show_ask(ask: &Ask) -> String {
    match ask {
        Ask::Publish { publications } => {
            format!("publish {:?}", publications.iter().map(pid).collect::<Vec<_>>())
        }
        Ask::Sync { known } => {
            format!("sync {}", show_since(known.as_ref().map(|known| (known.epoch, known.offset))))
        }
        Ask::Take { known } => {
            format!("take {}", show_since(known.as_ref().map(|known| (known.epoch, known.offset))))
        }
        Ask::Greater { epoch, holder, offset } => {
            format!("greater {} {offset} {holder:?}", show_epoch(*epoch))
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn show_answer(answer: &Answer) -> String {
    match answer {
        Answer::State { epoch, offset, base, .. } => format!("state {} {base}..{offset}", show_epoch(*epoch)),
        Answer::NotHeld { known, holder } => format!("not held {:?} {holder:?}", known.map(show_epoch)),
        Answer::Published(published) => {
            let show = |p: &Published| format!("{}:{}", show_epoch(p.epoch), p.offset);
            format!("published {:?}", published.iter().map(show).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}
