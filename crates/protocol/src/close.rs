//! How a WebSocket ends: close codes, their reasons, and what a client does next.
//!
//! A reason is at most 123 bytes (RFC 6455 §5.5). Ringway's is a code of the registry or a fixed
//! phrase, and may end in a hint, ` retry=MS`: come back after that many milliseconds at the
//! earliest.

use std::fmt;

use crate::code::Code;

/// Longest reason of a close frame, in bytes (RFC 6455 §5.5: 125 less the code).
pub const REASON_MAX: usize = 123;

/// The reason of 1008 for a member whose queue was full.
pub const SLOW_CONSUMER: &str = "Slow consumer";
/// The reason of 1008 for a member whose socket took nothing for too long.
pub const SEND_TIMEOUT: &str = "Send timeout";

/// A close code as it stands in a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Asked for.
    pub const NORMAL: Self = Self(1000);
    /// The other side goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The WebSocket protocol was violated.
    pub const PROTOCOL: Self = Self(1002);
    /// Text where binary was due, or the other way round.
    pub const WRONG_KIND: Self = Self(1003);
    /// Text that isn't UTF-8.
    pub const BAD_UTF8: Self = Self(1007);
    /// [`SLOW_CONSUMER`] or [`SEND_TIMEOUT`].
    pub const POLICY: Self = Self(1008);
    /// A frame over the limit (64 KiB by default).
    pub const TOO_BIG: Self = Self(1009);
    /// A fault in Ringway.
    pub const INTERNAL: Self = Self(1011);
    /// The node restarts or drains.
    pub const RESTART: Self = Self(1012);
    /// Overloaded, or no further connection allowed.
    pub const TRY_LATER: Self = Self(1013);
    /// A message that isn't JSON, or isn't MessagePack, at all.
    pub const UNREADABLE: Self = Self(4000);
    /// The token is missing, invalid, expired or revoked.
    pub const TOKEN: Self = Self(4401);
    /// Origin, user or tenant not allowed.
    pub const FORBIDDEN: Self = Self(4403);
    /// No such tenant.
    pub const UNKNOWN_TENANT: Self = Self(4404);
    /// Replaced by a later connection of its own session.
    pub const REPLACED: Self = Self(4409);
    /// Ended by the application.
    pub const ENDED: Self = Self(4410);

    /// What a client does after a close with this code.
    pub fn advice(self) -> Advice {
        advice(self)
    }

    /// Whether the code may stand in a close frame (RFC 6455 §7.4; 1004 to 1006 and 1015 never do).
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a client does after its connection was closed. Coming back always means with back-off:
/// full jitter from 0.5 s to 20 s, begun anew after 30 s of standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// It was asked for: done.
    Done,
    /// Coming back would end the same way.
    Stop,
    /// Come back, but only with a new token.
    NewToken,
    /// Come back and resume.
    ComeBack,
    /// Come back and resume, but don't send again what was too big.
    ComeBackWithoutIt,
    /// Come back with back-off, after the reason's hint where there is one.
    BackOff,
}

/// What a client does after a close with `code`. Codes that aren't named: 4000 to 4499 stop, all
/// else (1006, no close frame at all, included) come back.
pub fn advice(code: CloseCode) -> Advice {
    match code {
        CloseCode::NORMAL => Advice::Done,
        CloseCode::PROTOCOL | CloseCode::WRONG_KIND | CloseCode::BAD_UTF8 => Advice::Stop,
        CloseCode::TOO_BIG => Advice::ComeBackWithoutIt,
        CloseCode::INTERNAL | CloseCode::RESTART | CloseCode::TRY_LATER => Advice::BackOff,
        CloseCode::TOKEN => Advice::NewToken,
        CloseCode(4000..=4499) => Advice::Stop,
        _ => Advice::ComeBack,
    }
}

/// The close code that ends a connection, or refuses one after its 101, for `code`.
pub fn for_code(code: &Code) -> CloseCode {
    match code {
        Code::TokenInvalid | Code::Expired | Code::Revoked => CloseCode::TOKEN,
        Code::BadOrigin | Code::Forbidden | Code::HookDenied | Code::App(_) => CloseCode::FORBIDDEN,
        Code::UnknownTenant => CloseCode::UNKNOWN_TENANT,
        Code::Kicked | Code::RoomClosed => CloseCode::ENDED,
        Code::TooBig => CloseCode::TOO_BIG,
        Code::LimitConnections | Code::LimitRate | Code::LimitRooms | Code::Unavailable => {
            CloseCode::TRY_LATER
        }
        _ => CloseCode::INTERNAL,
    }
}

/// A reason from what is to be said and the hint when to come back, in milliseconds. What is said
/// is cut where both together would be too long.
pub fn reason(said: &str, retry_ms: Option<u64>) -> String {
    let hint = retry_ms.map_or_else(String::new, |ms| format!(" retry={ms}"));
    let mut end = said.len().min(REASON_MAX - hint.len());
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hint}", &said[..end])
}

/// The hint in a reason: how many milliseconds to wait at least.
pub fn retry_hint(reason: &str) -> Option<u64> {
    reason.split(' ').find_map(|word| word.strip_prefix("retry="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_table() {
        for (code, wanted) in [
            (1000, Advice::Done),
            (1001, Advice::ComeBack),
            (1005, Advice::ComeBack),
            (1006, Advice::ComeBack),
            (1008, Advice::ComeBack),
            (1009, Advice::ComeBackWithoutIt),
            (1011, Advice::BackOff),
            (1012, Advice::BackOff),
            (1013, Advice::BackOff),
            (1002, Advice::Stop),
            (1007, Advice::Stop),
            (1003, Advice::Stop),
            (4000, Advice::Stop),
            (4401, Advice::NewToken),
            (4403, Advice::Stop),
            (4404, Advice::Stop),
            (4409, Advice::Stop),
            (4410, Advice::Stop),
            (4123, Advice::Stop),
            (4499, Advice::Stop),
            (4500, Advice::ComeBack),
            (3000, Advice::ComeBack),
        ] {
            assert_eq!(CloseCode(code).advice(), wanted, "{code}");
        }
    }

    #[test]
    fn every_refusal_has_a_close_code_that_may_be_sent() {
        for code in Code::ALL {
            assert!(for_code(code).may_be_sent(), "{code}");
        }
        for never in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!CloseCode(never).may_be_sent(), "{never}");
        }
    }

    #[test]
    fn reasons_fit_and_keep_their_hint() {
        assert_eq!(reason("limit_connections", Some(1_500)), "limit_connections retry=1500");
        assert_eq!(retry_hint("limit_connections retry=1500"), Some(1_500));
        assert_eq!(retry_hint("Slow consumer"), None);
        let long = reason(&"é".repeat(200), Some(u64::MAX));
        assert!(long.len() <= REASON_MAX);
        assert_eq!(retry_hint(&long), Some(u64::MAX));
        assert_eq!(reason("expired", None), "expired");
    }
}
