//! The view as a value.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, OnceLock};

use ringway_protocol::name::{PoolId, TenantId};

use super::{Announcement, TenantUse};
use crate::table;
use crate::{KeyHash, MAX_SPREAD, NodeId, Slot, SlotTable};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One process's picture of the cluster at one moment: immutable, shared by `Arc`, look-ups without a lock.
#[derive(Clone, Debug, Default)]
pub struct View {
    nodes: BTreeMap<NodeId, Arc<Announcement>>,
    /// Of those, the ones that come and go too often to be given slots.
    held: BTreeSet<NodeId>,
    /// Those that left by saying nothing.
    silent: BTreeSet<NodeId>,
    pools: BTreeMap<PoolId, Arc<Pool>>,
    /// Keys that are spread over several nodes: mostly none.
    spreads: HashMap<KeyHash, u8>,
}

/// A pool's table and, as they are asked for, the owners without one of its nodes.
#[derive(Debug)]
struct Pool {
    table: SlotTable,
    /// One per member of the table; 64 KB each once filled.
    without: Box<[OnceLock<Box<[u32]>>]>,
}

static EMPTY: LazyLock<SlotTable> = LazyLock::new(|| SlotTable::build(&[]));

impl View {
    /// The view that follows `before`: pools whose placed nodes and weights are unchanged keep their tables. Who is `held`
    /// back isn't placed.
    pub(super) fn next(
        before: &Self,
        nodes: BTreeMap<NodeId, Arc<Announcement>>,
        held: BTreeSet<NodeId>,
        silent: BTreeSet<NodeId>,
    ) -> Self {
        let mut placed: BTreeMap<&PoolId, Vec<&Announcement>> = BTreeMap::new();
        for node in nodes.values().filter(|node| node.is_placed() && !held.contains(&node.id)) {
            placed.entry(&node.pool).or_default().push(node);
        }
        let pools = placed
            .into_iter()
            .map(|(id, placed)| {
                let members = table::members(placed.iter().map(|node| (&node.id, node.weight)));
                let pool = match before.pools.get(id) {
                    Some(pool) if *pool.table.members() == *members => Arc::clone(pool),
                    _ => Arc::new(Pool::new(SlotTable::of_members(members))),
                };
                (id.clone(), pool)
            })
            .collect();
        let mut spreads = HashMap::new();
        for spread in nodes.values().flat_map(|node| &node.spreads) {
            // A slot that moves has two owners for a moment: the greater word counts until the old owner's ends.
            let over = spreads.entry(spread.key).or_insert(spread.over);
            *over = spread.over.max(*over);
        }
        Self { nodes, held, silent, pools, spreads }
    }

