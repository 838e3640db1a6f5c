//! What is run: plans of steps, each a script for some targets, some times over.

mod script;
mod verdict;

pub(crate) use script::{Fault, Rooms, Script};
pub(crate) use verdict::judge;

use anyhow::bail;

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wish {
    /// One of `loadtest list`
    pub(crate) plan: String,
    /// Only targets whose name contains this (several: any of them); the floor always runs
    #[arg(long)]
    only: Vec<String>,
    /// Only this script of the plan (several: any of them)
    #[arg(long)]
    script: Vec<String>,
    /// Repetitions, instead of the plan's
    #[arg(long)]
    repeat: Option<usize>,
    /// Keep the results that are there, and add to them
    #[arg(long)]
    pub(crate) add: bool,
    /// Cores for the servers, as `0` or `0,1`; default: the lower half
    #[arg(long, value_delimiter = ',')]
    servers_on: Vec<usize>,
    /// Cores for the generator and for what stands beside the servers; default: the upper half
    #[arg(long, value_delimiter = ',')]
    generator_on: Vec<usize>,
}

pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// What was typed.
    pub(crate) command: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) servers_on: Vec<usize>,
    pub(crate) generator_on: Vec<usize>,
}

/// A script, once for each target, the whole so many times.
pub(crate) struct Step {
    pub(crate) script: Script,
    pub(crate) targets: Vec<&'static str>,
    pub(crate) repetitions: usize,
}

const FLOOR: &str = "floor";
const OURS: [&str; 3] = ["ringway direct", "ringway gateway", "ringway serve"];

/// Every plan: its name, what it is for, its steps.
fn plans() -> Vec<(&'static str, &'static str, Vec<Step>)> {
    let few: Vec<&'static str> = [&[FLOOR], &OURS[..], &["tokio-tungstenite", "websockets"]].concat();
    let hop = ["floor over NATS", "ringway two nodes"];
    let several = "ringway three nodes";
    let spread = ["ringway spread 1", "ringway spread 3"];
    let lenient = |name: &str| name.ends_with("drop_oldest") || name.ends_with("conflate");
    let names = || crate::target::all().into_iter().map(|target| target.name);
    let apart = |name: &str| hop.contains(&name) || spread.contains(&name) || name.ends_with("three nodes");
    let everyone: Vec<&'static str> = names().filter(|name| !apart(name) && !lenient(name)).collect();
    let policies: Vec<&'static str> = names()
        .filter(|name| OURS.contains(name) || (name.starts_with("ringway") && lenient(name)))
        .collect();
    let newest = ["ringway direct conflate", "ringway gateway conflate", "ringway serve conflate"];
    let buffering = ["ringway serve", "ringway serve drop_oldest", "tokio-tungstenite", "websockets"];
    let (gateways, policies): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|name| ["gateway", "relay"].iter().any(|way| name.contains(way)));
    let main_rivals = ["tokio-tungstenite", "websockets", "socket.io"];
    let more_rivals =
        [FLOOR, "websockets sequential", "websockets gathered", "fastapi", "picows", "ws", "centrifugo"];
    let ours: Vec<&'static str> = [&[FLOOR], &OURS[..]].concat();
    let relays = [FLOOR, "ringway direct", "ringway gateway", "ringway relay", "nginx + serve", "centrifugo"];
    let threes = ["ringway direct three nodes", several, "ringway relay three nodes"];
    let step = |script, targets: &[&'static str], repetitions| Step {
        script,
        targets: targets.to_vec(),
        repetitions,
    };
    let slow = Script::Slow { connections: 300 };
    let core = Script::Core { connections: 2_000, pace: 1.0, seconds: 2.0 };
    let crowd = Script::Core { connections: 10_000, pace: 0.2, seconds: 4.0 };
    let echoing = [
        FLOOR,
        "ringway direct",
        "ringway gateway",
        "ringway serve",
        "tokio-tungstenite",
        "websockets",
        "ws",
    ];
    let seed = [
        FLOOR,
        "ringway direct",
        "ringway gateway",
        "ringway serve",
        "tokio-tungstenite",
        "websockets",
        "websockets sequential",
        "websockets gathered",
    ];
    let stalling = [
        "ringway direct",
        "ringway direct drop_oldest",
        "ringway direct conflate",
        "tokio-tungstenite",
        "websockets",
    ];
    let rooms = |each, tagged| Script::Rooms { connections: 2_000, rooms: Rooms { each, tagged } };
    let many = |per_second| Script::Many { rooms: 500, members: 4, per_second };
    let fault = |fault| Script::Fault { connections: 3_000, fault };
    let roomy = ["ringway direct", "ringway gateway", "ringway serve", several];
    vec![
        (
            "quick",
            "the floor, Ringway's three paths, tokio-tungstenite and websockets: eight minutes",
            vec![
                step(core, &few, 5),
                step(Script::Memory { connections: 8_000 }, &few, 1),
                step(Script::Window, &ours, 2),
                step(Script::Hop, &hop, 3),
                step(slow, &stalling, 1),
                step(Script::Conflate, &["ringway direct conflate"], 1),
                step(Script::Noisy, &["ringway direct"], 1),
            ],
        ),
        (
            "full",
            "everything, among it 10,000 connections and all the alternatives: half an hour, and the tools' installing",
            vec![
                step(core, &everyone, 3),
                step(Script::Memory { connections: 8_000 }, &everyone, 1),
                step(Script::OwnRooms { connections: 4_000 }, &few, 1),
                step(Script::Window, &ours, 3),
                step(Script::Hop, &hop, 3),
                step(crowd, &seed, 2),
                step(Script::Idle { connections: 15_000, seconds: 30.0 }, &["ringway direct"], 1),
                step(Script::Idle { connections: 50_000, seconds: 10.0 }, &["ringway direct"], 1),
                step(Script::Echo { connections: 10_000, per_second: 4_000.0 }, &echoing, 1),
                step(Script::Upgrade { connections: 2_000 }, &ours, 3),
                step(rooms(1, false), &roomy, 1),
                step(rooms(5, false), &roomy, 1),
                step(rooms(5, true), &roomy, 1),
                step(Script::Churn { connections: 2_000 }, &few, 1),
                step(slow, &few, 1),
                step(Script::Storm { connections: 5_000 }, &few, 1),
            ],
        ),
        (
            "slow",
            "those that don't keep up, or ask for too much, under every policy, and what others do with them",
            vec![
                step(slow, &policies, 5),
                step(slow, &gateways, 5),
                step(slow, &main_rivals, 3),
                step(slow, &more_rivals, 1),
                step(Script::Conflate, &newest, 3),
                step(Script::Conflate, &buffering, 1),
                step(Script::Noisy, &OURS, 5),
            ],
        ),
        (
            "placement",
            "a room too big for one node, what crosses nodes, and what a gateway adds to an upgrade: seven minutes",
            vec![
                step(Script::Hot { connections: 15_000, per_second: 2.0, seconds: 24.0 }, &spread, 5),
                step(rooms(5, false), &[several], 3),
                step(rooms(5, true), &[several], 3),
                step(Script::Upgrade { connections: 2_000 }, &OURS[..2], 3),
            ],
        ),
        (
            "relay",
            "a gateway that holds the sockets, beside the tunnel, nodes alone and others: a quarter of an hour",
            vec![
                step(core, &relays, 3),
                step(Script::Memory { connections: 8_000 }, &relays[1..], 1),
                step(Script::Further { connections: 4_000 }, &relays[1..4], 1),
                step(many(10_000.0), &threes, 3),
                step(many(2_000.0), &threes, 3),
                step(rooms(5, false), &threes[1..], 2),
                step(fault(Fault::Drain), &threes[2..], 3),
                step(fault(Fault::Kill), &threes[2..], 3),
                step(fault(Fault::Stop), &threes[2..], 3),
                step(fault(Fault::Drain), &threes[1..2], 1),
                step(fault(Fault::Kill), &threes[1..2], 1),
                step(fault(Fault::Stop), &threes[1..2], 1),
            ],
        ),
        (
            "soak",
            "ten minutes of coming, going and broadcast; fails if anything stays",
            vec![step(Script::Soak { connections: 2_000, seconds: 600.0 }, &["ringway gateway"], 1)],
        ),
    ]
}

