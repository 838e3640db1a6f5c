//! The network: it keeps the order of each sender's live messages, questions and answers, and may lose or delay any.

use ringway_backplane::message::{Answer, Ask, LiveBody};

use super::super::{AskError, AskId, Room};
use super::Broken;
use super::trace::{show_answer, show_ask, show_live};
use super::world::{GATEWAY, Id, Job, Kind, Sim, SimAsker, Time, World, secs};

/// What the gateway does with an answer.
pub(super) type Then = Box<dyn FnOnce(&mut World, Result<Answer, AskError>)>;

/// What was asked, by a room (`then` is `None`) or by the gateway.
pub(super) struct Asked {
    open: bool,
    take: bool,
    then: Option<Then>,
}

impl World {
    pub(super) fn post(&mut self, from: Id, to: Id, kind: Kind, job: Job) {
        let sender = &mut self.parties[from];
        if sender.cut {
            if sender.cut_keeps {
                sender.outbox.push((sender.life, to, kind, job));
            }
            return;
        }
        let brisk = self.calm || !self.dice.chance(self.slow);
        let delay = if brisk { self.dice.between(0.002, 0.03) } else { self.dice.between(0.03, 0.8) };
        let last = self.last_arrival.entry((from, to, kind)).or_insert(0);
        *last = (*last).max(self.now + secs(delay));
        let (time, life) = (*last, self.parties[to].life);
        self.at(
            time,
            Box::new(move |w| {
                let party = &mut w.parties[to];
                if !party.up || party.life != life || party.cut {
                    return;
                }
                if party.lossy && kind == Kind::Live && w.dice.chance(0.5) {
                    return w.trace(|| format!("   lost at n{to}"));
                }
                let party = &mut w.parties[to];
                if !party.hung {
                    job(w);
                } else if party.hang_keeps {
                    party.inbox.push(job);
                }
            }),
        );
    }

    pub(super) fn subscribed(&self, id: Id) -> bool {
        let party = &self.parties[id];
        let needed =
            |room: &Room<Sim>| !party.conns.is_empty() || room.is_holder() || self.owner_at(id) == Some(id);
        party.up && party.room.as_deref().is_some_and(needed)
    }

    pub(super) fn send_live(&mut self, from: Id, body: &LiveBody) {
        self.trace(|| format!("n{from} live {}", show_live(body)));
        if self.variant.without == Some(Broken::Mark) && matches!(body, LiveBody::Mark { .. }) {
            return;
        }
        for to in self.nodes() {
            if to != from && self.subscribed(to) {
                let body = body.clone();
                self.post(from, to, Kind::Live, Box::new(move |w| w.hear(to, from, body)));
            }
        }
    }

    fn hear(&mut self, to: Id, from: Id, body: LiveBody) {
        let from = self.parties[from].name.clone();
        let (epoch, offset) = match &body {
            LiveBody::Publication { epoch, offset, .. }
            | LiveBody::Unread { epoch, offset, .. }
            | LiveBody::Mark { epoch, offset } => (*epoch, *offset),
            body => unreachable!("an ephemeral room never says {body:?}"),
        };
        if let Some(room) = &self.parties[to].room {
            let holders = room.is_holder() && room.epoch == Some(epoch) && offset > room.log.number();
            if self.variant.without == Some(Broken::Lesser) && room.epoch > Some(epoch) {
                return;
            }
            if holders {
                self.bad("I3 two holders");
            }
            self.room(to, |room, s| room.live(s, &from, body));
        }
    }

    pub(super) fn ask(&mut self, from: Id, to: Id, ask: Ask, within: Time, then: Option<Then>) -> AskId {
        self.counter += 1;
        self.questions += 1;
        let id = AskId(self.counter);
        let take = matches!(ask, Ask::Take { .. });
        self.asks.insert(id, Asked { open: true, take, then });
        if self.parties[from].knows {
            self.at_party(self.now, from, Box::new(move |w| w.answered(from, id, Err(AskError::Away))));
            return id;
        }
        self.at_party(
            self.now + within,
            from,
            Box::new(move |w| {
                let healthy = !w.parties[to].hung && !w.parties[to].cut && !w.parties[from].cut;
                if take && healthy && w.asks.get(&id).is_some_and(|asked| asked.open) {
                    w.faults += 1;
                }
                w.answered(from, id, Err(AskError::Timeout));
            }),
        );
        let other = &self.parties[to];
        let nobody = to == GATEWAY || !other.up || other.cut && other.cut_shows || !self.listens(to);
        if nobody && !self.parties[from].cut {
            let later = self.now + secs(0.01);
            self.at_party(later, from, Box::new(move |w| w.answered(from, id, Err(AskError::NoResponders))));
        } else if other.up {
            let asker = SimAsker { by: from, life: self.parties[from].life, of: to, id };
            self.post(from, to, Kind::Question, Box::new(move |w| w.asked(to, asker, ask)));
        }
        id
    }

    fn asked(&mut self, to: Id, asker: SimAsker, ask: Ask) {
        let mut from = self.parties[asker.by].name.clone();
        self.trace(|| format!("n{to} asked by {from}: {}", show_ask(&ask)));
        if self.variant.without == Some(Broken::Asker) && !matches!(ask, Ask::Take { .. }) {
            from = self.parties[GATEWAY].name.clone();
        }
        if matches!(ask, Ask::Take { .. }) && self.is_asked_as_former_owner(to, asker.by) {
            let holder = self.owner_in_own_pool(to).map(|owner| self.parties[owner].name.clone());
            return self.reply(asker, Answer::NotHeld { known: None, holder });
        }
        self.ensure_room(to);
        self.room(to, |room, s| room.asked(s, &from, asker, ask));
    }

    pub(super) fn reply(&mut self, asker: SimAsker, answer: Answer) {
        let SimAsker { by, life, of, id } = asker;
        let (mut answer, without) = (answer, self.variant.without);
        if let Answer::State { entries, .. } = &mut answer {
            self.ledger.moves += u64::from(self.asks.get(&id).is_some_and(|asked| asked.take));
            if without == Some(Broken::Value) && entries.len() > 1 {
                entries.remove(0);
            }
        }
        self.trace(|| format!("n{of} answers n{by}: {}", show_answer(&answer)));
        self.post(
            of,
            by,
            Kind::Answer,
            Box::new(move |w| {
                if w.parties[by].life == life {
                    w.answered(by, id, Ok(answer));
                }
            }),
        );
    }

    fn answered(&mut self, by: Id, id: AskId, answer: Result<Answer, AskError>) {
        let Some(asked) = self.asks.get_mut(&id) else { return };
        let open = std::mem::replace(&mut asked.open, false);
        if !open && (!asked.take || self.variant.without == Some(Broken::Late)) {
            return;
        }
        self.trace(|| {
            format!("n{by} <- {}{:?}", if open { "" } else { "late " }, answer.as_ref().map(show_answer))
        });
        let asked = self.asks.get_mut(&id);
        if let Some(then) = asked.and_then(|asked| asked.then.take()) {
            return then(self, answer);
        }
        let doubtless = self.variant.without == Some(Broken::Doubt) && self.asks[&id].take;
        let answer = if doubtless && answer.is_err() {
            Ok(Answer::NotHeld { known: None, holder: None })
        } else {
            answer
        };
        let answer = match answer {
            Ok(Answer::NotHeld { known, .. }) if self.variant.without == Some(Broken::Hint) => {
                Ok(Answer::NotHeld { known, holder: None })
            }
            other => other,
        };
        self.room(by, |room, s| room.answered(s, id, answer));
    }
}
