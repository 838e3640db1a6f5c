//! Gateways that hold the sockets, before nodes that hold the rooms. Whatever becomes of a node, or of what connects it to
//! a gateway, no client's socket is closed, each request is answered once, and what members heard is held against the
//! same promises as ever. One fault a file; the promises that both paths share are tried over both by the other tests.

mod crowd;
mod cut;
mod drained;
mod ends;
mod full;
mod gateway;
mod killed;
mod lifetime;
mod moved;
mod owners;
mod parted;
mod requests;
mod resumes;
mod rights;
mod site;
mod slow;
mod stalled;
mod stopped;
mod users;

use std::time::Duration;

/// How long anything may take until everybody is served again.
const SERVED: Duration = Duration::from_secs(60);
