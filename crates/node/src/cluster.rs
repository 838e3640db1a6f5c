//! What the shards must learn of the world: the view of the cluster, the state of the link, pauses of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::cluster::{ANNOUNCE_EVERY, Twin};
use ringway_backplane::nats::Stores;
use ringway_ring::View;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::configured::Configured;
use crate::node::{Inner, tell_all};
use crate::shard::Command;
use crate::standstill::PAUSE;

/// How often the process looks whether it stood still.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long what was said while it stood still may take to come round the carrier, and then to be heard here.
const CATCH_UP: Duration = Duration::from_secs(1);
const HEAR: Duration = Duration::from_millis(50);

/// How long a node that begins takes part before it must have heard of all who are there, beside what it heard while it took
/// its name: each says twice that it is there.
const HEARD_OF_ALL: Duration = Duration::from_millis(700);

/// How often the announced load is renewed: as often as it is announced.
const LOAD_EVERY: Duration = ANNOUNCE_EVERY;

/// Hands every new view, and every new configuration, to the shards: one task, since what they must know is both together.
pub(crate) async fn watch_view(
    node: Arc<Inner>,
    mut view: watch::Receiver<Arc<View>>,
    mut configured: watch::Receiver<Arc<Configured>>,
    end: CancellationToken,
) {
    // Both may have changed between the shards' start and now.
    view.mark_changed();
    configured.mark_changed();
    loop {
        let reconfigured = tokio::select! {
            () = end.cancelled() => return,
            changed = configured.changed() => if changed.is_err() { return } else { true },
            changed = view.changed() => if changed.is_err() { return } else { false },
        };
        let view = view.borrow_and_update().clone();
        let placement = Arc::new(node.placement(view));
        if reconfigured {
            let tenants = configured.borrow_and_update().tenants.clone();
            let command = || Command::Configured { tenants: tenants.clone(), placement: placement.clone() };
            tell_all(&node, command).await;
        } else {
            tell_all(&node, || Command::Placed(placement.clone())).await;
        }
    }
}

/// Tells the shards once all who are there must have been heard, so that rooms which nobody is found to have may begin anew.
pub(crate) async fn watch_beginning(node: Arc<Inner>, end: CancellationToken) {
    let heard = async {
        // It may begin while the link is away.
        while node.backplane.round_trip(CATCH_UP).await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(HEARD_OF_ALL).await;
        // What came while this process stood still is heard too, and made into a view that the shards have.
        let _ = node.backplane.round_trip(CATCH_UP).await;
        tokio::time::sleep(HEAR).await;
        tell_all(&node, || Command::Settled).await;
    };
    let _ = end.run_until_cancelled(heard).await;
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

/// Hands what is known of the stores to the shards, whenever it changes.
pub(crate) async fn watch_stores(node: Arc<Inner>, stores: Arc<Stores>, end: CancellationToken) {
    let mut known = stores.known();
    // It may have changed between the shards' start and now.
    known.mark_changed();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            changed = known.changed() => if changed.is_err() { return },
        }
        let now = known.borrow_and_update().clone();
        tell_all(&node, || Command::Stores(now.clone())).await;
    }
}

/// Notices when the process stood still (stopped, swapped out, starved), since others went on without it. The shards wait
/// then until it is known whether another node was started in its place.
pub(crate) async fn watch_pauses(node: Arc<Inner>, end: CancellationToken) {
    node.standstill.runs();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let stood = node.standstill.since();
        if stood > PAUSE {
            node.standstill.doubt();
            node.standstill.runs();
            tracing::warn!(seconds = stood.as_secs_f64(), "this process stood still");
            let settling = async {
                // Away, nobody is heard; and what a twin says comes once it is back.
                let _ = node.backplane.round_trip(CATCH_UP).await;
                tokio::time::sleep(HEAR).await;
                node.standstill.settle();
                tell_all(&node, || Command::Doubt).await;
            };
            tokio::pin!(settling);
            // Shards whose queues are full must be able to go on before they can be told.
            while tokio::time::timeout(LOOK_EVERY, &mut settling).await.is_err() {
                node.standstill.runs();
            }
        }
        node.standstill.runs();
    }
}

/// Ends what speaks for the node once a younger one has its name.
pub(crate) async fn watch_name(
    node: Arc<Inner>,
    replaced: impl Future<Output = Twin>,
    end: CancellationToken,
) {
    if end.run_until_cancelled(replaced).await.is_some() {
        node.standstill.end();
    }
}

/// Keeps the announced load true.
pub(crate) async fn watch_load(node: Arc<Inner>, end: CancellationToken) {
    loop {
        node.here.tidy();
        let view = node.view.borrow().clone();
        node.here.renew_shares(&node.placement(view));
        let tenants = node.here.told(Instant::now());
        if let Some(announcer) = &*node.announcer.lock() {
            announcer.update(|announcement| {
                announcement.load.misplaced = node.to_move.get();
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
