//! Who is on the stages of the tests: members, names, publications.

use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::ConnId;
use ringway_protocol::payload::Payload;
use ringway_ring::NodeId;

use crate::room::{Handles, Member};

/// Milliseconds since 1970 at which everything is published.
pub(crate) const WALL: u64 = 1_700_000_000_000;

/// Handles that a test reads.
pub(crate) struct Hand;

impl Handles for Hand {
    type Conn = Actor;
    type Asker = u32;
    type Publisher = u32;
}

#[derive(Clone, Debug)]
pub(crate) struct Actor(pub(crate) ConnId);

impl Member for Actor {
    fn id(&self) -> &ConnId {
        &self.0
    }
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("a node's id")
}

pub(crate) fn conn(name: &str) -> ConnId {
    name.parse().expect("a connection's id")
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor(conn(name))
}

pub(crate) fn epoch(ms: u64) -> Epoch {
    Epoch { ms, node: 0, random: 0 }
}

/// A publication that shows as `word`.
pub(crate) fn publication(word: &str) -> Publication {
    Publication { event: Some(word.into()), ..Publication::new(WALL, Payload::null()) }
}

pub(crate) fn by(word: &str, conn_name: &str) -> Publication {
    Publication { conn: Some(conn(conn_name)), ..publication(word) }
}

/// A publication that shows as `word`, which begins with its key: `a1` is the first of `a`; `-1` has none.
pub(crate) fn keyed(word: &str) -> Publication {
    let key = word.chars().next().filter(|key| *key != '-');
    Publication { key: key.map(|key| key.to_string().parse().expect("a key")), ..publication(word) }
}
