//! Entering: the way of this node's own publications into the store, by the room's owner. One batch at a time is under way,
//! so that they keep their order whatever happens to the ones before; what comes meanwhile leaves together. And the way of
//! what others ask to have stored, which needs no order among them.

use ringway_backplane::message::{Answer, Ask, Fate, LiveBody, Publication};
use ringway_protocol::Code;
use ringway_protocol::name::Key;

use super::Durable;
use super::limits::{ASKED, PUBLISH_WAIT};
use super::surroundings::Surroundings;
use crate::entrance::Batch;
use crate::room::{AskError, AskId, Handles};
use crate::storing::StoreId;

/// Who is told, and of how many publications each.
type Publishers<H> = Vec<(<H as Handles>::Publisher, usize)>;

/// This node's own batch that is under way.
pub(super) enum Flight<H: Handles> {
    /// The owner was asked.
    Asked { id: AskId, batch: Batch<H::Publisher> },
    /// This node stores it.
    Storing { id: StoreId, publishers: Publishers<H>, sent: Sent },
}

/// What another node, or a gateway, asked to have stored.
pub(super) struct Asked<H: Handles> {
    id: StoreId,
    asker: H::Asker,
    sent: Sent,
}

/// What was handed to be stored, as far as it must be remembered: of each publication whether it was a signal, and its key.
pub(super) struct Sent(Vec<(bool, Option<Key>)>);

impl Sent {
    fn of(publications: &[Publication]) -> Self {
        let one = |publication: &Publication| (publication.signal, publication.key.clone());
        Self(publications.iter().map(one).collect())
    }

    /// What became of each, where `stored` has it of those that aren't signals.
    fn fates(&self, stored: Vec<Fate>) -> Vec<Fate> {
        let mut stored = stored.into_iter();
        let of = |(signal, _): &(bool, _)| {
            if *signal { Fate::Passed } else { stored.next().unwrap_or(Fate::Unknown) }
        };
        self.0.iter().map(of).collect()
    }
}

impl<H: Handles> Durable<H> {
    pub(super) fn admit(
        &mut self,
        s: &mut impl Surroundings<H>,
        publisher: H::Publisher,
        publications: Vec<Publication>,
    ) {
        let count = publications.len();
        if let Err(publisher) = self.entrance.admit(publisher, publications) {
            s.outcome(publisher, vec![Fate::Unavailable; count]);
        }
    }

    /// Sends on what entered, as far as it can go now.
    pub(super) fn pump(&mut self, s: &mut impl Surroundings<H>) {
        while self.flight.is_none() && !self.entrance.is_empty() {
            let joins = |conn: &_| self.waiting.iter().any(|waiting| waiting.is_of(conn));
            let Some(batch) = self.entrance.next_batch(joins) else { return };
            match s.owner().filter(|owner| owner != s.me()) {
                _ if s.away() => self.not_stored(s, batch),
                None => self.store_batch(s, batch),
                Some(owner) => {
                    let ask = Ask::Publish { publications: batch.publications() };
                    let id = s.ask(&owner, ask, PUBLISH_WAIT);
                    self.flight = Some(Box::new(Flight::Asked { id, batch }));
                }
            }
        }
    }

    fn store_batch(&mut self, s: &mut impl Surroundings<H>, batch: Batch<H::Publisher>) {
        let (publishers, publications) = batch.apart();
        let sent = Sent::of(&publications);
        match self.send_signals(s, publications) {
            publications if publications.is_empty() => tell(s, publishers, &sent.fates(Vec::new())),
            publications => {
                let id = s.store(publications);
                self.flight = Some(Box::new(Flight::Storing { id, publishers, sent }));
            }
        }
    }

    /// Signals go to whoever is here, and to the other nodes. The others remain.
    fn send_signals(
        &mut self,
        s: &mut impl Surroundings<H>,
        publications: Vec<Publication>,
    ) -> Vec<Publication> {
        let (signals, others): (Vec<_>, _) =
            publications.into_iter().partition(|publication| publication.signal);
        for signal in signals {
            self.pass(s, &signal);
            s.live(LiveBody::Signal(signal.into()));
        }
        others
    }

