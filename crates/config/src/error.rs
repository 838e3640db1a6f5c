//! What is wrong with a configuration, said so that the reader can mend it: place, key, and what would be right.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file; lines and columns are counted from 1, columns in characters.
    File {
        /// The file, as it was named.
        file: Arc<PathBuf>,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// In an environment variable of this name.
    Environment(Arc<str>),
    /// Nowhere: a default, or something that is missing.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{}:{line}:{column}: ", file.display()),
            Place::Environment(name) => write!(f, "environment variable {name}: "),
            Place::Nowhere => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The key's path, such as `node.listen` or `classes[0].rooms`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong, and what would be right. Never holds a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that is refused whole, with everything that is wrong with it.
///
/// Its `Display` is one line for each problem. A process that meets one at its start ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// Never empty; in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn one(key: &str, message: impl Into<String>) -> Self {
        ConfigError {
            problems: vec![Problem { place: Place::Nowhere, key: key.to_owned(), message: message.into() }],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
