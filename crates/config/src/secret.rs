//! Secrets: named by `file:` or `env:`, or written out; read once, never printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Place;
use crate::exact::digest;
use crate::files::Files;
use crate::read::{Leaf, Reader, Refusal};
use crate::value::{Kind, Node};

/// Bytes that no log, message or page shows. A clone shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes the bytes as they are.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Secret(bytes.into())
    }

    /// The bytes themselves: for signing and comparing, not for showing.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Leaf for Secret {
    fn wants() -> String {
        "a secret: \"file:PATH\", \"env:NAME\" or the secret itself".into()
    }

    fn parse(node: &Node, reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let text = match &node.kind {
            Kind::String(text) | Kind::Text(text) => text,
            // Not shown: it is a secret that was written without its quotes.
            _ => return Err(Refusal::Whole(format!("expected {}, as a string", Self::wants()))),
        };
        look_up(text, &node.place, reader).map(|bytes| Secret(bytes.into()))
    }

    fn show(&self) -> String {
        "redacted".into()
    }

    fn identity(&self) -> String {
        digest(self.bytes())
    }
}

/// The bytes of a `file:` or `env:` reference, or of the text itself.
pub(crate) fn look_up(text: &str, place: &Place, reader: &mut Reader<'_>) -> Result<Vec<u8>, Refusal> {
    if let Some(path) = text.strip_prefix("file:") {
        read_key_file(&beside(path, place), reader.files)
    } else if let Some(name) = text.strip_prefix("env:") {
        match reader.env.get(name) {
            Some(value) if !value.is_empty() => Ok(value.clone().into_bytes()),
            Some(_) => Err(Refusal::Whole(format!("the environment variable {name} is empty"))),
            None => Err(Refusal::Whole(format!("the environment variable {name} isn't set"))),
        }
    } else if text.is_empty() {
        Err(Refusal::Whole("the secret is empty".into()))
    } else {
        Ok(text.as_bytes().to_vec())
    }
}

/// A file's bytes less one trailing line end: what an editor or `echo` puts there belongs to no key.
pub(crate) fn read_key_file(path: &Path, files: &mut Files) -> Result<Vec<u8>, Refusal> {
    files.note(path);
    let mut bytes = std::fs::read(path)
        .map_err(|error| Refusal::Whole(format!("can't read {}: {error}", path.display())))?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Refusal::Whole(format!("{} is empty", path.display())));
    }
    Ok(bytes)
}

/// A path that a configuration file names is relative to that file, one from the environment to the process.
pub(crate) fn beside(path: &str, place: &Place) -> PathBuf {
    match place {
        Place::File { file, .. } => {
            file.parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
        }
        Place::Environment(_) | Place::Nowhere => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new(b"hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret.show(), "redacted");
        assert_eq!(secret.bytes(), b"hunter2");
    }

    #[test]
    fn a_key_is_the_files_bytes_less_one_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for (written, key) in [("k", "k"), ("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("k \n", "k ")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(read_key_file(&path, &mut Files::default()).unwrap(), key.as_bytes(), "{written:?}");
        }
    }
}
