//! A room's members behind links: what each link was told of the room, and who of its connections gets what is cast there.
//!
//! The room decides who gets a publication. A link gets it once, with whom to leave out: mostly nobody, since nearly always
//! everyone gets it who has *entered*, as the answer to their join let them. What was decided is compared with who has
//! entered, so that a cast is right whatever the room decides.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Epoch, Publication};
use ringway_edge::{Due, Feed, Frame, Label, Lost, Policy};
use ringway_link::{self as link, At, Cast, ConnNo, Down, Exclude, Exit, RoomDeclared, RoomNo};
use ringway_protocol::codec::Format;

use super::RoomKey;
use super::answers;
use super::around::Around;
use super::core::Core;
use crate::conn::ConnRef;
use crate::encode::Shared;
use crate::room::Place;
use crate::tenant::TenantHere;
use crate::way::{Link, Linked, RoomOnLink, Way, framed};

/// A room's connections, as far as gateways hold their sockets.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// One for each link that was told of the room and has connections in it.
    links: Vec<OnLink>,
    /// Over all of them.
    entered: usize,
}

/// How a link treats the room's publications, and what its offsets mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    epoch: Option<Epoch>,
    policy: Option<Policy>,
    window: Duration,
}

#[derive(Debug)]
struct OnLink {
    room: RoomOnLink,
    /// As it was declared last.
    terms: Terms,
    /// Whose publications those of the present terms are, where they may be left out.
    feed: Option<Arc<LinkFeed>>,
    /// Who has entered, in rising order.
    entered: Vec<ConnNo>,
    /// How many of them speak JSON.
    json: usize,
}

/// A room's casts on a link that is behind.
#[derive(Debug)]
struct LinkFeed {
    room: RoomNo,
    tenant: Arc<TenantHere>,
}

impl Feed for LinkFeed {
    /// It stands where the last of what was left out was, so before whatever gives the number another meaning.
    fn gap(&self, lost: Lost) -> Frame {
        let Lost { offset, ts, frames, .. } = lost;
        framed(&Down::Lost { room: self.room, offset, ts, frames })
    }

    fn dropped(&self, frames: u64) {
        self.tenant.counts.dropped.inc_by(frames);
    }

    fn conflated(&self, frames: u64) {
        self.tenant.counts.conflated.inc_by(frames);
    }
}

/// A publication for the members behind links.
pub(super) struct Casting<'a> {
    pub(super) publication: &'a Publication,
    /// None where it has no number.
    pub(super) number: Option<(Epoch, u64)>,
    /// It comes after greater numbers, of other keys: who gets it is no further for it.
    pub(super) late: bool,
    pub(super) ts: u64,
}

/// Who gets a publication, as was decided.
enum Decided<'a> {
    /// All who have entered.
    All,
    /// All but that one, who published it.
    AllBut(&'a Linked),
    /// These, for each link, in rising order.
    Some(Vec<Vec<ConnNo>>),
}

impl Relayed {
    fn find(&self, link: &Arc<Link>) -> Option<usize> {
        self.links.iter().position(|on| Arc::ptr_eq(on.room.link(), link))
    }

    /// Whether a member is among those who are counted: behind a link, once it has entered.
    fn counts(&self, conn: &ConnRef) -> bool {
        let Some(linked) = conn.way.linked() else { return true };
        let on = self.find(linked.link()).map(|at| &self.links[at]);
        on.is_some_and(|on| on.entered.binary_search(&linked.number()).is_ok())
    }

    /// Those of these who have entered, for each link.
    fn sort<'a>(&self, to: impl Iterator<Item = &'a ConnRef>) -> Vec<Vec<ConnNo>> {
        let mut sorted: Vec<Vec<ConnNo>> =
            self.links.iter().map(|on| Vec::with_capacity(on.entered.len())).collect();
        // Mostly the next is of the same link.
        let mut last = 0;
        for linked in to.filter_map(|conn| conn.way.linked()) {
            let same = self.links.get(last).is_some_and(|on| Arc::ptr_eq(on.room.link(), linked.link()));
            if !same {
                // A link that has ended isn't there any more, though some of its connections still are.
                let Some(found) = self.find(linked.link()) else { continue };
                last = found;
            }
            sorted[last].push(linked.number());
        }
        for (numbers, on) in sorted.iter_mut().zip(&self.links) {
            let named = numbers.len();
            numbers.retain(|number| on.entered.binary_search(number).is_ok());
            // Who was let in after its link had ended didn't enter.
            let ended = on.room.link().is_closed();
            debug_assert!(ended || named == numbers.len(), "who gets a publication has entered");
            numbers.sort_unstable();
        }
        sorted
    }

    /// Takes one out. True: the link has none here any more.
    fn take(&mut self, linked: &Linked, format: Format) -> bool {
        let Some(at) = self.find(linked.link()) else { return false };
        let on = &mut self.links[at];
        if let Ok(found) = on.entered.binary_search(&linked.number()) {
            on.entered.remove(found);
            on.json -= usize::from(format == Format::Json);
            self.entered -= 1;
        }
        // One link that has ended takes all of its connections along: nothing reaches them.
        if on.entered.is_empty() || linked.link().is_closed() {
            self.entered -= on.entered.len();
            self.links.swap_remove(at);
        }
        self.links.is_empty()
    }
}

