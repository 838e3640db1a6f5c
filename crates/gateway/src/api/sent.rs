//! What became of publications to one room.

use std::time::Duration;

use ringway_backplane::message::{Answer, Fate};
use ringway_protocol::Code;

use super::publication::Placed;
use crate::Refusal;
use crate::accept::Problem;

/// When a store that can't be reached now is best asked again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// What became of publications to one room.
#[derive(Debug)]
pub(super) struct Sent {
    /// Of the first of them, one for each, in order.
    pub(super) outcomes: Vec<Result<Placed, Problem>>,
    /// Why the others surely weren't published, where there are others.
    pub(super) refused: Option<Problem>,
}

impl Sent {
    /// None was sent.
    pub(super) fn none(refused: Option<Problem>) -> Self {
        Self { outcomes: Vec::new(), refused }
    }

    /// What a node answered to so many. `refused`: why others that came behind them weren't sent.
    pub(super) fn read(answer: Answer, count: usize, refused: Option<Problem>) -> Result<Self, Problem> {
        match answer {
            Answer::Published(all) if all.len() == count => {
                let outcomes = all.into_iter().map(|one| Ok(one.into())).collect();
                Ok(Self { outcomes, refused })
            }
            Answer::Limited { published, retry_ms } if published.len() < count => {
                let outcomes = published.into_iter().map(|one| Ok(one.into())).collect();
                Ok(Self { outcomes, refused: Some(limited(retry_ms)) })
            }
            Answer::Fates(fates) => Self::of_fates(fates, count, refused),
            _ => Err(other_answer()),
        }
    }

    fn of_fates(fates: Vec<Fate>, count: usize, refused: Option<Problem>) -> Result<Self, Problem> {
        let is_limited = |fate: &Fate| matches!(fate, Fate::Limited { .. });
        let let_through = fates.iter().position(is_limited);
        let refused = match let_through.map(|at| fates[at]) {
            Some(Fate::Limited { retry_ms }) => Some(limited(retry_ms)),
            _ if fates.len() == count => refused,
            _ => return Err(other_answer()),
        };
        let outcomes = fates.into_iter().take(let_through.unwrap_or(count)).map(outcome).collect();
        Ok(Self { outcomes, refused })
    }
}

fn outcome(fate: Fate) -> Result<Placed, Problem> {
    match fate {
        Fate::Stored(published) => Ok(published.into()),
        Fate::Passed => Ok(Placed::default()),
        Fate::Full => {
            Err(Problem::new(Code::StorageFull, "the room's store is full, and pushes nothing out"))
        }
        Fate::TooBig => Err(Problem::new(Code::TooBig, "it is larger than the room's store takes")),
        Fate::Unavailable => {
            let problem = Problem::unavailable("the room's store can't be reached now: nothing was stored");
            Err(problem.again_after(STORE_AGAIN))
        }
        // No `retry`: whoever repeats by that alone, without a message id, would publish it twice.
        Fate::Unknown => Err(Problem::new(
            Code::OutcomeUnknown,
            "the room's store did not answer in time: it may have been stored or not",
        )),
        Fate::Limited { retry_ms } => Err(limited(retry_ms)),
    }
}

fn limited(retry_ms: Option<u64>) -> Problem {
    Problem::of_node(Refusal { code: Code::LimitRate, retry: retry_ms.map(Duration::from_millis) })
}

fn other_answer() -> Problem {
    Problem::new(Code::Internal, "the room's node gave another answer than that to a publication")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_backplane::message::{Epoch, Published};

    const EPOCH: Epoch = Epoch { ms: 1, node: 2, random: 3 };

    fn stored(offset: u64) -> Fate {
        Fate::Stored(Published { epoch: EPOCH, offset, duplicate: false })
    }

    /// The codes of what was sent (`None`: it went well), and of what wasn't.
    fn read(fates: Vec<Fate>, count: usize) -> Result<(Vec<Option<Code>>, Option<Code>), Code> {
        let sent = Sent::read(Answer::Fates(fates), count, None).map_err(|problem| problem.code)?;
        let codes = sent.outcomes.into_iter().map(|outcome| outcome.err().map(|problem| problem.code));
        Ok((codes.collect(), sent.refused.map(|problem| problem.code)))
    }

    #[test]
    fn each_has_its_own_fate() {
        let fates = vec![stored(7), Fate::Passed, Fate::Full, Fate::TooBig, Fate::Unavailable, Fate::Unknown];
        let codes = [
            None,
            None,
            Some(Code::StorageFull),
            Some(Code::TooBig),
            Some(Code::Unavailable),
            Some(Code::OutcomeUnknown),
        ];
        assert_eq!(read(fates, 6), Ok((codes.to_vec(), None)));
    }

    #[test]
    fn what_a_limit_stopped_was_not_sent_nor_was_what_is_missing() {
        let limited = Fate::Limited { retry_ms: Some(250) };
        assert_eq!(read(vec![stored(7), limited], 5), Ok((vec![None], Some(Code::LimitRate))));
        assert_eq!(read(vec![limited], 1), Ok((Vec::new(), Some(Code::LimitRate))));
        let sent = Sent::read(Answer::Fates(vec![limited]), 2, None).expect("readable");
        assert_eq!(sent.refused.and_then(|problem| problem.retry_ms()), Some(250));
    }

    #[test]
    fn fewer_without_a_reason_or_more_is_no_answer() {
        assert_eq!(read(vec![stored(7)], 2), Err(Code::Internal));
        assert_eq!(read(vec![stored(7), stored(8)], 1), Err(Code::Internal));
        assert_eq!(read(Vec::new(), 1), Err(Code::Internal));
    }

    #[test]
    fn unknown_invites_nobody_to_repeat_it_blindly() {
        let sent = Sent::read(Answer::Fates(vec![Fate::Unknown]), 1, None).expect("readable");
        let problem = sent.outcomes.into_iter().next().and_then(Result::err).expect("unknown");
        assert_eq!((problem.status.as_u16(), problem.retry_ms()), (504, None));
    }
}
