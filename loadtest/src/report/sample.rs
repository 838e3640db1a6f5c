//! Plausible runs, to be looked at and tested with. No figure here was measured.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::control::Histogram;
use crate::histogram;
use crate::result::{Machine, Phase, Run, Sample, Use};

/// How a made-up target behaves, in the order of `TARGETS`' columns.
struct Manner {
    name: &'static str,
    roles: &'static [&'static str],
    /// Times the floor: one at a time, eight together.
    single: f64,
    eight: f64,
    /// Bytes a connection.
    memory: f64,
    /// Microseconds of CPU per connection opened.
    opening: f64,
}

const fn manner(
    name: &'static str,
    roles: &'static [&'static str],
    (single, eight): (f64, f64),
    memory: f64,
    opening: f64,
) -> Manner {
    Manner { name, roles, single, eight, memory, opening }
}

pub(super) const TARGETS: [&str; 16] = [
    "floor",
    "ringway direct",
    "ringway direct json",
    "ringway gateway",
    "ringway serve",
    "tungstenite",
    "uWebSockets.js",
    "ws",
    "Socket.IO",
    "websockets",
    "picows",
    "FastAPI",
    "python-socketio",
    "Centrifugo",
    "ws behind nginx",
    "ws behind <haproxy>",
];

fn manners() -> Vec<Manner> {
    let figures = [
        (&["server"][..], (1.0, 0.98), 320.0, 18.0),
        (&["node", "nats"], (1.06, 0.165), 1_180.0, 44.0),
        (&["node", "nats"], (1.09, 0.18), 1_190.0, 47.0),
        (&["gateway", "node", "nats"], (2.72, 0.9), 2_700.0, 96.0),
        (&["server"], (1.14, 0.17), 1_350.0, 55.0),
        (&["server"], (1.52, 1.49), 9_100.0, 61.0),
        (&["server"], (1.09, 0.24), 450.0, 26.0),
        (&["server"], (1.81, 1.7), 11_400.0, 140.0),
        (&["server", "redis"], (2.9, 2.6), 15_100.0, 580.0),
        (&["server"], (2.2, 2.0), 12_500.0, 210.0),
        (&["server"], (1.21, 1.2), 28_000.0, 90.0),
        (&["server"], (8.1, 7.9), 22_000.0, 395.0),
        (&["server", "redis"], (19.2, 17.5), 41_000.0, 900.0),
        (&["server"], (2.4, 0.5), 50_000.0, 250.0),
        (&["proxy", "server"], (3.7, 3.5), 29_300.0, 230.0),
        (&["proxy", "server"], (4.1, 4.0), 16_000.0, 190.0),
    ];
    TARGETS
        .into_iter()
        .zip(figures)
        .map(|(name, (roles, cost, memory, opening))| manner(name, roles, cost, memory, opening))
        .collect()
}

/// A generator of numbers that look like chance: 0 to 1, the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn around(&mut self, value: f64, by: f64) -> f64 {
        value * (1.0 + by * (2.0 * self.next() - 1.0))
    }

    /// Latencies with a long tail.
    fn latencies(&mut self, middle: f64, count: usize) -> Histogram {
        let mut histogram = histogram::empty();
        for _ in 0..count {
            let (a, b) = (self.next().max(1e-9), self.next());
            let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
            histogram.saturating_record((middle * (0.45 * normal).exp()) as u64 + 1);
        }
        histogram::pack(&histogram)
    }
}

const SCRIPTS: [&str; 12] = [
    "core", "core-10k", "window", "memory", "idle", "echo", "rooms-5", "churn", "slow", "storm", "soak",
    "odd",
];

/// Every script, the first of them three times over, some of it gone wrong.
pub(super) fn runs() -> Vec<Run> {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    RUNS.get_or_init(make).clone()
}

fn make() -> Vec<Run> {
    let mut chance = Chance(7);
    let mut runs = Vec::new();
    for (place, manner) in manners().iter().enumerate() {
        let ours = manner.name.starts_with("ringway");
        let scripts: &[&str] = match (ours || place == 0, place < 9) {
            (true, _) => &SCRIPTS,
            (false, true) => &["core", "core-10k", "memory", "echo", "churn"],
            (false, false) => &["core", "memory"],
        };
        for script in scripts {
            let repetitions = if script.starts_with("core") { 3 } else { 1 };
            for repetition in 0..repetitions {
                runs.push(one(&mut chance, manner, script, repetition, 6.9 + 0.8 * repetition as f64));
            }
        }
    }
    runs.push(Run {
        absent: Some("needs Erlang & Elixir, which aren't here".into()),
        phases: Vec::new(),
        ..one(&mut chance, &manner("Phoenix", &[], (1.0, 1.0), 1.0, 1.0), "core", 0, 7.0)
    });
    runs
}