impl OnLink {
    /// Whom a cast that is for these leaves out; none: it is for all.
    fn who(&self, decided: Option<&[ConnNo]>) -> Exclude {
        let Some(decided) = decided.filter(|decided| decided.len() != self.entered.len()) else {
            return Exclude::Nobody;
        };
        if 2 * decided.len() < self.entered.len() {
            return Exclude::AllBut(decided.to_vec());
        }
        let mut decided = decided.iter().peekable();
        let left_out = |conn: &&ConnNo| decided.next_if_eq(conn).is_none();
        Exclude::These(self.entered.iter().filter(left_out).copied().collect())
    }

    fn label(&mut self, casting: &Casting<'_>, tenant: &Arc<TenantHere>) -> Option<Arc<Label>> {
        let policy = self.terms.policy?;
        let room = self.room.number();
        let feed =
            self.feed.get_or_insert_with(|| Arc::new(LinkFeed { room, tenant: tenant.clone() })).clone();
        let offset = casting.number.map(|(_, offset)| offset);
        Some(Arc::new(Label { feed, policy, offset, ts: casting.ts, key: casting.publication.key.clone() }))
    }
}

impl Around<'_> {
    fn terms(&self, epoch: Option<Epoch>) -> Terms {
        Terms { epoch, policy: self.policy, window: self.class.flush_window }
    }

    /// The room on this link, told of as it is now. `epoch`: none where that isn't known, or doesn't matter.
    fn declared(&mut self, link: &Arc<Link>, epoch: Option<Epoch>) -> &mut OnLink {
        let terms = self.terms(epoch);
        let (core, key) = (&mut *self.core, self.key);
        let relayed = self.relayed.get_or_insert_default();
        let at = relayed.find(link).unwrap_or_else(|| {
            let room = link.number_room();
            declare(core, key, &room, terms);
            relayed.links.push(OnLink { room, terms, feed: None, entered: Vec::new(), json: 0 });
            relayed.links.len() - 1
        });
        let on = &mut relayed.links[at];
        on.keep_up(core, key, terms);
        on
    }

    /// Where a client is, as its link is told; none behind no link.
    pub(super) fn stands(&mut self, to: &ConnRef, place: Option<Place>) -> Option<At> {
        let Place { epoch, offset, ts } = place?;
        let linked = to.way.linked()?;
        if linked.link().is_closed() {
            return None;
        }
        let room = self.declared(linked.link(), Some(epoch)).room.number();
        Some(At { room, offset, ts: ts.unwrap_or(0) })
    }

    /// From here on this connection gets what is cast. `by_server`: the server joined it, and the client hasn't yet.
    /// Said again where a client has joined by itself after the server joined it.
    pub(super) fn enter(&mut self, conn: &ConnRef, at: Option<At>, by_server: bool) {
        let Some(linked) = conn.way.linked() else { return };
        if linked.link().is_closed() {
            return;
        }
        let on = self.declared(linked.link(), None);
        let room = on.room.number();
        if let Err(place) = on.entered.binary_search(&linked.number()) {
            if on.entered.len() == on.entered.capacity() {
                on.entered.reserve_exact(on.entered.len() / 4 + 1);
            }
            on.entered.insert(place, linked.number());
            on.json += usize::from(conn.format == Format::Json);
            if let Some(relayed) = self.relayed {
                relayed.entered += 1;
            }
        }
        self.core.push_record(linked.link(), &Down::Enter { conn: linked.number(), room, at, by_server });
    }

    /// From here on it doesn't, or never did.
    pub(super) fn exit(&mut self, conn: &ConnRef, why: Exit) {
        exit(self.core, self.relayed, self.key, conn, why);
    }

    /// Writes a publication to the links of these, but not to sockets of this node. Returns how many get it by links.
    pub(super) fn cast_by_links<'a>(
        &mut self,
        casting: &Casting<'_>,
        frame: &mut Shared<'_>,
        to: impl Iterator<Item = &'a ConnRef> + Clone,
    ) -> u64 {
        let Some(relayed) = self.relayed.as_deref_mut() else { return 0 };
        let everyone = relayed.entered + *self.sockets as usize;
        let count = to.clone().count();
        let publisher = casting.publication.conn.as_ref().filter(|_| !casting.publication.echo);
        let publisher = publisher.filter(|_| count + 1 == everyone);
        // A member who isn't to have it back is the one who is missing.
        let publisher = publisher.and_then(|id| self.core.guests.member(id, self.key)).cloned();
        let publisher = publisher.filter(|conn| relayed.counts(conn));
        let (decided, delivered) = match &publisher {
            _ if count == everyone => (Decided::All, relayed.entered),
            Some(publisher) => match publisher.way.linked() {
                Some(linked) => (Decided::AllBut(linked), relayed.entered - 1),
                None => (Decided::All, relayed.entered),
            },
            None => {
                let sorted = relayed.sort(to);
                let delivered = sorted.iter().map(Vec::len).sum();
                (Decided::Some(sorted), delivered)
            }
        };
        let terms = Terms { epoch: None, policy: self.policy, window: self.class.flush_window };
        for (at, on) in relayed.links.iter_mut().enumerate() {
            let these = match &decided {
                Decided::Some(sorted) if sorted[at].is_empty() => continue,
                Decided::Some(sorted) => Some(&sorted[at][..]),
                _ => None,
            };
            let but = match &decided {
                Decided::AllBut(linked) if Arc::ptr_eq(on.room.link(), linked.link()) => {
                    if on.entered.len() == 1 {
                        continue;
                    }
                    Exclude::These(vec![linked.number()])
                }
                _ => on.who(these),
            };
            on.keep_up(self.core, self.key, Terms { epoch: casting.number.map(|(epoch, _)| epoch), ..terms });
            let json = (on.json > 0).then(|| frame.of(Format::Json).clone());
            let msgpack = (on.json < on.entered.len()).then(|| frame.of(Format::Msgpack).clone());
            let cast = Cast {
                room: on.room.number(),
                offset: casting.number.filter(|_| !casting.late).map(|(_, offset)| offset),
                ts: casting.ts,
                key: casting.publication.key.clone(),
                but,
                json: json.as_ref().map_or(&[], |frame| frame.encoded()),
                msgpack: msgpack.as_ref().map_or(&[], |frame| frame.encoded()),
            };
            let label = on.label(casting, self.tenant);
            self.core.push_cast(on.room.link(), cast, label);
        }
        delivered as u64
    }
}

