//! Questions to other nodes: sent in the order of calls, answered into the shard's own queue.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use ringway_backplane::message::{Answer, Ask, Question, Request};
use ringway_backplane::{Inbox, RequestError};
use ringway_ring::NodeId;
use tokio::sync::watch;

use super::command::{Command, RoomKey};
use super::core::Core;
use crate::placement::Placement;
use crate::room::{AskError, AskId, TAKE_COUNTS_LATE};

/// More than this many of a shard's questions under way: the next fails at once, as if the owner couldn't be
/// reached. At 2 s each it is far above what a healthy backplane sees.
pub(crate) const UNDER_WAY: usize = 8_192;

/// How long a node may take that has been silent for so long that it isn't in the view any more.
const SILENT: Duration = Duration::from_millis(50);

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
    let (backplane, to_node) = (core.backplane.clone(), to.node.clone());
    let asking = async move { backplane.request(&to, &request, limit).await };
    let mut asking = Box::pin(asking);
    // Begun here, so that questions leave in the order they were asked, whichever task runs first.
    if let Some(result) = asking.as_mut().now_or_never() {
        core.later_answer(room, id, result.map_err(to_ask_error));
        return;
    }
    let (inbox, silent) = (core.inbox.clone(), is_silent(core.placements.subscribe(), to_node));
    core.tasks.spawn(async move {
        let _permit = permit;
        let told = |result: Result<Answer, RequestError>| Command::Answered {
            room: room.clone(),
            ask: id,
            result: result.map_err(to_ask_error),
        };
        let answer = tokio::select! {
            answer = &mut asking => Some(answer),
            () = tokio::time::sleep(within) => None,
            () = silent => None,
        };
        match answer {
            // The shard has ended where its queue is closed: nobody waits.
            Some(result) => drop(inbox.send(told(result)).await),
            None => {
                let _ = inbox.send(told(Err(RequestError::Timeout))).await;
                if is_take && let Ok(late) = asking.await {
                    let _ = inbox.send(told(Ok(late))).await;
                }
            }
        }
    });
}

/// Returns once the node has been silent for so long that it isn't in the view any more, and somewhat longer still: it stands
/// still, and whoever waits for it waits for nothing.
async fn is_silent(mut placements: watch::Receiver<Arc<Placement>>, node: NodeId) {
    loop {
        let is = |placement: &Arc<Placement>| placement.view.is_silent(&node);
        if placements.wait_for(is).await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(SILENT).await;
        if is(&placements.borrow_and_update()) {
            return;
        }
    }
}

fn to_ask_error(error: RequestError) -> AskError {
    match error {
        RequestError::NoResponders | RequestError::TooLarge => AskError::NoResponders,
        RequestError::Timeout | RequestError::BadAnswer => AskError::Timeout,
        RequestError::Away => AskError::Away,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ringway_config::Config;
    use ringway_ring::{Announcement, Membership, SILENCE};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_fell_silent_is_waited_for_no_longer() {
        let tenants = Config::dev(([127, 0, 0, 1], 0).into(), 1).config.tenants();
        let (me, pool) =
            ("n1".parse::<NodeId>().unwrap(), "shared".parse::<ringway_protocol::PoolId>().unwrap());
        let mut membership = Membership::new();
        let placed = |membership: &mut Membership| {
            Arc::new(Placement::new(me.clone(), pool.clone(), membership.view(), &tenants))
        };
        let says = |id: &str| Announcement::new(id.parse().unwrap(), 1, pool.clone(), String::new());
        let placements = watch::Sender::new(placed(&mut membership));
        let waits = |id: &str| {
            let waiting = is_silent(placements.subscribe(), id.parse().unwrap());
            Box::pin(async move { tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err() })
        };
        // Who never was there may be new.
        assert!(waits("n2").await);
        for id in ["n2", "n3"] {
            membership.heard(says(id), 0);
        }
        placements.send_replace(placed(&mut membership));
        let mut both = (waits("n2"), waits("n3"));
        assert!((&mut both.0).now_or_never().is_none() && (&mut both.1).now_or_never().is_none());
        membership.departed(&"n3".parse().unwrap(), 1);
        membership.expire(SILENCE);
        placements.send_replace(placed(&mut membership));
        assert_eq!((both.0.await, both.1.await), (false, true));
    }
}
