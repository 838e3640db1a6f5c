//! A node: it holds connections and rooms, and puts one publication on many sockets.
//!
//! Owns: what happens between a ticket and a connection's end (`session`), the rooms of this node (`shard` runs them,
//! `room` decides), and this node's part in the cluster. Refuses: tokens of upgrades and routing, which are the
//! gateway's; sockets' bytes, which are the edge's; subjects and carriers, which are the backplane's.
//!
//! The way of a publication: `session` reads a frame and checks the right → the `shard` of the room's slot takes it in
//! the order sent → its `room` numbers it, or asks the room's owner to → the shard writes it to the members and to
//! the room's live subject → on other nodes with members, `shard` and `room` bring it to theirs.

#[cfg(test)]
mod actors;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod clock;
mod cluster;
mod configured;
mod conn;
#[cfg(test)]
mod dice;
mod direct;
mod door;
mod durable;
mod encode;
mod entrance;
mod gauges;
mod heartbeat;
mod heat;
mod inbox;
mod interest;
mod leave;
mod listen;
mod live_count;
mod memory;
mod metrics;
mod moves;
mod node;
mod placement;
mod reader;
mod registry;
mod relay;
mod room;
mod same_grants;
mod seats;
mod served;
mod session;
mod shard;
mod standstill;
mod stores;
mod storing;
mod tenant;
mod tickets;
mod trace;
mod way;

pub use configured::Configured;
pub use door::{Door, Entry, NoPlace};
pub use metrics::NodeMetrics;
pub use node::{Node, NodeParts, NodeSettings, StartError};
pub use ringway_backplane::cluster::Twin;
