//! Publications of one batch: what became of each so far, and which may be tried again.
//!
//! A value: it knows no store and no clock.

use ringway_backplane::message::{Fate, Published};
use ringway_backplane::store::{NotStored, Placed};

/// What is known of one publication.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It is on its way.
    UnderWay,
    /// It is stored.
    Stored(Placed),
    /// Surely not stored; may go a moment later.
    NotNow,
    /// Surely not stored, and won't be.
    Never(Fate),
    /// No acknowledgement came.
    Perhaps,
}

#[derive(Debug)]
struct Item {
    state: State,
    /// It was perhaps stored by an earlier try: whatever a later one says but "stored", that stays.
    perhaps: bool,
}

/// A batch.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    under_way: usize,
}

impl Batch {
    /// So many, all on their way.
    pub(super) fn new(count: usize) -> Self {
        let item = || Item { state: State::UnderWay, perhaps: false };
        Self { items: (0..count).map(|_| item()).collect(), under_way: count }
    }

    /// What became of one. `true`: none is on its way any more.
    pub(super) fn settle(&mut self, index: usize, outcome: Result<Placed, NotStored>) -> bool {
        let item = &mut self.items[index];
        debug_assert_eq!(item.state, State::UnderWay, "each is settled once a try");
        item.state = match outcome {
            Ok(placed) => State::Stored(placed),
            Err(NotStored::Away) => State::NotNow,
            Err(NotStored::Busy) => State::Never(Fate::Unavailable),
            Err(NotStored::Full) => State::Never(Fate::Full),
            Err(NotStored::TooLarge) => State::Never(Fate::TooBig),
            Err(NotStored::Unknown) => State::Perhaps,
        };
        item.perhaps |= item.state == State::Perhaps;
        self.under_way -= 1;
        self.under_way == 0
    }

    /// Which may be tried again, in order: those behind which nothing was stored, or perhaps was. Anything else would come
    /// behind what was published after it.
    pub(super) fn again(&self) -> Vec<usize> {
        let mut again = Vec::new();
        for (index, item) in self.items.iter().enumerate().rev() {
            match item.state {
                State::UnderWay | State::Stored(_) => break,
                State::NotNow | State::Perhaps => again.push(index),
                State::Never(_) => {}
            }
            if item.perhaps {
                break;
            }
        }
        again.reverse();
        again
    }

    /// Whether it may have been stored by an earlier try, for one that is to be tried again.
    pub(super) fn perhaps(&self, index: usize) -> bool {
        self.items[index].perhaps
    }

    /// This one is tried again.
    pub(super) fn retry(&mut self, index: usize) {
        self.items[index].state = State::UnderWay;
        self.under_way += 1;
    }

    /// What became of each, in order; `placed` has what was stored.
    pub(super) fn fates(&self) -> Vec<Fate> {
        self.items.iter().map(Item::fate).collect()
    }
}

impl Item {
    fn fate(&self) -> Fate {
        match &self.state {
            State::Stored(Placed { epoch, offset, duplicate, .. }) => {
                Fate::Stored(Published { epoch: *epoch, offset: *offset, duplicate: *duplicate })
            }
            _ if self.perhaps => Fate::Unknown,
            State::Never(fate) => *fate,
            State::NotNow => Fate::Unavailable,
            State::UnderWay | State::Perhaps => Fate::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use ringway_backplane::message::Epoch;

    use super::*;

    fn stored(offset: u64) -> Result<Placed, NotStored> {
        let epoch = Epoch { ms: 1, node: 2, random: 3 };
        Ok(Placed { stream: "S".into(), epoch, offset, duplicate: false })
    }

    fn settled(outcomes: &[Result<Placed, NotStored>]) -> Batch {
        let mut batch = Batch::new(outcomes.len());
        for (index, outcome) in outcomes.iter().enumerate() {
            let last = batch.settle(index, outcome.clone());
            assert_eq!(last, index + 1 == outcomes.len());
        }
        batch
    }

    #[test]
    fn nothing_is_tried_again_before_what_is_or_may_be_stored() {
        use NotStored::{Away, Busy, Full, TooLarge, Unknown};
        let (away, unknown) = (Err(Away), Err(Unknown));
        for (outcomes, again) in [
            (vec![stored(1), stored(2)], vec![]),
            (vec![away.clone()], vec![0]),
            (vec![unknown.clone()], vec![0]),
            (vec![away.clone(), stored(1)], vec![]),
            (vec![unknown.clone(), stored(1)], vec![]),
            (vec![stored(1), away.clone(), away.clone()], vec![1, 2]),
            (vec![away.clone(), unknown.clone(), away.clone()], vec![1, 2]),
            (vec![unknown.clone(), unknown.clone()], vec![1]),
            (vec![away.clone(), Err(Full), away.clone(), Err(TooLarge)], vec![0, 2]),
            (vec![unknown.clone(), Err(Full), Err(Busy)], vec![0]),
            (vec![Err(Full)], vec![]),
        ] {
            assert_eq!(settled(&outcomes).again(), again, "{outcomes:?}");
        }
    }

    #[test]
    fn what_was_perhaps_stored_stays_so_until_it_surely_is() {
        let mut batch = settled(&[Err(NotStored::Unknown)]);
        for why in [NotStored::Away, NotStored::Full, NotStored::TooLarge, NotStored::Busy] {
            let mut batch = settled(&[Err(NotStored::Unknown)]);
            batch.retry(0);
            assert!(batch.settle(0, Err(why)));
            assert_eq!(batch.fates(), [Fate::Unknown], "{why:?}");
            assert!(batch.perhaps(0));
        }
        batch.retry(0);
        assert!(batch.settle(0, stored(5)));
        assert!(matches!(batch.fates()[..], [Fate::Stored(Published { offset: 5, .. })]));
    }

    #[test]
    fn nothing_goes_before_what_an_earlier_try_may_have_stored() {
        let mut batch = settled(&[Err(NotStored::Away), Err(NotStored::Unknown)]);
        for why in [NotStored::Away, NotStored::Unknown, NotStored::Away] {
            assert_eq!(batch.again(), [1]);
            batch.retry(1);
            assert!(batch.settle(1, Err(why)));
        }
        batch.retry(1);
        assert!(batch.settle(1, Err(NotStored::Full)));
        assert_eq!(batch.again(), [0_usize; 0]);
        assert_eq!(batch.fates(), [Fate::Unavailable, Fate::Unknown]);
    }

    #[test]
    fn each_is_told_what_became_of_it() {
        let batch = settled(&[
            stored(3),
            Err(NotStored::Full),
            Err(NotStored::TooLarge),
            Err(NotStored::Busy),
            Err(NotStored::Away),
            Err(NotStored::Unknown),
        ]);
        let fates = batch.fates();
        assert!(matches!(fates[0], Fate::Stored(Published { offset: 3, duplicate: false, .. })));
        assert_eq!(
            fates[1..],
            [Fate::Full, Fate::TooBig, Fate::Unavailable, Fate::Unavailable, Fate::Unknown]
        );
    }
}
