//! How a link comes to be: at once where the last one broke only now, and then only for a moment; else at leisure.

use std::sync::Arc;
use std::time::Duration;

use ringway_auth::{LinkTicket, TICKET_SECONDS};
use ringway_edge::{Limits, Outbound, Reader, open_link};
use ringway_link::hello::RECORD_LIMIT;
use tokio::time::{Instant, timeout};

use super::super::nodes::{QUEUE, QUEUED_FRAMES};
use super::super::table::NodeNo;
use super::super::worker::Worker;
use super::{Cut, dead};
use crate::clock::now_s;
use crate::route::HopError;

/// A link that broke while its node lives is there again within this time, or the node counts as gone: all of its clients
/// wait.
const AGAIN: Duration = Duration::from_millis(100);

/// How long the node may take to answer then. A process that stands still accepts a connection, too.
const ANSWER: Duration = Duration::from_millis(300);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a node that answered, but not with a link, is passed over.
const REFUSED: Duration = Duration::from_secs(1);

/// A link to the node, or why there is none: by then it is known to be passed over.
pub(super) async fn make(worker: &Arc<Worker>, node: NodeNo) -> Result<(Arc<Outbound>, Reader), Cut> {
    let common = worker.common();
    let broke = worker.last_lost(node).filter(|lost| lost.elapsed() < AGAIN);
    loop {
        let Some(announced) = worker.announcement(node) else { return Err(Cut::Unmade) };
        let ticket = LinkTicket { gateway: common.name.to_string(), exp: now_s() + TICKET_SECONDS };
        let ticket = common.links.seal(&ticket);
        let opening = common.router.open_link(&announced, &ticket);
        let opening = async {
            match broke {
                Some(_) => timeout(ANSWER, opening).await.unwrap_or(Err(HopError::Timeout)),
                None => opening.await,
            }
        };
        let Some(opened) = common.stop.run_until_cancelled(opening).await else { return Err(Cut::Unmade) };
        let error = match opened {
            Ok(hop) => {
                let limits = Limits { message: RECORD_LIMIT, queue: QUEUE, frames: QUEUED_FRAMES };
                return Ok(open_link(hop.socket, &hop.early, limits));
            }
            Err(error) => error,
        };
        let is_dead = dead::is_dead(common, &announced, &error).await;
        let is_over = is_dead || broke.is_none_or(|lost| lost.elapsed() >= AGAIN);
        // What doesn't answer won't do so a moment later; a port that is closed may be opened again.
        if is_over || !matches!(error, HopError::Unreachable(_) | HopError::Answer(_)) {
            common.router.note_link(&announced, &error);
            if !error.is_gone() {
                worker.link_refused(node, Instant::now() + REFUSED);
            }
            return Err(Cut::Unmade);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
