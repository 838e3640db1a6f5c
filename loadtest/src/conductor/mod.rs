//! Carries out a plan: every repetition goes through all targets in turn, so that what disturbs the machine for a while
//! disturbs all alike, and a figure is compared with the floor's of the same repetition.

mod faults;
mod gauges;
mod outcome;
mod placed;
mod progress;
mod sampling;
mod script;
mod slow;
mod soak;
mod stage;
mod workers;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::plan::{Plan, Step, Wish};
use crate::proc;
use crate::report;
use crate::result::{Phase, Run};
use crate::target::{Ground, Started, Target};
use progress::Progress;
pub(crate) use script::FURTHER;
use stage::Stage;
use workers::Workers;

/// Connections that one generator process holds at most: below 20,000 descriptors, which is all that some machines allow.
const PER_WORKER: usize = 12_000;

/// Runs what was wished for, and writes the report.
pub(crate) fn run(wish: &Wish) -> anyhow::Result<()> {
    let plan = crate::plan::plan(wish)?;
    let root = root()?;
    let directory = root.join("target/loadtest").join(plan.name);
    let runs = directory.join("runs");
    if !wish.add {
        // The results of the last time would be taken for this one's.
        let _ = fs::remove_dir_all(&runs);
    }
    fs::create_dir_all(&runs)?;
    let targets = crate::target::all();
    let mut progress = Progress::new();
    let all = plan.steps.iter().map(|step| step.targets.len() * step.repetitions).sum::<usize>();
    let (mut number, mut failed) = (0, 0);
    for step in &plan.steps {
        for repetition in 0..step.repetitions {
            for name in &step.targets {
                number += 1;
                progress.run(format!("{number} of {all} · {name} · {}", step.script.name()));
                let target = targets.iter().find(|target| target.name == *name);
                let target = target.with_context(|| format!("there is no target {name:?}"))?;
                let run = one(&root, &plan, step, repetition, target, &mut progress);
                let line = in_a_line(&run);
                failed += usize::from(run.absent.is_some());
                progress.say(&format!("{number:>3} of {all}  {:<24} {:<9} {line}", target.name, run.script));
                let file = format!(
                    "{:03}-{}-{}-{repetition}.json",
                    number,
                    run.script,
                    name.replace([' ', '+'], "_")
                );
                fs::write(runs.join(file), serde_json::to_vec_pretty(&run)?)?;
            }
        }
    }
    report::write(&directory)?;
    progress.say(&format!("{}", directory.join("report.html").display()));
    if failed > 0 {
        progress.say(&format!("{failed} of {all} could not be run here; the report says why"));
    }
    crate::plan::judge(&plan, &directory)
}

/// One target through one script. What goes wrong is part of the result.
fn one(
    root: &Path,
    plan: &Plan,
    step: &Step,
    repetition: usize,
    target: &Target,
    progress: &mut Progress,
) -> Run {
    let mut run = Run {
        plan: plan.name.to_owned(),
        script: step.script.name(),
        target: target.name.to_owned(),
        path: target.path.to_owned(),
        beside: target.beside.iter().map(ToString::to_string).collect(),
        command: plan.command.clone(),
        versions: String::new(),
        repetition,
        at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        machine: proc::machine(&plan.servers_on, &plan.generator_on),
        absent: None,
        phases: Vec::new(),
    };
    if let Err(error) = measure(root, plan, step, target, &mut run, progress) {
        run.absent = Some(format!("{error:#}"));
    }
    run
}

fn measure(
    root: &Path,
    plan: &Plan,
    step: &Step,
    target: &Target,
    run: &mut Run,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let scratch = root.join("target/loadtest/scratch").join(target.name.replace([' ', '+'], "_"));
    // Left over from the last time, or not there.
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let ground = Ground {
        root: root.to_owned(),
        tools: root.join("target/loadtest/tools"),
        scratch,
        servers_on: plan.servers_on.clone(),
        generator_on: plan.generator_on.clone(),
        connections: step.script.connections(),
    };
    fs::create_dir_all(&ground.tools)?;
    let running = match (target.start)(&ground)? {
        Started::Running(running) => running,
        Started::Absent(why) => {
            run.absent = Some(why);
            return Ok(());
        }
    };
    run.versions.clone_from(&running.versions);
    let connections = step.script.connections();
    let count = connections.div_ceil(PER_WORKER).max(step.script.workers());
    let workers = Workers::start(count, &plan.generator_on)?;
    let cores = plan.generator_on.len();
    let mut stage = Stage::set(workers, &running, &step.script, cores, target.rooms, progress)?;
    let done = script::run(&mut stage, &step.script);
    run.phases = std::mem::take(&mut stage.phases);
    done
}

fn in_a_line(run: &Run) -> String {
    if let Some(why) = &run.absent {
        return format!("absent: {why}");
    }
    let server = |phase: &Phase| run.server(phase).map(|(_, used)| used.cpu).sum::<f64>();
    let words = run.phases.iter().filter(|phase| phase.name != "warm").map(|phase| {
        let bad = if phase.lost > 0 || phase.failed > 0 || phase.closed > 0 { "!" } else { "" };
        if phase.deliveries > 0 {
            format!("{} {:.2} µs{bad}", phase.name, server(phase) / phase.deliveries as f64 * 1e6)
        } else if phase.opened > 0 {
            format!("{} {:.0} µs{bad}", phase.name, server(phase) / phase.opened as f64 * 1e6)
        } else {
            let held: u64 = phase.roles.values().map(|used| used.rss_after).sum();
            format!("{} {:.1} MB{bad}", phase.name, held as f64 / 1e6)
        }
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// The repository: where this package's folder lies, or the working directory.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| folder.join("loadtest/Cargo.toml").exists());
    Ok(found.context("run this inside the repository")?.to_owned())
}
