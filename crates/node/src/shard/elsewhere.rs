//! What other nodes say and ask, and what becomes of the cluster.

use std::sync::Arc;

use ringway_backplane::IncomingRequest;
use ringway_backplane::message::{Answer, Ask, LiveBody, LiveMessage, Question};
use ringway_protocol::Code;
use ringway_ring::{NodeId, Slot};
use tokio::time::Instant;

use super::around::Asker;
use super::machine::Machine;
use super::tally::Count;
use super::{RoomKey, Shard};
use crate::placement::Placement;
use crate::room::{AskError, AskId};
use crate::trace;

impl Shard {
    pub(super) fn live(&mut self, message: LiveMessage) {
        let LiveMessage { from, count, tenant, room, mut body, traceparent } = message;
        let key = RoomKey { tenant, room };
        let is_publication = body.is_publication();
        // Once per message: what nobody here wants should cost next to nothing.
        let Some(hosted) = self.rooms.get_mut(&key) else {
            if is_publication {
                self.came(&key, None);
            }
            return;
        };
        let (slot, wanted) = (hosted.slot, hosted.machine.members() > 0);
        let Machine::Ephemeral(room) = &hosted.machine else {
            if is_publication {
                self.came(&key, Some((slot, wanted)));
            }
            return self.durable_live(&key, (&from, count), body, traceparent.as_deref());
        };
        if room.looks_into_publications() {
            let Some(read) = body.read(self.core.backplane.counters()) else { return };
            body = read;
        }
        let mut span = tracing::Span::none();
        if is_publication {
            self.came(&key, Some((slot, wanted)));
            span = trace::receive(traceparent.as_deref(), &key.tenant, Some(&key.room));
            // Over memory the sender's own buffer has it as well, in its own span.
            if let LiveBody::Publication { publication, .. } = &mut body {
                trace::belongs_to(publication, &span);
            }
        }
        // No look whether it is listened to: it is, or nothing would have come.
        let Some(hosted) = self.rooms.get_mut(&key) else { return };
        let (machine, mut around) = hosted.with(&mut self.core, &key);
        if let Machine::Ephemeral(room) = machine {
            room.live(&mut around, &from, body);
        }
        drop(span);
        let change = hosted.change();
        self.rooms.note(&key, change);
    }

    /// Counts a publication that came: of a room in this slot that is here, wanted or not; none: it isn't here.
    fn came(&mut self, key: &RoomKey, here: Option<(Slot, bool)>) {
        let wanted = here.is_some_and(|(_, wanted)| wanted);
        self.core.metrics.received(wanted);
        if self.core.interest.counts() {
            let slot = here.map_or_else(|| Slot::of_room(&key.tenant, &key.room), |(slot, _)| slot);
            self.core.came.add(&key.tenant, slot.number(), wanted);
        }
    }

    pub(super) fn asked(&mut self, key: &RoomKey, asked: IncomingRequest) {
        let IncomingRequest { request, reply } = asked;
        let Question::Room { mut ask, .. } = request.body else { return };
        if self.core.tenants.get(&key.tenant).is_none() {
            // Who asks knows the tenant: one of the two has an older configuration, for a moment.
            return reply.send(Answer::Refused { code: Code::Unavailable });
        }
        if matches!(ask, Ask::Members) {
            let slot = Slot::of_room(&key.tenant, &key.room);
            return reply.send(if self.core.placement.is_mine(&key.tenant, slot) {
                let Count { connections, users } = self.count(key);
                Answer::Members { count: connections, users }
            } else {
                Answer::Redirect { to: self.core.placement.owner(&key.tenant, slot).cloned() }
            });
        }
        if matches!(ask, Ask::History { .. } | Ask::Forget) {
            return self.asked_of_store(key, &ask, reply);
        }
        if matches!(ask, Ask::Take { .. }) && self.is_asked_as_former_owner(key, &request.from) {
            let own = &self.core.placement.pool;
            let slot = Slot::of_room(&key.tenant, &key.room);
            let owner = self.core.placement.view.owner(own, slot);
            // Who asks need not know all nodes of this pool.
            let holder = owner.filter(|owner| **owner != self.core.placement.me).cloned();
            return reply.send(Answer::NotHeld { known: None, holder });
        }
        let (from, parent) = (request.from, request.traceparent);
        let mut asker = Asker { reply, spans: Vec::new(), over: None };
        if let Ask::Publish { publications } = &mut ask {
            asker.over = self.let_through(key, Some(&from), publications);
            if asker.over.is_some() && publications.is_empty() {
                self.rooms.quiet(key);
                let durable = self.rooms.get(key).is_some_and(|hosted| hosted.machine.is_durable());
                let none = if durable { Answer::Fates(Vec::new()) } else { Answer::Published(Vec::new()) };
                return asker.reply(none);
            }
            for publication in publications {
                let span = trace::number(publication.span.as_deref().or(parent.as_deref()), key);
                publication.span = trace::traceparent_of(&span);
                asker.spans.extend((!span.is_none()).then_some(span));
            }
        }
        self.with_room(key, |machine, around| machine.asked(around, &from, asker, ask));
        self.rooms.quiet(key);
    }