impl OnLink {
    /// Says how the room is treated from now on, if that isn't how it was. An epoch that isn't given stays.
    fn keep_up(&mut self, core: &mut Core, key: &RoomKey, terms: Terms) {
        let terms = Terms { epoch: terms.epoch.or(self.terms.epoch), ..terms };
        if self.terms != terms {
            declare(core, key, &self.room, terms);
            self.terms = terms;
            self.feed = None;
        }
    }
}

fn declare(core: &mut Core, key: &RoomKey, room: &RoomOnLink, terms: Terms) {
    let policy = match terms.policy {
        None => link::Policy::Disconnect,
        Some(Policy::DropOldest) => link::Policy::DropOldest,
        Some(Policy::Conflate) => link::Policy::Conflate,
    };
    let declared = RoomDeclared {
        number: room.number(),
        tenant: key.tenant.clone(),
        room: key.room.clone(),
        epoch: terms.epoch.map(answers::epoch_name),
        policy,
        flush_window: u32::try_from(terms.window.as_millis()).unwrap_or(u32::MAX),
    };
    core.push_record(room.link(), &Down::Room(declared));
}

/// A connection gets nothing of the room from here on; its link is told, if it is behind one.
pub(super) fn exit(
    core: &mut Core,
    relayed: &mut Option<Box<Relayed>>,
    key: &RoomKey,
    conn: &ConnRef,
    why: Exit,
) {
    let Way::Link(linked) = &conn.way else { return };
    // Before the number is given to another room.
    if !conn.way.is_closed() {
        let record = Down::Exit { conn: linked.number(), room: key.room.clone(), why };
        core.push_record(linked.link(), &record);
    }
    if relayed.as_mut().is_some_and(|relayed| relayed.take(linked, conn.format)) {
        *relayed = None;
    }
}

impl Core {
    /// Adds a record to what a link gets at the end of this pass.
    pub(super) fn push_record(&mut self, link: &Arc<Link>, record: &Down<'_>) {
        self.note(link.push(record, Due::Now), link.outbound());
    }

    fn push_cast(&mut self, link: &Arc<Link>, cast: Cast<'_>, label: Option<Arc<Label>>) {
        self.note(link.push_labelled(&Down::Cast(cast), label, Due::Now), link.outbound());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
