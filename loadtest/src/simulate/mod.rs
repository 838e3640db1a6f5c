//! Clusters that don't fit on a machine, placed by the real ring: who is where, what crosses nodes, what moves, what it asks of
//! NATS. Nothing is sent; see `docs/scaling.md`.

mod chart;
mod cluster;
mod cost;
mod crowd;
mod figures;
mod grain;
mod headline;
mod nats;
mod plots;
mod study;
#[cfg(test)]
mod tests;
mod traffic;
mod world;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use cost::Cost;
use crowd::Crowd;
use headline::Row;
use study::{FIVE, KINDS, Move};
use traffic::Traffic;
use world::{Kind, World};

const NODES: [u16; 8] = [3, 5, 10, 20, 50, 100, 300, 1_000];
const CHANGED: [u16; 3] = [20, 100, 1_000];

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Ask {
    /// Another seed makes other clients; the rooms stay where they are
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No cluster of more nodes than this (1,000 nodes are 10 million connections, and take 1.5 GB of memory)
    #[arg(long, default_value_t = 1_000)]
    most_nodes: u16,
    /// Where plots and figures go
    #[arg(long, default_value = "docs/scaling")]
    out: PathBuf,
}

/// What is looked at.
struct Scope {
    users: u32,
    nodes: Vec<u16>,
    /// Where it is looked at what moves, and what a view costs.
    changed: Vec<u16>,
}

/// All that was found.
struct Found {
    headline: Vec<Row>,
    /// Kinds, each with ever more nodes.
    kinds: Vec<(Kind, Vec<Traffic>)>,
    /// The largest of [`FIVE`] without rooms being spread.
    unspread: Option<Traffic>,
    moves: Vec<Move>,
    costs: Vec<Cost>,
}

/// Simulates, and writes `figures.md` and plots.
pub(crate) fn run(ask: &Ask) -> anyhow::Result<()> {
    let start = Instant::now();
    let load = crate::proc::machine(&[], &[]).load;
    let up_to = |nodes: &[u16]| nodes.iter().copied().filter(|&n| n <= ask.most_nodes).collect::<Vec<_>>();
    let scope = Scope { users: headline::USERS, nodes: up_to(&NODES), changed: up_to(&CHANGED) };
    let found = find(&scope, ask.seed, &mut say)?;
    fs::create_dir_all(&ask.out).with_context(|| format!("making {}", ask.out.display()))?;
    for (name, svg) in plots::all(&found)? {
        write(&ask.out.join(name), &svg)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    write(&ask.out.join("figures.md"), &figures::markdown(&found, ask.seed, seconds, load))
}

fn find(
    Scope { users, nodes, changed }: &Scope,
    seed: u64,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Found> {
    say("costs of a view");
    let costs = changed.iter().map(|&nodes| cost::cost(nodes)).collect::<anyhow::Result<_>>()?;
    say("100,000 users in five rooms each on 20 nodes");
    let headline = headline::rows(*users, seed)?;
    let mut kinds = Vec::new();
    for kind in KINDS {
        let mut traffic = Vec::new();
        for &nodes in nodes {
            say(&format!("{}: {nodes} nodes", kind.name));
            traffic.push(study::look(kind, study::filling(nodes), nodes, seed)?);
        }
        kinds.push((kind, traffic));
    }
    let mut unspread = None;
    if let Some(&most) = nodes.last() {
        say(&format!("{}: {most} nodes, no room spread", FIVE.name));
        let world = World::new(FIVE, study::filling(most), seed)?;
        let mut crowd = Crowd::new(&world);
        crowd.spreads.clear();
        unspread = Some(study::look_at(&crowd, most)?);
    }
    let mut moves = Vec::new();
    for &nodes in changed {
        say(&format!("what moves of {nodes} nodes"));
        let world = World::new(FIVE, study::filling(nodes), seed)?;
        moves.extend(study::moves(&Crowd::new(&world), nodes)?);
    }
    Ok(Found { headline, kinds, unspread, moves, costs })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// To whom waits.
fn say(what: &str) {
    // Who closed standard error doesn't wait.
    drop(writeln!(std::io::stderr(), "{what}"));
}
