//! Names: text that was checked once and is passed around cheaply afterwards.
//!
//! Every type here is a shared string that can only be made through its rule, so whoever holds a
//! [`RoomName`] needn't look again. Names are compared byte by byte: `é` in its two normal forms
//! is two rooms. Nothing here knows how a name is written into a URL or a subject.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest tenant, group or pool name, in bytes.
pub const LABEL_MAX: usize = 40;
/// Longest room name, in bytes.
pub const ROOM_MAX: usize = 255;
/// Longest key or user name, in bytes.
pub const KEY_MAX: usize = 128;
/// Longest connection id, session id or epoch, in bytes.
pub const ID_MAX: usize = 64;

/// Why a text isn't the name that it was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There was no text at all.
    #[error("a {kind} may not be empty")]
    Empty {
        /// What kind of name it was to be.
        kind: &'static str,
    },
    /// More bytes than the kind allows.
    #[error("a {kind} has at most {max} bytes, this has {len}")]
    TooLong {
        /// What kind of name it was to be.
        kind: &'static str,
        /// The most bytes that are allowed.
        max: usize,
        /// The bytes that were given.
        len: usize,
    },
    /// A control character (Unicode's category Cc).
    #[error("a {kind} may not have control characters (at byte {at})")]
    Control {
        /// What kind of name it was to be.
        kind: &'static str,
        /// Where the character begins.
        at: usize,
    },
    /// A character outside the kind's alphabet.
    #[error("a {kind} consists of {alphabet} (wrong at byte {at})")]
    Alphabet {
        /// What kind of name it was to be.
        kind: &'static str,
        /// The rule in words.
        alphabet: &'static str,
        /// Where the first wrong character begins.
        at: usize,
    },
}

/// `[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?`
fn check_label(kind: &'static str, text: &str) -> Result<(), NameError> {
    check_length(kind, LABEL_MAX, text)?;
    let bytes = text.as_bytes();
    let wrong = bytes.iter().enumerate().position(|(at, byte)| {
        let inner = at > 0 && at + 1 < bytes.len();
        !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || (*byte == b'-' && inner))
    });
    match wrong {
        None => Ok(()),
        Some(at) => Err(NameError::Alphabet {
            kind,
            alphabet: "a-z, 0-9 and, inside, -",
            at: floor_char_boundary(text, at),
        }),
    }
}

/// Any text without control characters.
fn check_text(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    check_length(kind, max, text)?;
    match control_at(text) {
        None => Ok(()),
        Some(at) => Err(NameError::Control { kind, at }),
    }
}

/// Characters of one ASCII alphabet.
fn check_id(
    kind: &'static str,
    alphabet: &'static str,
    underscore: bool,
    text: &str,
) -> Result<(), NameError> {
    check_length(kind, ID_MAX, text)?;
    let wrong = text
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'-' || (underscore && byte == b'_')));
    match wrong {
        None => Ok(()),
        Some(at) => Err(NameError::Alphabet { kind, alphabet, at: floor_char_boundary(text, at) }),
    }
}