    /// Whether every slot has the same owner in both, and every node is in the same run: they differ in loads, spreads or
    /// addresses at most. Cheap, but says no where equal tables were made apart from each other.
    pub fn has_the_places_of(&self, other: &Self) -> bool {
        let same_pools = self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1));
        let mut nodes = self.nodes.values().zip(other.nodes.values());
        same_pools
            && self.nodes.len() == other.nodes.len()
            && nodes.all(|(a, b)| a.id == b.id && a.incarnation == b.incarnation)
    }

    /// The node's last announcement, whatever its pool and state.
    pub fn node(&self, id: &NodeId) -> Option<&Announcement> {
        self.nodes.get(id).map(AsRef::as_ref)
    }

    /// Every node there is, sorted by name: draining ones and those of weight 0 too.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Announcement> {
        self.nodes.values().map(AsRef::as_ref)
    }

    /// Whether the node is known and serves, and is given no slots all the same, since it comes and goes too often
    /// ([`FLAPS`](crate::FLAPS)).
    pub fn is_held(&self, id: &NodeId) -> bool {
        self.held.contains(id)
    }

    /// Whether the node left by saying nothing for [`SILENCE`](crate::SILENCE), not long ago, and hasn't been heard since. It is
    /// dead, or stands still; one that says good-bye, or is said to have gone, isn't among them.
    pub fn is_silent(&self, id: &NodeId) -> bool {
        self.silent.contains(id)
    }

    /// Connections of a tenant on all nodes, as of their last announcements: up to half a second old. Only nodes that hold
    /// the tenant to a limit tell of it.
    pub fn connections_of(&self, tenant: &TenantId) -> u64 {
        self.used_by(tenant, None).connections
    }

    /// What a tenant uses on all nodes but this one, as of their last announcements.
    pub fn used_by(&self, tenant: &TenantId, but: Option<&NodeId>) -> TenantUse {
        let mut sum = TenantUse::none(tenant.clone());
        for node in self.nodes.values().filter(|node| Some(&node.id) != but) {
            if let Some(used) = node.used_by(tenant) {
                sum.add(used);
            }
        }
        sum
    }

    /// The pools that have a table, sorted by name.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = (&PoolId, &SlotTable)> {
        self.pools.iter().map(|(id, pool)| (id, &pool.table))
    }

    /// The table of a pool: its serving nodes with a weight. Empty for a pool that has none.
    pub fn pool(&self, pool: &PoolId) -> &SlotTable {
        self.pools.get(pool).map_or(&*EMPTY, |pool| &pool.table)
    }

    /// The node that owns a slot in a pool; none where the pool has no serving node.
    pub fn owner(&self, pool: &PoolId, slot: Slot) -> Option<&NodeId> {
        self.pool(pool).owner(slot)
    }

    /// The pool's placed nodes in the order in which to try them for a slot, the owner first.
    pub fn walk(&self, pool: &PoolId, slot: Slot) -> impl Iterator<Item = &NodeId> {
        self.pool(pool).walk(slot)
    }

    /// Over how many nodes what has this key is spread, by the word of its slot's owner; 1: it isn't.
    pub fn spread_of(&self, key: KeyHash) -> u8 {
        self.spreads.get(&key).copied().unwrap_or(1)
    }

    /// The nodes that serve what has this key: its slot's owner, and, where it is spread, those that follow on the walk.
    /// `at_least`: over how many it is spread in any case, by its class.
    pub fn homes(&self, pool: &PoolId, key: KeyHash, at_least: u8) -> impl Iterator<Item = &NodeId> {
        let over = self.spread_of(key).max(at_least).clamp(1, MAX_SPREAD);
        self.walk(pool, key.slot()).take(usize::from(over))
    }

    /// Which of [`homes`](Self::homes) is one client's: of all nodes the one with the greatest hash of `who` (a session,
    /// which a client keeps over its connections) and its name. So it stays the same while that node is among them, and
    /// all of them get about as many.
    pub fn home(&self, pool: &PoolId, key: KeyHash, at_least: u8, who: &str) -> Option<&NodeId> {
        if self.spread_of(key).max(at_least) <= 1 {
            return self.owner(pool, key.slot());
        }
        let who = xxh3_64(who.as_bytes());
        self.homes(pool, key, at_least).max_by_key(|node| draw(node, who))
    }

    /// All [`homes`](Self::homes) in the order in which to try them for one client: its [`home`](Self::home), then the one
    /// that would be its home if that weren't among them, and so on. So those who lose their home go to all the others
    /// alike.
    pub fn homes_of(&self, pool: &PoolId, key: KeyHash, at_least: u8, who: &str) -> Vec<&NodeId> {
        let mut homes: Vec<&NodeId> = self.homes(pool, key, at_least).collect();
        if homes.len() > 1 {
            let who = xxh3_64(who.as_bytes());
            homes.sort_by_cached_key(|node| Reverse(draw(node, who)));
        }
        homes
    }

    /// All nodes of the pool in the order in which to try them for one client: its [`homes_of`](Self::homes_of), then the rest of the
    /// walk.
    pub fn order_of<'a>(
        &'a self,
        pool: &PoolId,
        key: KeyHash,
        at_least: u8,
        who: &str,
    ) -> impl Iterator<Item = &'a NodeId> {
        // One home is the first of the walk: no list for what is nearly always so.
        let homes = if self.spread_of(key).max(at_least) <= 1 {
            Vec::new()
        } else {
            self.homes_of(pool, key, at_least, who)
        };
        let others = self.walk(pool, key.slot()).skip(homes.len());
        homes.into_iter().chain(others)
    }

    /// The node that would own the slot if `node` weren't there: exactly what a table built without it says.
    ///
    /// The first call for a node builds that table (as [`SlotTable::build`]), later ones look up: see
    /// [`prepare_without`](Self::prepare_without).
    pub fn owner_without(&self, pool: &PoolId, slot: Slot, node: &NodeId) -> Option<&NodeId> {
        let pool = self.pools.get(pool)?;
        let Some(lock) = pool.table.index(node).and_then(|index| pool.without.get(index as usize)) else {
            return pool.table.owner(slot);
        };
        let owners = lock.get_or_init(|| pool.table.owners_without(node).unwrap_or_default());
        owners.get(usize::from(slot.number())).and_then(|&owner| pool.table.node(owner))
    }

    /// Builds what [`owner_without`](Self::owner_without) this node needs, where that hasn't been done.
    pub fn prepare_without(&self, node: &NodeId) {
        if let (Some(announced), Some(any)) = (self.node(node), Slot::all().next()) {
            self.owner_without(&announced.pool, any, node);
        }
    }
}

/// A node's number in the draw for somebody; the greatest wins.
fn draw(node: &NodeId, who: u64) -> u64 {
    xxh3_64_with_seed(node.as_str().as_bytes(), who)
}

impl Pool {
    fn new(table: SlotTable) -> Self {
        let without = table.members().iter().map(|_| OnceLock::new()).collect();
        Self { table, without }
    }
}
