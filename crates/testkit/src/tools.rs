//! Packages of the Python index that tests need, each in an environment of its own under `target/tools/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The client that the README's program stands on.
pub const WEBSOCKETS: &str = "websockets==15.0.1";

/// Why a tool isn't there, and what would help.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ToolUnavailable(pub(crate) String);

/// A Python interpreter that has the README program's one dependency, installed once.
///
/// # Errors
/// No Python 3 with `venv`, or the package can't be had.
pub fn python_with_websockets() -> Result<PathBuf, ToolUnavailable> {
    Ok(environment_with(WEBSOCKETS, |environment| environment.join("bin/python").exists())?
        .join("bin/python"))
}

/// The environment that has `package` (`name==version`), made where `is_whole` denies that it is there already. One
/// process at a time makes it.
pub(crate) fn environment_with(
    package: &str,
    is_whole: impl Fn(&Path) -> bool,
) -> Result<PathBuf, ToolUnavailable> {
    let tools = target_directory().join("tools");
    let environment = tools.join(package.replace("==", "-"));
    let mark = environment.join("installed");
    fs::create_dir_all(&tools).map_err(failed("can't make target/tools"))?;
    let lock = File::create(environment.with_extension("lock")).map_err(failed("can't make a lock file"))?;
    lock.lock().map_err(failed("can't lock target/tools"))?;
    if mark.exists() && is_whole(&environment) {
        return Ok(environment);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    run(Command::new(environment.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        package,
    ]))?;
    if !is_whole(&environment) {
        return Err(ToolUnavailable(format!("{package} was installed, but is not whole")));
    }
    fs::write(&mark, package).map_err(failed("can't mark an environment as whole"))?;
    Ok(environment)
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> ToolUnavailable {
    move |error| ToolUnavailable(format!("{what}: {error}"))
}

fn run(command: &mut Command) -> Result<(), ToolUnavailable> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(ToolUnavailable(format!(
            "{command:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) => Err(ToolUnavailable(format!("{command:?} didn't start: {error}"))),
    }
}

/// The build's own directory: cargo marks it, and this program lies in it.
pub(crate) fn target_directory() -> PathBuf {
    let marked = |directory: &Path| directory.join("CACHEDIR.TAG").exists();
    let program = std::env::current_exe().unwrap_or_default();
    let found = program.ancestors().skip(1).find(|directory| marked(directory)).map(Path::to_owned);
    found.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
