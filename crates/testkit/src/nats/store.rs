//! A server's volume: copied, and put back to what it was.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::{NatsServer, STORE};

/// A copy of what JetStream had on disk.
#[derive(Debug)]
pub struct KeptStore(TempDir);

impl NatsServer {
    /// Copies what JetStream has on disk, as a snapshot of the volume does; the server is restarted for that, so that the
    /// copy is whole.
    ///
    /// # Panics
    /// The server doesn't start again, or files can't be copied.
    pub fn keep_store(&mut self) -> KeptStore {
        self.stop();
        let kept = TempDir::with_prefix("ringway-nats-kept-").expect("a temporary directory");
        copy(&self.files.path().join(STORE), kept.path()).expect("JetStream's files are copied");
        self.restart();
        KeptStore(kept)
    }

    /// Puts a volume back to what it was, and starts the server on it.
    ///
    /// # Panics
    /// As [`keep_store`](Self::keep_store).
    pub fn put_store_back(&mut self, kept: &KeptStore) {
        self.lose_store();
        copy(kept.0.path(), &self.files.path().join(STORE)).expect("JetStream's files are put back");
        self.restart();
    }

    /// The server is killed and its volume is empty. [`restart`](Self::restart) starts it on that.
    ///
    /// # Panics
    /// Files can't be removed.
    pub fn lose_store(&mut self) {
        self.kill();
        let store = self.files.path().join(STORE);
        match fs::remove_dir_all(&store) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", store.display()),
            _ => {}
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
