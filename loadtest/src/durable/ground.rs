//! What the figures stand on: a NATS server with JetStream on cores of its own, and nodes with a store.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ringway_testkit::metrics::Scrape;
use ringway_testkit::nats::server_path;
use ringway_testkit::ports::free_port;
use serde_json::{Value, json};

use super::nats::Nats;
use super::words::STORE;
use crate::proc;
use crate::target::process::{Process, Program};
use crate::target::{Ground, Ringway, Role, Server};

/// What the configuration says of rooms: all those of these figures are durable. What they keep is more than is missed
/// anywhere.
const CLASSES: &str = "\n[stores.figures]\nmessages_per_room = 1_000\nage = \"24h\"\nbytes = \"20GiB\"\n\n\
                       [[classes]]\nrooms = \"d-*\"\nstore = \"figures\"\n";

/// How long a node may take to make its stream.
const STREAM_WITHIN: Duration = Duration::from_secs(20);

/// Which processes may use which cores.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    pub(super) nats: Vec<usize>,
    pub(super) nodes: Vec<usize>,
    /// This process: clients, and raw publishers.
    pub(super) clients: Vec<usize>,
}

impl Cores {
    /// NATS on the first core, everything else on the others.
    pub(super) fn apart() -> Cores {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let others: Vec<usize> = (1.min(cores - 1)..cores).collect();
        Cores { nats: vec![0], nodes: others.clone(), clients: others }
    }

    /// All on all.
    pub(super) fn together() -> Cores {
        let all: Vec<usize> = (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
        Cores { nats: all.clone(), nodes: all.clone(), clients: all }
    }
}

/// A NATS server with JetStream, its store in the scratch directory, and whatever nodes were started.
pub(super) struct World {
    pub(super) nats: SocketAddr,
    server: Process,
    ringway: Ringway,
    ground: Ground,
    pub(super) nodes: Vec<Option<Server>>,
}

impl World {
    /// An empty NATS server, and no node.
    pub(super) fn begin(root: &std::path::Path, name: &str, cores: &Cores) -> anyhow::Result<World> {
        let scratch = root.join("target/loadtest/scratch/durable").join(name);
        // Left over from the last time, or not there.
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        let ground = Ground {
            root: root.to_owned(),
            tools: root.join("target/loadtest/tools"),
            scratch,
            servers_on: cores.nodes.clone(),
            generator_on: cores.nats.clone(),
            connections: 0,
        };
        let binary = server_path()?;
        let nats = free_port();
        let store: PathBuf = ground.scratch.join("jetstream");
        let config = ground.scratch.join("nats.conf");
        // Where its own idea of the disk's room ends differs between machines; the store's limit is the configuration's.
        fs::write(&config, format!("jetstream {{ store_dir: {store:?}, max_file_store: 64GB }}\n"))?;
        let server = Program::new("nats", &binary, &cores.nats, &ground.scratch)
            .args(["-a", "127.0.0.1", "-p", &nats.port().to_string(), "-c"])
            .args([&config])
            .start()?;
        server.wait_for(nats)?;
        let ringway = Ringway::new(&ground, CLASSES, Some(nats))?;
        proc::pin(std::process::id(), &cores.clients)?;
        Ok(World { nats, server, ringway, ground, nodes: Vec::new() })
    }

    /// One more node, ready, with its store.
    pub(super) fn node(&mut self) -> anyhow::Result<usize> {
        let number = self.nodes.len();
        let node = self.ringway.node(&self.ground, number)?;
        self.nodes.push(Some(node));
        // A node is ready with its stream made or soon after.
        let began = Instant::now();
        while let Err(error) = self.stream() {
            ensure!(began.elapsed() < STREAM_WITHIN, "a node that is ready, and no stream: {error:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(number)
    }

    /// The node's address for clients.
    pub(super) fn listen(&self, node: usize) -> SocketAddr {
        self.server(node).listen
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// A connection to NATS.
    pub(super) fn connect(&self) -> anyhow::Result<Nats> {
        Nats::connect(self.nats)
    }

    /// The stream of the store, as its server tells of it.
    pub(super) fn stream(&self) -> anyhow::Result<Value> {
        let mut nats = self.connect()?;
        let names = nats.ask("$JS.API.STREAM.NAMES", &json!({}))?;
        let mut names = names["streams"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let name = names.find(|name| name.ends_with(STORE)).context("there is no stream of the store")?;
        nats.ask(&format!("$JS.API.STREAM.INFO.{name}"), &json!({}))
    }

    /// A node's own figures.
    pub(super) fn metrics(&self, node: usize) -> anyhow::Result<Scrape> {
        let answer = ringway_testkit::http::get(self.server(node).admin, "/metrics").context("no metrics")?;
        Ok(Scrape::parse(&answer.body))
    }

    /// Seconds of CPU since the start, and bytes resident now.
    pub(super) fn nats_usage(&self) -> (f64, u64) {
        usage(self.server.pid())
    }

    pub(super) fn node_usage(&self, node: usize) -> (f64, u64) {
        usage(self.server(node).process.pid())
    }

    fn server(&self, node: usize) -> &Server {
        self.nodes[node].as_ref().expect("a node that wasn't killed")
    }
}

fn usage(pid: u32) -> (f64, u64) {
    let reading = proc::read(&[Role { name: "one", pids: vec![pid] }]);
    reading.get("one").map_or((0.0, 0), |one| (one.cpu, one.rss))
}
