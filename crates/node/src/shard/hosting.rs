//! Rooms come and go, and their live subjects are listened to while that is needed.

use ringway_ring::KeyHash;

use super::around::Around;
use super::core::SWEEPS_OF_ALL;
use super::machine::{KeptIn, Machine};
use super::rooms::{Hosted, Listening, Waiting};
use super::{RoomKey, Shard};

/// When empty rooms are to be forgotten, so many that can't be are looked at in one go.
const PASSED_OVER: usize = 8;

impl Shard {
    /// Makes sure that the room is here. `false`: there is no such tenant (any more).
    pub(super) fn host(&mut self, key: &RoomKey) -> bool {
        if let Some(hosted) = self.rooms.get(key) {
            // A tenant that was removed may have come back as another.
            if !(hosted.tenant.is_gone() && hosted.is_at_rest()) {
                return true;
            }
            self.forget(key);
        }
        let Some(tenant) = self.core.here.get(&key.tenant) else { return false };
        let class = self.core.tenants.class_of(&key.room).clone();
        let home = KeyHash::of_room(&key.tenant, &key.room);
        let kept_in = KeptIn::of(&class, &self.core.tenants);
        self.rooms.insert(key.clone(), Hosted::new(home, tenant, class, kept_in));
        true
    }

    /// Lets the room decide, and follows what that means for listening. It is made where it isn't here.
    pub(super) fn with_room(&mut self, key: &RoomKey, call: impl FnOnce(&mut Machine, &mut Around<'_>)) {
        self.host(key);
        self.in_room(key, call);
    }

    /// As [`with_room`](Self::with_room), where the room is here; else nothing.
    pub(super) fn in_room(&mut self, key: &RoomKey, call: impl FnOnce(&mut Machine, &mut Around<'_>)) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        let before = hosted.machine.members();
        let (machine, mut around) = hosted.with(&mut self.core, key);
        call(machine, &mut around);
        let change = hosted.change();
        let (slot, members) = (hosted.slot, hosted.machine.members());
        let wanted = hosted.machine.is_to_be_heard(|| self.core.placement.is_mine(&key.tenant, slot));
        let listens = !matches!(hosted.listening, Listening::No);
        let to_watch = !hosted.is_watched() && (members == 0 || hosted.machine.keeps_publications());
        self.rooms.note(key, change);
        if to_watch {
            self.rooms.quiet(key);
        }
        if before != members {
            self.members_changed(key, before, members);
        }
        if wanted && !listens {
            self.listen(key);
        }
    }

    /// A room has other members than before.
    pub(super) fn members_changed(&mut self, key: &RoomKey, before: usize, now: usize) {
        let metrics = &self.core.metrics;
        metrics.members.inc_by(now as i64 - before as i64);
        metrics.rooms.inc_by(i64::from(now > 0) - i64::from(before > 0));
        self.core.tallies.changed(key.clone());
    }

    /// Sees to it that the room is heard. Where nothing covers it yet, [`Command::Listening`](super::Command::Listening)
    /// says when it is.
    pub(super) fn listen(&mut self, key: &RoomKey) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        if !matches!(hosted.listening, Listening::No) {
            return;
        }
        let heard = self.core.interest.want(&hosted.tenant.group, hosted.slot, key);
        hosted.listening = if heard { Listening::Yes } else { Listening::Soon };
    }

    /// A room of this name was heard when that was sent. Whether this one is, is asked: the other may have been forgotten
    /// meanwhile, and then there is another word to come.
    pub(super) fn listening(&mut self, key: &RoomKey) {
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        let waits = matches!(hosted.listening, Listening::Soon);
        if !waits || !self.core.interest.is_heard(&hosted.tenant.group, hosted.slot, key) {
            return;
        }
        hosted.listening = Listening::Yes;
        for Waiting { conn, since, last } in std::mem::take(&mut hosted.waiting) {
            self.enter_room(&conn, key, since, last);
        }
    }

    pub(super) fn every_room(&mut self, call: impl Fn(&mut Machine, &mut Around<'_>)) {
        for key in self.rooms.keys() {
            self.with_room(&key, &call);
            self.rooms.quiet(&key);
        }
    }

    /// Looks at some of the rooms that may have become needless, or keep what may be too old, and forgets those that
    /// nobody needs. Within [`SWEEPS_OF_ALL`] sweeps it has looked at each.
    pub(super) fn sweep(&mut self) {
        self.tell_what_came();
        for key in self.rooms.take_watched(SWEEPS_OF_ALL as usize) {
            let Some(hosted) = self.rooms.get_mut(&key) else { continue };
            let (machine, mut around) = hosted.with(&mut self.core, &key);
            let idle = machine.idle(&mut around);
            let change = hosted.change();
            if idle && hosted.is_awaited_by_nobody() {
                self.rooms.note(&key, change);
                self.forget(&key);
                continue;
            }
            let stays = hosted.machine.members() == 0 || hosted.machine.keeps_publications();
            if hosted.is_needlessly_heard() {
                hosted.listening = Listening::No;
                self.core.interest.unwant(&hosted.tenant.group, hosted.slot, &key);
            }
            self.rooms.note(&key, change);
            if stays {
                self.rooms.quiet(&key);
            }
        }
    }

    /// Tells what came and was wanted or not, where that may change what is listened to.
    fn tell_what_came(&mut self) {
        let came = self.core.came.take();
        let of_group = |(tenant, slot, received, unwanted)| {
            Some((self.core.group(&tenant)?, tenant, slot, received, unwanted))
        };
        self.core.interest.look(came.into_iter().filter_map(of_group));
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
        if let Some(hosted) = self.rooms.get(key)
            && !matches!(hosted.listening, Listening::No)
        {
            self.core.interest.unwant(&hosted.tenant.group, hosted.slot, key);
        }
        self.rooms.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringway_ring::Slot;
    use tokio::time::timeout;

    use super::*;
    use crate::shard::{Command, scene};

    const FAR: Duration = Duration::from_secs(30);

    async fn word(shard: &mut Shard) -> Command {
        timeout(FAR, shard.commands.recv()).await.expect("a room is heard soon").unwrap()
    }

    #[tokio::test]
    async fn word_that_a_room_is_heard_is_not_believed_of_the_next_one_of_its_name() {
        let (mut shard, _) = scene::shard();
        let room = scene::room("a");
        let host = |shard: &mut Shard| {
            assert!(shard.host(&room));
            shard.listen(&room);
        };
        let listening = |shard: &Shard| shard.rooms.get(&room).unwrap().listening;
        host(&mut shard);
        let late = word(&mut shard).await;
        shard.forget(&room);
        let slot = Slot::of_room(&room.tenant, &room.room);
        assert!(!shard.core.interest.is_heard(&"shared".parse().unwrap(), slot, &room));
        assert!(shard.host(&room));
        shard.carry_out(late);
        assert!(matches!(listening(&shard), Listening::No), "nobody asked for it");
        // And where it was asked for again, the word on that is waited for.
        shard.listen(&room);
        let late = word(&mut shard).await;
        shard.forget(&room);
        host(&mut shard);
        shard.carry_out(late);
        assert!(matches!(listening(&shard), Listening::Soon));
        let word = word(&mut shard).await;
        shard.carry_out(word);
        assert!(matches!(listening(&shard), Listening::Yes));
    }

    #[tokio::test]
    async fn a_room_that_is_forgotten_before_it_is_heard_is_not_wanted_any_more() {
        let (mut shard, _) = scene::shard();
        let room = scene::room("a");
        assert!(shard.host(&room));
        shard.listen(&room);
        assert!(matches!(shard.rooms.get(&room).unwrap().listening, Listening::Soon));
        shard.forget(&room);
        shard.core.tasks.close();
        timeout(FAR, shard.core.tasks.wait()).await.expect("all work comes to its end");
        assert!(shard.core.interest.is_idle(), "what was on its way has ended");
        assert!(shard.commands.try_recv().is_err(), "nobody is told");
    }
}
