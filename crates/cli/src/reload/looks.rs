//! When the files of a configuration have changed for good: what is being written isn't read.

use ringway_config::Files;

/// The files as they were read, and as they were seen since.
#[derive(Debug)]
pub(crate) struct Looks {
    read: Files,
    seen: Option<Files>,
}

impl Looks {
    pub(crate) fn new(read: Files) -> Self {
        Self { read, seen: None }
    }

    /// They were read, looking like this.
    pub(crate) fn read(&mut self, files: Files) {
        *self = Self::new(files);
    }

    /// What to look at.
    pub(crate) fn files(&self) -> Files {
        self.read.clone()
    }

    /// Whether it is time to read again: they look like this now, like that at the last look too, and otherwise when they
    /// were read.
    pub(crate) fn settled(&mut self, now: Files) -> bool {
        if now == self.read {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() == Some(&now) {
            return true;
        }
        self.seen = Some(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringway_config::{Config, Environment};

    use super::*;

    fn read(file: &Path) -> Files {
        Config::load_noting(file, &Environment::new(), &|_, _| Ok(())).files
    }

    #[test]
    fn what_stands_still_is_read_once_and_what_is_being_written_isnt() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ringway.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("a");
        let mut looks = Looks::new(read(&file));
        let look = |looks: &mut Looks| {
            let now = looks.files().now();
            looks.settled(now)
        };
        assert!(!look(&mut looks) && !look(&mut looks), "nothing has changed");
        for text in ["ab", "abc", "abcd"] {
            write(text);
            assert!(!look(&mut looks), "it is being written: {text}");
        }
        assert!(look(&mut looks), "it stands still");
        looks.read(read(&file));
        assert!(!look(&mut looks) && !look(&mut looks), "it was read");
        write("x");
        assert!(!look(&mut looks));
        looks.read(read(&file));
        assert!(!look(&mut looks) && !look(&mut looks), "it was read for another reason");
    }
}
