//! The configuration changes while processes run: what is right is taken over at once, what is wrong changes nothing, and
//! nobody who is there notices.

mod files;
mod keys;
mod limits;
mod refused;
mod standing;
mod storm;
mod tenants;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use ringway_config::{Config, Environment};
use ringway_testkit::http::{self, Answer};
use ringway_testkit::processes::{Launcher, Process};
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use crate::bare::{Bare, upgrade};
use crate::support::launcher;
use standing::Standing;

/// The longest that a change is waited for.
const TAKEN: Duration = Duration::from_secs(30);

/// Whose keys these are.
fn secret(of: &str) -> String {
    format!("a secret that only these tests know, of {of}")
}

/// Where a process's configuration lies.
trait Reloads {
    fn directory(&self) -> &Path;
    fn processes(&self) -> Vec<&Process>;

    fn file(&self) -> PathBuf {
        self.directory().join("ringway.toml")
    }

    /// Writes a file of the configuration, whole and at once.
    fn put(&self, name: &str, text: &str) {
        let file = self.directory().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let new = file.with_file_name(format!(".{}.new", file.file_name().unwrap().to_string_lossy()));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn configure(&self, text: &str) {
        self.put("ringway.toml", text);
    }

    fn hang_up(&self) {
        self.processes().into_iter().for_each(Process::hang_up);
    }

    /// Waits until what the files say is in force everywhere.
    #[track_caller]
    fn in_force(&self) -> String {
        let config =
            Config::load(&self.file(), &Environment::new()).unwrap_or_else(|error| panic!("{error}"));
        let checksum = config.checksum();
        for process in self.processes() {
            until(&format!("{}: {checksum} is in force", process.name), TAKEN, || {
                (record(process)["checksum"] == checksum).then_some(())
            });
        }
        checksum
    }

    /// This is the configuration from now on.
    #[track_caller]
    fn takes_over(&self, text: &str) -> String {
        self.configure(text);
        self.hang_up();
        self.in_force()
    }

    /// This isn't taken over: every process says so, with that problem, and goes by what it went by. Gives what one of
    /// them says.
    #[track_caller]
    fn refuses(&self, text: &str, problem: &str) -> String {
        let before: Vec<Value> = self.processes().into_iter().map(record).collect();
        self.configure(text);
        self.hang_up();
        let mut told = String::new();
        for (process, before) in self.processes().into_iter().zip(before) {
            let after = until(&format!("{}: {problem}", process.name), TAKEN, || {
                let after = record(process);
                problems(&after).contains(problem).then_some(after)
            });
            assert_eq!(after["checksum"], before["checksum"]);
            assert_eq!(after["last_reload_successful"], false, "{after}");
            told = problems(&after);
        }
        told
    }
}

/// `/debug/config`.
fn record(process: &Process) -> Value {
    let answer = http::get(process.admin, "/debug/config").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// Why the last that was refused was, a line each.
fn problems(record: &Value) -> String {
    let lines = record["last_failure"]["problems"].as_array().cloned().unwrap_or_default();
    lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// `serve` by a configuration that changes.
struct Site {
    serve: Process,
    launcher: Launcher,
}

impl Site {
    /// `files` lie beside the configuration.
    fn start(config: &str, files: &[(&str, &str)]) -> Self {
        let mut launcher = launcher(config);
        for (name, text) in files {
            let file = launcher.directory().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let serve = launcher.serve(&[]);
        Self { serve, launcher }
    }

    fn at(&self) -> SocketAddr {
        self.serve.listen
    }
}

impl Reloads for Site {
    fn directory(&self) -> &Path {
        self.launcher.directory()
    }

    fn processes(&self) -> Vec<&Process> {
        vec![&self.serve]
    }
}

/// A token that is good for an hour, everywhere in the tenant.
fn token(tenant: &str, kid: &str, key: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "aud": "ringway", "tenant": tenant, "sub": "ann", "exp": now + 3_600,
        "grants": [{ "rooms": "**", "rights": ["join", "publish", "presence"] }],
    });
    let header = Header { kid: Some(kid.to_owned()), ..Header::default() };
    encode(&header, &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// How an upgrade with this token, and perhaps from that page, is answered: 101, or the refusal.
fn enters(gateway: SocketAddr, token: &str, origin: Option<&str>) -> (u16, String) {
    let mut lines = vec![format!("Authorization: Bearer {token}")];
    lines.extend(origin.map(|origin| format!("Origin: {origin}")));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut bare = Bare::open(gateway);
    bare.send(upgrade("/v1/ws?room=r", &lines));
    let answer = bare.answer();
    let code = if answer.status == 101 { String::new() } else { code_of(&answer) };
    (answer.status, code)
}

/// The code of a refusal.
fn code_of(answer: &Answer) -> String {
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    problem["code"].as_str().unwrap().to_owned()
}
