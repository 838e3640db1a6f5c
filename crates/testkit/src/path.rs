//! Which path clients take through a gateway, where a test doesn't say it.
//!
//! `RINGWAY_TEST_PATH=relay` or `tunnel` chooses it for a whole run, so that one suite holds both to the same promises; else
//! it is the product's own.

use std::fmt;

/// Chooses the path of a run.
const VARIABLE: &str = "RINGWAY_TEST_PATH";

/// `[gateway] path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The gateway moves bytes; the node has the client.
    Tunnel,
    /// The gateway has the client.
    Relay,
}

impl Path {
    /// What was chosen for this run; none: nothing was.
    ///
    /// # Panics
    /// Something else was asked for: half a suite over the wrong path would pass unnoticed.
    pub fn chosen() -> Option<Self> {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("") => None,
            Ok("tunnel") => Some(Self::Tunnel),
            Ok("relay") => Some(Self::Relay),
            Ok(other) => panic!("{VARIABLE} is {other:?}, not \"relay\" or \"tunnel\""),
        }
    }

    /// As a configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
