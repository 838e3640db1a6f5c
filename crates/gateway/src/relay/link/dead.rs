//! A node that has died says no good-bye, and the others would hear of it by its silence only, seconds later. Its gateway sees
//! it at once, and says the good-bye for it.
//!
//! What counts as a proof: no process takes connections at the node's port, though its machine answers; and nobody listens at
//! its inbox. Either alone may be a fault between two machines. Should the node live all the same, it hears that it has
//! departed, and comes back as a younger run, like one whose clock went back.

use std::io;
use std::time::Duration;

use ringway_backplane::message::{Question, Request};
use ringway_backplane::{Inbox, RequestError};
use ringway_ring::Announcement;

use super::super::worker::Common;
use crate::route::HopError;

/// How long a node that lives may take to say so. That nobody listens is known at once.
const ANSWER: Duration = Duration::from_millis(40);

/// How long it takes at most until the good-bye has come round to this gateway. Other nodes hear it at about the same time; who
/// were asked to take the dead one's rooms before would only look for it.
const ROUND: Duration = Duration::from_millis(100);

/// Whether the node is dead, by what came of connecting to it and by asking for it. Then everybody has been told.
pub(super) async fn is_dead(common: &Common, node: &Announcement, error: &HopError) -> bool {
    let HopError::Unreachable(error) = error else { return false };
    if error.kind() != io::ErrorKind::ConnectionRefused || !is_unheard(common, node).await {
        return false;
    }
    let mut views = common.router.views();
    if common.backplane.depart(&node.id, node.incarnation).await.is_err() {
        return false;
    }
    tracing::warn!(node = %node.id, advertise = %node.advertise, "a node is dead: nobody listens at its port, nor at its inbox");
    let is_gone =
        views.wait_for(|view| view.node(&node.id).is_none_or(|there| there.incarnation > node.incarnation));
    // By then it is likely to be so elsewhere; and nothing is wrong where it isn't.
    let _ = tokio::time::timeout(ROUND, is_gone).await;
    true
}

/// Whether nobody listens at the node's inboxes.
async fn is_unheard(common: &Common, node: &Announcement) -> bool {
    let groups = common.directory.borrow().groups_of(&node.pool);
    let some = !groups.is_empty();
    for group in groups {
        let inbox = Inbox { group, node: node.id.clone() };
        let probe = Request { from: common.name.clone(), body: Question::Probe, traceparent: None };
        let answer = common.backplane.request(&inbox, &probe, ANSWER).await;
        if !matches!(answer, Err(RequestError::NoResponders)) {
            return false;
        }
    }
    some
}
