//! The view of the cluster: who is there, and which slots are whose.
//!
//! [`Membership`] takes in announcements, departures and time, and gives out [`View`]s: immutable values shared by
//! `Arc`. No view is ever *the* view: every process has its own, and they agree again within a heartbeat or two.

mod announcement;
mod flaps;
mod load;
mod membership;
mod snapshot;
mod spread;
mod tenants;

pub use announcement::{Announcement, NodeState};
pub use flaps::{FLAPS, STEADY};
pub use load::{HOTTEST_TOLD, Hottest, Load};
pub use membership::{Draft, Membership, SILENCE};
pub use snapshot::View;
pub use spread::{MAX_SPREAD, SPREADS_TOLD, Spread};
pub use tenants::{TENANTS_TOLD, TenantUse};
