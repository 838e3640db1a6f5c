//! Which web pages may speak to a tenant, and what a browser is told about it (CORS).
//!
//! An `Origin` header is what a browser says about the page; nobody else sends one. So a request without it
//! passes, one with it must name one of the tenant's `origins`, and one with two isn't a browser's at all.
//! How origins are compared is the configuration's business ([`Origins`]); a tenant that names none admits every
//! page, since tokens authenticate here, never cookies: a foreign page has nothing to ride on.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};
use ringway_config::Origins;

/// Request headers that pages may send.
const REQUEST_HEADERS: &str = "authorization, content-type, traceparent, ringway-event, ringway-key, \
                               ringway-message-id, ringway-store, ringway-exclude, ringway-session";
/// How long a browser may remember a preflight, in seconds: what Chromium takes at most.
const MAX_AGE: &str = "7200";

/// What a request says about the page that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page<'a> {
    /// No header: not a browser.
    None,
    /// One header; not necessarily text, nor an origin.
    Named(&'a HeaderValue),
    /// Several headers: no browser sends that.
    Several,
}

impl<'a> Page<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::Named(one),
            _ => Self::Several,
        }
    }

    /// Whether a request from this page may pass.
    pub(crate) fn is_admitted(self, origins: &Origins) -> bool {
        match self {
            Self::None => true,
            Self::Several => false,
            Self::Named(origin) => match origin.to_str() {
                Ok(origin) => origins.allows(origin),
                // Not a text, so none of a list.
                Err(_) => matches!(origins, Origins::Every),
            },
        }
    }

    /// Lets an admitted page read the answer.
    pub(crate) fn allow(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Self::Named(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
    }

    /// Answers a preflight of an admitted page: it may send these methods.
    pub(crate) fn allow_preflight(self, headers: &mut HeaderMap, methods: &'static str) {
        self.allow(headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(origins: &Origins, lines: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ORIGIN, HeaderValue::from_bytes(line).expect("a header"));
        }
        Page::of(&headers).is_admitted(origins)
    }

    #[test]
    fn a_list_admits_what_it_names_and_what_is_no_browser() {
        let origins = Origins::Only(vec!["https://a.example".to_owned()]);
        for good in
            [&[] as &[&[u8]], &[b"https://a.example"], &[b"https://a.example:443"], &[b"HTTPS://A.Example"]]
        {
            assert!(admitted(&origins, good), "{good:?}");
        }
        for bad in [
            &[b"http://a.example" as &[u8]] as &[&[u8]],
            &[b"https://a.example.evil"],
            &[b"https://evil?https://a.example"],
            &[b"null"],
            &[b""],
            &["http://bücher.example".as_bytes()],
            &[b"http://b\xfccher.example"],
            &[b"https://a.example", b"https://a.example"],
            &[b"https://evil.example", b"https://a.example"],
        ] {
            assert!(!admitted(&origins, bad), "{bad:?}");
        }
    }

    #[test]
    fn without_a_list_every_page_passes_but_two_at_once() {
        for good in [&[] as &[&[u8]], &[b"https://b.example"], &[b"null"], &[b"http://b\xfccher.example"]] {
            assert!(admitted(&Origins::Every, good), "{good:?}");
        }
        assert!(!admitted(&Origins::Every, &[b"https://b.example", b"https://b.example"]));
    }
}