    /// Another pool's node asks whether its tenant has left the room here, and there is no such room: it needn't be made,
    /// or every new room of a tenant that moved once would make one.
    fn is_asked_as_former_owner(&self, key: &RoomKey, from: &NodeId) -> bool {
        let placement = &self.core.placement;
        let is_elsewhere = *placement.pool_of(&key.tenant) != placement.pool;
        let is_other = || placement.view.node(from).is_some_and(|node| node.pool != placement.pool);
        self.rooms.get(key).is_none() && is_elsewhere && is_other()
    }

    pub(super) fn answered(&mut self, key: &RoomKey, ask: AskId, result: Result<Answer, AskError>) {
        self.in_room(key, |machine, around| machine.answered(around, ask, result));
        self.rooms.quiet(key);
    }

    pub(super) fn placed(&mut self, placement: Arc<Placement>) {
        if placement.is_same(&self.core.placement) {
            return;
        }
        self.core.interest.placed(&placement);
        let before = std::mem::replace(&mut self.core.placement, placement);
        let now = self.core.placement.clone();
        self.core.placements.send_replace(now.clone());
        if now.has_the_places_of(&before) {
            // Something is spread over more nodes, or fewer: no room decides anything by that.
            return;
        }
        self.core.formers.push(before.clone());
        for key in self.rooms.keys() {
            let Some(hosted) = self.rooms.get(&key) else { continue };
            let has_members = hosted.machine.members() > 0;
            let owner = now.owner(&key.tenant, hosted.slot);
            let same = before.owner(&key.tenant, hosted.slot) == owner
                && owner.is_none_or(|o| before.incarnation(o) == now.incarnation(o));
            if has_members && !same {
                self.core.tallies.changed(key.clone());
            }
        }
        self.core.tallies.keep_nodes(|node| {
            now.incarnation(node).is_some() && before.incarnation(node) == now.incarnation(node)
        });
        let stays_mine = |key: &RoomKey| {
            let slot = Slot::of_room(&key.tenant, &key.room);
            before.is_mine(&key.tenant, slot) && now.is_mine(&key.tenant, slot)
        };
        self.core.tallies.keep_rooms(Instant::now(), stays_mine);
        let lost = before.view.nodes().any(|node| now.incarnation(&node.id) != Some(node.incarnation));
        self.every_room(|machine, around| machine.view_changed(around, lost));
    }