fn check_length(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, max, len: text.len() });
    }
    Ok(())
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Where the first control character is. Unicode's Cc is U+0000–U+001F, U+007F and U+0080–U+009F;
/// the last range is `C2 80`–`C2 9F` in UTF-8, so bytes are enough.
pub(crate) fn control_at(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().position(|(at, byte)| match byte {
        0..=0x1f | 0x7f => true,
        0xc2 => bytes.get(at + 1).is_some_and(|next| *next <= 0x9f),
        _ => false,
    })
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared text itself, for who wants to keep it without a copy.
            pub fn as_arc(&self) -> &Arc<str> {
                &self.0
            }

            fn check(text: &str) -> Result<(), NameError> {
                let check: fn(&'static str, &str) -> Result<(), NameError> = $check;
                check($kind, text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::check(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $kind))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

name! {
    /// A customer of the installation: `[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?`.
    TenantId, "tenant", check_label
}

name! {
    /// The subjects and streams that a tenant's publications live in; the same rule as a tenant.
    GroupId, "group", check_label
}

name! {
    /// A named retention profile: what a class of rooms is kept in; the same rule as a tenant.
    StoreName, "store", check_label
}

name! {
    /// A set of nodes that serves some tenants; the same rule as a tenant.
    PoolId, "pool", check_label
}

name! {
    /// A room: 1 to 255 bytes of UTF-8 without control characters.
    RoomName, "room", |kind, text| check_text(kind, ROOM_MAX, text)
}

name! {
    /// What a publication is the newest of, in rooms that keep or conflate by key: 1 to 128 bytes
    /// of UTF-8 without control characters.
    Key, "key", |kind, text| check_text(kind, KEY_MAX, text)
}

name! {
    /// A user of a tenant, the token's `sub`: 1 to 128 bytes of UTF-8 without control characters.
    UserId, "user", |kind, text| check_text(kind, KEY_MAX, text)
}

name! {
    /// One WebSocket, as others see it: opaque, 1 to 64 of `A-Z a-z 0-9 _ -`.
    ConnId, "connection id", |kind, text| check_id(kind, "A-Z, a-z, 0-9, _ and -", true, text)
}

name! {
    /// One client across its reconnects: opaque, 1 to 64 of `A-Z a-z 0-9 _ -`. Not the signed
    /// string that `hello` hands out; that one carries this.
    SessionId, "session id", |kind, text| check_id(kind, "A-Z, a-z, 0-9, _ and -", true, text)
}

name! {
    /// The lifetime that a room's offsets belong to, as clients see it: opaque, 1 to 64 of
    /// `A-Z a-z 0-9 -`.
    EpochName, "epoch", |kind, text| check_id(kind, "A-Z, a-z, 0-9 and -", false, text)
}

impl RoomName {
    /// The part of the name that decides where the room is placed: the text between its first `{`
    /// and the first `}` after it, where that isn't empty; else the whole name (Redis Cluster's
    /// rule). Rooms with one placement key share a slot, so a node.
    pub fn placement_key(&self) -> &str {
        let name = self.as_str();
        let Some(open) = name.find('{') else { return name };
        let inside = &name[open + 1..];
        match inside.find('}') {
            None | Some(0) => name,
            Some(close) => &inside[..close],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn tenants_are_lower_case_labels() {
        for good in ["a", "0", "a-b", "a--b", &"x".repeat(40)] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "A", "a_b", "a.b", "é", "a b", &"x".repeat(41)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rooms_are_any_text_without_controls() {
        let emoji = "😀".repeat(63) + "abc";
        assert_eq!(emoji.len(), 255);
        for good in
            ["a.b", "*", ">", "a b", "é", "e\u{301}", "$SYS.x", "{}", "{x", " ", "\u{a0}", "\u{2028}", &emoji]
        {
            assert_eq!(good.parse::<RoomName>().unwrap().as_str(), good);
        }
        for bad in ["", "\0", "a\nb", "a\r\n", "\u{7f}", "\u{80}", "x\u{9f}", &"x".repeat(256)] {
            assert!(bad.parse::<RoomName>().is_err(), "{bad:?}");
        }
        assert_ne!("é".parse::<RoomName>().unwrap(), "e\u{301}".parse::<RoomName>().unwrap());
    }

    #[test]
    fn control_characters_are_unicodes_cc() {
        for code in 0..0x1_0000 {
            let Some(character) = char::from_u32(code) else { continue };
            let text = format!("a{character}b");
            assert_eq!(control_at(&text).is_some(), character.is_control(), "U+{code:04X}");
        }
    }

    #[test]
    fn ids_and_epochs_have_an_alphabet() {
        assert!("aZ9_-".parse::<ConnId>().is_ok());
        assert!("aZ9_-".parse::<SessionId>().is_ok());
        assert!("aZ9-".parse::<EpochName>().is_ok());
        for bad in ["", "a_b", "a:b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<EpochName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn placement_keys_follow_redis() {
        for (room, key) in [
            ("lobby", "lobby"),
            ("{team7}.chat", "team7"),
            ("a.{team7}.chat", "team7"),
            ("{}.chat", "{}.chat"),
            ("{}{x}", "{}{x}"),
            ("{{x}}", "{x"),
            ("{x", "{x"),
            ("x}", "x}"),
            ("}{x}", "x"),
            ("{a}{b}", "a"),
        ] {
            assert_eq!(room.parse::<RoomName>().unwrap().placement_key(), key, "{room}");
        }
    }

    #[test]
    fn names_are_looked_up_by_plain_text() {
        let mut map = HashMap::new();
        map.insert("lobby".parse::<RoomName>().unwrap(), 1);
        assert_eq!(map.get("lobby"), Some(&1));
    }

    #[test]
    fn serde_checks_what_it_reads() {
        assert_eq!(serde_json::to_string(&"acme".parse::<TenantId>().unwrap()).unwrap(), "\"acme\"");
        assert_eq!(serde_json::from_str::<TenantId>("\"ac\\u006de\"").unwrap().as_str(), "acme");
        let error = serde_json::from_str::<TenantId>("\"Acme\"").unwrap_err().to_string();
        assert!(error.contains("a tenant consists of"), "{error}");
    }

    #[test]
    fn errors_say_what_was_wrong() {
        assert_eq!("".parse::<RoomName>().unwrap_err().to_string(), "a room may not be empty");
        assert_eq!(
            "x".repeat(129).parse::<Key>().unwrap_err().to_string(),
            "a key has at most 128 bytes, this has 129"
        );
    }
}
