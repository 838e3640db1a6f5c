//! How many are in a room: asked by clients and gateways, told to rooms' owners.

use std::collections::HashMap;
use std::time::Duration;

use ringway_backplane::Inbox;
use ringway_backplane::message::{Answer, Ask, Question, Request};
use ringway_ring::Slot;

use super::answers::{self, No};
use super::tally::{self, Count, RoomTally, TALLIES_A_QUESTION};
use super::{Command, RoomKey, Shard};
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::room::AskError;

/// How long a question about a room's number may take.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

impl Shard {
    pub(super) fn members(&mut self, conn: &ConnRef, room: &RoomKey, id: Option<u64>) {
        let slot = Slot::of_room(&room.tenant, &room.room);
        let owner = self.core.placement.owner(&room.tenant, slot).cloned();
        let group = self.core.group(&room.tenant);
        match (owner, group) {
            (Some(owner), Some(group)) if owner != self.core.placement.me && !self.core.away => {
                let (backplane, inbox, key) =
                    (self.core.backplane.clone(), self.core.inbox.clone(), room.clone());
                let request = self.room_request(room, Ask::Members);
                let conn = conn.clone();
                self.core.tasks.spawn(async move {
                    let to = Inbox { group, node: owner };
                    let result = backplane.request(&to, &request, COUNT_WITHIN).await;
                    let result = result.map_err(|_| AskError::NoResponders);
                    // A shard that has ended answers nobody.
                    drop(inbox.send(Command::Counted { room: key, conn, id, result }).await);
                });
            }
            _ => {
                let count = self.count(room);
                self.tell_count(conn, room, id, count);
                self.finish(conn, room);
            }
        }
    }

    pub(super) fn counted(
        &mut self,
        room: &RoomKey,
        conn: &ConnRef,
        id: Option<u64>,
        result: &Result<Answer, AskError>,
    ) {
        match *result {
            Ok(Answer::Members { count, users }) => {
                self.tell_count(conn, room, id, Count { connections: count, users });
            }
            _ => {
                let no = No::unavailable(Duration::from_secs(1));
                self.refuse(conn, room, id, &no);
            }
        }
        self.finish(conn, room);
    }

    pub(super) fn tell_count(&mut self, conn: &ConnRef, room: &RoomKey, id: Option<u64>, count: Count) {
        if let Some(frame) = answers::ok(id, room.room.clone(), Some(answers::counted(count))) {
            self.core.push(conn, &finished(conn.format, &frame));
        }
    }

    /// The room's number as this node knows it: over all nodes, where it owns the room.
    pub(super) fn count(&self, room: &RoomKey) -> Count {
        self.core.tallies.total(&self.own_tally(room), room)
    }

    pub(super) fn own_tally(&self, room: &RoomKey) -> RoomTally {
        let members = self.rooms.get(room).into_iter().flat_map(|h| h.machine.connections());
        tally::own(room, members.map(|conn| conn.user.as_ref().map(|u| u.as_str())))
    }

    /// Tells rooms' owners the numbers that have changed, one question for each owner and group.
    pub(super) fn tell_tallies(&mut self) {
        let mut by_owner: HashMap<Inbox, Vec<RoomTally>> = HashMap::new();
        let mut untold = Vec::new();
        for key in self.core.tallies.take_untold() {
            let slot = Slot::of_room(&key.tenant, &key.room);
            let owner = self.core.placement.owner(&key.tenant, slot).cloned();
            // The room's own, where it is here: its tenant may be removed, and its owner is to hear that nobody is left.
            let hosted = self.rooms.get(&key).map(|hosted| hosted.tenant.group.clone());
            match (owner, hosted.or_else(|| self.core.group(&key.tenant))) {
                (Some(owner), _) if owner == self.core.placement.me => {}
                (Some(node), Some(group)) if !self.core.away => {
                    by_owner.entry(Inbox { group, node }).or_default().push(self.own_tally(&key));
                }
                (_, Some(_)) => untold.push(key),
                _ => {}
            }
        }
        for key in untold {
            self.core.tallies.changed(key);
        }
        for (to, tallies) in by_owner {
            for part in tallies.chunks(TALLIES_A_QUESTION) {
                self.tell_owner(to.clone(), part.to_vec());
            }
        }
    }

    pub(super) fn tell_owner(&mut self, to: Inbox, tallies: Vec<RoomTally>) {
        let rooms: Vec<RoomKey> =
            tallies.iter().map(|t| RoomKey { tenant: t.tenant.clone(), room: t.room.clone() }).collect();
        let request = Request {
            from: self.core.placement.me.clone(),
            body: Question::Tally(tallies),
            traceparent: None,
        };
        let (backplane, inbox) = (self.core.backplane.clone(), self.core.inbox.clone());
        self.core.tasks.spawn(async move {
            if backplane.request(&to, &request, COUNT_WITHIN).await != Ok(Answer::Done) {
                // A shard that has ended tells nobody.
                drop(inbox.send(Command::TallyLost(rooms)).await);
            }
        });
    }

    pub(super) fn room_request(&self, room: &RoomKey, ask: Ask) -> Request {
        Request {
            from: self.core.placement.me.clone(),
            body: Question::Room { tenant: room.tenant.clone(), room: room.room.clone(), ask },
            traceparent: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringway_config::Config;
    use ringway_ring::{Announcement, Membership};
    use tokio::time::timeout;

    use super::*;
    use crate::placement::Placement;
    use crate::shard::scene;

    #[tokio::test]
    async fn the_owner_of_a_room_whose_tenant_was_removed_is_told_that_nobody_is_left() {
        let (mut shard, _) = scene::shard();
        let room = scene::room("a");
        shard.host(&room);
        let text = "[gateway]\nauth = \"off\"\n[tenants.other]\n";
        let tenants = Config::from_text(text, "r.toml".as_ref(), &Default::default()).unwrap().tenants();
        let Placement { me, pool, .. } = &*shard.core.placement;
        let mut membership = Membership::new();
        membership.heard(Announcement::new("n2".parse().unwrap(), 1, pool.clone(), String::new()), 0);
        let placement = Placement::new(me.clone(), pool.clone(), membership.view(), &tenants);
        shard.configured(tenants, Arc::new(placement));
        shard.core.tallies.changed(room.clone());
        shard.tell_tallies();
        // There is no such node here, so it is heard that it was asked.
        let lost = async {
            loop {
                match shard.commands.recv().await {
                    Some(Command::TallyLost(rooms)) => return rooms,
                    other => drop(other),
                }
            }
        };
        assert_eq!(timeout(COUNT_WITHIN * 10, lost).await.unwrap(), [room]);
    }
}
