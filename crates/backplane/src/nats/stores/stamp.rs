//! The server's way to write a time: RFC 3339, in UTC, with as many digits behind the point as it needs.

/// Milliseconds since 1970, rounded down; none: it isn't such a time, or is before 1970.
pub(super) fn millis(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    // `2026-08-21T10:11:12[.123456789]Z`
    if bytes.len() < 20 || !text.is_ascii() || bytes.last() != Some(&b'Z') {
        return None;
    }
    for (at, sign) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if bytes[at] != sign {
            return None;
        }
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = &text[from..to];
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = &text[19..text.len() - 1];
    let millis = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<3}")[..3].parse::<u64>().ok()?
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 + millis)
}

/// Milliseconds since 1970 as the server reads them.
pub(super) fn text(millis: u64) -> String {
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The day that is so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so that the leap day is a year's last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let (era, year) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year;
    days.checked_sub(719_468)
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
