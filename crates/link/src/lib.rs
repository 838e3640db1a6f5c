//! What a gateway that holds sockets and a node that holds rooms say to each other. No I/O, no clock.
//!
//! A **link** is one connection between one of a gateway's workers and a node; each worker has one to every node that it
//! needs. Both directions are first in, first out, and that is what all order rests on. What is said is a record:
//! [`Up`] towards the node, [`Down`] towards the gateway.
//!
//! | module | holds |
//! |---|---|
//! | [`up`] | what a gateway says |
//! | [`down`] | what a node says |
//! | [`hello`] | the version and the limits that are agreed on first |
//! | [`codec`] | records as bytes |

pub mod codec;
pub mod down;
pub mod hello;
pub mod up;

pub use codec::BadRecord;
pub use down::{At, Cast, Down, Exclude, Exit, Policy, RoomDeclared};
pub use up::{Open, OpenAs, Rejoin, Up};

/// A connection, as both ends of one link number it. The gateway gives numbers, the same on all of its worker's links, and gives one
/// again only when every node that was told of it has said [`Down::Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnNo(pub u32);

/// A room, as the node of one link numbers it. It means what the last [`Down::Room`] with this number said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomNo(pub u32);
