//! Questions about a room, to whom they belong.
//!
//! A question goes to the room's owner in the gateway's own view. Who isn't owner in its own view says who is: one
//! redirect is followed. Nobody there: the slot's next node is asked, once. A question that may have been heard
//! is never sent again: what became of it is then unknown, and its sender is told so.

use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Question, Request};
use ringway_backplane::{Backplane, Inbox, RequestError};
use ringway_config::Tenant;
use ringway_protocol::{Code, RoomName};
use ringway_ring::{NodeId, Slot, View};

use crate::accept::Problem;

/// How long one node may take to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// And about a durable room, whose store has its own time.
pub(super) const DURABLE_LIMIT: Duration = Duration::from_secs(5);

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) backplane: &'a dyn Backplane,
    pub(crate) view: &'a View,
    /// The gateway's name.
    pub(crate) name: &'a NodeId,
    pub(crate) traceparent: Option<&'a str>,
    /// How long one node may take to answer.
    pub(crate) limit: Duration,
}

impl Asker<'_> {
    /// Asks about a room; never answers [`Answer::Redirect`] nor [`Answer::Refused`].
    pub(crate) async fn ask(&self, tenant: &Tenant, room: &RoomName, ask: Ask) -> Result<Answer, Problem> {
        let slot = Slot::of_room(&tenant.id, room);
        let mut walk = self.view.walk(&tenant.pool, slot);
        let nobody = || Problem::unavailable("no node serves this room at the moment");
        let mut to = walk.next().cloned().ok_or_else(nobody)?;
        let question = Question::Room { tenant: tenant.id.clone(), room: room.clone(), ask };
        let request = Request {
            from: self.name.clone(),
            body: question,
            traceparent: self.traceparent.map(Into::into),
        };
        let (mut redirected, mut went_on) = (false, false);
        loop {
            let inbox = Inbox { group: tenant.group.clone(), node: to.clone() };
            match self.backplane.request(&inbox, &request, self.limit).await {
                Ok(Answer::Redirect { to: Some(other) }) if !redirected && other != to => {
                    redirected = true;
                    to = other;
                }
                Ok(Answer::Redirect { .. }) => {
                    return Err(Problem::unavailable("the nodes do not agree who serves this room"));
                }
                Ok(Answer::Refused { code }) => return Err(refused(code)),
                Ok(answer) => return Ok(answer),
                Err(RequestError::NoResponders) if !went_on => {
                    went_on = true;
                    to = walk.find(|node| **node != to).cloned().ok_or_else(nobody)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn refused(code: Code) -> Problem {
    match code {
        Code::Unavailable => Problem::unavailable("the room's node can't do it at the moment"),
        Code::OutcomeUnknown => unknown(),
        code => {
            let meaning = code.meaning();
            Problem::new(code, meaning)
        }
    }
}

fn failed(error: RequestError) -> Problem {
    match error {
        RequestError::NoResponders => Problem::unavailable("the room's nodes can't be reached"),
        RequestError::Away => Problem::unavailable("the backplane is away"),
        RequestError::TooLarge => Problem::new(Code::TooBig, "it is larger than the backplane takes"),
        RequestError::Timeout | RequestError::BadAnswer => unknown(),
    }
}

fn unknown() -> Problem {
    Problem::new(Code::OutcomeUnknown, "the room's node did not answer: it may have been done or not")
}
