//! The usual question: 100,000 users on 20 nodes, each in five rooms. How many nodes does a publication reach?
//!
//! It depends on how many members a room has, so that is varied.

use super::grain::Grain;
use super::study::{FIVE, FIVE_BY_USER, FIVE_TAGGED, look};
use super::traffic::Traffic;
use super::world::{Kind, Size};

pub(super) const USERS: u32 = 100_000;
pub(super) const NODES: u16 = 20;
/// Members a room, on average.
const MEMBERS: [u32; 6] = [3, 5, 7, 10, 25, 100];

pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) members: u32,
    pub(super) skewed: bool,
    pub(super) traffic: Traffic,
}

impl Row {
    /// The share of the publications that leave the owner's node, or come from elsewhere.
    pub(super) fn crossing(&self) -> f64 {
        self.traffic.crossing / self.traffic.publications
    }

    pub(super) fn by_room(&self) -> f64 {
        self.traffic.heard(Grain::Rooms)
    }

    pub(super) fn by_slot(&self) -> f64 {
        self.traffic.heard(Grain::Slots)
    }
}

pub(super) fn rows(users: u32, seed: u64) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (kind, skews) in [(FIVE, &[false, true][..]), (FIVE_BY_USER, &[false]), (FIVE_TAGGED, &[false])] {
        for &skewed in skews {
            for members in MEMBERS {
                rows.push(row(kind, users, members, skewed, seed)?);
            }
        }
    }
    Ok(rows)
}

pub(super) fn row(kind: Kind, users: u32, members: u32, skewed: bool, seed: u64) -> anyhow::Result<Row> {
    let size = Size { connections: users, rooms: users * kind.rooms / members, tenants: 1, skewed };
    Ok(Row { kind, members, skewed, traffic: look(kind, size, NODES, seed)? })
}
