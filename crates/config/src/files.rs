//! Which files a configuration was read from, and how they looked then: whoever looks again sees whether they have changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::load::is_tenant_file;

/// The file, those of `tenants_dir`, and those of keys and secrets, each as it looked before it was read: whatever is
/// written to it later, even while it is read, makes it look different. Files that are missing are among them.
///
/// Links are followed, so that a file is another one as soon as anything on the way to it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Look>);

/// How a path looked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// Which file it is, its length, and when it and what is said of it were changed.
    File { device: u64, inode: u64, length: u64, modified: (i64, i64), changed: (i64, i64) },
    /// The tenants' files in it. Their number and names alone: each is looked at for itself.
    Directory(Vec<PathBuf>),
    /// It can't be looked at.
    Hidden(std::io::ErrorKind),
}

impl Files {
    /// To be called before the path is read; of several times the first counts.
    pub(crate) fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Look::at(path));
        }
    }

    /// The same files as they look now. Blocks for as long as the file system does.
    #[must_use]
    pub fn now(&self) -> Files {
        Files(self.0.keys().map(|path| (path.clone(), Look::at(path))).collect())
    }

    /// Their paths, sorted.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

impl Look {
    fn at(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => tenants_files(path).map_or_else(Look::hidden, Look::Directory),
            Ok(found) => Look::File {
                device: found.dev(),
                inode: found.ino(),
                length: found.len(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            },
            Err(error) => Look::hidden(error),
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is what a failed call gives")]
    fn hidden(error: std::io::Error) -> Self {
        Look::Hidden(error.kind())
    }
}

/// The tenants' files of a directory, sorted.
pub(crate) fn tenants_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> =
        entries.iter().map(std::fs::DirEntry::path).filter(|path| is_tenant_file(path)).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noted(paths: &[&Path]) -> Files {
        let mut files = Files::default();
        paths.iter().for_each(|path| files.note(path));
        files
    }

    #[test]
    fn a_change_is_seen_however_it_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let see = |what: &str, change: &dyn Fn()| {
            let before = noted(&[&path]);
            assert_eq!(before.now(), before, "before {what}");
            change();
            let after = before.now();
            assert_ne!(after, before, "{what}");
            assert_eq!(after.now(), after, "after {what}");
        };
        see("it is there", &|| std::fs::write(&path, "one").unwrap());
        see("it grows", &|| std::fs::write(&path, "three").unwrap());
        see("another takes its name", &|| {
            let other = directory.path().join("b");
            std::fs::write(&other, "seven").unwrap();
            std::fs::rename(other, &path).unwrap();
        });
        see("it is gone", &|| std::fs::remove_file(&path).unwrap());
    }

    #[test]
    fn a_directory_behind_links_is_another_when_a_link_is() {
        // As Kubernetes mounts a ConfigMap: name → ..data/name, ..data → a directory for each version.
        let mount = tempfile::tempdir().unwrap();
        for (version, text) in [("..1", "same"), ("..2", "same")] {
            std::fs::create_dir(mount.path().join(version)).unwrap();
            std::fs::write(mount.path().join(version).join("acme.toml"), text).unwrap();
        }
        let link = |to: &str| {
            let new = mount.path().join("..new");
            std::os::unix::fs::symlink(to, &new).unwrap();
            std::fs::rename(new, mount.path().join("..data")).unwrap();
        };
        link("..1");
        std::os::unix::fs::symlink("..data/acme.toml", mount.path().join("acme.toml")).unwrap();
        let before = noted(&[&mount.path().join("acme.toml")]);
        assert_eq!(before.now(), before);
        link("..2");
        assert_ne!(before.now(), before);
    }

    #[test]
    fn of_a_directory_the_tenants_files_count_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let before = noted(&[directory.path()]);
        for name in ["notes.txt", ".acme.toml.swp", ".acme.toml", "acme.toml~"] {
            std::fs::write(directory.path().join(name), "").unwrap();
            assert_eq!(before.now(), before, "{name}");
        }
        std::fs::write(directory.path().join("acme.toml"), "").unwrap();
        assert_ne!(before.now(), before);
    }
}
