//! What a repeated publication is recognised by.

use ringway_backplane::message::Publication;
use ringway_backplane::nats::MessageId;
use ringway_backplane::store::RoomAt;
use xxhash_rust::xxh3::xxh3_128;

/// The id of a publication: of its own [`mid`](Publication::mid) in its room and of its publisher, so that two of them
/// who count from 1 don't hide each other's; without one, chance, so that this node can repeat it.
///
/// A server knows ids by stream, over all rooms of all tenants.
pub(super) fn message_id(at: &RoomAt, publication: &Publication) -> MessageId {
    let Some(mid) = &publication.mid else { return MessageId(rand::random()) };
    let user = publication.user.as_ref().map(|user| user.as_str());
    let session = publication.session.as_ref().map(|session| session.as_str());
    let mut text = Vec::with_capacity(256);
    for part in [
        Some(at.tenant.as_str()),
        Some(at.room.as_str()),
        user,
        session.filter(|_| user.is_none()),
        Some(mid),
    ] {
        // Whether it is there, and how long: no two lists of parts are one text.
        match part {
            None => text.push(0),
            Some(part) => {
                text.push(1);
                text.extend_from_slice(&(part.len() as u64).to_le_bytes());
                text.extend_from_slice(part.as_bytes());
            }
        }
    }
    MessageId(xxh3_128(&text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringway_protocol::payload::Payload;
    use ringway_ring::Slot;

    use super::*;

    fn id(
        tenant: &str,
        room: &str,
        user: Option<&str>,
        session: Option<&str>,
        mid: Option<&str>,
    ) -> MessageId {
        let (tenant, room) = (tenant.parse().expect("a tenant"), room.parse().expect("a room"));
        let at = RoomAt {
            group: "shared".parse().expect("a group"),
            store: "chat".parse().expect("a store"),
            slot: Slot::of_room(&tenant, &room),
            tenant,
            room,
            latest_per_key: false,
        };
        let publication = Publication {
            user: user.map(|user| user.parse().expect("a user")),
            mid: mid.map(Arc::from),
            session: session.map(|session| session.parse().expect("a session")),
            ..Publication::new(rand::random(), Payload::from_bytes(vec![rand::random()]))
        };
        message_id(&at, &publication)
    }

    #[test]
    fn a_repeat_is_the_same_whatever_else_has_changed() {
        let first = id("acme", "lobby", Some("u"), Some("s1"), Some("1"));
        // A user's later session repeats what the first one began.
        assert_eq!(id("acme", "lobby", Some("u"), Some("s2"), Some("1")), first);
        assert_eq!(id("acme", "lobby", Some("u"), None, Some("1")), first);
        assert_eq!(
            id("acme", "lobby", None, Some("s1"), Some("1")),
            id("acme", "lobby", None, Some("s1"), Some("1"))
        );
    }

    #[test]
    fn the_same_mid_of_somebody_else_or_elsewhere_is_another() {
        let all = [
            id("acme", "lobby", Some("u"), None, Some("1")),
            id("acme", "lobby", Some("u"), None, Some("2")),
            id("acme", "lobby", Some("v"), None, Some("1")),
            id("acme", "lobby", None, Some("u"), Some("1")),
            id("acme", "lobby", None, None, Some("1")),
            id("acme", "hall", Some("u"), None, Some("1")),
            id("other", "lobby", Some("u"), None, Some("1")),
            // Where one part ends and the next begins tells them apart too.
            id("acme", "lobbyu", None, None, Some("1")),
            id("acme", "lobby", Some("u1"), None, Some("1")),
            id("acme", "lobby", Some("u"), None, Some("11")),
            id("acme", "lobby", None, Some("s1"), Some("1")),
            id("acme", "lobby", None, Some("s2"), Some("1")),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "number {n}");
        }
    }

    #[test]
    fn without_a_mid_each_is_its_own() {
        let one = || id("acme", "lobby", Some("u"), None, None);
        assert_ne!(one(), one());
    }
}
