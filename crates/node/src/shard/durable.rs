//! Durable rooms as the shard runs them: what is around one, and what stores send on.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, Fate, LiveBody, Publication, Stored};
use ringway_backplane::store::{ReadError, RoomAt, StoreKey};
use ringway_edge::Label;
use ringway_link::Exit;
use ringway_protocol::Code;
use ringway_protocol::frame::{GapReason as Reason, ServerFrame};
use ringway_ring::{NodeId, Slot};
use tokio::time::Instant;

use super::Shard;
use super::answers::{self, No};
use super::around::{Around, Asker, Publisher, Real, Waits};
use super::clients::JOIN_BEHIND;
use super::command::{Command, RoomKey};
use super::core::{Core, Wake};
use super::guests::JoinAnswer;
use super::keeping::{self, KnownHere};
use super::machine::{KeptIn, Machine};
use super::relayed::Casting;
use super::rooms::Listening;
use crate::conn::ConnRef;
use crate::durable::{Durable, Entry, Gap, GapReason, Joined, Live, NotJoined, Surroundings, Timer};
use crate::encode::{finished, labelled};
use crate::reader::{Read, ReadId};
use crate::room::{AskId, Place};
use crate::storing::StoreId;
use crate::tenant::{TenantHere, TooMuch};
use crate::trace;

/// When a publication that surely wasn't stored is best repeated.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// And one that may have been: by then whoever had it in hand has given it up.
const REPEAT_AFTER: Duration = Duration::from_millis(1_500);

/// A durable room as its store knows it.
pub(super) fn room_at(tenant: &TenantHere, key: &RoomKey, slot: Slot, kept_in: &KeptIn) -> RoomAt {
    RoomAt {
        group: tenant.group.clone(),
        store: kept_in.store.clone(),
        slot,
        tenant: key.tenant.clone(),
        room: key.room.clone(),
        latest_per_key: kept_in.latest_per_key,
    }
}

impl Core {
    /// A room as its store knows it, whether it is here or not. None: it isn't durable, or there is no such tenant.
    pub(crate) fn room_at(&self, key: &RoomKey) -> Option<RoomAt> {
        let kept_in = KeptIn::of(self.tenants.class_of(&key.room), &self.tenants)?;
        let tenant = self.here.get(&key.tenant)?;
        Some(room_at(&tenant, key, Slot::of_room(&key.tenant, &key.room), &kept_in))
    }
}

impl Shard {
    /// Lets a durable room decide, if there is one of this name.
    pub(super) fn in_durable(
        &mut self,
        key: &RoomKey,
        call: impl FnOnce(&mut Durable<Real>, &mut Around<'_>),
    ) {
        self.in_room(key, |machine, around| {
            if let Machine::Durable(room) = machine {
                call(room, around);
            }
        });
    }

    /// What came on a durable room's live subject.
    pub(super) fn durable_live(
        &mut self,
        key: &RoomKey,
        (from, count): (&NodeId, u64),
        body: LiveBody,
        traceparent: Option<&str>,
    ) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        // Without that nothing is made of it here: something may be missing before it. Nor where nobody needs it.
        let needless = matches!(&hosted.machine, Machine::Durable(room) if room.is_apart());
        if needless || matches!(hosted.listening, Listening::No) {
            return;
        }
        // What this node said itself it has done already.
        let own = *from == self.core.placement.me;
        match body {
            LiveBody::Stored(stored) => {
                let Some(live) = self.read_stored(key, stored, traceparent) else { return };
                self.in_durable(key, |room, around| room.stored_live(around, live));
            }
            LiveBody::Signal(mut publication) if !own => {
                if !hosted.signals.get_or_insert_default().is_new(from, count) {
                    return;
                }
                let span = trace::receive(traceparent, &key.tenant, Some(&key.room));
                trace::belongs_to(&mut publication, &span);
                self.in_durable(key, |room, around| room.signal(around, &publication));
            }
            LiveBody::Mark { epoch, offset } if !own => {
                self.in_durable(key, |room, around| room.mark(around, epoch, offset));
            }
            LiveBody::MarkKeys { epoch, keys } if !own => {
                self.in_durable(key, |room, around| room.mark_keys(around, epoch, keys));
            }
            LiveBody::Forgotten { epoch, offset, ts } if !own => {
                self.in_durable(key, |room, around| room.forgotten(around, epoch, offset, ts));
            }
            // Of a node that takes the room for an ephemeral one, for a moment.
            _ => {}
        }
    }

