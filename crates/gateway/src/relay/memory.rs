//! The bound on what waits for slow clients, all of it together: a [`Budget`]. Rooms and what they keep are not here.

use std::sync::Arc;
use std::time::Instant;

use ringway_edge::budget::{Budget, LOOK_EVERY, TELL_EVERY, empty_slowest};
use ringway_edge::{Frame, Outbound, SPOKES};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Relay;

/// Looks until `end`.
pub(crate) async fn watch(relay: Arc<Relay>, budget: Budget, end: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut emptied) = (None::<Instant>, 0_u64);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let used = Frame::alive_bytes();
        if !budget.is_near(used) {
            continue;
        }
        let is_enough = || budget.beyond_goal(Frame::alive_bytes()) == 0;
        let shed = empty_slowest(behind(&relay), |client| client.shed(), is_enough).await;
        relay.metrics.shed(shed);
        emptied += shed;
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(
                limit = budget.0,
                queues = used,
                queues_now = Frame::alive_bytes(),
                connections = emptied,
                "memory for buffers ran short: queues of the slowest connections were emptied"
            );
            (told, emptied) = (Some(Instant::now()), 0);
        }
        if shed == 0 {
            // It is in use by those who keep up: looking for others costs time, and needn't be repeated at once.
            ticks.reset_after(TELL_EVERY);
        }
    }
}

/// The clients that are behind, with the bytes that wait for each.
fn behind(relay: &Relay) -> Vec<(usize, Arc<Outbound>)> {
    let (mut behind, mut some) = (Vec::new(), Vec::new());
    for spoke in 0..SPOKES as u64 {
        relay.on_spoke(spoke, &mut some);
        let slow = some.drain(..).filter(|client| client.out.is_behind());
        behind.extend(slow.map(|client| (client.out.queued_bytes(), client.out)));
    }
    behind
}
