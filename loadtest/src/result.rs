//! What a run leaves behind: one JSON file in `target/loadtest/<plan>/runs/`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::control::{Histogram, Lag};

/// One target, started once, measured through one script, one repetition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `quick`, `full`, …
    pub(crate) plan: String,
    /// The script: which phases follow each other. `core` (connect, idle, broadcast), `echo`, `rooms` ….
    pub(crate) script: String,
    /// As in tables: `floor`, `ringway direct`, `websockets` ….
    pub(crate) target: String,
    /// The way a message takes: `node alone`, `gateway and node` ….
    pub(crate) path: String,
    /// Roles that stand beside the server and aren't it.
    pub(crate) beside: Vec<String>,
    /// What was typed.
    pub(crate) command: String,
    /// What ran, with versions: `websockets 16.0, uvloop 0.22, Python 3.11`.
    pub(crate) versions: String,
    /// 0, 1, 2 …
    pub(crate) repetition: usize,
    /// Unix seconds at the start.
    pub(crate) at: u64,
    pub(crate) machine: Machine,
    /// Not measured at all, and why: what isn't installed here, or broke.
    pub(crate) absent: Option<String>,
    pub(crate) phases: Vec<Phase>,
}

impl Run {
    /// The processes that are the server: every role but what stands beside.
    pub(crate) fn server<'a>(&'a self, phase: &'a Phase) -> impl Iterator<Item = (&'a str, &'a Use)> {
        let roles = phase.roles.iter().map(|(role, used)| (role.as_str(), used));
        roles.filter(|(role, _)| !self.beside.iter().any(|beside| beside == role))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) memory_gib: f64,
    /// The cores that servers and generator were held to, and the load average when the run began.
    pub(crate) servers_on: Vec<usize>,
    pub(crate) generator_on: Vec<usize>,
    pub(crate) load: f64,
}

/// A stretch of a run, from a snapshot of the server's processes to the next.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Phase {
    /// `connect`, `idle`, `single`, `eight`, `window`, `big`, `left`, `echo` ….
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// Open at its end.
    pub(crate) connections: usize,
    /// Messages published.
    pub(crate) sent: u64,
    pub(crate) body_bytes: usize,
    /// Deliveries that were due, and that came.
    pub(crate) due: u64,
    pub(crate) deliveries: u64,
    /// Deliveries that were due and didn't come within 40 s. (Of some phases not all that came were due: `due` counts
    /// those that must.)
    pub(crate) lost: u64,
    /// Payload bytes of one delivery, on average.
    pub(crate) delivery_bytes: f64,
    /// Deliveries that one read of the client brought, on average.
    pub(crate) deliveries_per_read: f64,
    pub(crate) out_of_order: u64,
    /// Connections opened in this phase, that failed to, and that the server closed.
    pub(crate) opened: usize,
    pub(crate) failed: usize,
    pub(crate) closed: u64,
    /// The server's processes by role: `node`, `gateway`, `nats`, `server`, `proxy`, `redis`.
    pub(crate) roles: BTreeMap<String, Use>,
    /// The generator's own CPU time in this phase, seconds, and the share of its cores that it used.
    pub(crate) generator_cpu: f64,
    pub(crate) generator_busy: f64,
    /// Microseconds: each delivery (or, in `connect`, each connection); each message's last delivery; how late the
    /// generator sent.
    pub(crate) latency: Histogram,
    pub(crate) last: Histogram,
    pub(crate) lateness: Histogram,
    /// How those connections were closed that the server closed: `1008 Slow consumer`, and how many.
    #[serde(default)]
    pub(crate) closes: BTreeMap<String, u64>,
    /// Times that a server said that something is missing, and how many messages.
    #[serde(default)]
    pub(crate) gaps: u64,
    #[serde(default)]
    pub(crate) missed: u64,
    /// Connections that didn't read, or only little at a time.
    #[serde(default)]
    pub(crate) slow: usize,
    /// What became of each of those that read little at a time.
    #[serde(default)]
    pub(crate) lags: Vec<Lag>,
    /// What somebody else did beside what is measured.
    #[serde(default)]
    pub(crate) beside: Option<Beside>,
    /// Where deliveries were made, where nodes were asked.
    #[serde(default)]
    pub(crate) placed: Placed,
    /// Where a node was taken away.
    #[serde(default)]
    pub(crate) fault: Option<Fault>,
    /// Members of rooms on each node, where nodes were asked.
    #[serde(default)]
    pub(crate) members: Vec<u64>,
    /// The different orders in which connections got what came, as far as they were told: see
    /// [`Collected::orders`](crate::control::Collected).
    #[serde(default)]
    pub(crate) orders: BTreeSet<u32>,
    /// Over time, where a phase is watched: see [`Sample`].
    pub(crate) samples: Vec<Sample>,
    /// What should have gone by its end and hasn't: gauges that aren't as they were before the first connection.
    pub(crate) left_over: Vec<String>,
    /// What a reader should know: the first failure, a deadline that passed.
    pub(crate) notes: Vec<String>,
}

