//! The server's way to write a time: RFC 3339, in UTC, with as many digits behind the point as it needs.

use std::time::{Duration, UNIX_EPOCH};

/// Milliseconds since 1970, rounded down; none: it isn't such a time, or is before 1970.
pub(super) fn millis(text: &str) -> Option<u64> {
    // Behind a point there are digits, which the library doesn't insist on.
    let time = humantime::parse_rfc3339(text).ok().filter(|_| !text.ends_with(".Z"))?;
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Milliseconds since 1970 as the server reads them.
pub(super) fn text(millis: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1972-02-29T00:00:00Z", 68_169_600_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2026-11-26T06:50:01.5Z", 1_795_675_801_500),
            ("2026-11-26T06:50:01.123999999Z", 1_795_675_801_123),
            ("2026-11-26T06:50:01.05Z", 1_795_675_801_050),
        ] {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0_u64..4_102_444_800_000) {
            prop_assert_eq!(millis(&text(ms)), Some(ms));
        }
    }

    #[test]
    fn times_are_written_as_calendars_have_them() {
        assert_eq!(text(951_825_599_999), "2000-02-29T11:59:59.999Z");
        assert_eq!(text(1_795_675_801_050), "2026-11-26T06:50:01.050Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-11-26T06:50:01",
            "2026-11-26T06:50:01+01:00",
            "2026-11-26T06:50:01.Z",
            "2026-11-26T06:50:01.1x Z",
            "2026-13-26T06:50:01Z",
            "2026-11-26 06:50:01Z",
            "2026-11-26T06:50:é1Z",
            "+026-11-26T06:50:01Z",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
