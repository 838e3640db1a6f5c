//! What a worker does by itself: it looks at every change of the cluster and of the configuration, places and moves
//! memberships in turns, and gives nodes credit for what has left late.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::credit::LOOK_AGAIN;
use super::worker::Worker;

/// Between two turns of placing and moving, so that those who are placed already are served meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// Between two looks at what has waited too long.
const TICK: Duration = Duration::from_secs(1);

/// Tends a worker until the gateway ends.
pub(super) async fn tend(worker: Arc<Worker>) {
    let common = Arc::clone(worker.common());
    let (mut views, mut passed_over) = (common.router.views(), common.router.passed_over());
    let mut directories = common.directory.clone();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut next_turn, mut next_credit) = (None::<Instant>, None::<Instant>);
    loop {
        tokio::select! {
            () = common.stop.cancelled() => return,
            () = changed(&mut views) => {}
            () = changed(&mut directories) => {}
            () = changed(&mut passed_over) => {}
            () = worker.stirred.notified() => {
                next_turn.get_or_insert_with(Instant::now);
                continue;
            }
            () = worker.owing.notified() => {
                next_credit.get_or_insert_with(|| Instant::now() + LOOK_AGAIN);
                continue;
            }
            () = at(next_turn) => {
                next_turn = worker.work().then(|| Instant::now() + PAUSE);
                continue;
            }
            () = at(next_credit) => {
                next_credit = None;
                worker.look_at_behind();
                continue;
            }
            _ = ticks.tick() => {
                worker.tick();
                continue;
            }
        }
        let (view, directory) = (views.borrow_and_update().clone(), directories.borrow_and_update().clone());
        worker.look_around(view, directory);
    }
}

/// A further value; never, once nobody is left to give one.
async fn changed<T>(values: &mut tokio::sync::watch::Receiver<T>) {
    if values.changed().await.is_err() {
        pending::<()>().await;
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
