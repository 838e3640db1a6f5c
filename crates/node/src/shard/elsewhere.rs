//! What other nodes say and ask, and what becomes of the cluster.

use std::sync::Arc;

use ringway_backplane::IncomingRequest;
use ringway_backplane::message::{Answer, Ask, LiveBody, LiveMessage, Question};
use ringway_protocol::Code;
use ringway_ring::Slot;

use super::around::Asker;
use super::tally::Count;
use super::{RoomKey, Shard};
use crate::placement::Placement;
use crate::room::{AskError, AskId};
use crate::trace;

impl Shard {
    pub(super) fn live(&mut self, message: LiveMessage) {
        let key = RoomKey { tenant: message.tenant, room: message.room };
        let is_publication = !matches!(message.body, LiveBody::Mark { .. });
        // Once per message: what nobody here wants should cost next to nothing.
        let Some(hosted) = self.rooms.get_mut(&key) else {
            if is_publication {
                self.core.metrics.received(false);
            }
            return;
        };
        let (from, mut body) = (message.from, message.body);
        if hosted.machine.looks_into_publications() {
            let Some(read) = body.read(self.core.backplane.counters()) else { return };
            body = read;
        }
        let mut span = tracing::Span::none();
        if is_publication {
            self.core.metrics.received(hosted.machine.members() > 0);
            span = trace::receive(message.traceparent.as_deref(), &key.tenant, Some(&key.room));
            // Over memory the sender's own buffer has it as well, in its own span.
            if let LiveBody::Publication { publication, .. } = &mut body
                && (publication.span.is_some() || !span.is_none())
            {
                Arc::make_mut(publication).span = trace::traceparent_of(&span);
            }
        }
        // No look whether it is listened to: it is, or nothing would have come.
        let (machine, mut around) = hosted.with(&mut self.core, &key);
        machine.live(&mut around, &from, body);
        drop(span);
        let change = hosted.change();
        self.rooms.note(&key, change);
    }

    pub(super) fn asked(&mut self, key: &RoomKey, asked: IncomingRequest) {
        let IncomingRequest { request, reply } = asked;
        let Question::Room { mut ask, .. } = request.body else { return };
        if self.core.tenants.get(&key.tenant).is_none() {
            return reply.send(Answer::Refused { code: Code::UnknownTenant });
        }
        if matches!(ask, Ask::Members) {
            let slot = Slot::of_room(&key.tenant, &key.room);
            return reply.send(if self.core.placement.is_mine(slot) {
                let Count { connections, users } = self.count(key);
                Answer::Members { count: connections, users }
            } else {
                Answer::Redirect { to: self.core.placement.owner(slot).cloned() }
            });
        }
        let (from, parent) = (request.from, request.traceparent);
        let mut asker = Asker { reply, spans: Vec::new(), over: None };
        if let Ask::Publish { publications } = &mut ask {
            asker.over = self.let_through(key, Some(&from), publications);
            if let Some(over) = asker.over.filter(|_| publications.is_empty()) {
                self.rooms.quiet(key);
                return asker.reply.send(over.answer(Vec::new()));
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

    pub(super) fn answered(&mut self, key: &RoomKey, ask: AskId, result: Result<Answer, AskError>) {
        if self.rooms.get(key).is_some() {
            self.with_room(key, |machine, around| machine.answered(around, ask, result));
            self.rooms.quiet(key);
        }
    }

    pub(super) fn placed(&mut self, placement: Arc<Placement>) {
        let before = std::mem::replace(&mut self.core.placement, placement);
        let now = self.core.placement.clone();
        for key in self.rooms.keys() {
            let Some(hosted) = self.rooms.get(&key) else { continue };
            let has_members = hosted.machine.members() > 0;
            let owner = now.owner(hosted.slot);
            let same = before.owner(hosted.slot) == owner
                && owner.is_none_or(|o| before.incarnation(o) == now.incarnation(o));
            if has_members && !same {
                self.core.tallies.changed(key.clone());
            }
        }
        self.core.tallies.keep_nodes(|node| {
            now.incarnation(node).is_some() && before.incarnation(node) == now.incarnation(node)
        });
        self.every_room(|room, around| room.view_changed(around));
    }

    pub(super) fn link(&mut self, up: bool) {
        self.core.away = !up;
        if up {
            self.every_room(|room, around| room.back_from_cut(around));
        } else {
            self.every_room(|room, around| room.link_lost(around));
        }
    }
}