fn one(chance: &mut Chance, manner: &Manner, script: &str, repetition: usize, floor: f64) -> Run {
    let connections = match script {
        "core-10k" => 10_000,
        "idle" => 15_000,
        "echo" | "rooms-5" => 1_000,
        "memory" => 4_000,
        "window" => 200,
        _ => 2_000,
    };
    let phases: &[&str] = match script {
        "core" | "core-10k" => &["connect", "idle", "warm", "single", "eight", "left"],
        "window" => &["connect", "warm", "window"],
        "memory" => &["connect", "idle", "big", "left"],
        "idle" => &["connect", "settle", "idle"],
        "echo" => &["connect", "echo"],
        "rooms-5" => &["connect", "rooms"],
        "churn" => &["connect", "churn"],
        "slow" => &["connect", "before", "stalled"],
        "storm" => &["connect", "storm", "after"],
        "soak" => &["connect", "soak", "left"],
        _ => &["connect", "curious"],
    };
    let phases = phases.iter().map(|name| phase(chance, manner, name, connections, floor)).collect();
    Run {
        plan: "sample".into(),
        script: script.into(),
        target: manner.name.into(),
        path: "a way".into(),
        beside: vec!["nats".into(), "redis".into()],
        command: "cargo run --release -p ringway-loadtest -- run sample".into(),
        versions: format!("{} 1.2.3, made up", manner.name),
        repetition,
        at: 1_769_817_600 + repetition as u64 * 600,
        machine: Machine {
            cpu: "A processor that isn't there".into(),
            cores: 2,
            kernel: "Linux 6.18".into(),
            memory_gib: 23.0,
            servers_on: vec![0],
            generator_on: vec![1],
            load: chance.around(0.6, 0.5),
        },
        absent: None,
        phases,
    }
}

fn phase(chance: &mut Chance, manner: &Manner, name: &str, connections: usize, floor: f64) -> Phase {
    let members = connections as u64;
    let sent = match name {
        "single" => 200,
        "eight" => 800,
        "window" => 10_000,
        "big" => members,
        "warm" | "after" => 2,
        "echo" | "rooms" | "before" | "stalled" | "churn" | "soak" | "curious" => 400,
        _ => 0,
    };
    let due = match name {
        "echo" | "big" => sent,
        _ => sent * members,
    };
    let times = match name {
        "eight" | "window" => manner.eight,
        "big" => manner.single * 6.0,
        _ => manner.single,
    };
    let opened = if matches!(name, "connect" | "churn" | "storm") { connections } else { 0 };
    let micros = due as f64 * floor * times + opened as f64 * manner.opening;
    let cpu = chance.around(micros / 1e6 + 0.004 * connections as f64 / 15_000.0, 0.04);
    let held = match name {
        "left" => 0.08,
        "big" => 1.04,
        _ => 1.0,
    };
    let base = 14e6;
    let mut roles = BTreeMap::new();
    let count = manner.roles.iter().filter(|role| !["nats", "redis"].contains(role)).count() as f64;
    for role in manner.roles {
        let share =
            if matches!(*role, "gateway" | "proxy") { 0.6 } else { 1.0 - 0.6 * (count - 1.0).min(1.0) };
        let full = base + manner.memory * share * connections as f64 * held;
        roles.insert(
            (*role).to_owned(),
            Use {
                cpu: cpu * share,
                rss_before: if name == "connect" { base as u64 } else { full as u64 },
                rss_after: chance.around(full, 0.004) as u64,
                files_before: 20,
                files: connections + 20,
            },
        );
    }
    let seconds = if matches!(name, "idle" | "soak" | "churn") { 60.0 } else { 12.0 };
    let middle = 90.0 + members as f64 * floor * times.max(0.3) / 2.0;
    let watched = matches!(name, "idle" | "soak" | "churn") && (name != "idle" || connections == 15_000);
    let broken = manner.name == "websockets" && name == "eight";
    let counted = if due > 0 || opened > 0 { 3_000 } else { 0 };
    Phase {
        name: name.into(),
        seconds,
        connections: if name == "left" { 0 } else { connections },
        sent,
        body_bytes: if name == "big" { 60_000 } else { 128 },
        due,
        deliveries: if broken { due - 1_234 } else { due },
        lost: if broken { 1_234 } else { 0 },
        deliveries_per_read: if due > 0 && times < 0.9 { 7.6 } else { f64::from(u8::from(due > 0)) },
        out_of_order: if broken { 3 } else { 0 },
        opened,
        failed: usize::from(manner.name == "FastAPI" && name == "connect"),
        closed: if name == "stalled" { 10 } else { 0 },
        roles: roles.clone(),
        generator_cpu: cpu * 0.7,
        generator_busy: if broken { 0.97 } else { chance.around(0.4, 0.3) },
        latency: chance.latencies(middle, counted),
        last: if due > 0 { chance.latencies(middle * 2.1, 200) } else { Histogram::default() },
        lateness: if due > 0 { chance.latencies(30.0, 400) } else { Histogram::default() },
        samples: if watched { samples(chance, &roles, connections, due) } else { Vec::new() },
        left_over: if name == "left" && manner.name == "ringway direct json" {
            vec!["ringway_node_rooms: 1 more".into()]
        } else {
            Vec::new()
        },
        notes: if broken { vec!["deadline of 30 s passed with <1,234> missing".into()] } else { Vec::new() },
        ..Phase::default()
    }
}

fn samples(chance: &mut Chance, roles: &BTreeMap<String, Use>, connections: usize, due: u64) -> Vec<Sample> {
    (0..=60)
        .map(|at| {
            let part = f64::from(at) / 60.0;
            let rss = roles.iter().map(|(role, used)| {
                let settled = 1.0 - 0.1 * (-6.0 * part).exp() + 0.002 * part;
                (role.clone(), chance.around(used.rss_after as f64 * settled, 0.002) as u64)
            });
            Sample {
                at: f64::from(at),
                connections,
                deliveries: (due as f64 * part) as u64,
                rss: rss.collect(),
                files: roles.iter().map(|(role, used)| (role.clone(), used.files)).collect(),
                cpu: roles.iter().map(|(role, used)| (role.clone(), used.cpu * part)).collect(),
                kernel: 0,
            }
        })
        .collect()
}
