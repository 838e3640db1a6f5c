//! A target's process: held to its cores, logged, and gone with whoever started it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a process may take until it is ready: a loaded machine, Python with many imports.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// Starts a program on its cores with as many open files as it may have, tells its process id, and kills it, with its
/// children, when standard input closes: which the kernel sees to however the load test ends.
const KEEPER: &str = r#"
trap : INT TERM HUP
ulimit -n "$(ulimit -Hn)"
log=$1 cores=$2
shift 2
taskset -c "$cores" "$@" </dev/null >"$log" 2>&1 &
server=$!
echo "$server"
read -r _
kill -9 "$server" $(cat /proc/$server/task/*/children)
wait "$server"
"#;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// Names its log.
    name: String,
    cores: Vec<usize>,
    scratch: PathBuf,
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// `program` on these cores; `name` is that of its log in `scratch`.
    pub(crate) fn new(name: &str, program: impl AsRef<OsStr>, cores: &[usize], scratch: &Path) -> Program {
        Program {
            name: name.to_owned(),
            cores: cores.to_vec(),
            scratch: scratch.to_owned(),
            words: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
        }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
        self.words.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no `sh`. A program that doesn't exist is found out by [`Process::wait_for`].
    pub(crate) fn start(self) -> anyhow::Result<Process> {
        let log = self.scratch.join(format!("{}.log", self.name));
        let cores: Vec<String> = self.cores.iter().map(ToString::to_string).collect();
        let mut keeper = Command::new("sh");
        // What whoever measures has set mustn't change what is measured.
        for (name, _) in std::env::vars_os() {
            if ["RINGWAY_", "OTEL_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                keeper.env_remove(name);
            }
        }
        let mut shell = keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&log)
            .arg(cores.join(","))
            .args(&self.words)
            .envs(self.environment)
            .current_dir(&self.scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("sh doesn't start")?;
        let mut id = String::new();
        let stdout = shell.stdout.take().expect("standard output was asked for");
        BufReader::new(stdout).read_line(&mut id).context("the shell tells no process id")?;
        let pid = id.trim().parse().context("the shell tells no process id")?;
        Ok(Process { name: self.name, shell, pid, log })
    }
}

/// A running process. Killed, with its children, when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    shell: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it takes connections there.
    ///
    /// # Errors
    /// It ends, or doesn't within 30 s: with the end of its log.
    pub(crate) fn wait_for(&self, address: SocketAddr) -> anyhow::Result<()> {
        self.wait_until(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }

    /// Waits until `/readyz` there says yes.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub(crate) fn wait_ready(&self, admin: SocketAddr) -> anyhow::Result<()> {
        self.wait_until(|| {
            ringway_testkit::http::get(admin, "/readyz").is_ok_and(|answer| answer.status == 200)
        })
    }

    /// Waits until that is so.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub(crate) fn wait_until(&self, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready() {
            if !self.runs() {
                bail!("{} ended before it was ready:\n{}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} wasn't ready within {READY_WITHIN:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether it hasn't ended. Ended, it stays a zombie until its shell goes.
    fn runs(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Killed, it needs no care.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(scratch: &Path, script: &str) -> Program {
        Program::new("test", "sh", &[0], scratch).args(["-c", script])
    }

    fn is_alive(pid: &str) -> bool {
        Path::new("/proc").join(pid).exists()
    }

    #[test]
    fn a_process_and_its_children_end_with_their_owner() {
        let scratch = tempfile::tempdir().unwrap();
        let process = program(scratch.path(), "sleep 100 & echo $! > child; wait").start().unwrap();
        let child = scratch.path().join("child");
        process.wait_until(|| fs::read_to_string(&child).is_ok_and(|pid| pid.ends_with('\n'))).unwrap();
        let child = fs::read_to_string(child).unwrap().trim().to_owned();
        let own = process.pid().to_string();
        assert!(is_alive(&own) && is_alive(&child));
        drop(process);
        assert!(!is_alive(&own));
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_alive(&child) {
            assert!(Instant::now() < deadline, "the child lives on");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn who_ends_early_is_quoted() {
        let scratch = tempfile::tempdir().unwrap();
        let process = program(scratch.path(), "echo no such option; exit 3").start().unwrap();
        let error = process.wait_until(|| false).unwrap_err().to_string();
        assert!(error.contains("ended before it was ready") && error.contains("no such option"), "{error}");
    }
}
