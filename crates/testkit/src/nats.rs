//! A real `nats-server` for a test: found or installed once, started on a free port, gone with the test.
//!
//! Owns the server's life and the faults that can be put on it ([`NatsServer::pause`], [`kill`](NatsServer::kill),
//! [`restart`](NatsServer::restart)). Refuses to skip: a test that can't have its server panics with the reason.

mod api;
mod binary;
mod cluster;
mod store;

pub use api::{Api, Snapshot, StoredMessage};
pub use binary::{MINIMUM, ServerUnavailable, server_path};
pub use cluster::NatsCluster;
pub use store::KeptStore;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take until it greets a connection. Generous: a loaded machine with JetStream to recover.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to end by itself after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often a condition is looked at again while waiting for it.
const POLL: Duration = Duration::from_millis(10);

/// Names a file to which every test that starts a real server adds its name, a line each. Not `RINGWAY_…`: the processes
/// of the tests would take that for a key of the configuration.
const LOG_VARIABLE: &str = "NATS_TEST_LOG";

/// Where JetStream keeps its files, under the server's directory.
const STORE: &str = "jetstream";

/// Starts the server in the background and ends it when standard input closes, which the kernel sees to
/// however the test process dies. Until then the shell doesn't wait for the server, so its process id can't be
/// another's.
const KEEPER: &str =
    r#""$@" </dev/null & server=$!; echo "$server"; read -r _; kill -9 "$server"; wait "$server""#;

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// JetStream on, its store under the server's temporary directory; it survives [`NatsServer::restart`].
    pub jetstream: bool,
    /// Further lines of configuration, in the server's own syntax.
    pub config: String,
}

/// A running `nats-server`. Dropping it kills the server and removes its files.
#[derive(Debug)]
pub struct NatsServer {
    files: TempDir,
    port: u16,
    keeper: Option<Keeper>,
}

/// The shell that ends the server when this process does.
#[derive(Debug)]
struct Keeper {
    shell: Child,
    server: Pid,
}