    /// What a store sent on, read; none: it is none of this room's.
    fn read_stored(&self, key: &RoomKey, stored: Stored, traceparent: Option<&str>) -> Option<Live> {
        let hosted = self.rooms.get(key)?;
        let kept_in = hosted.kept_in.as_ref()?;
        let epoch = match self.core.known.stream(&stored.stream) {
            // Of the store that kept it before its class named another.
            Some((store, _)) if store.group != hosted.tenant.group || store.store != kept_in.store => {
                return None;
            }
            known => known.map(|(_, epoch)| epoch),
        };
        let Stored { offset, prev, ts, publication, .. } = stored;
        let mut publication = publication.read(self.core.backplane.counters())?;
        let span = trace::receive(traceparent, &key.tenant, Some(&key.room));
        trace::belongs_to(&mut publication, &span);
        Some(Live { epoch, entry: Entry { offset, prev: Some(prev), ts, publication } })
    }

    /// Other things are known of the stores: the rooms of those whose streams are others now are told.
    pub(super) fn stores_known(&mut self, known: KnownHere) {
        let before = std::mem::replace(&mut self.core.known, known);
        let moved = self.core.known.moved_since(&before);
        if moved.is_empty() {
            return;
        }
        for key in self.rooms.keys() {
            let Some(hosted) = self.rooms.get(&key) else { continue };
            let Some(kept_in) = &hosted.kept_in else { continue };
            let store = StoreKey { group: hosted.tenant.group.clone(), store: kept_in.store.clone() };
            if moved.contains(&store) {
                self.in_durable(&key, |room, around| {
                    let epoch = around.epoch();
                    room.epoch_is(around, epoch);
                });
            }
        }
    }
}

impl Around<'_> {
    /// The room as its store knows it.
    fn at(&self) -> RoomAt {
        let kept_in = self.kept_in.expect("only a durable room asks, and its store is known");
        room_at(self.tenant, self.key, self.slot, kept_in)
    }

    fn stored(&mut self, entry: &Entry, epoch: Epoch) -> (ServerFrame, Option<Arc<Label>>) {
        let Entry { offset, prev, ts, publication } = entry;
        let frame = self.msg(publication, Some(*offset), *ts, *prev);
        (frame, self.label(Some(epoch), Some(*offset), *ts, publication.key.as_ref()))
    }

    /// What became of one publication, as a frame; none: nobody asked.
    fn told_fate(&self, fate: Fate, id: Option<u64>, conn: &ConnRef) -> Option<ServerFrame> {
        let room = &self.key.room;
        let no = match fate {
            Fate::Stored(published) => {
                return answers::ok(id, room.clone(), Some(answers::published(&published)));
            }
            Fate::Passed => {
                return answers::ok(id, room.clone(), Some(answers::passed(self.core.away)));
            }
            Fate::Full => {
                No::new(Code::StorageFull, "the room's store is full, and nothing is pushed out of it")
            }
            Fate::TooBig => No::new(Code::TooBig, "larger than the room's store takes"),
            Fate::Unavailable => {
                No::for_now(Code::Unavailable, "the room's store can't be reached now", STORE_AGAIN)
            }
            Fate::Unknown => No::for_now(
                Code::OutcomeUnknown,
                "no acknowledgement in time: it may have been stored; repeat it with the same `mid`",
                REPEAT_AFTER,
            ),
            Fate::Limited { retry_ms } => {
                No::too_much(&TooMuch::in_room(retry_ms.map(Duration::from_millis)))
            }
        };
        self.core.metrics.refused_frames.inc();
        // The others are none of its doing.
        if matches!(fate, Fate::TooBig | Fate::Limited { .. }) {
            conn.count_refusal();
        }
        Some(no.err(id, Some(room.clone())))
    }
}

