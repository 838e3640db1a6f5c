//! Where messages travel: the subjects of a cluster, and the encoding that keeps names from meaning anything there.
//!
//! Room names come from strangers. A `*`, `>`, space or line end that reached the wire would subscribe to, or
//! publish into, another tenant's rooms; so every byte but `A-Z a-z 0-9 -` is written `%XX`. The mapping is
//! injective, and reading accepts only what writing makes.

use std::fmt::Write as _;

use ringway_protocol::name::{GroupId, Key, RoomName, StoreName, TenantId};
use ringway_ring::Slot;

use crate::store::RoomAt;
use crate::{Inbox, Interest, Scope};

/// The longest subject, bytes: a NATS server closes the connection somewhat over 4,000, and reads and logs add to it.
pub const SUBJECT_LIMIT: usize = 1_024;

/// The longest prefix, bytes: with it every name that the rules allow fits in [`SUBJECT_LIMIT`].
const PREFIX_LIMIT: usize = 64;

/// A prefix or subject that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The prefix isn't words of `A-Z a-z 0-9 _ -` joined by dots, at most 64 bytes.
    #[error("the prefix {0:?} isn't words of A-Z a-z 0-9 _ - joined by dots, at most {PREFIX_LIMIT} bytes")]
    Prefix(String),
    /// The subject would have more than [`SUBJECT_LIMIT`] bytes.
    #[error("a subject of {0} bytes; at most {SUBJECT_LIMIT} are allowed")]
    TooLong(usize),
}

/// The subjects of one cluster.
#[derive(Clone, Debug)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    /// Subjects under a prefix: clusters with different ones don't hear each other.
    ///
    /// # Errors
    /// [`SubjectError::Prefix`].
    pub fn new(prefix: &str) -> Result<Self, SubjectError> {
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        if prefix.len() <= PREFIX_LIMIT && prefix.split('.').all(plain) {
            Ok(Self { prefix: prefix.to_owned() })
        } else {
            Err(SubjectError::Prefix(prefix.to_owned()))
        }
    }

    /// A room's live subject: `<prefix>.g.<group>.live.<slot>.<tenant>.<room>._`.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`].
    pub fn live(
        &self,
        group: &GroupId,
        slot: Slot,
        tenant: &TenantId,
        room: &RoomName,
    ) -> Result<String, SubjectError> {
        let mut subject = self.in_group(group);
        let _ = write!(subject, "live.{}.{tenant}.", slot.number());
        encode_into(room.as_str(), &mut subject);
        // The last word is a store's key; ephemeral rooms have none.
        subject.push_str("._");
        limited(subject)
    }

    /// Where a durable publication is kept: `<prefix>.g.<group>.store.<store>.<part>.<slot>.<tenant>.<room>.<key>`.
    /// `key`: in a store that keeps the newest of each key, the publication's; `_` everywhere else, and for what has none.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`].
    pub fn stored(&self, at: &RoomAt, key: Option<&Key>) -> Result<String, SubjectError> {
        let mut subject = self.in_room(at);
        match key {
            Some(key) => encode_into(key.as_str(), &mut subject),
            None => subject.push('_'),
        }
        limited(subject)
    }

    /// All that is kept of a room: its exact subject, or, where the newest of each key are kept, those of all its keys.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`].
    pub fn stored_room(&self, at: &RoomAt) -> Result<String, SubjectError> {
        let key = if at.latest_per_key { "*" } else { "_" };
        limited(self.in_room(at) + key)
    }

    /// All that a store's part may hold: `<prefix>.g.<group>.store.<store>.<part>.*.*.*.*`.
    #[must_use]
    pub fn stored_part(&self, group: &GroupId, store: &StoreName, part: u8) -> String {
        self.in_group(group) + &format!("store.{store}.{part}.*.*.*.*")
    }

    /// All that a store may hold: what finds its streams.
    #[must_use]
    pub(crate) fn stored_all(&self, group: &GroupId, store: &StoreName) -> String {
        self.in_group(group) + &format!("store.{store}.>")
    }

    /// From where to where the server republishes what a store keeps, in its words for mappings: the part is dropped.
    #[must_use]
    pub(crate) fn republished(&self, group: &GroupId, store: &StoreName) -> (String, String) {
        let group = self.in_group(group);
        let rest: Vec<_> = (2..=5).map(|word| format!("{{{{wildcard({word})}}}}")).collect();
        (format!("{group}store.{store}.*.*.*.*.*"), format!("{group}live.{}", rest.join(".")))
    }

    /// The name of a store's first stream: `<prefix, its dots as _>-<group>-<store>`.
    #[must_use]
    pub(crate) fn stream(&self, group: &GroupId, store: &StoreName) -> String {
        format!("{}-{group}-{store}", self.prefix.replace('.', "_"))
    }

    fn in_room(&self, at: &RoomAt) -> String {
        let RoomAt { group, store, slot, tenant, room, .. } = at;
        let mut subject = self.in_group(group);
        let _ = write!(subject, "store.{store}.{}.{}.{tenant}.", part_of(*slot), slot.number());
        encode_into(room.as_str(), &mut subject);
        subject.push('.');
        subject
    }

    /// What to subscribe to for an interest.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`].
    pub fn interest(&self, interest: &Interest) -> Result<String, SubjectError> {
        let group = &interest.group;
        let rest = match &interest.scope {
            Scope::Room { slot, tenant, room } => {
                let mut rest = format!("live.{}.{tenant}.", slot.number());
                encode_into(room.as_str(), &mut rest);
                // Whatever the key, where its store keeps the newest of each.
                rest + ".*"
            }
            Scope::Slot(slot) => format!("live.{}.>", slot.number()),
            Scope::TenantSlot { slot, tenant } => format!("live.{}.{tenant}.>", slot.number()),
            // Four words, and never another tenant's: its name is one of them.
            Scope::Tenant(tenant) => format!("live.*.{tenant}.*.*"),
            Scope::Group => "live.>".to_owned(),
        };
        limited(self.in_group(group) + &rest)
    }

    /// A node's inbox: `<prefix>.g.<group>.node.<id>`.
    ///
    /// # Errors
    /// [`SubjectError::TooLong`].
    pub fn inbox(&self, inbox: &Inbox) -> Result<String, SubjectError> {
        let mut subject = self.in_group(&inbox.group) + "node.";
        encode_into(inbox.node.as_str(), &mut subject);
        limited(subject)
    }

    /// Direct messages of a tenant: `<prefix>.g.<group>.direct.<tenant>`.
    pub fn direct(&self, group: &GroupId, tenant: &TenantId) -> String {
        self.in_group(group) + "direct." + tenant.as_str()
    }

    /// Direct messages of all tenants of a group.
    pub fn all_direct(&self, group: &GroupId) -> String {
        self.in_group(group) + "direct.*"
    }

    /// Announcements and departures.
    pub fn cluster(&self) -> String {
        format!("{}.cluster.node", self.prefix)
    }

    /// A subject that nobody listens to: a question to it comes back at once from the server.
    pub fn nobody(&self) -> String {
        format!("{}.cluster.nobody", self.prefix)
    }

    fn in_group(&self, group: &GroupId) -> String {
        format!("{}.g.{group}.", self.prefix)
    }
}

