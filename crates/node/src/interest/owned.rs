//! The slots that this node owns in its pool.

use ringway_protocol::name::PoolId;
use ringway_ring::{NodeId, SLOTS, Slot, View};

const WORDS: usize = SLOTS as usize / 64;

/// One bit a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    bits: Box<[u64; WORDS]>,
    count: usize,
}

impl Owned {
    /// Of no slots.
    pub(super) fn none() -> Self {
        Self { bits: Box::new([0; WORDS]), count: 0 }
    }

    /// What a view says that `me` owns.
    pub(super) fn of(view: &View, pool: &PoolId, me: &NodeId) -> Self {
        Self::by(|slot| view.owner(pool, slot) == Some(me))
    }

    pub(super) fn by(owns: impl Fn(Slot) -> bool) -> Self {
        let mut owned = Self::none();
        for slot in Slot::all().filter(|slot| owns(*slot)) {
            owned.bits[usize::from(slot.number() / 64)] |= 1 << (slot.number() % 64);
            owned.count += 1;
        }
        owned
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        self.bits.get(usize::from(slot / 64)).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Of every slot: the node is alone.
    pub(super) fn all(&self) -> bool {
        self.count == usize::from(SLOTS)
    }
}
