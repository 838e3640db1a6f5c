//! What happens to clients when the cluster under them changes: nodes come, leave and die, a gateway sees another cluster
//! than the nodes do, a tenant moves to another pool. Real processes over a real `nats-server`, and clients on the Rust
//! client, which obeys `goaway` and resumes. Everybody writes down what is heard; that is held against what was promised,
//! and for how long each client heard nothing is printed as a table (`make e2e`). The tests that are ignored are long.

mod blind;
mod crowd;
mod death;
pub(crate) mod follower;
mod leave;
pub(crate) mod record;
mod scale;
mod site;
mod speech;
mod steps;
mod tenant;
mod verdicts;
