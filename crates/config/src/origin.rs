//! Which pages may connect: a browser's `Origin` against a tenant's list. Compared as RFC 6454 has it: scheme, host and
//! port, letters in either case, a scheme's own port left out or not; nothing like a prefix, nothing guessed.

use url::{Origin as UrlOrigin, Url};

use crate::leaf::text;
use crate::read::{Leaf, Reader, Refusal};
use crate::value::Node;

/// One page's origin, or every page's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `*`.
    Every,
    /// Scheme, host and port: lower case, the scheme's own port left out.
    Exactly(String),
}

impl Origin {
    /// # Errors
    /// Where it isn't `*` or a scheme, a host and perhaps a port.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Origin::Every);
        }
        let url = Url::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{text:?} has more than a scheme, a host and a port"));
        }
        match (url.origin(), url.host_str()) {
            (origin @ UrlOrigin::Tuple(..), _) => Ok(Origin::Exactly(origin.ascii_serialization())),
            // Schemes of apps, such as capacitor://localhost, for which RFC 6454 knows no origin.
            (UrlOrigin::Opaque(_), Some(host)) if !host.is_empty() => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                Ok(Origin::Exactly(format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase())))
            }
            _ => Err(format!("{text:?} has no host")),
        }
    }
}

impl Leaf for Origin {
    fn wants() -> String {
        "an origin such as \"https://app.example\", or \"*\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        Origin::parse(&text(node)?).map_err(Refusal::Value)
    }

    fn show(&self) -> String {
        match self {
            Origin::Every => "\"*\"".into(),
            Origin::Exactly(origin) => format!("{origin:?}"),
        }
    }
}

/// The pages that may connect to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Every,
    /// These alone; none where it is empty.
    Only(Vec<String>),
}

impl Origins {
    pub(crate) fn new(list: Option<&[Origin]>) -> Self {
        let Some(list) = list else { return Origins::Every };
        let mut only = Vec::with_capacity(list.len());
        for origin in list {
            match origin {
                Origin::Every => return Origins::Every,
                Origin::Exactly(origin) => only.push(origin.clone()),
            }
        }
        Origins::Only(only)
    }

    /// Whether a page with this `Origin` header may connect. A request without one isn't a browser's, and passes
    /// before this is asked; one with two is refused before.
    #[must_use]
    pub fn allows(&self, header: &str) -> bool {
        match self {
            Origins::Every => true,
            Origins::Only(list) => canonical(header).is_some_and(|origin| list.contains(&origin)),
        }
    }

    /// The header as `Access-Control-Allow-Origin` takes it: back as it came, where it is allowed.
    #[must_use]
    pub fn echo<'a>(&self, header: &'a str) -> Option<&'a str> {
        self.allows(header).then_some(header)
    }
}

/// What a browser sent, in the form of the list. Stricter than a URL's parser, which mends what isn't right.
fn canonical(header: &str) -> Option<String> {
    let lower = header.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://")?;
    let fine =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'@' | b',');
    if scheme.is_empty() || authority.is_empty() || !authority.bytes().all(fine) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand within its brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let whole_host = !host.is_empty() && (host.starts_with('[') == host.ends_with(']'));
    if !whole_host || (!host.starts_with('[') && host.contains(':')) {
        return None;
    }
    match (scheme, port) {
        (_, None) | ("http", Some("80")) | ("https", Some("443")) => Some(format!("{scheme}://{host}")),
        (_, Some(port)) => {
            let number: u16 = port.parse().ok()?;
            // As browsers write it: no sign, no leading zero.
            (number.to_string() == port).then(|| format!("{scheme}://{host}:{port}"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn only(list: &[&str]) -> Origins {
        let list: Vec<Origin> = list.iter().map(|text| Origin::parse(text).unwrap()).collect();
        Origins::new(Some(&list))
    }

    #[test]
    fn only_exact_equivalents_pass() {
        let origins = only(&[
            "https://a.example",
            "http://b.example:8080",
            "http://[::1]:3000",
            "https://bücher.example",
        ]);
        for good in [
            "https://a.example",
            "https://a.example:443",
            "HTTPS://A.Example",
            "http://b.example:8080",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
        ] {
            assert!(origins.allows(good), "{good}");
            assert_eq!(origins.echo(good), Some(good));
        }
        for bad in [
            "http://a.example",
            "https://a.example:8443",
            "https://a.example.evil",
            "https://evil?https://a.example",
            "https://evil/https://a.example",
            "https://evil@a.example",
            "https://a.example/",
            "https://a.example.",
            "https://a.example, https://a.example",
            "https:/a.example",
            "a.example",
            "null",
            "",
            "http://bücher.example",
            "https://a.example:80:443",
        ] {
            assert!(!origins.allows(bad), "{bad}");
        }
    }

    #[test]
    fn a_star_and_no_list_are_every_page_and_an_empty_list_is_none() {
        assert!(only(&["https://a.example", "*"]).allows("null"));
        assert!(Origins::new(None).allows("https://b.example"));
        assert!(!only(&[]).allows("https://b.example"));
    }

    #[test]
    fn an_origin_is_no_more_than_scheme_host_and_port() {
        for bad in [
            "a.example",
            "https://a.example/app",
            "https://u@a.example",
            "https://a.example?x",
            "https://",
            "data:x",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Origin::parse("HTTPS://A.Example:443/"), Ok(Origin::Exactly("https://a.example".into())));
        assert_eq!(
            Origin::parse("capacitor://localhost"),
            Ok(Origin::Exactly("capacitor://localhost".into()))
        );
    }
}
