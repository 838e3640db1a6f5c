//! `POST /v1/publish`: up to 1,000 publications to many rooms, an answer for each.
//!
//! The body is a JSON array, the answer another of the same length and order, with the status 200: each element is a
//! publication's result, or `{"code", "message", "retry"}` for one that was refused. Publications to one room keep their
//! order and travel together; rooms are served side by side.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use ringway_auth::Right;
use ringway_backplane::message::Publication;
use ringway_protocol::{Code, RoomName};
use serde::Serialize;
use serde_json::value::RawValue;

use super::publication::{Item, Placed};
use super::sent::Sent;
use super::{Call, body};
use crate::accept::Problem;
use crate::clock::now_ms;

/// The most publications in one call.
const MOST: usize = 1_000;
/// The most bytes in one call.
const BODY_LIMIT: usize = 1024 * 1024;
/// Rooms asked at a time.
const ABREAST: usize = 32;
/// Payload bytes in one question to a node, which must fit what the backplane takes (1 MiB by default) whatever is
/// said beside the payloads.
const QUESTION_LIMIT: usize = 256 * 1024;
/// Publications in one question.
const QUESTION_MOST: usize = 200;

/// What became of one publication.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Placed(Placed),
    Refused {
        code: String,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<u64>,
    },
}

impl Outcome {
    fn refused(problem: &Problem) -> Self {
        let (code, message) = (problem.code.to_string(), problem.detail.to_string());
        Self::Refused { code, message, retry: problem.retry_ms() }
    }
}

impl From<Result<Placed, Problem>> for Outcome {
    fn from(outcome: Result<Placed, Problem>) -> Self {
        outcome.map_or_else(|problem| Self::refused(&problem), Self::Placed)
    }
}

/// What goes to one room: each publication with its place in the list.
type Share = Vec<(usize, Publication)>;

pub(super) async fn post(call: &Call<'_>, incoming: Incoming) -> Result<Vec<Outcome>, Problem> {
    if body::Kind::of(&call.head.headers).ok() != Some(body::Kind::Json) {
        return Err(body::unsupported("the body's Content-Type is application/json"));
    }
    let body = body::read(incoming, BODY_LIMIT).await?;
    let items = items(&body)?;
    let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
    let mut rooms: HashMap<RoomName, Share> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        match read(call, item) {
            Ok((room, publication)) => rooms.entry(room).or_default().push((index, publication)),
            Err(problem) => outcomes[index] = Some(Outcome::refused(&problem)),
        }
    }
    let mut answers =
        stream::iter(rooms).map(|(room, share)| to_room(call, room, share)).buffer_unordered(ABREAST);
    while let Some(answered) = answers.next().await {
        for (index, outcome) in answered {
            outcomes[index] = Some(outcome);
        }
    }
    let unanswered = || Outcome::refused(&Problem::new(Code::Internal, "no answer was given"));
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect())
}

fn items(body: &Bytes) -> Result<Vec<&RawValue>, Problem> {
    let items: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|_| Problem::bad_request("the body is not a JSON array"))?;
    if items.len() > MOST {
        return Err(Problem::new(Code::TooBig, format!("more than {MOST} publications")));
    }
    Ok(items)
}

fn read(call: &Call<'_>, item: &RawValue) -> Result<(RoomName, Publication), Problem> {
    let item: Item<'_> = serde_json::from_str(item.get())
        .map_err(|error| Problem::bad_request(format!("not a publication: {error}")))?;
    let (room, payload, details) = item.read()?;
    call.caller.require(Right::Publish, &room)?;
    Ok((room, details.with(payload, call.caller.user().cloned(), now_ms())))
}

async fn to_room(call: &Call<'_>, room: RoomName, share: Share) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(share.len());
    // What ended it, if anything did: nothing later is sent, or it could overtake what its sender sends again.
    let mut over: Option<Problem> = None;
    for question in questions(share) {
        let (indexes, publications): (Vec<_>, Vec<_>) = question.into_iter().unzip();
        let mut indexes = indexes.into_iter();
        if over.is_none() {
            match call.publish(&room, publications).await {
                Ok(Sent { outcomes: made, refused }) => {
                    let failed = made.iter().any(Result::is_err);
                    // Not `zip`, which would take one index more than there are outcomes.
                    outcomes.extend(made.into_iter().map_while(|one| Some((indexes.next()?, one.into()))));
                    over = refused.or_else(|| failed.then(after_one_that_failed));
                }
                Err(problem) => {
                    outcomes.extend(indexes.by_ref().map(|index| (index, Outcome::refused(&problem))));
                    over = Some(after_one_that_failed());
                }
            }
        }
        if let Some(problem) = &over {
            outcomes.extend(indexes.map(|index| (index, Outcome::refused(problem))));
        }
    }
    if let Some(problem) = &over {
        call.gateway.metrics.limited(&call.caller.tenant().id, &problem.code);
    }
    outcomes
}

fn after_one_that_failed() -> Problem {
    Problem::unavailable("an earlier publication to the room failed, so this one was not sent")
}

/// A room's publications in pieces that the backplane takes.
fn questions(share: Share) -> Vec<Share> {
    let mut questions: Vec<Share> = Vec::new();
    let mut bytes = 0;
    for (index, publication) in share {
        let size = publication.data.msgpack_len();
        match questions.last_mut() {
            Some(last) if last.len() < QUESTION_MOST && bytes + size <= QUESTION_LIMIT => {
                last.push((index, publication));
                bytes += size;
            }
            _ => {
                questions.push(vec![(index, publication)]);
                bytes = size;
            }
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::super::publication::Details;
    use super::*;
    use ringway_protocol::Payload;

    fn share(sizes: &[usize]) -> Share {
        let publication = |size| Details::default().with(Payload::from_bytes(vec![0; size]), None, 0);
        sizes.iter().copied().map(publication).enumerate().collect()
    }

    #[test]
    fn questions_keep_the_order_and_their_bounds() {
        let lengths = |sizes: &[usize]| {
            let questions = questions(share(sizes));
            let order: Vec<_> = questions.iter().flatten().map(|(index, _)| *index).collect();
            assert_eq!(order, (0..sizes.len()).collect::<Vec<_>>());
            questions.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[10; 450]), [200, 200, 50]);
        assert_eq!(lengths(&[100_000; 5]), [2, 2, 1]);
    }

    #[test]
    fn a_list_is_an_array_of_at_most_a_thousand() {
        let parsed = |text: &str| {
            let body = Bytes::copy_from_slice(text.as_bytes());
            items(&body).map(|items| items.len()).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(parsed("[]"), Ok(0));
        assert_eq!(parsed(" [1, {}] "), Ok(2));
        assert_eq!(parsed(&format!("[{}1]", "1,".repeat(999))), Ok(1_000));
        assert_eq!(parsed(&format!("[{}1]", "1,".repeat(1_000))), Err(413));
        for bad in ["", "{}", "[1", "[1,]", "[1] x", "\u{feff}[]"] {
            assert_eq!(parsed(bad), Err(400), "{bad}");
        }
    }
}