/// Parts of a store, for ever: what a split of a stream divides.
pub const PARTS: u8 = 64;

/// The part of a slot.
#[must_use]
pub fn part_of(slot: Slot) -> u8 {
    u8::try_from(slot.number() / 256).expect("16,384 slots are 64 parts of 256")
}

/// The room that a live subject names, and its slot. The group is the subscription's business.
pub(crate) fn live_room(subject: &str) -> Option<(Slot, TenantId, RoomName)> {
    let mut words = subject.rsplit('.');
    let _key = words.next()?;
    let room = decode(words.next()?)?.parse().ok()?;
    let tenant = words.next()?.parse().ok()?;
    let slot = Slot::new(words.next()?.parse().ok()?).ok()?;
    Some((slot, tenant, room))
}

/// Whether a subject, of what is live or of what is kept, is this room's. Group and store are not looked at: they are the
/// subscription's, and the stream's.
#[must_use]
pub fn is_of_room(subject: &str, at: &RoomAt) -> bool {
    live_room(subject)
        .is_some_and(|(slot, tenant, room)| slot == at.slot && tenant == at.tenant && room == at.room)
}

/// The tenant that a direct subject names.
pub(crate) fn direct_tenant(subject: &str) -> Option<TenantId> {
    subject.rsplit('.').next()?.parse().ok()
}

/// A name as one word of a subject.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    encode_into(name, &mut word);
    word
}