    /// Nothing of it can be stored now. Signals go to who is here.
    fn not_stored(&mut self, s: &mut impl Surroundings<H>, batch: Batch<H::Publisher>) {
        let (publishers, publications) = batch.apart();
        let mut fates = Vec::with_capacity(publications.len());
        for publication in &publications {
            if publication.signal {
                self.pass(s, publication);
            }
            fates.push(if publication.signal { Fate::Passed } else { Fate::Unavailable });
        }
        tell(s, publishers, &fates);
    }

    /// What the owner answered to the batch under way.
    pub(super) fn landed(
        &mut self,
        s: &mut impl Surroundings<H>,
        id: AskId,
        answer: Result<Answer, AskError>,
    ) {
        let ours =
            |flight: &mut Box<Flight<H>>| matches!(**flight, Flight::Asked { id: asked, .. } if asked == id);
        let Some(Flight::Asked { batch, .. }) = self.flight.take_if(ours).map(|flight| *flight) else {
            return;
        };
        match answer {
            Ok(Answer::Fates(mut fates)) => {
                let (publishers, publications) = batch.apart();
                let missing = match fates.last() {
                    Some(limited @ Fate::Limited { .. }) => *limited,
                    _ => Fate::Unknown,
                };
                fates.resize(publications.len(), missing);
                tell(s, publishers, &fates);
                self.acknowledged(s, &Sent::of(&publications), &fates);
            }
            // Surely nobody has stored it: nobody is there.
            Err(AskError::NoResponders) => self.store_batch(s, batch),
            Err(AskError::Away) | Ok(Answer::Refused { .. } | Answer::Redirect { .. }) => {
                self.not_stored(s, batch);
            }
            // Perhaps it was stored: it mustn't be sent again, since later ones may have been too.
            Ok(_) | Err(AskError::Timeout) => {
                let (publishers, publications) = batch.apart();
                let fate =
                    |publication: &Publication| if publication.signal { Fate::Passed } else { Fate::Unknown };
                tell(s, publishers, &publications.iter().map(fate).collect::<Vec<_>>());
            }
        }
    }

    pub(super) fn was_asked(&mut self, s: &mut impl Surroundings<H>, asker: H::Asker, ask: Ask) {
        let Ask::Publish { publications } = ask else {
            return s.answer(asker, Answer::Refused { code: Code::BadRequest });
        };
        if self.asked.len() >= ASKED {
            return s.answer(asker, Answer::Refused { code: Code::Unavailable });
        }
        let sent = Sent::of(&publications);
        let publications = self.send_signals(s, publications);
        if publications.is_empty() {
            return s.answer(asker, Answer::Fates(sent.fates(Vec::new())));
        }
        let id = s.store(publications);
        self.asked.push(Asked { id, asker, sent });
    }

    /// What became of what this node had stored.
    pub(super) fn has_stored(&mut self, s: &mut impl Surroundings<H>, id: StoreId, fates: Vec<Fate>) {
        let ours = |flight: &mut Box<Flight<H>>| matches!(**flight, Flight::Storing { id: stored, .. } if stored == id);
        let (sent, fates) = if let Some(flight) = self.flight.take_if(ours) {
            let Flight::Storing { publishers, sent, .. } = *flight else { return };
            let fates = sent.fates(fates);
            tell(s, publishers, &fates);
            (sent, fates)
        } else if let Some(at) = self.asked.iter().position(|asked| asked.id == id) {
            let Asked { asker, sent, .. } = self.asked.swap_remove(at);
            let fates = sent.fates(fates);
            s.answer(asker, Answer::Fates(fates.clone()));
            (sent, fates)
        } else {
            return;
        };
        let epoch = fates.iter().rev().find_map(|fate| match fate {
            Fate::Stored(published) => Some(published.epoch),
            _ => None,
        });
        if let Some(epoch) = epoch {
            let stored = sent.0.iter().zip(&fates).filter_map(|((_, key), fate)| match fate {
                Fate::Stored(published) if published.epoch == epoch => Some((key.clone(), *published)),
                _ => None,
            });
            self.mark_later(s, epoch, stored);
        }
        self.acknowledged(s, &sent, &fates);
    }

