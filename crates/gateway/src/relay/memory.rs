//! The bound on what waits for slow clients: all of it together has a budget, and when it is nearly spent the slowest give
//! way first. As a node does it for the sockets that it holds; rooms and what they keep are not here.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_edge::{Frame, Outbound, SPOKES};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Relay;

/// Between two looks. A queue grows by no more than its socket's peers publish meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// At most so often it is said that memory runs short, and looked again where nothing could give way.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Clients that are emptied before others have their turn.
const AT_ONCE: usize = 64;

/// Bytes that all frames of this process may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) u64);

impl Budget {
    /// Whether less than a tenth is left.
    fn is_near(self, used: u64) -> bool {
        used > self.0 / 10 * 9
    }

    /// Whether a fifth is left.
    fn is_eased(self, used: u64) -> bool {
        used <= self.0 / 10 * 8
    }
}

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
        let shed = shed(&relay, budget).await;
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

/// Empties the queues of clients that are behind, most bytes first, until enough is free. Returns how many it were.
async fn shed(relay: &Relay, budget: Budget) -> u64 {
    let mut shed = 0;
    for (at, (_, client)) in behind(relay).into_iter().enumerate() {
        if budget.is_eased(Frame::alive_bytes()) {
            break;
        }
        shed += u64::from(client.shed() > 0);
        if at % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    relay.metrics.shed(shed);
    shed
}

/// The clients that are behind, with the bytes that wait for each, most first.
fn behind(relay: &Relay) -> Vec<(usize, Arc<Outbound>)> {
    let (mut behind, mut some) = (Vec::new(), Vec::new());
    for spoke in 0..SPOKES as u64 {
        relay.on_spoke(spoke, &mut some);
        let slow = some.drain(..).filter(|client| client.out.is_behind());
        behind.extend(slow.map(|client| (client.out.queued_bytes(), client.out)));
    }
    behind.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_nine_tenths_it_is_brought_down_to_eight() {
        let budget = Budget(1_000);
        assert!(!budget.is_near(900) && budget.is_near(901));
        assert!(budget.is_eased(800) && !budget.is_eased(801));
        assert!(Budget(0).is_near(1) && Budget(0).is_eased(0));
    }
}