    pub(super) fn link(&mut self, up: bool) {
        self.core.away = !up;
        if up {
            self.every_room(Machine::doubt);
        } else {
            self.every_room(Machine::link_lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringway_ring::{Announcement, Membership};

    use super::*;
    use crate::room::FORMER_FOR;
    use crate::shard::scene;
    use crate::shard::tally::{EARLY, RoomTally};

    /// The cluster is these nodes now.
    fn place(shard: &mut Shard, nodes: &[&str]) {
        let Placement { me, pool, .. } = &*shard.core.placement;
        let mut membership = Membership::new();
        for node in nodes {
            membership.heard(Announcement::new(node.parse().unwrap(), 1, pool.clone(), String::new()), 0);
        }
        let tenants = shard.core.tenants.clone();
        let placement = Placement::new(me.clone(), pool.clone(), membership.view(), &tenants);
        shard.placed(Arc::new(placement));
    }

    /// Where a room is looked for beside its next owner.
    fn former_owner(shard: &mut Shard, room: &RoomKey) -> Option<NodeId> {
        let mut former = None;
        shard.with_room(room, |_, around| former = crate::room::Surroundings::former_owner(around));
        former
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_is_looked_for_at_who_owned_it_a_moment_ago() {
        let (mut shard, _) = scene::shard();
        place(&mut shard, &["n1", "n2", "n3"]);
        let of = |shard: &Shard, node: &str| {
            let owned = |room: &RoomKey| {
                let slot = Slot::of_room(&room.tenant, &room.room);
                shard.core.placement.owner(&room.tenant, slot).is_some_and(|owner| owner.as_str() == node)
            };
            (0..).map(|n| scene::room(&format!("r{n}"))).find(owned).unwrap()
        };
        let [mine, moves] = ["n1", "n2"].map(|node| of(&shard, node));
        assert_eq!(former_owner(&mut shard, &mine), None);
        // Further changes, with which the room stays where it is.
        (0..3).for_each(|_| place(&mut shard, &["n1"]));
        assert_eq!(former_owner(&mut shard, &mine), None);
        assert_eq!(former_owner(&mut shard, &moves), Some("n2".parse().unwrap()));
        tokio::time::advance(FORMER_FOR).await;
        assert_eq!(former_owner(&mut shard, &moves), None, "it has gone by now");
    }

    #[tokio::test]
    async fn who_fell_silent_isnt_looked_for() {
        let (mut shard, _) = scene::shard();
        place(&mut shard, &["n2"]);
        let Placement { me, pool, .. } = &*shard.core.placement;
        let says = |node: &str| Announcement::new(node.parse().unwrap(), 1, pool.clone(), String::new());
        let mut membership = Membership::new();
        membership.heard(says("n2"), 0);
        membership.heard(says("n1"), ringway_ring::SILENCE);
        membership.expire(ringway_ring::SILENCE);
        let tenants = shard.core.tenants.clone();
        let placement = Placement::new(me.clone(), pool.clone(), membership.view(), &tenants);
        shard.placed(Arc::new(placement));
        assert_eq!(former_owner(&mut shard, &scene::room("r")), None);
    }

    /// So long ago `n2` said that it has seven members.
    fn report(shard: &mut Shard, room: &RoomKey, ago: Duration) {
        let RoomKey { tenant, room } = room.clone();
        let tally = RoomTally { tenant, room, count: 7, users: None };
        shard.core.tallies.report(&"n2".parse().unwrap(), tally, Instant::now() - ago);
    }

    /// A room that `n1` owns beside `n2`, and not where `n3` is too.
    fn room_that_goes_to_a_third(shard: &mut Shard) -> RoomKey {
        let mine = |shard: &Shard, room: &RoomKey| {
            shard.core.placement.is_mine(&room.tenant, Slot::of_room(&room.tenant, &room.room))
        };
        let rooms = (0..1_000).map(|number| scene::room(&format!("r{number}")));
        place(shard, &["n1", "n2", "n3"]);
        let mut rooms: Vec<RoomKey> = rooms.filter(|room| !mine(shard, room)).collect();
        place(shard, &["n1", "n2"]);
        rooms.retain(|room| mine(shard, room));
        rooms.swap_remove(0)
    }

    #[tokio::test]
    async fn what_was_reported_before_a_room_had_another_owner_is_not_counted_after() {
        let (mut shard, _) = scene::shard();
        let room = room_that_goes_to_a_third(&mut shard);
        report(&mut shard, &room, EARLY * 2);
        place(&mut shard, &["n1", "n2"]);
        assert_eq!(shard.core.tallies.elsewhere(&room), 7, "its owner stayed");
        place(&mut shard, &["n1", "n2", "n3"]);
        // All of them leave, which the third is told.
        place(&mut shard, &["n1", "n2"]);
        assert_eq!(shard.core.tallies.elsewhere(&room), 0);
    }

    #[tokio::test]
    async fn who_saw_earlier_than_this_node_that_it_owns_a_room_is_counted() {
        let (mut shard, _) = scene::shard();
        let room = room_that_goes_to_a_third(&mut shard);
        place(&mut shard, &["n1", "n2", "n3"]);
        report(&mut shard, &room, Duration::ZERO);
        place(&mut shard, &["n1", "n2"]);
        assert_eq!(shard.core.tallies.elsewhere(&room), 7);
    }
}
