//! The tenant moves between two pools: nodes with odd numbers are of one, those with even numbers of the other. Each party
//! reads the configuration in its own time, so for a while some go by the old one and some by the new.

use super::world::{GATEWAY, Id, Set, World, owner_of, secs};

/// What a party knows of where the tenant is.
#[derive(Clone, Copy, Default)]
pub(super) struct Pools {
    /// The pool that serves it.
    serves: usize,
    /// The one that it was seen to leave.
    left: Option<usize>,
    /// Questions about the tenant are answered, since it is of this node's pool, or was.
    listens: bool,
}

/// The pool that the tenant's group is called after.
const GROUP: usize = 0;

/// The nodes of a pool.
fn of(pool: usize) -> Set {
    let odd = 0xAAAA_AAAA;
    if pool == GROUP { odd } else { !odd }
}

fn is_of(id: Id, pool: usize) -> bool {
    of(pool) & (1 << id) != 0
}

impl World {
    pub(super) fn share_a_pool(&self, id: Id, other: Id) -> bool {
        !self.variant.moves || is_of(id, GROUP) == is_of(other, GROUP)
    }

    /// The nodes of the pool that serves the tenant, as this party has it.
    fn serving(&self, id: Id) -> Set {
        if self.variant.moves { of(self.parties[id].pools.serves) } else { Set::MAX }
    }

    /// The owner as this party sees it.
    pub(super) fn owner_at(&self, id: Id) -> Option<Id> {
        owner_of(self.parties[id].view & self.serving(id))
    }

    /// Who would be, were it not for that one.
    pub(super) fn owner_without(&self, id: Id, other: Id) -> Option<Id> {
        owner_of(self.parties[id].view & self.serving(id) & !(1 << other))
    }

    pub(super) fn former_owner_at(&self, id: Id) -> Option<Id> {
        let formers = self.parties[id].formers.iter().rev().filter(|(_, until)| self.now < *until);
        let mut owners = formers.filter_map(|(view, _)| owner_of(view & self.serving(id)));
        // Who is gone without a word is known to have fallen silent.
        let is_silent = |other: Id| self.parties[id].view & (1 << other) == 0 && !self.parties[other].leaving;
        let by_view = owners.find(|owner| *owner != id && !is_silent(*owner));
        by_view.or_else(|| self.former_by_pools(id))
    }

    fn former_by_pools(&self, id: Id) -> Option<Id> {
        let Pools { serves, left, .. } = self.parties[id].pools;
        if !self.variant.moves || self.variant.without == Some(super::Broken::Former) {
            return None;
        }
        let former = left.into_iter().chain([GROUP]).filter(|pool| *pool != serves);
        former.into_iter().find_map(|pool| owner_of(self.parties[id].view & of(pool)))
    }

    /// Whether it answers questions about the tenant.
    pub(super) fn listens(&self, id: Id) -> bool {
        let party = &self.parties[id];
        !self.variant.moves || party.pools.listens || party.room.is_some()
    }

    /// A node of the pool that the tenant left is asked by one of the other, and has no room: it makes none.
    pub(super) fn is_asked_as_former_owner(&self, id: Id, by: Id) -> bool {
        let own = usize::from(!is_of(id, GROUP));
        let elsewhere = self.variant.moves && self.parties[id].pools.serves != own;
        elsewhere && by != GATEWAY && !is_of(by, own) && self.parties[id].room.is_none()
    }

    /// Who would own it in the node's own pool, if that isn't the node itself.
    pub(super) fn owner_in_own_pool(&self, id: Id) -> Option<Id> {
        let own = usize::from(!is_of(id, GROUP));
        owner_of(self.parties[id].view & of(own)).filter(|owner| *owner != id)
    }

    /// A process begins, and reads the configuration.
    pub(super) fn read_first(&mut self, id: Id) {
        let serves = self.pool;
        self.parties[id].pools = Pools { serves, left: None, listens: is_of(id, serves) };
    }

    /// The configuration is changed; each party reads it in its own time.
    pub(super) fn move_tenant(&mut self) {
        if self.variant.moves {
            self.pool = 1 - self.pool;
            self.trace(|| format!("=== the tenant moves to pool {}", self.pool));
            let late = self.dice.chance(0.2);
            self.all_read(if late { 6.0 } else { 2.5 });
        }
    }

    pub(super) fn all_read(&mut self, within: f64) {
        for id in 0..self.parties.len() {
            let time = self.now + secs(self.dice.between(0.0, within));
            self.at_party(time, id, Box::new(move |w| w.read(id)));
        }
    }

    fn read(&mut self, id: Id) {
        let (next, pools) = (self.pool, &mut self.parties[id].pools);
        if pools.serves == next {
            return;
        }
        pools.left = Some(std::mem::replace(&mut pools.serves, next));
        pools.listens |= is_of(id, next);
        self.trace(|| {
            format!("=== {} reads of it", if id == GATEWAY { "gateway".into() } else { format!("n{id}") })
        });
        self.room(id, |room, s| room.view_changed(s));
    }

    /// Whether all go by the same.
    pub(super) fn all_have_read(&self) -> bool {
        self.parties.iter().all(|party| !party.up || party.pools.serves == self.pool)
    }

    /// Things are well again: the tenant is where there are nodes.
    pub(super) fn heal_pools(&mut self) {
        if !self.variant.moves {
            return;
        }
        let up = self.nodes().filter(|id| self.parties[*id].up).fold(0, |set, id| set | 1 << id);
        if up & of(self.pool) == 0 {
            self.pool = 1 - self.pool;
        }
        self.all_read(2.0);
    }
}
