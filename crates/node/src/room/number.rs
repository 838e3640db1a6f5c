//! Numbering: what the holder does, and what waits until this node is the holder.

use std::sync::Arc;

use super::enter::Publishers;
use super::limits::{QUEUED, QUEUED_BYTES};
use super::log::weight;
use super::surroundings::{Handles, Surroundings};
use super::{Room, Standing};
use crate::entrance::Batch;
use ringway_backplane::message::{Answer, LiveBody, Publication, Published};
use ringway_protocol::code::Code;
use ringway_ring::NodeId;

/// What waits for the room to be held here.
pub(super) enum Queued<H: Handles> {
    /// Another node's publications.
    Publish { from: NodeId, asker: H::Asker, publications: Vec<Publication> },
    /// This node's own, in flight.
    Entered(Batch<H::Publisher>),
    /// Another node asks where the room is.
    Sync { from: NodeId, asker: H::Asker },
    /// This node does.
    Asking,
    /// Another node takes the room.
    Give { from: NodeId, asker: H::Asker },
}

impl<H: Handles> Queued<H> {
    /// The node (or gateway) that takes this one for the owner, and needn't hold the room itself.
    pub(super) fn asked_by(&self) -> Option<&NodeId> {
        match self {
            Queued::Publish { from, .. } | Queued::Sync { from, .. } => Some(from),
            Queued::Entered(_) | Queued::Asking | Queued::Give { .. } => None,
        }
    }
}

impl<H: Handles> Room<H> {
    pub(super) fn asked_to_publish(
        &mut self,
        s: &mut impl Surroundings<H>,
        from: &NodeId,
        asker: H::Asker,
        publications: Vec<Publication>,
    ) {
        match s.owner() {
            Some(owner) if owner == *s.me() => {
                self.when_held(s, Queued::Publish { from: from.clone(), asker, publications });
            }
            to => s.answer(asker, Answer::Redirect { to }),
        }
    }

    pub(super) fn asked_to_sync(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, asker: H::Asker) {
        match s.owner() {
            Some(owner) if owner == *s.me() => {
                self.when_held(s, Queued::Sync { from: from.clone(), asker });
            }
            to => s.answer(asker, Answer::Redirect { to }),
        }
    }

    /// Does it now if this node holds the room, else takes the room first.
    pub(super) fn when_held(&mut self, s: &mut impl Surroundings<H>, queued: Queued<H>) {
        if s.away() {
            return self.refuse(s, queued);
        }
        if self.taking.is_some() {
            return self.queue_up(s, queued);
        }
        let Some(epoch) = self.epoch.filter(|_| self.standing == Standing::Holding) else {
            if let Queued::Give { from, asker } = queued {
                return self.asked_to_give(s, &from, asker);
            }
            self.queue_up(s, queued);
            return self.start_taking(s);
        };
        match queued {
            Queued::Publish { asker, publications, .. } => {
                let published = self.number(s, publications);
                s.answer(asker, Answer::Published(published));
            }
            Queued::Entered(batch) => {
                self.flight = None;
                let (publishers, publications) = Publishers::<H>::of(batch);
                let published = self.number(s, publications);
                publishers.tell_published(s, &published);
            }
            Queued::Sync { asker, .. } => {
                self.log.trim(s.wall_ms());
                let (base, entries) = self.log.state();
                s.answer(asker, Answer::State { epoch, offset: self.log.number(), base, entries });
            }
            Queued::Asking => self.asked_owner(s, true),
            Queued::Give { from, asker } => self.asked_to_give(s, &from, asker),
        }
    }

    fn queue_up(&mut self, s: &mut impl Surroundings<H>, queued: Queued<H>) {
        let bytes = match &queued {
            Queued::Publish { publications, .. } => publications.iter().map(weight).sum(),
            _ => 0,
        };
        // Of this node's own there is one of each kind at most.
        let ours = matches!(queued, Queued::Entered(_) | Queued::Asking);
        if !ours && (self.queue.len() >= QUEUED || self.queue_bytes + bytes > QUEUED_BYTES) {
            return self.refuse(s, queued);
        }
        self.queue_bytes += bytes;
        self.queue.push_back(queued);
    }

    /// It can't be done: too much waits already, or the backplane is away.
    pub(super) fn refuse(&mut self, s: &mut impl Surroundings<H>, queued: Queued<H>) {
        let unavailable = Answer::Refused { code: Code::Unavailable };
        match queued {
            Queued::Publish { asker, .. } | Queued::Sync { asker, .. } | Queued::Give { asker, .. } => {
                s.answer(asker, unavailable);
            }
            Queued::Entered(batch) => {
                self.flight = None;
                self.not_published(s, batch);
            }
            Queued::Asking => self.asked_owner(s, false),
        }
    }

