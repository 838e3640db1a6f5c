//! Durable rooms, beside what JetStream alone takes: publishing, resuming, a node's death, rooms that nobody is in, a million
//! of them. See `loadtest/README.md`.
//!
//! | file | what |
//! |---|---|
//! | `publish` | one at a time, and at full pace |
//! | `resume` | a hundred missed messages |
//! | `death` | ten thousand clients of a killed node |
//! | `idle` | what rooms leave behind |
//! | `million` | very many rooms in a store |
//! | `ground`, `nats`, `shape` | servers; NATS' protocol; what is stored, so that a raw publisher stores the same |
//! | `crowd`, `words` | clients; what they say |
//! | `client` | the usual raw publisher |
//! | `figure` | rows of the table |

mod client;
mod crowd;
mod death;
mod figure;
mod ground;
mod idle;
mod million;
mod nats;
mod publish;
mod resume;
mod shape;
mod words;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::conductor::root;
use crate::proc;
use figure::Figure;
use ground::Cores;

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Ask {
    /// Only these parts: publish, resume, death, idle, million
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Repetitions of `publish`
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Only NATS alone
    #[arg(long)]
    baselines_only: bool,
    /// A raw publisher has somebody beside it who hears what the store sends on, as a node does
    #[arg(long)]
    listening: bool,
}

/// Where and how.
struct Setting {
    root: PathBuf,
    baselines_only: bool,
    listening: bool,
    /// NATS on a core of its own.
    apart: Cores,
    /// Everything on every core.
    together: Cores,
}

const PARTS: [&str; 5] = ["publish", "resume", "death", "idle", "million"];

/// Measures, and writes `target/loadtest/durable/report.md`.
pub(crate) fn run(ask: &Ask) -> anyhow::Result<()> {
    if let Some(unknown) = ask.only.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("no part is called {unknown:?}; there are {}", PARTS.join(", "));
    }
    crate::worker::allow_files()?;
    let setting = Setting {
        root: root()?,
        baselines_only: ask.baselines_only,
        listening: ask.listening,
        apart: Cores::apart(),
        together: Cores::together(),
    };
    let began = Instant::now();
    let machine = proc::machine(&setting.apart.nodes, &setting.apart.nats);
    let mut figures: Vec<Figure> = Vec::new();
    for part in
        PARTS.into_iter().filter(|part| ask.only.is_empty() || ask.only.iter().any(|only| only == part))
    {
        let found = match part {
            "publish" => publish::run(&setting, ask.repeat),
            "resume" => resume::run(&setting),
            "death" => death::run(&setting),
            "idle" => idle::run(&setting),
            _ => million::run(&setting),
        };
        // What one part finds mustn't be lost by the next one's failure.
        match found {
            Ok(found) => figures.extend(found),
            Err(error) => say(&format!("{part}: {error:#}")),
        }
    }
    let text = format!(
        "{}\n{}, {} cores, {} GiB, Linux {}; load {} at the start; {:.0} s\n",
        figure::markdown(&figures),
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.load,
        began.elapsed().as_secs_f64()
    );
    let directory = setting.root.join("target/loadtest/durable");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("report.md"), &text).context("writing the report")?;
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// To whom waits.
fn say(what: &str) {
    // Who closed standard error doesn't wait.
    drop(writeln!(std::io::stderr(), "{what}"));
}
