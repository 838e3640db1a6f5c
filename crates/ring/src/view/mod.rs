//! The view of the cluster: who is there, and which slots are whose.
//!
//! [`Membership`] takes in announcements, departures and time, and gives out [`View`]s: immutable values shared by
//! `Arc`. No view is ever *the* view: every process has its own, and they agree again within a heartbeat or two.

mod announcement;
mod membership;
mod snapshot;
mod tenants;

pub use announcement::{Announcement, NodeState};
pub use membership::{Membership, SILENCE};
pub use snapshot::View;
pub use tenants::{TENANTS_TOLD, TenantUse};
