//! Entering: the way of this node's own publications to whoever numbers them. One batch at a time is under way, so
//! that they keep their order whatever happens to the ones before; what comes meanwhile leaves together.

use std::time::Duration;

use super::deliver::not_to;
use super::limits::{PUBLISH_WAIT, RETRY};
use super::log::Entry;
use super::number::Queued;
use super::surroundings::{AskError, AskId, Handles, Outcome, Surroundings};
use super::{Room, Standing};
use crate::entrance::Batch;
use ringway_backplane::message::{Answer, Ask, Publication, Published};
use ringway_ring::NodeId;

/// Who is told, and of how many publications each.
pub(super) struct Publishers<H: Handles>(Vec<(H::Publisher, usize)>);

/// The batch under way.
pub(super) enum Flight<H: Handles> {
    /// It waits until this node has taken the room.
    Taking,
    Asked {
        id: AskId,
        redirected: bool,
        batch: Batch<H::Publisher>,
    },
}

impl<H: Handles> Flight<H> {
    pub(super) fn is(&self, ask: AskId) -> bool {
        matches!(self, Flight::Asked { id, .. } if *id == ask)
    }
}

impl<H: Handles> Publishers<H> {
    /// Those of a batch, and what they published.
    pub(super) fn of(batch: Batch<H::Publisher>) -> (Self, Vec<Publication>) {
        let (publishers, publications) = batch.apart();
        (Self(publishers), publications)
    }

    /// Each gets its own part of the numbers.
    pub(super) fn tell_published(self, s: &mut impl Surroundings<H>, published: &[Published]) {
        let mut rest = published;
        for (publisher, count) in self.0 {
            let outcome = match rest.split_at_checked(count) {
                Some((own, others)) => {
                    rest = others;
                    Outcome::Published(own.to_vec())
                }
                None => Outcome::Unknown,
            };
            s.outcome(publisher, outcome);
        }
    }

    /// Each gets its own part of the numbers, and hears that the others are too many.
    fn tell_limited(self, s: &mut impl Surroundings<H>, published: &[Published], retry: Option<Duration>) {
        let mut rest = published;
        for (publisher, count) in self.0 {
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            let published = own.to_vec();
            s.outcome(
                publisher,
                match own.len() {
                    all if all == count => Outcome::Published(published),
                    _ => Outcome::Limited { published, retry },
                },
            );
        }
    }

    fn tell_all(self, s: &mut impl Surroundings<H>, outcome: &Outcome) {
        for (publisher, _) in self.0 {
            s.outcome(publisher, outcome.clone());
        }
    }
}

impl<H: Handles> Room<H> {
    pub(super) fn admit(
        &mut self,
        s: &mut impl Surroundings<H>,
        publisher: H::Publisher,
        publications: Vec<Publication>,
    ) {
        if let Err(publisher) = self.entrance.admit(publisher, publications) {
            s.outcome(publisher, Outcome::Unavailable { retry: RETRY });
        }
    }

    /// Sends on what entered, as far as it can go now.
    pub(super) fn pump(&mut self, s: &mut impl Surroundings<H>) {
        while self.flight.is_none() {
            let joins = |conn: &_| self.members.is_waiting(conn);
            let Some(batch) = self.entrance.next_batch(joins) else { return };
            let owner = s.owner();
            if s.away() {
                self.publish_locally(s, batch);
            } else if let Some(owner) = owner {
                self.send(s, &owner, batch, false);
            } else {
                self.not_published(s, batch);
            }
        }
    }

    fn send(
        &mut self,
        s: &mut impl Surroundings<H>,
        to: &NodeId,
        batch: Batch<H::Publisher>,
        redirected: bool,
    ) {
        if to == s.me() {
            if self.standing != Standing::Holding || self.taking.is_some() {
                self.flight = Some(Box::new(Flight::Taking));
            }
            return self.when_held(s, Queued::Entered(batch));
        }
        let id = s.ask(to, Ask::Publish { publications: batch.publications() }, PUBLISH_WAIT);
        self.flight = Some(Box::new(Flight::Asked { id, redirected, batch }));
    }

    /// What the owner answered to the batch under way.
    pub(super) fn landed(&mut self, s: &mut impl Surroundings<H>, answer: Result<Answer, AskError>) {
        let Some(Flight::Asked { redirected, batch, .. }) = self.flight.take().map(|flight| *flight) else {
            return;
        };
        match answer {
            Ok(Answer::Published(published)) => Publishers::<H>::of(batch).0.tell_published(s, &published),
            Ok(Answer::Limited { published, retry_ms }) => {
                Publishers::<H>::of(batch).0.tell_limited(s, &published, retry_ms.map(Duration::from_millis));
            }
            Ok(Answer::Redirect { to: Some(to) }) if !redirected => self.send(s, &to, batch, true),
            Ok(Answer::Redirect { .. } | Answer::Refused { .. })
            | Err(AskError::NoResponders | AskError::Away) => {
                self.not_published(s, batch);
            }
            // Perhaps it was numbered: it mustn't be sent again.
            Ok(_) | Err(AskError::Timeout) => Publishers::<H>::of(batch).0.tell_all(s, &Outcome::Unknown),
        }
    }

