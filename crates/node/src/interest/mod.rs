//! What this node listens to: the one owner of its live subscriptions.
//!
//! Shards say which rooms are to be heard, and are told when they are: at once where something that is subscribed to
//! covers the room, else by [`Command::Listening`]. What is subscribed to is decided by a pure machine a domain
//! (`grain`), and done by a task for each piece of work, at most [`UNDER_WAY`] at a time.
//!
//! A group that is the pool's own is one domain: all its tenants are this pool's, unless moved. Of any other group each
//! tenant is a domain: the group's other tenants are none of this node's business.

mod came;
mod grain;
mod owned;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod under_publishing;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use ringway_backplane::message::LiveMessage;
use ringway_backplane::{Backplane, Interest, LiveSinks, Scope, Subscription};
use ringway_protocol::name::{GroupId, PoolId, TenantId};
use ringway_ring::Slot;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::came::Came;
use self::grain::{BOUNDS, Grain, Opened, Part, Work};
use self::owned::Owned;
use crate::metrics::NodeMetrics;
use crate::placement::Placement;
use crate::shard::{Command, RoomKey, ShardHandle};

/// Pieces of work under way at a time: a node whose slots move, or that has lost its NATS server, mustn't have thousands.
const UNDER_WAY: usize = 64;

/// What grains are decided for together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Domain {
    Group(GroupId),
    Tenant(GroupId, TenantId),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Interests {
    pool: PoolId,
    backplane: Arc<dyn Backplane>,
    metrics: Arc<NodeMetrics>,
    tasks: TaskTracker,
    started: Instant,
    /// The shards as they are made, each with its way for live messages.
    shards: Mutex<Vec<(ShardHandle, mpsc::Sender<LiveMessage>)>>,
    /// All of them, once the first room is wanted.
    ways: OnceLock<Ways>,
    state: Mutex<State>,
    /// Whether more may come than was asked for: shards then count it.
    counts: AtomicBool,
}

#[derive(Debug)]
struct Ways {
    shards: Vec<ShardHandle>,
    sinks: LiveSinks,
}

#[derive(Debug)]
struct State {
    placement: Arc<Placement>,
    owned: Arc<Owned>,
    none: Arc<Owned>,
    domains: HashMap<Domain, Grain<RoomKey, Subscription>>,
    under_way: usize,
    /// Domains that had more to do than could be begun.
    behind: HashSet<Domain>,
    /// Subscriptions that nobody needs any more.
    ended: Vec<Subscription>,
}

impl Interests {
    pub(crate) fn new(
        backplane: Arc<dyn Backplane>,
        metrics: Arc<NodeMetrics>,
        tasks: TaskTracker,
        placement: Arc<Placement>,
    ) -> Self {
        let owned = Owned::of(&placement.view, &placement.pool, &placement.me);
        Self {
            pool: placement.pool.clone(),
            backplane,
            metrics,
            tasks,
            started: Instant::now(),
            shards: Mutex::default(),
            ways: OnceLock::new(),
            state: Mutex::new(State {
                placement,
                owned: Arc::new(owned),
                none: Arc::new(Owned::none()),
                domains: HashMap::new(),
                under_way: 0,
                behind: HashSet::new(),
                ended: Vec::new(),
            }),
            counts: AtomicBool::new(false),
        }
    }

    /// A shard; all are made, in the order of their numbers, before the first room is wanted.
    pub(crate) fn add_shard(&self, shard: ShardHandle, live: mpsc::Sender<LiveMessage>) {
        self.shards.lock().push((shard, live));
    }

    /// A room is to be heard. Whether it is; else the room's shard will be told.
    pub(crate) fn want(self: &Arc<Self>, group: &GroupId, slot: Slot, room: &RoomKey) -> bool {
        let domain = self.domain(group, &room.tenant);
        let heard = self.change(&domain, |grain| grain.want(slot.number(), room.clone()));
        self.metrics.listens(heard);
        heard
    }

    /// A room needn't be heard any more.
    pub(crate) fn unwant(self: &Arc<Self>, group: &GroupId, slot: Slot, room: &RoomKey) {
        let domain = self.domain(group, &room.tenant);
        self.change(&domain, |grain| grain.unwant(slot.number(), room.clone()));
    }

    /// Whether a room that is wanted is heard by now.
    pub(crate) fn is_heard(&self, group: &GroupId, slot: Slot, room: &RoomKey) -> bool {
        let state = self.state.lock();
        let grain = state.domains.get(&self.domain(group, &room.tenant));
        grain.is_some_and(|grain| grain.is_heard(slot.number(), room.clone()))
    }

