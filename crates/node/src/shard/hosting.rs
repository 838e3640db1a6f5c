//! Rooms come and go, and their live subjects are listened to while that is needed.

use ringway_backplane::{Interest, Scope, Subscription};
use ringway_config::SlowConsumer;
use ringway_ring::Slot;

use super::around::{Around, Real};
use super::core::SWEEPS_OF_ALL;
use super::rooms::{Hosted, Listening, Waiting};
use super::{Command, RoomKey, Shard};
use crate::room::{Replay, Room};

/// When empty rooms are to be forgotten, so many that can't be are looked at in one go.
const PASSED_OVER: usize = 8;

impl Shard {
    /// Makes sure that the room is here. `false`: there is no such tenant (any more).
    pub(super) fn host(&mut self, key: &RoomKey) -> bool {
        if self.rooms.get(key).is_some() {
            return true;
        }
        let Some(tenant) = self.core.here.get(&key.tenant) else { return false };
        let class = self.core.tenants.class_of(&key.room).clone();
        let (replay, by_key) = (class.replay(), class.slow_consumer == SlowConsumer::Conflate);
        let replay = Replay { messages: replay.messages as usize, age: replay.age, by_key };
        let slot = Slot::of_room(&key.tenant, &key.room);
        self.rooms.insert(key.clone(), Hosted::new(slot, tenant, class, Room::new(replay)));
        true
    }

    /// Lets the room decide, and follows what that means for listening.
    pub(super) fn with_room(&mut self, key: &RoomKey, call: impl FnOnce(&mut Room<Real>, &mut Around<'_>)) {
        self.host(key);
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        let (machine, mut around) = hosted.with(&mut self.core, key);
        call(machine, &mut around);
        let change = hosted.change();
        let wanted = hosted.machine.members() > 0
            || hosted.machine.is_holder()
            || self.core.placement.is_mine(hosted.slot);
        let listens = !matches!(hosted.listening, Listening::No);
        let to_watch = !hosted.is_watched() && hosted.machine.keeps_publications();
        self.rooms.note(key, change);
        if to_watch {
            self.rooms.quiet(key);
        }
        if wanted && !listens {
            self.listen(key);
        }
    }

    /// Listens to the room's live subject; [`Command::Listening`] says when it does.
    pub(super) fn listen(&mut self, key: &RoomKey) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        if !matches!(hosted.listening, Listening::No) {
            return;
        }
        hosted.listening = Listening::Soon;
        let scope = Scope::Room { slot: hosted.slot, tenant: key.tenant.clone(), room: key.room.clone() };
        let interest = Interest { group: hosted.tenant.group.clone(), scope };
        let (backplane, room) = (self.core.backplane.clone(), key.clone());
        let (inbox, live) = (self.core.inbox.clone(), self.core.live.clone());
        self.core.tasks.spawn(async move {
            let subscription = backplane.subscribe(&interest, live).await.ok();
            // A shard that has ended listens to nothing: dropped, the subscription ends.
            drop(inbox.send(Command::Listening { room, subscription }).await);
        });
    }

    pub(super) fn listening(&mut self, key: &RoomKey, subscription: Option<Subscription>) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        hosted.listening = match subscription {
            Some(subscription) => {
                self.core.metrics.subscriptions.inc();
                Listening::Yes(subscription)
            }
            // The backplane was closed: the node is ending.
            None => return,
        };
        for Waiting { conn, since, last } in std::mem::take(&mut hosted.waiting) {
            self.enter_room(&conn, key, since, last);
        }
    }

    pub(super) fn every_room(&mut self, call: impl Fn(&mut Room<Real>, &mut Around<'_>)) {
        for key in self.rooms.keys() {
            self.with_room(&key, &call);
            self.rooms.quiet(&key);
        }
    }

    /// Looks at some of the rooms that may have become needless, or keep what may be too old, and forgets those that
    /// nobody needs. Within [`SWEEPS_OF_ALL`] sweeps it has looked at each.
    pub(super) fn sweep(&mut self) {
        for key in self.rooms.take_watched(SWEEPS_OF_ALL as usize) {
            let Some(hosted) = self.rooms.get_mut(&key) else { continue };
            let (machine, mut around) = hosted.with(&mut self.core, &key);
            let idle = machine.idle(&mut around);
            let change = hosted.change();
            if idle && hosted.waiting.is_empty() && !matches!(hosted.listening, Listening::Soon) {
                self.rooms.note(&key, change);
                self.forget(&key);
                continue;
            }
            let stays = hosted.machine.members() == 0 || hosted.machine.keeps_publications();
            self.rooms.note(&key, change);
            if stays {
                self.rooms.quiet(&key);
            }
        }
    }

    /// Forgets the longest empty rooms, so many if there are, but none of which somebody waits for something: those
    /// are passed over. Returns how many it forgot.
    pub(super) fn forget_empty(&mut self, count: usize) -> usize {
        let (mut forgotten, mut passed_over) = (0, 0);
        while forgotten < count && passed_over < PASSED_OVER {
            let Some(key) = self.rooms.take_longest_empty() else { break };
            if self.rooms.get(&key).is_some_and(Hosted::is_at_rest) {
                self.forget(&key);
                forgotten += 1;
            } else {
                self.rooms.still_empty(key);
                passed_over += 1;
            }
        }
        forgotten
    }

    fn forget(&mut self, key: &RoomKey) {
        if self.rooms.get(key).is_some_and(|hosted| hosted.listening.is_yes()) {
            self.core.metrics.subscriptions.dec();
        }
        self.rooms.remove(key);
    }
}
