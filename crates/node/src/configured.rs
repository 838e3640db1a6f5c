//! What a node has from the configuration that may change while it runs, and how a change comes to hold.
//!
//! One task takes each new reading: it listens in groups that came before anybody here is told that their rooms are this
//! node's; then limits, keys and tenants hold; then the shards hear of it, together with the view (`cluster`). Whoever
//! was let in by a tenant that is gone is sent away, some at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_auth::TokenKeys;
use ringway_config::{Placement, Tenants};
use ringway_protocol::close::CloseCode;
use ringway_protocol::{Code, GroupId, TenantId};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::conn::ConnRef;
use crate::node::Inner;
use crate::served::Served;

/// One reading of the configuration. A change is a new one, whole.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Tenants with their pools, groups and limits, and the classes of rooms.
    pub tenants: Tenants,
    /// Verify tokens of `auth` frames, by tenant.
    pub keys: Arc<HashMap<TenantId, TokenKeys>>,
    /// How connections come to where their rooms are.
    pub placement: Placement,
}

/// Between two looks at which groups are needed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long subscriptions to new groups are waited for: while the backplane is away they are on their way at once, so
/// that only one that is overloaded takes longer. They are tried again then.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);

/// Connections of removed tenants are closed so many at a time, this long after one another: 4,000 in a second.
const CLOSED_TOGETHER: usize = 100;
const CLOSE_EVERY: Duration = Duration::from_millis(25);

/// What is in force on a node, and what follows from it.
pub(crate) struct InForce {
    node: Arc<Inner>,
    told: watch::Sender<Arc<Configured>>,
    served: Served,
    /// Connections of tenants that are gone.
    ended: VecDeque<ConnRef>,
}

impl InForce {
    pub(crate) fn new(node: Arc<Inner>, told: watch::Sender<Arc<Configured>>, served: Served) -> Self {
        Self { node, told, served, ended: VecDeque::new() }
    }

    /// Takes what comes until `end`.
    pub(crate) async fn watch(mut self, coming: watch::Receiver<Arc<Configured>>, end: CancellationToken) {
        end.run_until_cancelled(self.take_all(coming)).await;
    }

    async fn take_all(&mut self, mut coming: watch::Receiver<Arc<Configured>>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut closes = tokio::time::interval(CLOSE_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        closes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let node = self.node.clone();
        let mut more = true;
        loop {
            tokio::select! {
                changed = coming.changed(), if more => match changed {
                    Ok(()) => {
                        let next = coming.borrow_and_update().clone();
                        self.take(next).await;
                    }
                    Err(_) => more = false,
                },
                () = node.here.stranger() => self.listen(&node.here.groups()).await,
                _ = looks.tick() => {
                    let needed = node.here.groups();
                    self.served.keep(&needed, Instant::now());
                    self.listen(&needed).await;
                }
                _ = closes.tick(), if !self.ended.is_empty() => self.close_some(),
            }
        }
    }

    async fn take(&mut self, next: Arc<Configured>) {
        let node = self.node.clone();
        let groups: HashSet<_> = next.tenants.groups_of(&node.settings.pool).into_iter().collect();
        self.listen(&groups).await;
        let pools = Arc::new(node.pools.read().after(&next.tenants));
        *node.pools.write() = pools;
        let is_any_gone = node.here.configure(next.tenants.clone(), groups);
        self.told.send_replace(next);
        if is_any_gone {
            let all = node.registry.all();
            self.ended = all.into_iter().filter(|conn| conn.tenant.is_gone()).collect();
        }
    }

    /// Listens in these groups, if it can now.
    async fn listen(&mut self, groups: &HashSet<GroupId>) {
        let added = tokio::time::timeout(LISTEN_WITHIN, self.served.add(groups)).await;
        if !matches!(added, Ok(Ok(()))) {
            tracing::warn!("this node can't listen in every group of its tenants yet; it tries again");
        }
    }

    fn close_some(&mut self) {
        for conn in self.ended.drain(..CLOSED_TOGETHER.min(self.ended.len())) {
            send_away(&conn);
        }
    }
}

/// Ends a connection whose tenant is gone; one whose tenant came back meanwhile stays.
pub(crate) fn send_away(conn: &ConnRef) {
    if conn.tenant.is_gone() {
        conn.way.close(CloseCode::UNKNOWN_TENANT, Code::UnknownTenant.as_str());
    }
}
