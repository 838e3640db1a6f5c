//! The two kinds of room as the shard runs them: it calls either by the same names.

use ringway_backplane::message::{Answer, Ask, Publication};
use ringway_config::{Class, Tenants};
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, StoreName};
use ringway_ring::NodeId;

use super::around::{Around, Asker, Publisher, Real};
use super::rooms::replay;
use crate::conn::ConnRef;
use crate::durable::Durable;
use crate::room::{AskError, AskId, Room};

/// What decides for a room.
pub(crate) enum Machine {
    Ephemeral(Room<Real>),
    Durable(Durable<Real>),
}

/// Where a durable room's publications are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptIn {
    pub(crate) store: StoreName,
    /// The store keeps the newest of each key.
    pub(crate) latest_per_key: bool,
}

impl KeptIn {
    /// Where those of this class's rooms are kept; none: they are ephemeral.
    pub(crate) fn of(class: &Class, tenants: &Tenants) -> Option<KeptIn> {
        let (name, store) = tenants.store_of(class)?;
        Some(KeptIn { store: name.clone(), latest_per_key: store.latest_per_key })
    }
}

impl Machine {
    /// One of a room that nothing is known of.
    pub(crate) fn new(class: &Class, kept_in: Option<&KeptIn>) -> Machine {
        match kept_in {
            Some(kept_in) => Machine::Durable(Durable::new(kept_in.latest_per_key)),
            None => Machine::Ephemeral(Room::new(replay(class))),
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        matches!(self, Machine::Durable(_))
    }

    pub(crate) fn join(
        &mut self,
        around: &mut Around<'_>,
        conn: ConnRef,
        since: Option<Position>,
        last: Option<u32>,
    ) {
        match self {
            Machine::Ephemeral(room) => room.join(around, conn, since, last),
            Machine::Durable(room) => room.join(around, conn, since, last),
        }
    }

    pub(crate) fn leave(&mut self, around: &mut Around<'_>, conn: &ConnId) -> bool {
        match self {
            Machine::Ephemeral(room) => room.leave(around, conn),
            Machine::Durable(room) => room.leave(around, conn),
        }
    }

    pub(crate) fn enter(
        &mut self,
        around: &mut Around<'_>,
        publisher: Publisher,
        publications: Vec<Publication>,
    ) {
        match self {
            Machine::Ephemeral(room) => room.enter(around, publisher, publications),
            Machine::Durable(room) => room.enter(around, publisher, publications),
        }
    }

    pub(crate) fn asked(&mut self, around: &mut Around<'_>, from: &NodeId, asker: Asker, ask: Ask) {
        match self {
            Machine::Ephemeral(room) => room.asked(around, from, asker, ask),
            Machine::Durable(room) => room.asked(around, from, asker, ask),
        }
    }

    pub(crate) fn answered(&mut self, around: &mut Around<'_>, id: AskId, answer: Result<Answer, AskError>) {
        match self {
            Machine::Ephemeral(room) => room.answered(around, id, answer),
            Machine::Durable(room) => room.answered(around, id, answer),
        }
    }

    /// The backplane is known to be away. A durable room asks for that when it matters.
    pub(crate) fn link_lost(&mut self, around: &mut Around<'_>) {
        if let Machine::Ephemeral(room) = self {
            room.link_lost(around);
        }
    }

    /// Something may have been missed.
    pub(crate) fn doubt(&mut self, around: &mut Around<'_>) {
        match self {
            Machine::Ephemeral(room) => room.back_from_cut(around),
            Machine::Durable(room) => room.doubt(around),
        }
    }

    /// The cluster has changed. `lost`: somebody isn't there any more.
    pub(crate) fn view_changed(&mut self, around: &mut Around<'_>, lost: bool) {
        match self {
            Machine::Ephemeral(room) => room.view_changed(around),
            // Who stored something and is gone can't tell any more that it was the last.
            Machine::Durable(room) if lost => room.view_changed(around),
            Machine::Durable(_) => {}
        }
    }

    pub(crate) fn idle(&mut self, around: &mut Around<'_>) -> bool {
        match self {
            Machine::Ephemeral(room) => room.idle(around),
            Machine::Durable(room) => room.idle(around),
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        match self {
            Machine::Ephemeral(room) => room.is_at_rest(),
            Machine::Durable(room) => room.is_at_rest(),
        }
    }

    /// What it remembers of its publications, in bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        match self {
            Machine::Ephemeral(room) => room.kept_bytes(),
            Machine::Durable(room) => room.kept_bytes(),
        }
    }

    /// Drops the oldest of that until it weighs no more than `to`.
    pub(crate) fn shed(&mut self, to: usize) {
        match self {
            Machine::Ephemeral(room) => room.shed_replay(to),
            Machine::Durable(room) => room.shed(to),
        }
    }

    /// Whether it remembers any that grows too old.
    pub(crate) fn keeps_publications(&self) -> bool {
        match self {
            Machine::Ephemeral(room) => room.keeps_publications(),
            Machine::Durable(room) => room.keeps_publications(),
        }
    }

    /// Whether nobody would miss it. A durable room that something was just published to is still to tell of it, which takes
    /// some seconds: it isn't among those that are forgotten first.
    pub(crate) fn is_empty(&self) -> bool {
        let done = match self {
            Machine::Ephemeral(_) => true,
            Machine::Durable(room) => room.is_at_rest(),
        };
        done && self.members() == 0 && !self.keeps_publications()
    }

    /// Connections that joined, or wait for their join's answer.
    pub(crate) fn members(&self) -> usize {
        match self {
            Machine::Ephemeral(room) => room.members(),
            Machine::Durable(room) => room.members(),
        }
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = &ConnRef> {
        let (ephemeral, durable) = match self {
            Machine::Ephemeral(room) => (Some(room), None),
            Machine::Durable(room) => (None, Some(room)),
        };
        let ephemeral = ephemeral.into_iter().flat_map(Room::connections);
        ephemeral.chain(durable.into_iter().flat_map(Durable::connections))
    }

    /// How many publications came by since it was made; begins anew beyond `u32::MAX`.
    pub(crate) fn passed(&self) -> u32 {
        match self {
            Machine::Ephemeral(room) => room.passed(),
            Machine::Durable(room) => room.passed(),
        }
    }

    /// Whether its live subject must be heard. An ephemeral room's owner hears it, and who numbers it, beside those who have
    /// members.
    pub(crate) fn is_to_be_heard(&self, is_mine: impl FnOnce() -> bool) -> bool {
        match self {
            Machine::Ephemeral(room) => room.members() > 0 || room.is_holder() || is_mine(),
            Machine::Durable(room) => room.members() > 0,
        }
    }
}
