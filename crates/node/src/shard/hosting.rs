//! Rooms come and go, and their live subjects are listened to while that is needed.

use ringway_backplane::{Interest, Scope, Subscription};
use ringway_ring::Slot;

use super::around::{Around, Real};
use super::core::SWEEPS_OF_ALL;
use super::rooms::{Hosted, Listening, Waiting};
use super::{Command, RoomKey, Shard};
use crate::room::{Replay, Room};

impl Shard {
    /// Makes sure that the room is here. `false`: there is no such tenant (any more).
    pub(super) fn host(&mut self, key: &RoomKey) -> bool {
        if self.rooms.get(key).is_some() {
            return true;
        }
        let Some(tenant) = self.core.tenants.get(&key.tenant) else { return false };
        let replay = self.core.tenants.class_of(&key.room).replay;
        let hosted = Hosted {
            slot: Slot::of_room(&key.tenant, &key.room),
            group: tenant.group.clone(),
            machine: Room::new(Replay { messages: replay.messages as usize, age: replay.age }),
            listening: Listening::No,
            waiting: Vec::new(),
            watched: false,
        };
        self.rooms.insert(key.clone(), hosted);
        true
    }

    /// Lets the room decide, and follows what that means for listening.
    pub(super) fn with_room(&mut self, key: &RoomKey, call: impl FnOnce(&mut Room<Real>, &mut Around<'_>)) {
        self.host(key);
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        let mut around = Around { core: &mut self.core, key, slot: hosted.slot, group: &hosted.group };
        call(&mut hosted.machine, &mut around);
        let wanted = hosted.machine.members() > 0
            || hosted.machine.is_holder()
            || self.core.placement.is_mine(hosted.slot);
        let (listens, watched) = (!matches!(hosted.listening, Listening::No), hosted.watched);
        if !watched && hosted.machine.keeps_publications() {
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
        let interest = Interest { group: hosted.group.clone(), scope };
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
            let mut around =
                Around { core: &mut self.core, key: &key, slot: hosted.slot, group: &hosted.group };
            let idle = hosted.machine.idle(&mut around);
            if idle && hosted.waiting.is_empty() && !matches!(hosted.listening, Listening::Soon) {
                if hosted.listening.is_yes() {
                    self.core.metrics.subscriptions.dec();
                }
                self.rooms.remove(&key);
            } else if hosted.machine.members() == 0 || hosted.machine.keeps_publications() {
                self.rooms.quiet(&key);
            }
        }
    }
}
