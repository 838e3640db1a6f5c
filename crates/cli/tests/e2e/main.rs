//! The whole system from outside: real `ringway` processes, real sockets, a real `nats-server`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, unreachable_pub)]

mod abuse;
mod alive;
mod arrows;
mod bare;
mod call;
mod cluster;
mod corpus;
mod descriptors;
mod disagreement;
mod durable;
mod faults;
mod footprint;
mod frames;
mod guarantees_page;
mod handshake;
mod hot;
mod life;
mod limits;
mod look;
mod member;
mod metrics_page;
mod order;
mod peer;
mod placement;
mod python;
mod rebalance;
mod reload;
mod rooms;
mod slow;
mod stores;
mod support;
mod tokens;
mod traces;
mod users;
mod world;
