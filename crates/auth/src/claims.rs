//! Reading what needs care: objects, times and audiences.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The end of the year 9999. Whatever is later is no end at all, and mostly milliseconds by mistake.
const LATEST: u64 = 253_402_300_799;

/// Reads a JSON object with each name once. A list, which serde would take for a struct as well, isn't one.
pub(crate) fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let json = json.trim_ascii_start();
    if json.first() == Some(&b'{') { serde_json::from_slice(json).ok() } else { None }
}

/// A claim that should be a time isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotATime;

/// A whole number of seconds since 1970: an integer, or a float without a fraction (1.5e9).
///
/// Strings, negative numbers, and what is beyond [`LATEST`] are refused, so that nothing wraps around or never ends.
pub(crate) fn whole_seconds(value: &Value) -> Result<u64, NotATime> {
    let seconds = seconds(value)?;
    if seconds.fract() == 0.0 { Ok(seconds as u64) } else { Err(NotATime) }
}

/// Seconds since 1970, with a fraction if there is one.
pub(crate) fn seconds(value: &Value) -> Result<f64, NotATime> {
    // Exact: floats hold every integer up to the latest time.
    let seconds = value.as_f64().ok_or(NotATime)?;
    if (0.0..=LATEST as f64).contains(&seconds) { Ok(seconds) } else { Err(NotATime) }
}

/// Whether `aud` (a string or a list of them, RFC 7519 §4.1.3) names this audience.
pub(crate) fn is_for(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, NotATime> {
        whole_seconds(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn times_are_whole_seconds_up_to_the_year_9999() {
        for (text, expected) in [
            ("0", 0),
            ("1700000000", 1_700_000_000),
            ("1.5e9", 1_500_000_000),
            ("1700000000.0", 1_700_000_000),
            ("253402300799", LATEST),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for text in [
            "\"1700000000\"",
            "1e30",
            "-1",
            "null",
            "[]",
            "{}",
            "true",
            "1700000000.5",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "253402300800",
            "1795625000000",
        ] {
            assert_eq!(read(text), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn an_audience_is_one_or_among_several() {
        let aud = |text: &str| is_for(Some(&serde_json::from_str(text).unwrap()), "ringway");
        assert!(aud(r#""ringway""#) && aud(r#"["a","ringway"]"#));
        for other in
            [r#""ringway-ticket""#, r#""Ringway""#, "[]", r#"[["ringway"]]"#, "7", "null", r#"{"ringway":1}"#]
        {
            assert!(!aud(other), "{other}");
        }
        assert!(!is_for(None, "ringway"));
    }
}
