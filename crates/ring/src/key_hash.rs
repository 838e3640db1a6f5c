//! The hash that places a room or a user: its slot, and more bits of it to tell the keys of one slot apart.

use ringway_protocol::name::{RoomName, TenantId, UserId};
use serde::{Deserialize, Serialize};

use crate::{SLOTS, Slot};

/// The low 32 bits of the hash of tenant and placement key (see [`Slot::of`]): rooms of one tag have one, and so has
/// everything else that is placed together. Of two keys that happen to share it, what is said of one holds for both: they
/// may be spread needlessly, and that harms neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(u32);

impl KeyHash {
    /// Of a placement key.
    pub fn of(tenant: &TenantId, placement_key: &str) -> Self {
        // What is cut off isn't needed: the slot is in the low 14 bits.
        Self(crate::slot::hash(tenant, placement_key) as u32)
    }

    /// Of a room: that of its tag where it has one, else of its whole name.
    pub fn of_room(tenant: &TenantId, room: &RoomName) -> Self {
        Self::of(tenant, room.placement_key())
    }

    /// Of a user whose connection names no room.
    pub fn of_user(tenant: &TenantId, user: &UserId) -> Self {
        Self::of(tenant, &crate::slot::key_of_user(user))
    }

    /// Its slot.
    pub fn slot(self) -> Slot {
        let number = (self.0 % u32::from(SLOTS)) as u16;
        Slot::new(number).expect("a remainder of the number of slots is a slot")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_slot_is_the_key_s() {
        let tenant: TenantId = "acme".parse().unwrap();
        for number in 0..1_000 {
            let room: RoomName = format!("{{tag{}}}.r{number}", number % 300).parse().unwrap();
            assert_eq!(KeyHash::of_room(&tenant, &room).slot(), Slot::of_room(&tenant, &room));
            let user: UserId = format!("u{number}").parse().unwrap();
            assert_eq!(KeyHash::of_user(&tenant, &user).slot(), Slot::of_user(&tenant, &user));
        }
    }
}
