//! Comma-separated header lists (RFC 9110 §5.6.1), over any number of header lines.

use http::header::{HeaderMap, HeaderName};

/// The tokens of a list, in order; `None` in place of an element that isn't a token. Empty
/// elements don't count.
pub(super) fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'h str>> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| {
            if element.iter().copied().all(is_token_byte) { std::str::from_utf8(element).ok() } else { None }
        })
}

/// Whether a list has a token, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).flatten().any(|found| found.eq_ignore_ascii_case(token))
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONNECTION, HeaderValue};

    #[test]
    fn lists_are_split_trimmed_and_joined_over_lines() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static(" keep-alive ,,\tUpgrade"));
        headers.append(CONNECTION, HeaderValue::from_static("a b, x"));
        let found: Vec<_> = tokens(&headers, &CONNECTION).collect();
        assert_eq!(found, [Some("keep-alive"), Some("Upgrade"), None, Some("x")]);
        assert!(has_token(&headers, &CONNECTION, "upgrade"));
        assert!(!has_token(&headers, &CONNECTION, "upgrades"));
    }
}