/// What a node's end did to those that were on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Seconds from the signal to the moment when the gateway's ring gave the node nothing any more, so that it said who follows.
    /// None: it went on giving.
    pub(crate) known: Option<f64>,
    /// Connections that were open at the end.
    pub(crate) open: usize,
    /// The longest time without a delivery of each of them, microseconds.
    pub(crate) silences: Histogram,
    /// From that moment to the delivery that ended it, of those that were silent then, microseconds.
    pub(crate) flowing: Histogram,
}

/// Load beside what is measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// Messages published, those of them that the server refused, and deliveries of the others.
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    pub(crate) deliveries: u64,
}

/// Counters of all nodes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// Deliveries on the room's node, and on others.
    pub(crate) owner: u64,
    pub(crate) elsewhere: u64,
    /// Publications received from other nodes for rooms with members there, and for others.
    pub(crate) wanted: u64,
    pub(crate) unwanted: u64,
}

impl Placed {
    pub(crate) fn add(&mut self, other: &Self) {
        self.owner += other.owner;
        self.elsewhere += other.elsewhere;
        self.wanted += other.wanted;
        self.unwanted += other.unwanted;
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            owner: self.owner.saturating_sub(before.owner),
            elsewhere: self.elsewhere.saturating_sub(before.elsewhere),
            wanted: self.wanted.saturating_sub(before.wanted),
            unwanted: self.unwanted.saturating_sub(before.unwanted),
        }
    }

    /// λ; none where nothing was delivered.
    pub(crate) fn lambda(&self) -> Option<f64> {
        let all = self.owner + self.elsewhere;
        (all > 0).then(|| self.elsewhere as f64 / all as f64)
    }

    /// The share of what was received that nobody wanted; none where nothing was received.
    pub(crate) fn unwanted(&self) -> Option<f64> {
        let all = self.wanted + self.unwanted;
        (all > 0).then(|| self.unwanted as f64 / all as f64)
    }
}

/// What a role's processes used in a phase.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Use {
    /// Seconds of CPU.
    pub(crate) cpu: f64,
    /// Bytes resident at the phase's beginning and end.
    pub(crate) rss_before: u64,
    pub(crate) rss_after: u64,
    /// Open descriptors at its beginning and end.
    pub(crate) files_before: usize,
    pub(crate) files: usize,
}

/// A moment of a phase.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds since the phase began.
    pub(crate) at: f64,
    pub(crate) connections: usize,
    pub(crate) deliveries: u64,
    /// Resident bytes, descriptors, and CPU seconds since the phase began, by role.
    pub(crate) rss: BTreeMap<String, u64>,
    pub(crate) files: BTreeMap<String, usize>,
    pub(crate) cpu: BTreeMap<String, f64>,
    /// Bytes that the kernel holds for all TCP sockets of the machine, both ends of each connection.
    #[serde(default)]
    pub(crate) kernel: u64,
}