fn encode_into(name: &str, subject: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in name.bytes() {
        if is_plain(byte) {
            subject.push(char::from(byte));
        } else {
            subject.push('%');
            subject.push(char::from(HEX[usize::from(byte >> 4)]));
            subject.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The name that a word stands for; none where [`encode`] would never have made that word.
pub(crate) fn decode(word: &str) -> Option<String> {
    fn nibble(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'A'..=b'F' => Some(digit - b'A' + 10),
            _ => None,
        }
    }
    let mut name = Vec::with_capacity(word.len());
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let decoded = nibble(bytes.next()?)? << 4 | nibble(bytes.next()?)?;
            if is_plain(decoded) {
                return None;
            }
            name.push(decoded);
        } else if is_plain(byte) {
            name.push(byte);
        } else {
            return None;
        }
    }
    String::from_utf8(name).ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn limited(subject: String) -> Result<String, SubjectError> {
    if subject.len() <= SUBJECT_LIMIT { Ok(subject) } else { Err(SubjectError::TooLong(subject.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group() -> GroupId {
        "shared".parse().unwrap()
    }

    fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_name_comes_back_and_holds_no_sign_of_the_protocol(name in "\\PC{0,255}|[ -~]{0,255}|.{0,64}") {
            let word = encode(&name);
            prop_assert!(word.bytes().all(|b| is_plain(b) || b == b'%'), "{}", word);
            prop_assert_eq!(decode(&word), Some(name));
        }

        /// With the test above: one name, one word, and one word, one name.
        #[test]
        fn only_what_encoding_makes_is_read(word in "[-A-Za-z0-9%]{0,12}|(%[0-9A-Fa-f]{2}){1,4}|.{0,6}") {
            if let Some(name) = decode(&word) {
                prop_assert_eq!(encode(&name), word);
            }
        }
    }

    #[test]
    fn rooms_that_look_like_wildcards_are_single_words() {
        let subjects = Subjects::new("ringway").unwrap();
        let slot = Slot::new(77).unwrap();
        for (name, word) in [
            ("lobby-1", "lobby-1"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            (">", "%3E"),
            ("a b", "a%20b"),
            ("%2E", "%252E"),
            ("_", "%5F"),
            ("é", "%C3%A9"),
            ("e\u{301}", "e%CC%81"),
            ("$SYS.x", "%24SYS%2Ex"),
        ] {
            let subject = subjects.live(&group(), slot, &tenant(), &room(name)).unwrap();
            assert_eq!(subject, format!("ringway.g.shared.live.77.acme.{word}._"));
            assert_eq!(live_room(&subject), Some((slot, tenant(), room(name))));
        }
    }

    #[test]
    fn interests_are_as_wide_as_they_say() {
        let subjects = Subjects::new("ringway").unwrap();
        let slot = Slot::new(5).unwrap();
        let text = |scope| subjects.interest(&Interest { group: group(), scope }).unwrap();
        assert_eq!(text(Scope::Group), "ringway.g.shared.live.>");
        assert_eq!(text(Scope::Slot(slot)), "ringway.g.shared.live.5.>");
        assert_eq!(text(Scope::Tenant(tenant())), "ringway.g.shared.live.*.acme.*.*");
        assert_eq!(text(Scope::TenantSlot { slot, tenant: tenant() }), "ringway.g.shared.live.5.acme.>");
        assert_eq!(
            text(Scope::Room { slot, tenant: tenant(), room: room("a.b") }),
            "ringway.g.shared.live.5.acme.a%2Eb.*"
        );
    }

    #[test]
    fn inboxes_and_direct_messages_have_their_own_words() {
        let subjects = Subjects::new("eu.ringway").unwrap();
        let inbox = Inbox { group: group(), node: "node_a.example".parse().unwrap() };
        assert_eq!(subjects.inbox(&inbox).unwrap(), "eu.ringway.g.shared.node.node%5Fa%2Eexample");
        let direct = subjects.direct(&group(), &tenant());
        assert_eq!(direct, "eu.ringway.g.shared.direct.acme");
        assert_eq!(direct_tenant(&direct), Some(tenant()));
        assert_eq!(subjects.cluster(), "eu.ringway.cluster.node");
    }

    #[test]
    fn the_longest_names_fit() {
        let subjects = Subjects::new(&"p".repeat(PREFIX_LIMIT)).unwrap();
        let (group, tenant) = ("g".repeat(40).parse().unwrap(), "t".repeat(40).parse().unwrap());
        let longest = room(&"é".repeat(127));
        assert!(subjects.live(&group, Slot::new(16_383).unwrap(), &tenant, &longest).is_ok());
    }

    #[test]
    fn too_long_a_subject_is_refused() {
        assert_eq!(limited("s".repeat(1_025)), Err(SubjectError::TooLong(1_025)));
        assert!(limited("s".repeat(1_024)).is_ok());
    }

    #[test]
    fn prefixes_are_words_joined_by_dots() {
        for bad in ["", ".", "a.", "a..b", "a b", "*", "a.>", "é", &"p".repeat(65)] {
            assert!(Subjects::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn foreign_subjects_name_nothing() {
        for subject in [
            "",
            "a",
            "ringway.g.shared.live.5.acme.%2e._",
            "ringway.g.shared.live.5.ACME.x._",
            "ringway.g.shared.live.16384.acme.x._",
            "....",
            "x.%",
        ] {
            assert_eq!(live_room(subject), None, "{subject}");
        }
    }
}
