//! Rooms too big for one node: what they are placed by has several homes.

use serde::{Deserialize, Serialize};

use crate::KeyHash;

/// The most nodes that a key is spread over.
pub const MAX_SPREAD: u8 = 64;

/// The most keys that one announcement speaks of.
pub const SPREADS_TOLD: usize = 64;

/// What a slot's owner says of one placement key: its rooms are spread over the first nodes of the slot's walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Which.
    pub key: KeyHash,
    /// Over how many nodes, 2 to [`MAX_SPREAD`]; where the pool has fewer, over all of them.
    pub over: u8,
}
