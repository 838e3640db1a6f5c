//! Ringway: a node alone, gateway and node, everything in one process.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use ringway_testkit::nats;
use ringway_testkit::ports::free_port;

use super::process::{Process, Program};
use super::{Ground, Role, Running, Started, Target, too_many, version_of};
use crate::dialect::{Format, Pass, Policy, Spec};

/// Connections of a node; a process has 20,000 open files on many machines.
const NODE_HOLDS: usize = 18_000;

/// Connections of a gateway: by a tunnel each is two sockets.
const GATEWAY_HOLDS: usize = 9_000;

/// For servers of the loop-back address that live for minutes.
pub(crate) const CLUSTER_SECRET: &str = "loadtest-cluster-secret-0123456789abcdef";
const TENANT_SECRET: &str = "loadtest-tenant-secret-0123456789abcdefg";
pub(crate) const TENANT: &str = "load";

/// Tenants beside: one with a limit, one without.
pub(crate) const NOISY: &str = "noisy";
pub(crate) const FREE: &str = "free";

/// Publications a second of the tenant [`NOISY`].
pub(crate) const NOISY_LIMIT: u32 = 500;

/// The classes of a policy's rooms: those whose publications may wait to leave together, and the others.
fn classes(policy: Policy) -> String {
    let prefix = policy.prefix();
    let slow = match policy {
        Policy::Disconnect => "",
        Policy::DropOldest => "slow_consumer = \"drop_oldest\"\n",
        Policy::Conflate => "slow_consumer = \"conflate\"\n",
    };
    // The first that matches holds, so what says more comes first.
    let windowed = format!("\n[[classes]]\nrooms = \"{prefix}window.**\"\nflush_window = \"10ms\"\n{slow}");
    match policy {
        Policy::Disconnect => windowed,
        _ => format!("{windowed}\n[[classes]]\nrooms = \"{prefix}**\"\n{slow}"),
    }
}

/// How a gateway brings clients to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Tunnel,
    Relay,
}

impl Way {
    /// As configurations name it.
    fn name(self) -> &'static str {
        match self {
            Way::Tunnel => "tunnel",
            Way::Relay => "relay",
        }
    }

    /// Connections of a gateway.
    fn holds(self) -> usize {
        match self {
            Way::Tunnel => GATEWAY_HOLDS,
            Way::Relay => NODE_HOLDS,
        }
    }
}

/// Rooms that are spread whatever their size.
const SPREAD: &str = "\n[[classes]]\nrooms = \"**\"\nspread = 3\n";

pub(super) fn targets() -> Vec<Target> {
    use Policy::{Conflate, Disconnect, DropOldest};
    let target = |name, path, beside, start| Target { name, path, beside, rooms: true, start };
    let nats: &[&str] = &["nats"];
    vec![
        target("ringway direct", NODE, nats, |ground| direct(ground, Format::Msgpack, Disconnect)),
        target("ringway direct drop_oldest", NODE, nats, |ground| {
            direct(ground, Format::Msgpack, DropOldest)
        }),
        target("ringway direct conflate", NODE, nats, |ground| direct(ground, Format::Msgpack, Conflate)),
        target("ringway direct json", NODE, nats, |ground| direct(ground, Format::Json, Disconnect)),
        target("ringway gateway", GATEWAY, nats, |ground| gateway(ground, Way::Tunnel, Disconnect, 1)),
        target("ringway relay", GATEWAY, nats, |ground| gateway(ground, Way::Relay, Disconnect, 1)),
        target("ringway three nodes", THREE_NODES, nats, |ground| {
            gateway(ground, Way::Tunnel, Disconnect, 3)
        }),
        target("ringway relay three nodes", THREE_NODES, nats, |ground| {
            gateway(ground, Way::Relay, Disconnect, 3)
        }),
        target("ringway direct three nodes", "three nodes, found by locate", nats, |ground| {
            located(ground, &classes(Disconnect), 3)
        }),
        target("ringway spread 1", "a node, found by locate", nats, |ground| located(ground, SPREAD, 1)),
        target("ringway spread 3", "three nodes, found by locate", nats, |ground| located(ground, SPREAD, 3)),
        target("ringway gateway drop_oldest", GATEWAY, nats, |ground| {
            gateway(ground, Way::Tunnel, DropOldest, 1)
        }),
        target("ringway gateway conflate", GATEWAY, nats, |ground| gateway(ground, Way::Tunnel, Conflate, 1)),
        target("ringway relay drop_oldest", GATEWAY, nats, |ground| {
            gateway(ground, Way::Relay, DropOldest, 1)
        }),
        target("ringway relay conflate", GATEWAY, nats, |ground| gateway(ground, Way::Relay, Conflate, 1)),
        target("ringway two nodes", "two nodes over NATS", nats, |ground| {
            nodes(ground, Format::Msgpack, Disconnect, 2)
        }),
        Target { rooms: false, ..target("floor over NATS", "two processes over NATS", nats, over_nats) },
        target("ringway serve", "one process", &[], |ground| serve(ground, Disconnect)),
        target("ringway serve drop_oldest", "one process", &[], |ground| serve(ground, DropOldest)),
        target("ringway serve conflate", "one process", &[], |ground| serve(ground, Conflate)),
    ]
}