/// What was wished for.
///
/// # Errors
/// No such plan, or nothing of it left.
pub(crate) fn plan(wish: &Wish) -> anyhow::Result<Plan> {
    let Some((name, _, mut steps)) = plans().into_iter().find(|(name, ..)| *name == wish.plan) else {
        let names: Vec<_> = plans().iter().map(|(name, ..)| *name).collect();
        bail!("no plan is called {:?}; there are {}", wish.plan, names.join(", "));
    };
    let wanted =
        |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    for step in &mut steps {
        let floor = step.script.needs_floor();
        step.targets.retain(|target| (floor && *target == FLOOR) || wanted(&wish.only, target));
        step.repetitions = wish.repeat.unwrap_or(step.repetitions);
    }
    steps.retain(|step| wanted(&wish.script, &step.script.name()) && !step.targets.is_empty());
    if steps.is_empty() {
        bail!("nothing of the plan {name:?} is left: see `loadtest list`");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let half = |given: &[usize], from: usize, to: usize| match given {
        [] => (from.min(cores - 1)..to.max(1)).collect(),
        given => given.to_vec(),
    };
    let typed = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    Ok(Plan {
        name,
        command: format!("cargo run --release -p ringway-loadtest -- {typed}"),
        steps,
        servers_on: half(&wish.servers_on, 0, cores / 2),
        generator_on: half(&wish.generator_on, cores / 2, cores),
    })
}

/// Prints plans and targets.
pub(crate) fn list() -> anyhow::Result<()> {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let mut text = String::new();
    for (name, what, steps) in plans() {
        writeln!(text, "{name}: {what}")?;
        for step in steps {
            writeln!(
                text,
                "    {:<10} × {}  {}",
                step.script.name(),
                step.repetitions,
                step.targets.join(", ")
            )?;
        }
    }
    writeln!(text, "\ntargets:")?;
    for target in crate::target::all() {
        writeln!(text, "    {:<26} {}", target.name, target.path)?;
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
