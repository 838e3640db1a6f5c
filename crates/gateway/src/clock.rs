//! The time of day, where a token, a ticket or a publication needs it.

use std::time::{Duration, SystemTime};

fn since_1970() -> Duration {
    // A clock before 1970 makes every token valid and every ticket old; nothing better can be done with it.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    since_1970().as_secs()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}
