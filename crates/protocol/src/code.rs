//! The registry of codes: what a refusal is called, in `err` and `left` frames, in HTTP problems,
//! in metric labels and as anchors of `docs/protocol.md`.
//!
//! A code is for programs; what is said to people beside it (a message) may change at any time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest code of an application's own, in bytes, with its `app:`.
pub const APP_MAX: usize = 68;

/// A text isn't a code of this release's registry, nor an application's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a code")]
pub struct UnknownCode;

macro_rules! codes {
    ($($name:ident $text:literal $status:literal $meaning:literal)*) => {
        /// Why something was refused or ended.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $(
                #[doc = concat!("`", $text, "`: ", $meaning)]
                $name,
            )*
            /// An application's own: `app:` and 1 to 64 of `A-Z a-z 0-9 _ . -`. The whole text.
            App(Arc<str>),
            /// A code of another release, only ever read ([`Code::lenient`]), never sent on purpose.
            Other(Arc<str>),
        }

        impl Code {
            /// Every code of the registry, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The code as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Code::$name => $text,)*
                    Code::App(text) | Code::Other(text) => text,
                }
            }

            /// The status of an HTTP problem with this code.
            pub fn http_status(&self) -> u16 {
                match self {
                    $(Code::$name => $status,)*
                    Code::App(_) => 422,
                    Code::Other(_) => 500,
                }
            }

            /// What the code means, in one line, for people.
            pub fn meaning(&self) -> &'static str {
                match self {
                    $(Code::$name => $meaning,)*
                    Code::App(_) => "the application refused, with a code of its own",
                    Code::Other(_) => "a code that this release doesn't know",
                }
            }

            fn find(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Code::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    BadFrame "bad_frame" 400 "JSON or MessagePack, but not a frame: a field is missing, too long or of the wrong kind"
    UnknownFrame "unknown_frame" 400 "a frame of a type that the server doesn't know"
    BadRequest "bad_request" 400 "a request that can't be understood: a parameter missing, given twice or malformed"
    NotFound "not_found" 404 "there is nothing of that name"
    BadOrigin "bad_origin" 403 "the page's origin isn't among the tenant's"
    UnknownTenant "unknown_tenant" 404 "no such tenant"
    BadRoom "bad_room" 400 "not a room's name: empty, over 255 bytes, with control characters or not UTF-8"
    BadPayload "bad_payload" 400 "a payload that breaks the payload rules"
    BadSince "bad_since" 400 "a `since` that can't be read"
    TooBig "too_big" 413 "a body or a field is bigger than allowed"
    AlreadyJoined "already_joined" 409 "the connection has joined that room already"
    NotJoined "not_joined" 409 "the connection isn't a member of that room"
    Forbidden "forbidden" 403 "the token grants no such right in that room"
    NoPresence "no_presence" 404 "the room keeps no presence"
    NoHistory "no_history" 404 "the room keeps no history"
    LimitConnections "limit_connections" 503 "no further connection is allowed at the moment"
    LimitRooms "limit_rooms" 429 "the connection has joined as many rooms as it may"
    LimitRate "limit_rate" 429 "more requests or publications than allowed in this time"
    Unavailable "unavailable" 503 "what is needed for it can't be reached; nothing was done"
    StorageFull "storage_full" 507 "the room's store is full and configured to refuse"
    OutcomeUnknown "outcome_unknown" 504 "it may have been done or not; after `retry`, ask again with the same `mid`"
    HookDenied "hook_denied" 403 "the application's hook said no"
    HookFailed "hook_failed" 502 "the application's hook gave no usable answer"
    NoWorker "no_worker" 503 "nobody answers calls of this method"
    CallFailed "call_failed" 502 "the application failed to answer the call"
    TokenInvalid "token_invalid" 401 "the token is missing, malformed, or not signed by a known key"
    Expired "expired" 401 "the token has expired"
    Revoked "revoked" 401 "the token was revoked"
    Kicked "kicked" 403 "the application ended the membership or the connection"
    RoomClosed "room_closed" 410 "the room was closed"
    Internal "internal" 500 "a fault in Ringway"
}

impl Code {
    /// A code of an application's own from the name that the application gave, without `app:`.
    ///
    /// # Errors
    /// Where the name isn't 1 to 64 of `A-Z a-z 0-9 _ . -`.
    pub fn app(name: &str) -> Result<Self, UnknownCode> {
        format!("app:{name}").parse()
    }

    /// Reads a code from a peer that may be of another release: what isn't known becomes
    /// [`Code::Other`].
    pub fn lenient(text: &str) -> Self {
        text.parse().unwrap_or_else(|UnknownCode| Self::Other(text.into()))
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        if let Some(code) = Self::find(text) {
            return Ok(code);
        }
        let name = text.strip_prefix("app:").ok_or(UnknownCode)?;
        let fits = !name.is_empty()
            && text.len() <= APP_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if fits { Ok(Self::App(text.into())) } else { Err(UnknownCode) }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse().as_ref(), Ok(code));
            assert!((400..600).contains(&code.http_status()), "{code}");
            assert!(!code.meaning().is_empty());
        }
        assert_eq!(Code::ALL.len(), 31);
    }

    #[test]
    fn applications_have_their_own() {
        assert_eq!(Code::app("not_a_member").map(|code| code.to_string()), Ok("app:not_a_member".into()));
        let long = "x".repeat(65);
        for bad in ["", "a b", "é", "a\n", &long] {
            assert_eq!(Code::app(bad), Err(UnknownCode), "{bad}");
        }
        assert_eq!("nothing".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn later_codes_are_kept_as_they_came() {
        assert_eq!(Code::lenient("of_tomorrow"), Code::Other("of_tomorrow".into()));
        assert_eq!(Code::lenient("kicked"), Code::Kicked);
    }
}
