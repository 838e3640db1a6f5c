//! The slot vectors in `docs/protocol/vectors/slot.json`, which every client may be tested against.
#![allow(clippy::unwrap_used)]

use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::{SLOTS, Slot};
use serde_json::Value;

#[test]
fn slots_are_those_of_the_published_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/slot.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file["slots"], u64::from(SLOTS));
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 20);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let tenant: TenantId = text("tenant").parse().unwrap();
        let room: RoomName = text("room").parse().unwrap();
        assert_eq!(room.placement_key(), text("placement_key"), "{vector}");
        let slot = Slot::of_room(&tenant, &room);
        assert_eq!(u64::from(slot.number()), vector["slot"].as_u64().unwrap(), "{vector}");
        assert_eq!(u64::from(slot.part()), vector["part"].as_u64().unwrap(), "{vector}");
    }
    for vector in file["users"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let slot = Slot::of_user(&text("tenant").parse().unwrap(), &text("user").parse().unwrap());
        assert_eq!(u64::from(slot.number()), vector["slot"].as_u64().unwrap(), "{vector}");
    }
}
