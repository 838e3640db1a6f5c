//! What the shards must learn of the world: the view of the cluster, the state of the link, pauses of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::cluster::ANNOUNCE_EVERY;
use ringway_ring::View;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::{Inner, tell_all};
use crate::placement::Placement;
use crate::shard::Command;

/// A node that stood still for longer than this may have been taken for dead: others may number its rooms.
const PAUSE: Duration = Duration::from_millis(1_500);

/// How often the process looks whether it stood still.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often the announced load is renewed: as often as it is announced.
const LOAD_EVERY: Duration = ANNOUNCE_EVERY;

/// Hands every new view to the shards.
pub(crate) async fn watch_view(
    node: Arc<Inner>,
    mut view: watch::Receiver<Arc<View>>,
    end: CancellationToken,
) {
    // The view may have changed between the shards' start and now.
    view.mark_changed();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            changed = view.changed() => if changed.is_err() { return },
        }
        let placement = Arc::new(Placement {
            me: node.id.clone(),
            pool: node.settings.pool.clone(),
            view: view.borrow_and_update().clone(),
        });
        tell_all(&node, || Command::Placed(placement.clone())).await;
    }
}

/// Tells the shards when the link goes and comes, and when something was dropped on its way here.
pub(crate) async fn watch_link(node: Arc<Inner>, end: CancellationToken) {
    let mut link = node.backplane.link();
    let mut known = *link.borrow_and_update();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            changed = link.changed() => if changed.is_err() { return },
        }
        let now = *link.borrow_and_update();
        if now.up && known.up && now.generation != known.generation {
            // It went and came within one look.
            tell_all(&node, || Command::Link { up: false }).await;
        }
        if now.up != known.up || now.generation != known.generation {
            tracing::info!(up = now.up, generation = now.generation, "the link to the backplane changed");
            tell_all(&node, || Command::Link { up: now.up }).await;
        } else if now.slow != known.slow {
            tracing::warn!(
                events = now.slow - known.slow,
                "messages from the backplane were dropped: too slow"
            );
            tell_all(&node, || Command::Doubt).await;
        }
        known = now;
    }
}

/// Notices when the process stood still (stopped, swapped out, starved), since others went on without it.
pub(crate) async fn watch_pauses(node: Arc<Inner>, end: CancellationToken) {
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let stood = last.elapsed();
        last = Instant::now();
        if stood > PAUSE {
            tracing::warn!(seconds = stood.as_secs_f64(), "this process stood still");
            tell_all(&node, || Command::Doubt).await;
        }
    }
}

/// Keeps the announced load true.
pub(crate) async fn watch_load(node: Arc<Inner>, end: CancellationToken) {
    loop {
        node.here.tidy();
        node.here.renew_shares(&Placement {
            me: node.id.clone(),
            pool: node.settings.pool.clone(),
            view: node.view.borrow().clone(),
        });
        let tenants = node.here.told(Instant::now());
        if let Some(announcer) = &*node.announcer.lock() {
            announcer.update(|announcement| {
                announcement.connections = node.registry.len() as u64;
                announcement.tenants = tenants;
                announcement.rooms = u64::try_from(node.metrics.rooms.get()).unwrap_or(0);
            });
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOAD_EVERY) => {}
        }
    }
}
