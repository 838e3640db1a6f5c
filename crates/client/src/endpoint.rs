//! Where a server is: one URL, from which the WebSocket's and those of the HTTP calls follow.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The path of the upgrade, where a URL names none.
const UPGRADE: &str = "/v1/ws";

/// A server's address: `http`, `https`, `ws` or `wss`, with a host, and a path only where the
/// upgrade isn't at `/v1/ws`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text isn't an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It can't be read as a URL, or has no host.
    #[error("{url:?} is not a URL: {why}")]
    NotAUrl {
        /// What was given.
        url: String,
        /// What the parser says.
        why: String,
    },
    /// A URL, but of another kind.
    #[error("a server's URL begins with http, https, ws or wss, not with {0}")]
    Scheme(String),
}

impl Endpoint {
    /// The URL of the upgrade, with these parameters.
    pub(crate) fn upgrade(&self, query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        let secure = matches!(url.scheme(), "https" | "wss");
        // Both kinds are "special" schemes, so that one can take the other's place.
        let _ = url.set_scheme(if secure { "wss" } else { "ws" });
        if url.path() == "/" {
            url.set_path(UPGRADE);
        }
        with_query(url, query)
    }

    /// The URL of an HTTP call, `/v1/…`, with these parameters.
    pub(crate) fn call(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        let secure = matches!(url.scheme(), "https" | "wss");
        let _ = url.set_scheme(if secure { "https" } else { "http" });
        url.set_path(path);
        url.set_query(None);
        with_query(url, query)
    }
}

fn with_query(mut url: Url, query: &[(&str, &str)]) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let not_a_url = |why: String| EndpointError::NotAUrl { url: text.to_owned(), why };
        let mut url = Url::parse(text).map_err(|error| not_a_url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(not_a_url("it names no host".to_owned()));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Without the query: a ticket in it is a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        url.set_query(None);
        f.pad(url.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_optional_and_any_of_four_schemes_will_do() {
        for (given, upgrade, call) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws", "http://127.0.0.1:8080/v1/locate"),
            ("ws://localhost:8080/", "ws://localhost:8080/v1/ws", "http://localhost:8080/v1/locate"),
            ("https://a.example", "wss://a.example/v1/ws", "https://a.example/v1/locate"),
            ("wss://a.example/v1/ws#x", "wss://a.example/v1/ws", "https://a.example/v1/locate"),
            ("ws://[::1]:8080/other", "ws://[::1]:8080/other", "http://[::1]:8080/v1/locate"),
        ] {
            let endpoint: Endpoint = given.parse().unwrap();
            assert_eq!(endpoint.upgrade(&[]).as_str(), upgrade);
            assert_eq!(endpoint.call("/v1/locate", &[]).as_str(), call);
        }
    }

    #[test]
    fn rooms_are_written_as_a_form_writes_them_and_what_was_there_stays() {
        let endpoint: Endpoint = "wss://a.example/v1/ws?ticket=t".parse().unwrap();
        let url = endpoint.upgrade(&[("room", "a b+c%2F&é"), ("since", "e-1:5:7")]);
        assert_eq!(
            url.as_str(),
            "wss://a.example/v1/ws?ticket=t&room=a+b%2Bc%252F%26%C3%A9&since=e-1%3A5%3A7"
        );
        assert_eq!(
            endpoint.call("/v1/messages", &[("room", "r")]).as_str(),
            "https://a.example/v1/messages?room=r"
        );
        assert_eq!(endpoint.to_string(), "wss://a.example/v1/ws");
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wrong() {
        assert!(
            matches!("ftp://a.example".parse::<Endpoint>(), Err(EndpointError::Scheme(scheme)) if scheme == "ftp")
        );
        for text in ["", "a.example", "http://", "/v1/ws", "ws:///x y"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?}");
        }
        assert!("localhost:8080".parse::<Endpoint>().is_err(), "a scheme called localhost");
    }
}
