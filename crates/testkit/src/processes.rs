//! Real `ringway` processes: started on free ports, asked whether they are ready, killed.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::metrics::Scrape;
use crate::path::Path as ClientPath;
use crate::ports::free_port;

/// How long a process has to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a process has to stand still once it is stopped.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// One `ringway` process. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What it was started as: `node node-1`, `gateway 8080` ….
    pub name: String,
    /// Where clients (a gateway's) or gateways (a node's) connect.
    pub listen: SocketAddr,
    /// `/metrics`, `/readyz`.
    pub admin: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Waits until `/readyz` says yes.
    ///
    /// # Panics
    /// It doesn't within 20 s, or the process ends; with the process's log.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if crate::http::get(self.admin, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended before it was ready: {status}\n{}", self.name, self.log());
            }
            assert!(Instant::now() < deadline, "{} isn't ready:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its metrics now.
    ///
    /// # Panics
    /// The admin port doesn't answer.
    pub fn metrics(&self) -> Scrape {
        let answer = crate::http::get(self.admin, "/metrics");
        let answer =
            answer.unwrap_or_else(|error| panic!("{}: /metrics: {error}\n{}", self.name, self.log()));
        Scrape::parse(&answer.body)
    }

    /// The status of `/readyz` now; `None`: the admin port doesn't answer.
    pub fn readyz(&self) -> Option<u16> {
        crate::http::get(self.admin, "/readyz").ok().map(|answer| answer.status)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        // One that has ended already is as dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP: it reads its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGSTOP. Waits until it stands still, since the signal alone doesn't.
    ///
    /// # Panics
    /// It doesn't stand still in time.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        if let Some(pid) = self.raw_pid() {
            crate::wait::until(&format!("{} stands still", self.name), STOPPED_WITHIN, || {
                crate::nats::stands_still(pid).then_some(())
            });
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn raw_pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.raw_pid() {
            // One that has ended needs none.
            let _ = kill_process(pid, signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It doesn't end in time; with the process's log.
    pub fn wait_end(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                other => panic!("{} hasn't ended within {within:?} ({other:?}):\n{}", self.name, self.log()),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut log = String::new();
            let _ = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut log));
            crate::tell(&format!("---- log of {}\n{log}", self.name));
        }
    }
}

/// Whether a process ended well: exit code 0, by itself.
pub fn ended_well(status: ExitStatus) -> bool {
    status.code() == Some(0) && status.signal().is_none()
}

/// Starts `ringway` processes that belong together: one directory for their configuration and logs.
#[derive(Debug)]
pub struct Launcher {
    binary: PathBuf,
    directory: TempDir,
    config: PathBuf,
    started: usize,
    descriptors: Option<(u32, u32)>,
    /// Of its gateways; none: the product's own.
    path: Option<ClientPath>,
}

impl Launcher {
    /// `binary`: `env!("CARGO_BIN_EXE_ringway")`. `config`: the text of the file that all processes share; what
    /// differs between them is set by environment.
    ///
    /// # Panics
    /// No temporary directory can be had.
    pub fn new(binary: impl AsRef<Path>, config: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("ringway.toml");
        std::fs::write(&path, config).expect("the configuration is written");
        Self {
            binary: binary.as_ref().to_owned(),
            directory,
            config: path,
            started: 0,
            descriptors: None,
            path: ClientPath::chosen(),
        }
    }

    /// Gateways that it starts from now on take this path, whatever was chosen for the run.
    pub fn take_path(&mut self, path: ClientPath) {
        self.path = Some(path);
    }

    /// What it starts from now on begins with these limits of open files, the soft and the hard one.
    pub fn limit_descriptors(&mut self, soft: u32, hard: u32) {
        self.descriptors = Some((soft, hard));
    }

    /// Where the configuration lies; keys and the like can be put beside it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Puts another text in the place of the configuration file, whole: nobody reads half of it. Processes that run go by
    /// what they have read.
    ///
    /// # Panics
    /// It can't be written.
    pub fn rewrite(&self, config: &str) {
        let next = self.config.with_extension("next");
        std::fs::write(&next, config).expect("the next configuration is written");
        std::fs::rename(&next, &self.config).expect("the next configuration takes its place");
    }