const NODE: &str = "node alone";
const GATEWAY: &str = "gateway and node";
const THREE_NODES: &str = "gateway and three nodes";

/// As many nodes as the connections need, reached by themselves.
fn direct(ground: &Ground, format: Format, policy: Policy) -> anyhow::Result<Started> {
    nodes(ground, format, policy, ground.connections.div_ceil(NODE_HOLDS).max(1))
}

/// Two processes that do nothing but pass messages on over NATS.
fn over_nats(ground: &Ground) -> anyhow::Result<Started> {
    let nats = match nats::server_path() {
        Ok(binary) => Nats::start(ground, &binary)?,
        Err(error) => return Ok(Started::Absent(format!("no nats-server: {error}"))),
    };
    let url = format!("nats://{}", nats.address);
    let (mut addresses, mut processes) = (Vec::new(), Vec::new());
    for n in 0..2 {
        let listen = free_port();
        let program =
            Program::new(&format!("server-{n}"), env::current_exe()?, &ground.servers_on, &ground.scratch);
        let program = program.args(["baseline", "nats", "--listen", &listen.to_string()]);
        let process = program.env("LOADTEST_NATS", &url).start()?;
        process.wait_for(listen)?;
        addresses.push(listen);
        processes.push(process);
    }
    let pids = processes.iter().map(Process::pid).collect();
    Ok(Started::Running(Box::new(Running {
        dialect: Spec::Plain,
        addresses,
        versions: nats.version.clone(),
        roles: vec![Role { name: "server", pids }, nats.role()],
        admin: Vec::new(),
        _keep: vec![Box::new(processes), Box::new(nats)],
    })))
}