    /// Gives each its number, and sends and delivers it. Only the holder may; a repeat gets the first one's number.
    pub(super) fn number(
        &mut self,
        s: &mut impl Surroundings<H>,
        publications: Vec<Publication>,
    ) -> Vec<Published> {
        let Some(epoch) = self.epoch else { return Vec::new() };
        self.log.trim(s.wall_ms());
        let before = self.log.number();
        let mut published = Vec::with_capacity(publications.len());
        for publication in publications {
            if let Some(offset) = self.log.repeated(&publication) {
                published.push(Published { epoch, offset, duplicate: true });
                continue;
            }
            let publication = Arc::new(publication);
            let offset = self.log.number() + 1;
            s.live(LiveBody::Publication { epoch, offset, publication: publication.clone() });
            self.deliver(s, epoch, publication);
            published.push(Published { epoch, offset, duplicate: false });
        }
        self.wanted = self.log.number();
        if self.wanted > before {
            self.mark_later(s, epoch, self.wanted);
        }
        published
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Outcome;
    use crate::room::scene::{actor, by, epoch, holding, node, publication, stage, state};
    use ringway_backplane::message::Ask;

    fn with_mid(mid: &str, word: &str) -> Publication {
        Publication { mid: Some(mid.into()), user: Some("u".parse().expect("a user")), ..publication(word) }
    }

    #[test]
    fn who_isnt_owner_says_who_is() {
        let (mut room, mut stage) = stage("n2");
        room.asked(&mut stage, &node("n3"), 1, Ask::Publish { publications: vec![publication("a")] });
        room.asked(&mut stage, &node("n3"), 2, Ask::Sync { known: None });
        let redirect = Answer::Redirect { to: Some(node("n2")) };
        assert_eq!(stage.answers, [(1, redirect.clone()), (2, redirect)]);
    }

    #[test]
    fn several_in_one_question_keep_their_order() {
        let (mut room, mut stage, epoch) = holding();
        let publications = ["a", "b", "c"].map(publication).to_vec();
        room.asked(&mut stage, &node("n3"), 1, Ask::Publish { publications });
        assert_eq!(stage.done(), ["live 1 a", "live 2 b", "live 3 c"]);
        let published = [1, 2, 3].map(|offset| Published { epoch, offset, duplicate: false }).to_vec();
        assert_eq!(stage.answers, [(1, Answer::Published(published))]);
    }

    #[test]
    fn a_repeat_is_published_once_and_answered_alike() {
        let (mut room, mut stage, epoch) = holding();
        room.enter(&mut stage, 1, vec![with_mid("m", "a"), publication("b"), with_mid("m", "again")]);
        room.asked(
            &mut stage,
            &node("n3"),
            2,
            Ask::Publish { publications: vec![with_mid("m", "and again")] },
        );
        assert_eq!(stage.done(), ["live 1 a", "live 2 b"]);
        let published = |offset, duplicate| Published { epoch, offset, duplicate };
        let first = vec![published(1, false), published(2, false), published(1, true)];
        assert_eq!(stage.outcomes, [(1, Outcome::Published(first))]);
        assert_eq!(stage.answers, [(2, Answer::Published(vec![published(1, true)]))]);
    }

    #[test]
    fn a_repeat_is_known_by_who_took_the_room() {
        let (mut room, mut stage) = stage("n1");
        room.enter(&mut stage, 1, vec![with_mid("m", "again")]);
        let Answer::State { epoch, offset, base, mut entries } = state(epoch(5), 0, 2) else {
            unreachable!()
        };
        entries[0].1 = Arc::new(with_mid("m", "p1"));
        stage.reply(&mut room, Ok(Answer::State { epoch, offset, base, entries }));
        let published = vec![Published { epoch, offset: 1, duplicate: true }];
        assert_eq!(stage.outcomes, [(1, Outcome::Published(published))]);
    }

    #[test]
    fn who_wants_no_echo_gets_none_and_moves_on() {
        let (mut room, mut stage, _) = holding();
        room.join(&mut stage, actor("a"), None, None);
        room.join(&mut stage, actor("b"), None, None);
        stage.clear();
        room.enter(&mut stage, 1, vec![Publication { echo: false, ..by("x", "a") }, by("y", "a")]);
        assert_eq!(stage.done(), ["live 1 x", "b: msg 1 x", "live 2 y", "a: msg 2 y", "b: msg 2 y"]);
    }

    #[test]
    fn whoever_takes_the_room_meanwhile_gets_it_when_all_else_is_done() {
        let (mut room, mut stage) = stage("n1");
        room.asked(&mut stage, &node("n3"), 1, Ask::Publish { publications: vec![publication("a")] });
        room.asked(&mut stage, &node("n2"), 2, Ask::Take { known: None });
        room.asked(&mut stage, &node("n3"), 3, Ask::Publish { publications: vec![publication("b")] });
        stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
        stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
        assert_eq!(stage.done(), ["ask n2: take", "ask n3: take", "live 1 a", "live 2 b"]);
        let asked: Vec<u32> = stage.answers.iter().map(|(asker, _)| *asker).collect();
        assert_eq!(asked, [1, 3, 2]);
        assert!(matches!(stage.answers[2].1, Answer::State { offset: 2, .. }));
    }
}