impl Surroundings<Real> for Around<'_> {
    fn me(&self) -> &NodeId {
        &self.core.placement.me
    }

    fn now(&self) -> Duration {
        self.core.started.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        crate::clock::wall_ms()
    }

    fn owner(&self) -> Option<NodeId> {
        self.core.placement.owner(&self.key.tenant, self.slot).cloned()
    }

    fn away(&self) -> bool {
        self.core.away
    }

    fn epoch(&self) -> Option<Epoch> {
        self.core.known.epoch(&self.at())
    }

    fn live(&mut self, body: LiveBody) {
        self.send_live(body);
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId {
        self.ask_node(to, ask, within)
    }

    fn answer(&mut self, to: Asker, answer: Answer) {
        to.reply(answer);
    }

    fn outcome(&mut self, mut to: Publisher, fates: Vec<Fate>) {
        let waits = std::mem::take(&mut to.waits);
        // Where they are fewer, the limit that stopped the last stopped the others too.
        let rest = fates.last().copied().filter(|last| matches!(last, Fate::Limited { .. }));
        for (index, Waits { id, .. }) in waits.iter().enumerate() {
            let fate = fates.get(index).copied().or(rest).unwrap_or(Fate::Unknown);
            if let Some(frame) = self.told_fate(fate, *id, &to.conn) {
                self.core.push(&to.conn, &finished(to.conn.format, &frame));
            }
        }
        self.core.done.push_back((to.conn.id.clone(), self.key.clone()));
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        let wake = Wake::Durable { room: self.key.clone(), timer };
        self.core.timers.add(Instant::now() + after, wake);
    }

    fn store(&mut self, publications: Vec<Publication>) -> StoreId {
        let id = StoreId(self.core.next_number());
        let room = self.key.clone();
        match &self.core.keeping {
            Some(keeping) => {
                let done = keeping::told(self.core, move |fates| Command::Stored { room, store: id, fates });
                keeping.storing.store(self.at(), publications, done);
            }
            None => {
                let fates = vec![Fate::Unavailable; publications.len()];
                self.core.later.push_back(Command::Stored { room, store: id, fates });
            }
        }
        id
    }

    fn read(&mut self, read: Read) -> ReadId {
        let id = ReadId(self.core.next_number());
        let room = self.key.clone();
        match &self.core.keeping {
            Some(keeping) => {
                let done = keeping::told(self.core, move |result| Command::Read { room, read: id, result });
                keeping.reader.read(self.at(), read, done);
            }
            None => {
                let result = Err(ReadError::Away);
                self.core.later.push_back(Command::Read { room, read: id, result });
            }
        }
        id
    }

    fn disbelieve(&mut self, epoch: Epoch) {
        if let Some(keeping) = &self.core.keeping {
            keeping.stores.disbelieve(&self.at(), epoch);
        }
    }

    fn look_again(&mut self) {
        if let Some(keeping) = &self.core.keeping {
            keeping.stores.look_again(&self.at().key());
        }
    }

    fn deliver<'a>(
        &mut self,
        entry: &Entry,
        epoch: Epoch,
        late: bool,
        to: impl Iterator<Item = &'a ConnRef> + Clone,
    ) {
        let (frame, label) = self.stored(entry, epoch);
        let Entry { offset, ts, ref publication, .. } = *entry;
        self.cast(&Casting { publication, number: Some((epoch, offset)), late, ts }, &frame, label, to);
    }

    fn pass<'a>(&mut self, publication: &Publication, to: impl Iterator<Item = &'a ConnRef> + Clone) {
        let frame = self.msg(publication, None, publication.ts, None);
        let label = self.label(None, None, publication.ts, publication.key.as_ref());
        self.cast(&Casting { publication, number: None, late: false, ts: publication.ts }, &frame, label, to);
    }

    fn replay(&mut self, to: &ConnRef, entry: &Entry, epoch: Epoch) {
        let (frame, label) = self.stored(entry, epoch);
        let at = self.stands(to, Some(Place { epoch, offset: entry.offset, ts: Some(entry.ts) }));
        self.core.push_at(to, &labelled(finished(to.format, &frame), label.as_ref()), at);
        self.core.metrics.replayed.inc();
    }

    fn is_behind(&self, to: &ConnRef) -> bool {
        to.way.waits_beyond(JOIN_BEHIND)
    }

    fn gap(&mut self, to: &ConnRef, gap: Gap) {
        let Gap { reason, epoch, offset, ts } = gap;
        let reason = match reason {
            GapReason::Truncated => Reason::Truncated,
            GapReason::Epoch => Reason::Epoch,
        };
        self.tell_gap(to, reason, Place { epoch, offset, ts }, None);
    }

    fn joined(&mut self, to: &ConnRef, joined: Joined) {
        let place = Place { epoch: joined.epoch, offset: joined.offset, ts: joined.ts };
        self.tell_joined(to, Some(place), |rights| answers::durable_join_result(&joined, rights));
    }

    fn not_joined(&mut self, to: &ConnRef, answer: NotJoined) {
        if self.joins_again_later(to, answer.retry) {
            return;
        }
        let Some(was) = self.core.guests.unseat(&to.id, self.key) else { return };
        to.give_room_back();
        *self.sockets -= u32::from(to.way.linked().is_none());
        self.exit(to, Exit::Left);
        let no = No::for_now(Code::Unavailable, "the room's store can't be read now", answer.retry);
        let room = self.key.room.clone();
        let frame = match was.answer.as_ref().and_then(JoinAnswer::by_client) {
            Some(id) => {
                self.core.metrics.refused_frames.inc();
                no.err(id, Some(room))
            }
            None => no.left(room),
        };
        self.core.push(to, &finished(to.format, &frame));
        if was.answer.is_some() {
            self.core.done.push_back((to.id.clone(), self.key.clone()));
        } else {
            self.core.guests.tidy(&to.id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