    /// The backplane is away: what became of the batch under way won't be heard.
    pub(super) fn give_up_flight(&mut self, s: &mut impl Surroundings<H>) {
        let asked = self.flight.take_if(|flight| matches!(**flight, Flight::Asked { .. }));
        if let Some(Flight::Asked { batch, .. }) = asked.map(|flight| *flight) {
            Publishers::<H>::of(batch).0.tell_all(s, &Outcome::Unknown);
        }
    }

    /// Surely nobody has numbered it, and nobody can now.
    pub(super) fn not_published(&mut self, s: &mut impl Surroundings<H>, batch: Batch<H::Publisher>) {
        if s.away() {
            return self.publish_locally(s, batch);
        }
        Publishers::<H>::of(batch).0.tell_all(s, &Outcome::Unavailable { retry: RETRY });
    }

    /// The backplane is away: without a number, to whom we have.
    fn publish_locally(&mut self, s: &mut impl Surroundings<H>, batch: Batch<H::Publisher>) {
        let (publishers, publications) = Publishers::<H>::of(batch);
        for publication in publications {
            let entry = Entry { offset: 0, publication: publication.into() };
            s.deliver(&entry, None, self.members.here(not_to(&entry.publication)));
        }
        publishers.tell_all(s, &Outcome::Local);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrance::{BATCH, BATCH_BYTES, ENTERING, ENTERING_BYTES};
    use crate::room::log::weight;
    use crate::room::scene::{actor, by, epoch, node, publication, stage};

    fn published(offset: u64) -> Published {
        Published { epoch: epoch(1), offset, duplicate: false }
    }

    #[test]
    fn what_comes_while_a_batch_is_under_way_leaves_together_after_it() {
        let (mut room, mut stage) = stage("n2");
        for (publisher, word) in [(1, "a"), (2, "b"), (3, "c")] {
            room.enter(&mut stage, publisher, vec![publication(word)]);
        }
        assert_eq!(stage.done(), ["ask n2: publish a"]);
        stage.reply(&mut room, Ok(Answer::Published(vec![published(1)])));
        assert_eq!(stage.done(), ["ask n2: publish b c"]);
        stage.reply(&mut room, Ok(Answer::Published(vec![published(2), published(3)])));
        let told = [1, 2, 3].map(|n| (n, Outcome::Published(vec![published(u64::from(n))])));
        assert_eq!(stage.outcomes, told);
    }

    #[test]
    fn of_what_the_owner_lets_through_each_publisher_hears_its_part() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 0, vec![publication("first")]);
        for publisher in 1..=3 {
            room.enter(&mut stage, publisher, vec![publication("a"), publication("b")]);
        }
        room.enter(&mut stage, 4, vec![publication("last")]);
        stage.reply(&mut room, Ok(Answer::Published(vec![published(1)])));
        stage.clear();
        let three = vec![published(2), published(3), published(4)];
        stage.reply(&mut room, Ok(Answer::Limited { published: three, retry_ms: Some(70) }));
        let limited = |published| Outcome::Limited { published, retry: Some(Duration::from_millis(70)) };
        let told = [
            (1, Outcome::Published(vec![published(2), published(3)])),
            (2, limited(vec![published(4)])),
            (3, limited(Vec::new())),
            (4, limited(Vec::new())),
        ];
        assert_eq!(stage.outcomes, told);
        assert!(stage.asks.is_empty(), "what wasn't let through isn't sent again");
    }

    #[test]
    fn what_comes_after_a_refusal_goes_its_way() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 1, vec![publication("a")]);
        room.enter(&mut stage, 2, vec![publication("b")]);
        stage.reply(&mut room, Ok(Answer::Limited { published: Vec::new(), retry_ms: None }));
        assert_eq!(stage.done(), ["ask n2: publish a", "ask n2: publish b"]);
        assert_eq!(stage.outcomes, [(1, Outcome::Limited { published: Vec::new(), retry: None })]);
        stage.reply(&mut room, Ok(Answer::Published(vec![published(1)])));
        assert_eq!(stage.outcomes[1], (2, Outcome::Published(vec![published(1)])));
    }

    #[test]
    fn one_redirect_is_followed_and_no_second() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 1, vec![publication("a")]);
        stage.reply(&mut room, Ok(Answer::Redirect { to: Some(node("n3")) }));
        assert_eq!(stage.done(), ["ask n2: publish a", "ask n3: publish a"]);
        stage.reply(&mut room, Ok(Answer::Redirect { to: Some(node("n2")) }));
        assert_eq!(stage.outcomes, [(1, Outcome::Unavailable { retry: RETRY })]);
    }

    #[test]
    fn redirected_to_itself_a_node_takes_the_room() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 1, vec![publication("a")]);
        stage.next = Some(node("n2"));
        stage.reply(&mut room, Ok(Answer::Redirect { to: Some(node("n1")) }));
        stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
        let done = stage.done();
        assert_eq!(done[..3], ["ask n2: publish a", "ask n2: take", "live 1 a"]);
        assert_eq!(done[3..], ["ask n2: greater"], "whom this node took for the owner hears of it");
    }

    #[test]
    fn surely_not_published_is_unavailable_and_perhaps_published_is_unknown() {
        let unavailable = Outcome::Unavailable { retry: RETRY };
        for (answer, outcome) in [
            (Err(AskError::NoResponders), &unavailable),
            (Err(AskError::Away), &unavailable),
            (Ok(Answer::Redirect { to: None }), &unavailable),
            (Ok(Answer::Refused { code: ringway_protocol::Code::Unavailable }), &unavailable),
            (Err(AskError::Timeout), &Outcome::Unknown),
            (Ok(Answer::Done), &Outcome::Unknown),
            (Ok(Answer::Published(Vec::new())), &Outcome::Unknown),
        ] {
            let (mut room, mut stage) = stage("n2");
            room.enter(&mut stage, 1, vec![publication("a")]);
            stage.reply(&mut room, answer.clone());
            assert_eq!(stage.outcomes, [(1, outcome.clone())], "{answer:?}");
            assert!(stage.asks.is_empty(), "{answer:?}: never sent again");
        }
    }

    #[test]
    fn without_an_owner_nothing_is_published() {
        let (mut room, mut stage) = stage("n2");
        stage.owner = None;
        room.enter(&mut stage, 1, vec![publication("a")]);
        assert_eq!(stage.outcomes, [(1, Outcome::Unavailable { retry: RETRY })]);
    }

    #[test]
    fn an_owners_own_keep_their_order_behind_what_is_under_way_elsewhere() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 1, vec![by("a", "c")]);
        stage.owner = Some(node("n1"));
        room.enter(&mut stage, 2, vec![by("b", "c")]);
        assert_eq!(stage.done(), ["ask n2: publish a"]);
        stage.reply(&mut room, Err(AskError::Timeout));
        assert_eq!(stage.done(), ["ask n2: take"]);
        stage.reply(&mut room, Ok(Answer::NotHeld { known: None, holder: None }));
        assert_eq!(stage.done(), ["live 1 b"]);
    }

    #[test]
    fn away_what_waits_goes_to_those_who_are_here() {
        let (mut room, mut stage) = stage("n2");
        room.join(&mut stage, actor("m"), None, None);
        stage.reply(&mut room, Err(AskError::NoResponders));
        room.enter(&mut stage, 1, vec![publication("a")]);
        room.enter(&mut stage, 2, vec![publication("b")]);
        stage.clear();
        stage.away = true;
        room.link_lost(&mut stage);
        assert_eq!(stage.outcomes, [(1, Outcome::Unknown), (2, Outcome::Local)]);
        assert_eq!(stage.done(), ["m: msg - b"]);
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_bytes() {
        let (mut room, mut stage) = stage("n2");
        room.enter(&mut stage, 0, vec![publication("a")]);
        for publisher in 1..=5_000 {
            room.enter(&mut stage, publisher, vec![publication("a")]);
        }
        assert_eq!(stage.outcomes.len(), 5_000 - ENTERING);
        assert!(stage.outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Unavailable { .. })));
        stage.reply(&mut room, Err(AskError::Timeout));
        let Some((_, _, Ask::Publish { publications })) = stage.asks.first() else {
            panic!("asked for no more")
        };
        assert_eq!(publications.len(), BATCH);
        assert_eq!(room.entrance.count(), ENTERING - BATCH);

        let (mut room, mut stage) = self::stage("n2");
        let big = Publication { event: Some("x".repeat(60_000).into()), ..publication("") };
        room.enter(&mut stage, 0, vec![big.clone()]);
        for publisher in 1..=100 {
            room.enter(&mut stage, publisher, vec![big.clone()]);
        }
        assert_eq!(stage.outcomes.len(), 100 - ENTERING_BYTES / weight(&big));
        stage.reply(&mut room, Err(AskError::Timeout));
        let Some((_, _, Ask::Publish { publications })) = stage.asks.first() else {
            panic!("asked for no more")
        };
        assert_eq!(publications.len(), BATCH_BYTES / weight(&big));
    }
}
