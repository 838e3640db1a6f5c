//! Who is there: a task that says so for a node, and one that listens for everybody.
//!
//! Plain heartbeats and no store: a node that says nothing for [`SILENCE`](ringway_ring::SILENCE) is gone, one
//! that says good-bye at once. What follows from the view is for whoever watches it to decide.

mod announcer;
mod claim;
mod telling;
mod watcher;

pub use announcer::{ANNOUNCE_EVERY, Announcer};
pub use claim::{ClaimError, Twin, claim};
pub use watcher::Watcher;
