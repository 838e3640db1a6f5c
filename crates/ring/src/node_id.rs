//! What a node is called.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest node id, in bytes: a DNS label's length, since a host's name is the default.
const MAX_BYTES: usize = 63;

/// A node's name: 1 to 63 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit. Cheap to clone.
///
/// It is the node's place on the ring: a node that comes back under its old name gets its old slots back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

/// Why a text isn't a node id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// It is empty or too long.
    #[error("a node id has 1 to {MAX_BYTES} bytes, this one has {0}")]
    Length(usize),
    /// Its first character isn't a letter or digit.
    #[error("a node id begins with a letter or digit, not with {0:?}")]
    Start(char),
    /// A character that isn't allowed.
    #[error("a node id is made of A-Z a-z 0-9 . _ -, not of {0:?}")]
    Character(char),
}

impl NodeId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), NodeIdError> {
    if text.is_empty() || text.len() > MAX_BYTES {
        return Err(NodeIdError::Length(text.len()));
    }
    for (index, c) in text.chars().enumerate() {
        let inside = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match (index, inside) {
            (_, false) => return Err(NodeIdError::Character(c)),
            (0, true) if !c.is_ascii_alphanumeric() => return Err(NodeIdError::Start(c)),
            _ => {}
        }
    }
    Ok(())
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: &str) -> Result<Self, NodeIdError> {
        text.parse()
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<Self, NodeIdError> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.as_str().to_owned()
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_node_ids() {
        for good in ["a", "node-a", "N0de_1.example.net", "10.0.0.5", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (bad, error) in [
            ("", NodeIdError::Length(0)),
            (&*"x".repeat(64), NodeIdError::Length(64)),
            (".a", NodeIdError::Start('.')),
            ("-a", NodeIdError::Start('-')),
            ("a b", NodeIdError::Character(' ')),
            ("a*", NodeIdError::Character('*')),
            ("nodé", NodeIdError::Character('é')),
        ] {
            assert_eq!(bad.parse::<NodeId>(), Err(error));
        }
    }
}