    /// What is stored should have come here by live, if the room is followed.
    fn acknowledged(&mut self, s: &mut impl Surroundings<H>, sent: &Sent, fates: &[Fate]) {
        if self.is_apart() {
            return;
        }
        for ((_, key), fate) in sent.0.iter().zip(fates) {
            match fate {
                Fate::Stored(published) if self.epoch == Some(published.epoch) => {
                    if !published.duplicate {
                        self.suspect(s, published.offset);
                    }
                    self.beyond(s, Some(key), published.offset, !published.duplicate);
                }
                // Of another epoch, or perhaps stored.
                Fate::Stored(_) | Fate::Unknown => self.look_soon(s),
                _ => {}
            }
        }
    }
}

/// Each gets its own part of the fates.
fn tell<H: Handles>(s: &mut impl Surroundings<H>, publishers: Publishers<H>, fates: &[Fate]) {
    let mut rest = fates;
    for (publisher, count) in publishers {
        let (own, others) = rest.split_at(count.min(rest.len()));
        rest = others;
        s.outcome(publisher, own.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::scene::{actor, at, by, conn, following, node, publication, signal, stage, stored};

    #[test]
    fn an_owner_stores_one_batch_after_the_other() {
        let (mut room, mut stage) = stage("n1");
        for (publisher, word) in [(1, "a"), (2, "b"), (3, "c")] {
            room.enter(&mut stage, publisher, vec![publication(word)]);
        }
        assert_eq!(stage.done(), ["store a"]);
        stage.acknowledge(&mut room, &[stored(7)]);
        assert_eq!(stage.done(), ["store b c"]);
        stage.acknowledge(&mut room, &[Fate::Full, stored(9)]);
        assert_eq!(stage.outcomes, [(1, vec![stored(7)]), (2, vec![Fate::Full]), (3, vec![stored(9)])]);
    }

    #[test]
    fn who_isnt_the_owner_asks_it_and_stores_itself_where_nobody_is() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 1, vec![publication("a"), publication("b")]);
        stage.answer_ask(&mut room, Ok(Answer::Fates(vec![stored(7), Fate::Limited { retry_ms: None }])));
        room.enter(&mut stage, 2, vec![publication("c")]);
        stage.answer_ask(&mut room, Err(AskError::NoResponders));
        assert_eq!(stage.done(), ["ask n2: publish a b", "ask n2: publish c", "store c"]);
        stage.acknowledge(&mut room, &[stored(9)]);
        let limited = Fate::Limited { retry_ms: None };
        assert_eq!(stage.outcomes, [(1, vec![stored(7), limited]), (2, vec![stored(9)])]);
        stage.pass_ms(&mut room, 5_000);
        assert_eq!(stage.done(), ["mark 9", "mark 9"], "of what was stored from here");
    }

    #[test]
    fn of_what_the_owner_lets_through_each_publisher_hears_its_part() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 0, vec![publication("first")]);
        room.enter(&mut stage, 1, vec![publication("a"), publication("b")]);
        room.enter(&mut stage, 2, vec![publication("c")]);
        stage.answer_ask(&mut room, Ok(Answer::Fates(vec![stored(1)])));
        let limited = Fate::Limited { retry_ms: Some(70) };
        stage.answer_ask(&mut room, Ok(Answer::Fates(vec![stored(2), limited])));
        assert_eq!(stage.outcomes[1..], [(1, vec![stored(2), limited]), (2, vec![limited])]);
    }

    #[test]
    fn perhaps_stored_is_unknown_and_surely_not_is_unavailable() {
        for (answer, fate) in [
            (Err(AskError::Timeout), Fate::Unknown),
            (Ok(Answer::Done), Fate::Unknown),
            (Ok(Answer::Fates(Vec::new())), Fate::Unknown),
            (Err(AskError::Away), Fate::Unavailable),
            (Ok(Answer::Refused { code: Code::Unavailable }), Fate::Unavailable),
        ] {
            let (mut room, mut stage) = stage("n2");
            room.enter(&mut stage, 1, vec![publication("a")]);
            stage.answer_ask(&mut room, answer.clone());
            assert_eq!(stage.outcomes, [(1, vec![fate])], "{answer:?}");
            assert!(stage.stores.is_empty() && stage.asks.is_empty(), "{answer:?}: never sent again");
        }
    }

    #[test]
    fn signals_are_passed_and_never_stored() {
        let (mut room, mut stage) = following(5);
        stage.owner = Some(node("n1"));
        let quiet = Publication { echo: false, ..signal("s") };
        room.enter(&mut stage, 1, vec![publication("a"), quiet, publication("b")]);
        assert_eq!(stage.done(), ["a: signal s", "send s", "store a b"]);
        stage.acknowledge(&mut room, &[stored(7), stored(8)]);
        assert_eq!(stage.outcomes, [(1, vec![stored(7), Fate::Passed, stored(8)])]);
        room.asked(&mut stage, &node("n3"), 4, Ask::Publish { publications: vec![signal("t")] });
        assert_eq!(stage.done(), ["a: signal t", "send t"]);
        assert_eq!(stage.answers, [(4, Answer::Fates(vec![Fate::Passed]))]);
    }

    #[test]
    fn what_others_ask_is_stored_at_once() {
        let (mut room, mut stage) = stage("n2");
        for (asker, word) in [(1, "a"), (2, "b")] {
            room.asked(
                &mut stage,
                &node("n3"),
                asker,
                Ask::Publish { publications: vec![publication(word)] },
            );
        }
        assert_eq!(stage.done(), ["store a", "store b"]);
        let first = stage.stores.remove(0);
        stage.acknowledge(&mut room, &[stored(8)]);
        room.stored(&mut stage, first.0, vec![stored(9)]);
        let fates = |offset| Answer::Fates(vec![stored(offset)]);
        assert_eq!(stage.answers, [(2, fates(8)), (1, fates(9))]);
        stage.clear();
        room.asked(&mut stage, &node("n3"), 3, Ask::Members);
        assert_eq!(stage.answers, [(3, Answer::Refused { code: Code::BadRequest })]);
    }

    #[test]
    fn away_nothing_is_stored_and_signals_stay_here() {
        let (mut room, mut stage) = following(5);
        stage.away = true;
        room.enter(&mut stage, 1, vec![publication("a"), signal("s")]);
        assert_eq!(stage.done(), ["a: signal s"]);
        assert_eq!(stage.outcomes, [(1, vec![Fate::Unavailable, Fate::Passed])]);
    }

    #[test]
    fn who_joins_and_publishes_gets_its_own() {
        let (mut room, mut stage) = stage("n1");
        room.join(&mut stage, actor("a"), None, None);
        room.enter(&mut stage, 1, vec![by("x", "a")]);
        room.enter(&mut stage, 2, vec![by("y", "b")]);
        assert_eq!(stage.done(), ["read newest", "store y"], "another's needn't wait for that join");
        stage.acknowledge(&mut room, &[stored(7)]);
        stage.reply(&mut room, Ok(at(7, true)));
        assert_eq!(stage.done(), ["a: joined at 7", "store x"]);
        assert!(room.leave(&mut stage, &conn("a")));
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut room, mut stage) = stage("n1");
        for publisher in 0..=5_000 {
            room.enter(&mut stage, publisher, vec![publication("a")]);
        }
        assert!(stage.outcomes.iter().all(|(_, fates)| fates == &[Fate::Unavailable]));
        assert_eq!(stage.outcomes.len(), 5_000 - crate::entrance::ENTERING);
    }
}