/// So many nodes that clients reach by themselves, with tickets.
fn nodes(ground: &Ground, format: Format, policy: Policy, count: usize) -> anyhow::Result<Started> {
    let Cluster { ringway, nats, nodes } = match Cluster::start(ground, &classes(policy), count)? {
        Ok(cluster) => cluster,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let pass = Pass::Ticket { secret: CLUSTER_SECRET.to_owned(), tenant: TENANT.to_owned() };
    let addresses = nodes.iter().map(|node| node.listen).collect();
    let roles = vec![role("node", &nodes), nats.role()];
    let versions = format!("{}, {}", ringway.version, nats.version);
    Ok(Started::Running(Box::new(Running {
        dialect: Spec::Ringway { format, policy, pass },
        addresses,
        versions,
        roles,
        admin: admins("node", &nodes).collect(),
        _keep: vec![Box::new(nodes), Box::new(nats)],
    })))
}

/// Gateways before at least so many nodes, with tokens.
fn gateway(ground: &Ground, way: Way, policy: Policy, least: usize) -> anyhow::Result<Started> {
    let count = ground.connections.div_ceil(NODE_HOLDS).max(least);
    let Cluster { ringway, nats, nodes } = match Cluster::start(ground, &classes(policy), count)? {
        Ok(cluster) => cluster,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let count = ground.connections.div_ceil(way.holds()).max(1);
    let gateways = (0..count).map(|n| ringway.gateway(ground, way, n)?.knows(nodes.len()));
    let gateways = gateways.collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = gateways.iter().map(|gateway| gateway.listen).collect();
    let roles = vec![role("gateway", &gateways), role("node", &nodes), nats.role()];
    let versions = format!("{}, {}", ringway.version, nats.version);
    Ok(Started::Running(Box::new(Running {
        dialect: by_token(policy),
        addresses,
        versions,
        roles,
        admin: admins("gateway", &gateways).chain(admins("node", &nodes)).collect(),
        _keep: vec![Box::new(gateways), Box::new(nodes), Box::new(nats)],
    })))
}

/// So many nodes that clients reach by themselves, where a gateway says.
fn located(ground: &Ground, classes: &str, count: usize) -> anyhow::Result<Started> {
    if ground.connections.div_ceil(NODE_HOLDS) > count {
        return Ok(Started::Absent(format!("{} members don't fit on {count} nodes", ground.connections)));
    }
    let Cluster { ringway, nats, nodes } = match Cluster::start(ground, classes, count)? {
        Ok(cluster) => cluster,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let gateway = [ringway.gateway(ground, Way::Tunnel, 0)?.knows(count)?];
    let pass = Pass::Located { secret: TENANT_SECRET.to_owned(), tenant: TENANT.to_owned() };
    let roles = vec![role("gateway", &gateway), role("node", &nodes), nats.role()];
    let versions = format!("{}, {}", ringway.version, nats.version);
    Ok(Started::Running(Box::new(Running {
        dialect: Spec::Ringway { format: Format::Msgpack, policy: Policy::Disconnect, pass },
        addresses: vec![gateway[0].listen],
        versions,
        roles,
        admin: admins("gateway", &gateway).chain(admins("node", &nodes)).collect(),
        _keep: vec![Box::new(gateway), Box::new(nodes), Box::new(nats)],
    })))
}

/// Everything in one process, without NATS.
fn serve(ground: &Ground, policy: Policy) -> anyhow::Result<Started> {
    if let Some(why) = too_many(ground, 1) {
        return Ok(Started::Absent(why));
    }
    let (server, version) = serve_behind(ground, policy)?;
    let admin = ("server", server.admin);
    let mut started = Running::of_one(by_token(policy), server.listen, version, server.process);
    if let Started::Running(running) = &mut started {
        running.admin.push(admin);
    }
    Ok(started)
}

/// `ringway serve`, for what stands before it, with its version.
pub(super) fn serve_behind(ground: &Ground, policy: Policy) -> anyhow::Result<(Server, String)> {
    let ringway = Ringway::new(ground, &classes(policy), None)?;
    let (listen, admin, node) = (free_port(), free_port(), free_port());
    let program = ringway
        .program("serve", "serve", ground)
        .env("RINGWAY_GATEWAY__LISTEN", listen.to_string())
        .env("RINGWAY_GATEWAY__ADMIN", admin.to_string())
        .env("RINGWAY_NODE__LISTEN", node.to_string());
    Ok((Server::start(program, listen, admin)?, ringway.version))
}

/// How a gateway is spoken to.
pub(super) fn by_token(policy: Policy) -> Spec {
    let pass = Pass::Token { secret: TENANT_SECRET.to_owned(), tenant: TENANT.to_owned() };
    Spec::Ringway { format: Format::Msgpack, policy, pass }
}

fn role(name: &'static str, servers: &[Server]) -> Role {
    Role { name, pids: servers.iter().map(|server| server.process.pid()).collect() }
}

fn admins(role: &'static str, servers: &[Server]) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    servers.iter().map(move |server| (role, server.admin))
}

/// A `ringway` process that is ready.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
}

impl Server {
    fn start(program: Program, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<Server> {
        let process = program.start()?;
        process.wait_ready(admin)?;
        Ok(Server { listen, admin, process })
    }

    /// Waits until it has heard of so many nodes. A gateway is ready with the first of them, and sends whoever comes before
    /// it has heard of the others, some tens of milliseconds later, where they are at home without these.
    pub(crate) fn knows(self, nodes: usize) -> anyhow::Result<Server> {
        self.process.wait_until(|| {
            let ring = ringway_testkit::http::get(self.admin, "/debug/ring").ok();
            let ring = ring.and_then(|answer| serde_json::from_str::<serde_json::Value>(&answer.body).ok());
            ring.is_some_and(|ring| ring["nodes"].as_array().is_some_and(|known| known.len() == nodes))
        })?;
        Ok(self)
    }
}

/// A NATS server and nodes.
struct Cluster {
    ringway: Ringway,
    nats: Nats,
    nodes: Vec<Server>,
}

impl Cluster {
    /// With so many nodes; the inner error: there is no NATS server to be had.
    fn start(ground: &Ground, classes: &str, count: usize) -> anyhow::Result<Result<Cluster, String>> {
        let nats = match nats::server_path() {
            Ok(binary) => Nats::start(ground, &binary)?,
            Err(error) => return Ok(Err(format!("no nats-server: {error}"))),
        };
        let ringway = Ringway::new(ground, classes, Some(nats.address))?;
        let nodes = (0..count).map(|n| ringway.node(ground, n)).collect::<anyhow::Result<_>>()?;
        Ok(Ok(Cluster { ringway, nats, nodes }))
    }
}

/// NATS beside the cluster, on the generator's cores.
struct Nats {
    address: SocketAddr,
    version: String,
    process: Process,
}

impl Nats {
    fn start(ground: &Ground, binary: &Path) -> anyhow::Result<Nats> {
        let address = free_port();
        let program = Program::new("nats", binary, &ground.generator_on, &ground.scratch);
        let process = program.args(["-a", "127.0.0.1", "-p", &address.port().to_string()]).start()?;
        process.wait_for(address)?;
        // `nats-server: v2.12.1`
        let version = version_of(Command::new(binary).arg("--version")).replace("nats-server: v", "NATS ");
        Ok(Nats { address, version, process })
    }

    fn role(&self) -> Role {
        Role { name: "nats", pids: vec![self.process.pid()] }
    }
}

/// The binary, and the one configuration of its processes.
pub(crate) struct Ringway {
    binary: PathBuf,
    config: PathBuf,
    version: String,
}

impl Ringway {
    /// `classes`: what is said of rooms, and of stores.
    pub(crate) fn new(ground: &Ground, classes: &str, nats: Option<SocketAddr>) -> anyhow::Result<Ringway> {
        let binary = binary(&ground.root)?;
        let version = version_of(Command::new(&binary).arg("--version"));
        let config = configuration(ground, classes, nats)?;
        Ok(Ringway { binary, config, version })
    }

    fn program(&self, name: &str, command: &str, ground: &Ground) -> Program {
        Program::new(name, &self.binary, &ground.servers_on, &ground.scratch)
            .args([command, "--config"])
            .args([&self.config])
            .env("RINGWAY_LOG", "warn")
    }

    pub(crate) fn node(&self, ground: &Ground, n: usize) -> anyhow::Result<Server> {
        let (listen, admin) = (free_port(), free_port());
        let program = self
            .program(&format!("node-{n}"), "node", ground)
            .env("RINGWAY_NODE__ID", format!("node-{n}"))
            .env("RINGWAY_NODE__LISTEN", listen.to_string())
            .env("RINGWAY_NODE__PUBLIC_URL", format!("ws://{listen}"))
            .env("RINGWAY_NODE__ADMIN", admin.to_string());
        Server::start(program, listen, admin)
    }

    fn gateway(&self, ground: &Ground, way: Way, n: usize) -> anyhow::Result<Server> {
        let (listen, admin) = (free_port(), free_port());
        let program = self
            .program(&format!("gateway-{n}"), "gateway", ground)
            .env("RINGWAY_GATEWAY__PATH", way.name())
            .env("RINGWAY_GATEWAY__LISTEN", listen.to_string())
            .env("RINGWAY_GATEWAY__ADMIN", admin.to_string());
        Server::start(program, listen, admin)
    }
}

/// `RINGWAY_BIN`, else the repository's release build, made now where there is none.
fn binary(root: &Path) -> anyhow::Result<PathBuf> {
    if let Some(binary) = env::var_os("RINGWAY_BIN") {
        return Ok(binary.into());
    }
    let binary = root.join("target/release/ringway");
    if !binary.exists() {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "-p", "ringway"]).current_dir(root);
        let status = cargo.env_remove("CARGO_TARGET_DIR").status().context("cargo doesn't start")?;
        ensure!(status.success(), "cargo build -p ringway: {status}");
    }
    Ok(binary)
}

/// A room's replay buffer isn't a connection's memory: the room that takes large messages and has no members keeps none.
const NOBODY: &str = "\n[[classes]]\nrooms = \"room-1\"\nreplay = { messages = 0, age = \"30s\" }\n";

const KEYS: &str = "keys = [{ alg = \"HS256\", file = \"tenant.key\" }]\n";

/// Writes the file that all processes share; what differs between them is set by environment.
fn configuration(ground: &Ground, classes: &str, nats: Option<SocketAddr>) -> anyhow::Result<PathBuf> {
    fs::write(ground.scratch.join("tenant.key"), TENANT_SECRET)?;
    let nats = nats.map(|address| format!("[nats]\nurls = [\"nats://{address}\"]\n\n")).unwrap_or_default();
    let text = format!(
        "[gateway]\nauth = \"jwt\"\n\n\
         {nats}\
         [cluster]\nsecret = \"{CLUSTER_SECRET}\"\n\n\
         [tenants.{TENANT}]\n{KEYS}\n\
         [tenants.{FREE}]\n{KEYS}\n\
         [tenants.{NOISY}]\n{KEYS}limits = {{ publish_per_second = {NOISY_LIMIT} }}\n"
    );
    let file = ground.scratch.join("ringway.toml");
    fs::write(&file, format!("{text}{NOBODY}{classes}"))?;
    Ok(file)
}
