//! Slots: the 16,384 buckets that rooms fall into.
//!
//! A slot is a pure function of tenant and placement key, the same in every process, release and language: clients,
//! gateways and nodes may each work it out. `docs/protocol/vectors/slot.json` holds the vectors that bind it.

use std::fmt;

use ringway_protocol::name::{RoomName, TenantId, UserId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many slots there are, for ever: enough that 100 nodes can be held to a tenth above their fair share without much
/// movement, few enough that a table is small (see `docs/placement.md`).
pub const SLOTS: u16 = 16_384;

/// How many slots share a part (see [`Slot::part`]).
const SLOTS_PER_PART: u16 = 256;

/// One bucket of rooms: `0..SLOTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slot(u16);

/// A number that isn't a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a slot: slots are 0 to {max}", max = SLOTS - 1)]
pub struct NotASlot(pub u16);

impl Slot {
    /// The slot of everything in `tenant` with this placement key: xxh3-64 (seed 0) of the tenant, one zero byte and
    /// the key, modulo [`SLOTS`].
    ///
    /// A connection without a home room is placed by its user ([`Slot::of_user`]) or, where it has none, by its
    /// connection's id as the key.
    pub fn of(tenant: &TenantId, placement_key: &str) -> Self {
        // The remainder is below 16,384, so it fits.
        Self((hash(tenant, placement_key) % u64::from(SLOTS)) as u16)
    }

    /// The slot of a room: that of its tag where it has one, else of its whole name.
    pub fn of_room(tenant: &TenantId, room: &RoomName) -> Self {
        Self::of(tenant, room.placement_key())
    }

    /// The slot by which a user's connections are placed when they name no home room.
    ///
    /// `user:` and the name are the placement key itself: braces in a user's name make no tag.
    pub fn of_user(tenant: &TenantId, user: &UserId) -> Self {
        Self::of(tenant, &key_of_user(user))
    }

    /// The slot with this number.
    ///
    /// # Errors
    /// The number is not below [`SLOTS`].
    pub fn new(number: u16) -> Result<Self, NotASlot> {
        if number < SLOTS { Ok(Self(number)) } else { Err(NotASlot(number)) }
    }

    /// Every slot, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        (0..SLOTS).map(Self)
    }

    /// The slot's number, below [`SLOTS`].
    pub fn number(self) -> u16 {
        self.0
    }

    /// The part of a store that holds the slot: 64 parts of 256 slots each, for ever.
    pub fn part(self) -> u8 {
        (self.0 / SLOTS_PER_PART) as u8
    }
}

/// xxh3-64 (seed 0) of the tenant, one zero byte and the placement key.
pub(crate) fn hash(tenant: &TenantId, placement_key: &str) -> u64 {
    let (tenant, key) = (tenant.as_str().as_bytes(), placement_key.as_bytes());
    let length = tenant.len() + 1 + key.len();
    // The longest tenant and the longest room name fit in 296 bytes: no allocation for a look-up.
    let mut stack = [0_u8; 320];
    match stack.get_mut(..length) {
        Some(joined) => {
            joined[..tenant.len()].copy_from_slice(tenant);
            joined[tenant.len() + 1..].copy_from_slice(key);
            xxh3_64(joined)
        }
        None => xxh3_64(&[tenant, &[0], key].concat()),
    }
}

/// What a user's connections are placed by.
pub(crate) fn key_of_user(user: &UserId) -> String {
    format!("user:{user}")
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u16> for Slot {
    type Error = NotASlot;

    fn try_from(number: u16) -> Result<Self, NotASlot> {
        Self::new(number)
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_number_is_below_16384() {
        assert_eq!(Slot::new(16_383).map(Slot::number), Ok(16_383));
        assert_eq!(Slot::new(16_384), Err(NotASlot(16_384)));
        assert_eq!(Slot::all().len(), 16_384);
    }

    #[test]
    fn sixty_four_parts_of_256_slots() {
        let part = |n| Slot::new(n).unwrap().part();
        assert_eq!([part(0), part(255), part(256), part(16_383)], [0, 0, 1, 63]);
    }

    #[test]
    fn a_key_too_long_for_the_stack_hashes_alike() {
        let tenant: TenantId = "acme".parse().unwrap();
        let long = "x".repeat(400);
        let expected = xxh3_64(format!("acme\0{long}").as_bytes()) % 16_384;
        assert_eq!(u64::from(Slot::of(&tenant, &long).number()), expected);
        let edge = "x".repeat(315);
        let expected = xxh3_64(format!("acme\0{edge}").as_bytes()) % 16_384;
        assert_eq!(u64::from(Slot::of(&tenant, &edge).number()), expected);
    }

    #[test]
    fn a_user_is_placed_by_name_even_with_braces() {
        let tenant: TenantId = "acme".parse().unwrap();
        let user: UserId = "{a}b".parse().unwrap();
        assert_eq!(Slot::of_user(&tenant, &user), Slot::of(&tenant, "user:{a}b"));
    }

    #[test]
    fn tenants_with_the_same_room_have_slots_of_their_own() {
        let room: RoomName = "lobby".parse().unwrap();
        let slots: std::collections::BTreeSet<_> = ["a", "b", "c", "d"]
            .map(|tenant| Slot::of_room(&tenant.parse().unwrap(), &room))
            .into_iter()
            .collect();
        assert_eq!(slots.len(), 4);
    }
}
