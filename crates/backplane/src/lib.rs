//! Carries publications, questions and announcements between the processes of a cluster.
//!
//! One trait, [`Backplane`], and two carriers that one test suite holds to it: [`memory`] inside one process,
//! [`nats`] between many. The crate moves messages and tells what it knows of the link; it decides nothing:
//! who owns a room, what a lost message means and when to ask again are the node's business. It keeps no
//! state of rooms, and delivers at most once.

mod carrier;
mod codec;
mod counters;

pub mod cluster;
pub mod memory;
pub mod message;
pub mod nats;
pub mod store;
pub mod subject;

pub use carrier::{
    Backplane, Closed, Inbox, IncomingRequest, Interest, Link, LiveSinks, Refused, Replier, RequestError,
    Scope, Subscription,
};
pub use counters::{Count, Counters};