    /// Nothing is wanted, listened to or under way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.domains.is_empty() && state.under_way == 0
    }

    /// Whether [`look`](Self::look) is to be told what came.
    pub(crate) fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    /// Looks, now and then, whether something is to be done: for what came of each tenant's slots (how many publications,
    /// how many of them unwanted), or since time has passed.
    pub(crate) fn look(self: &Arc<Self>, came: impl Iterator<Item = (GroupId, TenantId, u16, u32, u32)>) {
        let now = self.started.elapsed();
        self.with_state(|state| {
            for (group, tenant, slot, received, unwanted) in came {
                if let Some(grain) = state.domains.get_mut(&self.domain(&group, &tenant)) {
                    grain.came(slot, received, unwanted, now);
                }
            }
            self.begin_everywhere(state);
            let counts = state.domains.values().any(Grain::takes_others);
            self.counts.store(counts, Ordering::Relaxed);
        });
    }

    /// The cluster has changed, or who is served where. Every shard says so, each in its own time; the first is heard.
    pub(crate) fn placed(self: &Arc<Self>, placement: &Arc<Placement>) {
        self.with_state(|state| {
            if !placement.is_after(&state.placement) {
                return;
            }
            state.placement = Arc::clone(placement);
            state.owned = Arc::new(Owned::of(&placement.view, &placement.pool, &placement.me));
            let State { owned, none, domains, .. } = &mut *state;
            for (domain, grain) in domains.iter_mut() {
                grain.placed(owned_in(domain, placement, owned, none));
            }
            self.begin_everywhere(state);
        });
    }

    fn domain(&self, group: &GroupId, tenant: &TenantId) -> Domain {
        if group.as_str() == self.pool.as_str() {
            Domain::Group(group.clone())
        } else {
            Domain::Tenant(group.clone(), tenant.clone())
        }
    }

    /// What is to be dropped is, afterwards, without the lock: that tells the carrier.
    fn with_state<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = call(&mut state);
        let ended = std::mem::take(&mut state.ended);
        drop(state);
        drop(ended);
        result
    }

    /// Changes a domain, and begins what is to be done then.
    fn change<T>(
        self: &Arc<Self>,
        domain: &Domain,
        change: impl FnOnce(&mut Grain<RoomKey, Subscription>) -> T,
    ) -> T {
        self.with_state(|state| {
            let State { placement, owned, none, domains, ended, .. } = &mut *state;
            let owned = owned_in(domain, placement, owned, none);
            let grain =
                domains.entry(domain.clone()).or_insert_with(|| Grain::new(BOUNDS, Arc::clone(owned)));
            let before = grain.sizes();
            let result = change(grain);
            ended.append(&mut grain.take_ended());
            self.metrics.subscribed(before, grain.sizes());
            self.begin(state, domain);
            result
        })
    }

    fn begin_everywhere(self: &Arc<Self>, state: &mut State) {
        let domains: Vec<Domain> = state.domains.keys().cloned().collect();
        for domain in &domains {
            self.begin(state, domain);
        }
    }

    /// Begins what is to be done in a domain, and forgets it where nothing is left of it.
    fn begin(self: &Arc<Self>, state: &mut State, domain: &Domain) {
        let Some(grain) = state.domains.get_mut(domain) else { return };
        let (now, before) = (self.started.elapsed(), grain.sizes());
        state.behind.remove(domain);
        loop {
            if state.under_way >= UNDER_WAY {
                state.behind.insert(domain.clone());
                break;
            }
            let Some(work) = grain.next(now) else { break };
            state.under_way += 1;
            self.tasks.spawn(Arc::clone(self).carry_out(domain.clone(), work));
        }
        state.ended.append(&mut grain.take_ended());
        self.metrics.subscribed(before, grain.sizes());
        if grain.is_empty() {
            state.domains.remove(domain);
            state.behind.remove(domain);
        }
    }

    /// Does a piece of work. Ends early only with the backplane.
    async fn carry_out(self: Arc<Self>, domain: Domain, work: Work<RoomKey>) {
        let Work { id, open, in_place } = work;
        let ways = self.ways();
        // However this ends, what was opened is heard.
        let begins = CancellationToken::new();
        let begin = begins.clone().drop_guard();
        let mut subscriptions = Vec::with_capacity(open.len());
        for part in open {
            let (interest, after) = (domain.interest(part), in_place.then(|| begins.clone()));
            subscriptions.push(self.backplane.listen(&interest, &ways.sinks, after).await.ok());
        }
        let Opened { retire, heard } = self.change(&domain, |grain| grain.opened(id, subscriptions));
        let telling = async {
            for (slot, room) in heard {
                // A shard that has ended listens to nothing.
                let _ = ways.shards[usize::from(slot) % ways.shards.len()]
                    .send(Command::Listening { room })
                    .await;
            }
        };
        match retire {
            None => telling.await,
            Some(former) => {
                tokio::join!(telling, self.backplane.retire(former));
                drop(begin);
                self.change(&domain, |grain| grain.done(id));
            }
        }
        self.with_state(|state| {
            state.under_way -= 1;
            for domain in state.behind.clone() {
                self.begin(state, &domain);
            }
        });
    }

    fn ways(&self) -> &Ways {
        self.ways.get_or_init(|| {
            let (shards, sinks) = self.shards.lock().iter().cloned().unzip();
            Ways { shards, sinks: LiveSinks::by_slot(sinks) }
        })
    }
}

impl Domain {
    fn interest(&self, part: Part<RoomKey>) -> Interest {
        let slot = |number| Slot::new(number).expect("it was a slot's number");
        let group = match self {
            Domain::Group(group) | Domain::Tenant(group, _) => group.clone(),
        };
        let scope = match (self, part) {
            (_, Part::Room(number, RoomKey { tenant, room })) => {
                Scope::Room { slot: slot(number), tenant, room }
            }
            (Domain::Group(_), Part::Slot(number)) => Scope::Slot(slot(number)),
            (Domain::Group(_), Part::Whole) => Scope::Group,
            (Domain::Tenant(_, tenant), Part::Slot(number)) => {
                Scope::TenantSlot { slot: slot(number), tenant: tenant.clone() }
            }
            (Domain::Tenant(_, tenant), Part::Whole) => Scope::Tenant(tenant.clone()),
        };
        Interest { group, scope }
    }
}

/// The slots that this node owns of a domain. Of a tenant that another pool serves it is none.
fn owned_in<'a>(
    domain: &Domain,
    placement: &Placement,
    owned: &'a Arc<Owned>,
    none: &'a Arc<Owned>,
) -> &'a Arc<Owned> {
    match domain {
        Domain::Tenant(_, tenant) if *placement.pool_of(tenant) != placement.pool => none,
        _ => owned,
    }
}
