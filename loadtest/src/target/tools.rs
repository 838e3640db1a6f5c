//! What alternatives need, installed once under `Ground.tools`, at the versions that `loadtest/baselines/` pins: Python
//! environments, npm packages, a Go program. What can't be had here isn't an error: the target is absent, and says why.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Ground;

/// Why a tool isn't there.
pub(super) type Missing = String;

/// The interpreter of an environment that has what `loadtest/baselines/python/<name>.txt` lists.
pub(super) fn python(ground: &Ground, name: &str) -> Result<PathBuf, Missing> {
    let list = baselines(ground).join("python").join(format!("{name}.txt"));
    let directory = installed(ground, &format!("python-{name}"), &list, |directory| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory))?;
        run(Command::new(directory.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--no-deps",
            ])
            .arg("-r")
            .arg(&list))
    })?;
    Ok(directory.join("bin/python"))
}

/// A directory with `node_modules`, as `loadtest/baselines/node/<name>/package-lock.json` has it.
pub(super) fn node(ground: &Ground, name: &str) -> Result<PathBuf, Missing> {
    let source = baselines(ground).join("node").join(name);
    let lock = source.join("package-lock.json");
    installed(ground, &format!("node-{name}"), &lock, |directory| {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), directory.join(file)).map_err(|error| format!("{file}: {error}"))?;
        }
        let npm = ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(npm).current_dir(directory))
    })
}

/// The Go program that `loadtest/baselines/go/<name>.txt` names, as `module@version`.
pub(super) fn go(ground: &Ground, name: &str) -> Result<PathBuf, Missing> {
    let list = baselines(ground).join("go").join(format!("{name}.txt"));
    let module = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let directory = installed(ground, &format!("go-{name}"), &list, |directory| {
        run(Command::new("go").args(["install", module.trim()]).env("GOBIN", directory))
    })?;
    Ok(directory.join(name))
}

/// A program of Debian's package of that name, installed by apt where we may.
pub(super) fn debian(ground: &Ground, program: &str, package: &str) -> Result<PathBuf, Missing> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    let _lock = lock(ground, "apt")?;
    let wanted = format!("apt-get install {package}");
    if !rustix::process::geteuid().is_root() {
        return Err(format!("no {program} here: {wanted}"));
    }
    let apt =
        |args: &[&str]| run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args));
    let install = ["install", "-y", "-qq", "--no-install-recommends", package];
    let done = apt(&install).or_else(|_| apt(&["update", "-qq"]).and_then(|()| apt(&install)));
    done.map_err(|why| format!("{wanted}: {why}"))?;
    on_path(program).ok_or_else(|| format!("{wanted} brought no {program}"))
}

/// Where the servers' sources are.
pub(super) fn baselines(ground: &Ground) -> PathBuf {
    ground.root.join("loadtest/baselines")
}

/// `tools/<name>`, made by `install` unless it was made from this same `list` before. One process at a time makes it.
fn installed(
    ground: &Ground,
    name: &str,
    list: &Path,
    install: impl FnOnce(&Path) -> Result<(), Missing>,
) -> Result<PathBuf, Missing> {
    let wanted = fs::read(list).map_err(|error| format!("{}: {error}", list.display()))?;
    let _lock = lock(ground, name)?;
    let directory = ground.tools.join(name);
    let mark = ground.tools.join(format!("{name}.installed"));
    if directory.exists() && fs::read(&mark).is_ok_and(|made_from| made_from == wanted) {
        return Ok(directory);
    }
    // What is left of an installation that failed would stand in the way.
    let _ = fs::remove_dir_all(&directory);
    install(&directory)?;
    fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(directory)
}

fn lock(ground: &Ground, name: &str) -> Result<File, Missing> {
    fs::create_dir_all(&ground.tools).map_err(|error| format!("{}: {error}", ground.tools.display()))?;
    let path = ground.tools.join(format!("{name}.lock"));
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.lock().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file)
}

/// A program, also where only root looks by itself.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The last line of what it says, if it fails.
fn run(command: &mut Command) -> Result<(), Missing> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{program}: {}: {last}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_made_once_and_again_when_its_list_changes() {
        let scratch = tempfile::tempdir().unwrap();
        let ground = Ground {
            root: scratch.path().to_owned(),
            tools: scratch.path().join("tools"),
            scratch: scratch.path().to_owned(),
            servers_on: vec![0],
            generator_on: vec![0],
            connections: 1,
        };
        let list = scratch.path().join("list");
        let made = std::cell::Cell::new(0);
        let make = || {
            installed(&ground, "tool", &list, |directory| {
                made.set(made.get() + 1);
                fs::create_dir(directory).map_err(|error| error.to_string())
            })
        };
        fs::write(&list, "a==1").unwrap();
        assert_eq!(make(), Ok(ground.tools.join("tool")));
        assert_eq!(make(), Ok(ground.tools.join("tool")));
        assert_eq!(made.get(), 1);
        fs::write(&list, "a==2").unwrap();
        make().unwrap();
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn a_failure_is_told_by_its_last_line() {
        let error =
            run(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 7"])).unwrap_err();
        assert!(error.ends_with("last") && !error.contains("first"), "{error}");
        assert!(run(&mut Command::new("/no/such/program")).is_err());
    }
}