impl NatsServer {
    /// Starts a server without JetStream on a free port of 127.0.0.1, and waits until it greets.
    ///
    /// # Panics
    /// If no server of [`MINIMUM`] or newer can be had, or it doesn't start: a test is never skipped in silence.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&NatsOptions::default())
    }

    /// As [`start`](Self::start), with options.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(options: &NatsOptions) -> Self {
        record_test();
        let files = TempDir::with_prefix("ringway-nats-").expect("a temporary directory for nats-server");
        let mut config = String::new();
        if options.jetstream {
            let store = files.path().join(STORE);
            writeln!(config, "jetstream {{ store_dir: {store:?} }}").expect("a String takes any write");
        }
        config.push_str(&options.config);
        fs::write(files.path().join("server.conf"), config).expect("nats-server's configuration written");

        let mut server = Self { files, port: 0, keeper: None };
        server.launch();
        server
    }

    /// The address that clients connect to: `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port, the same over every [`restart`](Self::restart).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// JetStream's API at this server.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::at(self.port)
    }

    /// What the server has logged so far, for the message of a failing test.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("server.log")).unwrap_or_default()
    }

    /// Ends the server in order (SIGTERM) and waits for its end. A server that isn't running stays so.
    pub fn stop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let limit = Instant::now() + STOP_LIMIT;
        while self.runs() && Instant::now() < limit {
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Ends the server at once (SIGKILL).
    pub fn kill(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        drop(keeper.shell.stdin.take());
        keeper.shell.wait().expect("the shell that keeps nats-server ends");
    }

    /// Freezes the server (SIGSTOP): connections stand, nothing moves. Waits until every thread of it stands still, since
    /// the signal alone doesn't.
    ///
    /// # Panics
    /// It doesn't stand still in time.
    pub fn pause(&self) {
        let Some(keeper) = &self.keeper else { return };
        self.signal(Signal::STOP);
        let limit = Instant::now() + STOP_LIMIT;
        while !stands_still(keeper.server) {
            assert!(Instant::now() < limit, "nats-server doesn't stand still within {STOP_LIMIT:?}");
            std::thread::sleep(POLL);
        }
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the server if it runs, and starts it again on the same port with the same files.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    fn signal(&self, signal: Signal) {
        if let Some(keeper) = &self.keeper {
            // A server that has ended by itself is still the shell's child: the id is nobody else's.
            let _ = kill_process(keeper.server, signal);
        }
    }

    fn launch(&mut self) {
        let binary = server_path().unwrap_or_else(|error| panic!("this test needs a nats-server: {error}"));
        let ports = self.files.path().join("ports");
        let _ = fs::remove_dir_all(&ports);
        fs::create_dir(&ports).expect("a directory for nats-server's ports file");
        self.keeper = Some(self.spawn(&binary, &ports));

        let limit = Instant::now() + START_LIMIT;
        while Instant::now() < limit {
            if self.port == 0 {
                self.port = port_in(&ports).unwrap_or(0);
            }
            if self.port != 0 && self.answers() {
                return;
            }
            std::thread::sleep(POLL);
        }
        self.kill();
        panic!("{} didn't start within {START_LIMIT:?}; its log:\n{}", binary.display(), self.log());
    }

    fn spawn(&self, binary: &Path, ports: &Path) -> Keeper {
        let directory = self.files.path();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut shell = Command::new("sh")
            .args(["-c", KEEPER, "nats-keeper"])
            .arg(binary)
            .args(["-a", "127.0.0.1", "-p", &port, "-c"])
            .arg(directory.join("server.conf"))
            .arg("--ports_file_dir")
            .arg(ports)
            .arg("-l")
            .arg(directory.join("server.log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let mut id = String::new();
        let stdout = shell.stdout.take().expect("standard output was asked for");
        BufReader::new(stdout).read_line(&mut id).expect("the shell tells the server's process id");
        let server = id.trim().parse().ok().and_then(Pid::from_raw).expect("a process id from the shell");
        Keeper { shell, server }
    }

    /// Whether the server's process hasn't ended. Ended, it stays a zombie until its shell goes.
    fn runs(&self) -> bool {
        let Some(keeper) = &self.keeper else { return false };
        let status = fs::read_to_string(format!("/proc/{}/stat", keeper.server.as_raw_nonzero()));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    /// Whether the server greets a connection with its `INFO`.
    fn answers(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
            return false;
        };
        let mut greeting = [0; 5];
        stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && &greeting == b"INFO "
    }
}

/// Whether all threads of a process are stopped. One that has ended has none that run.
pub(crate) fn stands_still(process: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())) else { return true };
    threads.flatten().all(|thread| {
        // The state stands behind the name, which is in parentheses and may hold any character.
        fs::read_to_string(thread.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    })
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.shell.stdin.take());
            let _ = keeper.shell.wait();
        }
    }
}

/// The client port that the server wrote to its ports file, once it is there and whole.
fn port_in(directory: &Path) -> Option<u16> {
    let file = fs::read_dir(directory).ok()?.next()?.ok()?.path();
    let text = fs::read_to_string(file).ok()?;
    let (_, after) = text.split_once("nats://127.0.0.1:")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    // Without the character after it the file may not be written to its end.
    (after.len() > digits.len()).then(|| digits.parse().ok()).flatten()
}

/// Adds this test's name, with its program's, to the file that [`LOG_VARIABLE`] names, so that a run can say how
/// many tests had a real server: as many as there are different lines.
fn record_test() {
    let Some(path) = std::env::var_os(LOG_VARIABLE) else { return };
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo puts a hash behind the name.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("{program} {}\n", thread.name().unwrap_or("(unnamed thread)"));
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("{LOG_VARIABLE} names {}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_free_port_and_ends_with_its_owner() {
        let server = NatsServer::start();
        assert!(server.answers());
        let port = server.port();
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn restarts_on_its_port() {
        let mut server = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let port = server.port();
        server.stop();
        assert!(!server.answers());
        server.restart();
        assert!(server.answers());
        assert_eq!(server.port(), port);
        server.kill();
        assert!(!server.answers());
    }

    #[test]
    fn a_paused_server_is_silent_until_it_goes_on() {
        let server = NatsServer::start();
        server.pause();
        assert!(!server.answers());
        server.resume();
        assert!(server.answers());
    }
}
