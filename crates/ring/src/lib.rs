//! Where rooms live: slots, the ring over them, and the view of the cluster as a value.
//!
//! Owns: the slot of a room ([`Slot`]), the table from slots to nodes ([`SlotTable`]), and who is in the cluster
//! ([`Membership`], [`View`]). Refuses: I/O, clocks, tasks. Time comes in as milliseconds, announcements as values; what
//! carries them is the backplane's business.
//!
//! Ownership is locality, not a lock: two processes with different views place a room differently for a while, and
//! nothing breaks.

mod assign;
mod key_hash;
mod node_id;
mod plan;
mod slot;
mod table;
pub mod view;

pub use key_hash::KeyHash;
pub use node_id::{NodeId, NodeIdError};
pub use plan::{Change, Move, Plan};
pub use slot::{NotASlot, SLOTS, Slot};
pub use table::{MAX_WEIGHT, SlotTable};
pub use view::{
    Announcement, Draft, FLAPS, HOTTEST_TOLD, Hottest, Load, MAX_SPREAD, Membership, NodeState, SILENCE,
    SPREADS_TOLD, STEADY, Spread, TENANTS_TOLD, TenantUse, View,
};
