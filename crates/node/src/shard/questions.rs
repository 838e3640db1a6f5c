//! Questions to other nodes: sent in the order of calls, answered into the shard's own queue.

use std::time::Duration;

use futures_util::FutureExt;
use ringway_backplane::message::{Answer, Ask, Question, Request};
use ringway_backplane::{Inbox, RequestError};

use super::command::{Command, RoomKey};
use super::core::Core;
use crate::room::{AskError, AskId, TAKE_COUNTS_LATE};

/// More than this many of a shard's questions under way: the next fails at once, as if the owner couldn't be
/// reached. At 2 s each it is far above what a healthy backplane sees.
pub(crate) const UNDER_WAY: usize = 8_192;

/// Sends a room's question. Its answer, or the lack of one after `within`, comes back as [`Command::Answered`].
pub(crate) fn ask_room(
    core: &mut Core,
    room: RoomKey,
    id: AskId,
    to: Inbox,
    request: Request,
    within: Duration,
) {
    let Ok(permit) = core.under_way.clone().try_acquire_owned() else {
        core.metrics.questions_refused.inc();
        core.later_answer(room, id, Err(AskError::NoResponders));
        return;
    };
    // An answer to a take is the only copy of the room's number: it counts however late it comes.
    let is_take = matches!(&request.body, Question::Room { ask: Ask::Take { .. }, .. });
    let limit = if is_take { within + TAKE_COUNTS_LATE } else { within };
    let backplane = core.backplane.clone();
    let asking = async move { backplane.request(&to, &request, limit).await };
    let mut asking = Box::pin(asking);
    // Begun here, so that questions leave in the order they were asked, whichever task runs first.
    if let Some(result) = asking.as_mut().now_or_never() {
        core.later_answer(room, id, result.map_err(to_ask_error));
        return;
    }
    let inbox = core.inbox.clone();
    core.tasks.spawn(async move {
        let _permit = permit;
        let told = |result: Result<Answer, RequestError>| Command::Answered {
            room: room.clone(),
            ask: id,
            result: result.map_err(to_ask_error),
        };
        match tokio::time::timeout(within, &mut asking).await {
            // The shard has ended where its queue is closed: nobody waits.
            Ok(result) => drop(inbox.send(told(result)).await),
            Err(_) => {
                let _ = inbox.send(told(Err(RequestError::Timeout))).await;
                if is_take && let Ok(late) = asking.await {
                    let _ = inbox.send(told(Ok(late))).await;
                }
            }
        }
    });
}

fn to_ask_error(error: RequestError) -> AskError {
    match error {
        RequestError::NoResponders | RequestError::TooLarge => AskError::NoResponders,
        RequestError::Timeout | RequestError::BadAnswer => AskError::Timeout,
        RequestError::Away => AskError::Away,
    }
}
