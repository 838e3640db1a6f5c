//! Measures Ringway beside what it stands on and what it is compared with. See `loadtest/README.md`.

mod baseline;
mod conductor;
mod control;
mod dialect;
mod durable;
mod histogram;
mod plan;
mod proc;
mod report;
mod result;
mod simulate;
mod target;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "loadtest", about = "Measures Ringway beside its floor and its alternatives", version)]
struct Arguments {
    #[command(subcommand)]
    command: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Runs a plan, and writes results and report to `target/loadtest/<plan>/`
    Run(plan::Wish),
    /// Lists plans, scripts and targets
    List,
    /// Makes the report again from the results of a plan
    Report {
        /// `target/loadtest/<plan>`
        directory: PathBuf,
    },
    /// Works out what large clusters would do, with the real ring; writes plots to `docs/scaling/`
    Simulate(simulate::Ask),
    /// Measures durable rooms beside JetStream alone; writes `target/loadtest/durable/report.md`
    Durable(durable::Ask),
    /// A generator process; the conductor starts it
    #[command(hide = true)]
    Worker,
    /// A baseline server; a target starts it
    #[command(hide = true)]
    Baseline {
        kind: baseline::Kind,
        #[arg(long)]
        listen: SocketAddr,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Order::Run(wish) => conductor::run(&wish),
        Order::List => plan::list(),
        Order::Report { directory } => report::write(&directory),
        Order::Simulate(ask) => simulate::run(&ask),
        Order::Durable(ask) => durable::run(&ask),
        Order::Worker => worker::run(),
        Order::Baseline { kind, listen } => baseline::run(kind, listen),
    }
}