    /// The binary, for a command that ends by itself.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        forget_environment(&mut command);
        command
    }

    /// `ringway node`, ready.
    pub fn node(&mut self, id: &str, env: &[(&str, &str)]) -> Process {
        let mut node = self.begin_node(id, env);
        node.wait_ready();
        node
    }

    /// Nodes of these names, ready. They start together: each asks around for its name first.
    pub fn nodes(&mut self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Process> {
        let mut nodes: Vec<_> = ids.into_iter().map(|id| self.begin_node(id.as_ref(), &[])).collect();
        nodes.iter_mut().for_each(Process::wait_ready);
        nodes
    }

    /// `ringway node`, which may become ready or not.
    pub fn begin_node(&mut self, id: &str, env: &[(&str, &str)]) -> Process {
        let (listen, admin) = (free_port(), free_port());
        let (listen_text, admin_text) = (listen.to_string(), admin.to_string());
        let own = [
            ("RINGWAY_NODE__ID", id),
            ("RINGWAY_NODE__LISTEN", listen_text.as_str()),
            ("RINGWAY_NODE__ADMIN", admin_text.as_str()),
        ];
        let env: Vec<_> = own.iter().chain(env).copied().collect();
        self.spawn(&format!("node {id}"), &["node", "--config"], &env, listen, admin)
    }

    /// `ringway gateway`, ready.
    pub fn gateway(&mut self, env: &[(&str, &str)]) -> Process {
        self.with_gateway_ports("gateway", env)
    }

    /// `ringway serve`, ready.
    pub fn serve(&mut self, env: &[(&str, &str)]) -> Process {
        let node = free_port().to_string();
        let all: Vec<_> = [("RINGWAY_NODE__LISTEN", node.as_str())].iter().chain(env).copied().collect();
        self.with_gateway_ports("serve", &all)
    }

    fn with_gateway_ports(&mut self, command: &str, env: &[(&str, &str)]) -> Process {
        let (listen, admin) = (free_port(), free_port());
        let (listen_text, admin_text) = (listen.to_string(), admin.to_string());
        let own = [
            ("RINGWAY_GATEWAY__LISTEN", listen_text.as_str()),
            ("RINGWAY_GATEWAY__ADMIN", admin_text.as_str()),
        ];
        let path = self.path.map(|path| ("RINGWAY_GATEWAY__PATH", path.as_str()));
        let env: Vec<_> = own.iter().chain(&path).chain(env).copied().collect();
        let mut process = self.spawn(command, &[command, "--config"], &env, listen, admin);
        process.wait_ready();
        process
    }

    /// `ringway dev`, ready; the admin port is 1,000 above the other.
    pub fn dev(&mut self, args: &[&str]) -> Process {
        let (listen, admin) = loop {
            let listen = free_port();
            if let Some(admin) =
                listen.port().checked_add(1_000).map(|port| SocketAddr::new(listen.ip(), port))
                && std::net::TcpListener::bind(admin).is_ok()
            {
                break (listen, admin);
            }
        };
        let listen_text = listen.to_string();
        let args: Vec<&str> =
            ["dev", "--listen", &listen_text].into_iter().chain(args.iter().copied()).collect();
        let mut dev = self.launch("dev", &args, &[], listen, admin);
        dev.wait_ready();
        dev
    }

    fn spawn(
        &mut self,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> Process {
        let config = self.config.display().to_string();
        let args: Vec<&str> = args.iter().copied().chain([config.as_str()]).collect();
        self.launch(name, &args, env, listen, admin)
    }

    fn launch(
        &mut self,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> Process {
        self.started += 1;
        let log = self.directory.path().join(format!("{}-{}.log", self.started, name.replace(' ', "-")));
        let out = File::create(&log).expect("a log file");
        let mut command = match self.descriptors {
            None => Command::new(&self.binary),
            Some((soft, hard)) => {
                let mut command = Command::new("sh");
                let limited = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
                command.arg("-c").arg(limited).arg(&self.binary);
                command
            }
        };
        forget_environment(&mut command);
        let child = command
            .args(args)
            .env("RINGWAY_LOG", std::env::var("RINGWAY_LOG").unwrap_or_else(|_| "info".into()))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error: io::Error| panic!("{} doesn't start: {error}", self.binary.display()));
        Process { child, name: name.to_owned(), listen, admin, log }
    }
}

/// What whoever runs the tests has set mustn't change what they test.
fn forget_environment(command: &mut Command) {
    let set = std::env::vars().map(|(name, _)| name);
    for name in set.filter(|name| name.starts_with("RINGWAY_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
}
