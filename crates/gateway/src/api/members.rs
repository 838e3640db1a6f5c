//! `GET /v1/members`: how many are in a room, over all nodes. (Lists come later.)

use ringway_auth::Right;
use ringway_backplane::message::{Answer, Ask};
use ringway_protocol::Code;
use serde::Serialize;

use super::Call;
use crate::accept::{Problem, room};

/// A `members` frame's result.
#[derive(Debug, Serialize)]
pub(super) struct Members {
    count: u64,
    /// Absent where the room's node doesn't know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
}

pub(super) async fn get(call: &Call<'_>) -> Result<Members, Problem> {
    let room = room(&call.query)?.ok_or_else(|| Problem::bad_request("give `room`"))?;
    call.caller.require(Right::Presence, &room)?;
    match call.ask(&room, Ask::Members).await? {
        Answer::Members { count, users } => Ok(Members { count, users }),
        _ => {
            Err(Problem::new(Code::Internal, "the room's node gave another answer than a number of members"))
        }
    }
}
