//! What is measured: how it is started, spoken to and ended. One file a family.

mod centrifugo;
mod floor;
mod node_js;
pub(crate) mod process;
mod proxy;
mod python;
mod ringway;
mod tools;
mod tungstenite;

pub(crate) use ringway::{CLUSTER_SECRET, FREE, NOISY, NOISY_LIMIT, Ringway, Server, TENANT};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::dialect::Spec;

/// Something that can be measured.
pub(crate) struct Target {
    /// As in tables: `ringway direct`.
    pub(crate) name: &'static str,
    /// Which way a message takes, for a reader: `node alone`, `gateway and node`, `one process`, `server alone`, …
    pub(crate) path: &'static str,
    /// The role whose CPU is "the server" in tables is every role but these: `nats`, `redis`.
    pub(crate) beside: &'static [&'static str],
    /// Whether it has rooms, and so can run `rooms`.
    pub(crate) rooms: bool,
    pub(crate) start: fn(&Ground) -> anyhow::Result<Started>,
}

/// What a target may use.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// The repository.
    pub(crate) root: PathBuf,
    /// `target/loadtest/tools`: virtual environments, npm packages, Go binaries, kept between runs.
    pub(crate) tools: PathBuf,
    /// An empty directory for this start: configurations and logs.
    pub(crate) scratch: PathBuf,
    /// The cores for the server's processes; what stands beside (NATS, Redis) shares the generator's.
    pub(crate) servers_on: Vec<usize>,
    pub(crate) generator_on: Vec<usize>,
    /// Connections that are to come: a target that needs more processes for them starts them.
    pub(crate) connections: usize,
}

/// A target that runs, or why it can't here.
pub(crate) enum Started {
    Running(Box<Running>),
    /// Not to be had on this machine: said in the report, not a failure.
    Absent(String),
}

/// A running target. Dropping it ends its processes.
pub(crate) struct Running {
    pub(crate) dialect: Spec,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) versions: String,
    pub(crate) roles: Vec<Role>,
    /// Where Ringway's processes show their metrics: role and address. Empty for others.
    pub(crate) admin: Vec<(&'static str, SocketAddr)>,
    /// Keeps processes alive; dropped last.
    pub(crate) _keep: Vec<Box<dyn std::any::Any>>,
}

impl Running {
    /// One process, in the role `server`.
    fn of_one(dialect: Spec, address: SocketAddr, versions: String, process: process::Process) -> Started {
        let roles = vec![Role { name: "server", pids: vec![process.pid()] }];
        let keep: Vec<Box<dyn std::any::Any>> = vec![Box::new(process)];
        let (addresses, admin) = (vec![address], Vec::new());
        Started::Running(Box::new(Running { dialect, addresses, versions, roles, admin, _keep: keep }))
    }
}

/// Processes that do one thing, with all their descendants.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) pids: Vec<u32>,
}

/// All targets, in the order of tables.
pub(crate) fn all() -> Vec<Target> {
    let mut all = Vec::new();
    all.extend(floor::targets());
    all.extend(ringway::targets());
    all.extend(tungstenite::targets());
    all.extend(python::targets());
    all.extend(node_js::targets());
    all.extend(centrifugo::targets());
    all.extend(proxy::targets());
    all
}

/// Why one process can't hold the connections that are to come, `files` open files each.
fn too_many(ground: &Ground, files: u64) -> Option<String> {
    // What a process has open besides: its libraries' and its runtime's.
    const OTHERS: u64 = 100;
    let needed = ground.connections as u64 * files + OTHERS;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum?;
    (needed > limit).then(|| {
        format!(
            "{} connections need {needed} open files in one process; the limit is {limit}",
            ground.connections
        )
    })
}

/// `NAME VERSION` of a crate that this repository's `Cargo.lock` has.
fn locked(ground: &Ground, name: &str) -> String {
    let lock = std::fs::read_to_string(ground.root.join("Cargo.lock")).unwrap_or_default();
    let version = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    let version = version.and_then(|rest| rest.split('"').next()).unwrap_or_default();
    format!("{name} {version}")
}

/// The first line that a command says, such as its version; empty if it doesn't start.
fn version_of(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_name_of_its_own_that_the_readme_explains() {
        let readme = include_str!("../../baselines/README.md");
        let mut seen = std::collections::BTreeSet::new();
        for target in all() {
            assert!(seen.insert(target.name), "{} twice", target.name);
            assert!(readme.contains(&format!("`{}`", target.name)), "{} is explained nowhere", target.name);
        }
    }
}
