//! Where things are: addresses to listen at and to be reached at, URLs, paths. Nothing is looked up or opened.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::exact::digest;
use crate::leaf::text;
use crate::read::{Leaf, Reader, Refusal};
use crate::secret::beside;
use crate::value::Node;

impl Leaf for SocketAddr {
    fn wants() -> String {
        "an IP address and a port such as \"0.0.0.0:8080\" or \"[::]:8080\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        let text = text(node)?;
        text.parse().map_err(|_| {
            let name = text.rsplit_once(':').is_some_and(|(host, port)| {
                port.parse::<u16>().is_ok()
                    && !host.contains(':')
                    && host.chars().any(|c| c.is_ascii_alphabetic())
            });
            let why = if name { " (a host's name isn't looked up here)" } else { "" };
            Refusal::Value(format!("{text:?} isn't one{why}"))
        })
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A host, by name or address, and a port: where others reach something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host as it goes into an address: an IPv6 address stands in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// # Errors
    /// Where it isn't `host:port`, or the port is 0.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} isn't one");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if port == 0 {
            return Err(format!("{text:?} has port 0"));
        }
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            }
        };
        if good { Ok(HostPort { host: host.to_owned(), port }) } else { Err(wrong()) }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        HostPort { host, port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Leaf for HostPort {
    fn wants() -> String {
        "a host and a port such as \"10.0.0.5:7001\" or \"node-a.internal:7001\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        HostPort::parse(&text(node)?).map_err(Refusal::Value)
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Leaf for Url {
    fn wants() -> String {
        "a URL".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        // The text isn't repeated: it may hold a password.
        Url::parse(&text(node)?).map_err(|error| Refusal::Value(error.to_string()))
    }

    fn show(&self) -> String {
        format!("\"{}\"", redacted(self))
    }

    fn identity(&self) -> String {
        digest(self.as_str().as_bytes())
    }
}

/// A URL without its user and password.
pub(crate) fn redacted(url: &Url) -> Url {
    let mut url = url.clone();
    // Neither fails where there was something to take away.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

impl Leaf for PathBuf {
    fn wants() -> String {
        "a path".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        Ok(beside(&text(node)?, &node.place))
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.display())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_host_and_port_is_what_others_reach() {
        for good in ["10.0.0.5:7001", "node-a.internal:1", "[::1]:80", "localhost:65535"] {
            assert_eq!(HostPort::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "a", ":1", "a:0", "a:65536", "::1:80", "a b:1", "[x]:1", "http://a:1"] {
            assert!(HostPort::parse(bad).is_err(), "{bad}");
        }
    }
}
